"""One text-to-image denoiser, and one matcher of texts and pictures, trained for minutes.

Minutes are too few for all captioned shapes. The denoiser's world is smaller: two large solid
objects on grey. What is left to learn is which colour and which shape go where.
"""

import functools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from book.ablations.engine import Outcome, timed
from book.ablations.surgery import PARTS, remove
from book.ch05_5_text_to_image.contrastive import (
    SWAPS,
    ContrastiveTraining,
    retrieval,
    tells_apart,
    train_contrastive,
)
from book.ch05_5_text_to_image.measure_shapes import Task, as_figures, draw_and_judge
from minildm.checks import inputs
from minildm.engine.settings import FitConfig, reseeded
from minildm.latent import LatentDiffusion
from minildm.noise import seeded
from minildm.shapes.captions import caption_tokens, text_config
from minildm.shapes.scenes import ATTRIBUTES, NAMES, Pictures, draw_places, splits
from minildm.shapes.training import (
    SCHEDULE,
    WORDING,
    ShapesTraining,
    assemble,
    training_pictures,
)
from minildm.text import TextUNet, TextUNetConfig
from minildm.train import DenoiserTraining, Trained, encode_all, train_denoiser
from minildm.unet import UNetConfig
from minildm.words import NULL, PAD

ENCODERS = ("joint", "contrastive", "contrastive with null", "random")
NULLING = 41  # what a seeded generator is used for
NULLED = 0.1  # share of captions that are NULL, for an encoder that is to know it


@dataclass(frozen=True)
class ShapesLab:
    """A smaller network than the shipped one, trained for minutes instead of forty.

    pictures   captioned pictures to learn from
    without    a part of the network that is taken out: see surgery.py
    encoder    "joint": the text encoder learns with the UNet, as in LDM; "contrastive": it has
               learned to match texts with pictures, and is frozen, as in Stable Diffusion;
               "contrastive with null": the same, and a tenth of its captions were NULL;
               "random": frozen as it was born
    steps, guidance  for the unseen captions that are drawn and judged
    """

    denoiser: DenoiserTraining = field(
        default_factory=lambda: DenoiserTraining(
            model=TextUNetConfig(
                text_config(),
                UNetConfig(channels=4, width=48, multipliers=(1, 1), attention=(0, 1))
            ),
            fit=FitConfig(
                steps=700, batch=64, lr=3e-3, warmup=50, ema=0.99, optimizer="muon", log_every=50
            ),
            min_snr=5.0,
            snr_floor=1.0,
        )
    )
    contrastive: ContrastiveTraining = field(default_factory=ContrastiveTraining)
    pictures: int = 20_000
    without: str = ""
    encoder: str = "joint"
    steps: int = 16
    guidance: float = 1.5

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "pictures", "steps")
        inputs.real_fields(self, -math.inf, math.inf, "guidance")
        if self.without not in ("", *PARTS):
            raise ValueError(f"without must be one of {', '.join(PARTS)}; got {self.without!r}")
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}; got {self.encoder!r}")


def run_shapes(config: ShapesLab) -> Outcome:
    """Train a denoiser, then let the judge read what it draws from unseen captions."""
    z0, tokens = latents(config.pictures)
    trained, minutes = timed(lambda: train(config, z0, tokens))
    model = assemble(shipped().autoencoder, trained.net, config.denoiser.parameterization)
    figures, few = {}, None
    for name, rows in (("captions", unseen()), ("held_out_combinations", combinations())):
        x, _, accuracy = draw_and_judge(model, Task(rows, config.steps), config.guidance, seed=0)
        figures[name] = as_figures(accuracy)
        few = x[:8] if name == "captions" else few
    last = trained.history[-1]
    figures["loss"] = round(last.loss, 4)
    figures["by_level"] = [round(value, 4) for value in last.by_level]
    return Outcome(minutes, figures, few)


def train(config: ShapesLab, z0: Tensor, tokens: Tensor) -> Trained:
    """The denoiser of this configuration on latents z0 (n, 4, 8, 8) and tokens (n, L)."""

    def prepare(net: nn.Module) -> nn.Module:
        if config.encoder != "joint":
            freeze_text(net, config)
        return remove(net, config.without)

    return train_denoiser(config.denoiser, SCHEDULE, z0, tokens, prepare=prepare)


