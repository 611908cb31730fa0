"""Matching texts and pictures without drawing any: the idea of CLIP, at the size of this book.

    ContrastiveModel   a picture and a text as unit vectors; matching pairs point the same way
    contrastive_loss   which text of the batch belongs to this picture, and the other way round?
    retrieval          how often the right one of n is found
    swapped            captions that only differ in who has which attribute

Radford et al. 2021 (arXiv 2103.00020), section 2.3. Stable Diffusion's text encoder is such a one.
"""

from dataclasses import asdict, dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from book.shape_reader import FEATURES, ShapeReader
from minildm.checks import inputs, training_data
from minildm.engine.fit import build, fit
from minildm.engine.optim import EMA
from minildm.engine.records import collect
from minildm.engine.settings import FitConfig
from minildm.layers import masked_mean
from minildm.noise import Batch
from minildm.shapes.captions import text_config, wording
from minildm.shapes.scenes import Pictures
from minildm.text import TextEncoder, TextEncoderConfig, TextUNetConfig
from minildm.train import Trained
from minildm.words import PAD

SWAPS = ("colour", "shape", "places")


@dataclass(frozen=True)
class ContrastiveTraining:
    """Sizes and training: ``width`` of the picture's network, ``dim`` of the common vectors.

    Raises ValueError for sizes that make no sense.
    """

    text: TextEncoderConfig = field(default_factory=text_config)
    width: int = 32
    dim: int = 64
    pictures: int = 60_000
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            steps=700, batch=128, lr=3e-3, warmup=50, ema=0.98, optimizer="muon", log_every=25
        )
    )

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "width", "dim", "pictures")
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8 (group norm); got {self.width}")


class ContrastiveModel(nn.Module):
    """Two encoders into one space of unit vectors (B, dim), and how sharply they compare."""

    def __init__(self, config: ContrastiveTraining | None = None) -> None:
        super().__init__()
        self.config = cfg = config or ContrastiveTraining()
        self.text = TextEncoder(cfg.text)
        self.picture = ShapeReader(cfg.width).layers  # (B, 3, 64, 64) -> (B, FEATURES)
        self.from_text = nn.Linear(cfg.text.dim, cfg.dim, bias=False)
        self.from_picture = nn.Linear(FEATURES, cfg.dim, bias=False)
        self.log_sharpness = nn.Parameter(torch.tensor(2.5))  # exp: about 12, 1 / temperature

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token numbers (B, L) -> unit vectors (B, dim)."""
        words = masked_mean(self.text(tokens), tokens != PAD)  # (B, L, text.dim) -> (B, text.dim)
        return F.normalize(self.from_text(words), dim=1)

    def encode_picture(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, 64, 64) in [-1, 1] -> unit vectors (B, dim)."""
        return F.normalize(self.from_picture(self.picture(x)), dim=1)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Similarities of all pairs, sharpened: (B pictures, B texts)."""
        sharpness = self.log_sharpness.clamp(max=4.6).exp()  # at most 100, as in the paper
        return sharpness * self.encode_picture(x) @ self.encode_text(tokens).T


def contrastive_loss(similarity: Tensor) -> Tensor:
    """Mean of two cross-entropies: the right text of a row, the right picture of a column: (B,).

    ``similarity`` (B, B): pair i belongs to row i and column i. Raises ValueError for other shapes.
    """
    if similarity.dim() != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be (B, B); got {tuple(similarity.shape)}")
    right = torch.arange(len(similarity), device=similarity.device)
    rows = F.cross_entropy(similarity, right, reduction="none")
    return (rows + F.cross_entropy(similarity.T, right, reduction="none")) / 2


def train_contrastive(
    config: ContrastiveTraining, pictures: Pictures, tokens: Tensor, progress: bool = False
) -> Trained:
    """Learn from captioned pictures: ``tokens`` (n, L) is one caption for each of them.

    Raises ValueError for tokens that cannot be right, before the first step.
    """
    told = TextUNetConfig(config.text)  # of a network that is told the same
    tokens = training_data.condition(told, tokens, len(pictures))
    net = build(lambda: ContrastiveModel(config), config.fit.seed)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        device = next(model.parameters()).device
        x, words = pictures[batch.indices].to(device), tokens[batch.indices].to(device)
        return contrastive_loss(model(x, words)), None

    ema = EMA(net, config.fit.ema)
    run = fit(net, loss, len(pictures), config.fit, ema, settings=asdict(config))
    return Trained(ema.net, collect(run, config.fit, "contrastive", progress))


@torch.no_grad()
def retrieval(model: ContrastiveModel, pictures: Pictures) -> dict[str, float]:
    """Shares of n pictures whose own caption is the nearest of all n, and the other way round.

    All scenes must differ, or a wrong answer could be right: ValueError if they do not.
    """
    if len(pictures.rows.unique(dim=0)) < len(pictures):
        raise ValueError("two of these pictures show the same scene: give each scene once")
    texts = wording(pictures.rows, torch.zeros(len(pictures), dtype=torch.bool))
    similarity = model.encode_picture(pictures[:]) @ model.encode_text(texts).T  # (n, n)
    right = torch.arange(len(pictures))
    return {
        "text_of_picture": float((similarity.argmax(1) == right).double().mean()),
        "picture_of_text": float((similarity.argmax(0) == right).double().mean()),
    }


def swapped(rows: Tensor, what: str) -> Tensor:
    """Scenes (n, 10) with one thing exchanged: "colour" or "shape" between the two objects, or
    "places": the second object stands where the first one was.

    Raises ValueError for another word.
    """
    columns = {"colour": (4, 8), "shape": (5, 9)}
    other = rows.clone()
    if what == "places":
        other[:, 2:6], other[:, 6:] = rows[:, 6:], rows[:, 2:6]
    elif what in columns:
        a, b = columns[what]
        other[:, a], other[:, b] = rows[:, b], rows[:, a]
    else:
        raise ValueError(f"what must be one of {', '.join(SWAPS)}; got {what!r}")
    return other


@torch.no_grad()
def tells_apart(model: ContrastiveModel, pictures: Pictures, what: str) -> float:
    """Share of pictures that are nearer to their own caption than to its ``swapped`` one.

    Pictures whose caption the exchange does not change are left out.
    """
    other = swapped(pictures.rows, what)
    changed = (other != pictures.rows).any(1).nonzero()[:, 0]
    plain = torch.zeros(len(changed), dtype=torch.bool)
    vectors = model.encode_picture(pictures[changed])  # (n, dim)
    own = model.encode_text(wording(pictures.rows[changed], plain))
    wrong = model.encode_text(wording(other[changed], plain))
    return float(((vectors * own).sum(1) > (vectors * wrong).sum(1)).double().mean())
