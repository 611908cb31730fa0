"""What the letters of chapter 4's displays without a number stand for: the steps of its proofs."""

import math

import torch
from chapter_04_5 import (
    COSINE,
    COVS,
    DATA,
    GRID,
    MEANS,
    PLACES,
    SCHEDULE,
    WEIGHTS,
    H,
    average,
    beta_of,
    bump,
    clock,
    density,
    factors,
    flow,
    on_path,
    slope,
    time_of,
    two_points,
)
from latexbuiltin import MATRICES
from latexvalue import Rule
from pageforms import shows
from quadrature import hermite, legendre
from registry import points
from symbols import last_norm, number, table

from book.ch04_3_gaussian.gaussian_case import backward, denoising_cov, marginal
from minildm.denoise import gaussian_denoiser, mixture_denoiser
from minildm.predict import EPS
from minildm.process import posterior
from minildm.samplers import ddpm, heun

TABLE = table(SCHEDULE)


# --- 4.1 ------------------------------------------------------------------------------------------


@shows(
    "04_1 what-it-says",
    harmless={
        r"bar lost: lon-\bar\epsil": "the left factor is 0",
        r"letter mistaken both \bar\epsilon: angle\epsilon-\bar\epsilon,\;\b": "it is 0 here, too",
        r"letter mistaken both \bar\epsilon: on,\;\bar\epsilon-f\big": "the right factor is 0",
        r"letter mistaken both f: on,\;\bar\epsilon-f\big": "the right factor is 0",
        r"minus lost: psilon-f\bi": "any function of z_t has the product 0 with the left factor",
        r"minus lost: n(z_t)-f(z_t": "any function of z_t has the product 0 with the left factor",
    },
)
def cross_term():
    """The mean of eps given z_t, by the package's oracle and by Bayes' rule."""
    for t in (0.4, 0.8):
        _, eps, mean, z_t, shares = two_points(t)
        oracle = mixture_denoiser(COSINE, WEIGHTS, MEANS, 0 * COVS)
        best, (a, b) = oracle(z_t, clock(t)).eps, factors(t)
        by_bayes = (shares * (z_t - a * MEANS[:, 0]) / b).sum(1, keepdim=True)
        yield {
            r"\mathbb E": mean, r"\epsilon": eps, r"\bar\epsilon": best, "f": z_t.cos(),
            r"\bar\epsilon(z_t)": best, "f(z_t)": z_t.cos(), "tolerance": 1e-6,
            r"\mathbb E[\epsilon - \bar\epsilon \mid z_t]": by_bayes - best,
        }  # fmt: skip


@shows("04_1 loss-depends-text")
def evidence_bound():
    """A linear decoder, one pixel: with q the exact posterior the bound is reached."""
    slope_, variance, x, (nodes, weights) = 1.7, 0.5, 0.4, hermite(20)
    law = slope_**2 + variance  # the variance of x
    mean, spread = slope_ * x / law, variance / law
    z = mean + spread**0.5 * nodes
    divergence = (mean**2 + spread - 1 - math.log(spread)) / 2
    yield {
        r"\log p(x)": -(x**2 / law + math.log(2 * math.pi * law)) / 2,
        r"\mathbb E_{q(z \mid x)}": lambda values: float((weights * values).sum()),
        r"\log p(x \mid z)": bump(torch.tensor(x), slope_ * z, variance).log(),
        r"\mathrm{KL}\big(q(z \mid x) \,\|\, \mathcal N(0, I)\big)": divergence,
        r"\le": lambda a, b: abs(a - b) < 1e-9, r"\ge": lambda a, b: False,
    }  # fmt: skip


# --- 4.2 ------------------------------------------------------------------------------------------


@shows("04_2 what-went-wrong", "04_2 right-argument", "04_2 right-argument 2")
def factors_of_a_step():
    for t in (2, 60, 200):
        yield TABLE | {"t": t, "tolerance": 1e-7}


@shows(
    "04_5 reverse-family-text",
    harmless={
        r"subscripts swapped: alpha_t)(1-\bar\alpha_{t-1})}.": "the two are factors of a product",
    },
)
def factor_of_the_error():
    yield from factors_of_a_step()


