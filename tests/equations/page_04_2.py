"""What the letters of chapter 4.2's equations stand for: values that the package computed."""

import math

import torch
from chapter_04_2 import (
    DATA,
    GRID,
    MIXTURE,
    ORACLE,
    PAIRS,
    SCHEDULE,
    SPREAD,
    alpha_bar,
    mixture_density,
    moments,
    normal_density,
    reverse_moments,
)
from latexbuiltin import MATRICES
from latexrelation import Normal
from latexvalue import WORDS, Operator, Rule
from pageforms import shows
from registry import points
from symbols import exact, only, table

from book.ch04_2_derivations.elbo import (
    log_density,
)
from book.ch04_3_gaussian.gaussian_case import (
    Affine,
    backward,
    marginal,
    normal,
    standard_normal,
)
from minildm.denoise import gaussian_denoiser, guided, mixture_denoiser
from minildm.predict import V
from minildm.process import diffuse, diffuse_step, posterior
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    scaled_linear_betas,
    zero_terminal_snr,
)

I = torch.eye(2, dtype=torch.float64)  # noqa: E741
NEIGHBOURS = (2, 40, 150, 200)
TABLE = table(SCHEDULE)


def one(x: float) -> torch.Tensor:
    return torch.full((1, 1), x, dtype=torch.float64)


# --- sums and jumps -------------------------------------------------------------------------------


@shows(
    "4.2.1",
    harmless={
        r"plus for minus: drz+c\,": "the noise is symmetric",
    },
)
def two_gaussians():
    m, V, r, c = 0.7, 0.6, 0.8, 0.5
    x = exact(20, 2)
    pushed = Affine(one(r), one(0.0)[0], one(c**2)).push(normal([m], [[V]]))
    yield {
        "z": m + V**0.5 * x[:, 0], r"\epsilon": x[:, 1], "m": m, "V": V, "r": r, "c": c,
    }  # fmt: skip
    yield {
        "z": Normal(m, V), r"\epsilon": Normal(0.0, 1.0), "m": m, "V": V,
        "r z": _Push(pushed), r"c \epsilon": 0,  # what the package makes of the sum
        "r": r, "c": c,
    }  # fmt: skip


class _Push(Normal):
    """The law that ``Affine.push`` computes, in the place of ``r z + c eps``."""

    def __new__(cls, law):
        return super().__new__(cls, law.mean[0], law.cov[0, 0])

    def __add__(self, other):
        return self


@shows("4.2.2")
def jump():
    z0, eps = points(5, 2), points(5, 2, seed=1)
    for t in (1, 2, 77, 200):
        z_t = diffuse(SCHEDULE, z0, t, eps)
        yield TABLE | {"t": t, "z_t": z_t, "z_0": z0, r"\epsilon": eps}


@shows("4.2.3")
def any_two_times():
    z, eps = points(5, 2), points(5, 2, seed=1)
    for t, s in PAIRS:
        ratio, variance = SCHEDULE.transition(t, s)
        mean = diffuse_step(SCHEDULE, z, t, s, 0 * eps)
        std = (diffuse_step(SCHEDULE, z, t, s, eps) - mean) / eps
        yield TABLE | {
            r"q(z_t \mid z_s)": Normal(mean, std**2), "t": t, "s": s, "z_s": z, "r": ratio,
            "c": variance**0.5, r"\texttt{ratio}": ratio, r"\texttt{variance}": variance,
        }  # fmt: skip


# --- the gap --------------------------------------------------------------------------------------


@shows("4.2.4")
def bayes():
    data = normal([0.4], [[0.5]])
    here, before = points(6), points(6, seed=1)
    for t in NEIGHBOURS:
        step = backward(SCHEDULE, data, t, t - 1)
        ratio, variance = SCHEDULE.transition(t, t - 1)
        now, then = marginal(SCHEDULE, data, t), marginal(SCHEDULE, data, t - 1)
        mean = step.matrix[0, 0] * here + step.offset[0]
        yield {
            r"q(z_{t-1} \mid z_t)": normal_density(before, mean, step.cov[0, 0]),
            r"q(z_t \mid z_{t-1})": normal_density(here, ratio * before, variance),
            "q(z_{t-1})": normal_density(before, then.mean[0], then.cov[0, 0]),
            "q(z_t)": normal_density(here, now.mean[0], now.cov[0, 0]),
        }


