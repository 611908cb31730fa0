"""What a small network sees in pictures of captioned shapes: features for a Fréchet distance.

    ShapeReader    picture (B, 3, 64, 64) -> logits of all ten attributes; 64 features before them
    distance       Fréchet distance of two sets of pictures in these features

This is *not* FID: FID's features come from Inception v3, trained on photographs. These were trained
on a few hundred thousand drawings of two objects, to read their attributes and nothing else. Two
numbers are comparable only if the network and the number of pictures are the same.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from book.networks import load_network
from minildm.checks import inputs
from minildm.checks.inputs import OVERSHOOT
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.files.places import SHIPPED, book_folder
from minildm.metrics import frechet_distance
from minildm.noise import Batch
from minildm.shapes.scenes import ATTRIBUTES, NAMES, Pictures, splits
from minildm.train import Trained, train_network

HOME = SHIPPED / "shape_reader"
FEATURES = 64
CHOICES = [len(known) for known in ATTRIBUTES]  # logits of each attribute
NOISE = 40  # what a key is used for


@dataclass(frozen=True)
class ReaderTraining:
    """Channels at the first resolution, pictures to learn from, and how.

    noise   largest standard deviation of the noise that is added to pictures in training, so that
            the features do not hang on single pixels

    Raises ValueError for a width that is no multiple of 8, no pictures, and negative noise.
    """

    width: int = 32
    pictures: int = 60_000
    noise: float = 0.1
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            steps=2500, batch=64, lr=3e-3, warmup=100, ema=0.995, optimizer="muon", save_every=500
        )
    )

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "width", "pictures")
        inputs.real_fields(self, 0, math.inf, "noise")
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8 (group norm); got {self.width}")


class ShapeReader(nn.Module):
    """x (B, 3, 64, 64) in [-1, 1] -> logits of all attributes side by side (B, sum(CHOICES))."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        w = width

        def halve(c_in: int, c_out: int) -> list[nn.Module]:
            first = nn.Conv2d(c_in, c_out, 3, stride=2, padding=1)
            second = nn.Conv2d(c_out, c_out, 3, padding=1)
            norms = nn.GroupNorm(8, c_out), nn.GroupNorm(8, c_out)
            return [first, norms[0], nn.SiLU(), second, norms[1], nn.SiLU()]

        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, w, 3, padding=1), nn.SiLU(),  # (B, w, 32, 32)
            *halve(w, w), *halve(w, 2 * w), *halve(2 * w, 2 * w),  # (B, 2w, 4, 4)
            nn.Flatten(), nn.Linear(32 * w, FEATURES), nn.SiLU(),  # (B, 32w) -> (B, 64)
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, sum(CHOICES))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))

    @torch.no_grad()
    def features(self, x: Tensor, batch: int = 250) -> Tensor:
        """The 64 numbers per picture (n, 3, 64, 64) that the attributes are read from: (n, 64).

        Raises ValueError for what is no picture in [-1, 1]; a decoder's overshoot is allowed.
        """
        x = inputs.images("x", x, 3, (64, 64), slack=OVERSHOOT)
        batch = inputs.whole("batch", batch, 1)
        device = self.head.weight.device
        return torch.cat([self.layers(part.to(device)).cpu() for part in x.split(batch)])

    @torch.no_grad()
    def read(self, x: Tensor, batch: int = 250) -> Tensor:
        """The likeliest value of each attribute: a scene table (n, 10)."""
        logits = self.head(self.features(x, batch).to(self.head.weight.device)).cpu()
        return torch.stack([part.argmax(1) for part in logits.split(CHOICES, dim=1)], dim=1)


def distance(reader: ShapeReader, x: Tensor, y: Tensor) -> float:
    """Fréchet distance (metrics.py) of two sets of pictures (n, 3, 64, 64), (m, 3, 64, 64).

    It is a squared distance, in units of the features, and not 0 for two finite samples of the
    same pictures: always state it beside that floor, for the same n and m.
    """
    return frechet_distance(reader.features(x), reader.features(y))


def train_reader(config: ReaderTraining, progress: bool = False, **keep) -> Trained:
    """The sum of ten cross-entropies on pictures of the training split, with a little noise.

    ``keep``: the options ``folder`` and ``resume`` of ``fit``.
    """
    pictures = Pictures(splits().train, config.pictures, config.fit.seed)
    net = build(lambda: ShapeReader(config.width), config.fit.seed)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        device = next(model.parameters()).device
        x = pictures[batch.indices]
        level = config.noise * batch.uniform(NOISE).float()[:, None, None, None]
        logits = model((x + level * batch.normal(x.shape[1:])).to(device))
        wanted = pictures.rows[batch.indices].to(device)  # (B, 10)
        parts = zip(logits.split(CHOICES, dim=1), wanted.unbind(1), strict=True)
        return sum(F.cross_entropy(part, row, reduction="none") for part, row in parts), None

    return train_network(net, loss, config, "reader", progress, {}, {"pictures": pictures}, **keep)


def held_out(reader: ShapeReader, count: int = 2000) -> dict:
    """Shares of held-out pictures whose attributes the reader gets right, and all at once."""
    pictures = Pictures(splits().validation, count, seed=0)
    right = reader.read(pictures[:]) == pictures.rows  # (n, 10)
    shares = right.double().mean(0).tolist()
    return {
        "held_out_pictures": count,
        "joint": round(float(right.all(1).double().mean()), 4),
        "by_name": {name: round(share, 4) for name, share in zip(NAMES, shares, strict=True)},
    }


def load_reader(folder: str | Path | None = None) -> ShapeReader:
    """The reader in ``folder``; None: the one that comes with the book.

    Raises FileNotFoundError if it is missing, CheckpointError if it is damaged or something else.
    """
    return load_network(ShapeReader, book_folder("shape_reader") if folder is None else folder)
