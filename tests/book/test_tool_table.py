"""The table of tools in chapter 7 is complete, and as old as it says."""

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "chapters" / "source" / "07_tools.md").read_text(encoding="utf-8")
LOOKED_UP = re.search(r"^Looked up on (20\d\d-\d\d-\d\d):", PAGE, re.MULTILINE)[1]
CELL = r" ([^|]+) \|"
ROW = re.compile(r"^\| \[([\w.-]+)\]\((https://[^)]+)\) \|" + 4 * CELL + "$", re.MULTILINE)
TOOLS = {row[0]: row[1:] for row in ROW.findall(PAGE)}


@pytest.mark.parametrize("name", TOOLS)
def test_every_row_is_complete(name):
    _, version, licence, good_for, not_for = TOOLS[name]
    if version != "not checked":
        month = re.fullmatch(r"\d+(?:\.\w+)+ \((20\d\d-(?:0[1-9]|1[0-2]))\)", version)[1]
        assert month <= LOOKED_UP[:7]
    assert licence and len(good_for) > 30 and len(not_for) > 30


def test_what_the_chapter_promises_is_there():
    wanted = {"diffusers", "k-diffusion", "ComfyUI", "accelerate", "peft", "torchmetrics"}
    assert wanted | {"clean-fid", "hpsv2", "smalldiffusion", "azula"} <= set(TOOLS)
    table = PAGE.split("| tool | version |")[1].split("\n\n")[0]
    assert len(TOOLS) == table.count("\n| ["), "a row that is not in the form of the others"


def test_versions_that_this_project_pins_are_those_of_the_table():
    pins = (ROOT / "constraints.txt").read_text() + (ROOT / "pyproject.toml").read_text()
    for name in ("diffusers", "accelerate"):
        assert f"{name}=={TOOLS[name][1].split()[0]}" in pins


def test_licences_are_those_of_the_installed_releases():
    """Of the tools that are installed here in the listed version; the others were read by hand."""
    opening = {"Apache-2.0": "Apache License Version 2.0", "MIT": "Permission is hereby granted"}
    read = []
    for name, (_, version, licence, *_) in TOOLS.items():
        with suppress(PackageNotFoundError):
            release = distribution(name)
            if release.version == version.split()[0]:
                (file,) = [f for f in release.files if f.match("*.dist-info/**/LICENSE")]
                text = " ".join(file.read_text(encoding="utf-8").split())
                assert opening[licence.split(" (")[0]] in text, name
                read.append(name)
    assert "accelerate" in read  # the book needs it, in this version
