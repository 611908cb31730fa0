"""Which places read which word: attention to an object's own colour word, and to the other's."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minildm.shapes.scenes import Pictures, cover

FIRST, SECOND = slice(2, 6), slice(6, 10)  # columns of the two objects in a scene table


class Reading(NamedTuple):
    """Mean weights (n,) of a map of cross-attention, for each picture.

    own      of the first object's colour word, at the places of the first object
    other    of the second object's colour word, there
    around   of the first object's colour word, at empty places of that half of the picture
    """

    own: Tensor
    other: Tensor
    around: Tensor


def places(pictures: Pictures, object: int, side: int = 8) -> Tensor:
    """How much of each of side · side places an object covers, 0 or 1: (n, side · side)."""
    columns = (FIRST, SECOND)[object]
    share = cover(pictures.rows[:, columns], pictures.places[:, object])[:, None]
    return F.avg_pool2d(share, 64 // side).flatten(1)  # (n, 1, 64, 64) -> (n, side · side)


def colour_words(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the two colour words in full captions that are not turned: (n,) each.

    "a SIZE FILL COLOUR SHAPE above a SIZE FILL COLOUR SHAPE .."; "left of" has a word more.
    """
    return torch.full((len(rows),), 3), torch.where(rows[:, 1] == 1, 9, 10)


def reading(maps: Tensor, pictures: Pictures) -> Reading:
    """Who reads what: ``maps`` (n, 64, L) of full captions, each row of 64 places sums to 1."""
    first, second = places(pictures, 0), places(pictures, 1)
    word, other = colour_words(pictures.rows)
    place = torch.arange(64)
    above = pictures.rows[:, 1:2] == 1  # (n, 1): the first object is the upper one, else the left
    near = torch.where(above, place // 8 < 4, place % 8 < 4)  # (n, 64)
    empty = (near & (first + second == 0)).to(first.dtype)

    def mean(area: Tensor, of: Tensor) -> Tensor:
        weight = maps[torch.arange(len(maps)), :, of]  # (n, 64)
        return (weight * area).sum(1) / area.sum(1)

    return Reading(mean(first, word), mean(first, other), mean(empty, word))
