"""The list of tools is complete, and as old as it says."""

import re
from contextlib import suppress
from dataclasses import fields
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from book.ch07_tools.ecosystem import TOOLS, UNCHECKED, table


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_entry_is_complete(tool):
    for field in fields(tool):
        assert getattr(tool, field.name).strip(), field.name
    assert tool.link.startswith("https://")
    assert date(2026, 1, 1) <= date.fromisoformat(tool.checked)  # no look at the clock: it may lag
    assert (tool.version == UNCHECKED) == (tool.released == UNCHECKED)
    if tool.version != UNCHECKED:
        assert re.fullmatch(r"\d+(\.\w+)+", tool.version)
        assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", tool.released)
        assert tool.released <= tool.checked[:7]
    assert len(tool.good_for) > 30 and len(tool.not_for) > 30


def test_what_the_chapter_promises_is_there_once():
    names = [tool.name for tool in TOOLS]
    assert len(set(names)) == len(names)
    wanted = {"diffusers", "k-diffusion", "ComfyUI", "accelerate", "peft", "torchmetrics"}
    assert wanted | {"clean-fid", "hpsv2", "smalldiffusion", "azula"} <= set(names)
    for tool in TOOLS:
        assert f"[{tool.name}]({tool.link})" in table() and tool.licence in table()


def test_versions_that_this_project_pins_are_those_of_the_list():
    from pathlib import Path

    root = Path(__file__).parents[2]
    pins = (root / "constraints.txt").read_text() + (root / "pyproject.toml").read_text()
    listed = {tool.name: tool.version for tool in TOOLS}
    for name in ("diffusers", "accelerate"):
        assert f"{name}=={listed[name]}" in pins


def test_licences_are_those_of_the_installed_releases():
    """Of the tools that are installed here in the listed version; the others were read by hand."""
    opening = {"Apache-2.0": "Apache License Version 2.0", "MIT": "Permission is hereby granted"}
    read = []
    for tool in TOOLS:
        with suppress(PackageNotFoundError):
            release = distribution(tool.name)
            if release.version == tool.version:
                (file,) = [f for f in release.files if f.match("*.dist-info/**/LICENSE")]
                text = " ".join(file.read_text(encoding="utf-8").split())
                assert opening[tool.licence.split(" (")[0]] in text, tool.name
                read.append(tool.name)
    assert "accelerate" in read  # the book needs it, in this version
