"""The numbered equations of chapter 4.2, the derivations, each checked against the package.

The chapter derives them with SymPy. Here each is written out as printed and compared with what the
package computes, on data that would show a slip: tilted, off-centre, with unequal weights.
"""

import math
from functools import partial

import sympy as sp
import torch
from registry import close, numbered, points

from book.ch04_2_derivations.elbo import (
    bound,
    entropy,
    epsilon_weight,
    gap,
    generated,
    kl_normals,
    latent_bound,
    log_density,
    reverse_chain,
)
from book.ch04_3_gaussian.gaussian_case import (
    Affine,
    Normal,
    backward,
    denoising_cov,
    marginal,
    normal,
    propagate,
    standard_normal,
)
from minildm.denoise import gaussian_denoiser, guided, mixture_denoiser
from minildm.losses import diffusion_loss
from minildm.predict import EPS, V
from minildm.process import diffuse, diffuse_step, posterior
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    linear_betas,
    scaled_linear_betas,
    zero_terminal_snr,
)

CHAPTER = "04_2_derivations"
CASE = "book.ch04_3_gaussian.gaussian_case"
ELBO = "book.ch04_2_derivations.elbo"
BETAS = linear_betas(200, 1e-3, 0.08)
SCHEDULE = DiscreteSchedule(BETAS)
DATA = normal([1.0, -2.0], [[1.3, 0.6], [0.6, 0.7]])
I = torch.eye(2, dtype=torch.float64)  # noqa: E741
PAIRS = ((2, 1), (40, 39), (150, 20), (200, 199))
MIXTURE = torch.tensor([0.8, 0.2]).double(), torch.tensor([[-1.0], [1.5]]).double()
SPREAD = torch.tensor([[[0.05]], [[0.3]]]).double()
ORACLE = mixture_denoiser(SCHEDULE, *MIXTURE, SPREAD)
GRID = torch.linspace(-8, 8, 16001, dtype=torch.float64)


def alpha_bar(t: int) -> float:
    """The product, multiplied out: independent of the schedule's logarithms."""
    return math.prod(1 - float(beta) for beta in BETAS[:t])


def normal_density(x, mean, variance):
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5


def mixture_density(x: torch.Tensor, t: int) -> torch.Tensor:
    """q(z_t) of the two bumps, by hand."""
    a = alpha_bar(t)
    return sum(
        w * normal_density(x, a**0.5 * m, a * s + 1 - a)
        for w, m, s in zip(MIXTURE[0], MIXTURE[1][:, 0], SPREAD[:, 0, 0], strict=True)
    )


