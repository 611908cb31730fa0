"""A slider between two pictures (chapter 2). Everything that it shows is computed by concepts.py.

LatentWalk(model)               mix pixels, mix latents, compare
LatentWalk(model, repair=True)  and lead the mixture back to a picture with the denoiser
"""

from pathlib import Path

import anywidget
import torch
import traitlets
from torch import Tensor

from book.ch02_concepts.figures import REACH
from book.ch02_concepts.walk import PAIRS, Stop, scene_pair, walk_stop
from book.display import pixels
from book.language import told, widget_texts
from minildm.latent import LatentDiffusion


class LatentWalk(anywidget.AnyWidget):
    """A walk between two pictures: one slider for the place, one for the noise to come back from.

    Python computes each stop with ``concepts.walk_stop``; the browser draws it (latent_walk.js)
    and asks for the next one only when the last one has come, so that a slider never lags behind.
    ``repair``: show the second slider, and what it does.
    """

    _esm = Path(__file__).with_name("latent_walk.js")
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    repair = traitlets.Bool(False).tag(sync=True)
    wanted = traitlets.Dict().tag(sync=True)  # {"pair", "u", "back", "request"}
    panels = traitlets.Bytes().tag(sync=True)  # uint8 (height, width, 3)
    ends = traitlets.Bytes().tag(sync=True)  # uint8 (2, height, height, 3): where the walk leads
    messages = traitlets.Dict().tag(sync=True)  # texts in the reader's language
    shown = traitlets.Dict().tag(sync=True)  # {"height", "width", "words", "request"}

    def __init__(self, model: LatentDiffusion, repair: bool = False) -> None:
        self._model = model
        start = {"pair": next(iter(PAIRS)), "u": 0.5, "back": 0.7 if repair else 0.0, "request": 0}
        super().__init__(
            names=list(PAIRS), repair=repair, wanted=start, messages=widget_texts()
        )
        self.observe(self._answer, "wanted")
        self._answer(None)

    def _answer(self, _change) -> None:
        w = self.wanted
        pair = scene_pair(w["pair"])
        stop = walk_stop(self._model, pair, w["u"], w["back"])
        images = panel_images(stop) if self.repair else panel_images(stop)[:3]
        block = pixels(images, len(images))  # (h, w, 3)
        self.panels = block.tobytes()
        self.ends = b"".join(pixels(picture, 1).tobytes() for picture in pair.split(1))
        words = [told(text) for text in panel_words(stop)[: len(images)]]
        height, width = block.shape[:2]
        self.shown = {
            "height": height, "width": width, "words": words, "request": w["request"]
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"LatentWalk(repair={self.repair})"


def panel_images(stop: Stop) -> Tensor:
    """Four pictures of a stop, (4, 3, 64, 64): pixels, latent, decoded, led back.

    The latent's four channels stand in two rows of two, each number a square.
    """
    channels = (stop.latent / REACH).clamp(-1, 1)  # (4, 8, 8)
    side = stop.pixels.shape[-1] // 2 // channels.shape[-1]  # pixels for each number
    big = channels.repeat_interleave(side, 1).repeat_interleave(side, 2)  # (4, 32, 32)
    rows = [torch.cat(list(pair), dim=1) for pair in big.split(2)]  # (32, 64) each
    latent = torch.cat(rows).expand(3, -1, -1)
    return torch.stack([stop.pixels, latent, stop.decoded, stop.led_back])


def panel_words(stop: Stop) -> list[str]:
    """What stands under the four pictures."""
    said = ["a scene" if ok else "no scene" for ok in stop.accepted]
    return [
        f"pixels mixed: {said[0]}",
        "the mixed latent, its 4 channels",
        f"its decoded picture: {said[1]}",
        f"noise and back: {said[2]}",
    ]
