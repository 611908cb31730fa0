"""Are generated pictures copies of training pictures? Exactly, and by the nearest neighbour."""

import math

import torch
from torch import Tensor

from minildm.checks import inputs
from minildm.shapes.judge import Verdict
from minildm.shapes.scenes import Pictures


def memorised(verdict: Verdict, training: Pictures) -> float:
    """Share of accepted pictures whose attributes *and* places are those of a training picture.

    Scenes stand on the pixel grid, so this is exact: no threshold on a distance is needed.
    Raises ValueError where there is no picture.
    """
    if len(verdict.rows) == 0:
        raise ValueError("verdict is of no picture; a share of nothing is no number")
    known = _keys(training.rows, training.places)
    found = _keys(verdict.rows, verdict.places)
    return float((torch.isin(found, known) & verdict.accepted).double().mean())


def _keys(rows: Tensor, places: Tensor) -> Tensor:
    """One whole number per picture: int64 (n,), different for different pictures."""
    columns = torch.cat([rows, places.flatten(1)], dim=1)  # (n, 10), (n, 2, 2) -> (n, 14)
    base = torch.tensor([6] * rows.shape[1] + [64] * 4)
    weights = torch.cat([base.flip(0).cumprod(0).flip(0)[1:], torch.ones(1, dtype=torch.int64)])
    return (columns * weights).sum(1)


def nearest(x: Tensor, data: Pictures | Tensor, batch: int = 500) -> tuple[Tensor, Tensor]:
    """(distance, index) of each picture's nearest neighbour in ``data``, both (n,).

    The distance is the root mean square over pixels of pictures (n, C, H, W), alike in both.
    Raises ValueError for NaN, for no pictures, and for pictures of different sizes.
    """
    x, batch = inputs.images("x", x, slack=inputs.OVERSHOOT), inputs.whole("batch", batch, 1)
    if not isinstance(data, Pictures):
        data = inputs.images("data", data, slack=inputs.OVERSHOOT)
    if x.is_meta or (isinstance(data, Tensor) and data.is_meta):
        raise ValueError("pictures on the meta device have no values to compare")
    if len(data) == 0 or data[torch.arange(1)].shape[1:] != x.shape[1:]:
        raise ValueError(f"data must be pictures of the same size as x: {tuple(x.shape[1:])}")
    flat = x.flatten(1)  # (n, C·H·W)
    best = torch.full((len(x),), math.inf)
    index = torch.zeros(len(x), dtype=torch.int64)
    for part in torch.arange(len(data)).split(batch):
        other = data[part].flatten(1)  # (batch, C·H·W)
        distance, place = torch.cdist(flat, other).min(dim=1)
        closer = distance < best
        best, index = torch.where(closer, distance, best), torch.where(closer, part[place], index)
    return best / math.sqrt(flat.shape[1]), index
