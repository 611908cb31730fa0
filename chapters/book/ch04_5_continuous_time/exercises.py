"""Exercises of chapter 4.5, continuous time: each a derivation with a result to check."""

import torch
from torch import Tensor

from book.exercises import Exercise


def _numbers(*values: float) -> list[Tensor]:
    """What an answer is given: single numbers as tensors, so that every spelling works."""
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def _close(got: float, wanted: float) -> bool:
    return abs(got - wanted) <= 1e-4 * abs(wanted) + 1e-9


def _pick(got: float, known: dict[str, float]) -> str | None:
    """The complaint whose value was given."""
    return next((words for words, value in known.items() if _close(got, value)), None)


# --- 4.5-1 ----------------------------------------------------------------------------------------


def _check_curvature(gaussian_curvature) -> str | None:
    for variance, a, b in ((2.0, 0.6, 0.8), (0.3, 0.96, 0.28)):
        second, open_part = (float(x) for x in gaussian_curvature(*_numbers(variance, a, b)))
        c = a**2 * variance + b**2
        if not _close(second, -1 / c):
            return _pick(second, {
                "the sign: log q is a parabola that opens downwards": 1 / c,
                "that is the variance of z_t; the second derivative is minus one over it": c,
                "the noise adds to the variance of z_t: a² V + b²": -1 / (a**2 * variance),
                "z_t has the variance a² V + b²: the signal counts squared": (
                    -1 / (a * variance + b)
                ),
            }) or f"(log q)'' should be {-1 / c:.4g} here; yours is {second:.4g}"
        if not _close(open_part, variance * b**2 / c):
            return _pick(open_part, {
                "the factor b²/a² in front is missing": 1 - b**2 / c,
                "the curvature is multiplied by b², a variance, not by b": (
                    b**2 / a**2 * (1 - b / c)
                ),
                "that is what z_t tells; what it leaves open is the rest of V": (
                    variance - variance * b**2 / c
                ),
            }) or f"Var(z0 | z_t) should be {variance * b**2 / c:.4g}; not {open_part:.4g}"
    return None


def _curvature(second: str, open_part: str) -> str:
    return (
        "def gaussian_curvature(v, a, b):\n    c = a**2 * v + b**2\n"
        f"    return {second}, {open_part}"
    )


CURVATURE = Exercise(
    id="4.5-1",
    title="curvature and uncertainty of a Gaussian",
    setup="",
    stub='''
def gaussian_curvature(variance, a, b):
    """((log q)'', Var(z0 | z_t)) for data of this variance and z_t = a z0 + b eps."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def gaussian_curvature(variance, a, b):
    """((log q)'', Var(z0 | z_t)) for data of this variance and z_t = a z0 + b eps."""
    c = a**2 * variance + b**2  # of z_t, so log q = -(z_t - a m)² / 2c + const
    # b²/a² (1 - b²/c) = b²/a² · a² variance / c
    return -1 / c, variance * b**2 / c
''',
    answer="gaussian_curvature",
    check=_check_curvature,
    hint="q(z_t) is a Gaussian; what is its variance? The logarithm of a Gaussian density is a "
    "parabola. In (4.5.4), put both terms over one denominator.",
    wrong=(
        (_curvature("1 / c", "v * b**2 / c"), "opens downwards"),
        (_curvature("c", "v * b**2 / c"), "minus one over it"),
        (_curvature("-1 / (a**2 * v)", "v * b**2 / c"), "the noise adds"),
        (_curvature("-1 / (a * v + b)", "v * b**2 / c"), "counts squared"),
        (_curvature("-1.0", "v * b**2 / c"), "(log q)'' should be"),
        (_curvature("-1 / c", "1 - b**2 / c"), "in front is missing"),
        (_curvature("-1 / c", "b**2 / a**2 * (1 - b / c)"), "not by b"),
        (_curvature("-1 / c", "v - v * b**2 / c"), "the rest of V"),
        (_curvature("-1 / c", "v"), "Var(z0 | z_t) should be"),
    ),
    praise="that is (4.3.10), found from log q alone: V - a² V² / c is the same number.",
)


# --- 4.5-2 ----------------------------------------------------------------------------------------


def _check_velocity(flow_velocity) -> str | None:
    z_t, z0 = torch.tensor([1.0, -0.3]), torch.tensor([0.4, 0.9])
    for t in (0.25, 0.8):
        got = torch.as_tensor(flow_velocity(z_t, z0, torch.tensor(t))).double()
        if got.shape != (2,):
            return "a velocity for each entry of z_t: the same shape"
        eps = (z_t - (1 - t) * z0) / t
        known = {
            "": eps - z0,
            "the sign: t runs from data to noise, so the velocity points to the noise": z0 - eps,
            "that is eps_hat; the velocity is a' z0_hat + b' eps_hat with a' = -1": eps,
            "eps_hat is (z_t - (1 - t) z0_hat) / t: divide by t": z_t - (1 - t) * z0 - z0,
            "that subtracts z0_hat, but forgets to divide by t": z_t - z0,
            "divide by t, the noise factor, not by 1 - t": (z_t - z0) / (1 - t),
        }
        for complaint, value in known.items():
            if torch.allclose(got, value.double(), rtol=1e-4, atol=1e-5):
                if complaint:
                    return complaint
                break
        else:
            return "u = -z0_hat + eps_hat, and z_t = (1 - t) z0_hat + t eps_hat gives eps_hat"
    return None


