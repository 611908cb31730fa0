"""How probable a point is for a diffusion model: exactly, up to the steps of a solver.

    log_likelihood       log p(z0) of any denoiser, by its probability-flow ODE
    mixture_log_density  log p(z0) of a Gaussian mixture: the truth to compare with
    mixture_entropy      -E log p(z0): what no model's average can beat

Deterministic sampling moves points along z' = v(z), and density flows along: while a cloud spreads,
its density falls by as much as its volume grows. Chen et al. 2018 (arXiv 1806.07366), theorem 1;
for diffusion: Song et al. 2021 (arXiv 2011.13456), section 4.3. Measured on the circle

    z / norm  with  norm^2 = signal^2 + noise^2,  and the angle  phi = atan2(noise, signal),

every schedule has the same, everywhere finite ODE:  dz / dphi = cos(phi) eps_hat - sin(phi) z0_hat.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.denoise import Denoiser
from minildm.schedule import expand


def log_likelihood(denoise: Denoiser, schedule, z0: Tensor, times: Tensor) -> Tensor:
    """log p(z0) = log N(z_T; 0, I) + integral of div v over phi, in nats: (B, d) -> float64 (B,).

    ``times``: a grid as for ``sample``, T first and 0 last; it is walked from its end, by Heun's
    method, with an exact trace: d backward passes at each of two places of a step. The result is
    that of ``sample`` with infinitely many steps and without noise, begun from N(0, I).
    Raises ValueError for a bad grid, one that does not go from T down to 0, or points not (B, d).
    """
    inputs.points(z0, z0.shape[-1] if isinstance(z0, Tensor) and z0.dim() else 0, "z0")
    times = inputs.tensor("times", times)
    schedule(times)  # raises for a wrong dtype or range
    checks.grid(times)
    if times[0] != schedule.T or times[-1] != 0:
        raise ValueError(
            f"times must go from T = {schedule.T} to 0; got {times[0]} to {times[-1]}: use "
            "schedule.times(steps)"
        )
    z, gained = z0, torch.zeros(len(z0), dtype=torch.float64)  # z / norm; norm is 1 at t = 0
    for s, t in pairwise(times.flip(0)):  # from data to noise
        h = _angle(schedule, t) - _angle(schedule, s)
        v_s, div_s = _flow(denoise, schedule, z, s)
        v_t, div_t = _flow(denoise, schedule, z + expand(h, z) * v_s, t)
        z = z + expand(h / 2, z) * (v_s + v_t)
        gained = gained + h / 2 * (div_s + div_t)
    return _log_standard_normal(z) + gained


def mixture_log_density(weights: Tensor, means: Tensor, covs: Tensor, z: Tensor) -> Tensor:
    """log sum_k weights_k N(z; mean_k, cov_k), in nats: z (n, d) -> float64 (n,).

    Raises ValueError as ``mixture_denoiser`` does, and for a singular covariance.
    """
    weights, means, covs = inputs.mixture(weights, means, covs)
    _with_density(covs)
    z = inputs.numbers("z", z)
    inputs.points(z, means.shape[1], "z")
    away = z[:, None] - means  # (n, K, d)
    squares = (away * torch.linalg.solve(covs, away[..., None])[..., 0]).sum(-1)  # (n, K)
    each = -(squares + torch.logdet(2 * math.pi * covs)) / 2
    return torch.logsumexp(weights.log() + each, dim=1)


def mixture_entropy(weights: Tensor, covs: Tensor) -> float:
    """H(weights) + sum_k weights_k log det(2 pi e cov_k) / 2, in nats; (K,) and (K, d, d).

    The entropy of a mixture whose modes do not overlap; where they do, the true one is smaller.
    Cover and Thomas, Elements of Information Theory (2006), theorem 8.4.1 for each mode.
    Raises ValueError as ``mixture_log_density`` does.
    """
    covs = inputs.numbers("cov", covs)
    weights, _, covs = inputs.mixture(weights, torch.zeros(covs.shape[:2]), covs)
    _with_density(covs)
    inside = torch.logdet(2 * math.pi * math.e * covs) / 2  # (K,)
    return float((torch.special.entr(weights) + weights * inside).sum())


def _with_density(covs: Tensor) -> None:
    if not (torch.linalg.det(covs) > 0).all():
        raise ValueError("a covariance is singular: there is no density")


def _angle(schedule, t: Tensor) -> Tensor:
    signal, noise = schedule(t)
    return torch.atan2(noise, signal)


def _flow(denoise: Denoiser, schedule, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """v of z / norm, (B, d), and its divergence, float64 (B,)."""
    signal, noise = schedule(t)
    norm = torch.hypot(signal, noise)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        z0, eps = denoise(expand(norm, z) * z, t)
        v = expand(signal / norm, z) * eps - expand(noise / norm, z) * z0
        if not v.requires_grad:  # clean data: z0 = z and eps = 0, whatever the network says
            return v, torch.zeros(len(z), dtype=torch.float64)
        div = torch.zeros(len(z), dtype=torch.float64)
        for k in range(z.shape[1]):  # points do not see each other: one row of each Jacobian
            (row,) = torch.autograd.grad(v[:, k].sum(), z, retain_graph=True)
            div = div + row[:, k].double()
    return v.detach(), div


def _log_standard_normal(z: Tensor) -> Tensor:
    z = z.double()
    return -(z.square().sum(1) + z.shape[1] * math.log(2 * math.pi)) / 2