def moments(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    p = p / torch.trapezoid(p, GRID)
    mean = torch.trapezoid(p * GRID, GRID)
    return mean, torch.trapezoid(p * (GRID - mean) ** 2, GRID)


def reverse_moments(here: float, t: int, s: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of q(z_s | z_t = here) by Bayes' rule, on a grid."""
    r = (alpha_bar(t) / alpha_bar(s)) ** 0.5
    return moments(normal_density(here, r * GRID, 1 - r**2) * mixture_density(GRID, s))


# --- 4.2.1 sums and jumps -------------------------------------------------------------------------


def two_gaussians() -> None:
    """The density of r z + s eps by convolution, against the claim and ``Affine.push``."""
    m, v, r, s = 0.7, 0.6, 0.8, 0.5
    at = torch.linspace(-3, 3, 7, dtype=torch.float64)
    convolved = torch.trapezoid(
        normal_density(GRID, m, v) * normal_density(at[:, None], r * GRID, s**2), GRID
    )
    close(convolved, normal_density(at, r * m, r**2 * v + s**2), 1e-9)
    one = torch.eye(1, dtype=torch.float64)
    pushed = Affine(r * one, 0 * one[0], s**2 * one).push(normal([m], [[v]]))
    close(torch.stack([pushed.mean[0], pushed.cov[0, 0]]), [r * m, r**2 * v + s**2])


def jump() -> None:
    z0, eps = points(5, 2), points(5, 2, seed=1)
    variance = 0.0
    for t in range(1, 201):
        variance = (1 - float(BETAS[t - 1])) * variance + float(BETAS[t - 1])
        if t in (1, 2, 77, 200):
            close(variance, 1 - alpha_bar(t))
            expected = alpha_bar(t) ** 0.5 * z0 + (1 - alpha_bar(t)) ** 0.5 * eps
            close(diffuse(SCHEDULE, z0, t, eps), expected)


def any_two_times() -> None:
    z, eps = points(5, 2), points(5, 2, seed=1)
    for t, s in (*PAIRS, (200, 1), (7, 0)):
        ratio = alpha_bar(t) / alpha_bar(s)
        close(diffuse_step(SCHEDULE, z, t, s, eps), ratio**0.5 * z + (1 - ratio) ** 0.5 * eps)
        close(torch.stack(SCHEDULE.transition(t, s)), [ratio**0.5, 1 - ratio])


# --- 4.2.2 the gap --------------------------------------------------------------------------------


def bayes() -> None:
    """The product of the two densities has the moments of ``backward``, for Gaussian data."""
    data = normal([0.4], [[0.5]])
    for t, s in PAIRS:
        r = (alpha_bar(t) / alpha_bar(s)) ** 0.5
        a = alpha_bar(s)
        prior = normal_density(GRID, a**0.5 * 0.4, a * 0.5 + 1 - a)
        step = backward(SCHEDULE, data, t, s)
        for here in (-0.5, 1.2):
            mean, variance = moments(normal_density(here, r * GRID, 1 - r**2) * prior)
            close(step.matrix[0, 0] * here + step.offset[0], mean, 1e-7)
            close(step.cov[0, 0], variance, 1e-7)


def under_the_assumption() -> None:
    for t in (1, 2, 40, 200):
        step = backward(SCHEDULE, standard_normal(2), t, t - 1)
        close(step.matrix, (1 - float(BETAS[t - 1])) ** 0.5 * I)
        close(step.cov, float(BETAS[t - 1]) * I)
        close(step.offset, 0)


def mean_for_any_data() -> None:
    for t, here in ((40, 0.1), (150, -1.4), (20, 0.6), (199, 1.0)):
        beta, a = float(BETAS[t - 1]), alpha_bar(t)
        eps = ORACLE(torch.tensor([[here]]).double(), torch.tensor(t)).eps
        formula = (here - beta / (1 - a) ** 0.5 * eps) / (1 - beta) ** 0.5
        close(formula, reverse_moments(here, t, t - 1)[0], 1e-7)


def variance_law() -> None:
    for t, here in ((40, 0.1), (150, -1.4), (20, 0.6)):
        beta, a, before = float(BETAS[t - 1]), alpha_bar(t), alpha_bar(t - 1)
        clean = moments(normal_density(here, a**0.5 * GRID, 1 - a) * mixture_density(GRID, 0))[1]
        law = (1 - before) / (1 - a) * beta + (before**0.5 * beta / (1 - a)) ** 2 * clean
        close(law, reverse_moments(here, t, t - 1)[1], 1e-7)
    for t in (2, 40, 200):
        a, before, beta = alpha_bar(t), alpha_bar(t - 1), float(BETAS[t - 1])
        clean = denoising_cov(SCHEDULE, DATA, t)
        law = (1 - before) / (1 - a) * beta * I + (before**0.5 * beta / (1 - a)) ** 2 * clean
        close(backward(SCHEDULE, DATA, t, t - 1).cov, law)


# --- 4.2.3 the posterior --------------------------------------------------------------------------


def bayes_with_z0() -> None:
    """Moments of the product q(z_t | z_s) q(z_s | z0) on a grid are those of ``posterior``."""
    here, clean = 0.9, -0.4
    for t, s in PAIRS:
        r, a = (alpha_bar(t) / alpha_bar(s)) ** 0.5, alpha_bar(s)
        product = normal_density(here, r * GRID, 1 - r**2)
        mean, variance = moments(product * normal_density(GRID, a**0.5 * clean, 1 - a))
        z_t, z0 = (torch.full((1, 1), x, dtype=torch.float64) for x in (here, clean))
        q = posterior(SCHEDULE, z_t, z0, t, s)
        close(q.mean, mean, 1e-6)
        close(q.var, variance, 1e-6)


def _symbols():
    z_s, z_t, z0 = sp.symbols("z_s z_t z_0", real=True)
    r, v, a, b = sp.symbols("r v a b", positive=True)
    return z_s, z_t, z0, r, v, a, b


def _zero(expression) -> bool:
    return sp.simplify(sp.together(sp.expand(expression))) == 0


def collected_powers() -> None:
    z_s, z_t, z0, r, v, a, b = _symbols()
    exponent = (z_t - r * z_s) ** 2 / v + (z_s - a * z0) ** 2 / b**2
    A, minus_2B, _ = sp.Poly(sp.expand(exponent), z_s).all_coeffs()
    assert _zero(A - (r**2 / v + 1 / b**2))
    assert _zero(minus_2B + 2 * (r * z_t / v + a * z0 / b**2))
    _agrees_with_posterior(lambda values: (-minus_2B / 2 / A).subs(values))


def _agrees_with_posterior(mean) -> None:
    """B / A with numbers in it is the package's posterior mean."""
    _, z_t, z0, r, v, a, b = _symbols()
    for t, s in PAIRS:
        ratio, variance = SCHEDULE.transition(t, s)
        signal, noise = SCHEDULE(s)
        numbers = {r: ratio, v: variance, a: signal, b: noise, z_t: 0.9, z0: -0.4}
        value = float(mean({k: sp.Float(float(x), 20) for k, x in numbers.items()}))
        one = torch.ones(1, 1, dtype=torch.float64)
        close(posterior(SCHEDULE, 0.9 * one, -0.4 * one, t, s).mean, value, 1e-9)


def square_completed() -> None:
    A, B, z = sp.symbols("A B z", positive=True)
    assert _zero(A * z**2 - 2 * B * z - (A * (z - B / A) ** 2 - B**2 / A))
    _, z_t, z0, r, v, a, b = _symbols()
    _agrees_with_posterior(
        lambda n: ((r * z_t / v + a * z0 / b**2) / (r**2 / v + 1 / b**2)).subs(n)
    )


def posterior_variance() -> None:
    for t, s in PAIRS:
        v = 1 - alpha_bar(t) / alpha_bar(s)
        q = posterior(SCHEDULE, points(3, 2), points(3, 2, seed=1), t, s)
        close(q.var, v * (1 - alpha_bar(s)) / (1 - alpha_bar(t)))
        close(q.var, 1 / (alpha_bar(t) / alpha_bar(s) / v + 1 / (1 - alpha_bar(s))))


def posterior_mean() -> None:
    z_t, z0 = points(3, 2), points(3, 2, seed=1)
    for t, s in PAIRS:
        r2, a = alpha_bar(t) / alpha_bar(s), alpha_bar(s)
        mean = r2**0.5 * (1 - a) * z_t + a**0.5 * (1 - r2) * z0
        close(posterior(SCHEDULE, z_t, z0, t, s).mean, mean / (1 - alpha_bar(t)))


def ddpm_form() -> None:
    z_t, z0 = points(3, 2), points(3, 2, seed=1)
    for t in (1, 2, 40, 200):
        a, before, beta = alpha_bar(t), alpha_bar(t - 1), float(BETAS[t - 1])
        mean = (1 - beta) ** 0.5 * (1 - before) / (1 - a) * z_t + before**0.5 * beta / (1 - a) * z0
        q = posterior(SCHEDULE, z_t, z0, t, t - 1)
        close(q.mean, mean)
        close(q.var, (1 - before) / (1 - a) * beta)
        close(SCHEDULE.posterior_variance[t], (1 - before) / (1 - a) * beta)


# --- 4.2.4 four forms -----------------------------------------------------------------------------


def tweedie() -> None:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].requires_grad_(True)
    for t in (3, 60, 200):
        (score,) = torch.autograd.grad(mixture_density(z[:, 0], t).log().sum(), z)
        guess, a = ORACLE(z.detach(), torch.tensor(t)), alpha_bar(t)
        close(score, -guess.eps / (1 - a) ** 0.5, 1e-8)
        close((z.detach() + (1 - a) * score) / a**0.5, guess.z0, 1e-8)


def _mean_step(t: int, z: torch.Tensor) -> torch.Tensor:
    """The mean of the package's ancestral step: its noise is switched off."""
    step = torch.tensor(t), torch.tensor(t - 1)
    return ddpm(z, *step, ORACLE, SCHEDULE, draw=torch.zeros_like)[0]


def _mean_form(formula) -> None:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    for t in (2, 60, 200):
        guess = ORACLE(z, torch.tensor(t))
        values = z, float(BETAS[t - 1]), alpha_bar(t), alpha_bar(t - 1), guess
        close(_mean_step(t, z), formula(*values), 1e-9)


def from_z0() -> None:
    def formula(z, beta, a, before, guess):
        clean = before**0.5 * beta / (1 - a) * guess.z0
        return (1 - beta) ** 0.5 * (1 - before) / (1 - a) * z + clean

    _mean_form(formula)


def from_eps() -> None:
    _mean_form(
        lambda z, beta, a, before, g: (z - beta / (1 - a) ** 0.5 * g.eps) / (1 - beta) ** 0.5
    )


def from_v() -> None:
    def formula(z, beta, a, before, guess):
        factors = torch.tensor([a**0.5, (1 - a) ** 0.5], dtype=torch.float64)
        v = V.target(guess.z0, guess.eps, *factors)
        close(v, a**0.5 * guess.eps - (1 - a) ** 0.5 * guess.z0, 1e-9)
        return (1 - beta) ** 0.5 * z - before**0.5 * beta / (1 - a) ** 0.5 * v

    _mean_form(formula)


def from_score() -> None:
    def formula(z, beta, a, before, guess):
        t = min(range(201), key=lambda t: abs(alpha_bar(t) - a))
        at = z.clone().requires_grad_(True)
        (score,) = torch.autograd.grad(mixture_density(at[:, 0], t).log().sum(), at)
        return (z + beta * score) / (1 - beta) ** 0.5

    _mean_form(formula)


# --- 4.2.5 the bound ------------------------------------------------------------------------------

SHORT = DiscreteSchedule(linear_betas(12, 0.05, 0.7))
SHORT_CHAIN = reverse_chain(gaussian_denoiser(SHORT, *DATA), SHORT, 2, SHORT.beta)


def _paths(n: int) -> list[torch.Tensor]:
    """z_0, z_1, .. z_T of the forward chain from one z0, n of them."""
    path = [torch.tensor([[0.5, -1.0]]).double().expand(n, 2)]
    for t in range(1, 13):
        path.append(diffuse_step(SHORT, path[-1], t, t - 1, points(n, 2, seed=t)))
    return path


def _log(z, mean, cov) -> torch.Tensor:
    return log_density(Normal(torch.zeros(2).double(), cov), z - mean)


def _log_ratio(path: list[torch.Tensor]) -> torch.Tensor:
    """log p(z_0..z_T) - log q(z_1..z_T | z_0) of each path, step by step, forwards."""
    total = _log(path[-1], 0, I)
    for t in range(1, 13):
        A, b, S = SHORT_CHAIN.step(t)
        beta = float(SHORT.beta[t])
        total = total + _log(path[t - 1], path[t] @ A.T + b, S)
        total = total - _log(path[t], (1 - beta) ** 0.5 * path[t - 1], beta * I)
    return total


def jensen() -> None:
    """By simulation: the mean log ratio is the bound, the log mean ratio is the likelihood."""
    n = 100_000
    path = _paths(n)
    ratio, z0 = _log_ratio(path), path[0][:1]
    likelihood = log_density(generated(SHORT_CHAIN), z0)
    elbo = -bound(SHORT, SHORT_CHAIN, z0).total
    close(ratio.mean(), elbo, 4 * float(ratio.std()) / n**0.5)
    close(ratio.logsumexp(0) - math.log(n), likelihood, 0.02)
    assert elbo < likelihood - 0.01


def turned_round() -> None:
    """q(z_t | z_{t-1}) = q(z_{t-1} | z_t, z0) q(z_t | z0) / q(z_{t-1} | z0), at single points."""
    z0, before, after = points(3, 2), points(3, 2, seed=1), points(3, 2, seed=2)
    for t in (2, 7, 12):
        beta, a, a_before = (float(x) for x in (SHORT.beta[t], *SHORT.alpha_bar[[t, t - 1]]))
        q = posterior(SHORT, after, z0, t, t - 1)
        right = _log(before, q.mean, float(q.var) * I) + _log(after, a**0.5 * z0, (1 - a) * I)
        right = right - _log(before, a_before**0.5 * z0, (1 - a_before) * I)
        close(_log(after, (1 - beta) ** 0.5 * before, beta * I), right, 1e-9)


def three_terms() -> None:
    """Each term by simulation, from its definition."""
    n = 200_000
    z0 = torch.tensor([[0.5, -1.0]]).double()
    terms = bound(SHORT, SHORT_CHAIN, z0)
    a = float(SHORT.alpha_bar[12])
    end = Normal(a**0.5 * z0[0], (1 - a) * I)
    close(terms.start, kl_normals(end, standard_normal(2)))
    for t in (2, 6, 12):
        z_t = diffuse(SHORT, z0.expand(n, 2), t, points(n, 2, seed=t))
        q, (A, b, S) = posterior(SHORT, z_t, z0.expand(n, 2), t, t - 1), SHORT_CHAIN.step(t)
        z_s = q.sample(points(n, 2, seed=100 + t))
        ratio = _log(z_s, q.mean, float(q.var) * I) - _log(z_s, z_t @ A.T + b, S)
        close(terms.steps[t], ratio.mean(), 4 * float(ratio.std()) / n**0.5)
    z_1 = diffuse(SHORT, z0.expand(n, 2), 1, points(n, 2, seed=1))
    A, b, S = SHORT_CHAIN.step(1)
    last = -_log(z0, z_1 @ A.T + b, S)
    close(terms.last, last.mean(), 4 * float(last.std()) / n**0.5)
    close(terms.total, terms.start + terms.steps.sum(0) + terms.last)


def kl() -> None:
    """By simulation, with full covariances; and not symmetric."""
    a, b = DATA, normal([0.5, -1.0], [[2.0, -0.3], [-0.3, 0.4]])
    z = a.sample(points(400_000, 2))
    ratio = log_density(a, z) - log_density(b, z)
    close(kl_normals(a, b), ratio.mean(), 4 * float(ratio.std()) / 400_000**0.5)
    inverse = torch.linalg.inv(b.cov)
    away = b.mean - a.mean
    printed = (inverse @ a.cov).trace() - 2 + away @ inverse @ away
    close(kl_normals(a, b), (printed + (b.cov.det() / a.cov.det()).log()) / 2)
    assert abs(kl_normals(a, b) - kl_normals(b, a)) > 0.1


DATA3 = normal(
    [1.0, -2.0, 0.5], [[1.3, 0.6, 0.1], [0.6, 0.7, -0.2], [0.1, -0.2, 0.4]]
)  # in three dimensions, so that d / 2 is not 1


def weighted_error() -> None:
    """L_{t-1} of the package against weight · E|eps - eps_hat|^2 + the constant, by moments."""
    denoise = gaussian_denoiser(SCHEDULE, *DATA3)
    sigma2 = SCHEDULE.posterior_variance.clone()
    sigma2[1] = SCHEDULE.beta[1]
    for variances in (SCHEDULE.beta, sigma2, 1.7 * SCHEDULE.beta):
        terms = bound(SCHEDULE, reverse_chain(denoise, SCHEDULE, 3, variances), DATA3)
        for t in (2, 40, 200):
            a, beta, s2 = alpha_bar(t), float(BETAS[t - 1]), float(variances[t])
            # E|eps - E[eps | z_t]|^2 = tr Cov(eps | z_t) = a / (1 - a) tr Cov(z0 | z_t)
            error = a / (1 - a) * denoising_cov(SCHEDULE, DATA3, t).trace()
            weight = beta**2 / (2 * s2 * (1 - beta) * (1 - a))
            close(epsilon_weight(SCHEDULE, torch.tensor(t), variances[t]), weight)
            r = float(SCHEDULE.posterior_variance[t]) / s2
            close(terms.steps[t], weight * error + 3 / 2 * (r - 1 - math.log(r)), 1e-8)


def last_step() -> None:
    """L_0 written out, averaged over the data: E|z0 - mu(z_1)|^2 is tr Cov(z0 | z_1)."""
    beta = float(BETAS[0])
    for data in (DATA3, normal([0.4], [[0.5]])):
        d = len(data.mean)
        chain = reverse_chain(gaussian_denoiser(SCHEDULE, *data), SCHEDULE, d, SCHEDULE.beta)
        error = denoising_cov(SCHEDULE, data, 1).trace()
        printed = error / (2 * beta) + d / 2 * math.log(2 * math.pi * beta)
        close(bound(SCHEDULE, chain, data).last, printed)


def simple_loss() -> None:
    z0, eps, t = points(4, 2), points(4, 2, seed=1), torch.tensor([1, 9, 80, 200])

    def net(z_t, t, condition):
        return (z_t * 2).cos()

    loss = diffusion_loss(net, SCHEDULE, z0, parameterization=EPS, t=t, eps=eps)
    for one, noise, time, value in zip(z0, eps, t.tolist(), loss, strict=True):
        a = alpha_bar(time)
        error = noise - (2 * (a**0.5 * one + (1 - a) ** 0.5 * noise)).cos()
        close(value, error.square().sum() / 2)  # the package takes the mean over the 2 elements


def what_the_bound_loses() -> None:
    for schedule in (SCHEDULE, SHORT, DiscreteSchedule(scaled_linear_betas(1000))):
        sigma2 = schedule.posterior_variance.clone()
        sigma2[1] = schedule.beta[1]
        for variances in (sigma2, schedule.beta):
            chain = reverse_chain(gaussian_denoiser(schedule, *DATA), schedule, 2, variances)
            start, steps = gap(schedule, chain, DATA)
            close(bound(schedule, chain, DATA).total - entropy(DATA), start + steps.sum(), 1e-9)
            z0 = DATA.sample(points(200, 2))
            slack = log_density(generated(chain), z0) + bound(schedule, chain, z0).total
            assert slack.min() > -1e-9


def whole_model() -> None:
    """By simulation of z0 from q(z0 | x), and never above the exact likelihood."""
    basis = torch.linalg.qr(points(5, 2)).Q
    decoder = Affine(basis, points(5, seed=3), 0.3 * torch.eye(5).double())
    encoder = Affine(basis.T, -basis.T @ points(5, seed=3), 0.2 * I)
    x = decoder.push(DATA).sample(points(3, 5, seed=4))
    got = latent_bound(SHORT, SHORT_CHAIN, encoder, decoder, x)
    n = 50_000
    for one, value in zip(x, got, strict=True):
        q = Normal(encoder.matrix @ one + encoder.offset, encoder.cov)
        z0 = q.sample(points(n, 2))
        seen = log_density(Normal(0 * one, decoder.cov), one - z0 @ basis.T - decoder.offset)
        terms = seen - log_density(q, z0) - bound(SHORT, SHORT_CHAIN, z0).total
        close(value, terms.mean(), 4 * float(terms.std()) / n**0.5)
    exact = log_density(decoder.push(generated(SHORT_CHAIN)), x)
    assert (got < exact).all()


# --- 4.2.7 DDIM and ODE ---------------------------------------------------------------------------


def ddim_family() -> None:
    z, xi = points(5, 1), points(5, 1, seed=1)
    for t, s in (*PAIRS, (40, 0), (1, 0)):  # b_0 = 0: the step to 0 is the estimate itself
        guess = ORACLE(z, torch.tensor(t))
        a, a_s = alpha_bar(t), alpha_bar(s)
        largest = ((1 - a / a_s) * (1 - a_s) / (1 - a)) ** 0.5
        for eta in (0.0, 0.5, 1.0):
            sigma = eta * largest
            kept = (1 - a_s - sigma**2) ** 0.5 * (z - a**0.5 * guess.z0) / (1 - a) ** 0.5
            step = torch.tensor(t), torch.tensor(s)
            got = ddim(z, *step, ORACLE, SCHEDULE, eta=eta, draw=lambda _: xi)[0]
            close(got, a_s**0.5 * guess.z0 + kept + sigma * xi, 1e-9)


def marginals_agree() -> None:
    """For data in one point the oracle knows z0: whatever sigma <= b_s, the step hits q(z_s | z0).

    The largest, sigma = b_s, keeps no noise at all: eta is then above 1.
    """
    point = normal([0.7, -0.2], [[0.0, 0.0], [0.0, 0.0]])
    denoise = gaussian_denoiser(SCHEDULE, *point)
    for t, s in PAIRS:
        a, a_s = alpha_bar(t), alpha_bar(s)
        posterior_std = ((1 - a / a_s) * (1 - a_s) / (1 - a)) ** 0.5
        for sigma in (0.0, 0.3 * posterior_std, posterior_std, (1 - a_s) ** 0.5 * (1 - 1e-12)):

            def step(*arguments, draw=None, eta=sigma / posterior_std):
                return ddim(*arguments, eta=eta, draw=draw)

            times = torch.tensor([t, s])
            end = propagate(denoise, SCHEDULE, marginal(SCHEDULE, point, t), times, step)[-1]
            close(end.mean, a_s**0.5 * point.mean)
            close(end.cov, (1 - a_s) * I)


def ode() -> None:
    """A short step of ddim and of heun moves along the printed velocity."""
    schedule, t, h = CosineSchedule(), 0.6, 1e-5
    denoise = mixture_denoiser(schedule, *MIXTURE, SPREAD)
    z, now = points(5, 1), torch.tensor(0.6, dtype=torch.float64)
    guess = denoise(z, now)
    turn = math.pi / 2
    velocity = -turn * math.sin(turn * t) * guess.z0 + turn * math.cos(turn * t) * guess.eps
    for step in (ddim, heun):
        moved = step(z, now, now - h, denoise, schedule, None)[0]
        close((moved - z) / -h, velocity, 1e-4)
    # Heun's error falls like the third power of the step: the flow of a Gaussian is known.
    data, errors = normal([0.7], [[0.3]]), []
    for h in (0.1, 0.05):
        here, there = (marginal(schedule, data, x) for x in (now, now - h))
        flow = there.mean + (there.cov / here.cov).sqrt() * (z - here.mean)
        moved = heun(z, now, now - h, gaussian_denoiser(schedule, *data), schedule, None)[0]
        errors.append(float((moved - flow).abs().max()))
    assert 6 < errors[0] / errors[1] < 10, errors
    _flow_carries_marginals(schedule, denoise)


def _flow_carries_marginals(schedule, denoise) -> None:
    """For the mixture: d/dt q + d/dz (q u) = 0 on a grid, u the printed velocity."""
    turn, t, h = math.pi / 2, 0.6, 1e-4
    z = torch.linspace(-2, 2, 41, dtype=torch.float64)

    def density(x, time):
        a, b = schedule(torch.tensor(time, dtype=torch.float64))
        return sum(
            w * normal_density(x, a * m, a**2 * s + b**2)
            for w, m, s in zip(MIXTURE[0], MIXTURE[1][:, 0], SPREAD[:, 0, 0], strict=True)
        )

    def flux(x):
        guess = denoise(x[:, None], torch.tensor(t, dtype=torch.float64))
        velocity = turn * (-math.sin(turn * t) * guess.z0 + math.cos(turn * t) * guess.eps)
        return density(x, t) * velocity[:, 0]

    change = (density(z, t + h) - density(z, t - h)) / (2 * h)
    close(change, -(flux(z + h) - flux(z - h)) / (2 * h), 1e-6)


def multistep() -> None:
    z, schedule = points(5, 1), SCHEDULE
    t, s, u = (torch.tensor(x) for x in (150, 120, 70))
    moved, _, memory = dpmpp_2m(z, t, s, ORACLE, schedule)
    got = dpmpp_2m(moved, s, u, ORACLE, schedule, memory)[0]

    def clock(time):
        return math.log(alpha_bar(int(time)) / (1 - alpha_bar(int(time)))) / 2

    h, h_before = clock(u) - clock(s), clock(s) - clock(t)
    now, before = ORACLE(moved, s).z0, ORACLE(z, t).z0
    D = now + h / (2 * h_before) * (now - before)
    a_u, b_u, b_s = alpha_bar(70) ** 0.5, (1 - alpha_bar(70)) ** 0.5, (1 - alpha_bar(120)) ** 0.5
    close(got, b_u / b_s * moved - a_u * (math.exp(-h) - 1) * D, 1e-9)


# --- 4.2.8 to 4.2.10 ------------------------------------------------------------------------------


def guidance_of_scores() -> None:
    """The guided eps is the gradient of (1 - w) log q + w log q(. | y), by differentiation."""
    condition = gaussian_denoiser(SCHEDULE, torch.tensor([1.0]), torch.tensor([[0.4]]))
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].requires_grad_(True)
    for t, w in ((20, 3.0), (90, 1.5), (90, 0.0), (90, 1.0)):
        a = alpha_bar(t)
        wanted = normal_density(z[:, 0], a**0.5 * 1.0, a * 0.4 + 1 - a).log()
        tilted = (1 - w) * mixture_density(z[:, 0], t).log() + w * wanted
        (score,) = torch.autograd.grad(tilted.sum(), z)
        got = guided(condition, ORACLE, w)(z.detach(), torch.tensor(t)).eps
        close(-got / (1 - a) ** 0.5, score, 1e-6)


