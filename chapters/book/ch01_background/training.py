"""One training loop for all relatives: the same points in the same order, the same number of steps.

``fit`` of the book trains one network on one loss. A GAN has two players that take turns, so here
a step goes round all players of a model; a VAE and a diffusion model have only one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.engine.optim import EMA
from minildm.engine.settings import FitConfig


@dataclass(frozen=True)
class Settings:
    """``fit``: steps, batch, learning rate, average. ``beta1``: of Adam's first moment."""

    fit: FitConfig
    beta1: float = 0.9

    def __post_init__(self) -> None:
        inputs.share_fields(self, "beta1")


class Trained(NamedTuple):
    """``model``: with averaged weights; ``steps`` and ``curve``: what was noted, and when."""

    model: nn.Module
    steps: list[int]
    curve: list


def train(
    make: Callable[[], nn.Module],
    settings: Settings,
    points: Tensor,
    note: Callable[[nn.Module], object] | None = None,
    every: int = 100,
) -> Trained:
    """Train ``make()`` on points (n, 2): step i sees points[i * batch : (i + 1) * batch].

    ``note(model)`` is asked each ``every`` steps, of the averaged weights. All chance depends
    on settings.fit.seed; torch's own state is kept. Raises ValueError for too few points.
    """
    fit = settings.fit
    if len(points) < fit.steps * fit.batch:
        raise ValueError(f"{fit.steps} steps of {fit.batch} need {fit.steps * fit.batch} points")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fit.seed)
        model = make()
        players = [
            (loss, torch.optim.AdamW(
                net.parameters(), fit.lr, (settings.beta1, 0.99), weight_decay=fit.weight_decay,
                fused=True,
            ))
            for net, loss in model.turns()
        ]  # fmt: skip
        average, steps, curve = EMA(model, fit.ema), [], []
        for step, batch in enumerate(points[: fit.steps * fit.batch].split(fit.batch)):
            for loss, optimizer in players:
                for group in optimizer.param_groups:
                    group["lr"] = fit.lr_at(step)
                optimizer.zero_grad()
                loss(batch).backward()
                optimizer.step()
            average.update(model)
            if note is not None and (step + 1) % every == 0:
                steps.append(step + 1)
                curve.append(note(average.net))
    return Trained(average.net, steps, curve)
