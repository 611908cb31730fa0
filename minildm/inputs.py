"""What a caller hands over, looked at once, where it comes in: numbers, pictures, labels.

Each function returns its argument in the form that the rest of the package expects, or raises a
ValueError that names the argument, the value and the way out. NumPy's numbers and arrays are taken
wherever a number or a tensor is. checks.py does the same for what the five core files take.
"""

import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
        where = _range(least, most)
        raise ValueError(f"{name} must be a whole number{where}; got {value!r}") from None
    too_large = number > (most if most is not None else math.inf)
    if too_large or (least is not None and not least <= number < 2**63):  # a count is an int64
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
        where = _range(least, most, open)
        raise ValueError(f"{name} must be a number{where}; got {value!r}") from None
    inside = least < number < most if open else least <= number <= most
    if not (math.isfinite(number) and inside):
        raise ValueError(f"{name} must be a finite number{_range(least, most, open)}; got {number}")
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
    x = tensor(name, x, torch.empty(0))
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
    x = x.float()
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
            stacklevel=3,
        )
    return x


def labels(name: str, labels: Any, n: int, classes: int) -> Tensor:
    """Class labels as int64 (n,), each in 0..classes-1; integer lists and arrays are converted.

    For training: the null label is drawn by the training itself. Raises ValueError otherwise.
    """
    if labels is None:
        raise ValueError(f"{name} is missing: a network with {classes} classes needs one each")
    labels = tensor(name, labels)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{name} must be integers; got {labels.dtype}: use .long()")
    if labels.shape != (n,):
        raise ValueError(f"{name} must be ({n},), one per sample; got {tuple(labels.shape)}")
    labels = labels.long()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        hint = ": labels begin at 0, subtract 1" if (low, high) == (1, classes) else ""
        raise ValueError(f"{name} must be in 0..{classes - 1}; got {low}..{high}{hint}")
    return labels


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


def _range(least: float | None, most: float | None, open: bool = False) -> str:
    low = None if least in (None, -math.inf) else least
    high = None if most in (None, math.inf) else most
    if low is not None and high is not None:
        return f" in ({low}, {high})" if open else f" in {low}..{high}"
    if low is not None:
        return f" > {low}" if open else f" >= {low}"
    return "" if high is None else (f" < {high}" if open else f" <= {high}")


def _shape_hint(x: Tensor, channels: int | None) -> str:
    if x.dim() == 3:
        return ": give one picture as x[None]"
    if x.dim() == 4 and channels is not None and x.shape[-1] == channels != x.shape[1]:
        return ": channels come first, use x.permute(0, 3, 1, 2)"
    if x.dim() == 4 and channels == 3 and x.shape[1] == 4:
        return ": leave out the alpha channel"
    return ""
