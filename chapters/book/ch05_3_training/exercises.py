"""Exercises of chapter 5.3, training."""

import math

import torch

from book.exercises import Exercise

# --- 5.3-1 ----------------------------------------------------------------------------------------


def _check_decay(value) -> str | None:
    value = float(value)
    if math.isclose(1 - value, 1 / 5000, rel_tol=0.05):
        return None
    if math.isclose(value, 1 / 5000, rel_tol=0.05):
        return "that is 1 - d: with your d nearly nothing is kept from one step to the next"
    if math.isclose(value, 5000 / 100_000, rel_tol=0.05) or math.isclose(value, 0.95, abs_tol=1e-3):
        return "the length of the training does not matter: how far d looks back is 1 / (1 - d)"
    if not 0 < value < 1:
        return f"d is between 0 and 1; got {value:g}"
    return f"with your d the average looks back over about {1 / (1 - value):,.0f} steps"


DECAY = Exercise(
    id="5.3-1",
    title="an average over 5,000 steps",
    stub="decay = ...  # YOUR CODE HERE: one number",
    solution="""
decay = 1 - 1 / 5000  # 0.9998
""",
    answer="decay",
    check=_check_decay,
    hint="(5.3.5): weights fall by a factor d per step, so their sum is 1 / (1 - d).",
    wrong=(
        (0.0002, "that is 1 - d"),
        (0.95, "does not matter"),
        (5000.0, "between 0 and 1"),
        (0.999, "over about 1,000 steps"),
    ),
    praise="0.9998; Stable Diffusion's 0.9999 looks back over 10,000 steps.",
)

# --- 5.3-2 ----------------------------------------------------------------------------------------

_ILL = ("healthy", "slow", "no time", "wrong labels")


def _check_diagnosis(answer) -> str | None:
    if not isinstance(answer, dict) or set(answer) != set("ABCD"):
        return 'the answer is a dictionary with the keys "A", "B", "C" and "D"'
    strange = [value for value in answer.values() if value not in _ILL]
    if strange:
        return f"{strange[0]!r} is no diagnosis; there are {', '.join(_ILL)}"
    if answer["A"] != "slow":
        return "A is above the best average everywhere: what has it not had time to learn?"
    if answer["B"] != "wrong labels":
        return "for B, look at the error with and without the label: what does the label tell it?"
    if answer["D"] != "no time":
        return "compare C and D at both ends of the time axis: who must compromise there?"
    return None if answer["C"] == "healthy" else "only one of the four is left for C"


DIAGNOSIS = Exercise(
    id="5.3-2",
    title="four diagnoses",
    stub='diagnosis = ...  # YOUR CODE HERE: {"A": "...", "B": "...", "C": "...", "D": "..."}',
    solution="""
diagnosis = {"A": "slow", "B": "wrong labels", "C": "healthy", "D": "no time"}
""",
    answer="diagnosis",
    check=_check_diagnosis,
    hint="Find the patient that is above the best average everywhere. Of the other three, one does "
    "not profit from the label.",
    wrong=(
        ('diagnosis = ["slow"]', "a dictionary"),
        ('diagnosis = dict(diagnosis, A="ill")', "no diagnosis"),
        ('diagnosis = dict(diagnosis, A="no time", D="slow")', "above the best average everywhere"),
        ('diagnosis = dict(diagnosis, B="healthy", C="wrong labels")', "with and without"),
        ('diagnosis = dict(diagnosis, C="no time", D="healthy")', "both ends"),
    ),
    praise="and not one picture was needed.",
)

# --- 5.3-3 ----------------------------------------------------------------------------------------


def _check_weight(weight) -> str | None:
    snr = torch.tensor([0.01, 1.0, 5.0, 50.0], dtype=torch.float64)
    got = torch.as_tensor(weight(snr, 5.0), dtype=torch.float64)
    if got.shape != snr.shape:
        return f"one weight for each SNR: shape {tuple(snr.shape)}; got {tuple(got.shape)}"
    least = torch.minimum(snr, torch.full_like(snr, 5.0))
    if torch.allclose(got, least / snr):
        other = torch.as_tensor(weight(snr, 1.0), dtype=torch.float64)
        fixed = torch.allclose(other, got)
        return "your weight ignores gamma" if fixed else None
    if torch.allclose(got, least):
        return "that is the weight of the error in z0; by (5.3.3) an error in eps is SNR times it"
    if torch.allclose(got, least / (snr + 1)):
        return "that is (5.3.4), for v; for eps the SNR alone stands below"
    if torch.allclose(got, torch.maximum(snr, torch.full_like(snr, 5.0)) / snr):
        return "the *smaller* of SNR and gamma"
    return "divide min(SNR, gamma) by what turns an error of z0 into one of eps"


WEIGHT = Exercise(
    id="5.3-3",
    title="min-SNR weights for a network that predicts eps",
    setup="import torch",
    stub="""
def weight_for_eps(snr, gamma=5.0):
    return ...  # YOUR CODE HERE
""",
    solution="""
def weight_for_eps(snr, gamma=5.0):
    return snr.clamp(max=gamma) / snr
""",
    answer="weight_for_eps",
    check=_check_weight,
    hint="Weight of z0's error, divided by SNR: (5.3.3), first formula.",
    wrong=(
        ("def weight_for_eps(snr, gamma=5.0):\n    return snr.clamp(max=gamma)", "error in z0"),
        (
            "def weight_for_eps(snr, gamma=5.0):\n    return snr.clamp(max=gamma) / (snr + 1)",
            "for v",
        ),
        ("def weight_for_eps(snr, gamma=5.0):\n    return snr.clamp(min=gamma) / snr", "*smaller*"),
        (
            "def weight_for_eps(snr, gamma=5.0):\n    return snr.clamp(max=5.0) / snr",
            "ignores gamma",
        ),
        ("def weight_for_eps(snr, gamma=5.0):\n    return 1.0", "one weight for each"),
    ),
    praise="1 where there is much noise, gamma / SNR where there is little.",
)

# --- 5.3-4 ----------------------------------------------------------------------------------------


def _check_first(value) -> str | None:
    value = float(value)
    if math.isclose(value, 15.5, rel_tol=1e-3):
        return None
    if math.isclose(value, 1, rel_tol=1e-3):
        return "1 is for scaled latents; these have a mean square of 30"
    if math.isclose(value, 15, rel_tol=1e-3):
        return "that is the part of z0; eps has a share in v too"
    if math.isclose(value, 30.5, rel_tol=1e-3) or math.isclose(value, 31, rel_tol=1e-3):
        return "both parts have a factor: alpha_bar for eps, 1 - alpha_bar for z0"
    return "put alpha_bar = 0.5 and a mean square of 30 into (5.3.1)"


FIRST = Exercise(
    id="5.3-4",
    title="the first loss of unscaled latents",
    stub="first_loss = ...  # YOUR CODE HERE: one number",
    solution="""
alpha_bar, mean_square = 0.5, 30
first_loss = alpha_bar + (1 - alpha_bar) * mean_square
""",
    answer="first_loss",
    check=_check_first,
    hint="(5.3.1).",
    wrong=(
        (1.0, "scaled latents"),
        (15.0, "share in v too"),
        (30.5, "both parts"),
        (7.0, "put alpha_bar"),
    ),
    praise="a number that nobody overlooks, if somebody looks.",
)

EXERCISES = [DECAY, DIAGNOSIS, WEIGHT, FIRST]
