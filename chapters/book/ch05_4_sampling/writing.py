"""Exercises of chapter 5.4 that write a step: along the noise, Heun's, the midpoint rule."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from book.ch05_4_sampling.line_data import THREE, even_normal
from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule, cosine_betas

SCHEDULE = DiscreteSchedule(cosine_betas(1000))


def _close(got, wanted: Tensor) -> bool:
    """Up to the rounding of float32; NumPy's arrays count like tensors."""
    got = torch.as_tensor(got).double()
    return got.shape == wanted.shape and torch.allclose(got, wanted, rtol=1e-4, atol=1e-5)


# --- 5.4-2 ----------------------------------------------------------------------------------------


def _check_step(step) -> str | None:
    generator = torch.Generator().manual_seed(0)
    z_t, eps = torch.randn(2, 4, 2, dtype=torch.float64, generator=generator)
    for t, s in ((800, 600), (600, 20), (20, 0)):
        t, s = torch.tensor(t), torch.tensor(s)
        got = step(z_t, eps, t, s, SCHEDULE)
        (a_s, b_s), (a_t, b_t) = SCHEDULE(s), SCHEDULE(t)
        wanted = a_s / a_t * z_t + (b_s - a_s / a_t * b_t) * eps
        if _close(got, wanted):
            continue
        mistakes = {
            "these are the factors of (5.4.2): with a guess of the noise, a and b change places": (
                b_s / b_t * z_t + (a_s - b_s / b_t * a_t) * eps
            ),
            "z_t, stretched by a_s / a_t, holds old noise already: add what is missing to b_s": (
                a_s / a_t * z_t + b_s * eps
            ),
            "the noise goes from b_t to b_s, and the signal from a_t to a_s: stretch z_t, too": (
                z_t + (b_s - b_t) * eps
            ),
            "the noise shrinks on the way: look at the sign of the bracket": (
                a_s / a_t * z_t - (b_s - a_s / a_t * b_t) * eps
            ),
            "that is the ratio z_s / a_s: multiply by a_s at the end": wanted / a_s,
        }
        for complaint, wrong in mistakes.items():
            if _close(got, wrong):
                return complaint
        off = float((torch.as_tensor(got) - wanted).abs().max())
        return f"from t = {t} to s = {s} a point is {off:.2g} off"
    return None


_HEAD = "def line_of_noise(z_t, eps_hat, t, s, schedule):\n"
_HEAD += "    (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)\n"

STEP = Exercise(
    id="5.4-2",
    title="a step along one guess of the noise",
    stub='''
def line_of_noise(z_t, eps_hat, t, s, schedule):
    """z_t and eps_hat (B, d) at t -> z_s (B, d)."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def line_of_noise(z_t, eps_hat, t, s, schedule):
    """z_t and eps_hat (B, d) at t -> z_s (B, d)."""
    (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)
    # z_s / a_s - z_t / a_t = (b_s / a_s - b_t / a_t) eps_hat, times a_s:
    return a_s / a_t * z_t + (b_s - a_s / a_t * b_t) * eps_hat
''',
    answer="line_of_noise",
    check=_check_step,
    hint="The flow is d z = (d a) z0 + (d b) eps. In d (z / a) the part of z0 drops out. Integrate "
    "with a constant eps, as (5.4.2) does with a constant z0.",
    wrong=(
        (_HEAD + "    return b_s / b_t * z_t + (a_s - b_s / b_t * a_t) * eps_hat", "change places"),
        (_HEAD + "    return a_s / a_t * z_t + b_s * eps_hat", "what is missing"),
        (_HEAD + "    return z_t + (b_s - b_t) * eps_hat", "stretch z_t"),
        (_HEAD + "    return a_s / a_t * z_t - (b_s - a_s / a_t * b_t) * eps_hat", "the sign"),
        (_HEAD + "    return z_t / a_t + (b_s / a_s - b_t / a_t) * eps_hat", "multiply by a_s"),
        (_HEAD + "    return a_s * z_t", "off"),
    ),
    praise="with the guesses of one call it is DDIM again; but without signal it divides by 0.",
)


# --- steps in the book's signature ----------------------------------------------------------------

