"""Measuring samples: how far from the data, how varied, how recognisable.

frechet_distance    distance of two Gaussians fitted to two sets
sliced_wasserstein  distance of two sets, seen along many random lines
psnr                closeness of an image to its original, in decibels
mode_coverage       share of a mixture's modes that are hit, share of points that hit one

Tensors and NumPy arrays are taken. All raise ValueError for NaN and infinity, for nothing to
measure, and for shapes that do not fit: a sampler that has diverged has no distance.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.losses import reconstruction_loss


class Coverage(NamedTuple):
    """``modes``: share of modes with at least one point near; ``points``: share near a mode."""

    modes: float
    points: float


def root(cov: Tensor) -> Tensor:
    """The symmetric root R of a covariance, R R = cov: (d, d); also for singular covariances."""
    variances, axes = torch.linalg.eigh(_covariance("cov", cov))
    return (axes * variances.clamp(min=0).sqrt()) @ axes.T


def frechet_gaussians(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)): the squared 2-Wasserstein
    distance of two Gaussians, means (d,), covariances (d, d).

    Dowson and Landau 1982, J. Multivariate Anal. 12, eq. 4; in FID: Heusel et al. 2017, eq. 6.
    """
    mean_a, mean_b = inputs.numbers("mean_a", mean_a), inputs.numbers("mean_b", mean_b)
    cov_a, cov_b = _covariance("cov_a", cov_a), _covariance("cov_b", cov_b)
    if not mean_a.shape == mean_b.shape == cov_a.shape[:1] == cov_b.shape[:1]:
        shapes = ", ".join(str(tuple(x.shape)) for x in (mean_a, cov_a, mean_b, cov_b))
        raise ValueError(f"give (d,), (d, d), (d,), (d, d) with one d; got {shapes}")
    # tr (A B)^(1/2) = tr (A^(1/2) B A^(1/2))^(1/2), which stays symmetric
    root_a = root(cov_a)
    inner = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    spread = cov_a.trace() + cov_b.trace() - 2 * inner
    # clamp keeps a NaN; Python's max(0.0, nan) is 0.0, and a broken sampler would be perfect
    return float(((mean_a - mean_b).square().sum() + spread).clamp(min=0))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """``frechet_gaussians`` of the means and covariances of two sets (n, d), (m, d); n, m > 1."""
    a, b = _sets(a, b)
    return frechet_gaussians(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = 256, seed: int = 0) -> float:
    """Root mean square over random directions of the 2-Wasserstein distance of the projections.

    In one dimension that distance compares sorted values; sets (n, d), (m, d) of different sizes
    are compared through their quantiles. Rabin et al. 2011, "Wasserstein barycenter", eq. 9.
    """
    a, b = _sets(a, b)
    directions = checks.count("directions", directions)
    generator = torch.Generator().manual_seed(checks.seed(seed))
    lines = torch.randn(a.shape[1], directions, dtype=torch.float64, generator=generator)
    lines = lines / lines.norm(dim=0)  # (d, directions): unit vectors
    p, q = ((x @ lines).sort(dim=0).values for x in (a, b))  # (n, .), (m, .)
    if len(p) != len(q):
        n = max(len(p), len(q))
        levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        p, q = (x[(levels * len(x)).long()] for x in (p, q))
    return float((p - q).square().mean().sqrt())


def psnr(x_hat: Tensor, x: Tensor, span: float = 2.0) -> Tensor:
    """10 log10(span^2 / mean squared error) per image, in dB: (B,); infinite for equal images.

    ``span``: largest minus smallest possible value, 2 for [-1, 1].
    """
    x_hat, x = inputs.tensor("x_hat", x_hat), inputs.tensor("x", x)
    span = inputs.real("span", span, 0, 1e6, open=True)
    return 10 * torch.log10(span**2 / reconstruction_loss(x_hat, x))


def mode_coverage(points: Tensor, means: Tensor, std: float, sigmas: float = 3.0) -> Coverage:
    """Coverage of modes ``means`` (K, d) of width ``std`` by ``points`` (n, d).

    A point is near a mode if it is its nearest one and within ``sigmas`` standard deviations.
    """
    std, sigmas = (
        inputs.real(name, value, 0, inputs.LARGEST, open=True)
        for name, value in (("std", std), ("sigmas", sigmas))
    )
    points, means = _sets(points, means, least=1)
    distance, nearest = torch.cdist(points, means).min(dim=1)  # (n,), (n,)
    near = distance <= sigmas * std
    return Coverage(len(nearest[near].unique()) / len(means), float(near.double().mean()))


def _sets(a: Tensor, b: Tensor, least: int = 2) -> tuple[Tensor, Tensor]:
    """Two sets of points as float64, (n, d) and (m, d); n, m >= ``least``."""
    a, b = inputs.numbers("the first set", a), inputs.numbers("the second set", b)
    fits = a.dim() == b.dim() == 2 and a.shape[1] == b.shape[1] > 0
    if not fits or min(len(a), len(b)) < least:
        raise ValueError(
            f"give two sets (n, d), (m, d) with n, m >= {least}; got {tuple(a.shape)}, "
            f"{tuple(b.shape)}: flatten images first"
        )
    return a, b


def _covariance(name: str, cov: Tensor) -> Tensor:
    """A covariance as float64 (d, d); what float32 makes of a singular one passes."""
    cov = inputs.numbers(name, cov)
    if cov.dim() != 2 or len(cov) == 0 or cov.shape[0] != cov.shape[1]:
        raise ValueError(f"{name} must be (d, d); got {tuple(cov.shape)}")
    inputs.covariance(name, cov, tolerance=1e-5)
    return cov
