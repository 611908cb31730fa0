"""Pictures with their captions, drawn to the dot."""

import textwrap
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from book.figures import SHADES, in_rgb

GAP, LINE, LETTER = 10, 14, 6.5  # dots between pictures; of a line and a letter of 8 points


def captioned(x: Tensor, captions: Sequence[str], columns: int, zoom: int = 2) -> Figure:
    """Images x (n, 3, H, W) in [-1, 1], each with its caption, wrapped, below.

    ``zoom``: whole dots per pixel at 100 dots per inch; in few shades, as ``figures.grid``.
    Raises ValueError unless there is one caption for each image.
    """
    if len(x) != len(captions) or len(x) == 0:
        raise ValueError(f"give one caption per image; got {len(captions)} for {len(x)} images")
    w, h, lines = zoom * x.shape[3], zoom * x.shape[2], -(-len(x) // columns)
    texts = [textwrap.fill(text, int((w + GAP) / LETTER)) for text in captions]
    below = GAP + LINE * max(text.count("\n") + 1 for text in texts)
    across, down = columns * (w + GAP), lines * (h + below)
    fig = Figure(figsize=(across / 100, down / 100))
    fig.add_artist(Rectangle((0, 0), 1, 1, color="white", zorder=-1))  # no tighter than this
    for i, (image, text) in enumerate(zip((x * SHADES).round() / SHADES, texts, strict=True)):
        left, top = i % columns * (w + GAP) + GAP // 2, i // columns * (h + below)
        box = (left / across, 1 - (top + h) / down, w / across, h / down)
        ax = fig.add_axes(box, frameon=False, xticks=[], yticks=[])
        ax.imshow(in_rgb(image), interpolation="nearest")
        ax.set_title(text, fontsize=8, y=0, pad=-4, va="top")
    return fig


def over_places(weights: Tensor, size: int = 64) -> Tensor:
    """Weights (64, L) of words at 8 x 8 places as pictures (L, 3, size, size), brightest 1."""
    maps = weights.T.reshape(-1, 1, 8, 8)  # (64, L) -> (L, 1, 8, 8)
    maps = 2 * maps / maps.amax((2, 3), keepdim=True) - 1
    return torch.nn.functional.interpolate(maps, size=size).expand(-1, 3, -1, -1)
