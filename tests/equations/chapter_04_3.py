"""The numbered equations of chapter 4.3, the Gaussian case, each checked against the package.

Checks write the equation out as printed, with plain tensors, and compare it with the function. All
use a tilted Gaussian, so that a lost off-diagonal entry shows.
"""

import warnings
from functools import partial
from itertools import pairwise

import torch
from registry import close, numbered

from book.ch04_3_gaussian.gaussian_case import (
    LinearAutoencoder,
    Normal,
    backward,
    denoising_cov,
    empirical,
    marginal,
    normal,
    propagate,
    root,
    standard_errors,
    standard_normal,
    wasserstein2,
)
from minildm.denoise import gaussian_denoiser
from minildm.process import diffuse, diffuse_step, posterior
from minildm.samplers import ddim, ddpm, dpmpp_2m
from minildm.schedule import CosineSchedule, DiscreteSchedule, linear_betas, ramp_betas

CHAPTER = "04_3_gaussian_case"
CASE = "book.ch04_3_gaussian.gaussian_case"
DATA = normal([1.0, -2.0], [[1.3, 0.6], [0.6, 0.7]])
RAMP = DiscreteSchedule(ramp_betas(100))
I = torch.eye(2, dtype=torch.float64)  # noqa: E741
TIMES = (1, 2, 12, 40, 99, 100)


def points(n: int, seed: int = 0, d: int = 2) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def alpha_bar(t: int) -> float:
    """The product, multiplied out: independent of the schedule's logarithms."""
    product = 1.0
    for i in range(1, t + 1):
        product *= 1 - i / 100
    return product


def c_t(t: int) -> torch.Tensor:
    return alpha_bar(t) * DATA.cov + (1 - alpha_bar(t)) * I


def data_moments() -> None:
    """The printed data, and a tilted cloud."""
    for data in (normal([1, 2], [[1, 0], [0, 2]]), DATA):
        got, errors = empirical(data.sample(points(200_000))), standard_errors(data, 200_000)
        assert ((got.mean - data.mean).abs() < 4 * errors.mean).all()
        assert ((got.cov - data.cov).abs() < 4 * errors.cov).all()


def markov_step() -> None:
    z, eps = points(5), points(5, seed=1)
    for t in TIMES:
        step = (1 - t / 100) ** 0.5 * z + (t / 100) ** 0.5 * eps
        close(diffuse_step(RAMP, z, t, t - 1, eps), step)


def jump() -> None:
    z0, eps = points(5), points(5, seed=1)
    for t in TIMES:
        a = alpha_bar(t)
        close(diffuse(RAMP, z0, t, eps), a**0.5 * z0 + (1 - a) ** 0.5 * eps)


def marginals() -> None:
    for t in TIMES:
        truth = marginal(RAMP, DATA, t)
        close(truth.mean, alpha_bar(t) ** 0.5 * DATA.mean)
        close(truth.cov, c_t(t))


def errors_of_moments() -> None:
    """The spread of the moments of 50,000 sets of 4 points: n for n - 1 would be 15 % off."""
    sets = DATA.sample(points(200_000)).reshape(50_000, 4, 2)
    away = sets - sets.mean(1, keepdim=True)
    covs = away.mT @ away / 3
    errors = standard_errors(DATA, 4)
    assert (covs.std(0) / errors.cov - 1).abs().max() < 0.03
    assert (sets.mean(1).std(0) / errors.mean - 1).abs().max() < 0.02
    C = DATA.cov
    for n in (2, 50):
        for i in range(2):
            close(standard_errors(DATA, n).mean[i], (C[i, i] / n) ** 0.5)
            for k in range(2):
                printed = ((C[i, i] * C[k, k] + C[i, k] ** 2) / (n - 1)) ** 0.5
                close(standard_errors(DATA, n).cov[i, k], printed)


def ramp_dies_like_a_bell() -> None:
    t = torch.arange(1, 101, dtype=torch.float64)
    log_product = torch.stack([(1 - t[:k] / 100).log().sum() for k in range(1, 100)])
    close(RAMP.log_alpha_bar[1:100], log_product)
    for T in (100, 1000, 4000):
        t = torch.arange(1, int(0.8 * T**0.5) + 1, dtype=torch.float64)  # within the bell
        table = DiscreteSchedule(ramp_betas(T)).log_alpha_bar[1 : len(t) + 1]
        assert (table / (-t * (t + 1) / (2 * T)) - 1).abs().max() < len(t) / T  # next order: 2t/3T


