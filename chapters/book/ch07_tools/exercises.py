"""Exercises of chapter 7, tools."""

import math
import operator

import torch

from book.ch07_tools.rosetta import schedule_from_config
from book.exercises import Exercise
from minildm.denoise import gaussian_denoiser
from minildm.samplers import ddim

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
_SETUP = (
    "import torch\n"
    "from book.ch07_tools.rosetta import schedule_from_config\n"
    "stable = schedule_from_config({'beta_schedule': 'scaled_linear', 'beta_start': 0.00085, "
    "'beta_end': 0.012})\n"
)

# --- 7-1 ------------------------------------------------------------------------------------------


_ARGUMENTS = "z, z0, signal_t, noise_t, signal_s, noise_s"


def _check_euler(euler) -> str | None:
    schedule = schedule_from_config(STABLE)
    denoise = gaussian_denoiser(schedule, torch.tensor([1.0, 2.0]), torch.diag(torch.ones(2)))
    z = torch.tensor([[0.3, -1.2], [2.0, 0.5]], dtype=torch.float64)
    for t, s in ((600, 400), (50, 0)):
        levels = (*schedule(t), *schedule(s))
        z0, eps = denoise(z, t)
        wanted = ddim(z, torch.tensor(t), torch.tensor(s), denoise, schedule)[0]
        z_s = torch.as_tensor(euler(z, z0, *levels)).to(z)  # float32 and NumPy count as well
        if z_s.shape != z.shape:
            return f"the answer is z at time s, a tensor of the shape of z, {tuple(z.shape)}"
        if not torch.allclose(z_s, wanted, atol=1e-5):
            slip = _euler_mistake(z_s, z, z0, eps, levels)
            return slip or f"from t = {t} to s = {s} the result is not that of (7.2)"
    return None


def _euler_mistake(z_s, z, z0, eps, levels) -> str | None:
    """Which of the usual slips gives this z_s; None for another one."""
    signal_t, noise_t, signal_s, noise_s = levels
    sigma_t, sigma_s, x = noise_t / signal_t, noise_s / signal_s, z / signal_t
    slips = (
        (z0 + sigma_s * eps, "that is x_s; the loop wants z_s = signal_s x_s"),
        (
            z + (noise_s - noise_t) * (z - z0) / noise_t,
            "you used noise for sigma: sigma is noise / signal, and x is z / signal",
        ),
        (
            z + (sigma_s - sigma_t) * (z - z0) / sigma_t,
            "the formula is for x = z / signal_t: divide z by signal_t first",
        ),
        (
            signal_s * (x - (sigma_s - sigma_t) * (x - z0) / sigma_t),
            "the sign: sigma_s - sigma_t is negative already, and it is added",
        ),
        (
            signal_t * (z0 + sigma_s * eps),
            "on the way back multiply by the signal of s, not of t",
        ),
    )
    for slip, text in slips:
        if torch.allclose(z_s, slip, atol=1e-5):
            return text
    return None


def _slip(body: str) -> str:
    """A wrong answer: the function with this expression."""
    return (
        f"def euler({_ARGUMENTS}):\n"
        "    sigma_t, sigma_s, x = noise_t / signal_t, noise_s / signal_s, z / signal_t\n"
        f"    return {body}"
    )


EULER = Exercise(
    id="7-1",
    title="Euler's step over sigma, in and out of z",
    setup="",
    stub=f"""
def euler({_ARGUMENTS}):
    return ...  # YOUR CODE HERE: z at time s, by equation (7.2)
""",
    solution=f"""
def euler({_ARGUMENTS}):
    sigma_t, sigma_s, x = noise_t / signal_t, noise_s / signal_s, z / signal_t
    return signal_s * (x + (sigma_s - sigma_t) * (x - z0) / sigma_t)
""",
    answer="euler",
    check=_check_euler,
    hint="x = z / signal_t, sigma = noise / signal at both times; then (7.2); then signal_s x_s.",
    wrong=(
        (_slip("1.0"), "a tensor of the shape of z"),
        (_slip("x + (sigma_s - sigma_t) * (x - z0) / sigma_t"), "that is x_s"),
        (_slip("z + (noise_s - noise_t) * (z - z0) / noise_t"), "noise for sigma"),
        (_slip("z + (sigma_s - sigma_t) * (z - z0) / sigma_t"), "divide z by signal_t"),
        (_slip("signal_s * (x - (sigma_s - sigma_t) * (x - z0) / sigma_t)"), "the sign"),
        (_slip("signal_t * (x + (sigma_s - sigma_t) * (x - z0) / sigma_t)"), "signal of s"),
        (_slip("z0"), "not that of (7.2)"),
    ),
    praise="this is what user interfaces call Euler; in this book it is ddim.",
)

