"""Exercises of chapter 1, the relatives."""

import math
from itertools import pairwise

import torch

from book.ch01_background.comparison import effective_modes, largest_fall
from book.exercises import Exercise

# --- 1-1 ------------------------------------------------------------------------------------------


def _check_shares(answer) -> str | None:
    p = torch.as_tensor(answer, dtype=torch.float64).flatten()
    if len(p) != 8:
        return f"eight shares, one for each mode; yours are {len(p)}"
    if not abs(float(p.sum()) - 1) < 1e-3:  # NaN is not near
        return f"shares of all samples near a mode sum to 1; yours sum to {float(p.sum()):.3f}"
    if p.min() < 0.001 - 1e-6:
        return "each share must be at least 0.001, or 10,000 samples might miss a mode"
    modes = effective_modes(p)
    if modes < 1.1:
        return None
    if modes > 7.9:
        return "these are even, and give eight effective modes; make one of them large"
    return f"these are {modes:.2f} effective modes: more uneven, please"


SHARES = Exercise(
    id="1-1",
    title="all modes hit, and yet hardly more than one",
    setup="import torch",
    stub="my_shares = ...   # YOUR CODE HERE: eight numbers that sum to 1",
    solution="my_shares = [0.993] + 7 * [0.001]",
    answer="my_shares",
    check=_check_shares,
    hint="What is the most uneven choice that is still allowed?",
    wrong=(
        ([0.125] * 8, "these are even"),
        ([1.0] + 7 * [0.0], "at least 0.001"),
        ([0.93] + 7 * [0.01], "more uneven"),
        ([0.5, 0.5], "yours are 2"),
        ([1.0] + 7 * [0.001], "sum to 1.007"),
    ),
    praise="modes hit is 1.0, and still 99 of 100 samples are of one kind.",
)


# --- 1-2 ------------------------------------------------------------------------------------------


def _check_nats(answer) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        return "three numbers, for (a), (b) and (c)"
    wide, half, never = (float(part) for part in answer)
    right = 2 * math.log(2) + (0.25 - 1)  # 0.64
    for other, words in (
        (right / 2, "(a) is right for one coordinate; there are two"),
        (3 - 2 * math.log(2), "(a) is the other way round: average over the data, not the model"),
        (2 * math.log(2), "(a) lacks a part: in units of 0.2, points lie nearer to the centre"),
    ):
        if abs(wide - other) < 5e-3:
            return words
    if not abs(wide - right) < 5e-3:
        return "(a): log of the ratio of widths, plus half of (0.1² / 0.2² - 1), in each coordinate"
    if not abs(half - math.log(2)) < 5e-3:
        return "(b): each point of the data gets half of the density that it had; what is its log?"
    if never == math.inf:
        return None
    if abs(never - math.log(8 / 7)) < 5e-3:
        return "(c): on seven modes the density is even higher; but what is -log p on the eighth?"
    return "(c): a point of the eighth mode has density 0; what does that do to the average?"


NATS = Exercise(
    id="1-2",
    title="three faults of a model, in nats",
    setup="import math",
    stub="nats_above = ..., ..., ...   # YOUR CODE HERE: three numbers, for (a), (b) and (c)",
    solution="""
wide = 2 * (math.log(0.2 / 0.1) + (0.1**2 / 0.2**2 - 1) / 2)   # two coordinates
nats_above = wide, math.log(2), math.inf
""",
    answer="nats_above",
    check=_check_nats,
    hint="The distance to the bound is the average over the data of log p - log p_model.",
    wrong=(
        ("nats_above = wide / 2, math.log(2), math.inf", "one coordinate"),
        ("nats_above = 3 - 2 * math.log(2), math.log(2), math.inf", "other way round"),
        ("nats_above = 2 * math.log(2), math.log(2), math.inf", "lacks a part"),
        ("nats_above = 1.0, math.log(2), math.inf", "log of the ratio"),
        ("nats_above = wide, 0.5, math.inf", "half of the density"),
        ("nats_above = wide, math.log(2), math.log(8 / 7)", "even higher"),
        ("nats_above = wide, math.log(2), 0.0", "has density 0"),
        ((1.0, 2.0), "three numbers"),
    ),
    praise="likelihood forgives garbage (b), and never forgives a missing mode (c).",
)


# --- 1-3 ------------------------------------------------------------------------------------------

_CURVES = tuple(
    torch.tensor(curve, dtype=torch.float64)
    for curve in ([1, 5, 8, 3, 7], [8, 8, 6.5, 6, 7.9], [2, 4, 4, 8], [5, 2])
)


