"""The trainings that have a name: ``python -m minildm train NAME``.

    RECIPES["name"] = Recipe(config, train, example)
    train(config, out, progress, resume)    trains, and writes the result to the folder ``out``

``config`` is a frozen dataclass: its settings are what ``--set`` can change. Checkpoints of the
training itself go to ``out / "training"``. The text-to-image models are
in shapes/training.py and emoji/training.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch

from minildm.autoencoder import AutoencoderConfig
from minildm.data import digits
from minildm.emoji.training import EmojiTraining, train_emoji
from minildm.engine.devices import is_main_process
from minildm.engine.records import write_record
from minildm.engine.settings import FitConfig
from minildm.files.images import save_png
from minildm.latent import LatentDiffusion
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.training import ShapesTraining, train_shapes
from minildm.text import build_network
from minildm.train import Autoencoder, AutoencoderTraining, DenoiserTraining, train_both
from minildm.unet import UNetConfig

TRAINING = "training"
EXAMPLE = "a large red circle above a small blue star"
# 28 x 28 pixels in squares of 4 x 4 -> latents 7 x 7 x 2: all convolutions run at 7 x 7.
DIGITS_AUTOENCODER = AutoencoderTraining(
    model=AutoencoderConfig(latent_channels=2, factor=4, patch=4, width=48),
    fit=FitConfig(steps=250, batch=64, lr=4e-3, ema=0.95),
    kl=1e-3,
)
DIGITS_DENOISER = DenoiserTraining(
    model=UNetConfig(channels=2, width=32, multipliers=(1, 2), classes=10),
    fit=FitConfig(steps=350, batch=64, lr=3e-3, ema=0.98),
    min_snr=5.0,
)
# The same networks, trained for minutes: the digits model that comes with the book.
LONG_AUTOENCODER = replace(
    DIGITS_AUTOENCODER, fit=FitConfig(steps=1500, batch=64, lr=4e-3, ema=0.99)
)
LONG_DENOISER = replace(DIGITS_DENOISER, fit=FitConfig(steps=2500, batch=64, lr=3e-3, ema=0.995))


class Recipe(NamedTuple):
    """A training with its settings; ``example``: what to ask the model for, as sample takes it."""

    config: Any
    train: Callable[[Any, Path, bool, bool | str], None]
    example: str = ""


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

    def look(autoencoder: Autoencoder, network: Any, step: int) -> None:
        x = LatentDiffusion(autoencoder, network).generate([*range(10)] * 2, steps=10, seed=0)
        save_png(x, out / TRAINING / f"samples-{step:05d}.png", columns=10)

    first, second = train_both(
        config.autoencoder, config.denoiser, schedule, split.x, split.labels, progress,
        out / TRAINING, resume, look,
    )  # fmt: skip
    if is_main_process():
        stages = {"autoencoder": first.history, "denoiser": second.history}
        wall = perf_counter() - start
        LatentDiffusion(first.net, second.net).save(out, torch.float16, overwrite=True)
        seconds = write_record(out, stages, "python -m minildm train digits", config, wall)
        print(f"{out}: {seconds:.0f} s")


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
    "digits": Recipe(DigitsTraining(), train_digits, "3 8"),
    "emoji": Recipe(EmojiTraining(), train_emoji, "astronaut"),
    "shapes": Recipe(ShapesTraining(), train_shapes, f'"{EXAMPLE}"'),
}
