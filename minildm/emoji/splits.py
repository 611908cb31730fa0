"""What a model is shown, and what it is asked for without having seen it.

A drawing of a person has three parts that its caption says: a role, a gender, a skin tone. Held out
are *combinations*: each part, and each pair of parts, occurs in training; the three together do
not, under no name, and neither as seen from the other side. Which ones, a fixed seed has decided.
"""

from collections import defaultdict
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minildm.emoji.drawings import Drawings
from minildm.emoji.names import TONES
from minildm.words import words_of

GENDERS = ("man", "person", "woman")
SPLIT_SEED = 1957  # NumPy keeps the stream of PCG64.random_raw for ever

Cell = tuple[str, str]  # gender, skin tone


class Splits(NamedTuple):
    """Numbers of drawings, int64 and ascending; each drawing is in exactly one of them.

    train        what a model learns from
    validation   held-out combinations for choices: guidance, when to stop
    composition  held-out combinations for the figures
    """

    train: Tensor
    validation: Tensor
    composition: Tensor


def splits(drawings: Drawings, seed: int = SPLIT_SEED) -> Splits:
    """The fixed division of the drawings.

    From each role that is drawn for three genders and five skin tones, five pictures are held out,
    one of each tone, and one of these five for validation. With a picture goes every drawing that
    looks the same (some men are drawn as the person is), so that none is in two splits under two
    names. Roles in which somebody looks almost like somebody else are not held out from.
    """
    members, held = defaultdict(list), [list[int](), list[int]()]
    for i, spelling in enumerate(drawings.spellings):
        if spelling.group == "person":
            members[spelling.role].append(i)
    draw = np.random.PCG64(seed)
    for role in sorted(members):
        raw = draw.random_raw(9)  # of each role, taken or not: the others do not hang on it
        if not _whole(drawings, members[role]):
            continue
        spare, order = int(raw[8] % 5), raw[:5].argsort(kind="stable")
        genders = [GENDERS[k] for k in raw[5:8].argsort(kind="stable")]
        cells = [(genders[k % 3], [*TONES.values()][tone]) for k, tone in enumerate(order)]
        for k, cell in enumerate(cells):
            held[k != spare] += _looking_like(drawings, members[role], cell)
    validation, composition = (torch.tensor(sorted(part), dtype=torch.int64) for part in held)
    rest = torch.ones(len(drawings), dtype=torch.bool)
    rest[torch.cat([validation, composition])] = False
    return Splits(rest.nonzero().flatten(), validation, composition)


def _whole(drawings: Drawings, role: list[int]) -> bool:
    """Whether a role has all genders and tones, in drawings that can be told from each other.

    Two genders may share their drawings; three may not, nor two tones, nor two roles.
    """
    wanted = {(gender, tone) for gender in GENDERS for tone in TONES.values()}
    pictures = drawings.picture[role]
    elsewhere = torch.isin(drawings.picture, pictures).sum() > len(role)
    if not wanted <= {_cell(drawings, i) for i in role} or elsewhere or drawings.near[role].any():
        return False
    for picture in pictures.unique():
        genders, tones = zip(
            *(_cell(drawings, role[k]) for k in (pictures == picture).nonzero()), strict=True
        )
        if len({*genders}) == len(GENDERS) or len({*tones}) > 1:
            return False
    return True


def _looking_like(drawings: Drawings, role: list[int], cell: Cell) -> list[int]:
    """All drawings of a role that show what this cell shows: also mirrored, also by other names."""
    asked = [i for i in role if _cell(drawings, i) == cell]
    pictures = drawings.picture[asked]
    return [i for i in role if (pictures == drawings.picture[i]).any()]


def _cell(drawings: Drawings, i: int) -> Cell:
    spelling = drawings.spellings[i]
    return spelling.gender, "".join(spelling.tones)


def unseen_parts(drawings: Drawings, train: Tensor, asked: Tensor) -> list[str]:
    """Parts, pairs of parts and words of the drawings ``asked`` that none of ``train`` has."""
    known: set = set()
    for i in train.tolist():
        known |= _parts(drawings, i)
    return sorted({str(part) for i in asked.tolist() for part in _parts(drawings, i) - known})


def _parts(drawings: Drawings, i: int) -> set:
    s = drawings.spellings[i]
    parts = [("role", s.role), ("gender", s.gender), ("tones", s.tones)]
    return {*parts, *combinations(parts, 2), *words_of(drawings.captions[i])}
