"""Captioned shapes: pictures of two objects that are drawn exactly, said in words, and read back.

    scenes    Scene, Thing, Pictures, splits, render    what is in a picture, and how it looks
    captions  asked_texts, caption_tokens, read, ..     the grammar of the captions
    judge     judge, caption_accuracy                   which scene is in a picture, if any?
    training  ShapesTraining, train_shapes, GUIDANCE    the text-to-image model that draws them

The names below can be had from here; ``captions.captions`` and ``judge.judge`` have the names of
their modules, and are imported from them. A name of the training is imported when it is first asked
for, and with it all that trains.
"""

from typing import TYPE_CHECKING

from minildm.shapes.captions import (
    Request,
    agree,
    asked_texts,
    caption_tokens,
    read,
    request_rows,
    text_config,
)
from minildm.shapes.judge import Accuracy, Verdict, caption_accuracy
from minildm.shapes.scenes import HELD_OUT, Pictures, Scene, Splits, Thing, render, splits, to_rows

if TYPE_CHECKING:
    from minildm.shapes.training import GUIDANCE, ShapesTraining, train_shapes

__all__ = [
    "GUIDANCE", "HELD_OUT", "Accuracy", "Pictures", "Request", "Scene", "ShapesTraining", "Splits",
    "Thing", "Verdict", "agree", "asked_texts", "caption_accuracy", "caption_tokens", "read",
    "render", "request_rows", "splits", "text_config", "to_rows", "train_shapes",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """A public name of the training (PEP 562): the model itself loads captions, not trainings."""
    if name in ("GUIDANCE", "ShapesTraining", "train_shapes"):
        from minildm.shapes import training

        return getattr(training, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
