"""Which of the 3,953 drawings is this? An exact judge, because the right answer exists.

    gallery = Gallery(drawings)
    distances = gallery.distances(x)       of each picture to each different drawing
    gallery.ranks(distances, asked)        1: the nearest one is the one that was asked for
    rates(ranks, len(gallery))             top-1, top-5, beside chance

Some pictures have several names: to draw one is right for each of them. Distances are mean
squared differences, after the picture was moved by up to ``shift`` pixels to where it fits best:
what is a pixel off is no other drawing. ``see`` is what is compared: pixels, averaged over small
squares, or the latents of an autoencoder (``latents_of``).
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from minildm.autoencoder import Autoencoder
from minildm.checks import inputs
from minildm.checks.inputs import OVERSHOOT
from minildm.emoji.drawings import SIZE, Drawings

SQUARE = 2  # pixels in a row and in a column that are averaged before they are compared
SHIFT = 1
TOP = 5


def averaged(x: Tensor) -> Tensor:
    """Pictures (n, 3, 64, 64) as their squares of 2 x 2 pixels: (n, 3072)."""
    return F.avg_pool2d(x, SQUARE).flatten(1)


def latents_of(autoencoder: Autoencoder) -> Callable[[Tensor], Tensor]:
    """What an autoencoder makes of pictures, as ``see``: the means of its latents, flattened."""

    @torch.no_grad()
    def see(x: Tensor) -> Tensor:
        device = autoencoder.scale.device
        parts = [autoencoder.encode(part.to(device)).mean.flatten(1).cpu() for part in x.split(250)]
        return torch.cat(parts)

    return see


@dataclass
class Gallery:
    """All different drawings, as ``see`` shows them.

    drawings   the drawings; ``pictures`` (m,): the numbers of those that are compared with, one of
               each picture
    shift      by how many pixels, up and down and sideways, a picture may be off
    """

    drawings: Drawings
    see: Callable[[Tensor], Tensor] = averaged
    shift: int = SHIFT
    pictures: Tensor = field(init=False)
    seen: Tensor = field(init=False)

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 0, SIZE // 4, "shift")
        self.pictures = self.drawings.picture.unique()
        self.seen = torch.cat([self.see(self.drawings[k]) for k in self.pictures.split(500)])

    def __len__(self) -> int:
        return len(self.pictures)

    def distances(self, x: Tensor, batch: int = 100) -> Tensor:
        """Of pictures (n, 3, 64, 64) in [-1, 1] to all different drawings (n, m), as they fit best.

        Raises ValueError for what is no picture; a decoder's overshoot is allowed.
        """
        x = inputs.images("x", x, 3, (SIZE, SIZE), slack=OVERSHOOT).clamp(-1, 1)
        return torch.cat([self._distances(part) for part in x.split(batch)])

    def _distances(self, x: Tensor) -> Tensor:
        steps = range(-self.shift, self.shift + 1)
        return functools.reduce(
            torch.minimum,
            (_squared(self.see(moved(x, *by)), self.seen) for by in product(steps, steps)),
        )

    def ranks(self, distances: Tensor, asked: Sequence[int] | Tensor) -> Tensor:
        """The place of each asked drawing, 1 the nearest: (n,); a tie counts against it."""
        right = self._columns(asked)
        return (distances <= distances.gather(1, right[:, None])).sum(1)

    def nearest(self, distances: Tensor, among: Sequence[int] | Tensor | None = None) -> Tensor:
        """The number of the nearest drawing: (n,); ``among``: of these, such as the training's."""
        if among is None:
            return self.pictures[distances.argmin(1)]
        columns = self._columns(among).unique()
        return self.pictures[columns][distances[:, columns].argmin(1)]

    def _columns(self, numbers: Sequence[int] | Tensor) -> Tensor:
        """Where the pictures of drawings stand in ``pictures``."""
        numbers = torch.as_tensor(numbers, dtype=torch.int64)
        return torch.searchsorted(self.pictures, self.drawings.picture[numbers])


def moved(x: Tensor, down: int, right: int) -> Tensor:
    """Pictures (n, C, H, W) moved by whole pixels; what comes in from outside is white."""
    H, W = x.shape[2:]
    padded = F.pad(x, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)), value=1.0)
    top, left = max(-down, 0), max(-right, 0)
    return padded[:, :, top : top + H, left : left + W]


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared differences of rows (n, d) and (m, d): (n, m)."""
    squares = a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)
    return squares.clamp(min=0) / a.shape[1]


def rates(ranks: Tensor, of: int) -> dict[str, float]:
    """Shares of ``ranks`` (n,) that are 1, and at most 5; their median; what chance would give."""
    return {
        "pictures": len(ranks),
        "top_1": float((ranks == 1).double().mean()),
        "top_5": float((ranks <= TOP).double().mean()),
        "median_rank": float(ranks.double().median()),
        "chance_top_1": 1 / of,
        "chance_top_5": TOP / of,
    }
