"""Exercises of chapter 4.4, the schedule lab."""

import math
import warnings

import torch

from book.ch04_4_schedule_lab.explorer import Settings, gauges, make_schedule
from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule

# --- 4.4-1 ----------------------------------------------------------------------------------------


def _check_left(amplitude_left) -> str | None:
    for T, first, last in ((1000, 0.00085, 0.012), (200, 0.00085, 0.012), (500, 1e-4, 0.02)):
        given = torch.tensor(first).double(), torch.tensor(last).double()
        got = float(amplitude_left(T, *given))
        exact = float(make_schedule(Settings("scaled linear", T, first, last))(T)[0])
        if abs(got / exact - 1) < 0.05:  # the formula is within 2 %
            continue
        sum_of_betas = T * (first + (first * last) ** 0.5 + last) / 3
        known = {
            "that is alpha_bar_T, the power; the amplitude is its root": math.exp(-sum_of_betas),
            "that is for betas in a straight line; here their roots are": (
                math.exp(-T * (first + last) / 4)
            ),
            "the mean of a square is not the square of the mean": (
                math.exp(-T * (first**0.5 + last**0.5) ** 2 / 8)
            ),
            "that is the logarithm; the amplitude is its exponential": -sum_of_betas / 2,
            "the sign: the signal falls, log alpha_bar is *minus* the sum": (
                math.exp(sum_of_betas / 2)
            ),
        }
        for complaint, value in known.items():
            if abs(got / value - 1) < 0.02:
                return complaint
        return (
            f"with T = {T} and betas from {first:g} to {last:g} about {exact:.3g} of the amplitude "
            f"is left; yours is {got:.3g}"
        )
    return None


def _left(result: str) -> str:
    return (
        "import math\ndef amplitude_left(T, f, l):\n    f, l = float(f), float(l)\n"
        f"    S = T * (f + (f * l) ** 0.5 + l) / 3\n    return {result}"
    )


LEFT = Exercise(
    id="4.4-1",
    title="the amplitude that a scaled linear schedule leaves",
    setup="import math",
    stub='''
def amplitude_left(T, first, last):
    """About sqrt(alpha_bar_T) of scaled linear betas from first to last in T steps."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def amplitude_left(T, first, last):
    """About sqrt(alpha_bar_T) of scaled linear betas from first to last in T steps."""
    mean = (first + (first * last) ** 0.5 + last) / 3  # with p² = first and q² = last
    return math.exp(-T * mean / 2)  # log sqrt(alpha_bar_T) is half of minus the sum
''',
    answer="amplitude_left",
    check=_check_left,
    hint="p and q are the roots of the first and the last beta, so the mean of the betas is "
    "(first + sqrt(first last) + last) / 3. Multiply by T; the amplitude is the root of alpha_bar.",
    wrong=(
        (_left("math.exp(-S)"), "the power"),
        (_left("math.exp(-T * (f + l) / 4)"), "straight line"),
        (_left("math.exp(-T * (f**0.5 + l**0.5) ** 2 / 8)"), "square of the mean"),
        (_left("-S / 2"), "its exponential"),
        (_left("math.exp(S / 2)"), "*minus* the sum"),
        (_left("0.5"), "of the amplitude is left"),
    ),
    praise="Stable Diffusion leaves about 7 % with T = 1000; with T = 200 it would be 58 %.",
)


# --- 4.4-2 ----------------------------------------------------------------------------------------


def _check_designed(betas) -> str | None:
    betas = torch.as_tensor(betas).double()
    if betas.shape != (50,):
        return "the answer has the shape (50,): one beta for each step 1..50"
    if not ((betas > 0) & (betas <= 1)).all():
        return "a beta is a share of variance: each must be above 0 and at most 1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule = DiscreteSchedule(betas)
    (left, _, useful), noise = gauges(schedule), float(schedule(1)[1])
    if left >= 0.01:
        return f"{left:.1%} of the amplitude is left at T: sampling would start in the wrong place"
    if noise > 0.06:
        return f"the noise at t = 1 is {noise:.3f}: the last jump makes the clusters too narrow"
    if useful < 0.45:
        return f"{useful:.0%} of the steps are well spent: spread fewer of them over the two ends"
    return None


