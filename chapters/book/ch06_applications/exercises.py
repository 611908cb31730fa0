"""Exercises of chapter 6, applications: masks, seams and mixtures; ``writing`` has the others."""

from collections.abc import Callable

import torch
from torch import Tensor

from book.ch06_applications.editing import arc, seam_error, whole_cells
from book.ch06_applications.writing import WRITING
from book.exercises import Exercise

# --- 6-3 ------------------------------------------------------------------------------------------


def _two_masks() -> tuple[Tensor, Tensor]:
    mine, other = torch.zeros(2, 1, 64, 64), torch.zeros(2, 1, 64, 64)
    mine[0, :, 10:30, 12:33], other[0, :, 12:30, 35:53] = 1, 1  # they share cells
    mine[1, :, 35:53, 20:38], other[1, :, 7:33, 18:44] = 1, 1
    return mine, other


def _check_masks(what_to_draw: Callable) -> str | None:
    mine, other = _two_masks()
    answer = torch.as_tensor(what_to_draw(mine, other)).float()
    if answer.shape != mine.shape:
        return f"the mask must keep its shape {tuple(mine.shape)}; yours is {tuple(answer.shape)}"
    if not ((answer == 0) | (answer == 1)).all():
        return "a mask holds 0 and 1 only; a product of masks is their intersection"
    if torch.equal(answer, whole_cells(mine) * (1 - other)):
        return None
    if (answer * other).any():
        return "your mask touches the other object, which must stay"
    if torch.equal(answer, mine):
        return "the latent cells that the object touches must be drawn anew as a whole"
    return "grow my object to whole cells first, then take the other object's pixels only out of it"


MASKS = Exercise(
    id="6-3",
    title="what to draw anew: whole cells of one object, nothing of the other",
    setup="from book.ch06_applications.editing import whole_cells",
    stub="""
def what_to_draw(mine, other):
    return ...  # YOUR CODE HERE: float (n, 1, 64, 64), 0 or 1
""",
    solution="""
def what_to_draw(mine, other):
    return whole_cells(mine) * (1 - other)
""",
    answer="what_to_draw",
    check=_check_masks,
    hint="Masks are numbers: a product is 'and', 1 - mask is 'not'. Which of the two comes last?",
    wrong=(
        ("def what_to_draw(mine, other):\n    return whole_cells(mine)", "touches the other"),
        ("def what_to_draw(mine, other):\n    return mine * (1 - other)", "as a whole"),
        (
            "def what_to_draw(mine, other):\n    return whole_cells(mine) - other",
            "holds 0 and 1 only",
        ),
        (
            "def what_to_draw(mine, other):\n"
            "    return whole_cells(mine) * (1 - whole_cells(other))",
            "other object's pixels only",
        ),
        ("def what_to_draw(mine, other):\n    return mine[:, 0]", "keep its shape"),
    ),
    praise="the cells are for the latents, the other object's pixels are pasted back at the end.",
)


# --- 6-4 ------------------------------------------------------------------------------------------


def _check_seam(seam: Callable) -> str | None:
    x = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    answer, wanted = torch.as_tensor(seam(x)).float(), seam_error(x)
    if answer.shape != wanted.shape:
        return f"one number per picture, shape (3,); yours has shape {tuple(answer.shape)}"
    if torch.allclose(answer, wanted, atol=1e-5):
        return None
    across = (x[..., 0] - x[..., -1]).abs().mean((1, 2))
    down = (x[..., 0, :] - x[..., -1, :]).abs().mean((1, 2))
    if torch.allclose(answer, across, atol=1e-5) or torch.allclose(answer, down, atol=1e-5):
        return "a picture is tiled in both directions: count both pairs of borders"
    if torch.allclose(answer, across + down, atol=1e-5):
        return "that is the sum of both directions: take their mean"
    late = (x[..., 0] - x[..., -1]).mean((1, 2)), (x[..., 0, :] - x[..., -1, :]).mean((1, 2))
    if torch.allclose(answer, (late[0].abs() + late[1].abs()) / 2, atol=1e-5):
        return "the mean of the jumps can cancel; what counts is the mean of their absolute values"
    if (answer < 0).any():
        return "jumps up and down must not cancel: take absolute values first, then the mean"
    return "compare the first column with the last, and the first row with the last"


