"""A good model, guided away from a worse one instead of from one that hears no text.

The good one is the shipped text-to-image model. The worse one is trained here for minutes: smaller,
shorter, on the same latents and captions. Karras et al. 2024 (arXiv 2406.02507).
"""

from dataclasses import dataclass, field

from torch import nn

from book.ablations.engine import Outcome, timed
from book.ablations.shapes_lab import ShapesLab, shipped
from book.ch08_outlook.guidance_ways import CAPTIONS, DRAWN, of_pictures, walk
from minildm.checks import inputs
from minildm.denoise import guided
from minildm.interfaces import Denoiser
from minildm.shapes.captions import asked_texts
from minildm.shapes.scenes import splits
from minildm.shapes.training import (
    SCHEDULE,
    ShapesTraining,
    assemble,
    training_pictures,
)
from minildm.train import DenoiserTraining, encode_all, train_denoiser

SCALES = (1.5, 2.5, 4.0)


@dataclass(frozen=True)
class AutoguidanceLab:
    """``pictures`` to learn from; ``captions``, ``drawn``, ``steps``: what is drawn and judged."""

    denoiser: DenoiserTraining = field(default_factory=lambda: ShapesLab().denoiser)
    pictures: int = 20_000
    captions: int = 3 * CAPTIONS
    drawn: int = DRAWN
    steps: int = 16

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "pictures", "captions", "steps")
        inputs.whole_fields(self, 2, None, "drawn")


def run_autoguidance(config: AutoguidanceLab) -> Outcome:
    """Train the worse model, then guide the shipped one by it, and by its own null condition.

    Both ways ask twice at each step. "worse alone" and "w = 1" are the two models, unguided.
    """
    net, minutes = timed(lambda: train(config))
    good, worse = shipped(), assemble(shipped().autoencoder, net, config.denoiser.parameterization)
    rows = splits().validation[: config.captions].repeat_interleave(config.drawn, dim=0)
    texts = asked_texts(rows)
    asked, nothing, bad = (
        model.denoiser(texts, w) for model, w in ((good, 1.0), (good, 0.0), (worse, 1.0))
    )
    figures, few = {}, None
    ways: dict[str, Denoiser] = {"worse alone": bad, "w = 1": asked}
    for w in SCALES:
        ways[f"ordinary, w = {w:g}"] = guided(asked, nothing, w)
        ways[f"autoguidance, w = {w:g}"] = guided(asked, bad, w)
    for name, denoise in ways.items():
        x = good.decode(walk(good, denoise, len(rows), config.denoiser.fit.seed, config.steps))
        figures[name] = of_pictures(x, rows, config.drawn)
        few = x[:8] if few is None else few
    return Outcome(minutes, figures, few)


def train(config: AutoguidanceLab) -> nn.Module:
    """The worse network, with averaged weights: on latents of the shipped model's own pictures."""
    x, tokens = training_pictures(ShapesTraining(pictures=config.pictures))
    z0 = encode_all(shipped().autoencoder, x)
    return train_denoiser(config.denoiser, SCHEDULE, z0, tokens).net
