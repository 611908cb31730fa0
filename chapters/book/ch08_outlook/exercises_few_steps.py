"""Exercises of chapter 8 on paper: what a student should see, and when it has paid for itself."""

import math
from collections.abc import Callable

import torch

from book.exercises import Exercise
from minildm.schedule import CosineSchedule

# --- 8-5 ------------------------------------------------------------------------------------------


def _share(a_t, b_t, a_m, b_m, a_s, b_s) -> float:
    """The share of the first guess: the gain of signal / noise in the first step, of the whole.

    Each step turns guess and latent into signal / noise: with l = a / b, z_s / b_s is
    z_t / b_t + (l_m - l_t) z0_first + (l_s - l_m) z0_second.
    """
    return (b_s * a_m / b_m - b_s * a_t / b_t) / (a_s - b_s * a_t / b_t)


_MISTAKES: dict[str, Callable[..., float]] = {
    "that is the share of the second guess": lambda *f: 1 - _share(*f),
    "a plain mean would be right if both steps gained as much signal / noise": lambda *_: 0.5,
    "in the second step z_m is scaled by noise_s / noise_m, and the first guess with it": (
        lambda a_t, b_t, a_m, b_m, a_s, b_s: (a_m - b_m / b_t * a_t) / (a_s - b_s / b_t * a_t)
    ),
    "the gains are those of signal / noise, not of its square, the SNR": (
        lambda a_t, b_t, a_m, b_m, a_s, b_s: (
            ((a_m / b_m) ** 2 - (a_t / b_t) ** 2) / ((a_s / b_s) ** 2 - (a_t / b_t) ** 2)
        )
    ),
    "the gains are those of signal / noise; the signal alone is not enough": (
        lambda a_t, b_t, a_m, b_m, a_s, b_s: (a_m - a_t) / (a_s - a_t)
    ),
    "that is the first guess's part of z_s; divide as (8.5) does": (
        lambda a_t, b_t, a_m, b_m, a_s, b_s: b_s * a_m / b_m - b_s * a_t / b_t
    ),
}


def _check_share(share) -> str | None:
    schedule, cases = CosineSchedule(), ((0.9, 0.6, 0.2), (0.7, 0.5, 0.4))
    factors = [[f for t in case for f in schedule(torch.tensor(t).double())] for case in cases]
    got = [float(share(*f)) for f in factors]

    def same(form: Callable[..., float]) -> bool:
        wanted = [float(form(*f)) for f in factors]
        return all(math.isclose(g, w, rel_tol=1e-4) for g, w in zip(got, wanted, strict=True))

    for complaint, form in _MISTAKES.items():
        if same(form):
            return complaint
    if not same(_share):
        return "write z_s with z_t and both guesses, subtract k z_t, divide as (8.5) does"
    last = [f for t in (0.5, 0.25, 0.0) for f in schedule(torch.tensor(t).double())]
    if abs(float(share(*last))) < 1e-6:
        return None
    return "right, but for s = 0, where noise_s is 0: multiply above and below by noise_s"


_SIX = "signal_t, noise_t, signal_m, noise_m, signal_s, noise_s"


def _share_code(*lines: str) -> str:
    return f"def share_of_first({_SIX}):\n    " + "\n    ".join(lines) + "\n"


_FIRST = "first = noise_s * signal_m / noise_m - noise_s * signal_t / noise_t"
_WHOLE = "whole = signal_s - noise_s * signal_t / noise_t"

SHARE = Exercise(
    id="8-5",
    title="how a student's target mixes its teacher's two guesses",
    setup="",
    stub=f"""
def share_of_first({_SIX}):
    return ...  # YOUR CODE HERE: a number from 0 to 1; noise_s may be 0
""",
    solution=_share_code(
        "# z_m = k1 z_t + (signal_m - k1 signal_t) z0_first, and so on to z_s; then (8.5)",
        _FIRST, _WHOLE, "return first / whole",
    ),
    answer="share_of_first",
    check=_check_share,
    hint="Divide a DDIM step by the noise where it ends: z_m / noise_m is z_t / noise_t plus a "
    "number times the guess. Which number? Do it twice.",
    wrong=(
        (_share_code(_FIRST, _WHOLE, "return 1 - first / whole"), "of the second guess"),
        (_share_code("return 0.5"), "plain mean"),
        (
            _share_code(_WHOLE, "return (signal_m - noise_m / noise_t * signal_t) / whole"),
            "the first guess with it",
        ),
        (
            _share_code(
                "snr_t, snr_m = (signal_t / noise_t) ** 2, (signal_m / noise_m) ** 2",
                "return (snr_m - snr_t) / ((signal_s / noise_s) ** 2 - snr_t)",
            ),
            "not of its square",
        ),
        (
            _share_code("return (signal_m - signal_t) / (signal_s - signal_t)"),
            "signal alone",
        ),
        (_share_code(_FIRST, "return first"), "divide as (8.5)"),
        (_share_code("return 0.1"), "both guesses"),
        (
            _share_code(
                "l_t, l_m = signal_t / noise_t, signal_m / noise_m",
                "return (l_m - l_t) / (signal_s / noise_s - l_t) if noise_s else 1.0",
            ),
            "noise_s is 0",
        ),
    ),
    praise="each guess counts by the signal / noise that its step gains; in the last step, to "
    "clean data, that is without bound, and the first guess drops out.",
)  # fmt: skip

