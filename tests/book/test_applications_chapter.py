"""What chapter 6 writes, cell by cell, is what the library does: edits, tiles, ways, inversion.

The functions are run as they stand in the source, on the shipped model in float64, where the same
sums in another order differ by about 1e-15 of their size, and any other formula by far more.
"""

import ast
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import jupytext
import pytest
import torch
import torch.nn.functional as F
from book_rules import SOURCES
from torch import nn

from book.ch06_applications import editing
from book.ch06_applications.editing import edit_mask, edit_tasks, object_mask
from book.ch06_applications.judged import QUICK, uncertain
from book.ch06_applications.measure import CHANGES
from minildm import LatentDiffusion, ddim, ddpm, dpmpp_2m, keyed_normal, sample
from minildm.latent import REPLACE
from minildm.shapes.scenes import splits

CELLS = {
    cell.metadata["name"]: cell.source
    for cell in jupytext.read(SOURCES / "06_applications.md").cells
    if cell.cell_type == "code"
}
WRITTEN = (
    "write-image-to-image", "write-inpaint", "write-circular", "write-arc", "write-direction",
    "write-invert",
)  # fmt: skip
TEXTS = ["a red circle left of a blue square", "a green star above a cyan circle"]


@pytest.fixture(scope="module")
def model():
    return LatentDiffusion.load("shapes").double()


@pytest.fixture(scope="module")
def written(model):
    """The functions of the cells, without what they compare."""
    names = {
        "torch": torch, "F": F, "nn": nn, "pairwise": pairwise, "contextmanager": contextmanager,
        "model": model, "schedule": model.schedule, "sample": sample, "ddpm": ddpm,
        "dpmpp_2m": dpmpp_2m, "editing": editing, "object_mask": object_mask,
    }  # fmt: skip
    for name in WRITTEN:
        functions = [n for n in ast.parse(CELLS[name]).body if isinstance(n, ast.FunctionDef)]
        assert functions, name
        assert max(n.end_lineno - n.lineno + 1 for n in functions) <= 17, name
        code = ast.unparse(ast.Module(functions, []))
        exec(compile(code, f"<cell {name}>", "exec"), names)
    return names


@pytest.fixture(scope="module")
def tasks():
    return edit_tasks(splits().test, 4, seed=3)


def close(got, wanted):
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-7)  # 1e-15, which the network magnifies


@pytest.mark.parametrize("strength", [0.01, 0.3, 0.5, 1.0])
def test_image_to_image(written, model, tasks, strength):
    options = {**QUICK, "steps": 5, "seed": 2}
    mine = written["image_to_image"](tasks.x.double(), tasks.texts(), strength, steps=5, seed=2)
    close(mine, model.image_to_image(tasks.x.double(), tasks.texts(), strength, **options))


@pytest.mark.parametrize("step", [ddim, dpmpp_2m])
def test_inpainting(written, model, tasks, step):
    """With the library's own noise for what is kept; DDPM's inside would be another noise."""
    mask = edit_mask(tasks.rows, tasks.places, tasks.which).double()
    mask[0, :, 3, 5] = 1  # a single pixel draws its whole cell anew
    x = tasks.x.double()
    stops = iter((model.schedule.times(4)[1:] * 10**6).tolist())
    fresh = lambda z: keyed_normal((1, REPLACE, next(stops)), range(4), (4, 8, 8)).to(z)  # noqa: E731
    mine = written["inpaint"](x, mask, tasks.texts(), 4, step, seed=1, fresh=fresh)
    options = {"steps": 4, "sampler": step, "guidance": 2.5, "seed": 1}
    close(mine, model.inpaint(x, mask, tasks.texts(), **options))
    assert torch.equal(mine * (1 - mask), x * (1 - mask))


def test_wrapping(written, model):
    def modes():
        return [m.padding_mode for m in model.modules() if isinstance(m, nn.Conv2d)]

    before, seen = modes(), []
    for wrap in (written["circular"], editing.circular):
        with wrap(model.network, model.autoencoder.decoder):
            seen.append(modes())
        assert modes() == before
    assert seen[0] == seen[1] != before


@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, 1.0])
def test_the_two_ways_between(written, model, u):
    z_a, z_b = model.noise(3, seed=1), model.noise(3, seed=2)
    close(written["straight"](z_a, z_b, u), editing.straight(z_a, z_b, u))
    close(written["arc"](z_a, z_b, u), editing.arc(z_a, z_b, u))


@pytest.mark.parametrize("name", CHANGES)
def test_directions(written, model, name):
    edits = edit_tasks(splits().train, 6, seed=8, names=(name,), only=CHANGES[name])
    edits_x = written["direction"]
    whole, vector = edits_x(edits)
    close(whole, editing.direction(model, edits))
    if name == "background":
        assert written["cells"](edits).all()
    else:
        close(vector, editing.direction(model, edits, cells=True))
        touched = object_mask(edits.rows, edits.places, edits.which)
        assert torch.equal(written["cells"](edits), F.adaptive_max_pool2d(touched, 8))


def test_inversion(written, model, tasks):
    x, texts = tasks.x[:2].double(), tasks.texts(after=False)[:2]
    mine = written["invert"](x, texts, 5)
    close(mine, editing.invert(model, x, texts, 5))


def test_each_use_is_compared_where_it_is_written():
    for name in ("write-image-to-image", "write-circular", "write-invert", "inpaint-is-theirs"):
        assert "< 1e-3" in CELLS[name], name
    assert "editing.arc(z_a, z_b, 0.3)" in CELLS["lengths"]


def test_what_a_count_leaves_open():
    assert uncertain(0.5, 50) == "37% to 63%"  # Wilson's interval, from his formula by hand
    assert uncertain(1.0, 50) == "93% to 100%"
    assert uncertain(0.0, 50) == "0% to 7%"


def test_lengths_are_chosen_on_other_scenes_than_they_are_judged_on():
    cell = CELLS["best-lengths"]
    assert "tune = edit_tasks(splits().validation, 50" in cell
    assert "test = edit_tasks(splits().test, 50" in cell
    assert "for k in lengths]" in cell and "moved(tune, k," in cell and "moved(test, best," in cell
    assert partial(edit_tasks, splits().validation)(50, names=("fill",), only=CHANGES["fill"])
