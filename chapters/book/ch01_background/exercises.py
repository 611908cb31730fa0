"""Exercises of chapter 1, the relatives."""

import math
from itertools import pairwise

import torch

from book.ch01_background.comparison import DATA, effective_modes, largest_fall
from book.ch01_background.likelihood import mixture_entropy
from book.exercises import Exercise

# --- 1-2 ------------------------------------------------------------------------------------------

_SHARES = (
    torch.full((8,), 1 / 8, dtype=torch.float64),
    torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0, 0], dtype=torch.float64),
    torch.tensor([0.9, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01], dtype=torch.float64),
)


def _check_effective(function) -> str | None:
    for shares in _SHARES:
        got, wanted = float(function(shares)), effective_modes(shares)
        if math.isnan(got):
            return (
                "a cluster without samples gives 0 log 0, which is 0, not NaN: torch.special.entr"
            )
        if abs(got - wanted) < 1e-6:
            continue
        if abs(got - math.log(wanted)) < 1e-6:
            return "that is the entropy; take exp of it, to count clusters"
        if abs(got - math.log2(wanted)) < 1e-6:
            return "that is the entropy in bits; with natural logarithms, exp of it counts clusters"
        if abs(got - float((shares > 0).sum())) < 1e-6:
            return "that counts clusters that are hit at all, however rarely"
        if abs(got - 1 / float(shares.square().sum())) < 1e-6:
            return "1 / sum p² counts, too, but another average of it; the text uses the entropy"
        if abs(got - 1 / wanted) < 1e-6:
            return "the sign: entropy is *minus* the sum of p log p"
        return f"for the shares {shares.tolist()} it should be {wanted:.3f}; yours is {got:.3f}"
    return None


EFFECTIVE = Exercise(
    id="1-2",
    title="count clusters so that rare ones count less",
    setup="import torch",
    stub="""
def count_clusters(shares):
    return ...   # YOUR CODE HERE: one number
""",
    solution="""
def count_clusters(shares):
    return torch.special.entr(shares).sum().exp()  # entr(p) = -p log p, and 0 at p = 0
""",
    answer="count_clusters",
    check=_check_effective,
    hint="exp of the entropy, -sum p log p. What should 8 equal shares give? And a single one?",
    wrong=(
        ("def count_clusters(shares):\n    return (-shares * shares.log()).sum().exp()", "NaN"),
        ("def count_clusters(s):\n    return torch.special.entr(s).sum()", "take exp"),
        ("def count_clusters(s):\n    return torch.special.entr(s).sum() / 0.6931471805599453",
         "in bits"),
        ("def count_clusters(s):\n    return (s > 0).sum()", "hit at all"),
        ("def count_clusters(s):\n    return 1 / s.square().sum()", "sum p²"),
        ("def count_clusters(s):\n    return (-torch.special.entr(s).sum()).exp()", "*minus*"),
        ("def count_clusters(s):\n    return 8 * s.max()", "should be"),
    ),
    praise="8 for eight equal clusters, 2 for two; the third, with 90 % in one, counts 1.7, not 8.",
)  # fmt: skip


# --- 1-1 ------------------------------------------------------------------------------------------


def _check_entropy(value) -> str | None:
    value, wanted = float(value), mixture_entropy(DATA[0], DATA[2])
    inside, between = wanted - math.log(8), math.log(8)
    if abs(value - wanted) < 5e-3:
        return None
    if abs(value - inside) < 5e-3:
        return "that is one cluster; which of the eight it is adds log 8"
    if abs(value - between) < 5e-3:
        return "that is the choice of a cluster; the spread inside it is missing"
    if abs(value - (between + inside / 2)) < 5e-3:
        return "one coordinate's entropy; there are two"
    if abs(value - (wanted - 1)) < 5e-3:
        return "the e in log(2 π e s²) is missing: entropy is an average, not the peak"
    if abs(value - (between - inside)) < 5e-3 or abs(value + wanted) < 5e-3:
        return "check the signs: entropy is *minus* the average of log p, and it may be negative"
    if abs(value - wanted / math.log(2)) < 5e-3:
        return "that is in bits; the chapter counts in nats"
    return "add the entropy of a fair choice of 8 to that of a round Gaussian with s = 0.1 in 2-D"


