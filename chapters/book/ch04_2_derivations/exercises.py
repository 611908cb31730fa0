"""Exercises of chapter 4.2, the derivations."""

import math

import torch

from book.exercises import Exercise

# --- 4.2-1 ----------------------------------------------------------------------------------------


def _check_merge(merge) -> str | None:
    for m1, v1, m2, v2 in ((1.0, 4.0, -2.0, 1.0), (0.5, 0.2, 0.7, 3.0)):
        given = (torch.tensor(value, dtype=torch.float64) for value in (m1, v1, m2, v2))
        mean, variance = (float(part) for part in merge(*given))
        right_variance = v1 * v2 / (v1 + v2)
        right_mean = (m1 * v2 + m2 * v1) / (v1 + v2)
        if not math.isclose(variance, right_variance, rel_tol=1e-5):
            if math.isclose(variance, v1 + v2, rel_tol=1e-5):
                return "v1 + v2 is the variance of a *sum*; a product of densities adds 1/v1 + 1/v2"
            if math.isclose(variance, 1 / v1 + 1 / v2, rel_tol=1e-5):
                return "that is A, the precision; the variance is 1/A"
            if math.isclose(variance, (v1 + v2) / 2, rel_tol=1e-5):
                return "not the average: two measurements together are better than each alone"
            return f"the variance should be {right_variance:.4g} here; yours is {variance:.4g}"
        if not math.isclose(mean, right_mean, rel_tol=1e-5):
            if math.isclose(mean, (m1 + m2) / 2, rel_tol=1e-5):
                return "the plain average forgets that the sharper measurement counts more"
            if math.isclose(mean, (m1 * v1 + m2 * v2) / (v1 + v2), rel_tol=1e-5):
                return "each mean is weighted by the variance of the *other* one"
            if math.isclose(mean, m1 / v1 + m2 / v2, rel_tol=1e-5):
                return "that is B; the mean is B/A"
            return f"the mean should be {right_mean:.4g} here; yours is {mean:.4g}"
    return None


def _merge(mean: str, variance: str) -> str:
    return f"def merge(m1, v1, m2, v2):\n    return {mean}, {variance}"


_VARIANCE = "v1 * v2 / (v1 + v2)"

MERGE = Exercise(
    id="4.2-1",
    title="the product of two Gaussian densities",
    setup="",
    stub='''
def merge(m1, v1, m2, v2):
    """Mean and variance of the density proportional to N(z; m1, v1) N(z; m2, v2)."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def merge(m1, v1, m2, v2):
    """Mean and variance of the density proportional to N(z; m1, v1) N(z; m2, v2)."""
    A = 1 / v1 + 1 / v2  # the exponent is A z² - 2 B z + ...
    B = m1 / v1 + m2 / v2
    return B / A, 1 / A
''',
    answer="merge",
    check=_check_merge,
    hint="Collect the powers of z in (z - m1)²/v1 + (z - m2)²/v2. The factor of z² is A, that of "
    "-2z is B.",
    wrong=(
        (_merge("(m1 * v2 + m2 * v1) / (v1 + v2)", "v1 + v2"), "variance of a *sum*"),
        (_merge("m1 / v1 + m2 / v2", "1 / v1 + 1 / v2"), "the precision"),
        (_merge("(m1 + m2) / 2", "(v1 + v2) / 2"), "not the average"),
        (_merge("m1", "v1 * v2"), "the variance should be"),
        (_merge("(m1 + m2) / 2", _VARIANCE), "sharper measurement"),
        (_merge("(m1 * v1 + m2 * v2) / (v1 + v2)", _VARIANCE), "the *other* one"),
        (_merge("m1 / v1 + m2 / v2", _VARIANCE), "the mean is B/A"),
        (_merge("m1 - m2", _VARIANCE), "the mean should be"),
    ),
    praise="the posterior is this, with one measurement from z_t and one from z_0.",
)


# --- 4.2-2 ----------------------------------------------------------------------------------------