@shows("04_2 weights")
def means_of_a_step():
    """The posterior's mean for the true z_0, and the mean of the package's step."""
    z_t, eps, eps_hat = points(5, 2), points(5, 2, seed=1), points(5, 2, seed=2)
    for t in (2, 60, 200):
        signal, noise = SCHEDULE(t)
        z0 = EPS.solve(eps, z_t, signal, noise)[0]
        guess = EPS.solve(eps_hat, z_t, signal, noise)
        step = torch.tensor(t), torch.tensor(t - 1)
        known = ddpm(z_t, *step, lambda z, t, g=guess: _Guess(*g), SCHEDULE, draw=torch.zeros_like)
        yield TABLE | {
            r"\tilde\mu_t": posterior(SCHEDULE, z_t, z0, t, t - 1).mean, r"\mu_\theta": known[0],
            r"\lVert": last_norm, r"\tau_t": 0.7, "t": t, r"\epsilon": eps,
            r"\hat\epsilon": eps_hat, "tolerance": 1e-6,
        }  # fmt: skip


class _Guess:
    def __init__(self, z0, eps):
        self.z0, self.eps = z0, eps


def _along_the_flow(denoise, z, t: float, of):
    """The derivative of ``of(z_t, t)`` where z_t follows the ODE: two short steps of Heun."""
    now, here = clock(t), of(z, t)
    near, far = (
        (here - of(heun(z, now, now - d, denoise, COSINE)[0], t - d)) / d for d in (H / 2, H)
    )
    return 2 * near - far


@shows("04_2 ode")
def solved_by_a_clock():
    z, denoise = points(7, 1), mixture_denoiser(COSINE, WEIGHTS, MEANS, COVS)
    for t in (0.3, 0.7):
        (a, b), guess = factors(t), denoise(z, clock(t))
        later, earlier = (factors(t + d)[0] / factors(t + d)[1] for d in (H, -H))
        yield {
            r"\frac{d}{dt}\frac{z}{b}": _along_the_flow(
                denoise, z, t, lambda z, t: z / factors(t)[1]
            ),
            r"\frac{d}{dt}\frac ab": (later - earlier) / (2 * H), r"\hat z_0": guess.z0,
            r"\hat\epsilon": guess.eps, "a": a, "b": b, "a'": -math.pi / 2 * b,
            "b'": math.pi / 2 * a, "tolerance": 1e-5,
        }  # fmt: skip


@shows("04_2 ode 2")
def one_value_for_all():
    """On a short step the guess in its middle stands for all of them."""
    start, clocks = torch.tensor([[2.0]]).double(), {0.7: -0.2, 0.3: -0.1}  # t and s, by label
    at = {label: time_of(c) for label, c in clocks.items()}
    yield {
        "z_t": float(flow(start, time_of(-0.5), at[0.7])), "t": 0.7, "s": 0.3,
        "z_s": float(flow(start, time_of(-0.5), at[0.3])), r"\approx": 1e-3,
        "b_": lambda t: float(COSINE(at[t])[1]), r"\lambda_": lambda t: clocks[t],
        r"\hat z_0": Rule(lambda v: float(on_path(v[r"\lambda"]))),
        r"\tilde z_0": float(on_path(-0.15)),
    }  # fmt: skip


@shows("04_2 guidance")
def classifier():
    """The gradient of the classifier, automatically; the scores from densities written out."""
    both, first = (
        mixture_denoiser(COSINE, WEIGHTS, MEANS, COVS),
        gaussian_denoiser(COSINE, MEANS[0], COVS[0]),
    )
    for t in (0.3, 0.7):
        z, (a, b) = PLACES.clone().requires_grad_(True), factors(t)
        joint = WEIGHTS[0] * bump(z, a * MEANS[0, 0], a**2 * COVS[0, 0, 0] + b**2)
        logs = (joint / density(z, t)).log(), (joint / WEIGHTS[0]).log(), density(z, t).log()
        named, with_y, without = (
            torch.autograd.grad(x.sum(), z, retain_graph=True)[0] for x in logs
        )
        yield {
            r"\nabla\log q(y \mid z_t)": named, r"\nabla\log q(z_t \mid y)": with_y,
            r"\nabla\log q(z_t)": without, "b_t": b, "tolerance": 1e-6,
            r"\hat\epsilon_c": first(PLACES[:, None], clock(t)).eps[:, 0],
            r"\hat\epsilon_u": both(PLACES[:, None], clock(t)).eps[:, 0],
        }  # fmt: skip


