"""Exercises of chapter 5.4, sampling."""

import math
from collections.abc import Mapping

import torch

from book.ch05_4_sampling.measure import SAMPLERS, evaluations, within_noise
from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule, cosine_betas

_SCHEDULE = DiscreteSchedule(cosine_betas(1000))

# --- 5.4-1 ----------------------------------------------------------------------------------------


def _check_calls(calls) -> str | None:
    if not isinstance(calls, Mapping) or set(calls) != set(SAMPLERS):
        return f"the answer is a dictionary with the keys {', '.join(SAMPLERS)}"
    wanted = {name: evaluations(step, 10) for name, step in SAMPLERS.items()}
    if calls == wanted:
        return None
    if calls["dpmpp_2m"] == 20:
        return "2M does look at two guesses, but the second is remembered from the step before"
    if calls["heun"] == 20:
        return (
            "Heun's last step goes to s = 0, where there is no noise: what does the code do there?"
        )
    if calls["heun"] == 10:
        return "Heun asks at both ends of a step: look for `denoise(` in its source"
    name = next(name for name in wanted if calls[name] != wanted[name])
    return f"for {name}, count the calls of `denoise` in one step, times 10 steps"


CALLS = Exercise(
    id="5.4-1",
    title="calls of the network in 10 steps",
    stub='calls = ...  # YOUR CODE HERE: {"ddpm": .., "ddim": .., "heun": .., "dpmpp_2m": ..}',
    solution="""
calls = {"ddpm": 10, "ddim": 10, "heun": 2 * 10 - 1, "dpmpp_2m": 10}
""",
    answer="calls",
    check=_check_calls,
    hint="Read minildm/samplers.py: how often does `denoise` occur in each step? And if s = 0?",
    wrong=(
        ("calls = calls | {'heun': 20}", "no noise"),
        ("calls = calls | {'heun': 10}", "both ends"),
        ("calls = calls | {'dpmpp_2m': 20}", "remembered"),
        ("calls = calls | {'ddpm': 20}", "for ddpm"),
        ("calls = 10", "a dictionary"),
    ),
    praise="so Heun's 10 steps cost nearly twice as much as the others' 10.",
)


# --- 5.4-2 ----------------------------------------------------------------------------------------


def _check_step(step) -> str | None:
    generator = torch.Generator().manual_seed(0)
    z_t, z0_hat = torch.randn(2, 4, 2, dtype=torch.float64, generator=generator)
    for t, s in ((800, 600), (600, 20), (20, 0)):
        t, s = torch.tensor(t), torch.tensor(s)
        got = step(z_t, z0_hat, t, s, _SCHEDULE)
        (a_s, b_s), (a_t, b_t) = _SCHEDULE(s), _SCHEDULE(t)
        eps = (z_t - a_t * z0_hat) / b_t
        if torch.allclose(got, a_s * z0_hat + b_s * eps):
            continue
        mistakes = {
            "that adds z_t itself as the noise: it still holds a_t z0_hat, take that off first": (
                a_s * z0_hat + b_s * z_t
            ),
            "the guessed noise is (z_t - a_t z0_hat) / b_t: you forgot to divide": (
                a_s * z0_hat + b_s * eps * b_t
            ),
            "you stay at the noise level of t: mix with the weights of s": (
                a_t * z0_hat + b_t * eps
            ),
            "that jumps to clean data: z0_hat is the guess, not the next latent": z0_hat,
        }
        for complaint, wrong in mistakes.items():
            if torch.allclose(got, wrong):
                return complaint
        off = float((got - a_s * z0_hat - b_s * eps).abs().max())
        return f"from t = {t} to s = {s} a point is {off:.2g} off"
    return None


_HEAD = "def my_ddim_step(z_t, z0_hat, t, s, schedule):\n"
_HEAD += "    (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)\n"

STEP = Exercise(
    id="5.4-2",
    title="one DDIM step from a guess",
    stub='''
def my_ddim_step(z_t, z0_hat, t, s, schedule):
    """z_t, z0_hat (B, d) -> z_s (B, d)."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def my_ddim_step(z_t, z0_hat, t, s, schedule):
    """z_t, z0_hat (B, d) -> z_s (B, d)."""
    (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)
    eps_hat = (z_t - a_t * z0_hat) / b_t  # the other part of z_t
    return a_s * z0_hat + b_s * eps_hat
''',
    answer="my_ddim_step",
    check=_check_step,
    hint="Which noise is in z_t, if z0_hat is right? Keep both parts, change their weights.",
    wrong=(
        (_HEAD + "    return a_s * z0_hat + b_s * z_t", "take that off first"),
        (_HEAD + "    return a_s * z0_hat + b_s * (z_t - a_t * z0_hat)", "forgot to divide"),
        (_HEAD + "    return z_t", "noise level of t"),
        (_HEAD + "    return z0_hat", "jumps to clean data"),
        (_HEAD + "    return a_s * z0_hat", "off"),
    ),
    praise="the whole sampler is this line, in a loop.",
)


# --- 5.4-3 ----------------------------------------------------------------------------------------


def _lengths() -> tuple[float, float]:
    """(h, h') of the steps 400 -> 250 and 500 -> 400."""
    at = {t: float(_SCHEDULE.half_log_snr(t)) for t in (500, 400, 250)}
    return at[250] - at[400], at[400] - at[500]


