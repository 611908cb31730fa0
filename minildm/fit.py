"""One training loop for every network of the book.

``fit`` trains any network on any per-sample loss and yields its progress. A step's batch and its
noise depend on (seed, step, sample index) only, never on what was drawn before, so that two
processes that share a batch see the numbers that one would see.
"""

import functools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from minildm.ema import EMA
from minildm.noise import keyed_normal, keyed_uniform, seeded

LEVELS = 10  # the loss is logged for each tenth of the time range
ORDER, TIME, NOISE, DROP = range(4)  # what a key is used for: no two uses share numbers


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast to train. Raises ValueError for values that make no sense.

    steps         optimiser steps: a fixed number, so that a run can be repeated
    batch         samples per step, over all processes
    lr            peak learning rate, reached after ``warmup`` steps, then a cosine down to 0
    weight_decay  of AdamW (arXiv 1711.05101)
    clip          largest norm of the gradient
    ema           decay of the running average of the weights
    precision     "no", "bf16" or "fp16" (mixed precision; on a CPU "no" is the fastest)
    device        "auto" (CUDA or MPS where there is one) or "cpu"
    log_every     steps per progress record
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

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_every", "lr", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        for name, allowed in (("precision", ("no", "bf16", "fp16")), ("device", ("auto", "cpu"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")

    def lr_at(self, step: int) -> float:
        """The learning rate of step 0, 1, ..: a linear warm-up times a cosine down to 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        return self.lr * warm * (1 + math.cos(math.pi * step / self.steps)) / 2


class Progress(NamedTuple):
    """Means over the steps since the last record.

    ``by_level[i]`` is the loss for times in the i-th tenth of (0, T]; NaN where none was drawn,
    empty for a loss that knows no time.
    """

    step: int
    loss: float
    lr: float
    by_level: tuple[float, ...] = ()


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


def fit(
    net: nn.Module, loss: Loss, n: int, config: FitConfig, ema: EMA | None = None
) -> Iterator[Progress]:
    """Train ``net`` on n samples; yields Progress every ``log_every`` steps and after the last.

    ``loss(net, batch) -> (losses, level)``: losses (B,), level (B,) in (0, 1] or None.
    The network is trained in place; ``ema.net`` follows it. Nothing happens until iterated.
    """
    accelerator = Accelerator(mixed_precision=config.precision, cpu=config.device == "cpu")
    device = accelerator.device
    net.to(device).train()
    fused = device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(
        net.parameters(), config.lr, (0.9, 0.99), weight_decay=config.weight_decay, fused=fused
    )
    model, optimizer = accelerator.prepare(net, optimizer)
    if ema is not None:
        ema.net.to(device)
    log = []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(step)
        indices = batch_indices(n, config.batch, step, config.seed)
        mine = indices[accelerator.process_index :: accelerator.num_processes]
        with accelerator.autocast():
            losses, level = loss(model, Batch(config.seed, step, mine))
        accelerator.backward(losses.mean())
        accelerator.clip_grad_norm_(net.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        if ema is not None:
            ema.update(net)
        log.append((losses.detach(), level))
        if (step + 1) % config.log_every == 0 or step + 1 == config.steps:
            yield _summary(step + 1, config.lr_at(step), log)
            log = []


def _summary(step: int, lr: float, log: list) -> Progress:
    losses = torch.cat([losses for losses, _ in log]).float().cpu()
    mean = float(losses.mean())
    if log[0][1] is None:
        return Progress(step, mean, lr)
    level = torch.cat([level for _, level in log])
    place = ((level * LEVELS).ceil().long() - 1).clamp(0, LEVELS - 1)
    by_level = tuple(float(losses[place == i].mean()) for i in range(LEVELS))
    return Progress(step, mean, lr, by_level)


def build(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """``make()`` with random weights that depend on ``seed`` only; torch's own state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def collect(run: Iterator[Progress], config: FitConfig, name: str, show: bool) -> list[Progress]:
    """Run ``fit`` to its end; returns its records, with a tqdm bar if ``show``."""
    history = []
    with tqdm(total=config.steps, desc=name, unit="step", disable=not show) as bar:
        for record in run:
            history.append(record)
            bar.set_postfix(loss=f"{record.loss:.4f}")
            bar.update(record.step - bar.n)
    return history


def write_history(history: Sequence[Progress], path: str | Path) -> None:
    """Write one JSON object per line and record; NaN (no sample at that level) becomes null."""
    lines = []
    for record in history:
        levels = [None if math.isnan(v) else v for v in record.by_level]
        lines.append(json.dumps({**record._asdict(), "by_level": levels}))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
