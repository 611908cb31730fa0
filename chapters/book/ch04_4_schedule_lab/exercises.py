"""Exercises of chapter 4.4, the schedule lab."""

import math
import warnings

import torch
from torch import Tensor

from book.ch04_4_schedule_lab.explorer import Settings, gauges, make_schedule
from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule, linear_betas

# --- 4.4-1 ----------------------------------------------------------------------------------------


def _check_gauge(value) -> str | None:
    schedule = make_schedule(Settings("scaled linear", 200))
    left, last, useful = gauges(schedule)
    value = float(value)
    if abs(value - left) < 0.01:
        return None
    if abs(value - last) < 0.01:
        return "that is SNR_T, a ratio of powers; the question is for the amplitude that is left"
    if abs(value - useful) < 0.01:
        return "that is the share of steps well spent: it says nothing about where sampling starts"
    if abs(value - float(schedule.alpha_bar[-1])) < 0.01:
        return "that is alpha_bar_T, the power; the amplitude is its square root"
    default = float(make_schedule(Settings("scaled linear", 1000))(1000)[0])
    if abs(value - default) < 0.01:
        return "that is the schedule with 1,000 steps; the question is for T = 200"
    return "compute gauges(make_schedule(Settings('scaled linear', 200))) and choose one of three"


GAUGE = Exercise(
    id="4.4-1",
    title="the amplitude that is left at T",
    setup="from book.ch04_4_schedule_lab.explorer import Settings, gauges, make_schedule",
    stub="wrong_start = ...  # YOUR CODE HERE: one number",
    solution="""
wrong_start = gauges(make_schedule(Settings("scaled linear", 200))).left
""",
    answer="wrong_start",
    check=_check_gauge,
    hint="Sampling starts from N(0, I). What must be (almost) zero for that to be right?",
    wrong=(
        ("wrong_start = gauges(make_schedule(Settings('scaled linear', 200))).last", "SNR_T"),
        (
            "wrong_start = gauges(make_schedule(Settings('scaled linear', 200))).useful",
            "well spent",
        ),
        (
            "wrong_start = float(make_schedule(Settings('scaled linear', 200)).alpha_bar[-1])",
            "its square root",
        ),
        ("wrong_start = gauges(make_schedule(Settings('scaled linear'))).left", "1,000 steps"),
        ("wrong_start = 7.0", "choose one of three"),
    ),
    praise="more than half of the amplitude is still there when sampling believes in pure noise.",
)


# --- 4.4-2 ----------------------------------------------------------------------------------------


def _check_straight_noise(betas) -> str | None:
    if not isinstance(betas, Tensor) or betas.shape != (50,):
        return "the answer is a tensor of shape (50,): one beta for each step 1..50"
    if betas.dtype != torch.float64:
        return f"betas are float64, like every table of a schedule; yours are {betas.dtype}"
    if not ((betas > 0) & (betas <= 1)).all():
        return "a beta is a share of variance: each must be above 0 and at most 1"
    alpha_bar = (1 - betas).cumprod(0)
    wanted = torch.arange(1, 51, dtype=torch.float64) / 50
    if torch.allclose((1 - alpha_bar).sqrt(), wanted, atol=1e-6):
        return None
    if torch.allclose(1 - alpha_bar, wanted, atol=1e-6):
        return "your noise *power* grows in a straight line; the noise factor is its root"
    if torch.allclose(alpha_bar.sqrt(), 1 - wanted, atol=1e-6):
        return "your *signal* falls in a straight line; the question is for the noise"
    if torch.allclose(betas, wanted, atol=1e-6):
        return "that is the article's ramp: beta itself is not the noise factor"
    t = int(((1 - alpha_bar).sqrt() - wanted).abs().argmax()) + 1
    return (
        f"at t = {t} the noise factor should be {t / 50:.2f}; yours is "
        f"{float((1 - alpha_bar[t - 1]).sqrt()):.3f}"
    )


_BARS = (
    "import torch\nn = torch.arange(51, dtype=torch.float64) / 50\n"
    "def from_bars(a):\n    return 1 - a[1:] / a[:-1]\n"
)

STRAIGHT_NOISE = Exercise(
    id="4.4-2",
    title="betas whose noise factor grows in a straight line",
    setup="import torch",
    stub="straight_noise = ...  # YOUR CODE HERE: float64, shape (50,)",
    solution="""
noise = torch.arange(51, dtype=torch.float64) / 50  # 0 at clean data, 1 at T
alpha_bar = 1 - noise**2
straight_noise = 1 - alpha_bar[1:] / alpha_bar[:-1]
""",
    answer="straight_noise",
    check=_check_straight_noise,
    hint="Write down the noise factor at 0, 1, .., 50, then alpha_bar = 1 - noise², then (4.4.2).",
    wrong=(
        ("straight_noise = torch.zeros(5)", "shape (50,)"),
        ("straight_noise = straight_noise.float()", "float64"),
        ("straight_noise = straight_noise * 2", "share of variance"),
        (_BARS + "straight_noise = from_bars(1 - n)", "*power*"),
        (_BARS + "straight_noise = from_bars((1 - n) ** 2)", "*signal*"),
        (_BARS + "straight_noise = n[1:]", "the article's ramp"),
        ("straight_noise = straight_noise * 0.5", "should be"),
    ),
    praise="its last beta is exactly 1: no signal is left, and SNR_T is zero.",
)


# --- 4.4-3 ----------------------------------------------------------------------------------------


def _left(T: int, factor: float) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(DiscreteSchedule(linear_betas(T, 1e-4 * factor, 0.02 * factor))(T)[0])


def _check_factor(factor) -> str | None:
    factor = float(factor)
    if not math.isfinite(factor) or not 0 < factor <= 50:
        return "a positive factor; with more than 50 the last beta would be above 1"
    wanted, got = _left(1000, 1.0), _left(250, factor)
    if 0.5 <= got / wanted <= 2:
        return None
    if abs(factor - 0.25) < 0.01:
        return "the other way round: fewer steps must each add more"
    if abs(factor - 2) < 0.05:
        return "what counts is the sum of the betas, not of their roots"
    return f"with your factor {got:.2g} of the signal is left at T = 250, wanted {wanted:.2g}"


FACTOR = Exercise(
    id="4.4-3",
    title="how much larger the betas must be for a quarter of the steps",
    setup="",
    stub="factor = ...  # YOUR CODE HERE: one number",
    solution="""
factor = 1000 / 250  # log alpha_bar_T is about minus the sum of the betas
""",
    answer="factor",
    check=_check_factor,
    hint="log alpha_bar_T is about minus the sum of the betas: keep the sum.",
    wrong=(
        (0.25, "other way round"),
        (2.0, "not of their roots"),
        (1.0, "is left at T = 250"),
        (60.0, "above 1"),
    ),
    praise="the sum of the betas is what a schedule has to spend.",
)

EXERCISES = [GAUGE, STRAIGHT_NOISE, FACTOR]
