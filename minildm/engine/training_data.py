"""The data of a training: looked at before the first step, and told from other data.

Data is a tensor (n, ..), what can be made into one (NumPy, a list), or *lazy*: anything with a
length n that gives a tensor for int64 indices, ``x[indices]``. Of tensors everything is looked at;
of lazy data SPREAD samples, evenly spread, and each batch of pictures when it comes.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.text import TextUNetConfig
from minildm.words import PAD

SPREAD = 64  # samples of lazy data
SKETCH = 4  # numbers that two computers compute alike, up to rounding
CLOSE = 1e-5  # of the data's root mean square; rounding changes a sketch by about 1e-7


# --- looking --------------------------------------------------------------------------------------


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


def schedule(schedule: Any) -> Callable:
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


# --- telling apart --------------------------------------------------------------------------------


def fingerprint(x: Any) -> dict | None:
    """What tells data from other data, JSON-able: of a tensor all bytes, of lazy data a sample.

    n        samples
    shape    of all that was looked at
    sha256   of its bytes
    sketch   for real numbers: SKETCH sums over them all with random signs, in units of their root
             mean square; they hardly change by rounding, so that the same data computed on
             another kind of processor is known again (``change``)
    """
    if x is None:
        return None
    few = some("x", x).detach().cpu().contiguous()
    whole = few.reshape(len(few), -1)  # (k, numbers of one sample)
    digest = hashlib.sha256()
    for part in whole.split(1024):
        digest.update(part.view(torch.uint8).numpy().data)
    found = {"n": len(x), "shape": list(few.shape), "sha256": digest.hexdigest()}
    return found | ({"sketch": _sketch(whole)} if few.is_floating_point() else {})


def _sketch(whole: Tensor) -> list[float]:
    """Sums of all numbers, each times a sign of its sample and one of its place."""
    generator = torch.Generator().manual_seed(0)
    places, samples = (
        2 * torch.randint(2, (k, SKETCH), generator=generator).double() - 1 for k in whole.T.shape
    )  # (numbers of one sample, SKETCH), (k, SKETCH)
    sums, squares = torch.zeros(SKETCH, dtype=torch.float64), 0.0
    for part, signs in zip(whole.split(256), samples.split(256), strict=True):
        part = part.double()
        sums += (signs * (part @ places)).sum(0)
        squares += float(part.square().sum())
    return (sums / math.sqrt(squares or 1.0)).tolist()


def change(then: Any, now: Any) -> str:
    """In words, how a setting differs from what it was; "" if it does not.

    Fingerprints of data differ if the data does, by more than rounding.
    """
    prints = [value for value in (then, now) if isinstance(value, Mapping)]
    if len(prints) < 2:
        if then == now:
            return ""
        if not prints:
            return f"was {then!r} and is {now!r} now"
        return "was not there and is now" if then is None else "was there and is not now"
    for name in ("n", "shape"):
        if then.get(name) != now.get(name):
            return f"holds other data ({name} was {then.get(name)} and is {now.get(name)} now)"
    same = then.get("sha256") == now.get("sha256")
    if not same and "sketch" in then and "sketch" in now:
        pairs = zip(then["sketch"], now["sketch"], strict=True)
        same = all(abs(a - b) <= CLOSE for a, b in pairs)
    return "" if same else "holds other data, of the same shape"


def name_of(function: Callable | None) -> str | None:
    """The name of a function, what a partial one was given, or the class of another callable."""
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{name_of(function.func)}({', '.join(given)})"
    if function is None or hasattr(function, "__qualname__"):
        return getattr(function, "__qualname__", None)
    return type(function).__qualname__


def describe_schedule(schedule: Callable) -> str:
    """What tells one schedule from another: its kind, its length and its betas, if it has any.

    The betas count to ten digits: their last ones differ between kinds of processor.
    """
    betas = getattr(schedule, "beta", None)
    if betas is None:
        return f"{type(schedule).__name__}, T = {schedule.T}"
    text = " ".join(f"{beta:.9e}" for beta in betas.tolist())
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{type(schedule).__name__}, T = {schedule.T}, betas {digest}"


def weights_digest(net: nn.Module, but: tuple[str, ...] = ()) -> str:
    """SHA-256 of the names and numbers of a network's weights, without those called ``but``."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        if name not in but:
            digest.update(name.encode())
            plain = value.detach().cpu().contiguous().reshape(1, -1)
            digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()