ENTROPY = Exercise(
    id="1-1",
    title="the bound that no model can beat",
    setup="import math",
    stub="best_nats = ...   # YOUR CODE HERE: one number, the entropy of the data",
    solution="""
best_nats = math.log(8) + math.log(2 * math.pi * math.e * 0.1**2)
""",
    answer="best_nats",
    check=_check_entropy,
    hint="log 8 for the cluster, plus log(2 π e s²) / 2 for each of two coordinates, s = 0.1.",
    wrong=(
        ("best_nats = math.log(2 * math.pi * math.e * 0.1**2)", "adds log 8"),
        ("best_nats = math.log(8)", "inside it is missing"),
        ("best_nats = math.log(8) + math.log(2 * math.pi * math.e * 0.1**2) / 2", "there are two"),
        ("best_nats = math.log(8) + math.log(2 * math.pi * 0.1**2)", "the e in"),
        ("best_nats = math.log(8) - math.log(2 * math.pi * math.e * 0.1**2)", "signs"),
        ("best_nats = best_nats / math.log(2)", "in bits"),
        (7.0, "round Gaussian"),
    ),
    praise="a density may be above 1, so its entropy may be below 0; ours is just above it.",
)


# --- 1-4 ------------------------------------------------------------------------------------------

_EVALUATIONS = {
    "the VAE": 1000, "the GAN": 1000, "ddim": 25_000, "heun": 49_000, "dpmpp_2m, guided": 50_000,
}  # fmt: skip


def _check_evaluations(answer) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != len(_EVALUATIONS):
        return "five whole numbers, in the order of the question"
    for (name, wanted), got in zip(_EVALUATIONS.items(), answer, strict=True):
        got = int(got)
        if got == wanted:
            continue
        if wanted == 1000 and got == 2000:
            return f"{name}: its second network is needed in training only"
        if got * 1000 == wanted:
            return f"{name}: that is for one point; the question is for 1,000"
        if name == "heun" and got == 50_000:
            return "heun asks twice a step, but at the last step, to clean data, only once"
        if name == "heun" and got == 25_000:
            return "heun averages the estimates at both ends of a step: two calls"
        if name == "dpmpp_2m, guided" and got == 25_000:
            return "guidance asks the network twice: with the condition and without"
        return f"{name}: {got:,} is not right; how often is the network called for one point?"
    return None


EVALUATIONS = Exercise(
    id="1-4",
    title="count the network evaluations for 1,000 points",
    setup="",
    stub="evaluations = ..., ..., ..., ..., ...   # YOUR CODE HERE: five whole numbers",
    solution="""
evaluations = 1000, 1000, 25 * 1000, (2 * 25 - 1) * 1000, 2 * 25 * 1000
""",
    answer="evaluations",
    check=_check_evaluations,
    hint="The table at the top of minildm/samplers.py has the calls per step. Mind the last step.",
    wrong=(
        ((1000, 2000, 25_000, 49_000, 50_000), "in training only"),
        ((1000, 1000, 25_000, 50_000, 50_000), "the last step"),
        ((1000, 1000, 25_000, 25_000, 50_000), "both ends"),
        ((1000, 1000, 25_000, 49_000, 25_000), "with the condition and without"),
        ((1000, 1000, 25, 49, 50), "for one point"),
        ((3, 1000, 25_000, 49_000, 50_000), "is not right"),
        ((1000, 1000), "five whole numbers"),
    ),
    praise='a guided picture of 25 steps costs 50 calls: that is what "slow" means.',
)


# --- 1-3 ------------------------------------------------------------------------------------------

_CURVES = ([1.0, 5.0, 8.0, 3.0, 7.0], [8.0, 8.0, 6.5, 6.0, 7.9], [2.0, 4.0, 4.0, 8.0], [5.0, 2.0])


def _check_fall(function) -> str | None:
    got = [float(function(curve)) for curve in _CURVES]
    wanted = [largest_fall(curve) for curve in _CURVES]
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
    return f"for {_CURVES[k]} it should be {wanted[k]:g}; yours is {got[k]:g}"


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
    curve = torch.tensor(curve)
    return float((curve.cummax(0).values - curve).max())
""",
    answer="fall",
    check=_check_fall,
    hint="torch.cummax gives the highest value so far; subtract the curve, take the largest.",
    wrong=(
        ("def fall(c):\n    return max(c) - min(c)", "whole range"),
        ("def fall(c):\n    return max(c) - c[-1]", "recovered"),
        ("def fall(c):\n    return max(a - b for a, b in zip(c, c[1:]))", "a slide counts"),
        (
            "def fall(c):\n    c = torch.tensor(c)\n    return (c - c.cummax(0).values).min()",
            "wrong sign",
        ),
        ("def fall(c):\n    return 1.0", "should be"),
    ),
    praise="0 for a curve that only rises; it sees a collapse also where training recovers.",
)

EXERCISES = [ENTROPY, EFFECTIVE, FALL, EVALUATIONS]