def distance() -> None:
    a, b = DATA, normal([0.5, 1.0], [[2.0, -0.3], [-0.3, 0.4]])
    # Another road: the optimal map between Gaussians is linear; measure how far it moves points.
    half = root(a.cov)
    inverse = torch.linalg.inv(half)
    move = inverse @ root(half @ b.cov @ half) @ inverse
    close(move @ a.cov @ move.T, b.cov)
    shift = torch.trace((move - I) @ a.cov @ (move - I).T) + (a.mean - b.mean).square().sum()
    close(wasserstein2(a, b) ** 2, shift)


def article_update() -> None:
    """For t < T the printed update is ddpm's; the variance is the schedule's table."""
    denoise, z = gaussian_denoiser(RAMP, *DATA), points(5)
    xi = points(5, seed=1)
    for t in (2, 12, 40, 80):
        t, s = torch.tensor(t), torch.tensor(t - 1)
        a, a_before, beta = alpha_bar(int(t)), alpha_bar(int(s)), int(t) / 100
        sigma = ((1 - a_before) / (1 - a) * beta) ** 0.5
        eps = denoise(z, t).eps
        update = (z - beta / (1 - a) ** 0.5 * eps) / (1 - beta) ** 0.5 + sigma * xi
        close(ddpm(z, t, s, denoise, RAMP, draw=lambda z: xi)[0], update)


def best_guess() -> None:
    denoise, z = gaussian_denoiser(RAMP, *DATA), points(5)
    for t in TIMES:
        a = alpha_bar(t)
        gain = a**0.5 * DATA.cov @ torch.linalg.inv(c_t(t))
        close(denoise(z, torch.tensor(t)).z0, DATA.mean + (z - a**0.5 * DATA.mean) @ gain.T)


def ignorance() -> None:
    """Cov(z0 | z_t) as printed, and as the Schur complement of the joint precision matrix."""
    for t in (1, 12, 40):
        a = alpha_bar(t)
        printed = DATA.cov - a * DATA.cov @ torch.linalg.inv(c_t(t)) @ DATA.cov
        close(denoising_cov(RAMP, DATA, t), printed)
        close(printed, torch.linalg.inv(torch.linalg.inv(DATA.cov) + a / (1 - a) * I), 1e-8)


def true_reverse() -> None:
    """Conditions the joint Gaussian of (z_s, z_t), any s < t; it leads from q(z_t) to q(z_s)."""
    for t, s in ((2, 1), (12, 11), (40, 7), (100, 3), (9, 0)):
        ratio = (alpha_bar(t) / alpha_bar(s)) ** 0.5
        cross = ratio * c_t(s)
        gain = cross @ torch.linalg.inv(c_t(t))
        step = backward(RAMP, DATA, t, s)
        close(step.matrix, gain)
        close(step.cov, c_t(s) - gain @ cross.T, 1e-9)
        back = step.push(marginal(RAMP, DATA, t))
        close(back.mean, marginal(RAMP, DATA, s).mean)
        close(back.cov, marginal(RAMP, DATA, s).cov)


def two_parts() -> None:
    for t in (2, 12, 40):
        a, before, beta = alpha_bar(t), alpha_bar(t - 1), t / 100
        known = (1 - before) / (1 - a) * beta
        weight = before**0.5 * beta / (1 - a)
        close(
            backward(RAMP, DATA, t, t - 1).cov, known * I + weight**2 * denoising_cov(RAMP, DATA, t)
        )
        close(posterior(RAMP, points(3), points(3, 1), t, t - 1).var, known)  # the first part alone
    for t in (2, 12, 40):  # for N(m, I) it is exactly beta_t
        close(backward(RAMP, Normal(DATA.mean, I), t, t - 1).cov, t / 100 * I)


def affine_map() -> None:
    """Moments of two ddpm steps, by hand, for a start that is not standard normal.

    The noise of the first step is carried along by the second: B_1 = A_2 std_1.
    """
    start = normal([0.3, 0.1], [[0.8, 0.2], [0.2, 1.5]])
    denoise, times = gaussian_denoiser(RAMP, *DATA), torch.tensor([30, 12, 5])
    mean, A, noise = start.mean, I, torch.zeros(2, 2).double()
    for t, s in pairwise(times):
        step = posterior(RAMP, I, denoise(I, t).z0, t, s)
        at_0 = posterior(RAMP, 0 * I, denoise(0 * I, t).z0, t, s).mean[0]
        matrix = (step.mean - at_0).T
        mean, A = matrix @ mean + at_0, matrix @ A
        noise = matrix @ noise @ matrix.T + step.var * I
    end = propagate(denoise, RAMP, start, times, ddpm)[-1]
    close(end.mean, mean)
    close(end.cov, A @ start.cov @ A.T + noise)