def freeze_text(net: TextUNet, config: ShapesLab) -> None:
    """Put the wanted text encoder into the network, and stop its learning.

    A plain contrastive encoder has never met NULL, which guidance asks for: only "with null".
    """
    if config.encoder.startswith("contrastive"):
        seed, nulled = config.denoiser.fit.seed, NULLED if "null" in config.encoder else 0.0
        net.text.load_state_dict(contrastive_text(config.contrastive, seed, nulled).state_dict())
    net.text.requires_grad_(False)


@functools.cache
def contrastive_text(config: ContrastiveTraining, seed: int, nulled: float = 0.0) -> nn.Module:
    """The text encoder of a contrastive training with this seed, on captions ``with_nulls``."""
    x, tokens = training_pictures(ShapesTraining(pictures=config.pictures))
    return train_contrastive(reseeded(config, seed), x, with_nulls(tokens, nulled)).net.text


def with_nulls(tokens: Tensor, share: float) -> Tensor:
    """Captions (n, L), of which a random ``share`` say nothing: NULL alone."""
    null = torch.full_like(tokens, PAD)
    null[:, 0] = NULL
    nothing = torch.rand(len(tokens), 1, generator=seeded(0, NULLING)) < share  # (n, 1)
    return torch.where(nothing, null, tokens)


@functools.cache
def shipped() -> LatentDiffusion:
    """The model that comes with the book."""
    return LatentDiffusion.load("shapes")


@functools.cache
def latents(pictures: int) -> tuple[Tensor, Tensor]:
    """Scaled latents (n, 4, 8, 8) of training pictures, and the tokens of their captions (n, L)."""
    x = Pictures(simple(splits().train), pictures)
    tokens = caption_tokens(x.rows, torch.rand(pictures, generator=seeded(0, WORDING)))
    return encode_all(shipped().autoencoder, x), tokens


def simple(rows: Tensor) -> Tensor:
    """Of scenes (n, 10), those with two large solid objects on grey."""
    wanted = {
        "background": "grey", "size 1": "large", "fill 1": "solid", "size 2": "large",
        "fill 2": "solid",
    }  # fmt: skip
    keep = torch.ones(len(rows), dtype=torch.bool)
    for name, word in wanted.items():
        column = NAMES.index(name)
        keep &= rows[:, column] == ATTRIBUTES[column].index(word)
    return rows[keep]


def unseen() -> Tensor:
    """The simple scenes of validation and test, each once: (n, 10)."""
    return simple(torch.cat([splits().validation, splits().test]))


def combinations(count: int = 200) -> Tensor:
    """Simple scenes with a pair of colour and shape that no training picture has: (count, 10)."""
    rows = simple(splits().composition)
    return rows[torch.arange(count) * len(rows) // count]  # spread evenly


# --- texts and pictures ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ContrastiveLab:
    """``judged``: unseen pictures, each of another scene, that are matched with their captions."""

    training: ContrastiveTraining = field(default_factory=ContrastiveTraining)
    judged: int = 500

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 2, None, "judged")


def run_contrastive(config: ContrastiveLab) -> Outcome:
    """Train on all captioned shapes, then look for the right one of many; and tell two apart."""
    x, tokens = training_pictures(ShapesTraining(pictures=config.training.pictures))
    trained, minutes = timed(lambda: train_contrastive(config.training, x, tokens))
    pictures = distinct_pictures(config.judged)
    pairs = {what: tells_apart(trained.net, pictures, what) for what in SWAPS}
    return Outcome(
        minutes, {**retrieval(trained.net, pictures), "tells_apart": pairs}, pictures[:8]
    )


def distinct_pictures(count: int) -> Pictures:
    """Unseen pictures of ``count`` different scenes."""
    rows = splits().test[:count]
    pictures = Pictures(rows, count, seed=1)
    pictures.rows = rows  # each scene once
    u = torch.rand(count, 4, dtype=torch.float64, generator=seeded(1, count))
    pictures.places = draw_places(rows, u)
    return pictures
