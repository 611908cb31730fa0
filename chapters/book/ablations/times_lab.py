"""Which times a flow is trained at, and at which it stops: the recipe of Stable Diffusion 3.

A training draws its times evenly or from the logistic normal distribution, both shifted towards
noise or not; a walk stops at even times, shifted or not. Latents, network, steps and captions are
those of shapes_lab.py. Esser et al. 2024 (arXiv 2403.03206), sections 3.1 and 5.3.2.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from book.ablations.engine import Outcome, timed
from book.ablations.shapes_lab import ShapesLab, latents, shipped, unseen
from book.ch05_5_text_to_image.measure_shapes import as_figures
from minildm.checks import inputs
from minildm.latent import LatentDiffusion
from minildm.predict import FLOW
from minildm.samplers import ddim
from minildm.schedule import FlowSchedule
from minildm.shapes.captions import asked_texts
from minildm.shapes.judge import caption_accuracy, judge
from minildm.train import DenoiserTraining, train_denoiser

SHIFTS, FEW = (1.0, 2.0, 3.0), (8, 16)
DRAWS = ("uniform", "logit-normal")


def shifted(t: Tensor, shift: float) -> Tensor:
    """shift t / (1 + (shift - 1) t): later in [0, 1] for shift > 1, with 0 and 1 where they were.

    It multiplies noise / signal = t / (1 - t) by ``shift``, at every t.
    """
    return shift * t / (1 + (shift - 1) * t)


def drawn(u: Tensor, draw: str, shift: float) -> Tensor:
    """Training times from uniform u in [0, 1]: as they are, or 1 / (1 + exp(-normal)); shifted."""
    return shifted(torch.special.ndtri(u).sigmoid() if draw == "logit-normal" else u, shift)


class Clock:
    """The flow's schedule on another clock: at time u it is where the flow is at ``clock(u)``.

    To draw u evenly is then to draw the flow's times as the clock says: see (8.2) of the book.
    """

    T = 1.0

    def __init__(self, clock: Callable[[Tensor], Tensor]) -> None:
        self.clock = clock

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return FlowSchedule()(self.clock(u))


class Clocked(nn.Module):
    """A network that is told the flow's time, where its training counts by the clock's."""

    def __init__(self, net: nn.Module, clock: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.clock, self.config = net, clock, net.config

    def forward(self, z_t: Tensor, u: Tensor, condition=None, drop=None) -> Tensor:
        return self.net(z_t, self.clock(u), condition, drop)


@dataclass(frozen=True)
class TimesLab:
    """``draw``, ``shift``: of the training; every network walks with each of ``SHIFTS``."""

    denoiser: DenoiserTraining = field(
        default_factory=lambda: replace(
            ShapesLab().denoiser, parameterization="FLOW", min_snr=None, snr_floor=0.0
        )
    )
    draw: str = "uniform"
    shift: float = 1.0
    pictures: int = 20_000
    guidance: float = 1.5

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "pictures")
        inputs.real_fields(self, 0, 100, "shift", open=True)
        inputs.real_fields(self, -1000, 1000, "guidance")
        if self.draw not in DRAWS:
            raise ValueError(f"draw must be one of {', '.join(DRAWS)}; got {self.draw!r}")


def run_times(config: TimesLab) -> Outcome:
    """Train a flow, then let the judge read unseen captions, for each shift and number of steps."""
    z0, tokens = latents(config.pictures)
    net, minutes = timed(lambda: train(config, z0, tokens))
    model = LatentDiffusion(shipped().autoencoder, net, FlowSchedule(), z0.shape[2:], FLOW)
    figures: dict = {"shift": {}}
    rows, few = unseen(), None
    for shift in SHIFTS:
        figures["shift"][f"{shift:g}"] = found = {}
        for steps in FEW:
            x = draw(model, asked_texts(rows), shifted(model.schedule.times(steps), shift), config)
            found[str(steps)] = as_figures(caption_accuracy(judge(x), rows))
            few = x[:8] if few is None else few
    return Outcome(minutes, figures, few)


def train(config: TimesLab, z0: Tensor, tokens: Tensor) -> nn.Module:
    """The network with averaged weights, which takes the flow's own times."""
    clock = partial(drawn, draw=config.draw, shift=config.shift)
    trained = train_denoiser(
        config.denoiser, Clock(clock), z0, tokens, prepare=lambda net: Clocked(net, clock)
    )
    return trained.net.net


def draw(model: LatentDiffusion, texts: list[str], times: Tensor, config: TimesLab) -> Tensor:
    """One picture for each text, by Euler's method (``ddim``) along the grid ``times``."""
    z_T = model.noise(len(texts), 0)
    options = {"times": times, "sampler": ddim, "guidance": config.guidance, "z_T": z_T, "seed": 0}
    *_, last = model.walk(texts, **options)
    return model.decode(last.z)
