"""VAE, GAN and diffusion model of chapter 1 on handwritten digits: the row of pictures.

The models are those of the plane, with 98 numbers in the place of two: the digits as the shipped
autoencoder writes them. So all three have the same decoder of pictures, and are small.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from book.ablations.digits_lab import latents, read_digits
from book.ablations.engine import Outcome, timed
from book.ch01_background.comparison import Settings, effective_modes, samples, train
from book.ch01_background.models import GAN, VAE, Diffusion
from book.ch03_algorithm.measure import asked_labels
from book.ch05_2_unet.cost import parameters
from book.digit_judge import CLASSES, load_classifier
from minildm.checks import inputs
from minildm.engine.settings import FitConfig
from minildm.latent import LatentDiffusion
from minildm.noise import seeded

NUMBERS, NOISE = 98, 16  # of a digit; from which the VAE makes one
MODELS: dict[str, Callable[[], nn.Module]] = {
    "VAE": partial(VAE, 290, d=NUMBERS, latent=NOISE),
    "GAN, R1": partial(GAN, 292, penalty=1.0, d=NUMBERS, latent=2 * NOISE),
    "diffusion": partial(Diffusion, 400, d=NUMBERS),
}  # as many parameters as each other within 1 %
FIT = FitConfig(steps=1000, batch=128, lr=3e-3, ema=0.99)
DATA = "data"  # no model: real digits, through the same decoder


@dataclass(frozen=True)
class RelativesLab:
    """``model``: see ``MODELS``; ``beta1`` of Adam; ``samples``: how many digits are judged."""

    model: str = "VAE"
    fit: FitConfig = FIT
    beta1: float = 0.9
    samples: int = 1000

    def __post_init__(self) -> None:
        inputs.share_fields(self, "beta1")
        inputs.whole_fields(self, 2, None, "samples")
        if self.model not in (*MODELS, DATA):
            raise ValueError(f"model must be one of {[*MODELS, DATA]}; got {self.model!r}")


def run_relatives(config: RelativesLab) -> Outcome:
    """Train one of the three, then let the judge of digits look at what it draws, unasked.

    Of the VAE the mean D(z) is taken, without its normal error.
    """
    fit, z0 = config.fit, latents()[0].flatten(1)  # (4000, 98)
    order = torch.randint(len(z0), (fit.steps * fit.batch,), generator=seeded(fit.seed, 1))
    if config.model == DATA:
        return _outcome(z0[order[: config.samples]], 0.0, 0)
    settings = Settings(fit, config.beta1)
    trained, minutes = timed(lambda: train(MODELS[config.model], settings, z0[order]))
    options = {"noisy": False} if isinstance(trained.model, VAE) else {}
    z = samples(trained.model, config.samples, fit.seed, **options)
    return _outcome(z, minutes, parameters(trained.model))


def _outcome(z: Tensor, minutes: float, count: int) -> Outcome:
    """What is drawn from latents z (n, 98)."""
    x = LatentDiffusion.load("digits").decode(z.reshape(len(z), *latents()[0].shape[1:]))
    return Outcome(minutes, {"parameters": count, "drawn": looked_at(x)}, x[:12])


def looked_at(x: Tensor) -> dict:
    """Of digits x (n, 1, 28, 28): the share that the judge is sure of, the distance to real ones,
    and how many equally frequent digits would be as even.
    """
    found = read_digits(x, asked_labels(len(x)))
    read = load_classifier().probabilities(x).argmax(1)
    shares = torch.bincount(read, minlength=CLASSES).double() / len(x)
    return {
        "confident": found["confident"], "distance": found["distance"],
        "effective digits": round(effective_modes(shares), 3),
    }  # fmt: skip