# --- 4.3 ------------------------------------------------------------------------------------------


@shows("04_3 what-cannot-be-known")
def covariance_of_the_step_back():
    for t, s in ((60, 59), (150, 20)):
        ratio, _ = SCHEDULE.transition(t, s)
        got, C_t, C_s = backward(SCHEDULE, DATA, t, s).cov, *(
            marginal(SCHEDULE, DATA, time).cov for time in (t, s)
        )
        assert torch.allclose(got, (1 - ratio**2) * C_s @ torch.linalg.inv(C_t))
        yield MATRICES | {r"\texttt{ratio}": ratio, "C_s": C_s, "C_t": C_t}


@shows("04_3 wrong-start")
def distances_in_standard_deviations():
    mean, variance, z = 0.7, 0.3, points(7, 1)
    denoise = gaussian_denoiser(COSINE, *(torch.tensor(x).double() for x in ([mean], [[variance]])))

    def rows(t: float):
        a, b = factors(t)
        return a * mean, a**2 * variance + b**2

    for t in (0.3, 0.7):
        (a, b), guess = factors(t), denoise(z, clock(t))
        (m, kappa), (m_1, kappa_1), (m_0, kappa_0) = rows(t), rows(t + H), rows(t - H)
        yield {
            r"\frac{dz}{dt}": _along_the_flow(denoise, z, t, lambda z, t: z), "z": z, "m": m,
            r"\kappa": kappa, "m'": (m_1 - m_0) / (2 * H), "a": a,
            r"\kappa'": (kappa_1 - kappa_0) / (2 * H), "b": b, "a'": -math.pi / 2 * b,
            "b'": math.pi / 2 * a, r"\mu": mean,
            r"\lambda": variance, r"\hat z_0": guess.z0, r"\hat\epsilon": guess.eps,
            r"\frac{d}{dt} \frac{z - m}{\sqrt\kappa}": _along_the_flow(
                denoise, z, t, lambda z, t: (z - rows(t)[0]) / rows(t)[1] ** 0.5
            ),
            "=": lambda x, y: bool((torch.as_tensor(x - y).abs() < 1e-5).all()),
            r"\ge": lambda x, y: False,
        }  # fmt: skip


# --- 4.5 ------------------------------------------------------------------------------------------


@shows("04_5 second-order")
def derivative_of_the_mean():
    """Averages given z_t by Bayes' rule, over nodes of the data."""
    z = torch.tensor([0.4, -0.9], dtype=torch.float64)
    nodes, weights = hermite(40)
    pairs = torch.cartesian_prod(nodes[:, 0], nodes[:, 0])
    z0 = DATA.mean + pairs @ torch.linalg.cholesky(DATA.cov).T
    prior = torch.cartesian_prod(weights[:, 0], weights[:, 0]).prod(1)
    denoise = gaussian_denoiser(SCHEDULE, *DATA)
    for t in (100, 200):
        a, b = (float(x) for x in SCHEDULE(t))
        p = prior * (-(z - a * z0).square().sum(1) / (2 * b**2)).exp()
        p = (p / p.sum())[:, None, None]
        outer = z0[:, :, None] * z0[:, None, :]

        def guess(z, t=t):
            return denoise(z[None], torch.tensor(t)).z0[0]

        yield MATRICES | {
            r"\frac{\partial}{\partial z_t} E[z_0 \mid z_t]": torch.autograd.functional.jacobian(
                guess, z
            ),
            r"E[z_0 z_0^\top \mid z_t]": (p * outer).sum(0), "a": a, "b": b,
            r"E[z_0 \mid z_t]": (p[:, :, 0] * z0).sum(0)[:, None],
            r"\mathrm{Cov}(z_0 \mid z_t)": denoising_cov(SCHEDULE, DATA, t), "tolerance": 1e-6,
        }  # fmt: skip


