"""Diffusion on pixels, for as long as the latent model was trained: what do the latents save?

Everything but the autoencoder is that of shapes/training.py: data, captions, text encoder, kind of
network, objective, optimiser, schedule.
"""

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from minildm.autoencoder import Folding, FoldingConfig
from minildm.checks import inputs
from minildm.engine.devices import is_main_process
from minildm.engine.records import write_record
from minildm.engine.settings import FitConfig
from minildm.shapes.captions import text_config
from minildm.shapes.training import (
    SCHEDULE,
    ShapesTraining,
    assemble,
    looking,
    training_pictures,
)
from minildm.text import TextUNetConfig
from minildm.train import DenoiserTraining, train_denoiser
from minildm.unet import UNetConfig


@dataclass(frozen=True)
class PixelTraining:
    """All that decides the model. ``pictures`` and ``seed`` as in ``ShapesTraining``.

    The steps are as many as fit into the time that the latent model took, its autoencoder included.
    """

    pictures: int = 60_000
    seed: int = 0
    folding: FoldingConfig = field(default_factory=lambda: FoldingConfig(3, 4))
    denoiser: DenoiserTraining = field(
        default_factory=lambda: DenoiserTraining(
            model=TextUNetConfig(
                text_config(),
                UNetConfig(channels=48, width=64, multipliers=(1, 2), attention=(1,))
            ),
            fit=FitConfig(
                steps=7000, batch=64, lr=2e-3, warmup=100, ema=0.998, optimizer="muon",
                log_every=50, save_every=250,
            ),
            min_snr=5.0,
            snr_floor=1.0,
            parameterization="Z0",
        )
    )  # fmt: skip

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "pictures")
        inputs.whole_fields(self, None, None, "seed")


def train_pixels(
    config: PixelTraining, out: Path, progress: bool = True, resume: bool | str = False
) -> None:
    """The text-to-image model of captioned shapes that works on pixels, for comparison."""
    start = perf_counter()
    pictures, tokens = training_pictures(ShapesTraining(config.pictures, config.seed))
    folding = Folding(config.folding)
    folding.measure_scale(pictures[torch.arange(min(len(pictures), 2000))])
    home = out / "training"
    trained = train_denoiser(
        config.denoiser, SCHEDULE, Folded(pictures, folding), tokens, progress,
        folder=home, resume=resume, every_save=looking(folding, config.denoiser, home),
    )  # fmt: skip
    if is_main_process():
        model = assemble(folding, trained.net, config.denoiser.parameterization)
        stages, wall = {"denoiser": trained.history}, perf_counter() - start
        model.save(out, torch.float16, overwrite=True)
        command = "python tools/experiments.py train pixels"
        seconds = write_record(out, stages, command, config, wall)
        print(f"{out}: {seconds / 60:.1f} minutes of training")


class Folded:
    """The scaled, folded pixels of a data set, made when asked for: ``folded[indices]``.

    ``x``: a tensor (n, C, H, W) or anything with a length n that gives one for int64 indices.
    """

    def __init__(self, x, folding: Folding) -> None:
        self.x, self.folding = x, folding

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.folding.encoder(self.x[indices]) * self.folding.scale.cpu()
