"""Exercises of chapter 9, the questions."""

import math

from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule, linear_betas

# --- 9-1 ------------------------------------------------------------------------------------------


def _near(a: float, b: float, tolerance: float = 2e-3) -> bool:
    return abs(a - b) < tolerance


def _check_floor(value) -> str | None:
    value, schedule = float(value), DiscreteSchedule(linear_betas())
    bars = schedule.alpha_bar[1:]
    if _near(value, float(bars.mean())):
        return None
    if _near(value, 0.0, 1e-9):
        return "zero needs a network that sees through the noise: what does z_t not say about eps?"
    if _near(value, 1.0):
        return "1 is the loss of answering zero; a network that reads z_t does better"
    if _near(value, float((1 - bars).mean())):
        return "that is the floor of a network that predicts z0; this one predicts the noise"
    if _near(value, float(bars.sqrt().mean())):
        return "that is the mean amplitude of the signal; in (9.1) stands its power, alpha_bar"
    if _near(value, float(bars.median())):
        return "that is the floor at one time in the middle; the loss is a mean over all t"
    return f"with s = 1, (9.1) is a function of alpha_bar_t alone, whose mean is not {value:.3f}"


FLOOR = Exercise(
    id="9-1",
    title="the lowest mean loss of a noise predictor on N(0, 1)",
    setup="from minildm.schedule import DiscreteSchedule, linear_betas\n"
    "linear = DiscreteSchedule(linear_betas())",
    stub="lowest = ...  # YOUR CODE HERE: one number",
    solution="""
lowest = float(linear.alpha_bar[1:].mean())  # (9.1) with s = 1 is alpha_bar_t
""",
    answer="lowest",
    check=_check_floor,
    hint="Put s = 1 into (9.1). What becomes of the denominator? Then average over t = 1..T.",
    wrong=(
        (0.0, "sees through"),
        (1.0, "answering zero"),
        ("lowest = float((1 - linear.alpha_bar[1:]).mean())", "predicts z0"),
        ("lowest = float(linear.alpha_bar[1:].sqrt().mean())", "its power"),
        ("lowest = float(linear.alpha_bar[1:].median())", "mean over all t"),
        (0.6, "a function of alpha_bar_t alone"),
    ),
    praise="with these data a good quarter of the noise stays unknown, whatever the network.",
)


# --- 9-2 ------------------------------------------------------------------------------------------


def _crossing(size: float) -> int:
    """The first t with size^2 SNR_t < 1."""
    return int((size**2 * DiscreteSchedule(linear_betas()).snr < 1).nonzero()[0])


def _check_crossing(value) -> str | None:
    if isinstance(value, float) and not value.is_integer():
        return "t is a whole number: the first at which the noise has more power"
    value = int(value)
    if value == _crossing(4):
        return None
    if value == _crossing(1):
        return "that is for latents of standard deviation 1, for which the schedule was written"
    if value == _crossing(2):
        return "power is amplitude squared: a standard deviation of 4 multiplies the SNR by 16"
    if value == _crossing(0.25):
        return "the other way round: larger latents stay visible for longer"
    if abs(value - _crossing(4)) == 1:
        return "off by one: index 0 of the table is clean data, and you want the first t below 1"
    return f"at t = {value} the SNR of these latents is not the first below 1: multiply snr by 4²"


CROSSING = Exercise(
    id="9-2",
    title="when the noise overtakes latents with standard deviation 4",
    setup="from minildm.schedule import DiscreteSchedule, linear_betas\n"
    "linear = DiscreteSchedule(linear_betas())",
    stub="crossing = ...  # YOUR CODE HERE: a whole number, 1 to 1000",
    solution="""
crossing = int((4**2 * linear.snr < 1).nonzero()[0])  # entry 0 is clean data, so the index is t
""",
    answer="crossing",
    check=_check_crossing,
    hint="linear.snr is the ratio of powers for a standard deviation of 1. Q22 has the factor.",
    wrong=(
        ("crossing = int((linear.snr < 1).nonzero()[0])", "standard deviation 1"),
        ("crossing = int((4 * linear.snr < 1).nonzero()[0])", "amplitude squared"),
        ("crossing = int((linear.snr / 16 < 1).nonzero()[0])", "stay visible"),
        ("crossing = crossing - 1", "off by one"),
        (412.5, "whole number"),
        (17, "is not the first"),
    ),
    praise="the network is told a time at which, for its data, much more can be seen.",
)


# --- 9-3 ------------------------------------------------------------------------------------------

_NEEDED = math.ceil(math.log(0.01) / math.log(0.9999))  # 0.9999^n < 0.01


def _check_steps(value) -> str | None:
    value = float(value)
    if not math.isfinite(value) or value <= 0:
        return "a positive number of steps"
    if abs(value - _NEEDED) <= 2:
        return None
    if abs(value - 10_000) <= 100:
        return (
            "after 1 / (1 - d) steps the start still weighs 37 %: that is the length of its memory"
        )
    if abs(value - math.log(0.01) / math.log(0.999)) <= 5:
        return "that is for a decay of 0.999; one more nine makes it ten times as long"
    if abs(value - math.log(0.99) / math.log(0.9999)) <= 2:
        return "after so many steps 1 % is *gone*; the question is when 1 % is left"
    if value > _NEEDED:
        return f"after {value:,.0f} steps it weighs less than 1 % already: when did that begin?"
    return f"after {value:,.0f} steps the start weighs {0.9999**value:.3%}; you want less than 1 %"


STEPS = Exercise(
    id="9-3",
    title="how long an average remembers its random start",
    setup="import math",
    stub="steps_needed = ...  # YOUR CODE HERE: a whole number",
    solution="""
steps_needed = math.ceil(math.log(0.01) / math.log(0.9999))  # 0.9999**n < 0.01
""",
    answer="steps_needed",
    check=_check_steps,
    hint="(9.2) with a constant decay: take the logarithm of both sides.",
    wrong=(
        (10_000, "37 %"),
        (4603, "0.999"),
        (101, "*gone*"),
        (20_000, "you want less than 1 %"),
        (45_900, "weighs 1.015%"),
        (50_000, "when did that begin"),
        (-3, "positive"),
    ),
    praise="longer than many trainings last: warm the decay up, or take a smaller one.",
)

EXERCISES = [FLOOR, CROSSING, STEPS]
