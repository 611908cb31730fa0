"""A small judge of handwritten digits: is it a digit, and which?

Trained on real digits, shifted, turned and scaled a little. So that it may also say "none of
them", it is shown pictures of nothing, with the same probability for all ten classes as the answer
(outlier exposure: arXiv 1812.04606): random spots, and digits cut into squares and put together in
a wrong order. It never sees a decoded latent.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from book.networks import load_network
from minildm import checks
from minildm.checks import inputs
from minildm.checks.inputs import OVERSHOOT
from minildm.data import LabelledSplit
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.files.places import SHIPPED, book_folder
from minildm.noise import Batch
from minildm.train import Trained, train_network

HOME = SHIPPED / "digit_classifier"
CLASSES = 10
# what a key is used for, beside the uses of fit.py
TURN, ZOOM, SHIFT_X, SHIFT_Y, SHUFFLE, SPOTS, CONTRAST = range(10, 17)


@dataclass(frozen=True)
class ClassifierConfig:
    """Channels of the first half, how to train, and the share of each batch that shows nothing.

    Raises ValueError for no channels, and for a share outside [0, 1).
    """

    width: int = 24
    nothing: float = 0.2
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            steps=900, lr=4e-3, warmup=100, weight_decay=0.05, ema=0.99
        )
    )

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "width")
        inputs.share_fields(self, "nothing")


class DigitClassifier(nn.Module):
    """x (B, 1, 28, 28) in [-1, 1] -> logits (B, 10)."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        w = width

        def conv(c_in: int, c_out: int) -> list[nn.Module]:
            return [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]

        self.features = nn.Sequential(
            nn.PixelUnshuffle(2), *conv(4, w), *conv(w, w), nn.MaxPool2d(2),  # (B, w, 7, 7)
            *conv(w, 2 * w), *conv(2 * w, 2 * w), nn.AvgPool2d(2),  # (B, 2w, 3, 3)
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(18 * w, 64), nn.ReLU(), nn.Linear(64, CLASSES))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))  # (B, 2w, 3, 3) -> (B, 18w) -> (B, 10)

    @torch.no_grad()
    def probabilities(self, x: Tensor, batch: int = 500) -> Tensor:
        """Class probabilities (n, 10) of images (n, 1, 28, 28) in [-1, 1], clamped to that range.

        Raises ValueError for another shape (32 x 32 images must be cropped first), for NaN, and
        for what is no picture in [-1, 1]; a decoder's overshoot is allowed.
        """
        x = inputs.images("x", x, 1, (28, 28), slack=OVERSHOOT)
        batch = inputs.whole("batch", batch, 1)
        self.eval()
        device = next(self.parameters()).device
        parts = [self(part.to(device).clamp(-1, 1)).softmax(1).cpu() for part in x.split(batch)]
        return torch.cat(parts)


def train_classifier(
    config: ClassifierConfig, x: Tensor, labels: Tensor, progress: bool = False, **keep
) -> Trained:
    """Cross-entropy on images (n, 1, 28, 28) with labels (n,), and on pictures of nothing.

    ``keep``: the options ``folder`` and ``resume`` of ``fit``.
    Raises ValueError for images and labels that cannot be right, before the first step.
    """
    x = inputs.images("x", x, 1, (28, 28))
    labels = inputs.labels("labels", labels, len(x), CLASSES)
    net = build(lambda: DigitClassifier(config.width), config.fit.seed)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        images = jitter(x[batch.indices], batch)
        wanted = F.one_hot(labels[batch.indices], CLASSES).float()
        k = round(config.nothing * len(images))
        if k:
            images[:k] = nothing(images[:k], batch)
            wanted[:k] = 1 / CLASSES
        device = next(model.parameters()).device
        return F.cross_entropy(model(images.to(device)), wanted.to(device), reduction="none"), None

    data = {"x": x, "labels": labels}
    return train_network(net, loss, config, "classifier", progress, {}, data, **keep)