def _velocity(result: str) -> str:
    return f"def flow_velocity(z, z0, t):\n    return {result}"


VELOCITY = Exercise(
    id="4.5-2",
    title="the velocity of flow matching, from z_t and the estimate of z0",
    setup="import torch",
    stub='''
def flow_velocity(z_t, z0_hat, t):
    """The velocity of the flow at time t > 0 for z_t = (1 - t) z0 + t eps."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def flow_velocity(z_t, z0_hat, t):
    """The velocity of the flow at time t > 0 for z_t = (1 - t) z0 + t eps."""
    # a' = -1 and b' = 1: u = eps_hat - z0_hat, with eps_hat = (z_t - (1 - t) z0_hat) / t
    return (z_t - z0_hat) / t
''',
    answer="flow_velocity",
    check=_check_velocity,
    hint="a' = -1 and b' = 1, so u = -z0_hat + eps_hat. Both estimates belong to one z_t: "
    "z_t = (1 - t) z0_hat + t eps_hat. Solve that for eps_hat.",
    wrong=(
        (_velocity("z.sum()"), "same shape"),
        (_velocity("(z0 - z) / t"), "the sign"),
        (_velocity("(z - (1 - t) * z0) / t"), "that is eps_hat"),
        (_velocity("z - (1 - t) * z0 - z0"), "divide by t"),
        (_velocity("z - z0"), "forgets to divide"),
        (_velocity("(z - z0) / (1 - t)"), "not by 1 - t"),
        (_velocity("z * z0"), "gives eps_hat"),
    ),
    praise="the network of flow matching learns E[eps - z0 | z_t], and its flow has the marginals.",
)


# --- 4.5-3 ----------------------------------------------------------------------------------------


def _check_weights(bound_weights) -> str | None:
    for before, now in ((3.0, 1.7), (0.05, 0.02)):
        for_eps, for_v = (float(x) for x in bound_weights(*_numbers(before, now)))
        z0 = (before - now) / 2
        if not _close(for_eps, z0 / now):
            return _pick(for_eps, {
                "that is the weight for z0; an error in eps is SNR_t times as large": z0,
                "divide by SNR_t: |z0 - z0_hat|² = |eps - eps_hat|² / SNR_t": z0 * now,
                "the factor 1/2 of (4.5.14) is missing": 2 * z0 / now,
                "the network sees z_t: the SNR at t, not at t - 1": z0 / before,
                "the sign: the SNR falls with t, so SNR_(t-1) is the larger one": -z0 / now,
            }) or f"the weight for eps should be {z0 / now:.4g}; yours is {for_eps:.4g}"
        if not _close(for_v, z0 / (1 + now)):
            return _pick(for_v, {
                "for v: |z0 - z0_hat|² = b² |v - v_hat|², and b² = 1 / (1 + SNR)": z0,
                "for v: that is a², the signal; the factor of v_hat is b": z0 * now / (1 + now),
                "for v: multiply by b² = 1 / (1 + SNR), do not divide by it": z0 * (1 + now),
                "for v: b is squared with the error": z0 / (1 + now) ** 0.5,
            }) or f"the weight for v should be {z0 / (1 + now):.4g}; yours is {for_v:.4g}"
    return None


def _weights(for_eps: str, for_v: str = "d / (1 + q)") -> str:
    return f"def bound_weights(p, q):\n    d = (p - q) / 2\n    return {for_eps}, {for_v}"


WEIGHTS = Exercise(
    id="4.5-3",
    title="the bound's weights for errors in eps and in v",
    setup="",
    stub='''
def bound_weights(snr_before, snr_now):
    """(weight of |eps - eps_hat|², weight of |v - v_hat|²) in L_{t-1}: SNR at t - 1 and at t."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def bound_weights(snr_before, snr_now):
    """(weight of |eps - eps_hat|², weight of |v - v_hat|²) in L_{t-1}: SNR at t - 1 and at t."""
    for_z0 = (snr_before - snr_now) / 2
    return for_z0 / snr_now, for_z0 / (1 + snr_now)
''',
    answer="bound_weights",
    check=_check_weights,
    hint="Put the two expressions for |z0 - z0_hat|² into (4.5.14). For v: the same z_t for truth "
    "and estimate, so z0 - z0_hat = -b (v - v_hat).",
    wrong=(
        (_weights("d"), "the weight for z0"),
        (_weights("d * q"), "divide by SNR_t"),
        (_weights("2 * d / q"), "is missing"),
        (_weights("d / p"), "not at t - 1"),
        (_weights("-d / q"), "the sign"),
        (_weights("7.0"), "the weight for eps should be"),
        (_weights("d / q", "d"), "b² |v - v_hat|²"),
        (_weights("d / q", "d * q / (1 + q)"), "the signal"),
        (_weights("d / q", "d * (1 + q)"), "do not divide"),
        (_weights("d / q", "d / (1 + q) ** 0.5"), "is squared"),
        (_weights("d / q", "7.0"), "the weight for v should be"),
    ),
    praise="the first is (SNR_(t-1) / SNR_t - 1) / 2: in eps the bound is flat in log SNR.",
)

EXERCISES = [CURVATURE, VELOCITY, WEIGHTS]
