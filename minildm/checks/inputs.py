"""Numbers, tensors and tables that are given: looked at, and made what the code needs."""

import math
import operator
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST = 1e100  # in a table: squares and products are still numbers
SOME_VALUES = torch.empty(0)  # not on the meta device
OVERSHOOT = 5.0  # how far outside [-1, 1] a judge lets pictures lie: noise may, bytes may not


def whole(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """``value`` as a whole number: Python's, NumPy's or a tensor's; least <= value <= most.

    Raises ValueError for anything else: 10.5, True, "3", NaN.
    """
    try:
        if isinstance(value, bool | np.bool_) or getattr(value, "dtype", None) == torch.bool:
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must be a whole number{_range(least, most)}; got {value!r}"
        ) from None
    low = -math.inf if least is None else least
    high = most if most is not None else math.inf if least is None else 2**63 - 1  # a count: int64
    if not low <= number <= high:
        raise ValueError(f"{name} must be a whole number{_range(least, most)}; got {number}")
    return number


def real(
    name: str, value: Any, least: float = -math.inf, most: float = math.inf, *, open: bool = False
) -> float:
    """``value`` as a finite float; least <= value <= most, or least < value < most if ``open``.

    Raises ValueError for anything else: NaN, infinity, "3", True.
    """
    try:
        if isinstance(value, bool | np.bool_ | str | bytes):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(
            f"{name} must be a number{_range(least, most, open)}; got {value!r}"
        ) from None
    inside = least < number < most if open else least <= number <= most
    if not (math.isfinite(number) and inside):
        raise ValueError(f"{name} must be a finite number{_range(least, most, open)}; got {number}")
    return number


def _range(least: float | None, most: float | None, open: bool = False) -> str:
    low, high = (None if end is None or math.isinf(end) else end for end in (least, most))
    if low is not None and high is not None:
        return f" in ({low}, {high})" if open else f" in {low}..{high}"
    if low is not None:
        return f" > {low}" if open else f" >= {low}"
    return "" if high is None else (f" < {high}" if open else f" <= {high}")


def share(name: str, value: Any) -> float:
    """``value`` as a float in [0, 1). Raises ValueError for anything else."""
    number = real(name, value, 0, 1)
    if number == 1:
        raise ValueError(f"{name} must be in [0, 1); got {value}")
    return number


def whole_fields(config: Any, least: int | None, most: int | None, *names: str) -> None:
    """Fields of a frozen dataclass through ``whole``: checked, and kept as Python's own."""
    for name in names:
        object.__setattr__(config, name, whole(name, getattr(config, name), least, most))


def real_fields(config: Any, least: float, most: float, *names: str, open: bool = False) -> None:
    """Fields of a frozen dataclass through ``real``: checked, and kept as Python's own."""
    for name in names:
        value = real(name, getattr(config, name), least, most, open=open)
        object.__setattr__(config, name, value)


def share_fields(config: Any, *names: str) -> None:
    """Fields of a frozen dataclass through ``share``: checked, and kept as Python's own."""
    for name in names:
        object.__setattr__(config, name, share(name, getattr(config, name)))


def flag_fields(config: Any, *names: str) -> None:
    """Fields of a frozen dataclass that must be True or False; ValueError for 1, "yes", None."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} must be True or False; got {value!r}")
        object.__setattr__(config, name, bool(value))


def whole_tuple(
    name: str, values: Any, least: int | None = None, most: int | None = None
) -> tuple[int, ...]:
    """Several whole numbers, each through ``whole``; they come as a list or an array."""
    if isinstance(values, str | bytes | dict | set) or not hasattr(values, "__len__"):
        raise ValueError(f"{name} must be several whole numbers, such as (1, 2); got {values!r}")
    return tuple(whole(f"{name}[{i}]", value, least, most) for i, value in enumerate(values))


# --- tensors --------------------------------------------------------------------------------------


class NotFinite(ValueError):
    """NaN or infinity where numbers are needed; in a training's loss: it has diverged."""


def tensor(name: str, value: Any, like: Tensor | None = None) -> Tensor:
    """``value`` as a tensor: a tensor itself, a NumPy array, or a (nested) list of numbers.

    Raises ValueError for anything else, and for a tensor on the meta device, which holds no
    numbers, if ``like`` does hold some.
    """
    if isinstance(value, Tensor):
        if value.is_meta and like is not None and not like.is_meta:
            raise ValueError(f"{name} is on the meta device and holds no numbers; make it anew")
        return value
    try:
        return torch.as_tensor(value if isinstance(value, list | tuple) else np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must be a tensor or an array of numbers; got {type(value).__name__}"
        ) from None


