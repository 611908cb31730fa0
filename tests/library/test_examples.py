"""The examples do what they say: pictures that other packages ship become models, in tiny sizes."""

import ast
import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from minildm import LatentDiffusion, to_tensor

FILE = Path(__file__).parents[2] / "examples" / "own_pictures.py"
MODES = ("RGB", "RGBA", "P", "L", "LA", "1", "CMYK")
SAYS = {"temple": "A temple in the evening", "flower": "a flower, near"}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("own_pictures", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cuttings(folder, places, n=7):
    """Parts of two photographs that scikit-learn ships, in all sizes and modes, as files."""
    rng = np.random.default_rng(0)
    for (subject, place), file in zip(places.items(), load_sample_images().filenames, strict=True):
        (folder / place).mkdir(parents=True, exist_ok=True)
        photograph = Image.open(file)
        for i, mode in zip(range(n), MODES, strict=True):
            width, height = (int(side) for side in rng.integers(20, 90, 2))
            left, top = int(rng.integers(640 - width)), int(rng.integers(427 - height))
            part = photograph.crop((left, top, left + width, top + height))
            kind = "jpg" if mode == "CMYK" else "png"
            part.convert("L").convert(mode).save(folder / place / f"{subject}{i}.{kind}")
            yield folder / place / f"{subject}{i}.{kind}", subject


def run(example, folder, out, text):
    example.train(folder, out, size=16, steps=3, batch=4)
    first = next(path for path in sorted(folder.rglob("*")) if path.suffix in example.KINDS)
    example.use(out, first, text)
    shapes = [to_tensor(out / f"{name}.png").shape[2:] for name in ("drawn", "varied")]
    assert shapes == [(70, 70), (16, 16)]  # 4 x 4 pictures with 2 pixels between them; one
    before = to_tensor(first, size=16)
    after = to_tensor(out / "left half anew.png")
    assert torch.allclose(after[..., 8:], before[..., 8:], atol=1 / 127)
    assert not torch.allclose(after[..., :8], before[..., :8], atol=0.1)
    return LatentDiffusion.load(out)


def test_names_of_sub_folders_are_learned_as_words(example, tmp_path):
    pictures = tmp_path / "pictures"
    list(cuttings(pictures, {"temple": "temple", "flower": "flower"}))
    model = run(example, pictures, tmp_path / "model", "flower")
    assert model.network.config.text.words == ("flower", "temple")
    with pytest.raises(ValueError, match="unknown word 'flowr'.*nearest: flower"):
        model.text_to_image("flowr")
    torch.manual_seed(0)
    again = LatentDiffusion.load(tmp_path / "model").generate("flower", seed=3, steps=2)
    assert torch.equal(again, model.generate("flower", seed=3, steps=2))


def test_texts_beside_the_pictures_are_their_captions(example, tmp_path):
    pictures = tmp_path / "pictures"
    for file, subject in cuttings(pictures, {"temple": "a", "flower": "a"}):
        file.with_suffix(".txt").write_text(SAYS[subject] + "\n", encoding="utf-8")
        assert example.caption(file, pictures) == SAYS[subject]
    model = run(example, pictures, tmp_path / "model", "a flower near a temple")
    words = model.network.config.text
    assert words.words == ("a", "evening", "flower", "in", "near", "temple", "the")
    assert words.length == 5


def test_pictures_without_a_word(example, tmp_path):
    pictures = tmp_path / "pictures"
    list(cuttings(pictures, {"temple": "", "flower": ""}))
    model = run(example, pictures, tmp_path / "model", None)
    assert model.network.config.classes == 0


def test_a_new_task_takes_about_thirty_lines(example):
    lines, text = code_lines(FILE), FILE.read_text("utf-8")
    readme = (FILE.parents[1] / "README.md").read_text("utf-8")
    assert lines <= 40
    assert f"{lines} lines, {round(len(text), -2):,} characters" in readme
    assert all(inspect.getsource(shown) in readme for shown in (example.train, example.use))


def code_lines(path):
    """Lines of statements, without blank ones, comments, imports and docstrings."""
    text = path.read_text(encoding="utf-8")
    told = set()
    for node in ast.walk(ast.parse(text)):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or isinstance(node, ast.Import | ast.ImportFrom):
            told |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(i not in told and bool(line.strip(" #")) for i, line in lines)
