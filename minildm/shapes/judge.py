"""The exact judge of captioned shapes: which scene is in a picture, and is it one at all?

Analysis by synthesis. A picture is  background + share covered · (colour − background)  for two
objects that do not overlap, so the squared error that an object removes, wherever it stands, is

    gain = |d|² − |d − a v|² = 2 <d, a> · v − |a|² |v|²      d = picture − background
                                                            a = stamp, v = colour − background

The judge computes it for every size, fill, shape, colour and place (the sums <d, a> over all
places are one correlation, done by FFT), takes the best, subtracts it, and looks again. The picture
is then drawn anew from what was found: if the two do not agree, the judge refuses.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minildm.checks import inputs
from minildm.shapes.scenes import (
    BACKGROUNDS,
    COLOURS,
    FILLS,
    NAMES,
    RELATIONS,
    SHAPES,
    SIZE,
    SIZES,
    STAMP,
    checked_rows,
    cover,
    palette,
    render,
    stamps,
)

# Frozen on 2026-11-23, before the shipped models were trained; test_judge.py keeps them.
EXPLAINED = 0.7  # least share of an object's own energy that its drawing must explain
RESIDUAL = 0.2  # largest root mean square difference between the picture and its redrawing

HALF, SEARCH = SIZE // 2, 2  # size of the coarse look; pixels that the fine look moves around
HIDDEN = 5.0  # a remainder |d|² below this hides no object (there is a test for that)


class Verdict(NamedTuple):
    """What the judge found in n pictures.

    rows       int64 (n, 10), a scene table (see scenes.ATTRIBUTES)
    places     int64 (n, 2, 2), the objects' centres in pixels, [object, (down, right)]
    accepted   bool (n,): the picture really is this scene
    residual   float (n,): root mean square difference from the redrawn scene
    explained  float (n, 2): share of each object's energy that the picture has; 1 is perfect
    """

    rows: Tensor
    places: Tensor
    accepted: Tensor
    residual: Tensor
    explained: Tensor


class _Found(NamedTuple):
    """One object per picture: attributes (n, 4), centre (n, 2), explained (n,), its picture."""

    attributes: Tensor
    place: Tensor
    explained: Tensor
    drawn: Tensor


def judge(x: Tensor, batch: int = 16) -> Verdict:
    """Find the scenes of pictures x (n, 3, 64, 64) in [-1, 1].

    Raises ValueError for other shapes, for bytes and for values far outside [-1, 1]. NaN or
    infinite pictures are refused, not an error.
    """
    x, batch = inputs.tensor("x", x), inputs.whole("batch", batch, 1)
    inputs.images("x", torch.where(x.isfinite(), x, 0), 3, (SIZE, SIZE), inputs.OVERSHOOT)
    parts = [_judge(part) for part in x.float().split(batch)]
    return Verdict(*(torch.cat(field) for field in zip(*parts, strict=True)))


@torch.no_grad()
def _judge(x: Tensor) -> Verdict:
    finite = x.isfinite().flatten(1).all(1)
    x = torch.where(finite[:, None, None, None], x, 0.0)
    background = _background(x)  # (n,)
    level = palette(BACKGROUNDS)[background]  # (n, 3)
    d = x - level[:, :, None, None]
    a = _best(d, level)
    b = _best(d - a.drawn, level)
    a, b, third = _look_again(d, level, a, b)

    between = b.place - a.place  # (n, 2)
    upright = between[:, 0].abs() > between[:, 1].abs()
    along = torch.where(upright, between[:, 0], between[:, 1])
    relation = torch.where(upright, RELATIONS.index("above"), RELATIONS.index("left of"))
    swap = (along < 0)[:, None]
    first, second = (torch.where(swap, p, q) for p, q in ((b[0], a[0]), (a[0], b[0])))
    rows = torch.cat([background[:, None], relation[:, None], first, second], dim=1)  # (n, 10)
    both = torch.stack([a.place, b.place], dim=1)  # (n, 2, 2)
    places = torch.where(swap[:, :, None], both.flip(1), both)
    explained = torch.stack([a.explained, b.explained], dim=1)  # (n, 2)
    explained = torch.where(swap, explained.flip(1), explained)
    residual = (x - render(rows, places)).square().mean(dim=(1, 2, 3)).sqrt()
    accepted = (explained.amin(1) >= EXPLAINED) & (residual <= RESIDUAL)
    accepted &= (third < EXPLAINED) & finite
    return Verdict(rows, places, accepted, residual, explained)


def _look_again(d: Tensor, level: Tensor, a: _Found, b: _Found) -> tuple[_Found, _Found, Tensor]:
    """Fit each object with the other one out of the way, then look for a third: (a, b, explained).

    Pictures whose whole remainder is too small to hide an object need no second look.
    """
    third = torch.zeros(len(d))
    rest = (d - a.drawn - b.drawn).square().sum((1, 2, 3)) > HIDDEN
    if not rest.any():
        return a, b, third
    d, level = d[rest], level[rest]
    a_again = _best(d - b.drawn[rest], level)
    b_again = _best(d - a_again.drawn, level)
    third[rest] = _best(d - a_again.drawn - b_again.drawn, level).explained
    for found, again in ((a, a_again), (b, b_again)):
        for field, better in zip(found, again, strict=True):
            field[rest] = better
    return a, b, third


def _background(x: Tensor) -> Tensor:
    """The background nearest to the median colour of the picture's border: int64 (n,)."""
    border = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], dim=2)
    median = border.median(dim=2).values  # (n, 3, 4·64) -> (n, 3)
    return torch.cdist(median, palette(BACKGROUNDS)).argmin(dim=1)


