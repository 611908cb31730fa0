"""Students of the digits model of the book, which walk in few steps as it does in many.

The teacher is the shipped model, as conditioned or guided. A student has the guidance built in: a
step costs it one evaluation of the network, and a guided teacher two.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from book.ablations.digits_lab import latents, read_digits
from book.ablations.engine import Outcome, timed
from book.ch03_algorithm.measure import asked_labels
from book.ch05_4_sampling.measure import rms
from book.ch08_outlook.distillation import DistillationTraining, distil
from book.digit_judge import CLASSES
from minildm.checks import inputs
from minildm.engine.settings import FitConfig
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, dpmpp_2m
from minildm.train import Trained

STEPS = (1, 2, 4, 8, 16)
FINE, FOLLOWED = 100, 300  # steps of the reference walk; images for which it is walked


@dataclass(frozen=True)
class FewStepsLab:
    """``guidance``: of the teacher; ``samples``: images that the judge sees per figure."""

    distillation: DistillationTraining = field(
        default_factory=lambda: DistillationTraining(
            first=16, fit=FitConfig(steps=300, batch=64, lr=1e-3, ema=0.98)
        )
    )
    guidance: float = 1.0
    samples: int = 1000

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 2, None, "samples")
        inputs.real_fields(self, -math.inf, math.inf, "guidance")


def run_few_steps(config: FewStepsLab) -> Outcome:
    """Distil, then compare student and teacher: same noise, same labels; see ``look``.

    Pictures: ten digits each by the student in 1 and 2 steps, and by the teacher in 1, 2 and 16.
    """
    model = LatentDiffusion.load("digits")
    students, minutes = timed(lambda: train(config, model))
    seed, w = config.distillation.fit.seed, config.guidance
    fine = walk(model, FOLLOWED, FINE, dpmpp_2m, w, seed)
    ways = {"ddim": ddim, "dpmpp_2m": dpmpp_2m}
    found = {
        name: [look(walk(model, config.samples, n, step, w, seed), fine, n, w) for n in STEPS]
        for name, step in ways.items()
    }
    found["student"], rows = [], []
    for steps, trained in sorted(students.items()):
        z = walk(with_network(model, trained.net), config.samples, steps, ddim, 1.0, seed)
        found["student"].append(look(z, fine, steps, 1.0))
        rows += [model.decode(z[:CLASSES])] * (steps <= 2)
    found["loss"] = {steps: round(students[steps].history[-1].loss, 5) for steps in students}
    rows += [model.decode(walk(model, CLASSES, n, ddim, w, seed)) for n in (1, 2, 16)]
    return Outcome(minutes, found, torch.cat(rows))


def train(config: FewStepsLab, model: LatentDiffusion) -> dict[int, Trained]:
    """Students of the model, by their number of steps."""
    z0, labels = latents()
    return distil(
        config.distillation,
        model.network,
        lambda condition: model.denoiser(condition, config.guidance),
        model.schedule,
        z0,
        labels,
    )


def with_network(model: LatentDiffusion, net: nn.Module) -> LatentDiffusion:
    """The same autoencoder and schedule, with another network."""
    shape = model.latent_shape[1:]
    return LatentDiffusion(model.autoencoder, net, model.schedule, shape, model.parameterization)


def walk(
    model: LatentDiffusion, samples: int, steps: int, step: Callable, guidance: float, seed: int
) -> Tensor:
    """The latents (n, c, h, w) where the walks from the noise of this seed end."""
    options = {"steps": steps, "sampler": step, "guidance": guidance, "seed": seed}
    *_, last = model.walk(asked_labels(samples), **options)
    return last.z


def look(z: Tensor, fine: Tensor, steps: int, guidance: float) -> dict:
    """One point of the comparison, from latents z (n, c, h, w) of 0, 1, .., 9, 0, 1, ..

    evaluations  of the network, per image
    as_asked     share of images in which the judge reads the digit that was asked for
    distance     Fréchet distance to real digits, in the judge's features
    variety      see ``variety``
    to_end       root mean square difference of its latents from those of a fine walk of the teacher
    """
    asked = asked_labels(len(z))
    found = read_digits(LatentDiffusion.load("digits").decode(z), asked)
    return {
        "steps": steps,
        "evaluations": steps * (1 if guidance in (0, 1) else 2),
        "as_asked": found["as_asked"],
        "distance": found["distance"],
        "variety": round(variety(z, asked), 4),
        "to_end": round(rms(z[: len(fine)], fine[: len(z)]), 4),
    }


def variety(z: Tensor, labels: Tensor) -> float:
    """How far latents are from the mean of their own digit, root mean square, over the same of real
    ones: 0 where every 3 is the same 3, 1 where they differ as much as real ones do.
    """
    return within(z, labels) / within(*latents())


def within(z: Tensor, labels: Tensor) -> float:
    """Root mean square difference of latents (n, c, h, w) from the mean of their own label."""
    means = torch.stack([z[labels == k].double().mean(0) for k in range(CLASSES)])  # (10, c, h, w)
    return rms(z, means[labels])