# --- 7-2 ------------------------------------------------------------------------------------------

_GUIDANCES = (5.0, 3.0, 7.5)


def _check_guidances(answer) -> str | None:
    try:
        values = [float(value) for value in answer]
    except (TypeError, ValueError):
        return "the answer is three numbers: (A, B, C)"
    if len(values) != 3:
        return f"three numbers, (A, B, C); yours are {len(values)}"
    hints = (
        {4.0: "A: write it as eps_u + w (eps_c - eps_u): w is not 4", 3.0: "A: not minus, plus 1"},
        {2.0: "B: without guidance, s = 0, it is eps_c, and that is our w = 1"},
        {
            6.5: "C: with gamma = 1 it is eps_c, as with our w = 1: nothing to subtract",
            8.5: "C: with gamma = 1 it is eps_c, as with our w = 1: nothing to add",
        },
    )
    for value, wanted, known, name in zip(values, _GUIDANCES, hints, "ABC", strict=True):
        if not math.isclose(value, wanted, abs_tol=1e-9):
            found = [text for number, text in known.items() if math.isclose(value, number)]
            return (
                found[0]
                if found
                else (f"{name}: collect what stands before eps_c; before eps_u stands 1 minus that")
            )
    return None


GUIDANCES = Exercise(
    id="7-2",
    title="three ways to write guidance",
    setup="",
    stub="three_guidances = ...  # YOUR CODE HERE: (A, B, C)",
    solution="""
three_guidances = (1 + 4, 1 + 2, 7.5)  # what stands before eps_c
""",
    answer="three_guidances",
    check=_check_guidances,
    hint="In eps_u + w (eps_c - eps_u), w is the number before eps_c. Collect it in each formula.",
    wrong=(
        (7.5, "three numbers: (A, B, C)"),
        ((5.0, 3.0), "yours are 2"),
        ((4.0, 3.0, 7.5), "w is not 4"),
        ((3.0, 3.0, 7.5), "plus 1"),
        ((5.0, 2.0, 7.5), "s = 0"),
        ((5.0, 3.0, 6.5), "nothing to subtract"),
        ((5.0, 3.0, 8.5), "nothing to add"),
        ((5.0, 3.0, 2.0), "collect what stands"),
    ),
    praise="before you compare two papers' best guidance, bring both to one w.",
)

# --- 7-3 ------------------------------------------------------------------------------------------

_FRIEND = torch.tensor([*range(952, 1, -50), 1])


def _check_grid(grid) -> str | None:
    grid = torch.as_tensor(grid)
    if grid.dim() != 1:
        return "the answer is a tensor of times, int64, shape (21,)"
    if grid.is_floating_point():
        return "times of a table are whole numbers: int64"
    if len(grid) != 21:
        return f"20 steps have 21 times, with the end; yours has {len(grid)}"
    if torch.equal(grid, _FRIEND):
        return None
    if torch.equal(grid[:-1], _FRIEND[:-1]):
        return (
            "the stops are right, the end is not: set_alpha_to_one=False ends at the first entry "
            "of their table, which is our t = 1"
        )
    if torch.equal(grid[:-1], _FRIEND[:-1] - 1):
        return "one of the two plus 1 is missing: their offset, or our first index"
    if torch.equal(grid[:-1], _FRIEND[:-1] - 2):
        return "neither the offset nor our first index is in it: two times plus 1"
    if int(grid[0]) == 1000:
        return "that starts at T, like trailing; leading goes 0, 50, 100, ... from the clean end"
    return (
        f"their stops are 0, 50, ..., 950, plus offset 1, and ours plus 1; you start at {grid[0]}"
    )


