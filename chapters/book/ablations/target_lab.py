"""One denoiser of digits for each target, sampled as that target is sampled in practice.

A network that predicts the noise says nothing about z0 where no signal is left. Two remedies are
standard: clip the estimate of z0, or train and sample on a schedule that keeps some signal.
"""

import math
from dataclasses import dataclass

from torch import nn

from book.ablations.digits_lab import STEPS, latents, read_digits
from book.ablations.engine import Outcome, timed
from book.ch03_algorithm.measure import asked_labels
from minildm.checks import inputs
from minildm.denoise import clipped
from minildm.latent import LatentDiffusion
from minildm.recipes import DIGITS_DENOISER
from minildm.samplers import dpmpp_2m, sample
from minildm.schedule import DiscreteSchedule, cosine_betas, scaled_linear_betas
from minildm.train import DenoiserTraining, train_denoiser

SCHEDULES = {"cosine": cosine_betas, "Stable Diffusion's": scaled_linear_betas}


@dataclass(frozen=True)
class TargetLab:
    """``limit``: estimates of z0 are clipped to -limit..limit while sampling; 0: they are not."""

    denoiser: DenoiserTraining = DIGITS_DENOISER
    schedule: str = "cosine"
    limit: float = 0.0
    samples: int = 1000

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {list(SCHEDULES)}; got {self.schedule!r}")
        inputs.real_fields(self, 0, math.inf, "limit")
        inputs.whole_fields(self, 2, None, "samples")


def run_target(config: TargetLab) -> Outcome:
    """Train a denoiser, then let the judge of digits look at what it draws with w = 1."""
    schedule = DiscreteSchedule(SCHEDULES[config.schedule](1000))
    z0, labels = latents()
    trained, minutes = timed(lambda: train_denoiser(config.denoiser, schedule, z0, labels))
    x = draw(config, assembled(config, trained.net, schedule))
    return Outcome(minutes, {"plain": read_digits(x, asked_labels(config.samples))}, x[:20])


def assembled(config: TargetLab, network: nn.Module, schedule) -> LatentDiffusion:
    """The model, with the shipped autoencoder of digits."""
    autoencoder, size = LatentDiffusion.load("digits").autoencoder, latents()[0].shape[2:]
    return LatentDiffusion(autoencoder, network, schedule, size, config.denoiser.predicts)


def draw(config: TargetLab, model: LatentDiffusion):
    """Digits as asked for, (samples, 1, 28, 28), with 20 steps of 2M."""
    schedule, asked = model.schedule, asked_labels(config.samples)
    denoise = model.denoiser(asked, 1.0)
    if config.limit:
        denoise = clipped(denoise, schedule, -config.limit, config.limit)
    z_T, times = model.noise(config.samples, seed=0), schedule.times(STEPS)
    *_, last = sample(denoise, schedule, z_T, times, dpmpp_2m)
    return model.decode(last.z)
