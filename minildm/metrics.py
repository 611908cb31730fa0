"""Measuring samples: how far from the data, how varied, how recognisable.

frechet_distance    distance of two Gaussians fitted to two sets
sliced_wasserstein  distance of two sets, seen along many random lines
psnr                closeness of an image to its original, in decibels
mode_coverage       share of a mixture's modes that are hit, share of points that hit one
confident_fraction  share of images that a classifier is sure about
confident_classes   how many classes are among those
caption_accuracy    share of pictures that are what their captions say (accuracy.py)
"""

from typing import NamedTuple

import torch
from torch import Tensor

from minildm.accuracy import caption_accuracy
from minildm.losses import reconstruction_loss

__all__ = [
    "Coverage", "caption_accuracy", "confident_classes", "confident_fraction", "frechet_distance",
    "frechet_gaussians", "mode_coverage", "psnr", "root", "sliced_wasserstein",
]  # fmt: skip


class Coverage(NamedTuple):
    """``modes``: share of modes with at least one point near; ``points``: share near a mode."""

    modes: float
    points: float


def root(cov: Tensor) -> Tensor:
    """The symmetric root R of a covariance, R R = cov: (d, d); also for singular covariances."""
    variances, axes = torch.linalg.eigh(cov)
    return (axes * variances.clamp(min=0).sqrt()) @ axes.T


def frechet_gaussians(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)): the squared 2-Wasserstein
    distance of two Gaussians, means (d,), covariances (d, d).

    Dowson and Landau 1982, J. Multivariate Anal. 12, eq. 4; in FID: Heusel et al. 2017, eq. 6.
    """
    mean_a, cov_a, mean_b, cov_b = (x.double() for x in (mean_a, cov_a, mean_b, cov_b))
    # tr (A B)^(1/2) = tr (A^(1/2) B A^(1/2))^(1/2), which stays symmetric
    root_a = root(cov_a)
    inner = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    spread = cov_a.trace() + cov_b.trace() - 2 * inner
    return max(0.0, float((mean_a - mean_b).square().sum() + spread))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """``frechet_gaussians`` of the means and covariances of two sets (n, d), (m, d); n, m > 1."""
    _check_sets(a, b)
    a, b = a.double(), b.double()
    return frechet_gaussians(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = 256, seed: int = 0) -> float:
    """Root mean square over random directions of the 2-Wasserstein distance of the projections.

    In one dimension that distance compares sorted values; sets (n, d), (m, d) of different sizes
    are compared through their quantiles. Rabin et al. 2011, "Wasserstein barycenter", eq. 9.
    """
    _check_sets(a, b)
    generator = torch.Generator().manual_seed(seed)
    lines = torch.randn(a.shape[1], directions, dtype=torch.float64, generator=generator)
    lines = lines / lines.norm(dim=0)  # (d, directions): unit vectors
    p, q = ((x.double() @ lines).sort(dim=0).values for x in (a, b))  # (n, .), (m, .)
    if len(p) != len(q):
        levels = (torch.arange(max(len(p), len(q)), dtype=torch.float64) + 0.5) / max(
            len(p), len(q)
        )
        p, q = (x[(levels * len(x)).long()] for x in (p, q))
    return float((p - q).square().mean().sqrt())


def psnr(x_hat: Tensor, x: Tensor, span: float = 2.0) -> Tensor:
    """10 log10(span^2 / mean squared error) per image, in dB: (B,). ``span`` is 2 for [-1, 1]."""
    return 10 * torch.log10(span**2 / reconstruction_loss(x_hat, x))


def mode_coverage(points: Tensor, means: Tensor, std: float, sigmas: float = 3.0) -> Coverage:
    """Coverage of modes ``means`` (K, d) of width ``std`` by ``points`` (n, d).

    A point is near a mode if it is its nearest one and within ``sigmas`` standard deviations.
    """
    if not std > 0:
        raise ValueError(f"std must be positive; got {std}")
    distance, nearest = torch.cdist(points.double(), means.double()).min(dim=1)  # (n,), (n,)
    near = distance <= sigmas * std
    return Coverage(len(nearest[near].unique()) / len(means), float(near.double().mean()))


def confident_fraction(probabilities: Tensor, threshold: float = 0.9) -> float:
    """Share of rows of ``probabilities`` (n, classes) whose largest entry is >= threshold."""
    return float((_checked(probabilities).amax(1) >= threshold).double().mean())


def confident_classes(probabilities: Tensor, threshold: float = 0.9) -> int:
    """Number of classes that are the confident answer (>= threshold) for at least one row."""
    top, label = _checked(probabilities).max(dim=1)
    return len(label[top >= threshold].unique())


def _checked(probabilities: Tensor) -> Tensor:
    total = probabilities.sum(-1)
    if probabilities.dim() != 2 or not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        raise ValueError("probabilities must be (n, classes) with rows that sum to 1: use softmax")
    return probabilities


def _check_sets(a: Tensor, b: Tensor) -> None:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"give two sets (n, d), (m, d) with n, m > 1; got {tuple(a.shape)}, {tuple(b.shape)}: "
            "flatten images first"
        )