# --- 8-6 ------------------------------------------------------------------------------------------


def _pictures(rounds, steps, batch, before, after) -> float:
    return rounds * steps * batch * 5 / (before - after)


def _check_pays(pays) -> str | None:
    cases = ((4, 300, 64, 16, 1), (3, 1000, 128, 25, 4), (1, 500, 32, 8, 4))
    got = [float(pays(*case)) for case in cases]

    def same(form: Callable[..., float]) -> bool:
        wanted = [form(*case) for case in cases]
        return all(abs(g - w) <= 1 + 1e-6 * w for g, w in zip(got, wanted, strict=True))

    if same(_pictures):
        return None
    for complaint, form in {
        "3 F is one network's share: the teacher's two steps are G = 2 F beside the student's 3 F":
            lambda r, n, b, x, y: r * n * b * 3 / (x - y),
        "the teacher takes two steps for each of the student's: G = 2 F":
            lambda r, n, b, x, y: r * n * b * 4 / (x - y),
        "the teacher only runs forward, it learns nothing: G = 2 F, not 6 F":
            lambda r, n, b, x, y: r * n * b * 9 / (x - y),
        "every picture saves the calls of before *less* those of after":
            lambda r, n, b, x, y: r * n * b * 5 / x,
        "each halving is a training of its own: all rounds are paid":
            lambda r, n, b, x, y: n * b * 5 / (x - y),
        "a call for one picture costs F, forward only":
            lambda r, n, b, x, y: r * n * b * 5 / (3 * (x - y)),
        "that is what the training costs, in F; how many pictures save as much?":
            lambda r, n, b, x, y: r * n * b * 5,
    }.items():  # fmt: skip
        if same(form):
            return complaint
    return f"for {cases[0]} it should be {_pictures(*cases[0]):,.0f}; you said {got[0]:,.6g}"


_PAYS = "def pays_after(rounds, steps, batch, before, after):\n    return "

PAYS = Exercise(
    id="8-6",
    title="after how many pictures a distillation has paid for itself",
    setup="",
    stub="""
def pays_after(rounds, steps, batch, before, after):
    return ...  # YOUR CODE HERE: a number of pictures
""",
    solution="""
def pays_after(rounds, steps, batch, before, after):
    training = rounds * steps * batch * (3 + 2)  # in F: the student's 3 F, the teacher's G = 2 F
    return training / (before - after)  # one picture saves so many calls, each F
""",
    answer="pays_after",
    check=_check_pays,
    hint="(8.6) with G: what does the teacher do for each sample? Then: what does a picture save? "
    "F drops out.",
    wrong=(
        (_PAYS + "rounds * steps * batch * 3 / (before - after)\n", "beside the student's"),
        (_PAYS + "rounds * steps * batch * 4 / (before - after)\n", "takes two steps"),
        (_PAYS + "rounds * steps * batch * 9 / (before - after)\n", "learns nothing"),
        (_PAYS + "rounds * steps * batch * 5 / before\n", "*less*"),
        (_PAYS + "steps * batch * 5 / (before - after)\n", "all rounds"),
        (_PAYS + "rounds * steps * batch * 5 / (3 * (before - after))\n", "forward only"),
        (_PAYS + "rounds * steps * batch * 5\n", "save as much"),
        (_PAYS + "1.0\n", "it should be"),
    ),
    praise="for the four students above (300 steps of 64, from 16 calls to 1): 25,600 pictures.",
)

FEW_STEPS = [SHARE, PAYS]
