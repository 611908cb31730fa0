"""What the checks of several chapters' exercises share."""

import torch
from torch import Tensor, nn


def points(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def misfit(mine: nn.Module, theirs: nn.Module, kind: str, why: str = "") -> str | None:
    """Why the weights of ``theirs``, the shipped ``kind``, cannot be loaded into ``mine``; None if
    they can. ``why``: what a part too many misses.
    """
    have, wanted = mine.state_dict(), theirs.state_dict()
    if missing := [name for name in wanted if name not in have]:
        return f"the shipped {kind} has {missing[0]!r}, yours has not"
    if over := [name for name in have if name not in wanted]:
        return f"yours has {over[0]!r}, which the shipped {kind} has not{why}"
    for name in wanted:
        if have[name].shape != wanted[name].shape:
            shapes = tuple(have[name].shape), tuple(wanted[name].shape)
            return f"{name} has the shape {shapes[0]}; the shipped one {shapes[1]}"
    return None
