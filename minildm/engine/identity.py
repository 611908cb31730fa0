"""What a training is known again by when it goes on: its settings, data, functions and weights."""

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from minildm.checks.training_data import some
from minildm.interfaces import Schedule

SKETCH = 4  # numbers that two computers compute alike, up to rounding
CLOSE = 1e-5  # of the data's root mean square; rounding changes a sketch by about 1e-7


def flat(settings: Mapping, prefix: str = "") -> dict:
    """{"fit": {"steps": 3}} -> {"fit.steps": 3}, with tuples as lists: what JSON gives back."""
    found: dict = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and "sha256" not in value:  # else: a fingerprint of data
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = list(value) if isinstance(value, tuple) else value
    return found


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
    few = some("x", x).detach().cpu()
    found = {"n": len(x), "shape": list(few.shape), "sha256": _sha256({"": few})}
    return found | ({"sketch": _sketch(few)} if few.is_floating_point() else {})


def weights_digest(net: nn.Module, but: tuple[str, ...] = ()) -> str:
    """SHA-256 of the names and numbers of a network's weights, without those called ``but``."""
    return _sha256({k: v.detach() for k, v in net.state_dict().items() if k not in but})


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in tensors.items():
        plain = value.cpu().contiguous().reshape(1, -1)  # (1, numbers): also of a single one
        digest.update(name.encode())
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sketch(few: Tensor) -> list[float]:
    """Sums of all numbers, each times a sign of its sample and one of its place."""
    whole = few.reshape(len(few), -1)  # (k, numbers of one sample)
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


def name_of(function: Callable | None) -> str | None:
    """The name of a function, what a partial one was given, or the class of another callable."""
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{name_of(function.func)}({', '.join(given)})"
    if function is None or hasattr(function, "__qualname__"):
        return getattr(function, "__qualname__", None)
    return type(function).__qualname__


def describe_schedule(schedule: Schedule) -> str:
    """What tells one schedule from another: its kind, its length and its betas, if it has any.

    The betas count to ten digits: their last ones differ between kinds of processor.
    """
    betas = getattr(schedule, "beta", None)
    if betas is None:
        return f"{type(schedule).__name__}, T = {schedule.T}"
    text = " ".join(f"{beta:.9e}" for beta in betas.tolist())
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{type(schedule).__name__}, T = {schedule.T}, betas {digest}"