SEAM = Exercise(
    id="6-4",
    title="the seam of a tiling",
    setup="import torch",
    stub="""
def seam(x):
    return ...  # YOUR CODE HERE: x (n, C, H, H) -> (n,)
""",
    solution="""
def seam(x):
    across = (x[..., 0] - x[..., -1]).abs().mean((1, 2))
    down = (x[..., 0, :] - x[..., -1, :]).abs().mean((1, 2))
    return (across + down) / 2
""",
    answer="seam",
    check=_check_seam,
    hint="When a picture is repeated, its last column stands beside its first one.",
    wrong=(
        (
            "def seam(x):\n    return (x[..., 0] - x[..., -1]).abs().mean((1, 2))",
            "in both directions",
        ),
        (
            "def seam(x):\n    a = (x[..., 0] - x[..., -1]).abs().mean((1, 2))\n"
            "    return a + (x[..., 0, :] - x[..., -1, :]).abs().mean((1, 2))",
            "take their mean",
        ),
        (
            "def seam(x):\n    a = (x[..., 0] - x[..., -1]).mean((1, 2))\n"
            "    return (a + (x[..., 0, :] - x[..., -1, :]).mean((1, 2))) / 2",
            "absolute values",
        ),
        (
            "def seam(x):\n    a = (x[..., 0] - x[..., -1]).mean((1, 2)).abs()\n"
            "    return (a + (x[..., 0, :] - x[..., -1, :]).mean((1, 2)).abs()) / 2",
            "of their absolute values",
        ),
        (
            "def seam(x):\n    return (x[..., 0] - x[..., 1]).abs().mean((1, 2))",
            "the first column with the last",
        ),
        ("def seam(x):\n    return (x[..., 0] - x[..., -1]).abs()", "one number per picture"),
    ),
    praise="with zeros at the border this number cannot know that the picture will be repeated.",
)


# --- 6-5 ------------------------------------------------------------------------------------------


def _check_midpoint(midpoint: Callable) -> str | None:
    generator = torch.Generator().manual_seed(2)
    z_a, z_b = torch.randn(2, 3, 4, 8, 8, generator=generator)
    answer = torch.as_tensor(midpoint(z_a, z_b)).float()
    if answer.shape != z_a.shape:
        return f"the answer is shaped like z_a, {tuple(z_a.shape)}; yours is {tuple(answer.shape)}"
    length = float(answer.flatten(1).norm(dim=1).mean()) / 16
    if torch.allclose(answer, arc(z_a, z_b, 0.5), atol=0.2):
        return None
    if torch.allclose(answer, (z_a + z_b) / 2, atol=1e-5):
        return f"that is the straight line: its length is {length:.2f} of what noise has"
    if torch.allclose(answer, z_a + z_b, atol=1e-5):
        return f"the sum of two noises has twice the variance: its length is {length:.2f}"
    if length < 0.2:
        return f"noise of {z_a[0].numel()} numbers is about 16 long; yours has a length near 1"
    return f"the length is {length:.2f} of what noise has; look at (6.3) with u = 1/2"


MIDPOINT = Exercise(
    id="6-5",
    title="half way between two noises, as long as noise is",
    setup="import torch",
    stub="""
def midpoint(z_a, z_b):
    return ...  # YOUR CODE HERE: shaped like z_a (n, c, h, w)
""",
    solution="""
def midpoint(z_a, z_b):
    return (z_a + z_b) / 2**0.5
""",
    answer="midpoint",
    check=_check_midpoint,
    hint="Variances of independent noises add up. Which factor makes the sum's variance 1 again?",
    wrong=(
        ("def midpoint(z_a, z_b):\n    return (z_a + z_b) / 2", "straight line"),
        ("def midpoint(z_a, z_b):\n    return z_a + z_b", "twice the variance"),
        (
            "def midpoint(z_a, z_b):\n    z = z_a + z_b\n"
            "    return z / z.flatten(1).norm(dim=1)[:, None, None, None]",
            "a length near 1",
        ),
        ("def midpoint(z_a, z_b):\n    return 0.5 * z_a", "look at (6.3)"),
        ("def midpoint(z_a, z_b):\n    return z_a[0]", "shaped like z_a"),
    ),
    praise="(6.4) at u = 1/2 gives almost the same, because two noises are almost at right angles.",
)

EXERCISES = [*WRITING, MASKS, SEAM, MIDPOINT]
