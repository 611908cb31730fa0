"""Edit pictures with a trained model: what chapter 6 adds to latent.py.

edit_tasks     scenes, and the same scenes with one attribute changed
object_mask    the square around an object; whole_cells: all of each latent cell that it touches
edit_mask      what to draw anew so that one object changes and the other one stays
circular       convolutions that wrap around, for a while: pictures that tile
seam_error     how much a picture jumps where its border meets itself
straight, arc  two ways between latents
direction      what an attribute adds to latents, on average
invert         the noise from which the deterministic sampler draws a given picture
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm import checks
from minildm.checks import inputs
from minildm.noise import seeded
from minildm.schedule import expand
from minildm.shapes.captions import asked_texts
from minildm.shapes.scenes import (
    ATTRIBUTES,
    NAMES,
    SIZE,
    SIZES,
    checked_rows,
    draw_places,
    render,
)
from minildm.words import listed

CHOICE, PLACES = 61, 62  # what a seeded generator is used for
MARGIN = 8  # pixels around an object that are drawn anew with it; chosen on validation scenes


class Edits(NamedTuple):
    """n pictures, and for each one attribute that shall change.

    rows    (n, 10) the scenes as they are; ``places`` (n, 2, 2): where their objects stand
    wanted  (n, 10) the scenes as asked for: they differ from ``rows`` in ``column`` (n,) only
    """

    rows: Tensor
    places: Tensor
    wanted: Tensor
    column: Tensor

    @property
    def which(self) -> Tensor:
        """The object that changes, 0 or 1: int64 (n,). 0 where the background changes."""
        return (self.column >= 6).long()

    @property
    def x(self) -> Tensor:
        """The pictures (n, 3, 64, 64) before the edit."""
        return render(self.rows, self.places)

    def take(self, index: Tensor | slice) -> "Edits":
        """Some of the edits."""
        return Edits(*(field[index] for field in self))

    def texts(self, after: bool = True) -> list[str]:
        """Full captions of the scenes asked for; ``after=False``: of those that are there."""
        rows = self.wanted if after else self.rows
        return asked_texts(rows)


def edit_tasks(
    table: Tensor, n: int, seed: int = 0, names: Sequence[str] = ("colour", "shape"),
    only: tuple[str, str] | None = None,
) -> Edits:  # fmt: skip
    """n edits, the names in turn; both scenes of an edit are in ``table`` (m, 10).

    So with the test split neither the picture nor what is asked for occurs in training.
    ``names``: background, size, fill, colour or shape. ``only``: ("red", "blue") turns red into
    blue and changes nothing else.
    Raises ValueError for other names, and where the table has too few pairs.
    """
    names = [names] if isinstance(names, str) else list(names)
    n, parts = inputs.whole("n", n, max(1, len(names))), []
    for k, name in enumerate(names):
        columns = [i for i, full in enumerate(NAMES) if full.split()[0] == name]
        if not columns or name == "relation":
            raise ValueError(f"names must be background, size, fill, colour or shape; got {name!r}")
        pairs = [_neighbours(table, column, only) for column in columns]
        before, after, column = (torch.cat(part) for part in zip(*pairs, strict=True))
        count = len(range(k, n, len(names)))
        if len(before) < count:
            raise ValueError(f"the table has {len(before)} pairs that differ in {name}; n = {n}")
        order = torch.randperm(len(before), generator=seeded(seed, CHOICE, k))[:count]
        parts.append((torch.arange(k, n, len(names)), before[order], after[order], column[order]))
    turn, rows, wanted, column = (torch.cat(part) for part in zip(*parts, strict=True))
    order = turn.argsort()
    u = torch.rand(n, 4, generator=seeded(seed, PLACES))
    return Edits(rows[order], draw_places(rows[order], u), wanted[order], column[order])


def _neighbours(table: Tensor, column: int, only=None) -> tuple[Tensor, Tensor, Tensor]:
    """All pairs of rows of the table that differ in that column only: (before, after, column)."""
    values = torch.arange(len(ATTRIBUTES[column]))
    other = table[:, None].repeat(1, len(values), 1)  # (m, values, 10)
    other[:, :, column] = values
    base = 6 ** torch.arange(len(ATTRIBUTES))  # no attribute has more than 6 values
    known = torch.isin((other * base).sum(2), (table * base).sum(1))  # (m, values)
    known &= values != table[:, column, None]
    if only is not None:
        before, after = (ATTRIBUTES[column].index(value) for value in only)
        known &= (table[:, column, None] == before) & (values == after)
    row, value = known.nonzero(as_tuple=True)
    return table[row], other[row, value], torch.full_like(row, column)


# --- masks ----------------------------------------------------------------------------------------


def object_mask(rows: Tensor, places: Tensor, which: Tensor, margin: int = 0) -> Tensor:
    """1 in the square around object ``which`` (n,) of each scene, else 0: float (n, 1, 64, 64).

    The square is the one that the object fits in (shapes.SIZES), larger by ``margin`` pixels on
    each side. rows (n, 10), places (n, 2, 2): known, or as the judge reads them in a picture.
    Raises ValueError for other shapes and numbers.
    """
    rows, margin = checked_rows(rows), inputs.whole("margin", margin, 0, SIZE)
    places, which = inputs.tensor("places", places), inputs.tensor("which", which)
    one = which.shape == (len(rows),) and which.dtype == torch.int64 and not which.is_meta
    if not one or not ((which == 0) | (which == 1)).all():
        raise ValueError(f"which must be int64 ({len(rows)},), each 0 or 1; got {which}")
    if places.shape != (len(rows), 2, 2) or places.dtype != torch.int64 or places.is_meta:
        raise ValueError(
            f"places must be int64 ({len(rows)}, 2, 2); got {places.dtype} {tuple(places.shape)}"
        )
    n = torch.arange(len(rows))
    half = torch.tensor(list(SIZES.values()))[rows[n, 2 + 4 * which]] + margin  # (n,)
    line = torch.arange(SIZE) + 0.5  # a centre is a corner between pixels
    near = (line - places[n, which][:, :, None]).abs() < half[:, None, None]  # (n, 2, 64)
    return (near[:, 0, :, None] & near[:, 1, None, :]).float()[:, None]


def whole_cells(mask: Tensor, factor: int = 8) -> Tensor:
    """The mask (n, 1, H, W), grown to all of each factor x factor cell that it touches."""
    mask, factor = inputs.numbers("mask", mask).float(), inputs.whole("factor", factor, 1)
    if mask.dim() != 4 or mask.shape[2] % factor or mask.shape[3] % factor:
        raise ValueError(
            f"mask must be (n, 1, H, W), H and W multiples of factor = {factor}; got "
            f"{tuple(mask.shape)}"
        )
    touched = F.max_pool2d(mask, factor)  # (n, 1, h, w)
    return F.interpolate(touched, scale_factor=factor)


def edit_mask(rows: Tensor, places: Tensor, which: Tensor, margin: int = MARGIN) -> Tensor:
    """What to draw anew so that object ``which`` changes and the other stays: (n, 1, 64, 64).

    All latent cells that the object and its margin touch, without the other object's square.
    """
    other = object_mask(rows, places, 1 - which, margin=1)
    return whole_cells(object_mask(rows, places, which, margin)) * (1 - other)


# --- pictures that tile ---------------------------------------------------------------------------


@contextmanager
def circular(*networks: nn.Module) -> Iterator[int]:
    """Within the block all padded convolutions of the networks wrap around; yields how many.

    Zeros at the border tell a network where the border is. Padded with the opposite side instead,
    it has none: what it draws is drawn on a torus. Afterwards all is as before, errors included.
    """
    found = [m for net in networks for m in net.modules() if isinstance(m, nn.Conv2d)]
    padded = [(conv, conv.padding_mode) for conv in found if any(conv.padding)]
    try:
        for conv, _ in padded:
            conv.padding_mode = "circular"
        yield len(padded)
    finally:
        for conv, mode in padded:
            conv.padding_mode = mode


def seam_error(x: Tensor) -> Tensor:
    """Mean jump across the wrapped border of pictures (n, C, H, W), in pixel values: (n,).

    The mean of |x_first - x_last| over both pairs of opposite borders. Raises ValueError for NaN.
    """
    checks.samples(x=x)
    if x.dim() != 4:
        raise ValueError(f"x must be (n, C, H, W); got {tuple(x.shape)}")
    across = (x[..., 0] - x[..., -1]).abs().flatten(1)  # (n, C·H)
    down = (x[..., 0, :] - x[..., -1, :]).abs().flatten(1)  # (n, C·W)
    return torch.cat([across, down], dim=1).mean(1)


# --- ways between latents -------------------------------------------------------------------------


WAY = (-100.0, 100.0)  # u: 0 and 1 are the ends; one may go on beyond them


def straight(z_a: Tensor, z_b: Tensor, u: float) -> Tensor:
    """(1 - u) z_a + u z_b: the straight line, shaped like z_a (n, *d); ValueError for NaN."""
    checks.alike(z_a=z_a, z_b=z_b)
    u = inputs.real("u", u, *WAY)
    return (1 - u) * z_a + u * z_b


def arc(z_a: Tensor, z_b: Tensor, u: float) -> Tensor:
    """(sin((1 - u) a) z_a + sin(u a) z_b) / sin a, with a the angle between them: like z_a (n, *d).

    Spherical interpolation: Shoemake 1985 (doi 10.1145/325334.325242), section 3.3.
    Raises ValueError for NaN, and where the two are (almost) parallel: there is no one arc.
    """
    checks.alike(z_a=z_a, z_b=z_b)
    u = inputs.real("u", u, *WAY)
    flat_a, flat_b = z_a.flatten(1).double(), z_b.flatten(1).double()
    cosine = F.cosine_similarity(flat_a, flat_b, dim=1)  # (n,)
    if (cosine.abs() > 1 - 1e-9).any():
        raise ValueError("z_a and z_b must not be parallel: use straight for equal ends")
    angle = cosine.arccos()
    from_a, from_b = ((w * angle).sin() / angle.sin() for w in (1 - u, u))
    return expand(from_a, z_a) * z_a + expand(from_b, z_b) * z_b


# --- attributes in latents ------------------------------------------------------------------------


def direction(model, edits: Edits, cells: bool = False) -> Tensor:
    """Mean over edits of (latent of the scene asked for - latent of the scene that is there).

    (c, h, w): what the change adds to latents, cell by cell. ``cells``: (c, 1, 1), one vector: the
    mean over the cells that the changing object touches, so that it can be added where an object
    is. Both scenes of an edit are drawn at the same places.
    """
    after = render(edits.wanted, edits.places)
    change = model.encode(after) - model.encode(edits.x)  # (n, c, h, w)
    if not cells:
        return change.mean(0)
    mask = object_mask(edits.rows, edits.places, edits.which)
    touched = F.adaptive_max_pool2d(mask, change.shape[2:])  # (n, 1, h, w)
    return (change * touched).sum((0, 2, 3))[:, None, None] / touched.sum()


@torch.no_grad()
def invert(model, x: Tensor, prompts: Sequence[str], steps: int = 25) -> Tensor:
    """The noise z_T (B, c, h, w) from which ``ddim`` draws the pictures x under their prompts.

    The deterministic step, taken upwards: z_s = signal_s z0_hat + noise_s eps_hat for s > t, with
    the estimates at t (at t = 0 the network is asked for t = 1). Not exact, since going down it
    takes them at s. Needs a discrete schedule and a model that reads text.
    Song et al. 2021, DDIM (arXiv 2010.02502), section 4.3; Dhariwal and Nichol 2021, appendix F.
    Raises ValueError for pictures of another size, and unless there is one prompt for each.
    """
    x = model.images(x)
    prompts = listed(prompts) * (len(x) if isinstance(prompts, str) else 1)
    schedule, denoise = model.schedule, model.denoiser(prompts, 1.0, count=len(x))
    if not isinstance(schedule.T, int):
        raise ValueError(
            f"invert needs a discrete schedule; this model's is {type(schedule).__name__}"
        )
    z = model.encode(x)
    for t, s in pairwise(schedule.times(steps).flip(0)):  # 0 = t_0 < .. < t_steps = T
        z0, eps = denoise(z, t.clamp(min=1))
        signal, noise = schedule(s)
        z = expand(signal, z) * z0 + expand(noise, z) * eps
    return z
