"""Exercises of chapter 8 on what came after 2024: average velocities, unbiased distances."""

import math

import torch

from book.exercises import Exercise

# --- 8-7 ------------------------------------------------------------------------------------------


def _check_to_the_point(average) -> str | None:
    cases = ((0.7, 0.4, 1.5), (-2.0, 0.9, 0.5), (3.0, 1.0, -1.0))
    got = [float(average(*(torch.tensor(x).double() for x in case))) for case in cases]

    def same(form):
        return all(math.isclose(g, form(*c), rel_tol=1e-5) for g, c in zip(got, cases, strict=True))

    if same(lambda z, t, mu: (z - mu) / t):
        return None
    if same(lambda z, t, mu: z - mu):
        return "that is the whole way from z to the point; the velocity is the way over the time"
    if same(lambda z, t, mu: (mu - z) / t):
        return "the sign: z_r = z - (t - r) times it, so it points away from the data"
    if same(lambda z, t, mu: (z - (1 - t) * mu) / t):
        return "that is eps; the velocity is eps - z0, and z0 = mu is still to be subtracted"
    if same(lambda z, t, mu: (z - mu) / (1 - t) if t < 1 else math.inf):
        return "the walk goes from t down to 0: it takes the time t, not 1 - t"
    if same(lambda z, t, mu: z / t - mu):
        return "z - (1 - t) mu, over t, minus mu: what is left of the two terms with mu?"
    return f"for z, t, mu = 0.7, 0.4, 1.5 it is -2; yours says {got[0]:.3g}"


TO_THE_POINT = Exercise(
    id="8-7",
    title="the average velocity where the data are one point",
    setup="",
    stub="""
def to_the_point(z, t, mu):
    return ...  # YOUR CODE HERE: the average velocity from t down to 0
""",
    solution="""
def to_the_point(z, t, mu):
    return (z - mu) / t  # the walk ends at mu, after a time t
""",
    answer="to_the_point",
    check=_check_to_the_point,
    hint="Where does every walk end, if all data are mu? Divide the way by the time.",
    wrong=(
        ("def to_the_point(z, t, mu):\n    return z - mu\n", "whole way"),
        ("def to_the_point(z, t, mu):\n    return (mu - z) / t\n", "the sign"),
        ("def to_the_point(z, t, mu):\n    return (z - (1 - t) * mu) / t\n", "that is eps"),
        ("def to_the_point(z, t, mu):\n    return (z - mu) / (1.0000001 - t)\n", "it is -2"),
        ("def to_the_point(z, t, mu):\n    return z / t - mu\n", "what is left"),
        ("def to_the_point(z, t, mu):\n    return 0.0\n", "it is -2"),
    ),
    praise="of one point every line is straight, so the average velocity is the velocity.",
)

# --- 8-8 ------------------------------------------------------------------------------------------


def _check_excess(excess) -> str | None:
    excess = float(excess)

    def near(number):
        return math.isclose(excess, number, rel_tol=1e-6)

    if near(2.4):
        return None
    if near(24):
        return "that is E kappa(phi, phi) - E kappa(phi, phi'); only n of n² pairs are such pairs"
    if near(0.24):
        return "divide by n = 10 once: n pairs of n² have i = j, a share of 1 / n"
    if near(2.8):
        return "2.8 is what the pairs i = j add; the pairs in their places would have the mean 4"
    if any(near(x) for x in (1.8, 0.6, 0.4, -0.4)):
        return "the moments: E phi^2 = 1, E phi^4 = 3 and E phi^6 = 15"
    if near(-2.4):
        return "a vector is more like itself than like another one: the estimate is too large"
    return f"expand both cubes and take the means term by term; you said {excess:.3g}"


EXCESS = Exercise(
    id="8-8",
    title="the bias of pairs of a picture with itself, on paper",
    setup="",
    stub="excess = ...  # YOUR CODE HERE: a number",
    solution="""
# E (phi^2 + 1)^3 = 15 + 3 * 3 + 3 + 1 = 28, and E (phi phi' + 1)^3 = 3 + 1 = 4: odd terms vanish
excess = (28 - 4) / 10
""",
    answer="excess",
    check=_check_excess,
    hint="E kappa(phi, phi) = E (phi^2 + 1)^3 needs E phi^6 = 15. With phi' the odd terms vanish.",
    wrong=(
        ("excess = 24", "only n of n²"),
        ("excess = 0.24", "once"),
        ("excess = 2.8", "the mean 4"),
        ("excess = 0.6", "the moments"),
        ("excess = -2.4", "too large"),
        ("excess = 1.0", "term by term"),
    ),
    praise="and it falls like 1 / n, whatever the pictures are.",
)

RECENT = [TO_THE_POINT, EXCESS]
