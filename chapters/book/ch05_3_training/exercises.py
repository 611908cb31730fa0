"""Exercises of chapter 5.3, training: numbers to know, weights, and a diagnosis."""

import math

import torch

from book.ch05_3_training.writing import WRITE, close
from book.exercises import Exercise

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
    return "put alpha_bar = 0.5 and a mean square of 30 into equation (5.3.7)"


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
    hint="Equation (5.3.7).",
    wrong=(
        (1.0, "scaled latents"),
        (15.0, "share in v too"),
        (30.5, "both parts"),
        (7.0, "put alpha_bar"),
    ),
    praise="a number that nobody overlooks, if somebody looks.",
)

# --- 5.3-5 ----------------------------------------------------------------------------------------


def _check_weight(weight) -> str | None:
    snr = torch.tensor([0.01, 1.0, 5.0, 50.0], dtype=torch.float64)
    got = torch.as_tensor(weight(snr, 5.0, 1.0), dtype=torch.float64)
    if got.shape != snr.shape:
        return f"one weight for each SNR: shape {tuple(snr.shape)}; got {tuple(got.shape)}"
    least = torch.minimum(snr, torch.full_like(snr, 5.0))
    if close(got, (least + 1) / snr):
        other = [torch.as_tensor(weight(snr, g, c)) for g, c in ((1.0, 1.0), (5.0, 0.25))]
        if close(other[0], got):
            return "your weight ignores gamma"
        return "your weight ignores the floor you give it" if close(other[1], got) else None
    if close(got, least + 1):
        return "that is the weight of the error in z0; by (5.3.1) an error in eps is SNR times it"
    if close(got, (least + 1) / (snr + 1)):
        return "that is (5.3.2), for v; for eps the SNR alone stands below"
    if close(got, least / snr):
        return "the floor is missing"
    if close(got, least / snr + 1):
        return "the floor belongs to the weight of z0's error, so it is divided as well"
    if close(got, (torch.maximum(snr, torch.full_like(snr, 5.0)) + 1) / snr):
        return "the *smaller* of SNR and gamma"
    return "divide min(SNR, gamma) + floor by what turns an error of z0 into one of eps"


def _weight_code(body: str) -> str:
    return f"def weight_for_eps(snr, gamma=5.0, floor=0.0):\n    return {body}"


WEIGHT = Exercise(
    id="5.3-5",
    title="min-SNR weights for a network that predicts eps",
    setup="import torch",
    stub="""
def weight_for_eps(snr, gamma=5.0, floor=0.0):
    return ...  # YOUR CODE HERE
""",
    solution="""
def weight_for_eps(snr, gamma=5.0, floor=0.0):
    return (snr.clamp(max=gamma) + floor) / snr
""",
    answer="weight_for_eps",
    check=_check_weight,
    hint="Weight of z0's error, divided by SNR: (5.3.1), first formula.",
    wrong=(
        (_weight_code("snr.clamp(max=gamma) + floor"), "error in z0"),
        (_weight_code("(snr.clamp(max=gamma) + floor) / (snr + 1)"), "for v"),
        (_weight_code("snr.clamp(max=gamma) / snr"), "floor is missing"),
        (_weight_code("snr.clamp(max=gamma) / snr + floor"), "divided as well"),
        (_weight_code("(snr.clamp(min=gamma) + floor) / snr"), "*smaller*"),
        (_weight_code("(snr.clamp(max=5.0) + floor) / snr"), "ignores gamma"),
        (_weight_code("(snr.clamp(max=gamma) + 1) / snr"), "ignores the floor"),
        (_weight_code("1.0"), "one weight for each"),
        (_weight_code("(snr.clamp(max=gamma) + floor) * snr"), "what turns"),
    ),
    praise="with a floor it has no bound where there is no signal: the library refuses that.",
)

# --- 5.3-6 ----------------------------------------------------------------------------------------


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
    id="5.3-6",
    title="an average over 5,000 steps",
    stub="decay = ...  # YOUR CODE HERE: one number",
    solution="""
decay = 1 - 1 / 5000  # 0.9998
""",
    answer="decay",
    check=_check_decay,
    hint="(5.3.4): weights fall by a factor d per step, so their sum is 1 / (1 - d).",
    wrong=(
        (0.0002, "that is 1 - d"),
        (0.95, "does not matter"),
        (5000.0, "between 0 and 1"),
        (0.999, "over about 1,000 steps"),
    ),
    praise="0.9998; Stable Diffusion's 0.9999 looks back over 10,000 steps.",
)

# --- 5.3-7 ----------------------------------------------------------------------------------------

_ILL = ("healthy", "slow", "wrong labels", "wrong target")


def _check_diagnosis(answer) -> str | None:
    if not isinstance(answer, dict) or set(answer) != set("ABCD"):
        return 'the answer is a dictionary with the keys "A", "B", "C" and "D"'
    strange = [value for value in answer.values() if value not in _ILL]
    if strange:
        return f"{strange[0]!r} is no diagnosis; there are {', '.join(_ILL)}"
    if answer["A"] != "wrong target":
        return "A: its training loss has fallen well. What does its error say, and where?"
    if answer["B"] != "slow":
        return "B: what does its training loss say, and is there a time at which it is not above 1?"
    if answer["D"] != "wrong labels":
        return "D: at t = 200 it is as good as the best average. What has it from what it was told?"
    return None if answer["C"] == "healthy" else "only one of the four is left for C"


DIAGNOSIS = Exercise(
    id="5.3-7",
    title="four diagnoses",
    stub='diagnosis = ...  # YOUR CODE HERE: {"A": "...", "B": "...", "C": "...", "D": "..."}',
    solution="""
diagnosis = {"A": "wrong target", "B": "slow", "C": "healthy", "D": "wrong labels"}
""",
    answer="diagnosis",
    check=_check_diagnosis,
    hint="For each patient, ask three things: did the training loss fall, is the error below that "
    "of the best average, and does the label help?",
    wrong=(
        ('diagnosis = ["slow"]', "a dictionary"),
        ('diagnosis = dict(diagnosis, A="ill")', "no diagnosis"),
        ('diagnosis = dict(diagnosis, A="slow", B="wrong target")', "fallen well"),
        ('diagnosis = dict(diagnosis, B="wrong labels", D="slow")', "not above 1"),
        ('diagnosis = dict(diagnosis, C="wrong labels", D="healthy")', "best average"),
        ('diagnosis = dict(diagnosis, C="slow")', "left for C"),
    ),
    praise="and not one picture was needed.",
)

EXERCISES = [*WRITE, FIRST, WEIGHT, DECAY, DIAGNOSIS]
