"""What the judge can still read in chapter 2's pictures, with luck taken out.

reading          shares of attributes that are read right, and of pictures that are refused
beyond_guessing  those shares on a scale from 0 (guessing) to 1 (all)
shown_from       the noise level from which on an estimate shows each attribute
reading_table    readings at several levels, in print
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from book.ch05_4_sampling.walks import by_kind, settled
from minildm.shapes.judge import judge
from minildm.shapes.scenes import BACKGROUNDS, COLOURS, FILLS, RELATIONS, SHAPES, SIZES

VALUES = {
    "background": len(BACKGROUNDS), "relation": len(RELATIONS), "size": len(SIZES),
    "fill": len(FILLS), "colour": len(COLOURS), "shape": len(SHAPES),
}  # fmt: skip


def reading(x: Tensor, truth: Tensor) -> dict[str, float]:
    """Kind of attribute -> share read as in ``truth`` (n, 10); "refused": share of pictures x."""
    verdict = judge(x)
    shares = {kind: float(share) for kind, share in by_kind(verdict.rows == truth).items()}
    return {**shares, "refused": 1 - float(verdict.accepted.double().mean())}


def beyond_guessing(share: float, values: int) -> float:
    """What is left of a share of right answers when lucky guesses among ``values`` are taken out.

    Of those that are not seen, one in ``values`` is guessed: share = seen + (1 - seen) / values.
    """
    return (share - 1 / values) / (1 - 1 / values)


def shown_from(rows: Tensor, stops: Sequence[int], enough: float = 0.8) -> dict[str, int]:
    """Kind -> the level at which ``enough`` of the estimates show what they show at the end.

    ``rows`` (S, n, 10): readings of the estimates made at each of S ``stops``; luck is taken out.
    """
    first = {}
    for kind, share in by_kind(settled(rows)).items():
        seen = torch.tensor([beyond_guessing(float(p), VALUES[kind]) for p in share])
        first[kind] = int(stops[int((seen >= enough).nonzero()[0])])
    return first


def reading_table(levels: Sequence[int], readings: Sequence[Mapping[str, float]]) -> str:
    """One line a level: the shares of a ``reading``, in percent."""
    lines = ["   t  " + "".join(f"{name:>11s}" for name in readings[0])]
    for t, shares in zip(levels, readings, strict=True):
        lines.append(f"{t:4d}  " + "".join(f"{share:11.0%}" for share in shares.values()))
    return "\n".join(lines)
