"""One denoiser of digits, a UNet or a transformer, trained on the same latents with the same noise.

Everything but the network is that of digits_lab.py: data, schedule, loss, optimiser, batches, and
the noise and the time of every sample in every step. So two loss curves can be compared step by
step.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import nn

from book.ablations.digits_lab import SCHEDULE, DigitsLab, assemble, judge_digits, latents
from book.ablations.engine import Outcome, timed
from book.ch03_algorithm.measure import asked_labels
from book.ch05_2_unet.cost import flops, parameters
from book.ch08_outlook.dit import DiT, DiTConfig
from book.digit_judge import CLASSES
from minildm.checks import inputs
from minildm.recipes import DIGITS_DENOISER
from minildm.samplers import dpmpp_2m
from minildm.train import DenoiserTraining, Trained, train_denoiser

NETWORKS = ("unet", "dit")
# As many parameters as the UNet of the digits, within 2 %.
EQUAL = DiTConfig(channels=2, width=72, depth=6, heads=4, patch=1, classes=CLASSES)


@dataclass(frozen=True)
class DiTLab:
    """``network``: "unet" is the one of ``denoiser.model``, "dit" the one of ``dit``."""

    network: str = "dit"
    dit: DiTConfig = EQUAL
    denoiser: DenoiserTraining = field(
        default_factory=lambda: replace(
            DIGITS_DENOISER, fit=replace(DIGITS_DENOISER.fit, log_every=10)
        )
    )
    samples: int = 1000

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 2, None, "samples")
        if self.network not in NETWORKS:
            raise ValueError(f"network must be one of {', '.join(NETWORKS)}; got {self.network!r}")


def run_dit(config: DiTLab) -> Outcome:
    """Train the network, and let the judge of digits look at what it draws.

    Beside ``judge_digits``: parameters, operations of one call, milliseconds of CPU time per step,
    and the loss of the training, averaged over each ``log_every`` steps.
    """
    trained, minutes = timed(lambda: train(config))
    model = assemble(DigitsLab(config.denoiser), trained.net)
    few = model.generate(asked_labels(20), steps=20, sampler=dpmpp_2m, guidance=1.0, seed=0)
    figures = {
        **size(trained.net),
        "ms_per_step": round(60_000 * minutes / config.denoiser.fit.steps, 1),
        **judge_digits(model, config.samples),
        "steps": [record.step for record in trained.history],
        "loss": [round(record.loss, 5) for record in trained.history],
    }
    return Outcome(minutes, figures, few)


def train(config: DiTLab) -> Trained:
    """The network of this configuration, with averaged weights, and its history."""
    z0, labels = latents()
    return train_denoiser(
        config.denoiser, SCHEDULE, z0, labels, prepare=lambda unet: chosen(config, unet)
    )


def chosen(config: DiTLab, unet: nn.Module) -> nn.Module:
    """The fresh network to train: the UNet that is given, or a DiT in its place."""
    return DiT(config.dit) if config.network == "dit" else unet


def size(net: nn.Module) -> dict:
    """Parameters, and operations of one call for one latent 7 x 7 with its label."""
    z, one = torch.zeros(1, net.config.channels, 7, 7), torch.ones(1, dtype=torch.int64)
    return {"parameters": parameters(net), "flops": flops(net, z, one, one)}
