"""The settings of a training, and single ones changed from text such as ``fit.steps=100``."""

import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from minildm.checks import inputs

CHOICES = {
    "precision": ("no", "bf16", "fp16"),
    "device": ("auto", "cpu"),
    "schedule": ("cosine", "constant"),
    "optimizer": ("adamw", "muon"),
}


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast to train; takes NumPy's numbers too, and keeps them as Python's.

    Raises ValueError, naming the field and its range, for a value that makes no sense.

    steps         optimiser steps: a fixed number, so that a run can be repeated
    batch         samples per step, over all processes
    lr            peak learning rate, reached after ``warmup`` steps
    schedule      what follows: "cosine" (down to 0) or "constant"
    optimizer     "adamw" (arXiv 1711.05101) or "muon" (optim.py)
    weight_decay  of the optimiser, decoupled
    clip          largest norm of the gradient
    ema           decay of the running average of the weights
    accumulate    a step's samples go through the network in so many parts: less memory
    precision     "no", "bf16" or "fp16" (mixed precision; on a CPU it helps wide networks only)
    device        "auto" (CUDA or MPS where there is one) or "cpu"
    log_every     steps per progress record
    save_every    steps per checkpoint
    """

    steps: int = 1000
    batch: int = 128
    lr: float = 1e-3
    warmup: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.98
    seed: int = 0
    precision: str = "no"
    device: str = "auto"
    log_every: int = 25
    schedule: str = "cosine"
    optimizer: str = "adamw"
    accumulate: int = 1
    save_every: int = 200

    def __post_init__(self) -> None:
        counts = ("steps", "batch", "log_every", "accumulate", "save_every")
        inputs.whole_fields(self, 1, None, *counts)
        inputs.whole_fields(self, 0, None, "warmup")
        inputs.whole_fields(self, None, None, "seed")
        inputs.real_fields(self, 0, math.inf, "lr", "clip", open=True)
        inputs.real_fields(self, 0, math.inf, "weight_decay")
        inputs.share_fields(self, "ema")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")

    def lr_at(self, step: int) -> float:
        """The learning rate of step 0, 1, ..: a linear warm-up times the schedule."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        if self.schedule == "constant":
            return self.lr * warm
        return self.lr * warm * (1 + math.cos(math.pi * step / self.steps)) / 2


def override(config: Any, changes: Sequence[str]) -> Any:
    """A copy of the dataclass ``config`` with ``changes``, each "key=value", key "part.part.name".

    Values: 3, 0.5, true, text, 1,2,4 for several numbers, none where a setting may be None. All are
    changed at once, so that their order does not matter.
    Raises ValueError for an unknown key (listing the valid ones), a key that is given twice, a
    value of another type, and a value that the configuration itself refuses.
    """
    wanted: dict[str, str] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value; got {change!r}")
        if key in wanted:
            raise ValueError(f"{key} is given twice: {wanted[key]!r} and {text!r}")
        wanted[key] = text
    known = keys(config)
    for key in wanted:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"there is no setting {key!r}.{hint} There are: {', '.join(known)}")
    return _changed(config, wanted, "")


def keys(config: Any, prefix: str = "") -> list[str]:
    """All keys of ``override`` for this configuration."""
    found = []
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        found += keys(value, f"{prefix}{name}.") if is_dataclass(value) else [prefix + name]
    return found


def reseeded(config: Any, seed: int) -> Any:
    """A copy with every setting called ``seed`` changed."""
    return override(config, [f"{k}={seed}" for k in keys(config) if k.split(".")[-1] == "seed"])


def _changed(config: Any, wanted: Mapping[str, str], prefix: str) -> Any:
    """``config``, which stands at ``prefix`` of the whole, with the changes that are its own."""
    hints, new = typing.get_type_hints(type(config)), {}
    for name in (field.name for field in fields(config)):
        value, key = getattr(config, name), prefix + name
        if is_dataclass(value):
            if any(other.startswith(f"{key}.") for other in wanted):
                new[name] = _changed(value, wanted, f"{key}.")
        elif key in wanted:
            new[name] = _parse(wanted[key], hints[name], key)
    try:
        return replace(config, **new) if new else config
    except ValueError as error:
        said = str(error)
        where = "" if not prefix or said.startswith(prefix) else f"{prefix.rstrip('.')}: "
        raise ValueError(where + said) from error


def _parse(text: str, kind: Any, key: str) -> Any:
    """``text`` as a value of the annotated type ``kind``."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [k for k in typing.get_args(kind) if k is not type(None)]
        if len(kinds) < len(typing.get_args(kind)) and text.lower() == "none":
            return None
        return _parse(text, kinds[0], key)
    if typing.get_origin(kind) is tuple:
        parts = [part.strip() for part in text.strip("()[] ").split(",")]
        return tuple(_parse(part, typing.get_args(kind)[0], key) for part in parts if part)
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, kind)
        raise ValueError(f"{key} must be {wanted}; got {text!r}") from error
