"""How often a picture shows what was asked for, and how sure that figure is.

caption_accuracy  share of pictures that are right, per attribute and in everything at once
lower_bound       what a share of n tries proves, with 95 % confidence
memorised         share of generated scenes that stand, pixel for pixel, in the training set
nearest           distance of pictures to their nearest neighbour in a data set
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from minildm import inputs
from minildm.shapes.judge import Verdict
from minildm.shapes.scenes import NAMES, Pictures, checked_rows

ONE_SIDED_95 = 1.6448536269514722  # the standard normal's 95 % quantile


class Accuracy(NamedTuple):
    """Shares of n pictures.

    joint      every attribute as asked, and accepted by the judge: the figure that counts
    accepted   pictures that are a scene at all
    by_name    one share per attribute, each also False where the picture was refused
    bound      ``lower_bound`` of joint
    n          number of pictures
    """

    joint: float
    accepted: float
    by_name: dict[str, float]
    bound: float
    n: int


def caption_accuracy(verdict: Verdict, rows: Tensor) -> Accuracy:
    """Compare what the judge read with what was asked for: rows (n, 10).

    Both are in canonical form (see shapes.py), so "A left of B" and "B right of A" are the same.
    Raises ValueError unless there is one row for each picture.
    """
    rows = checked_rows(rows)
    if not isinstance(verdict, Verdict):
        raise ValueError(f"verdict must be what judge() returns; got {type(verdict).__name__}")
    if verdict.rows.shape != rows.shape or len(rows) == 0:
        raise ValueError(
            f"rows must be {tuple(verdict.rows.shape)}, one for each picture; got "
            f"{tuple(rows.shape)}"
        )
    right = (verdict.rows == rows) & verdict.accepted[:, None]  # (n, 10)
    joint = int(right.all(1).sum())
    shares = right.double().mean(0).tolist()
    return Accuracy(
        joint / len(rows),
        float(verdict.accepted.double().mean()),
        dict(zip(NAMES, shares, strict=True)),
        lower_bound(joint, len(rows)),
        len(rows),
    )


def lower_bound(hits: int, tries: int) -> float:
    """The smallest share that ``hits`` of ``tries`` leaves possible, one-sided 95 %.

    Wilson 1927, J. Am. Stat. Assoc. 22, p. 209: the p at which hits lie z = 1.645 standard
    deviations sqrt(p (1 - p) / n) above p.
    Raises ValueError unless both are whole numbers, 0 <= hits <= tries and tries >= 1.
    """
    hits, tries = inputs.whole("hits", hits), inputs.whole("tries", tries)
    if not 0 <= hits <= tries or tries < 1:
        raise ValueError(f"need 0 <= hits <= tries, tries >= 1; got {hits} of {tries}")
    share, z2 = hits / tries, ONE_SIDED_95**2
    spread = ONE_SIDED_95 * math.sqrt(share * (1 - share) / tries + z2 / (4 * tries**2))
    return max(0.0, (share + z2 / (2 * tries) - spread) / (1 + z2 / tries))


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