def tilted_target() -> None:
    """The tilted Gaussian by quadrature; and the guided sampler does not draw it."""
    everything, chosen, w = normal([0.0], [[1.0]]), normal([1.0], [[0.4]]), 2.0
    p = normal_density(GRID, 0.0, 1.0) ** (1 - w) * normal_density(GRID, 1.0, 0.4) ** w
    mean, variance = moments(p)
    precision = (1 - w) / 1.0 + w / 0.4
    close(torch.stack([mean, variance]), [w / 0.4 / precision, 1 / precision], 1e-7)
    schedule = CosineSchedule()
    oracles = [gaussian_denoiser(schedule, *part) for part in (chosen, everything)]
    times = schedule.times(400)
    for weight, truth in ((1.0, chosen), (0.0, everything)):
        end = propagate(guided(*oracles, weight), schedule, standard_normal(1), times, heun)[-1]
        close(end.cov, truth.cov, 0.01)
    end = propagate(guided(*oracles, w), schedule, standard_normal(1), times, heun)[-1]
    assert end.cov < 0.8 * variance


def rescaled() -> None:
    betas = scaled_linear_betas(1000)
    a = (1 - betas).cumprod(0).sqrt()
    new = DiscreteSchedule(zero_terminal_snr(betas))
    expected = (a - a[-1]) * a[0] / (a[0] - a[-1])
    close(new(torch.arange(1, 1001))[0], expected, 1e-12)


