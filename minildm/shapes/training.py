"""The text-to-image model of captioned shapes: its settings, and its training from nothing.

Three stages, each with its own checkpoints, so that an interruption costs seconds:

    autoencoder   64 x 64 x 3 pixels <-> 8 x 8 x 4 latents
    gate          the judge must read the reconstructions: what the autoencoder blurs, no
                  diffusion model can draw
    denoiser      from noise and a caption to a latent, on latents that are encoded once
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minildm import predict
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.checks import inputs
from minildm.engine.devices import is_main_process
from minildm.engine.records import write_record
from minildm.engine.settings import FitConfig
from minildm.files.images import save_png
from minildm.latent import LatentDiffusion
from minildm.metrics import psnr
from minildm.noise import seeded
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.captions import caption_tokens, text_config
from minildm.shapes.judge import Accuracy, caption_accuracy, judge
from minildm.shapes.scenes import SIZE, Pictures, splits
from minildm.text import TextUNetConfig
from minildm.train import (
    AutoencoderTraining,
    DenoiserTraining,
    encode_all,
    train_autoencoder,
    train_denoiser,
)
from minildm.unet import UNetConfig

GUIDANCE = 2.5  # chosen on validation captions
SCHEDULE = DiscreteSchedule(cosine_betas(1000))
WORDING = 31  # what a seeded generator is used for
EXAMPLES = (
    "a small striped red circle above a large solid blue star on grey",
    "a large solid yellow square left of a small solid purple cross on black",
    "a large striped green diamond below a large striped cyan circle on white",
    "a small solid purple triangle right of a small striped blue square on white",
)


@dataclass(frozen=True)
class ShapesTraining:
    """All that decides the model.

    pictures      training pictures, drawn once from the scenes of the training split
    gate          least share of ``gate_pictures`` reconstructions that the judge must read right
    """

    pictures: int = 60_000
    seed: int = 0
    gate: float = 0.99
    gate_pictures: int = 1000
    autoencoder: AutoencoderTraining = field(
        default_factory=lambda: AutoencoderTraining(
            model=AutoencoderConfig(
                image_channels=3, latent_channels=4, factor=8, patch=4, width=64, max_width=128
            ),
            fit=FitConfig(
                steps=6000, batch=16, lr=3e-3, warmup=50, ema=0.998, optimizer="muon",
                log_every=50, save_every=500,
            ),
            kl=1e-5,
        )
    )  # fmt: skip
    denoiser: DenoiserTraining = field(
        default_factory=lambda: DenoiserTraining(
            model=TextUNetConfig(
                text_config(),
                UNetConfig(channels=4, width=96, multipliers=(1, 1), attention=(0, 1))
            ),
            fit=FitConfig(
                steps=7000, batch=64, lr=2e-3, warmup=100, ema=0.998, optimizer="muon",
                log_every=50, save_every=250,
            ),
            min_snr=5.0,
            snr_floor=1.0,  # without it the model learns what to draw, but not where
        )
    )  # fmt: skip

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "pictures", "gate_pictures")
        inputs.whole_fields(self, None, None, "seed")
        inputs.real_fields(self, 0, 1, "gate")


class Gate(NamedTuple):
    """How well the autoencoder's reconstructions are read, and their mean PSNR in dB."""

    accuracy: Accuracy
    psnr: float

    def figures(self) -> dict:
        """As JSON-able figures, for metrics.json."""
        accuracy = self.accuracy
        return {
            "read_right": accuracy.joint,
            "lower_bound_95": round(accuracy.bound, 4),
            "pictures": accuracy.n,
            "psnr": round(self.psnr, 2),
            "by_name": accuracy.by_name,
        }


@torch.no_grad()
def gate(autoencoder: Autoencoder, pictures: Pictures) -> Gate:
    """Reconstruct the pictures and let the judge read them: no attribute may be lost."""
    device = autoencoder.scale.device
    parts = []
    for part in torch.arange(len(pictures)).split(250):
        mean = autoencoder.encode(pictures[part].to(device)).mean
        parts.append(autoencoder.decode(mean).clamp(-1, 1).cpu())
    x_hat = torch.cat(parts)
    accuracy = caption_accuracy(judge(x_hat), pictures.rows)
    return Gate(accuracy, float(psnr(x_hat, pictures[:]).mean()))


def training_pictures(config: ShapesTraining) -> tuple[Pictures, Tensor]:
    """The pictures, and for each of them the tokens (n, LENGTH) of one wording of its caption."""
    pictures = Pictures(splits().train, config.pictures, config.seed)
    u = torch.rand(config.pictures, generator=seeded(config.seed, WORDING))
    return pictures, caption_tokens(pictures.rows, u)


def assemble(
    autoencoder: Autoencoder, network: Any, parameterization: str
) -> LatentDiffusion:
    """The model from its parts."""
    size = autoencoder.latent_shape((SIZE, SIZE))[1:]
    return LatentDiffusion(autoencoder, network, SCHEDULE, size, getattr(predict, parameterization))


def train_shapes(
    config: ShapesTraining, out: Path, progress: bool = True, resume: bool | str = False
) -> None:
    """The text-to-image model of captioned shapes; training/samples-STEP.png show how it learns.

    Writes the model to ``out``, what its training cost to ``metrics.json`` there, and the record of
    each stage to a file of JSON lines.
    Raises ValueError if the autoencoder does not pass the gate: train it longer, or make it larger.
    """
    start = perf_counter()
    pictures, tokens = training_pictures(config)
    home = out / "training"
    first = train_autoencoder(
        config.autoencoder, pictures, progress, folder=home / "autoencoder", resume=resume
    )
    unseen = Pictures(splits().validation, config.gate_pictures, config.seed)
    passed = gate(first.net, unseen)
    say = f"reconstructions read: {passed.accuracy.joint:.2%}, PSNR {passed.psnr:.1f} dB"
    if passed.accuracy.joint < config.gate:
        raise ValueError(
            f"{say}: the gate is {config.gate:.0%}. The autoencoder is kept in {home}; give it "
            "more autoencoder.fit.steps, in another folder, before a denoiser is trained on it"
        )
    z0 = encode_all(first.net, pictures, home / "latents")
    second = train_denoiser(
        config.denoiser, SCHEDULE, z0, tokens, progress, folder=home / "denoiser", resume=resume,
        every_save=looking(first.net, config.denoiser, home),
    )  # fmt: skip
    if is_main_process():
        model = assemble(first.net, second.net, config.denoiser.parameterization)
        stages = {"autoencoder": first.history, "denoiser": second.history}
        wall = perf_counter() - start
        model.save(out, torch.float16, overwrite=True)
        command = "python -m minildm train shapes"
        seconds = write_record(out, stages, command, config, wall, gate=passed.figures())
        print(f"{out}: {say}; {seconds / 60:.1f} minutes of training")


def looking(autoencoder: Autoencoder, config: DenoiserTraining, home: Path) -> Callable:
    """What draws a sample grid of ``EXAMPLES`` while a network learns: samples-STEP.png."""

    def look(network: Any, step: int) -> None:
        model = assemble(autoencoder, network, config.parameterization)
        x = model.text_to_image(list(EXAMPLES) * 4, steps=10, guidance=GUIDANCE, seed=0)
        save_png(x, home / f"samples-{step:05d}.png", columns=len(EXAMPLES))

    return look