@functools.cache
def _coarse() -> tuple[Tensor, Tensor]:
    """Of every stamp at half size: the spectrum of its mirror image (K, 32, 17), and |a|² (K,)."""
    every = stamps().flatten(0, 2)  # (sizes · fills · shapes = K, STAMP, STAMP)
    small = F.avg_pool2d(F.pad(every, (1, 1, 1, 1)), 2)  # (K, 14, 14)
    full = F.pad(small, (0, HALF - small.shape[1]) * 2)
    centred = full.roll((-(STAMP // 4 + 1),) * 2, dims=(1, 2))  # the centre on pixel 0
    return torch.fft.rfft2(centred).conj(), small.square().sum((1, 2))


def _best(d: Tensor, level: Tensor) -> _Found:
    """The one object that removes most of the squared error |d|²; d (n, 3, 64, 64).

    First a coarse look over all places at half the resolution, then a fine one around the best.
    """
    v = palette(COLOURS) - level[:, None]  # (n, colours, 3)
    centre = 2 * _coarse_place(F.avg_pool2d(d, 2), v)  # (n, 2)
    reach = STAMP // 2 + SEARCH
    window = _windows(d, centre, 2 * reach)  # (n, 3, STAMP + 2·SEARCH, same)
    flat, moves = stamps().flatten(0, 2), 2 * SEARCH + 1  # (K, STAMP, STAMP)
    overlap = F.conv2d(window.flatten(0, 1)[:, None], flat[:, None])
    overlap = overlap.reshape(len(d), 3, -1)  # (3n, K, moves, moves) -> (n, 3, K·moves²)
    energy = flat.square().sum((1, 2))  # (K,)
    cost = v.square().sum(2)[:, :, None] * energy  # (n, colours, K): |a|² |v|²
    gain = (2 * v @ overlap).reshape(*cost.shape, moves**2)  # (n, colours, K, moves²)
    best = (gain - cost[..., None]).flatten(1).max(dim=1)  # (n,)
    colour, stamp, down, right = torch.unravel_index(
        best.indices, (len(COLOURS), len(energy), moves, moves)
    )
    place = centre + torch.stack([down, right], dim=1) - SEARCH  # (n, 2)
    size, fill, shape = torch.unravel_index(stamp, (len(SIZES), len(FILLS), len(SHAPES)))
    attributes = torch.stack([size, fill, colour, shape], dim=1)  # (n, 4)
    n = torch.arange(len(d))
    drawn = cover(attributes, place)[:, None] * v[n, colour][:, :, None, None]  # (n, 3, 64, 64)
    # |d - a v|² over the object = its energy - gain: the ratio is 1 for a perfect object.
    return _Found(attributes, place, best.values / cost[n, colour, stamp], drawn)


def _coarse_place(d: Tensor, v: Tensor) -> Tensor:
    """Pixel (n, 2) of the half-size d (n, 3, 32, 32) around which the best object stands."""
    spectra, energy = _coarse()
    toward = torch.fft.rfft2(d)[:, :, None] * spectra  # (n, 3, K, 32, 17)
    overlap = torch.fft.irfft2(toward, s=(HALF, HALF)).flatten(2)  # (n, 3, K·32·32)
    cost = v.square().sum(2)[:, :, None] * energy  # (n, colours, K)
    gain = (2 * v @ overlap).reshape(*cost.shape, HALF**2)  # (n, colours, K, 32·32)
    top = gain.max(dim=3)  # over places: (n, colours, K)
    best = (top.values - cost).flatten(1).argmax(dim=1, keepdim=True)  # (n, 1)
    place = top.indices.flatten(1).gather(1, best)  # (n, 1)
    return torch.cat([place // HALF, place % HALF], dim=1)  # (n, 2)


def _windows(d: Tensor, centre: Tensor, side: int) -> Tensor:
    """Squares (n, 3, side, side) of d (n, 3, H, W) around ``centre``; 0 outside the picture."""
    padded = F.pad(d, (side // 2,) * 4)
    line = torch.arange(side)
    down, right = centre[:, 0, None] + line, centre[:, 1, None] + line  # (n, side) each
    n = torch.arange(len(d))[:, None, None]
    return padded.permute(0, 2, 3, 1)[n, down[:, :, None], right[:, None]].permute(0, 3, 1, 2)


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

    Both are in canonical form (see scenes.py), so "A left of B" and "B right of A" are the same.
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