@shows("4.2.5")
def under_the_assumption():
    z_t = points(2)
    for t in NEIGHBOURS:
        step = backward(SCHEDULE, standard_normal(2), t, t - 1)
        before = marginal(SCHEDULE, standard_normal(2), t - 1)
        yield TABLE | {
            r"q(z_{t-1} \mid z_t)": Normal(step.matrix @ z_t + step.offset, step.cov),
            "q(z_{t-1})": Normal(before.mean, before.cov), "z_t": z_t, "t": t, "I": I,
        }  # fmt: skip


@shows("4.2.6")
def mean_for_any_data():
    for t, here in ((40, 0.1), (150, -1.4), (20, 0.6), (199, 1.0)):
        guess = ORACLE(one(here), torch.tensor(t))
        yield TABLE | {
            r"E[z_{t-1} \mid z_t]": reverse_moments(here, t, t - 1)[0], "z_t": here, "t": t,
            r"E[\epsilon \mid z_t]": float(guess.eps), "tolerance": 1e-7,
        }  # fmt: skip


@shows("4.2.7")
def variance_law():
    for t, here in ((40, 0.1), (150, -1.4), (20, 0.6)):
        a = alpha_bar(t)
        clean = moments(normal_density(here, a**0.5 * GRID, 1 - a) * mixture_density(GRID, 0))[1]
        q = posterior(SCHEDULE, one(here), one(0.0), t, t - 1)
        yield TABLE | {
            r"\mathrm{Var}(z_{t-1} \mid z_t)": reverse_moments(here, t, t - 1)[1], "t": t,
            r"q(z_{t-1} \mid z_t, z_0)": float(q.var), r"\mathrm{Var}(z_0 \mid z_t)": clean,
            "tolerance": 1e-6,
        }  # fmt: skip


# --- the posterior --------------------------------------------------------------------------------


def _posterior(t: int, s: int) -> dict:
    """The letters of section 4.2.3 at one pair of times, with the package's posterior."""
    z0 = -0.4
    z_t = alpha_bar(t) ** 0.5 * z0 + 0.9 * (1 - alpha_bar(t)) ** 0.5
    ratio, variance = (float(x) for x in SCHEDULE.transition(t, s))
    q = posterior(SCHEDULE, one(z_t), one(z0), t, s)
    mean, var = float(q.mean), float(q.var)
    z_s = mean + var**0.5 * points(6)
    a, b2 = alpha_bar(s) ** 0.5, 1 - alpha_bar(s)
    return TABLE | {
        "t": t, "s": s, "z_s": z_s, "z_t": z_t, "z_0": z0, "r": ratio, "c": variance**0.5,
        "A": ratio**2 / variance + 1 / b2, "B": ratio * z_t / variance + a * z0 / b2,
        r"\mathrm{Var}(z_s \mid z_t, z_0)": var, r"E[z_s \mid z_t, z_0]": mean,
        r"q(z_s \mid z_t, z_0)": normal_density(z_s, mean, var),
        r"q(z_t \mid z_s)": normal_density(z_t, ratio * z_s, variance),
        r"q(z_s \mid z_0)": normal_density(z_s, a * z0, b2),
        r"q(z_t \mid z_0)": normal_density(
            one(z_t), alpha_bar(t) ** 0.5 * z0, 1 - alpha_bar(t)
        ),
        r"\log q": normal_density(z_s, mean, var).log(), "tolerance": 1e-7,
    }  # fmt: skip


@shows("4.2.8", "4.2.10", "4.2.11", "4.2.12")
def with_z0_known():
    for t, s in PAIRS:
        yield _posterior(t, s)


@shows(
    "4.2.9",
    harmless={
        r"plus for minus: _s^2}+\dots": "the dots stand for what has no z_s",
        r"plus for minus: ,z_s+\dots": "the dots stand for what has no z_s",
    },
)
def collected_powers():
    """Up to a term without z_s: what the dots stand for is not compared."""

    def up_to_a_constant(a, b):
        return ((a - a[0]) - (b - b[0])).abs().max() < 1e-7 * (a - a[0]).abs().max()

    for t, s in PAIRS:
        yield _posterior(t, s) | {
            r"\dots": 0.0, "=": up_to_a_constant, r"\ge": lambda a, b: False,
        }  # fmt: skip


