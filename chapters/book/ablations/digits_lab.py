"""One autoencoder of handwritten digits, or one denoiser on the shipped one's latents.

Digits are real, and both trainings take seconds.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from book.ablations.autoencoder_lab import latent_figures
from book.ablations.engine import Outcome, timed
from book.ch03_algorithm.measure import asked_labels
from book.digit_judge import DigitClassifier, confident_fraction, load_classifier
from minildm import checks
from minildm.autoencoder import Autoencoder
from minildm.checks import inputs
from minildm.data import LabelledSplit, digits
from minildm.latent import LatentDiffusion
from minildm.losses import reconstruction_loss
from minildm.metrics import frechet_distance
from minildm.noise import keyed_normal
from minildm.recipes import DIGITS_AUTOENCODER, DIGITS_DENOISER
from minildm.samplers import dpmpp_2m
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.train import (
    AutoencoderTraining,
    DenoiserTraining,
    Trained,
    encode_all,
    train_autoencoder,
    train_denoiser,
)

SCHEDULE = DiscreteSchedule(cosine_betas(1000))
STEPS, GUIDANCE = 20, 2.0


@dataclass(frozen=True)
class DigitsLab:
    """``rescale``: the latents are this many times as large as their measured scale makes them."""

    denoiser: DenoiserTraining = DIGITS_DENOISER
    rescale: float = 1.0
    samples: int = 1000

    def __post_init__(self) -> None:
        inputs.real_fields(self, 0, math.inf, "rescale", open=True)
        inputs.whole_fields(self, 2, None, "samples")


@dataclass(frozen=True)
class ScaleLab(DigitsLab):
    """``normalise``: the noise levels of rescaled latents, but input and target of size 1.

    By equation 5.1.5 of the book: the latents stay as they are, and the schedule is ``moved``.
    """

    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        inputs.flag_fields(self, "normalise")


def run_digits(config: DigitsLab) -> Outcome:
    """Train a denoiser, then let the judge of digits look at what it draws."""
    trained, minutes = timed(lambda: train(config))
    model = assemble(config, trained.net)
    few = model.generate(asked_labels(20), steps=STEPS, sampler=dpmpp_2m, guidance=1.0, seed=0)
    return Outcome(minutes, judge_digits(model, config.samples), few)


def train(config: DigitsLab):
    """The denoiser of this configuration: network with averaged weights, and its history."""
    z0, labels = latents()
    schedule, factor = scaled(config)
    return train_denoiser(config.denoiser, schedule, factor * z0, labels)


def scaled(config: DigitsLab) -> tuple[DiscreteSchedule, float]:
    """The schedule, and what the latents are multiplied by: one of them makes the noise levels."""
    if isinstance(config, ScaleLab) and config.normalise:
        return moved(SCHEDULE, config.rescale), 1.0
    return SCHEDULE, config.rescale


def assemble(config: DigitsLab, network: nn.Module) -> LatentDiffusion:
    """The model: shipped autoencoder, with the scale that the network was trained for."""
    autoencoder, (schedule, factor) = LatentDiffusion.load("digits").autoencoder, scaled(config)
    autoencoder.scale.mul_(factor)
    parameterization = config.denoiser.predicts
    return LatentDiffusion(autoencoder, network, schedule, latents()[0].shape[2:], parameterization)


def judge_digits(model: LatentDiffusion, samples: int) -> dict:
    """As conditioned (w = 1) and guided: is it the digit that was asked for, is it like real ones?

    distance: Fréchet distance to real digits in the judge's features; ``real_features`` has real
    ones only, and its own distance between two halves is the floor.
    """
    asked, figures = asked_labels(samples), {}
    for name, guidance in (("plain", 1.0), ("guided", GUIDANCE)):
        x = model.generate(asked, steps=STEPS, sampler=dpmpp_2m, guidance=guidance, seed=0)
        figures[name] = read_digits(x, asked)
    return figures


def read_digits(x: Tensor, asked: Tensor) -> dict:
    """What the judge says of digits x (n, 1, 28, 28) that should be ``asked``, labels (n,).

    as_asked   share that it reads as the digit that was asked for
    confident  share that it is sure about
    distance   Fréchet distance to real digits, in its features
    """
    classifier = load_classifier()
    p = classifier.probabilities(x)
    return {
        "as_asked": round(float((p.argmax(1) == asked).double().mean()), 4),
        "confident": round(confident_fraction(p), 4),
        "distance": round(frechet_distance(features(classifier, x), real_features()), 3),
    }


def moved(schedule: DiscreteSchedule, s: float) -> DiscreteSchedule:
    """The schedule whose SNR is s^2 times as large at every t: equation 5.1.5 of the book.

    alpha_bar' = s^2 alpha_bar / (s^2 alpha_bar + 1 - alpha_bar). Raises ValueError unless s > 0.
    """
    s = inputs.real("s", s, 0)
    if s == 0:
        raise ValueError("s must be positive; got 0")
    power = s**2 * schedule.alpha_bar
    alpha_bar = power / (power + schedule.noise_variance)  # (T + 1,)
    return DiscreteSchedule(1 - alpha_bar[1:] / alpha_bar[:-1])


# --- the autoencoder ------------------------------------------------------------------------------


@dataclass(frozen=True)
class DigitsAutoencoderLab:
    """``loss``: see ``LOSSES``."""

    autoencoder: AutoencoderTraining = DIGITS_AUTOENCODER
    loss: str = "squared"

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {self.loss!r}")


def run_digits_autoencoder(config: DigitsAutoencoderLab) -> Outcome:
    """Train an autoencoder, then let the judge read held-out digits and decoded random latents.

    read             share of reconstructions that are read as their label
    random           share of decoded N(0, std²) latents that the judge is sure about
    """
    trained, minutes = train_with_loss(config)
    split, classifier = digits(), load_classifier()
    figures, x_hat = latent_figures(trained.net, split.x_held_out)
    shape = figures["latent_shape"]
    drawn = trained.net.decode(keyed_normal((0,), range(1000), shape) / trained.net.scale)
    p = classifier.probabilities(x_hat)
    figures["read"] = round(float((p.argmax(1) == split.labels_held_out).double().mean()), 4)
    figures["random"] = round(confident_fraction(classifier.probabilities(drawn)), 4)
    return Outcome(minutes, figures, x_hat[:20])


def run_losses(config: DigitsAutoencoderLab) -> Outcome:
    """Train an autoencoder, then measure its reconstructions by both errors and by two readers.

    absolute         mean absolute error
    read             share of reconstructions that the judge reads as their label
    read_by_nearest  the same, by ``nearest_label``, which no loss has seen
    """
    trained, minutes = train_with_loss(config)
    split = digits()
    figures, x_hat = latent_figures(trained.net, split.x_held_out)
    figures["absolute"] = round(float(absolute_loss(x_hat, split.x_held_out).mean()), 5)
    judged = load_classifier().probabilities(x_hat).argmax(1)
    for reader, labels in (("read", judged), ("read_by_nearest", nearest_label(x_hat, split))):
        figures[reader] = round(float((labels == split.labels_held_out).double().mean()), 4)
    return Outcome(minutes, figures, x_hat[:20])


def train_with_loss(config: DigitsAutoencoderLab) -> tuple[Trained[Autoencoder], float]:
    """The autoencoder of this configuration, and the minutes of CPU time that it took."""
    loss, x = LOSSES[config.loss](), digits().x
    return timed(lambda: train_autoencoder(config.autoencoder, x, reconstruction=loss))


def absolute_loss(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean over elements of |x_hat - x|: (B, *d) twice -> (B,); its best guess is a median.

    Raises ValueError where the shapes differ, and for NaN or infinity.
    """
    checks.samples(x_hat=x_hat, x=x)
    return (x_hat - x).abs().flatten(1).mean(1)