DESIGNED = Exercise(
    id="4.4-2",
    title="a schedule with T = 50 that passes three gauges",
    setup="import math\nimport torch\nfrom minildm.schedule import linear_betas",
    stub="designed = ...  # YOUR CODE HERE: float64, shape (50,)",
    solution="""
# On a quarter circle signal and noise are cosine and sine; stop just before the end.
angle = torch.linspace(0, 0.995 * math.pi / 2, 51, dtype=torch.float64)
alpha_bar = angle.cos() ** 2
designed = 1 - alpha_bar[1:] / alpha_bar[:-1]
""",
    answer="designed",
    check=_check_designed,
    hint="Signal and noise lie on a quarter circle: signal² + noise² = 1. Walk along it evenly, "
    "from angle 0 to almost a right angle, and use (4.4.2).",
    wrong=(
        ("designed = torch.zeros(5)", "shape (50,)"),
        ("designed = designed * 2", "share of variance"),
        ("designed = linear_betas(50)", "wrong place"),
        ("designed = torch.linspace(0.02, 1, 50)", "too narrow"),
        (
            "a = torch.sigmoid(torch.linspace(4, -4, 50, dtype=torch.float64) * math.log(10))\n"
            "a = torch.cat([torch.ones(1, dtype=torch.float64), a])\ndesigned = 1 - a[1:] / a[:-1]",
            "two ends",
        ),
    ),
    praise="three gauges, and no step count in them: try it with 10 steps in the explorer.",
)


# --- 4.4-3 ----------------------------------------------------------------------------------------

WIDTH2 = 0.12**2


def _check_first(value) -> str | None:
    value, right = float(value), WIDTH2 / (9 + WIDTH2)
    if not math.isfinite(value) or not 0 < value < 1:
        return "a beta is a share of variance: above 0 and below 1"
    if abs(value / right - 1) < 0.02:
        return None
    known = {
        "that is its root: beta is a variance, not a noise factor": right**0.5,
        "the cluster's variance is 0.12², its standard deviation is 0.12": 0.12 / 9.12,
        "10 % of the variance, not a beta of 10 % of it in noise: solve for beta": (
            0.1 * WIDTH2**0.5
        ),
        "that loses 90 %: the share that is *lost* may be a tenth": 9 * WIDTH2 / (1 + 9 * WIDTH2),
    }
    for complaint, wrong in known.items():
        if abs(value / wrong - 1) < 0.02:
            return complaint
    lost = value / ((1 - value) * WIDTH2 + value)
    return f"from a first beta of {value:.3g} the last jump loses {lost:.0%} of the variance"


FIRST = Exercise(
    id="4.4-3",
    title="the largest first beta that keeps 90 % of a cluster's variance",
    setup="",
    stub="largest_first = ...  # YOUR CODE HERE: one number",
    solution="""
# beta = 0.1 ((1 - beta) v + beta), so beta (0.9 + 0.1 v) = 0.1 v
largest_first = 0.12**2 / (9 + 0.12**2)
""",
    answer="largest_first",
    check=_check_first,
    hint="Put alpha_bar_1 = 1 - beta into the share, set it to 1/10, multiply by the denominator, "
    "and collect beta.",
    wrong=(
        ("largest_first = largest_first**0.5", "that is its root"),
        ("largest_first = 0.12 / 9.12", "standard deviation"),
        ("largest_first = 0.1 * 0.12", "solve for beta"),
        ("largest_first = 9 * 0.12**2 / (1 + 9 * 0.12**2)", "loses 90 %"),
        (0.02, "of the variance"),
        (2.0, "above 0 and below 1"),
    ),
    praise="about a ninth of the variance: a noise factor of a third of the cluster's width.",
)

EXERCISES = [LEFT, DESIGNED, FIRST]