def change_of_variables() -> None:
    """The density on the plane of x = c + W z integrates to 1, and shifts with the scale."""
    W = points(3, 2)
    grid = torch.linspace(-6, 6, 241, dtype=torch.float64)
    z = torch.cartesian_prod(grid + DATA.mean[0], grid + DATA.mean[1])
    log_p = log_density(DATA, z) - torch.logdet(W.T @ W) / 2
    area = (12 / 240) ** 2 * float((W.T @ W).det()) ** 0.5
    close((log_p.exp() * area).sum(), 1, 1e-3)
    turn, shift = points(2, 2, seed=5), points(2, seed=6)  # square: against Affine.push
    pushed = Affine(turn, shift, 0 * I).push(DATA)
    some = points(7, 2, seed=7)
    through = log_density(DATA, some) - torch.linalg.slogdet(turn.T @ turn)[1] / 2
    close(log_density(pushed, some @ turn.T + shift), through, 1e-9)


_equation = partial(numbered, CHAPTER)

EQUATIONS = [
    _equation(1, "two Gaussians make one", f"{CASE}.Affine.push", two_gaussians),
    _equation(2, "the jump, by induction", "process.diffuse", jump),
    _equation(3, "between any two times", "process.diffuse_step", any_two_times),
    _equation(4, "Bayes' rule for the step back", f"{CASE}.backward", bayes),
    _equation(5, "under the article's assumption", f"{CASE}.backward", under_the_assumption),
    _equation(6, "the mean, for any data", "denoise.mixture_denoiser", mean_for_any_data),
    _equation(7, "the variance law", f"{CASE}.denoising_cov", variance_law),
    _equation(8, "Bayes' rule with z0 known", "process.posterior", bayes_with_z0),
    _equation(9, "the exponent, collected", "process.posterior", collected_powers),
    _equation(10, "the completed square", "process.posterior", square_completed),
    _equation(11, "the posterior's variance, any s < t", "process.posterior", posterior_variance),
    _equation(12, "the posterior's mean, any s < t", "process.posterior", posterior_mean),
    _equation(13, "the posterior of neighbours", "process.posterior", ddpm_form),
    _equation(14, "Tweedie's formula", "denoise.mixture_denoiser", tweedie),
    _equation(15, "the mean from z0", "samplers.ddpm", from_z0),
    _equation(16, "the mean from eps", "samplers.ddpm", from_eps),
    _equation(17, "the mean from v", "predict.Parameterization.target", from_v),
    _equation(18, "the mean from the score", "samplers.ddpm", from_score),
    _equation(19, "the evidence lower bound", f"{ELBO}.bound", jensen),
    _equation(20, "a forward step, turned round", "process.posterior", turned_round),
    _equation(21, "the three kinds of terms", f"{ELBO}.bound", three_terms),
    _equation(22, "KL of two Gaussians", f"{ELBO}.kl_normals", kl),
    _equation(23, "L_{t-1} as a weighted error", f"{ELBO}.epsilon_weight", weighted_error),
    _equation(24, "the last step", f"{ELBO}.bound", last_step),
    _equation(25, "the simple loss", "losses.diffusion_loss", simple_loss),
    _equation(26, "what the bound loses", f"{ELBO}.gap", what_the_bound_loses),
    _equation(27, "the bound of the whole model", f"{ELBO}.latent_bound", whole_model),
    _equation(28, "the DDIM family", "samplers.ddim", ddim_family),
    _equation(29, "its marginals", "samplers.ddim", marginals_agree),
    _equation(30, "the probability-flow ODE", "samplers.heun", ode),
    _equation(31, "DPM-Solver++(2M)", "samplers.dpmpp_2m", multistep),
    _equation(32, "guidance combines scores", "denoise.guided", guidance_of_scores),
    _equation(33, "the tilted distribution", "denoise.guided", tilted_target),
    _equation(34, "zero terminal SNR", "schedule.zero_terminal_snr", rescaled),
    _equation(35, "densities through a decoder", f"{ELBO}.log_density", change_of_variables),
]
