"""One denoiser of digits on a schedule of its own, trained for seconds, sampled in few steps.

Section 8.2 of the book: flow matching against two older schedules, with one network, one loss loop
and one sampler. Only the schedule differs, and what the network is asked to predict.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from book.ablations.digits_lab import latents, read_digits
from book.ablations.engine import Outcome, timed
from book.ch03_algorithm.measure import GUIDANCE, asked_labels
from minildm.checks import inputs
from minildm.latent import LatentDiffusion
from minildm.recipes import DIGITS_DENOISER
from minildm.samplers import ddim, sample
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    linear_betas,
)
from minildm.train import DenoiserTraining, train_denoiser

FEW = (1, 2, 4, 8, 16, 32)
FLOW_DENOISER = replace(DIGITS_DENOISER, parameterization="FLOW", min_snr=None)


SCHEDULES = {
    "flow": FlowSchedule,
    "cosine": CosineSchedule,
    "cosine, clipped": lambda: DiscreteSchedule(cosine_betas()),  # some signal is left at T
    "linear": lambda: DiscreteSchedule(linear_betas()),
}


@dataclass(frozen=True)
class FlowLab:
    """``schedule``: see ``SCHEDULES``; ``samples`` digits are drawn for each number of steps."""

    denoiser: DenoiserTraining = FLOW_DENOISER
    schedule: str = "flow"
    samples: int = 500

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 2, None, "samples")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; {self.schedule!r}")


def run_flow(config: FlowLab) -> Outcome:
    """Train one denoiser, then judge what it draws in 1 to 32 steps of ddim, guided (w = 2).

    even in t      evenly spaced in the schedule's own time
    even in flow   evenly spaced in noise / (signal + noise), the time of flow matching; up to 16
    """
    z0, labels = latents()
    schedule = SCHEDULES[config.schedule]()
    trained, minutes = timed(lambda: train_denoiser(config.denoiser, schedule, z0, labels))
    model = LatentDiffusion(
        LatentDiffusion.load("digits").autoencoder, trained.net, schedule, z0.shape[2:],
        config.denoiser.predicts,
    )  # fmt: skip
    figures = {"even in t": {str(n): judged(model, schedule.times(n), config.samples) for n in FEW}}
    if config.schedule != "flow":  # there both grids are the same
        other = {str(n): judged(model, flow_grid(schedule, n), config.samples) for n in FEW[:-1]}
        figures["even in flow"] = other
    return Outcome(minutes, figures, draw(model, schedule.times(4), 20))


def flow_grid(schedule, steps: int) -> Tensor:
    """Times T .. 0 of ``schedule`` at which noise / (signal + noise) falls evenly from 1 to 0.

    Continuous schedules: exactly; discrete ones: the nearest step that is not taken, as there is.
    """
    wanted = FlowSchedule().times(steps)
    if isinstance(schedule, FlowSchedule):
        return wanted
    if isinstance(schedule, CosineSchedule):  # tan(pi t / 2) = noise / signal
        return torch.atan2(wanted, 1 - wanted) / (torch.pi / 2)
    signal, noise = schedule(torch.arange(schedule.T + 1))
    grid = torch.bucketize(wanted.flip(0), noise / (signal + noise)).flip(0)
    grid[0], grid[-1] = schedule.T, 0
    return torch.unique(grid.clamp(max=schedule.T)).flip(0)


def draw(model: LatentDiffusion, times: Tensor, count: int) -> Tensor:
    """Digits (count, 1, 28, 28), the classes in turn, along the grid ``times``."""
    denoise = model.denoiser(asked_labels(count), GUIDANCE)
    *_, last = sample(denoise, model.schedule, model.noise(count, 0), times, ddim)
    return model.decode(last.z)


def judged(model: LatentDiffusion, times: Tensor, samples: int) -> dict:
    """Of ``digits_lab.read_digits``: the share that is as asked, and the Fréchet distance."""
    found = read_digits(draw(model, times, samples), asked_labels(samples))
    return {name: found[name] for name in ("as_asked", "distance")}
