"""The trainings that have a name: ``python -m minildm train NAME``.

    RECIPES["name"] = Recipe(config, train, out)
    train(config, out, progress, resume)    trains, and writes the result to the folder ``out``

``config`` is a frozen dataclass: its settings are what ``--set`` can change. Checkpoints of the
training itself go to ``out / "training"``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from minildm import classifier, predict
from minildm.accelerator import is_main_process
from minildm.data import digits
from minildm.latent import LatentDiffusion
from minildm.model_file import SHIPPED
from minildm.pictures import mosaic
from minildm.recipes import DIGITS_AUTOENCODER, DIGITS_DENOISER
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes_training import ShapesTraining, train_shapes
from minildm.train import Autoencoder, AutoencoderTraining, DenoiserTraining, train_both

TRAINING = "training"


class Recipe(NamedTuple):
    """A training with its settings, and the folder it writes to unless told otherwise."""

    config: Any
    train: Callable[[Any, Path, bool, bool | str], None]
    out: Path


@dataclass(frozen=True)
class DigitsTraining:
    """The latent diffusion model of chapter 3."""

    autoencoder: AutoencoderTraining = DIGITS_AUTOENCODER
    denoiser: DenoiserTraining = DIGITS_DENOISER


def train_digits(
    config: DigitsTraining, out: Path, progress: bool = True, resume: bool | str = False
) -> None:
    """The latent diffusion model of chapter 3; samples-STEP.png show how it learns."""
    split = digits()
    schedule = DiscreteSchedule(cosine_betas(1000))

    def model(autoencoder: Autoencoder, network: nn.Module) -> LatentDiffusion:
        size = autoencoder.latent_shape(split.x.shape[-2:])[1:]
        return LatentDiffusion(
            autoencoder, network, schedule, size, getattr(predict, config.denoiser.parameterization)
        )

    def look(autoencoder: Autoencoder, network: nn.Module, step: int) -> None:
        x = model(autoencoder, network).generate([*range(10)] * 2, steps=10, seed=0)
        mosaic(x, columns=10).savefig(out / f"samples-{step:05d}.png")

    first, second = train_both(
        config.autoencoder, config.denoiser, schedule, split.x, split.labels, progress,
        out / TRAINING, resume, look,
    )  # fmt: skip
    if is_main_process():
        model(first.net, second.net).save(out)
        print(f"{out}: {second.history[-1].seconds + first.history[-1].seconds:.0f} s")


def train_digit_classifier(
    config: classifier.ClassifierConfig,
    out: Path,
    progress: bool = True,
    resume: bool | str = False,
) -> None:
    """The judge of digits, with its held-out figures."""
    split = digits()
    keep = {"folder": out / TRAINING, "resume": resume}
    net, _ = classifier.train_classifier(config, split.x, split.labels, progress, **keep)
    if is_main_process():
        metrics = classifier.judge(net, split)
        classifier.save_classifier(net, config, metrics, out)
        print(f"{out}: {metrics}")


RECIPES = {
    "digit-classifier": Recipe(
        classifier.ClassifierConfig(), train_digit_classifier, classifier.HOME
    ),
    "digits": Recipe(DigitsTraining(), train_digits, Path("outputs/digits")),
    "shapes": Recipe(ShapesTraining(), train_shapes, SHIPPED / "shapes"),
}