def last_jump() -> None:
    for variance in (0.3, 1.0, 2.0):
        data, s = normal([1.0], [[variance]]), torch.tensor(7)
        signal, noise = RAMP(s)
        share = noise**2 / (signal**2 * variance + noise**2)
        end = propagate(
            gaussian_denoiser(RAMP, *data), RAMP, marginal(RAMP, data, s), torch.stack([s, 0 * s])
        )[-1]
        close(end.cov, (1 - share) * data.cov)
        close(denoising_cov(RAMP, data, s), share * data.cov)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that a quarter of the signal is left is the point
    SHORT = DiscreteSchedule(linear_betas(100, 1e-3, 0.05))


def wrong_start_stochastic() -> None:
    signal, _ = SHORT(100)
    gain = DATA.cov @ torch.linalg.inv(marginal(SHORT, DATA, 100).cov)
    end = backward(SHORT, DATA, 100, 0).push(standard_normal(2))
    close(end.mean, DATA.mean - signal**2 * gain @ DATA.mean)
    close(end.cov, denoising_cov(SHORT, DATA, 100) + signal**2 * gain @ gain.T)


def wrong_start_deterministic() -> None:
    """The limit of ddim and of dpmpp_2m, down to noise 0.0003, for a start that is too early."""
    schedule, T, last = CosineSchedule(), 0.6, 2e-4
    signal, _ = schedule(T)
    gain = DATA.cov @ torch.linalg.inv(marginal(schedule, DATA, T).cov)
    expected = Normal(DATA.mean - signal * root(gain) @ DATA.mean, gain)
    denoise = gaussian_denoiser(schedule, *DATA)
    times = torch.cat([torch.linspace(T, last, 200, dtype=torch.float64), torch.zeros(1).double()])
    for step, tolerance in ((ddim, 2e-2), (dpmpp_2m, 2e-3)):
        end = propagate(denoise, schedule, standard_normal(2), times, step)[-1]
        close(end.mean, expected.mean, tolerance)
        close(end.cov, expected.cov, tolerance)


PLANE = LinearAutoencoder(points(1, 5, 7)[0], torch.linalg.qr(points(7, 6, 2)).Q)


def encode_decode() -> None:
    z = points(9)
    x = PLANE.offset + torch.stack([PLANE.basis @ one for one in z])
    close(PLANE.decode(z), x)
    close(PLANE.encode(x), z)
    close(PLANE.basis.T @ PLANE.basis, I)


def decoded_moments() -> None:
    z = DATA.sample(points(40))
    decoded = PLANE.decode_normal(
        empirical(z)
    )  # moments of a sample go through a linear map exactly
    got = empirical(PLANE.decode(z))
    close(decoded.mean, got.mean)
    close(decoded.cov, got.cov)
    back = PLANE.encode_normal(decoded)
    close(back.mean, empirical(z).mean)
    close(back.cov, empirical(z).cov)


_equation = partial(numbered, CHAPTER)

EQUATIONS = [
    _equation(1, "the data", f"{CASE}.Normal.sample", data_moments),
    _equation(2, "one Markov step", "process.diffuse_step", markov_step),
    _equation(3, "the jump", "process.diffuse", jump),
    _equation(4, "the marginal of z_t", f"{CASE}.marginal", marginals),
    _equation(5, "standard errors", f"{CASE}.standard_errors", errors_of_moments),
    _equation(6, "the ramp's log alpha_bar", "schedule.ramp_betas", ramp_dies_like_a_bell),
    _equation(7, "Wasserstein-2 distance", f"{CASE}.wasserstein2", distance),
    _equation(8, "the article's update", "samplers.ddpm", article_update),
    _equation(9, "the denoiser", "denoise.gaussian_denoiser", best_guess),
    _equation(10, "what z_t leaves open", f"{CASE}.denoising_cov", ignorance),
    _equation(11, "the true reverse step", f"{CASE}.backward", true_reverse),
    _equation(12, "the two parts of its variance", "process.posterior", two_parts),
    _equation(13, "a sampler is an affine map", f"{CASE}.propagate", affine_map),
    _equation(14, "the last jump", f"{CASE}.denoising_cov", last_jump),
    _equation(15, "wrong start, stochastic", f"{CASE}.backward", wrong_start_stochastic),
    _equation(16, "wrong start, deterministic", "samplers.ddim", wrong_start_deterministic),
    _equation(17, "the linear autoencoder", f"{CASE}.LinearAutoencoder.encode", encode_decode),
    _equation(18, "decoded moments", f"{CASE}.LinearAutoencoder.decode_normal", decoded_moments),
]
