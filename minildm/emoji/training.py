"""The text-to-image model of real drawings: its settings, and its training from nothing.

Two stages, each with its own checkpoints, so that an interruption costs seconds:

    autoencoder   64 x 64 x 3 pixels <-> 8 x 8 x 8 latents
    denoiser      from noise and a caption to a latent, on latents that are encoded once

Both see the training split only: no part of the model was shown a drawing that is held out.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from minildm import predict
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.emoji.drawings import SIZE, Drawings, drawings
from minildm.emoji.splits import splits
from minildm.engine.devices import is_main_process
from minildm.engine.records import write_record
from minildm.engine.settings import FitConfig
from minildm.files.images import save_png
from minildm.latent import LatentDiffusion
from minildm.metrics import psnr
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.text import TextEncoderConfig, TextUNetConfig
from minildm.train import (
    AutoencoderTraining,
    DenoiserTraining,
    encode_all,
    train_autoencoder,
    train_denoiser,
)
from minildm.unet import UNetConfig
from minildm.words import tokenize, vocabulary_of

GUIDANCE = 2.0
SCHEDULE = DiscreteSchedule(cosine_betas(1000))
EXAMPLES = (
    "astronaut", "woman teacher, medium skin tone", "red apple", "flag of japan", "octopus",
    "steaming bowl", "thumbs up, medium skin tone", "grinning face with smiling eyes",
)  # fmt: skip
FROM_CAPTIONS = ("taken", "from", "the", "captions")  # stands for the words, until they are known


@dataclass(frozen=True)
class EmojiTraining:
    """All that decides the model. Its words are those of the captions, whatever is said here."""

    autoencoder: AutoencoderTraining = field(
        default_factory=lambda: AutoencoderTraining(
            model=AutoencoderConfig(
                image_channels=3, latent_channels=8, factor=8, patch=4, width=64, max_width=128
            ),
            fit=FitConfig(
                steps=8000, batch=16, lr=3e-3, warmup=50, ema=0.998, optimizer="muon",
                log_every=50, save_every=500,
            ),
            kl=1e-5,
        )
    )  # fmt: skip
    denoiser: DenoiserTraining = field(
        default_factory=lambda: DenoiserTraining(
            model=TextUNetConfig(
                TextEncoderConfig(FROM_CAPTIONS, length=16),
                UNetConfig(channels=8, width=96, multipliers=(1, 1), attention=(0, 1)),
            ),
            fit=FitConfig(
                steps=11_000, batch=64, lr=2e-3, warmup=100, ema=0.998, optimizer="muon",
                log_every=50, save_every=250,
            ),
            min_snr=5.0,
            snr_floor=1.0,
        )
    )  # fmt: skip


def train_emoji(
    config: EmojiTraining, out: Path, progress: bool = True, resume: bool | str = False,
    source: Drawings | None = None,
) -> None:  # fmt: skip
    """The text-to-image model of emoji; training/samples-STEP.png show how it learns.

    Writes the model to ``out``, what its training cost to ``metrics.json`` there, and the record of
    each stage to a file of JSON lines. ``source``: the drawings, where they are not all of them.
    Raises ValueError, saying what to install, where the drawings cannot be rendered.
    """
    start, home = perf_counter(), out / "training"
    source = source or drawings(progress=progress)
    train = splits(source).train
    captions = [source.captions[i] for i in train.tolist()]
    denoiser, text = worded(config.denoiser, captions)
    x, tokens = source[train], tokenize(captions, text)
    first = train_autoencoder(
        config.autoencoder, x, progress, folder=home / "autoencoder", resume=resume
    )
    sharp = reconstruction(first.net, x)
    z0 = encode_all(first.net, x, home / "latents")
    asked = [text for text in EXAMPLES if text in captions] or captions[: len(EXAMPLES)]

    def look(network: Any, step: int) -> None:
        model = assemble(first.net, network, denoiser.parameterization)
        x = model.text_to_image(asked * 2, steps=10, guidance=GUIDANCE, seed=0)
        save_png(x, home / f"samples-{step:05d}.png", columns=len(asked))

    second = train_denoiser(
        denoiser, SCHEDULE, z0, tokens, progress, folder=home / "denoiser", resume=resume,
        every_save=look,
    )  # fmt: skip
    if is_main_process():
        assemble(first.net, second.net, denoiser.parameterization).save(
            out, torch.float16, overwrite=True
        )
        stages = {"autoencoder": first.history, "denoiser": second.history}
        wall, command = perf_counter() - start, "python -m minildm train emoji"
        more = {"drawings": len(train), "words": len(text.words), "psnr": sharp}
        seconds = write_record(out, stages, command, config, wall, **more)
        print(f"{out}: reconstructions {sharp} dB; {seconds / 60:.1f} minutes of training")


def worded(
    config: DenoiserTraining, captions: list[str]
) -> tuple[DenoiserTraining, TextEncoderConfig]:
    """The settings, and those of the text in them, with the words of these captions.

    Raises ValueError for the settings of a network that reads no text.
    """
    if not isinstance(config.model, TextUNetConfig):
        raise ValueError(f"denoiser.model must be a TextUNetConfig; got {config.model!r}")
    text = replace(config.model.text, words=vocabulary_of(captions))
    return replace(config, model=replace(config.model, text=text)), text


@torch.no_grad()
def reconstruction(autoencoder: Autoencoder, x: Tensor) -> float:
    """Mean PSNR in dB of what the autoencoder makes of pictures (n, 3, 64, 64) and back."""
    device, found = autoencoder.scale.device, []
    for part in x.split(250):
        x_hat = autoencoder.decode(autoencoder.encode(part.to(device)).mean).clamp(-1, 1)
        found.append(psnr(x_hat.cpu(), part))
    return round(float(torch.cat(found).mean()), 2)


def assemble(autoencoder: Autoencoder, network: Any, parameterization: str) -> LatentDiffusion:
    """The model from its parts."""
    size = autoencoder.latent_shape((SIZE, SIZE))[1:]
    return LatentDiffusion(autoencoder, network, SCHEDULE, size, getattr(predict, parameterization))
