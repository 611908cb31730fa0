"""Denoisers: any callable (z_t, t) -> Denoised(z0, eps) with z_t = signal z0 + noise eps.

z0 estimates E[z0 | z_t], eps estimates E[eps | z_t]; samplers see nothing else of a model.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.interfaces import Denoised, Denoiser, Network, Schedule
from minildm.predict import EPS, Parameterization
from minildm.schedule import expand


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """Read ``net(z_t, t, condition)`` as a denoiser: solve its output for (z0, eps).

    The network gets t as (B,), 1-based int64 or continuous float. Raises ValueError if singular.
    """

    net: Network
    schedule: Schedule
    parameterization: Parameterization = EPS
    condition: Any = None

    def __call__(self, z_t: Tensor, t: Tensor) -> Denoised:
        """One network call; ``t`` is one time or (B,). Clean data needs none: (z_t, 0)."""
        t, (signal, noise) = checks.per_sample(t, z_t), self.schedule(t)
        if not noise.any():
            return Denoised(z_t.clone(), torch.zeros_like(z_t))
        if t.is_floating_point() and z_t.device.type == "mps":
            t = t.float()  # that device has no float64
        output = self.net(z_t, t.to(z_t.device), self.condition)
        z0, eps = self.parameterization.solve(output, z_t, signal, noise)
        if noise.all():
            return Denoised(z0, eps)
        clean = expand(noise, z_t) == 0
        return Denoised(torch.where(clean, z_t, z0), torch.where(clean, 0.0, eps))


network_denoiser = NetworkDenoiser


def guided(conditional: Denoiser, unconditional: Denoiser, guidance: float) -> Denoiser:
    """Classifier-free guidance: eps_u + w (eps_c - eps_u), and the same for z0; w = ``guidance``.

    w = 0 and w = 1 are the two denoisers themselves; w > 1 amplifies the condition. Ho & Salimans
    (arXiv 2207.12598, eq. 6) write (1 + w) eps_c - w eps_u: their w is ours minus 1.
    Raises ValueError unless ``guidance`` is finite, and at most 1e6 in size.
    """
    guidance = checks.guidance(guidance)
    if guidance in (0, 1):
        return conditional if guidance == 1 else unconditional

    def denoise(z_t: Tensor, t: Tensor) -> Denoised:
        (z0_c, eps_c), (z0_u, eps_u) = _ask_both(conditional, unconditional, z_t, t)
        return Denoised(z0_u + guidance * (z0_c - z0_u), eps_u + guidance * (eps_c - eps_u))

    return denoise


def _ask_both(a: Denoiser, b: Denoiser, z_t: Tensor, t: Tensor) -> tuple[Denoised, ...]:
    """Two denoisers; one batched network call where only their tensors of a condition differ."""
    checks.per_sample(t, z_t)
    t = inputs.tensor("t", t)
    nets = [d for d in (a, b) if isinstance(d, NetworkDenoiser) and _rows(d.condition)]
    kinds = [
        (d.net, d.schedule, d.parameterization, [row.shape for row in _rows(d.condition)])
        for d in nets
    ]
    alike = len(nets) == 2 and kinds[0] == kinds[1] and getattr(nets[0].net, "batched", True)
    if not alike or any(row.shape[:1] != z_t.shape[:1] for row in _rows(nets[0].condition)):
        return a(z_t, t), b(z_t, t)
    c, u = nets
    if isinstance(c.condition, tuple):
        rows: Any = tuple(map(torch.cat, zip(c.condition, u.condition, strict=True)))
    else:
        rows = torch.cat([c.condition, u.condition])
    together = replace(c, condition=rows)  # (2B, ...) each
    both = together(torch.cat([z_t, z_t]), t.repeat(2) if t.dim() else t)  # (2B, *d) each
    return tuple(map(Denoised, both.z0.chunk(2), both.eps.chunk(2)))


def _rows(condition: Any) -> tuple[Tensor, ...]:
    """The tensors of a condition, one row for each sample; () where it is not made of tensors."""
    rows = condition if isinstance(condition, tuple) else (condition,)
    return rows if all(isinstance(row, Tensor) for row in rows) else ()


def clipped(denoise: Denoiser, schedule: Schedule, low: float = -1, high: float = 1) -> Denoiser:
    """Clamp z0 to [low, high], then eps = (z_t - signal z0) / noise **from the clamped z0**.

    With the old eps the two parts would no longer add up to z_t. Clean data (noise = 0) passes
    unchanged. Raises ValueError unless low < high.
    """
    low, high = checks.limits(low, high)

    def denoise_and_clip(z_t: Tensor, t: Tensor) -> Denoised:
        plain = denoise(z_t, t)
        signal, noise = (expand(c, z_t) for c in schedule(t))
        z0 = torch.where(noise > 0, plain.z0.clamp(low, high), plain.z0)
        return Denoised(z0, torch.where(noise > 0, (z_t - signal * z0) / noise, plain.eps))

    return denoise_and_clip


def gaussian_denoiser(schedule: Schedule, mean: Tensor, cov: Tensor) -> Denoiser:
    """The exact denoiser for data from N(mean, cov): mean (d,), cov (d, d), z_t (B, d).

        E[z0 | z_t]  = mean + signal cov M^-1 (z_t - signal mean),   M = signal^2 cov + noise^2 I
        E[eps | z_t] = noise M^-1 (z_t - signal mean)

    ``cov`` may be singular (points on a line). Bishop, PRML (2006), eq. 2.116.
    Raises ValueError unless the shapes fit and ``cov`` is symmetric, without negative variance.
    """
    mean, cov = inputs.numbers("mean", mean), inputs.numbers("cov", cov)
    return mixture_denoiser(schedule, torch.ones(1, dtype=torch.float64), mean[None], cov[None])


def mixture_denoiser(schedule: Schedule, weights: Tensor, means: Tensor, covs: Tensor) -> Denoiser:
    """The exact denoiser for a Gaussian mixture: weights (K,), means (K, d), covs (K, d, d).

    E[z0 | z_t] = sum_k r_k E_k[z0 | z_t], likewise eps, with responsibilities r_k proportional to
    weights_k N(z_t; signal mean_k, signal^2 cov_k + noise^2 I). z_t (B, d) is of any float dtype,
    computed in float64. Raises ValueError as ``gaussian_denoiser``, and for wrong weights.
    """
    weights, means, covs = inputs.mixture(weights, means, covs)
    variances, axes = torch.linalg.eigh(covs)  # axes diag(variances) axes^T: (K, d), (K, d, d)
    variances = variances.clamp(min=0)

    def denoise(z_t: Tensor, t: Tensor) -> Denoised:
        inputs.points(z_t, means.shape[1])
        z = z_t.to(means)
        signal, noise = (expand(c, z[..., None]) for c in schedule(t))  # one number or (B, 1, 1)
        total = signal**2 * variances + noise**2  # ([B,] K, d): variances of z_t along the axes
        total = total.clamp(min=1e-300)  # singular cov at noise = 0; `clean` below takes over
        along = torch.einsum("kij,bki->bkj", axes, z[:, None] - signal * means)  # (B, K, d)
        log_r = weights.log() - 0.5 * (along**2 / total + total.log()).sum(-1)  # (B, K)
        r = log_r.softmax(dim=-1)[..., None]  # (B, K, 1)
        z0 = means + torch.einsum("kij,bkj->bki", axes, signal * variances / total * along)
        eps = torch.einsum("kij,bkj->bki", axes, noise / total * along)
        clean = noise.reshape(-1, 1) == 0  # (1 or B, 1)
        z0 = torch.where(clean, z, (r * z0).sum(1))  # (B, K, d) -> (B, d)
        return Denoised(z0.to(z_t), torch.where(clean, 0.0, (r * eps).sum(1)).to(z_t))

    return denoise