def jitter(x: Tensor, batch: Batch) -> Tensor:
    """Turn by up to 0.2 rad, scale by up to 15 %, shift by up to 2 pixels; keyed by the batch."""

    def between(purpose: int, limit: float) -> Tensor:
        return (2 * batch.uniform(purpose).float() - 1) * limit

    angle, zoom = between(TURN, 0.2), 1 + between(ZOOM, 0.15)
    shift_x, shift_y = between(SHIFT_X, 2 / 14), between(SHIFT_Y, 2 / 14)  # 14 pixels are 1
    rows = [
        zoom * angle.cos(),
        -zoom * angle.sin(),
        shift_x,
        zoom * angle.sin(),
        zoom * angle.cos(),
    ]
    matrix = torch.stack([*rows, shift_y], dim=1).reshape(-1, 2, 3)  # (B, 6) -> (B, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, align_corners=False) - 1  # padded with -1: black


def nothing(x: Tensor, batch: Batch) -> Tensor:
    """Pictures (B, 1, 28, 28) that are no digits: half spots, half images of x, shuffled."""
    k = len(x) // 2
    piece = (4, 7)[batch.step % 2]  # pixels; quarters of 14 would often look like digits
    first, second = (
        Batch(batch.seed, batch.step, part) for part in batch.indices.tensor_split([k])
    )
    return torch.cat([spots(k, first), shuffle(x[k:], piece, second)])


def spots(count: int, batch: Batch) -> Tensor:
    """Smooth random spots on black, some large, some small, faint or strong: (count, 1, 28, 28)."""
    batch = Batch(batch.seed, batch.step, batch.indices[:count])
    coarse = (7, 9, 14)[batch.step % 3]
    field = batch.normal((1, coarse, coarse), SPOTS)  # (count, 1, coarse, coarse)
    field = F.interpolate(field, size=(28, 28), mode="bicubic", align_corners=False)
    contrast = 0.3 + 1.2 * batch.uniform(CONTRAST).float()
    return (2 * F.relu(contrast[:, None, None, None] * field) - 1).clamp(-1, 1)


def shuffle(x: Tensor, piece: int, batch: Batch) -> Tensor:
    """Cut each image (B, 1, 28, 28) into squares of piece x piece pixels and mix their places."""
    B, n = len(x), 28 // piece
    squares = F.unfold(x, piece, stride=piece)  # (B, piece^2, n^2)
    places = Batch(batch.seed, batch.step, batch.indices[:B]).normal((n * n,), SHUFFLE).argsort(1)
    squares = squares.gather(2, places[:, None].expand_as(squares))  # (B, piece^2, n^2)
    return F.fold(squares, (28, 28), piece, stride=piece)  # (B, 1, 28, 28)


def confident_fraction(probabilities: Tensor, threshold: float = 0.9) -> float:
    """Share of rows of ``probabilities`` (n, classes) whose largest entry is >= threshold."""
    top, _ = _surest(probabilities)
    return float((top >= inputs.real("threshold", threshold, 0, 1)).double().mean())


def confident_classes(probabilities: Tensor, threshold: float = 0.9) -> int:
    """Number of classes that are the confident answer (>= threshold) for at least one row."""
    top, label = _surest(probabilities)
    return len(label[top >= inputs.real("threshold", threshold, 0, 1)].unique())


def _surest(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Largest probability and its class, (n,) each; ValueError unless each row is a distribution.

    In the tensor's own precision: 0.9 as a float32 is compared as one.
    """
    p = inputs.tensor("probabilities", probabilities)
    checks.samples(probabilities=p)
    rows = not p.is_meta and p.dim() == 2
    if not rows or not ((p >= 0) & (p <= 1.001)).all() or ((p.sum(1) - 1).abs() > 1e-3).any():
        raise ValueError(
            "probabilities must be (n, classes), each >= 0, with rows that sum to 1: use softmax"
        )
    return p.max(dim=1)


def judge(net: DigitClassifier, split: LabelledSplit) -> dict[str, float]:
    """Accuracy and confident share (>= 0.9) on the held-out digits."""
    p = net.probabilities(split.x_held_out)
    accuracy = float((p.argmax(1) == split.labels_held_out).double().mean())
    return {
        "held_out_digits": len(p),
        "held_out_accuracy": round(accuracy, 4),
        "held_out_confident_fraction": round(confident_fraction(p), 4),
    }


def load_classifier(folder: str | Path | None = None) -> DigitClassifier:
    """The classifier in ``folder``; None: the one that comes with the book.

    Raises FileNotFoundError if it is missing, CheckpointError if it is damaged.
    """
    folder = book_folder("digit_classifier") if folder is None else folder
    return load_network(DigitClassifier, folder)
