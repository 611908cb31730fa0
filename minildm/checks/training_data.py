"""The data of a training, looked at before the first step.

Data is a tensor (n, ..), what can be made into one (NumPy, a list), or *lazy*: anything with a
length n that gives a tensor for int64 indices, ``x[indices]``. Of tensors everything is looked at;
of lazy data SPREAD samples, evenly spread, and each batch of pictures when it comes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from minildm.checks import inputs
from minildm.interfaces import Schedule
from minildm.text import TextUNetConfig
from minildm.words import PAD

SPREAD = 64  # samples of lazy data


def data(name: str, x: Any) -> Any:
    """``x`` as a tensor with samples, or lazy data as it is. Raises ValueError for anything else.

    A data set of (picture, label) pairs, and one that takes single indices only, are recognised.
    """
    if isinstance(x, list | tuple) and len(x) and isinstance(x[0], tuple):
        raise ValueError(_pairs(name))
    lazy = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    if isinstance(x, Tensor | str | list | tuple) or hasattr(x, "__array__") or not lazy:
        x = inputs.tensor(name, x)
        if x.dim() == 0:
            raise ValueError(f"{name} must hold samples (n, ..); got one number")
    if len(x) == 0:
        raise ValueError(f"{name} holds no samples")
    return x


def some(name: str, x: Any, indices: Tensor | None = None) -> Tensor:
    """All of a tensor, or the samples ``indices`` of lazy data: SPREAD of them if None.

    Raises ValueError if the data does not give a tensor (k, ..) for k indices.
    """
    if isinstance(x, Tensor):
        return x if indices is None else x[indices]
    if indices is None:
        indices = torch.linspace(0, len(x) - 1, min(len(x), SPREAD)).round().long()
    try:
        part = x[indices]
    except (TypeError, ValueError, IndexError, KeyError, RuntimeError) as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{name} "):
            raise
        try:
            part = x[0]
        except (TypeError, ValueError, IndexError, KeyError, RuntimeError):
            part = None
        if not isinstance(part, tuple):
            raise ValueError(
                f"{name}[indices], with int64 indices (k,), must give a tensor (k, ..); got "
                f"{type(error).__name__}: {error}. Use torch.stack([{name}[i] for i in "
                f"range(len({name}))])"
            ) from error
    if isinstance(part, tuple | list | dict):
        raise ValueError(_pairs(name))
    if not isinstance(part, Tensor) or len(part) != len(indices):
        got = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
        raise ValueError(
            f"{name}[indices] must give a tensor with one entry per index, ({len(indices)}, ..); "
            f"got {got}"
        )
    return part


def pictures(name: str, x: Any, channels: int, factor: int) -> Any:
    """Pictures (n, C, H, W) in [-1, 1], as float32 or lazy, H and W multiples of ``factor``.

    Raises ValueError as ``inputs.images`` does.
    """
    x = data(name, x)
    few = inputs.images(name, some(name, x), channels)
    if few.shape[2] % factor or few.shape[3] % factor:
        raise ValueError(
            f"{name}: height and width must be multiples of factor = {factor}; got "
            f"{tuple(few.shape)}: pad the images"
        )
    return few if isinstance(x, Tensor) else x


def pictures_of(name: str, x: Any, indices: Tensor) -> Tensor:
    """The pictures of one batch; of lazy data they have not been looked at yet, so now they are."""
    part = some(name, x, indices)
    if not isinstance(x, Tensor):
        low, high = (float(value) for value in part.aminmax())
        if not (low >= -1.001 and high <= 1.001):
            which = ", ".join(map(str, indices[:5].tolist()))
            inputs.images(f"a batch of {name} ({which}, ..)", part)
    return part


def latents(name: str, z0: Any, channels: int | None) -> Any:
    """Latents (n, c, ..), as finite float32 or lazy; ``channels``: what c must be, None: anything.

    Raises ValueError otherwise.
    """
    z0 = data(name, z0)
    few = some(name, z0)
    if few.dim() < 2 or (channels is not None and few.shape[1] != channels):
        raise ValueError(
            f"{name} must be (n, {channels or 'c'}, ..), with the channels of the network (its "
            f"config says {channels}); got {tuple(few.shape)}"
        )
    few = _finite(name, few)
    return few if isinstance(z0, Tensor) else z0


def condition(config: Any, condition: Any, n: int, size: Sequence[int] = ()) -> Any:
    """What a network with this config is told of each of n samples, looked at; or None.

    ``config``: a UNetConfig, a TextUNetConfig, or another one with ``classes``; None for a network
    of another kind, of which only the length and finite numbers are asked for. ``size``: of the
    latents, (h, w), which a map must have.
    Raises ValueError, saying what is wanted, if it is missing, superfluous, or does not fit.
    """
    name, wanted = "condition", _wanted(config)
    if condition is None:
        if wanted:
            raise ValueError(f"condition is missing: this network wants {wanted}, one per sample")
        return None
    if wanted == "":
        raise ValueError(
            "condition is given, but this network has none: leave it out, or switch one on in the "
            "network's config (classes, concat_channels, a TextUNetConfig)"
        )
    condition = data(name, condition)
    if len(condition) != n:
        raise ValueError(f"condition has {len(condition)} entries for {n} samples; give one each")
    few = _of_kind(config, name, some(name, condition), wanted)
    if few.dim() == 4 and tuple(few.shape[2:]) != tuple(size):
        raise ValueError(f"{name} must be {wanted}, (h, w) = {tuple(size)}; got {tuple(few.shape)}")
    return few if isinstance(condition, Tensor) else condition


def _wanted(config: Any) -> str | None:
    """What a network's condition must be; "" if it has none, None if that is not known."""
    if isinstance(config, TextUNetConfig):
        return f"int64 tokens (n, L), L <= {config.text.length}"
    if not hasattr(config, "classes"):
        return None
    if config.classes:
        return f"labels 0..{config.classes - 1} (n,)"
    if getattr(config, "context_dim", 0):
        return f"vectors (n, L, {config.context_dim})"
    if getattr(config, "concat_channels", 0):
        return f"maps (n, {config.concat_channels}, h, w)"
    return ""


