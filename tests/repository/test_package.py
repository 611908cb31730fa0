"""The library as others get it: a wheel, without the book, trains on somebody's own pictures."""

import ast
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

BOOK = Path(__file__).resolve().parents[2]
LIBRARY = BOOK / "minildm"
NEEDED = {"accelerate", "numpy", "pillow", "safetensors", "torch", "tqdm"}
NEVER = {"book", "matplotlib", "IPython", "ipywidgets", "anywidget", "sklearn", "tests", "pytest"}


# --- the wheel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built from a copy, without the network."""
    place = tmp_path_factory.mktemp("wheel")
    copy = place / "checkout"
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LIBRARY, copy / "minildm", ignore=leave)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(BOOK / name, copy)
    for name in ("chapters/book", "tests", "tools", "data"):  # may not get in
        (copy / name).mkdir(parents=True)
        (copy / name / "__init__.py").touch()
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(place)!r}))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return place / run.stdout.splitlines()[-1]


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {str(path.relative_to(BOOK)).replace("\\", "/") for path in LIBRARY.rglob("*.py")}
    others = {name for name in names if not name.startswith("minildm-0.")} - modules
    assert modules <= set(names)
    assert others == {"minildm/__init__.pyi", "minildm/py.typed"}
    assert len(modules) < 70  # today's number, and a little


def test_the_wheel_asks_for_little(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(name).decode().splitlines()
    asked = [Requirement(line.removeprefix("Requires-Dist: ")) for line in lines
             if line.startswith("Requires-Dist: ")]  # fmt: skip
    assert {canonicalize_name(r.name) for r in asked if r.marker is None} == NEEDED
    licences = [line for line in lines if line.startswith("License-File: ")]
    assert licences == ["License-File: LICENSE", "License-File: LICENSE-TEXT"]


TRAIN = """
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

package, hidden = sys.argv[1], set(sys.argv[2].split())

class Plain(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Plain]
sys.path.insert(0, package)

import json, os, time, warnings
from pathlib import Path
import torch
import minildm as ldm

assert Path(ldm.__file__).parent.parent == Path(package), ldm.__file__
torch.set_num_threads(1)
files = sorted(Path("pictures").iterdir())
x = ldm.to_tensor(files, size=16)
labels = torch.arange(len(x)) % 2
pixels = ldm.AutoencoderConfig(image_channels=3, factor=4, patch=4, width=16)
network = ldm.UNetConfig(width=16, multipliers=(1,), classes=2)
fit = ldm.FitConfig(steps=4, batch=4, device="cpu")
first, second = ldm.train_both(
    ldm.AutoencoderTraining(pixels, fit), ldm.DenoiserTraining(network, fit),
    ldm.DiscreteSchedule(ldm.cosine_betas(100)), x, labels, folder="training",
)
made = ldm.LatentDiffusion(first.net, second.net)
made.save("mine")
model = ldm.LatentDiffusion.load("mine")
drawn = model.generate([0, 1, 1], seed=1, steps=3)
assert torch.equal(drawn, made.generate([0, 1, 1], seed=1, steps=3))
ldm.save_png(drawn, "drawn.png")
mask = torch.ones(1, 1, 16, 16)
model.inpaint(model.image_to_image(x[:1], [0], 0.5, seed=0), mask, [1], seed=0, steps=2)
try:
    ldm.LatentDiffusion.load("shapes")
except FileNotFoundError as error:
    no_book = str(error)
found = [name for name in sys.modules if name.split(".")[0] in hidden]
print(json.dumps({"shape": list(drawn.shape), "no_book": no_book, "found": found}))
"""


def hidden_modules():
    """All modules here that a plain install does not bring."""
    brought, todo = set(), set(NEEDED)
    while todo:
        name = todo.pop()
        brought.add(name)
        for line in importlib.metadata.requires(name) or []:
            asked = Requirement(line)
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                todo |= {canonicalize_name(asked.name)} - brought
    of_modules = importlib.metadata.packages_distributions()
    return {
        module for module, packages in of_modules.items()
        if not brought & set(map(canonicalize_name, packages)) and module != "minildm"
    } | {"book"}  # fmt: skip


def pictures_of_all_kinds(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, mode in enumerate(("RGB", "RGBA", "P", "L", "LA", "1", "I;16", "CMYK")):
        height, width = (int(side) for side in rng.integers(9, 40, 2))
        array = rng.integers(0, 256, (height, width, 3), np.uint8)
        picture = Image.fromarray(array)
        if mode == "I;16":
            picture = Image.fromarray(257 * array[..., 0].astype(np.uint16))
        elif mode != "RGB":
            picture = picture.convert("L" if mode in ("LA", "1") else "RGB").convert(mode)
        picture.save(folder / f"{i}.{'jpg' if mode == 'CMYK' else 'png'}")


def test_an_installed_library_trains_on_own_pictures(wheel, tmp_path):
    package, work = tmp_path / "package", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(package)
    work.mkdir()
    pictures_of_all_kinds(work / "pictures")
    hidden = hidden_modules()
    assert {"matplotlib", "IPython", "ipywidgets", "anywidget", "sklearn", "mlxtend", "pooch",
            "pytest", "book"} <= hidden  # fmt: skip
    assert not {"torch", "numpy", "PIL", "accelerate", "tqdm", "safetensors"} & hidden
    run = subprocess.run(
        [sys.executable, "-I", "-c", TRAIN, str(package), " ".join(sorted(hidden))],
        cwd=work, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["shape"] == [3, 3, 16, 16] and said["found"] == []
    assert {p.name for p in (work / "mine").iterdir()} == {"config.json", "model.safetensors"}
    for part in ("$MINILDM_DATA (not set)", str(package / "data" / "checkpoints"),
                 "installed without the book's data: set MINILDM_DATA to"):  # fmt: skip
        assert part in said["no_book"]


def test_the_lines_of_the_readme_draw(wheel, tmp_path):
    text = (BOOK / "README.md").read_text(encoding="utf-8").split("## Use the library")[1]
    lines = text.split("```python\n")[1].split("```")[0]
    package, work = tmp_path / "package", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(package)
    work.mkdir()
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(package)!r})\n{lines}"],
        cwd=work, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "MINILDM_DATA": str(BOOK / "data" / "checkpoints")},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert np.asarray(Image.open(work / "digits.png")).std() > 20


# --- what it may need ----------------------------------------------------------------------------


def test_the_library_imports_nothing_of_the_book_and_nothing_that_draws():
    for file in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = [alias.name for alias in getattr(node, "names", [])
                     if isinstance(node, ast.Import)]  # fmt: skip
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong = {name for name in named if name.split(".")[0] in NEVER}
            assert not wrong, f"{file.relative_to(BOOK)} imports {', '.join(wrong)}"
