"""What the cells of chapter 5.3 write: the recipe of a training, compared with the library."""

import ast
import copy
import functools
import math
from typing import Any

import jupytext
import torch
from book_rules import SOURCES
from torch import Tensor, nn

from minildm.noise import DROP, TIME, Batch, batch_indices

CELLS = {
    cell.metadata["name"]: cell.source
    for cell in jupytext.read(SOURCES / "05_3_training.md").cells
    if cell.cell_type == "code"
}
WRITTEN = (
    "write-schedule", "write-target", "write-weight", "write-drop", "write-loss", "write-adamw",
    "write-rate-limit-average", "write-loop", "write-orthogonal", "write-steps", "write-optimizer",
)  # fmt: skip


@functools.cache
def recipe() -> dict[str, Any]:
    """The functions and classes of the cells, without what is computed beside them."""
    names: dict[str, Any] = {
        "torch": torch, "nn": nn, "math": math, "copy": copy,
        "Batch": Batch, "batch_indices": batch_indices, "TIME": TIME, "DROP": DROP,
    }  # fmt: skip
    for name in WRITTEN:
        tree = ast.parse(CELLS[name])
        tree.body = [p for p in tree.body if isinstance(p, ast.FunctionDef | ast.ClassDef)]
        assert tree.body, name
        exec(compile(tree, f"<cell {name}>", "exec"), names)
    names["alpha_bar"], names["signal"], names["noise"] = names["cosine_schedule"]()
    return names


def flat(net: nn.Module) -> Tensor:
    """All weights in a row."""
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def close(got: Tensor, wanted: Tensor, rtol: float = 1e-9) -> None:
    """Equal up to the rounding of float64."""
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=1e-12)