def _check_fall(function) -> str | None:
    got = [float(function(curve.clone())) for curve in _CURVES]
    wanted = [largest_fall(curve.tolist()) for curve in _CURVES]
    wrong = [not abs(a - b) < 1e-6 for a, b in zip(got, wanted, strict=True)]  # NaN is wrong, too
    if not any(wrong):
        return None
    for other, words in (
        ([max(c) - min(c) for c in _CURVES], "the whole range; a curve that only rises gives 0"),
        ([max(c) - c[-1] for c in _CURVES], "only the end; one that fell and recovered fell, too"),
        ([max(a - b for a, b in pairwise(c)) for c in _CURVES], "only neighbours; a slide counts"),
        ([-w for w in wanted], "the wrong sign; how far it falls is a positive number"),
    ):
        if all(abs(a - b) < 1e-6 for a, b in zip(got, other, strict=True)):
            return f"your function sees {words}"
    k = wrong.index(True)
    return f"for {_CURVES[k].tolist()} it should be {wanted[k]:g}; yours is {got[k]:g}"


FALL = Exercise(
    id="1-3",
    title="recognise a collapse by its number",
    setup="import torch",
    stub="""
def fall(curve):
    return ...   # YOUR CODE HERE: how far the curve ever is below what it had reached before
""",
    solution="""
def fall(curve):
    return float((curve.cummax(0).values - curve).max())
""",
    answer="fall",
    check=_check_fall,
    hint="curve.cummax(0).values has the highest value so far, at each place.",
    wrong=(
        ("def fall(c):\n    return max(c) - min(c)", "whole range"),
        ("def fall(c):\n    return max(c) - c[-1]", "recovered"),
        ("def fall(c):\n    return max(a - b for a, b in zip(c, c[1:]))", "a slide counts"),
        (
            "def fall(c):\n    return (c - c.cummax(0).values).min()",
            "wrong sign",
        ),
        ("def fall(c):\n    return 1.0", "should be"),
    ),
    praise="0 for a curve that only rises; it sees a collapse also where training recovers.",
)


# --- 1-4 ------------------------------------------------------------------------------------------

_WALKS = {25: [0.95, 0.94, 0.96], 1: [0.1, 0.2, 0.1], 10: [0.93, 0.8, 0.9], 5: [0.7, 0.85, 0.6]}
_PROMISES = (0.05, 0.55, 0.7, 0.75, 0.85, 0.94, 0.99)


def _enough(judged_by, order=sorted) -> list[float]:
    def first(share):
        return next((n for n in order(_WALKS) if judged_by(_WALKS[n]) >= share), math.inf)

    return [first(share) for share in _PROMISES]


def _check_enough(function) -> str | None:
    given = [function({n: list(v) for n, v in _WALKS.items()}, share) for share in _PROMISES]
    given = [float(n) for n in given]
    wanted = _enough(min)
    if given == wanted:
        return None
    for other, words in (
        (_enough(lambda v: sum(v) / len(v)), "that is for the mean; a promise is about the worst"),
        (_enough(max), "that is for the best seed; a promise is about the worst"),
        (_enough(min, list), "the numbers come in any order: look for the smallest"),
        ([min(n, 25) for n in wanted], "if no number is enough, do not promise it: infinity"),
    ):
        if given == other:
            return words
    k = next(i for i, pair in enumerate(zip(given, wanted, strict=True)) if pair[0] != pair[1])
    return f"for {_WALKS} and {_PROMISES[k]} the answer is {wanted[k]}; yours is {given[k]}"


ENOUGH = Exercise(
    id="1-4",
    title="as many evaluations as a promise needs",
    setup="import math",
    stub="""
def enough_for_all(by_steps, share):
    return ...   # YOUR CODE HERE: a number of evaluations
""",
    solution="""
def enough_for_all(by_steps, share):
    return min((n for n, shares in by_steps.items() if min(shares) >= share), default=math.inf)
""",
    answer="enough_for_all",
    check=_check_enough,
    hint="Which of the seeds decides whether a promise is kept?",
    wrong=(
        (
            "def enough_for_all(by, share):\n"
            "    return min((n for n in by if sum(by[n]) / len(by[n]) >= share), default=math.inf)",
            "the mean",
        ),
        (
            "def enough_for_all(by, share):\n"
            "    return min((n for n, v in by.items() if max(v) >= share), default=math.inf)",
            "best seed",
        ),
        (
            "def enough_for_all(by, share):\n"
            "    return next((n for n, v in by.items() if min(v) >= share), math.inf)",
            "any order",
        ),
        (
            "def enough_for_all(by, share):\n"
            "    return min((n for n, v in by.items() if min(v) >= share), default=25)",
            "do not promise",
        ),
        ("def enough_for_all(by, share):\n    return 10", "the answer is"),
    ),
    praise="a mean over seeds says what to expect, the worst of them what to promise.",
)

EXERCISES = [SHARES, NATS, FALL, ENOUGH]