TIMES = [torch.tensor(t) for t in (900, 600, 250, 21, 20, 0)]
LINE = """
def line(z, t, s, D, schedule):
    (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)
    return b_s / b_t * z + (a_s - b_s / b_t * a_t) * D
"""


def _line(z: Tensor, t: Tensor, s: Tensor, D: Tensor) -> Tensor:
    (a_s, b_s), (a_t, b_t) = SCHEDULE(s), SCHEDULE(t)
    return b_s / b_t * z + (a_s - b_s / b_t * a_t) * D


def _guess(z: Tensor, t: Tensor) -> Tensor:
    return THREE.denoiser(SCHEDULE)(z, t).z0


def _check_step_by_step(step: Callable, right: Callable, mistakes: Callable) -> str | None:
    """Walk down TIMES with the reader's step, and compare each with ``right(z, t, s)``.

    ``mistakes(z, t, s)``: hint -> where the step ends that deserves it.
    """
    z, memory, asked = even_normal(6), None, []

    def denoise(z, t):
        asked.append(int(t))
        return THREE.denoiser(SCHEDULE)(z, t.clamp(min=1))

    for t, s in pairwise(TIMES):
        result = step(z, t, s, denoise, SCHEDULE, memory)
        if not isinstance(result, tuple | list) or len(result) != 3:
            return "a step returns three things: the new z, the guess that was used, and None"
        got, guess, memory = result
        wanted, wanted_guess = right(z, t, s)
        if 0 in asked:
            return "you ask at s = 0, where no noise is left and no network was ever trained"
        if not _close(got, wanted):
            for hint, mistaken in mistakes(z, t, s).items():
                if _close(got, mistaken) and not torch.allclose(mistaken, wanted):
                    return hint
            return f"the step from t = {t} to s = {s} ends somewhere else; draw it, then follow it"
        if not _close(guess, wanted_guess):
            return "the new z is right; the second thing to return is the guess D that was used"
        z = wanted
    return None


# --- 5.4-3 ----------------------------------------------------------------------------------------


