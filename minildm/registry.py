"""The trainings that have a name: ``python -m minildm train NAME``.

    RECIPES["name"] = Recipe(config, train)
    train(config, out, progress, resume)    trains, and writes the result to the folder ``out``

``config`` is a frozen dataclass: its settings are what ``--set`` can change. Checkpoints of the
training itself go to ``out / "training"``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import nn

from minildm import classifier, predict
from minildm.accelerator import is_main_process
from minildm.checkpoint import save_network
from minildm.data import digits
from minildm.features import ReaderTraining, held_out, train_reader
from minildm.images import save_png
from minildm.latent import LatentDiffusion
from minildm.model_file import write_trained
from minildm.pixel_space import PixelTraining, train_pixels
from minildm.recipes import LONG_AUTOENCODER, LONG_DENOISER
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes_training import ShapesTraining, train_shapes
from minildm.text import build_network
from minildm.train import Autoencoder, AutoencoderTraining, DenoiserTraining, train_both

TRAINING = "training"


class Recipe(NamedTuple):
    """A training with its settings."""

    config: Any
    train: Callable[[Any, Path, bool, bool | str], None]


@dataclass(frozen=True)
class DigitsTraining:
    """The networks of chapter 3, trained for minutes instead of seconds."""

    autoencoder: AutoencoderTraining = LONG_AUTOENCODER
    denoiser: DenoiserTraining = LONG_DENOISER


def train_digits(
    config: DigitsTraining, out: Path, progress: bool = True, resume: bool | str = False
) -> None:
    """The class-conditional model of digits; training/samples-STEP.png show how it learns."""
    start, split = perf_counter(), digits()
    schedule = DiscreteSchedule(cosine_betas(1000))

    def model(autoencoder: Autoencoder, network: nn.Module) -> LatentDiffusion:
        size = autoencoder.latent_shape(split.x.shape[-2:])[1:]
        return LatentDiffusion(
            autoencoder, network, schedule, size, getattr(predict, config.denoiser.parameterization)
        )

    def look(autoencoder: Autoencoder, network: nn.Module, step: int) -> None:
        x = model(autoencoder, network).generate([*range(10)] * 2, steps=10, seed=0)
        save_png(x, out / TRAINING / f"samples-{step:05d}.png", columns=10)

    first, second = train_both(
        config.autoencoder, config.denoiser, schedule, split.x, split.labels, progress,
        out / TRAINING, resume, look,
    )  # fmt: skip
    if is_main_process():
        stages = {"autoencoder": first.history, "denoiser": second.history}
        done, wall = model(first.net, second.net), perf_counter() - start
        print(f"{out}: {write_trained(out, done, stages, 'digits', config, wall):.0f} s")


def train_shape_reader(
    config: ReaderTraining, out: Path, progress: bool = True, resume: bool | str = False
) -> None:
    """The network whose features the Fréchet distance of captioned shapes is measured in."""
    net, _ = train_reader(config, progress, folder=out / TRAINING, resume=resume)
    if is_main_process():
        metrics = held_out(net)
        save_network(net, config, metrics, out)
        print(f"{out}: {metrics}")


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
        save_network(net, config, metrics, out)
        print(f"{out}: {metrics}")


def check_fit(config: Any) -> None:
    """Build what two stages train, without memory: ValueError where they do not fit together.

    Before the first stage is trained: the second one would find it after minutes, or an hour.
    """
    if not hasattr(config, "denoiser"):
        return
    with torch.device("meta"):
        network = build_network(config.denoiser.model)
        if hasattr(config, "autoencoder"):
            c = Autoencoder(config.autoencoder.model).config.latent_channels
            if c != network.config.channels:
                raise ValueError(
                    f"autoencoder.model.latent_channels is {c}, and the denoiser's channels are "
                    f"{network.config.channels}: set both to the same number"
                )


RECIPES = {
    "digit-classifier": Recipe(classifier.ClassifierConfig(), train_digit_classifier),
    "digits": Recipe(DigitsTraining(), train_digits),
    "shape-reader": Recipe(ReaderTraining(), train_shape_reader),
    "shapes": Recipe(ShapesTraining(), train_shapes),
    "pixels": Recipe(PixelTraining(), train_pixels),
}
