"""docs/stable_diffusion.md: its code runs, in order, on a small model with the real structure."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sd_pipelines import saved

from minildm.__main__ import main
from minildm.stable_diffusion import load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "stable_diffusion.md"
LAYER = "down_blocks.0.attentions.0.proj_in"


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A working directory with what the page has: sd15, and style.safetensors."""
    pytest.importorskip("diffusers")
    monkeypatch.chdir(tmp_path)
    saved("sd1", Path("sd15"), torch.float32)
    c_out, c_in = load("sd15").network.net.get_submodule(LAYER).weight.shape[:2]
    place = f"unet.{LAYER}.lora"
    save_file(
        {f"{place}_A.weight": torch.ones(2, c_in), f"{place}_B.weight": torch.ones(c_out, 2)},
        "style.safetensors",
    )
    return tmp_path


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_code_runs(there):
    names: dict = {}
    found = blocks("python")
    assert len(found) > 5
    for code in found:
        exec(compile(code, str(PAGE), "exec"), names)
    assert names["x"].shape == (1, 3, 32, 32)
    assert names["ids"].shape == (1, 77)
    assert names["output"].shape == names["z_t"].shape == names["z"].shape
    assert {"lighthouse.png", "sd15-style", "digits-diffusers"} <= {p.name for p in there.iterdir()}


def test_the_command_runs(there):
    (line,) = blocks("bash")
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "minildm"]
    assert main(words[3:]) in (None, 0)
    assert (there / "lighthouse.png").is_file()