def _check_score(score_from_v) -> str | None:
    v_hat, z_t = torch.tensor([0.7, -1.1, 2.0]), torch.tensor([0.2, 1.5, -0.4])
    for alpha_bar in (0.8, 0.3):
        a, b = torch.tensor([alpha_bar, 1 - alpha_bar]).sqrt()
        got = torch.as_tensor(score_from_v(v_hat, z_t, a, b)).float()
        if got.shape != (3,):
            return "one number for each entry of z_t: the result has the shape of z_t"
        eps, z0 = b * z_t + a * v_hat, a * z_t - b * v_hat
        if torch.allclose(got, -eps / b, rtol=1e-4, atol=1e-5):
            continue
        known = {
            "the sign: the score points away from the noise, it is minus eps over the noise": eps
            / b,
            "that is eps itself; the score is -eps / noise": eps,
            "that is z0; the score comes from eps": z0,
            "divide by the noise, not by its square": -eps / b**2,
            "v is not eps: first solve z_t = a z0 + b eps and v = a eps - b z0 for eps": -v_hat / b,
        }
        for complaint, value in known.items():
            if torch.allclose(got, value, rtol=1e-4, atol=1e-5):
                return complaint
        return "eps = noise z_t + signal v (check it with the two equations); score = -eps / noise"
    return None


def _score(result: str) -> str:
    return f"def score_from_v(v, z, a, b):\n    return {result}"


SCORE = Exercise(
    id="4.2-2",
    title="the score that a v-prediction stands for",
    setup="import torch",
    stub='''
def score_from_v(v_hat, z_t, signal, noise):
    """The estimate of grad log q(z_t) that a v-prediction stands for."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def score_from_v(v_hat, z_t, signal, noise):
    """The estimate of grad log q(z_t) that a v-prediction stands for."""
    eps_hat = noise * z_t + signal * v_hat  # from z_t = a z0 + b eps and v = a eps - b z0
    return -eps_hat / noise
''',
    answer="score_from_v",
    check=_check_score,
    hint="Multiply z_t = a z0 + b eps by b and v = a eps - b z0 by a, and add: z0 drops out, and "
    "a² + b² = 1. Then use (4.2.14).",
    wrong=(
        (_score("(z.sum() + v.sum())"), "shape of z_t"),
        (_score("(b * z + a * v) / b"), "the sign"),
        (_score("b * z + a * v"), "that is eps"),
        (_score("a * z - b * v"), "that is z0"),
        (_score("-(b * z + a * v) / b**2"), "not by its square"),
        (_score("-v / b"), "v is not eps"),
        (_score("z * v"), "check it with the two equations"),
    ),
    praise="near pure noise the score is almost -z_t: the score of N(0, I).",
)


# --- 4.2-3 ----------------------------------------------------------------------------------------


def _check_ddim(ddim_by_hand) -> str | None:
    z_t, eps = torch.tensor([1.0, -0.3]), torch.tensor([0.4, 0.9])
    a, b, a_s, b_s = torch.tensor([0.6, 0.8, 0.96, 0.28])
    got = torch.as_tensor(ddim_by_hand(z_t, eps, a, b, a_s, b_s)).float()
    if got.shape != (2,):
        return "the result is a point like z_t: same shape"
    z0 = (z_t - b * eps) / a
    if torch.allclose(got, a_s * z0 + b_s * eps, rtol=1e-4, atol=1e-5):
        return None
    known = {
        "that is the estimate of z0; it still has to be noised to time s": z0,
        "the signal is there; the noise of time s is missing: noise_s · eps_hat": a_s * z0,
        "the noise factor must be that of s, the time that you go to": a_s * z0 + b * eps,
        "the signal factor must be that of s, the time that you go to": a * z0 + b_s * eps,
        "this subtracts the noise, but forgets to divide by signal_t": a_s * (z_t - b * eps)
        + b_s * eps,
        "this only swaps the noise; the clean part must be rescaled too": z_t - b * eps + b_s * eps,
    }
    for complaint, value in known.items():
        if torch.allclose(got, value, rtol=1e-4, atol=1e-5):
            return complaint
    return (
        "first z0_hat = (z_t - noise_t eps_hat) / signal_t, then signal_s z0_hat + noise_s eps_hat"
    )


def _ddim(result: str) -> str:
    return f"def ddim_by_hand(z, e, a, b, a_s, b_s):\n    return {result}"