def perceptual_loss(
    features: Callable[[Tensor], Tensor], std: Tensor, weight: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Squared error of pixels plus ``weight`` times that of features, in units of their ``std``.

    ``features``: pictures (B, C, H, W) -> (B, F, h, w), a network that is not trained any more.
    The idea of Zhang et al. 2018 (arXiv 1801.03924), used by LDM (arXiv 2112.10752), section 3.1.
    Raises ValueError for a weight below 0, a std that is not positive, and other numbers of
    features than pictures.
    """
    weight = inputs.real("weight", weight, 0)
    std = inputs.numbers("std", std)
    if not (std > 0).all():
        raise ValueError(f"std must be positive; got {std}: leave constant features out")

    def loss(x_hat: Tensor, x: Tensor) -> Tensor:
        pixels = reconstruction_loss(x_hat, x)
        seen_hat, seen = features(x_hat), features(x)
        checks.samples(**{"features(x_hat)": seen_hat, "features(x)": seen})
        if len(seen) != len(x):
            raise ValueError(f"features(x) has {len(seen)} entries for {len(x)} pictures")
        checks.fits("std", std, seen)
        difference = (seen_hat - seen) / std.to(seen)
        return pixels + weight * difference.square().flatten(1).mean(1)

    return loss


def digits_perceptual(weight: float = 0.1) -> Callable[[Tensor, Tensor], Tensor]:
    """``perceptual_loss`` in the features of the judge of digits, (B, 48, 3, 3)."""
    seen = load_classifier().requires_grad_(False).eval().features
    with torch.no_grad():
        std = seen(digits().x).std(dim=(0, 2, 3), keepdim=True)
    return perceptual_loss(seen, std, weight)


LOSSES = {
    "squared": lambda: reconstruction_loss,
    "absolute": lambda: absolute_loss,
    "perceptual": digits_perceptual,
}

# --- measuring ------------------------------------------------------------------------------------


@torch.no_grad()
def nearest_label(x: Tensor, split: LabelledSplit) -> Tensor:
    """The label of the training digit with the smallest squared distance to each of x: (n,).

    A reader without a network. Pixels are all that it sees, so what is near in pixels suits it.
    """
    return split.labels[torch.cdist(x.flatten(1), split.x.flatten(1)).argmin(1)]


@torch.no_grad()
def features(classifier: DigitClassifier, x: Tensor) -> Tensor:
    """The 64 numbers per digit that the judge decides from: (n, 64)."""
    return classifier.head[:2](classifier.features(x).flatten(1))  # (n, 2w, 3, 3) -> (n, 18w)


@functools.cache
def real_features() -> Tensor:
    """``features`` of 4,000 real digits."""
    return features(load_classifier(), digits().x)


@functools.cache
def latents() -> tuple[Tensor, Tensor]:
    """Scaled latents (4000, 2, 7, 7) of the training digits, and their labels (4000,)."""
    split = digits()
    return encode_all(LatentDiffusion.load("digits").autoencoder, split.x), split.labels
