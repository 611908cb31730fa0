"""Exercises of chapter 8, the outlook."""

import math

import torch

from book.ch08_outlook.closed_forms import start_mismatch
from book.ch08_outlook.exercises_few_steps import FEW_STEPS
from book.ch08_outlook.exercises_recent import RECENT
from book.exercises import Exercise
from minildm.schedule import CosineSchedule, DiscreteSchedule, scaled_linear_betas

# --- 8-1 ------------------------------------------------------------------------------------------


def _check_half_kept(value) -> str | None:
    schedule, value = DiscreteSchedule(scaled_linear_betas()), float(value)
    left = float(schedule.alpha_bar[-1])
    wanted = 1 + 3 / left

    def near(number):
        return math.isclose(value, number, rel_tol=1e-3)

    if near(wanted):
        return None
    if near(math.sqrt(wanted)):
        return "that is the standard deviation; lambda is the variance, its square"
    if near(1 + 1 / left):
        return "there S² = 2, and a share of 0.71 is left; half of the spread needs S = 2"
    if near(1 + 3 / math.sqrt(left)):
        return "what multiplies lambda is the power alpha_bar_T, not the amplitude"
    if near(4 / left):
        return "S² = 4 has two parts: what noise brings, 1 - alpha_bar_T, must be taken off first"
    if not value >= 0:
        return "a variance is not negative: solve S = 2 in (8.1) for lambda"
    kept = float(start_mismatch(schedule, value).spread)
    return f"with your lambda samples keep {kept:.0%} of the spread, not 50 %"


HALF_KEPT = Exercise(
    id="8-1",
    title="the variance at which half of the spread is lost",
    setup="""
from minildm.schedule import DiscreteSchedule, scaled_linear_betas
stable = DiscreteSchedule(scaled_linear_betas())
""",
    stub="half_kept = ...  # YOUR CODE HERE: one number, from stable.alpha_bar[-1]",
    solution="""
half_kept = 1 + 3 / float(stable.alpha_bar[-1])  # alpha_bar lambda + 1 - alpha_bar = 4
""",
    answer="half_kept",
    check=_check_half_kept,
    hint="Half of the spread is left where S = 2 in (8.1). Square both sides.",
    wrong=(
        ("half_kept = half_kept**0.5", "standard deviation"),
        ("half_kept = 1 + 1 / float(stable.alpha_bar[-1])", "needs S = 2"),
        ("half_kept = 1 + 3 / float(stable.alpha_bar[-1]) ** 0.5", "not the amplitude"),
        ("half_kept = 4 / float(stable.alpha_bar[-1])", "two parts"),
        (-1.0, "not negative"),
        (100.0, "of the spread, not 50 %"),
    ),
    praise="about 645: 16,384 latents reach it with a brightness deviation of only 0.2.",
)

# --- 8-2 ------------------------------------------------------------------------------------------


def _check_cosine_times(times) -> str | None:
    times = torch.as_tensor(times, dtype=torch.float64)
    if times.shape != (5,):
        return "the answer is a tensor of shape (5,): four steps have five stops"
    even = torch.linspace(1, 0, 5, dtype=torch.float64)
    right = torch.atan2(even, 1 - even) / (torch.pi / 2)
    if torch.allclose(times, right, atol=1e-6):
        return None
    if torch.allclose(times, right.flip(0), atol=1e-6):
        return "time runs from noise (1) to data (0)"
    if torch.allclose(times, even, atol=1e-6):
        return "those are the flow's times; at them the cosine schedule has other noise levels"
    if torch.allclose(times, right * torch.pi / 2, atol=1e-6):
        return "that is the angle; the schedule's time is the angle divided by pi / 2"
    if torch.allclose(times, torch.asin(even) / (torch.pi / 2), atol=1e-6):
        return "t' is noise / (signal + noise), not the noise alone"
    signal, noise = CosineSchedule()(times.clamp(0, 1))
    k = int((noise / (signal + noise) - even).abs().argmax())
    return f"at your stop {k} the flow's clock shows {float((noise / (signal + noise))[k]):.3f}"


_EVEN = "import torch\neven = torch.linspace(1, 0, 5, dtype=torch.float64)\n"

COSINE_TIMES = Exercise(
    id="8-2",
    title="the cosine times of an even walk on the flow",
    setup="import torch",
    stub="cosine_times = ...  # YOUR CODE HERE: float64, shape (5,), from 1 to 0",
    solution="""
even = torch.linspace(1, 0, 5, dtype=torch.float64)
cosine_times = torch.atan2(even, 1 - even) / (torch.pi / 2)  # tan(pi t / 2) = t' / (1 - t')
""",
    answer="cosine_times",
    check=_check_cosine_times,
    hint="noise / signal = tan(pi t / 2) on the cosine schedule and t' / (1 - t') on the flow.",
    wrong=(
        ("cosine_times = cosine_times.flip(0)", "from noise (1)"),
        (_EVEN + "cosine_times = even", "flow's times"),
        ("cosine_times = cosine_times * torch.pi / 2", "the angle"),
        (_EVEN + "cosine_times = torch.asin(even) / (torch.pi / 2)", "not the noise alone"),
        ("cosine_times = cosine_times[1:]", "five stops"),
        (_EVEN + "cosine_times = even**2", "clock shows"),
    ),
    praise="the same five noise levels, so the same walk: (8.2).",
)

# --- 8-3 ------------------------------------------------------------------------------------------


