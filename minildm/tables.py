"""Tables of numbers looked at: weights, means, covariances, points. Lists and arrays are taken.

Each function raises ValueError, naming the argument and the value, for NaN and infinity, for
numbers whose products would overflow, and for shapes that do not fit. checks.py does the rest.
"""

import math

import torch
from torch import Tensor

from minildm import inputs

LARGEST = 1e100  # in a table: squares and products are still numbers


class NotFinite(ValueError):
    """NaN or infinity where numbers are needed; in a training's loss: it has diverged."""


def finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless ``tensor`` is of real numbers; ``NotFinite`` for NaN, infinity."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        use = "use .float()" if isinstance(tensor, Tensor) else "use torch.as_tensor"
        raise ValueError(f"{name} must be a tensor of real numbers; got {kind}: {use}")
    if tensor.is_meta or math.isfinite(tensor.detach().sum().item()):
        return  # many times faster than isfinite: a sum with NaN or inf in it is not finite
    bad = ~torch.isfinite(tensor)  # the sum may also have overflowed
    if bad.any():
        raise NotFinite(
            f"{name} has {int(bad.sum())} entries that are NaN or infinite (the first: "
            f"{tensor[bad][0].item()}); find the step that made them"
        )


def numbers(name: str, values) -> Tensor:
    """Numbers (tensor, array or lists) as a float64 tensor; ValueError unless all are finite."""
    tensor = inputs.tensor(name, values)
    if tensor.is_meta or tensor.is_complex() or tensor.dtype == torch.bool:
        kind = "a meta tensor, which has no values" if tensor.is_meta else tensor.dtype
        raise ValueError(f"{name} must hold real numbers; got {kind}")
    exact = isinstance(values, list | tuple)  # as_tensor makes float32 of Python's numbers
    tensor = torch.tensor(values, dtype=torch.float64) if exact else tensor.double()
    finite(name, tensor)
    if tensor.numel() and float(tensor.detach().abs().max()) > LARGEST:
        raise ValueError(f"{name} has entries beyond {LARGEST:g}: rescale it")
    return tensor


def mixture(weights, means, covs) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (K,), means (K, d), covariances (K, d, d) as float64 tensors; ValueError if not."""
    weights, means, covs = numbers("weights", weights), numbers("mean", means), numbers("cov", covs)
    K, d = means.shape if means.dim() == 2 else (0, 0)
    if not K or not d or weights.shape != (K,) or covs.shape != (K, d, d):
        raise ValueError(
            f"weights {tuple(weights.shape)}, means {tuple(means.shape)} and covs "
            f"{tuple(covs.shape)} do not fit together; expected (K,), (K, d) and (K, d, d)"
        )
    if not (weights >= 0).all() or abs(float(weights.sum()) - 1) > 1e-6:
        raise ValueError(f"weights must be >= 0 and sum to 1; got {weights.tolist()}")
    covariance("cov", covs)
    return weights, means, covs


def covariance(name: str, covs: Tensor, tolerance: float = 1e-8) -> None:
    """Raise ValueError unless (.., d, d) is symmetric without a negative variance."""
    scale = covs.abs().amax(dim=(-2, -1), keepdim=True)
    if ((covs - covs.mT).abs() > tolerance * scale).any():
        worst = float((covs - covs.mT).abs().max())
        raise ValueError(f"{name} must be symmetric; it differs from its transpose by {worst:.3g}")
    smallest = torch.linalg.eigvalsh(covs)[..., 0]
    if (smallest < -tolerance * scale[..., 0, 0]).any():
        raise ValueError(
            f"{name} has a negative variance: eigenvalue {float(smallest.min()):.3g}"
        )


def points(z_t: Tensor, d: int, name: str = "z_t") -> None:
    """Raise ValueError unless ``z_t`` is finite and (B, d)."""
    finite(name, z_t)
    if z_t.is_meta:
        raise ValueError(f"{name} is on the meta device, without values")
    if z_t.dim() != 2 or z_t.shape[1] != d or d == 0:
        raise ValueError(f"{name} must have shape (B, {d or 'd'}) here; got {tuple(z_t.shape)}")
