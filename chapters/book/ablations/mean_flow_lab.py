"""One step without a teacher: a network of the digits' average velocity, trained from nothing.

Section 8.9 of the book. The control is the same network trained for the velocity alone, which is
flow matching; both walk in 1 to 16 steps, and are judged like the students of few_steps_lab.py.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from book.ablations.digits_lab import latents, read_digits
from book.ablations.engine import Outcome, timed
from book.ablations.few_steps_lab import variety
from book.ch03_algorithm.measure import asked_labels
from book.ch08_outlook.mean_flow import Average, Spanning, leap, mean_flow_losses, two_times
from minildm.checks import inputs
from minildm.engine.fit import build, fit
from minildm.engine.optim import EMA
from minildm.engine.records import collect
from minildm.engine.settings import FitConfig
from minildm.latent import LatentDiffusion
from minildm.noise import Batch
from minildm.recipes import DIGITS_DENOISER
from minildm.train import Trained
from minildm.unet import UNet, UNetConfig

STEPS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class MeanFlowLab:
    """The digits' UNet with one channel more, for the length of the step.

    apart   share of each batch in which r < t; the others have r = t. 0 is flow matching
    power   of the weight, see ``mean_flow_losses``
    """

    model: UNetConfig = field(
        default_factory=lambda: replace(DIGITS_DENOISER.model, channels=3, time_scale=10.0)
    )
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(steps=1500, batch=64, lr=3e-3, warmup=50, ema=0.99)
    )
    apart: float = 0.5
    power: float = 1.0
    samples: int = 1000

    def __post_init__(self) -> None:
        inputs.real_fields(self, 0, 1, "apart")
        inputs.real_fields(self, 0, 2, "power")
        inputs.whole_fields(self, 2, None, "samples")


def run_mean_flow(config: MeanFlowLab) -> Outcome:
    """Train, then judge what is drawn in few steps: as asked, distance, variety; ten digits each.

    The control walks by its velocity, r = t: it has learned no other.
    """
    trained, minutes = timed(lambda: train(config))
    model, asked = LatentDiffusion.load("digits"), asked_labels(config.samples)
    u = conditioned(trained.net, asked, config.apart > 0)
    found, rows = [], []
    for steps in STEPS:
        z = leap(u, model.noise(config.samples, config.fit.seed), grid(steps))
        x = model.decode(z)
        found.append({
            "steps": steps, **read_digits(x, asked), "variety": round(variety(z, asked), 4),
        })  # fmt: skip
        rows += [x[:10]] * (steps <= 2)
    loss = round(trained.history[-1].loss, 5)
    return Outcome(minutes, {"student": found, "loss": loss}, torch.cat(rows))


def train(config: MeanFlowLab) -> Trained:
    """The network of this configuration, with averaged weights, and its history."""
    z0, labels = latents()
    net = build(lambda: Spanning(UNet(config.model)), config.fit.seed)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        r, t = two_times(batch, config.apart)
        clean, seen = z0[batch.indices], labels[batch.indices]
        eps = batch.normal(clean.shape[1:]).to(clean)

        def u(z: Tensor, r: Tensor, t: Tensor) -> Tensor:
            return model(z, r, t, seen)

        return mean_flow_losses(u, clean, eps, r, t, config.power), t

    ema = EMA(net, config.fit.ema)
    run = fit(net, loss, len(z0), config.fit, ema, settings={"apart": config.apart})
    return Trained(ema.net, collect(run, config.fit, "mean flow", False))


def conditioned(net: nn.Module, labels: Tensor, average: bool) -> Average:
    """The network for these labels (B,): its average velocity, or its velocity alone (r = t)."""
    return lambda z, r, t: net(z, r if average else t, t, labels)


def grid(steps: int) -> list[float]:
    """1 .. 0 in ``steps`` even steps."""
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist()