def _check_weight(weight) -> str | None:
    weight = float(weight)
    h, before = _lengths()
    if abs(weight - h / (2 * before)) < 0.005:
        return None
    if abs(weight - h / before) < 0.005:
        return "half of that: the line is read in the middle of the step"
    if abs(weight - before / (2 * h)) < 0.005:
        return "upside down: a longer step now means a longer way to extrapolate"
    if abs(weight - 0.75) < 0.005:
        return "lengths are measured in lambda = log(a / b), not in t: schedule.half_log_snr"
    if abs(weight - 0.5) < 0.005:
        return "that would be steps of equal length in lambda; these are not"
    return f"your weight is {weight:.3g}: compute h and h' with schedule.half_log_snr"


WEIGHT = Exercise(
    id="5.4-3",
    title="the weight of the trend in 2M",
    setup="from minildm.schedule import DiscreteSchedule, cosine_betas\n"
    "schedule = DiscreteSchedule(cosine_betas(1000))",
    stub="weight = ...  # YOUR CODE HERE: one number",
    solution="""
at = {t: schedule.half_log_snr(t) for t in (500, 400, 250)}
weight = float((at[250] - at[400]) / (2 * (at[400] - at[500])))
""",
    answer="weight",
    check=_check_weight,
    hint="schedule.half_log_snr(t) is lambda. h is this step's length in it, h' the one before.",
    wrong=(
        ("weight = 2 * weight", "half of that"),
        ("weight = 1 / (4 * weight)", "upside down"),
        (0.75, "not in t"),
        (0.5, "equal length"),
        (3.0, "half_log_snr"),
    ),
    praise="above 1/2: this step is longer than the one before, so the trend must reach farther.",
)


# --- 5.4-4 ----------------------------------------------------------------------------------------


def _curve(*points: tuple[int, float, float, float]) -> list[dict]:
    return [
        {"evaluations": n, "joint": {"mean": mean, "min": low, "max": high}}
        for n, mean, low, high in points
    ]


_CURVES = (
    _curve(
        (2, 0.5, 0.4, 0.6), (4, 0.90, 0.88, 0.92), (8, 0.95, 0.94, 0.96), (16, 0.96, 0.93, 0.98)
    ),
    _curve(
        (2, 0.1, 0.0, 0.2), (4, 0.93, 0.92, 0.94), (8, 0.97, 0.95, 0.99), (16, 0.93, 0.90, 0.95)
    ),
    _curve((3, 0.2, 0.2, 0.2), (6, 0.91, 0.90, 0.97), (12, 0.97, 0.96, 0.98)),
    _curve((4, 0.95, 0.93, 0.97), (2, 0.3, 0.2, 0.4), (8, 0.94, 0.94, 0.95)),
)


def _check_enough(enough) -> str | None:
    wanted = [within_noise(points) for points in _CURVES]
    got = [enough(points) for points in _CURVES]
    if got == wanted:
        return None
    best = [max(points, key=lambda p: p["joint"]["mean"]) for points in _CURVES]
    if got == [p["evaluations"] for p in best]:
        return (
            "that is the best point itself; some with fewer evaluations are as good, within noise"
        )
    above = [
        [p["evaluations"] for p in points if p["joint"]["max"] >= b["joint"]["min"]]
        for points, b in zip(_CURVES, best, strict=True)
    ]
    if got == [min(n) for n in above]:
        return (
            "compare the *mean* of a point with the best one's smallest seed, not its luckiest seed"
        )
    if got == [min(p["evaluations"] for p in points) for points in _CURVES]:
        return "that is the cheapest point, whatever its accuracy"
    last = [max(points, key=lambda p: p["evaluations"]) for points in _CURVES]
    if got == [
        min(p["evaluations"] for p in points if p["joint"]["mean"] >= b["joint"]["min"])
        for points, b in zip(_CURVES, last, strict=True)
    ]:
        return "the best point need not be the one with the most evaluations: take the highest mean"
    i = next(i for i, (a, b) in enumerate(zip(got, wanted, strict=True)) if a != b)
    return f"for the points {_CURVES[i]} it should be {wanted[i]}; yours says {got[i]}"


_BEST = "    best = max(points, key=lambda p: p['joint']['mean'])\n"

ENOUGH = Exercise(
    id="5.4-4",
    title="the fewest evaluations that are within noise of the best",
    stub='''
def enough(points):
    """The fewest evaluations that are within noise of the best."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def enough(points):
    """The fewest evaluations that are within noise of the best."""
    best = max(points, key=lambda point: point["joint"]["mean"])
    least = best["joint"]["min"]
    return min(p["evaluations"] for p in points if p["joint"]["mean"] >= least)
''',
    answer="enough",
    check=_check_enough,
    hint="First find the best point. Then keep the points whose mean reaches its smallest seed.",
    wrong=(
        (
            "def enough(points):\n" + _BEST + "    return best['evaluations']",
            "the best point itself",
        ),
        (
            "def enough(points):\n" + _BEST + "    return min(p['evaluations'] for p in points "
            "if p['joint']['max'] >= best['joint']['min'])",
            "luckiest",
        ),
        (
            "def enough(points):\n    return min(p['evaluations'] for p in points)",
            "cheapest",
        ),
        (
            "def enough(points):\n"
            "    best = max(points, key=lambda p: p['evaluations'])\n"
            "    return min(p['evaluations'] for p in points "
            "if p['joint']['mean'] >= best['joint']['min'])",
            "need not be",
        ),
        (lambda points: math.nan, "it should be"),
    ),
    praise="a difference within the noise is no reason to pay for more evaluations.",
)

EXERCISES = [CALLS, STEP, WEIGHT, ENOUGH]