def _check_velocity_error(factor) -> str | None:
    times = (0.25, 0.5, 0.8)
    got = [float(factor(t)) for t in times]

    def same(form):
        return all(math.isclose(g, form(t), rel_tol=1e-6) for g, t in zip(got, times, strict=True))

    if same(lambda t: 1 / (1 - t)):
        return None
    if same(lambda t: t / (1 - t)) or same(lambda t: -t / (1 - t)):
        return "that is the error of z0 alone; the velocity is eps - z0, and eps is wrong too"
    if same(lambda t: 1 - t / (1 - t)):
        return "the two errors have opposite signs in z_t, so they add up in the difference"
    if same(lambda t: 1 / (1 - t) ** 2):
        return "that is its square, which stands in the loss; the question is for the error"
    if same(lambda t: 1.0):
        return "z_t is fixed: if eps is wrong, z0 = (z_t - t eps) / (1 - t) is wrong as well"
    if same(lambda t: 1 / t):
        return "1 / t belongs to an error in z0; here eps is wrong by d"
    if same(lambda t: -1 / (1 - t)):
        return "the sign: eps stands in eps - z0 with a plus, and so does its error"
    return f"at t = 0.5 the velocity is wrong by 2 d; yours says {got[1]:.3g} d"


VELOCITY_ERROR = Exercise(
    id="8-3",
    title="what an error in eps means for the velocity",
    setup="",
    stub="""
def velocity_error(t):
    return ...  # YOUR CODE HERE: for d = 1, at flow time t < 1
""",
    solution="""
def velocity_error(t):
    # z0 = (z_t - t eps) / (1 - t) is wrong by -t / (1 - t), eps - z0 by 1 + t / (1 - t)
    return 1 / (1 - t)
""",
    answer="velocity_error",
    check=_check_velocity_error,
    hint="Solve z_t = (1 - t) z0 + t eps for z0. How far does z0 move if eps moves by d?",
    wrong=(
        ("def velocity_error(t):\n    return t / (1 - t)\n", "z0 alone"),
        ("def velocity_error(t):\n    return 1 - t / (1 - t)\n", "opposite signs"),
        ("def velocity_error(t):\n    return 1 / (1 - t) ** 2\n", "its square"),
        ("def velocity_error(t):\n    return 1.0\n", "z_t is fixed"),
        ("def velocity_error(t):\n    return 1 / t\n", "error in z0"),
        ("def velocity_error(t):\n    return -1 / (1 - t)\n", "the sign"),
        ("def velocity_error(t):\n    return t\n", "wrong by 2 d"),
    ),
    praise="near t = 1 it has no bound: there eps is nearly z_t itself, and easy to get right.",
)

# --- 8-4 ------------------------------------------------------------------------------------------


def _check_entries(entries) -> str | None:
    sizes = ((32, 32, 2), (64, 48, 4), (7, 7, 2), (5, 9, 3))
    given = [float(entries(*size)) for size in sizes]
    if not all(n.is_integer() for n in given):
        return "the answer is a count: a whole number (use //, not /)"
    got = [int(n) for n in given]
    tokens = [-(-h // p) * -(-w // p) for h, w, p in sizes]
    if got == [n**2 for n in tokens]:
        return None
    if got == tokens:
        return "that is the number of tokens; in attention each of them reads each of them"
    if got == [((h // p) * (w // p)) ** 2 for h, w, p in sizes]:
        return "7 pixels in squares of 2 make 4 squares, not 3: round up"
    if got == [(h * w) ** 2 for h, w, _ in sizes]:
        return "a token is a whole square of p x p pixels, not one pixel"
    if got == [(-(-h * w // p)) ** 2 for h, w, p in sizes]:
        return "a square of side p holds p * p pixels: both axes are divided by p"
    k = next(k for k, n in enumerate(tokens) if got[k] != n**2)
    h, w, p = sizes[k]
    return (
        f"for h = {h}, w = {w} and p = {p} there are {tokens[k]} tokens, so {tokens[k] ** 2:,} "
        f"pairs; you said {got[k]:,}"
    )


ENTRIES = Exercise(
    id="8-4",
    title="how many pairs of tokens attention compares",
    setup="",
    stub="""
def entries(h, w, p):
    return ...  # YOUR CODE HERE: latents h x w, squares of p x p
""",
    solution="""
def entries(h, w, p):
    tokens = -(-h // p) * -(-w // p)  # rounded up, as patchify does
    return tokens**2
""",
    answer="entries",
    check=_check_entries,
    hint="Count the squares first, rounded up on both axes (-(-h // p)); then every one reads all.",
    wrong=(
        ("def entries(h, w, p):\n    return -(-h // p) * -(-w // p)\n", "number of tokens"),
        ("def entries(h, w, p):\n    return ((h // p) * (w // p)) ** 2\n", "round up"),
        ("def entries(h, w, p):\n    return (h * w) ** 2\n", "whole square"),
        ("def entries(h, w, p):\n    return (-(-h * w // p)) ** 2\n", "both axes"),
        ("def entries(h, w, p):\n    return (h / p * w / p) ** 2\n", "whole number"),
        ("def entries(h, w, p):\n    return (h // p * w // p) ** 2\n", "h = 7, w = 7"),
        ("def entries(h, w, p):\n    return 0\n", "256 tokens"),
    ),
    praise="squares twice as wide leave a quarter of the tokens, and a sixteenth of the pairs.",
)

EXERCISES = [HALF_KEPT, COSINE_TIMES, VELOCITY_ERROR, ENTRIES, *FEW_STEPS, *RECENT]