DDIM = Exercise(
    id="4.2-3",
    title="one deterministic step from t to s",
    setup="import torch",
    stub='''
def ddim_by_hand(z_t, eps_hat, signal_t, noise_t, signal_s, noise_s):
    """One deterministic step from t to s."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def ddim_by_hand(z_t, eps_hat, signal_t, noise_t, signal_s, noise_s):
    """One deterministic step from t to s."""
    z0_hat = (z_t - noise_t * eps_hat) / signal_t
    return signal_s * z0_hat + noise_s * eps_hat
''',
    answer="ddim_by_hand",
    check=_check_ddim,
    hint="(4.2.28) with sigma = 0: estimate z0 from z_t and eps_hat, then mix the same two parts "
    "with the factors of time s.",
    wrong=(
        (_ddim("float(z.sum())"), "same shape"),
        (_ddim("(z - b * e) / a"), "still has to be noised"),
        (_ddim("a_s * (z - b * e) / a"), "the noise of time s is missing"),
        (_ddim("a_s * (z - b * e) / a + b * e"), "noise factor"),
        (_ddim("a * (z - b * e) / a + b_s * e"), "signal factor"),
        (_ddim("a_s * (z - b * e) + b_s * e"), "divide by signal_t"),
        (_ddim("z"), "first z0_hat"),
    ),
    praise="this is the whole sampler: 25 of these steps draw a picture.",
)


# --- 4.2-4 ----------------------------------------------------------------------------------------


def _check_tilted(tilted) -> str | None:
    for m_u, v_u, m_c, v_c, w in ((0.3, 2.0, 1.0, 0.5, 3.0), (-1.0, 1.0, 0.5, 0.4, 1.5)):
        given = (torch.tensor(value, dtype=torch.float64) for value in (m_u, v_u, m_c, v_c, w))
        mean, variance = (float(part) for part in tilted(*given))
        A, B = (1 - w) / v_u + w / v_c, (1 - w) * m_u / v_u + w * m_c / v_c
        if not math.isclose(variance, 1 / A, rel_tol=1e-4):
            known = {
                "that is the precision A; the variance is 1/A": A,
                "precisions are mixed with 1 - w and w, not variances: the exponent has 1/v": (
                    (1 - w) * v_u + w * v_c
                ),
                "the weights are 1 - w and w: they add to 1": 1 / (1 / v_u + w / v_c),
            }
            for complaint, value in known.items():
                if math.isclose(variance, value, rel_tol=1e-4):
                    return complaint
            return f"with w = {w} the variance should be {1 / A:.4g} here; yours is {variance:.4g}"
        if not math.isclose(mean, B / A, rel_tol=1e-4):
            if math.isclose(mean, (1 - w) * m_u + w * m_c, rel_tol=1e-4):
                return "each mean counts with its precision: a sharp density pulls harder"
            if math.isclose(mean, B, rel_tol=1e-4):
                return "that is B, the factor of -2z; the mean is B/A"
            return f"with w = {w} the mean should be {B / A:.4g} here; yours is {mean:.4g}"
    return None


def _tilted(mean: str, variance: str) -> str:
    code = "    A, B = (1 - w) / vu + w / vc, (1 - w) * mu / vu + w * mc / vc\n"
    return f"def tilted(mu, vu, mc, vc, w):\n{code}    return {mean}, {variance}"


TILTED = Exercise(
    id="4.2-4",
    title="the tilted distribution of two Gaussians",
    setup="",
    stub='''
def tilted(m_u, v_u, m_c, v_c, w):
    """Mean and variance of the density proportional to N(z; m_u, v_u)^(1-w) N(z; m_c, v_c)^w."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def tilted(m_u, v_u, m_c, v_c, w):
    """Mean and variance of the density proportional to N(z; m_u, v_u)^(1-w) N(z; m_c, v_c)^w."""
    # -2 log is (1-w) (z - m_u)²/v_u + w (z - m_c)²/v_c + ... = A z² - 2 B z + ...
    A = (1 - w) / v_u + w / v_c
    B = (1 - w) * m_u / v_u + w * m_c / v_c
    return B / A, 1 / A
''',
    answer="tilted",
    check=_check_tilted,
    hint="A power of a density is a factor before its logarithm. Collect A, the factor of z², and "
    "B, that of -2z, as in (4.2.9); the mean is B/A, the variance 1/A.",
    wrong=(
        (_tilted("B / A", "A"), "is the precision A"),
        (_tilted("B / A", "(1 - w) * vu + w * vc"), "not variances"),
        (_tilted("B / A", "1 / (1 / vu + w / vc)"), "they add to 1"),
        (_tilted("B / A", "vc"), "the variance should be"),
        (_tilted("(1 - w) * mu + w * mc", "1 / A"), "pulls harder"),
        (_tilted("B", "1 / A"), "that is B"),
        (_tilted("mc", "1 / A"), "the mean should be"),
    ),
    praise="it is a Gaussian while A > 0; with v_c > v_u a large w has no distribution at all.",
)

EXERCISES = [MERGE, SCORE, DDIM, TILTED]