def values(name: str, value: Any) -> Tensor:
    """``tensor`` with values: also a ValueError for one on the meta device."""
    return tensor(name, value, SOME_VALUES)


def whole_numbers(name: str, value: Any) -> Tensor:
    """Integers (tensor, array or lists) as an int64 tensor; ValueError for fractions and bools."""
    found = values(name, value)
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise ValueError(f"{name} must be whole numbers; got {found.dtype}: use .long()")
    return found.long()


def floating(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless ``tensor`` is one of real numbers: float64, float32, float16, .."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        use = "use .float()" if isinstance(tensor, Tensor) else "use torch.as_tensor"
        raise ValueError(f"{name} must be a tensor of real numbers; got {kind}: {use}")


_last: tuple[Callable[[], Tensor | None], int] = (lambda: None, 0)  # a weak reference, a version


def quickly_finite(tensor: Tensor) -> bool:
    """True where the sum is finite: it keeps every NaN and infinity, but it may also overflow.

    Many times faster than isfinite. What was looked at last, and not changed since, is not summed
    up again: the loop, the step, the denoiser and the solve all ask about one z.
    """
    global _last
    if tensor.dim() == 0:
        return tensor.is_meta or math.isfinite(tensor.item())
    counts_changes = not tensor.is_inference()
    if counts_changes and _last[0]() is tensor and _last[1] == tensor._version:
        return True
    if not (tensor.is_meta or math.isfinite(tensor.detach().sum().item())):
        return False
    if counts_changes:
        _last = weakref.ref(tensor), tensor._version
    return True


def finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless ``tensor`` is of real numbers; ``NotFinite`` for NaN, infinity."""
    floating(name, tensor)
    if quickly_finite(tensor):
        return
    bad = ~torch.isfinite(tensor)  # the sum may also have overflowed
    if bad.any():
        raise NotFinite(
            f"{name} has {int(bad.sum())} entries that are NaN or infinite (the first: "
            f"{tensor[bad][0].item()}); find the step that made them"
        )


# --- tables ---------------------------------------------------------------------------------------


def numbers(name: str, value: Any) -> Tensor:
    """Numbers (tensor, array or lists) as a float64 tensor; ValueError unless all are finite."""
    found = values(name, value)
    if found.is_complex() or found.dtype == torch.bool:
        raise ValueError(f"{name} must hold real numbers; got {found.dtype}")
    exact = isinstance(value, list | tuple)  # as_tensor makes float32 of Python's numbers
    found = torch.tensor(value, dtype=torch.float64) if exact else found.double()
    finite(name, found)
    if found.numel() and float(found.detach().abs().max()) > LARGEST:
        raise ValueError(f"{name} has entries beyond {LARGEST:g}: rescale it")
    return found


def mixture(weights: Any, means: Any, covs: Any) -> tuple[Tensor, Tensor, Tensor]:
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
        raise ValueError(f"{name} has a negative variance: eigenvalue {float(smallest.min()):.3g}")


def points(z_t: Tensor, d: int, name: str = "z_t") -> None:
    """Raise ValueError unless ``z_t`` is finite and (B, d)."""
    finite(name, z_t)
    values(name, z_t)
    if z_t.dim() != 2 or z_t.shape[1] != d or d == 0:
        raise ValueError(f"{name} must have shape (B, {d or 'd'}) here; got {tuple(z_t.shape)}")


# --- pictures and labels --------------------------------------------------------------------------


def images(
    name: str,
    x: Any,
    channels: int | None = None,
    size: Sequence[int] | None = None,
    slack: float = 0.001,
) -> Tensor:
    """Pictures as float32 (B, C, H, W) in [-1, 1]; any real dtype and NumPy arrays are converted.

    ``channels``, ``size`` (H, W): what they must have. ``slack``: how far values may lie outside;
    resizing and half precision overshoot a little, networks and noise more.
    Raises ValueError for another shape, for NaN and infinity, and for values outside [-1, 1],
    saying what they look like. Warns where no value is negative: such pictures are mostly in
    [0, 1], with 2 x - 1 forgotten.
    """
    x = values(name, x)
    height, width = ("H", "W") if size is None else size
    want = f"(B, {channels or 'C'}, {height}, {width})"
    if x.dim() != 4 or 0 in x.shape or (channels is not None and x.shape[1] != channels):
        raise ValueError(f"{name} must be {want}; got {tuple(x.shape)}{_shape_hint(x, channels)}")
    if size is not None and tuple(x.shape[2:]) != tuple(size):
        raise ValueError(f"{name} must be {want} for this model; got {tuple(x.shape)}: resize it")
    if x.dtype == torch.bool or not (x.is_floating_point() or x.dtype == torch.uint8):
        raise ValueError(f"{name} must be real numbers in [-1, 1]; got {x.dtype}")
    if x.dtype == torch.uint8:
        raise ValueError(f"{name} holds bytes (0..255); use x / 127.5 - 1 for values in [-1, 1]")
    _in_range(name, x.float(), slack)
    return x.float()


def _in_range(name: str, x: Tensor, slack: float) -> None:
    """The values of ``images``: finite, within [-1, 1], and not all of them positive."""
    bad = ~torch.isfinite(x)
    if bad.any():
        which = sorted({int(i) for i in bad.nonzero()[:, 0][:1000]})
        raise ValueError(
            f"{name} has {int(bad.sum())} entries that are NaN or infinite, in picture "
            f"{', '.join(map(str, which[:5]))}{', ..' if len(which) > 5 else ''}; mend or leave out"
        )
    low, high = float(x.min()), float(x.max())
    if low < -1 - slack or high > 1 + slack:
        looks = "pictures in 0..255; use x / 127.5 - 1" if low >= 0 else "rescale, or clamp(-1, 1)"
        raise ValueError(f"{name} must be in [-1, 1]; got {low:.3g}..{high:.3g}: {looks}")
    if low >= 0 and high > low:
        warnings.warn(
            f"{name} lies in {low:.3g}..{high:.3g}, with no negative value: pictures are expected "
            "in [-1, 1]. If these are in [0, 1], use 2 x - 1",
            stacklevel=4,
        )


def latents(name: str, z: Any, like: Tensor, channels: int, *size: int) -> Tensor:
    """Latents (B, channels, h, w) as ``like``'s dtype, on its device; ``size``: h and w, if given.

    Raises ValueError for another shape, and unless they are real and finite.
    """
    z = tensor(name, z, like)
    fits = z.dim() == 4 and 0 not in z.shape and z.shape[1] == channels
    if not fits or (size and tuple(z.shape[2:]) != size):
        wanted = ", ".join(map(str, (channels, *(size or ("h", "w")))))
        raise ValueError(f"{name} must be (B, {wanted}) for this model; got {tuple(z.shape)}")
    finite(name, z)
    return z.to(like)


def mask(name: str, mask: Any, x: Tensor) -> Tensor:
    """(B, 1, H, W) of 0 and 1 for the images x (B, C, H, W); else ValueError."""
    mask, wanted = tensor(name, mask, x), (len(x), 1, *x.shape[2:])
    if mask.shape != wanted:
        raise ValueError(f"{name} must be {wanted} for these images; got {tuple(mask.shape)}")
    if not ((mask == 0) | (mask == 1)).all():
        hint = f"use ({name} > 0.5).float()"
        raise ValueError(f"{name} must hold 0 (keep) and 1 (draw anew) only; {hint}")
    return mask


def labels(name: str, labels: Any, n: int, classes: int) -> Tensor:
    """Class labels as int64 (n,), each in 0..classes-1; integer lists and arrays are converted.

    For training: the null label is drawn by the training itself. Raises ValueError otherwise.
    """
    if labels is None:
        raise ValueError(f"{name} is missing: a network with {classes} classes needs one each")
    labels = whole_numbers(name, labels)
    if labels.shape != (n,):
        raise ValueError(f"{name} must be ({n},), one per sample; got {tuple(labels.shape)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        hint = ": labels begin at 0, subtract 1" if (low, high) == (1, classes) else ""
        raise ValueError(f"{name} must be in 0..{classes - 1}; got {low}..{high}{hint}")
    return labels


def _shape_hint(x: Tensor, channels: int | None) -> str:
    if x.dim() == 3:
        return ": give one picture as x[None]"
    if x.dim() == 4 and channels is not None and x.shape[-1] == channels != x.shape[1]:
        return ": channels come first, use x.permute(0, 3, 1, 2)"
    if x.dim() == 4 and channels == 3 and x.shape[1] == 4:
        return ": leave out the alpha channel"
    return ""