GRID = Exercise(
    id="7-3",
    title="the grid on which ours does what Stable Diffusion's DDIM does",
    setup="import torch\nfrom book.ch07_tools import rosetta",
    stub="friend_grid = ...  # YOUR CODE HERE: int64, shape (21,)",
    solution="""
friend_grid = rosetta.spaced(1000, 20, "leading", offset=1)
friend_grid[-1] = 1  # not clean data: the first entry of their table
""",
    answer="friend_grid",
    check=_check_grid,
    hint="Theirs: 0, 50, ..., 950, plus the offset. Ours: plus 1. And where does the walk end?",
    wrong=(
        ("friend_grid = [952, 902]", "21 times"),
        ("friend_grid = friend_grid[None]", "a tensor of times"),
        ("friend_grid = friend_grid.float()", "whole numbers"),
        ("friend_grid = friend_grid[:-1]", "21 times"),
        ("friend_grid = rosetta.spaced(1000, 20, 'leading', offset=1)", "the end is not"),
        ("friend_grid = friend_grid - 1", "one of the two plus 1"),
        ("friend_grid = torch.tensor([*range(950, -1, -50), 0])", "two times plus 1"),
        ("friend_grid = rosetta.spaced(1000, 20, 'trailing')", "starts at T"),
        ("friend_grid = friend_grid + 5", "you start at"),
    ),
    praise="one line of ours, four options of theirs.",
)

# --- 7-4 ------------------------------------------------------------------------------------------


def _check_time(network_time) -> str | None:
    schedule = schedule_from_config(STABLE)
    t = torch.tensor([1, 37, 260, 500, 871, 1000])  # ours
    signal, noise = schedule(t)
    answers = [network_time(float(sigma)) for sigma in noise / signal]
    try:
        answers = [operator.index(a) for a in answers]  # torch's and NumPy's whole numbers, too
    except TypeError:
        return f"a network's time is a whole number, an int; you return {type(answers[0]).__name__}"
    if answers == (t - 1).tolist():
        others = (0.001, 0.035, 3.0, 500.0)  # 0.035 lies between t = 1 and 2
        between = [network_time(sigma) for sigma in others]
        table = (schedule.noise_variance / schedule.alpha_bar)[1:].log() / 2  # log sigma
        if between == [int((table - math.log(s)).abs().argmin()) for s in others]:
            return None
        if between == [int((table.exp() - s).abs().argmin()) for s in others]:
            return "that is the nearest sigma; asked for is the nearest log sigma"
        return "right on the table, but not between and outside it"
    if answers == t.tolist():
        return "off by one: that is the book's t, a Stable Diffusion network counts from 0"
    by_noise = [
        int((schedule(torch.arange(1, 1001))[1] - s).abs().argmin()) for s in noise / signal
    ]
    if answers == by_noise:
        return "you compared sigma with the noise factor; sigma is noise / signal"
    sigma = float((noise / signal)[2])
    return f"for sigma = {sigma:.4f} the time is {int(t[2]) - 1}, not {answers[2]}"


_TABLE = "signal, sd = stable(torch.arange(1, 1001))\n"

TIME = Exercise(
    id="7-4",
    title="from sigma to a network's time",
    setup=_SETUP,
    stub="""
def network_time(sigma):
    return ...  # YOUR CODE HERE: an int, 0 to 999
""",
    solution="""
def network_time(sigma):
    signal, noise = stable(torch.arange(1, 1001))  # our t = 1..1000
    log_sigma = (noise / signal).log()
    return int((log_sigma - torch.tensor(sigma).log()).abs().argmin())  # index 0 is their t = 0
""",
    answer="network_time",
    check=_check_time,
    hint="A table of log(noise / signal) at t = 1..1000; its index counts from 0, as the network.",
    wrong=(
        (
            _TABLE
            + "def network_time(sigma):\n    return float((sd / signal - sigma).abs().argmin())",
            "an int",
        ),
        (
            _TABLE
            + "def network_time(sigma):\n    return int((sd / signal - sigma).abs().argmin()) + 1",
            "off by one",
        ),
        (
            _TABLE + "def network_time(sigma):\n    return int((sd - sigma).abs().argmin())",
            "noise factor",
        ),
        (
            _TABLE
            + "def network_time(sigma):\n"
            + "    d = (sd / signal - sigma).abs()\n"
            + "    return int(d.argmin()) if d.min() < 1e-9 else 0",
            "between and outside",
        ),
        (
            _TABLE
            + "def network_time(sigma):\n    return int((sd / signal - sigma).abs().argmin())",
            "nearest log sigma",
        ),
        ("def network_time(sigma):\n    return 999", "the time is 259"),
    ),
    praise="k-diffusion's sigma_to_t does this, between two entries of the table if asked to.",
)

EXERCISES = [EULER, GUIDANCES, GRID, TIME]