def _heun(z: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    D = _guess(z, t)
    if s > 0:
        D = (D + _guess(_line(z, t, s, D), s)) / 2
    return _line(z, t, s, D), D


def _heun_mistakes(z: Tensor, t: Tensor, s: Tensor) -> dict[str, Tensor]:
    first, clean = _guess(z, t), s.clamp(min=1)
    landing = _line(z, t, s, first)
    second = _guess(landing, clean)
    return {
        "that is DDIM: ask a second time, where its step lands": landing,
        "you use the second guess alone; Heun takes the mean of both": _line(z, t, s, second),
        "at the landing place the noise is that of s: ask denoise(landing, s)": _line(
            z, t, s, (first + _guess(landing, t)) / 2
        ),
        "ask the second time at the landing place, not in z": _line(
            z, t, s, (first + _guess(z, clean)) / 2
        ),
        "take the whole step anew, from z; you set out from the landing place": _line(
            landing, t, s, (first + second) / 2
        ),
        "the mean has a half in it: D = (first + second) / 2": _line(z, t, s, first + second),
    }


def _code(name: str, D: str, start: str = "z", asks: str = "s > 0", result: str = "") -> str:
    """An answer whose step from ``start`` uses ``D``, in terms of first, landing, middle, half."""
    result = result or f"line({start}, t, s, D, schedule), D, None"
    return (
        f"def {name}(z, t, s, denoise, schedule, memory=None):\n"
        "    first = D = denoise(z, t).z0\n"
        "    landing, middle = line(z, t, s, first, schedule), (t + s) // 2\n"
        "    half = line(z, t, middle, first, schedule)\n"
        f"    if {asks}:\n        D = {D}\n"
        f"    return {result}"
    )


HEUN = Exercise(
    id="5.4-3",
    title="Heun's step in the book's signature",
    setup=LINE,
    stub='''
def my_heun(z, t, s, denoise, schedule, memory=None):
    """z (B, d) at time t -> z at time s (B, d), the guess that was used (B, d), None."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def my_heun(z, t, s, denoise, schedule, memory=None):
    """z (B, d) at time t -> z at time s (B, d), the guess that was used (B, d), None."""
    D = denoise(z, t).z0
    if s > 0:
        D = (D + denoise(line(z, t, s, D, schedule), s).z0) / 2
    return line(z, t, s, D, schedule), D, None
''',
    answer="my_heun",
    check=lambda step: _check_step_by_step(step, _heun, _heun_mistakes),
    hint="Guess, land, guess again there, and step anew from z with the mean. But not if s is 0.",
    wrong=(
        (_code("my_heun", "first"), "that is DDIM"),
        (_code("my_heun", "denoise(landing, s).z0"), "second guess alone"),
        (_code("my_heun", "(first + denoise(landing, t).z0) / 2"), "that of s"),
        (_code("my_heun", "(first + denoise(z, s).z0) / 2"), "not in z"),
        (_code("my_heun", "(first + denoise(landing, s).z0) / 2", "landing"), "anew, from z"),
        (_code("my_heun", "first + denoise(landing, s).z0"), "a half in it"),
        (_code("my_heun", "(first + denoise(landing, s).z0) / 2", asks="True"), "at s = 0"),
        (_code("my_heun", "first", result="landing"), "three things"),
        (
            _code("my_heun", "first", result="line(z, t, s, D, schedule) + 1, D, None"),
            "somewhere else",
        ),
        (
            _code(
                "my_heun", "(first + denoise(landing, s).z0) / 2",
                result="line(z, t, s, D, schedule), first + 1, None",
            ),
            "second thing to return",
        ),
    ),
    praise="any walk can use it: minildm.sample(denoise, schedule, z_T, times, my_heun).",
)  # fmt: skip


# --- 5.4-4 ----------------------------------------------------------------------------------------


def _midpoint(z: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    D, middle = _guess(z, t), (t + s) // 2
    if middle > s:
        D = _guess(_line(z, t, middle, D), middle)
    return _line(z, t, s, D), D


def _midpoint_mistakes(z: Tensor, t: Tensor, s: Tensor) -> dict[str, Tensor]:
    first, middle = _guess(z, t), (t + s) // 2
    half = _line(z, t, middle, first)
    second = _guess(half, middle)
    return {
        "that is DDIM: ask a second time, in the middle of the step": _line(z, t, s, first),
        "the mean of two guesses is Heun's; here the one in the middle counts alone": _line(
            z, t, s, (first + second) / 2
        ),
        "take the whole step from z at t, with the guess of the middle": _line(
            half, middle, s, second
        ),
        "half a step along the guess changes z, too: ask at line(z, t, middle, guess)": _line(
            z, t, s, _guess(z, middle)
        ),
    }


MIDPOINT = Exercise(
    id="5.4-4",
    title="the midpoint rule as a step",
    setup=LINE,
    stub='''
def midpoint(z, t, s, denoise, schedule, memory=None):
    """z (B, d) at time t -> z at time s (B, d), the guess that was used (B, d), None."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def midpoint(z, t, s, denoise, schedule, memory=None):
    """z (B, d) at time t -> z at time s (B, d), the guess that was used (B, d), None."""
    D, middle = denoise(z, t).z0, (t + s) // 2
    if middle > s:
        D = denoise(line(z, t, middle, D, schedule), middle).z0
    return line(z, t, s, D, schedule), D, None
''',
    answer="midpoint",
    check=lambda step: _check_step_by_step(step, _midpoint, _midpoint_mistakes),
    hint="The line takes you to any time: first to the middle, to ask; then from z all the way.",
    wrong=(
        (_code("midpoint", "first", asks="False"), "that is DDIM"),
        (
            _code("midpoint", "(first + denoise(half, middle).z0) / 2", asks="middle > s"),
            "counts alone",
        ),
        (
            _code(
                "midpoint", "denoise(half, middle).z0", asks="middle > s",
                result="line(half, middle, s, D, schedule) if middle > s else landing, D, None",
            ),
            "the whole step from z",
        ),
        (_code("midpoint", "denoise(z, middle).z0", asks="middle > s"), "changes z, too"),
        (_code("midpoint", "denoise(half, middle).z0", asks="True", result="half"), "three things"),
    ),
    praise="also of order 2, with two calls a step: that is what any second opinion costs.",
)  # fmt: skip

STEPS = [STEP, HEUN, MIDPOINT]
