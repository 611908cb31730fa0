"""What a training step is made of: the settings, and the samples with their noise.

All of it depends on (seed, step, sample index) only, so that it is the same on one process and on
two, and after an interruption.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minildm import inputs
from minildm.noise import keyed_normal, keyed_uniform, seeded

ORDER, TIME, NOISE, DROP = range(4)  # what a key is used for: no two uses share numbers
CHOICES = {
    "precision": ("no", "bf16", "fp16"),
    "device": ("auto", "cpu"),
    "schedule": ("cosine", "constant"),
    "optimizer": ("adamw", "muon"),
}
# Whole numbers, and the least that each may be.
WHOLE = {
    "steps": 1, "batch": 1, "warmup": 0, "seed": None, "log_every": 1, "accumulate": 1,
    "save_every": 1,
}  # fmt: skip


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast to train; takes NumPy's numbers too, and keeps them as Python's.

    Raises ValueError, naming the field and its range, for a value that makes no sense.

    steps         optimiser steps: a fixed number, so that a run can be repeated
    batch         samples per step, over all processes
    lr            peak learning rate, reached after ``warmup`` steps
    schedule      what follows: "cosine" (down to 0) or "constant"
    optimizer     "adamw" (arXiv 1711.05101) or "muon" (muon.py)
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
        whole_fields(self, **WHOLE)
        for name in ("lr", "clip"):
            set_field(self, name, inputs.real(name, getattr(self, name), 0, open=True))
        real_fields(self, weight_decay=0.0)
        set_field(self, "ema", share("ema", self.ema))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")

    def lr_at(self, step: int) -> float:
        """The learning rate of step 0, 1, ..: a linear warm-up times the schedule."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        if self.schedule == "constant":
            return self.lr * warm
        return self.lr * warm * (1 + math.cos(math.pi * step / self.steps)) / 2


def set_field(config: Any, name: str, value: Any) -> None:
    """Set a field of a frozen dataclass, from its ``__post_init__``."""
    object.__setattr__(config, name, value)


def whole_fields(config: Any, **least: int | None) -> None:
    """Check that fields of a frozen dataclass are whole numbers, and not less than that; keep int.

    Raises ValueError, naming the field, if they are not.
    """
    for name, low in least.items():
        set_field(config, name, inputs.whole(name, getattr(config, name), low))


def real_fields(config: Any, **least: float) -> None:
    """The same for finite real numbers, kept as floats."""
    for name, low in least.items():
        set_field(config, name, inputs.real(name, getattr(config, name), low))


def share(name: str, value: Any) -> float:
    """``value`` as a float in [0, 1). Raises ValueError for anything else."""
    number = inputs.real(name, value, 0, 1)
    if number == 1:
        raise ValueError(f"{name} must be in [0, 1); got {value}")
    return number


class Batch(NamedTuple):
    """The samples of one step. Seed, step and sample index are the key of all its noise."""

    seed: int
    step: int
    indices: Tensor

    def uniform(self, purpose: int) -> Tensor:
        """Uniform numbers in [0, 1): float64 (B,)."""
        return keyed_uniform((self.seed, purpose, self.step), self.indices)

    def normal(self, shape: Sequence[int], purpose: int = NOISE) -> Tensor:
        """Standard normal noise: float32 (B, *shape)."""
        return keyed_normal((self.seed, purpose, self.step), self.indices, shape)


Loss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor | None]]


def batch_indices(n: int, batch: int, step: int, seed: int) -> Tensor:
    """The samples of one step, int64 (batch,): each epoch is another shuffle of 0..n-1.

    Depends on its arguments only. The n mod batch samples left at an epoch's end are skipped.
    Raises ValueError if a batch is larger than the data.
    """
    per_epoch = n // batch
    if per_epoch < 1:
        raise ValueError(f"batch = {batch} is larger than the {n} samples there are; lower it")
    epoch, place = divmod(step, per_epoch)
    return _shuffled(n, seed, epoch)[place * batch : (place + 1) * batch].clone()


@functools.lru_cache(maxsize=2)
def _shuffled(n: int, seed: int, epoch: int) -> Tensor:
    """The order of one epoch: drawn once, not at each of its steps."""
    return torch.randperm(n, generator=seeded(seed, ORDER, epoch))