@shows("4.2.13")
def ddpm_form():
    z_t, z0 = points(3, 2), points(3, 2, seed=1)
    for t in NEIGHBOURS:
        q = posterior(SCHEDULE, z_t, z0, t, t - 1)
        yield TABLE | {
            r"\tilde\mu_t(z_t, z_0)": q.mean, r"\sigma_t": q.var**0.5, "t": t,
            "z_t": z_t, "z_0": z0,
        }  # fmt: skip


# --- four forms -----------------------------------------------------------------------------------


def _score(z: torch.Tensor, t: int) -> torch.Tensor:
    z = z.clone().requires_grad_(True)
    return torch.autograd.grad(mixture_density(z[:, 0], t).log().sum(), z)[0]


@shows("4.2.14")
def tweedie():
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    for t in (3, 60, 200):
        guess = ORACLE(z, torch.tensor(t))
        yield TABLE | {
            r"\nabla_{z_t} \log q(z_t)": _score(z, t), r"E[\epsilon \mid z_t]": guess.eps,
            r"E[z_0 \mid z_t]": guess.z0, "z_t": z, "t": t, "tolerance": 1e-7,
        }  # fmt: skip


@shows("4.2.15", "4.2.16", "4.2.17", "4.2.18")
def four_forms():
    """mu: the mean of the package's ancestral step, its noise switched off."""
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    for t in (2, 60, 200):
        guess, step = ORACLE(z, torch.tensor(t)), (torch.tensor(t), torch.tensor(t - 1))
        yield TABLE | {
            r"\mu_\theta": ddpm(z, *step, ORACLE, SCHEDULE, draw=torch.zeros_like)[0],
            r"\hat z_0": guess.z0, r"\hat\epsilon": guess.eps, "z_t": z, "t": t,
            r"\hat v": V.target(guess.z0, guess.eps, *SCHEDULE(torch.tensor(t))),
            r"\nabla\log q(z_t)": _score(z, t), "tolerance": 1e-7,
        }  # fmt: skip


# --- DDIM and ODE ---------------------------------------------------------------------------------


@shows("4.2.28")
def ddim_family():
    """ddim with z0 known: the oracle of data in one point."""
    z0, z, xi = points(2), points(5, 2), points(5, 2, seed=1)
    denoise = gaussian_denoiser(SCHEDULE, z0, 0 * I)
    for t, s in (*PAIRS, (40, 0)):
        step = torch.tensor(t), torch.tensor(s)
        largest = float(posterior(SCHEDULE, z, z, t, s).var) ** 0.5
        for eta in (0.0, 0.5, 1.0):
            mean, got = (
                ddim(z, *step, denoise, SCHEDULE, eta=eta, draw=lambda _, xi=xi: xi)[0]
                for xi in (0 * xi, xi)
            )
            yield TABLE | {
                r"q_\sigma(z_s \mid z_t, z_0)": Normal(mean, ((got - mean) / xi).mean() ** 2 * I),
                r"\sigma": eta * largest, "z_t": z, "z_0": z0, "t": t, "s": s, "I": I,
                r"\epsilon": denoise(z, torch.tensor(t)).eps,
            }  # fmt: skip


@shows("4.2.29")
def marginals_agree():
    z0, noise = torch.tensor([0.7, -0.2], dtype=torch.float64), exact(20, 4)
    denoise = gaussian_denoiser(SCHEDULE, z0, 0 * I)
    for t, s in PAIRS:
        z_t = diffuse(SCHEDULE, z0.expand(20, 2), t, noise[:, :2])
        for eta in (0.0, 0.3, 1.0):
            step = torch.tensor(t), torch.tensor(s)
            z_s = ddim(z_t, *step, denoise, SCHEDULE, eta=eta, draw=lambda _: noise[:, 2:])[0]
            yield TABLE | {
                "z_t": z_t,
                "z_s": z_s,
                "z_0": z0.expand(20, 2),
                "t": t,
                "s": s,
                "I": I,
            }