@shows("04_5 fokker-planck")
def a_short_step():
    """What o stands for is what is left, and it is of the second power of the step."""
    for t, delta in ((0.3, 1e-3), (0.6, 1e-4)):
        before, after = average(GRID.sin(), t), average(GRID.sin(), t + delta)
        inside = average(-GRID * GRID.cos() / 2 - GRID.sin() / 2, t)
        rest = float(after - before - beta_of(t) * delta * inside)
        assert abs(rest) < 20 * delta**2
        yield {
            r"E\varphi(z_{t+\delta})": after, r"E\varphi(z_t)": before, r"\beta": beta_of(t),
            r"\delta": delta, "E": lambda x, t=t: average(x, t), "z_t": GRID,
            r"\nabla\varphi(z_t)": GRID.cos(), r"\Delta\varphi(z_t)": -GRID.sin(),
            "o": number(rest, delta), "tolerance": 1e-9,
        }  # fmt: skip


@shows("04_5 fokker-planck 2")
def along_pairs():
    oracle = mixture_denoiser(COSINE, WEIGHTS, MEANS, 0 * COVS)
    for t in (0.4, 0.7):
        z0, eps, mean, z_t, shares = two_points(t)
        (a, b), guess = factors(t), oracle(z_t, clock(t))
        at = [(shares * x).sum(1, keepdim=True) for x in (MEANS[:, 0], (z_t - a * MEANS[:, 0]) / b)]
        speeds = -math.pi / 2 * b, math.pi / 2 * a
        later, earlier = (
            mean((factors(t + d)[0] * z0 + factors(t + d)[1] * eps).sin()) for d in (H, -H)
        )
        yield {
            r"\frac{d}{dt} E\varphi(z_t)": (later - earlier) / (2 * H), "E": mean, "z_0": z0,
            r"\epsilon": eps, r"\nabla\varphi(z_t)": z_t.cos(), "a'_t": speeds[0],
            "b'_t": speeds[1], "u_t(z_t)": speeds[0] * guess.z0 + speeds[1] * guess.eps,
            r"E[a'_t z_0 + b'_t\epsilon \mid z_t]": speeds[0] * at[0] + speeds[1] * at[1],
            "tolerance": 1e-6,
        }  # fmt: skip


@shows("04_5 reverse-sde")
def density_on_the_way_back():
    """Any Gaussian psi, in the drift of Gaussian data: how its mean and variance change."""
    mean, variance, m, v = 0.7, 0.3, -0.4, 0.5
    for t, eta in ((0.4, 0.6), (0.7, 1.3)):
        (a, b), beta = factors(t), beta_of(t)

        def score(z, a=a, b=b):
            return -(z - a * mean) / (a**2 * variance + b**2)

        def u(z, beta=beta, score=score):
            return -beta / 2 * (z + score(z))

        def drift(z, u=u, score=score, eta=eta, beta=beta):
            return -u(z) + eta**2 * beta / 2 * score(z)

        gain = drift(1.0) - drift(0.0)  # a straight line
        moves = drift(m), 2 * gain * v + eta**2 * beta
        later, earlier = (bump(PLACES, m + d * moves[0], v + d * moves[1]) for d in (H, -H))
        psi = bump(PLACES, m, v)
        sides = bump(PLACES + H, m, v) + bump(PLACES - H, m, v)
        yield {
            r"\frac{\partial \psi}{\partial\rho}": (later - earlier) / (2 * H), r"\eta": eta,
            r"\nabla\cdot(\psi\, u_t)": slope(lambda z, u=u: bump(z, m, v) * u(z), PLACES),
            r"\nabla\cdot(\psi\,\nabla\log q_t)": slope(
                lambda z, score=score: bump(z, m, v) * score(z), PLACES
            ),
            r"\Delta \psi": (sides - 2 * psi) / H**2, r"\beta": beta, "tolerance": 1e-4,
        }  # fmt: skip


@shows(
    "04_5 orders",
    harmless={
        r"plus for minus: 2e^{m+x}dx": "the square is the same on both sides of the middle",
    },
)
def moments_of_a_step():
    """What O stands for is what is left, at the power that is printed, and it is small."""
    h, m = 0.3, 0.2
    x, weights = legendre(20, -h / 2, h / 2)
    for power in (1, 2):
        whole = sum(w * c**power * math.exp(m + c) for c, w in zip(x, weights, strict=True))
        rest = whole / math.exp(m) - h**3 / 12
        assert 0 < rest < h**5 / 50
        yield {
            "h": h, "m": m, "O": number(rest, h**5), "only": (power - 1,), "tolerance": 1e-11,
        }  # fmt: skip