def _of_kind(config: Any, name: str, few: Tensor, wanted: str | None) -> Tensor:
    if wanted is None:
        return _finite(name, few) if few.is_floating_point() else few
    if isinstance(config, TextUNetConfig):
        if few.is_floating_point() and few.dim() == 3 and few.shape[2] == config.text.dim:
            return _finite(name, few)  # texts that are encoded already
        return _tokens(name, few, config.text.length, config.text.vocabulary, wanted)
    if config.classes:
        return inputs.labels(name, few, len(few), config.classes)
    dim, size = (3, 2) if config.context_dim else (4, 1)
    if few.dim() != dim or few.shape[size] != (config.context_dim or config.concat_channels):
        raise ValueError(f"{name} must be {wanted}; got {tuple(few.shape)}")
    return _finite(name, few)


def _tokens(name: str, few: Tensor, length: int, vocabulary: int, wanted: str) -> Tensor:
    whole = not (few.is_floating_point() or few.is_complex() or few.dtype == torch.bool)
    if not whole or few.dim() != 2 or not 0 < few.shape[1] <= length:
        raise ValueError(
            f"{name} must be {wanted}; got {few.dtype} {tuple(few.shape)}: use tokenize(texts)"
        )
    low, high = int(few.min()), int(few.max())
    if low < 0 or high >= vocabulary or (few[:, 0] == PAD).any():
        raise ValueError(
            f"{name} must be tokens 0..{vocabulary - 1}, and no text may begin with {PAD} (PAD); "
            f"got {low}..{high}: use tokenize(texts)"
        )
    return few.long()


def _finite(name: str, few: Tensor) -> Tensor:
    if not few.is_floating_point():
        raise ValueError(f"{name} must be real numbers; got {few.dtype}: use .float()")
    bad = ~torch.isfinite(few.reshape(len(few), -1).sum(1))  # (n, ..) -> (n,)
    if bad.any():
        which = ", ".join(str(int(i)) for i in bad.nonzero()[:5, 0])
        raise ValueError(
            f"{name} has NaN or infinite numbers in sample {which}{', ..' * (int(bad.sum()) > 5)}; "
            "mend them or leave them out"
        )
    return few.float()


def schedule(schedule: Any) -> Schedule:
    """``schedule`` itself; ValueError for betas, a class, and whatever else is no schedule."""
    if isinstance(schedule, type):
        raise ValueError(f"schedule is a class; give an instance: {schedule.__name__}(..)")
    if callable(schedule) and hasattr(schedule, "T"):
        return schedule
    raise ValueError(
        f"schedule must be a schedule of noise; got {type(schedule).__name__}: give "
        "DiscreteSchedule(betas), CosineSchedule() or FlowSchedule()"
    )


def _pairs(name: str) -> str:
    return (
        f"{name} gives tuples, such as (picture, label); give the pictures as one tensor, "
        f"torch.stack([picture for picture, _ in {name}]), and the labels apart from them"
    )