@shows("4.2.30")
def ode():
    schedule, h, turn = CosineSchedule(), 1e-4, math.pi / 2
    denoise, z = mixture_denoiser(schedule, *MIXTURE, SPREAD), points(5, 1)
    for t in (0.3, 0.6):
        now = torch.tensor(t, dtype=torch.float64)
        guess = denoise(z, now)
        for step in (ddim, heun):
            near, far = (
                (z - step(z, now, now - d, denoise, schedule, None)[0]) / d for d in (h / 2, h)
            )
            yield {
                r"\frac{dz_t}{dt}": 2 * near - far, r"\hat z_0": only((z, now), guess.z0),
                r"\hat\epsilon": only((z, now), guess.eps), "z_t": z, "t": now,
                r"\frac{da_t}{dt}": -turn * math.sin(turn * t),
                r"\frac{db_t}{dt}": turn * math.cos(turn * t), "tolerance": 1e-5,
            }  # fmt: skip


@shows("4.2.31")
def multistep():
    z, (t, s, u) = points(5, 1), (torch.tensor(x) for x in (150, 120, 70))
    moved, _, memory = dpmpp_2m(z, t, s, ORACLE, SCHEDULE)
    got = dpmpp_2m(moved, s, u, ORACLE, SCHEDULE, memory)[0]
    clock = TABLE[r"\lambda_"]
    h, h_before = clock(70) - clock(120), clock(120) - clock(150)
    now, before = ORACLE(moved, s).z0, ORACLE(z, t).z0
    yield TABLE | {
        "z_s": got, "z_t": moved, "t": 120, "s": 70, "h": h, r"h_{\text{prev}}": h_before,
        r"\tilde z_0": now + h / (2 * h_before) * (now - before), r"\hat z_0^{(t)}": now,
        r"\hat z_0^{(\text{prev})}": before,
    }  # fmt: skip


# --- guidance, terminal SNR, the decoder ----------------------------------------------------------


def _slope(rest):
    """The gradient with respect to z_t."""

    def of(z):
        z = z.clone().requires_grad_(True)
        return torch.autograd.grad(rest({"z_t": z}).sum(), z)[0]

    return of(torch.linspace(-2, 2, 9, dtype=torch.float64))


@shows("4.2.32")
def guidance_of_scores():
    condition = gaussian_denoiser(SCHEDULE, torch.tensor([1.0]).double(), one(0.4))
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for t, w in ((20, 3.0), (90, 1.5), (90, 0.0), (90, 1.0)):
        a = alpha_bar(t)
        eps = guided(condition, ORACLE, w)(z[:, None], torch.tensor(t)).eps[:, 0]
        used = -eps / (1 - a) ** 0.5

        def same(left, right, used=used):
            return all(bool((side - used).abs().max() < 1e-6) for side in (left, right))

        yield {
            r"\nabla": Operator(_slope), "w": w, "=": same,
            r"\text{what is used at every} t": WORDS,
            "q(z_t)": Rule(lambda v, t=t: mixture_density(v["z_t"], t)),
            r"q(z_t \mid y)": Rule(
                lambda v, a=a: normal_density(v["z_t"], a**0.5, a * 0.4 + 1 - a)
            ),
        }  # fmt: skip


@shows("4.2.33")
def tilted_target():
    z0, w = points(6), 2.0
    precision = (1 - w) / 1.0 + w / 0.4
    yield {
        "p_w(z_0)": normal_density(z0, w / 0.4 / precision, 1 / precision), "w": w,
        "q(z_0)": normal_density(z0, 0.0, 1.0), r"q(z_0 \mid y)": normal_density(z0, 1.0, 0.4),
    }  # fmt: skip


@shows("4.2.34")
def rescaled():
    betas = scaled_linear_betas(1000)
    new = DiscreteSchedule(zero_terminal_snr(betas))
    for t in (1, 300, 999, 1000):
        yield table(DiscreteSchedule(betas)) | {"a'_t": float(new(torch.tensor(t))[0]), "t": t}


@shows("4.2.35")
def change_of_variables():
    """On the plane x = Q y with Q'Q = I and W = Q R, the density of x is that of y = R z."""
    W, z = points(3, 2, seed=5), points(7, 2, seed=7)
    R = torch.linalg.qr(W).R
    yield MATRICES | {
        r"\log p_X(x)": log_density(Affine(R, 0 * R[0], 0 * I).push(DATA), z @ R.T),
        r"\log p_Z(z)": log_density(DATA, z), "W": W, "tolerance": 1e-7,
    }  # fmt: skip
