"""Exercises of chapter 5.4, sampling: what a step costs, and how many are enough."""

import math
from collections.abc import Mapping

from book.ch05_4_sampling.measure import SAMPLERS, evaluations, within_noise
from book.ch05_4_sampling.writing import STEPS
from book.exercises import Exercise

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
    hint="Read the four functions: how often does `denoise` occur in each step? And if s = 0?",
    wrong=(
        ("calls = calls | {'heun': 20}", "no noise"),
        ("calls = calls | {'heun': 10}", "both ends"),
        ("calls = calls | {'dpmpp_2m': 20}", "remembered"),
        ("calls = calls | {'ddpm': 20}", "for ddpm"),
        ("calls = 10", "a dictionary"),
    ),
    praise="so Heun's 10 steps cost nearly twice as much as the others' 10.",
)


# --- 5.4-5 ----------------------------------------------------------------------------------------


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
    id="5.4-5",
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

EXERCISES = [CALLS, *STEPS, ENOUGH]
