"""Figures of chapter 8, and the pictures that its trainings have left."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from book.ablations.engine import picture
from book.figures import COLOURS, GREY, named_rows
from book.results import RESULTS


def brightness_rows(rows: Mapping[str, Sequence[Sequence[float]]], data: Sequence[float]) -> Figure:
    """Quantiles of brightness (1, 5, 25, 50, 75, 95, 99 %), one bar per run; ``data``: the truth.

    ``rows``: name -> runs, one per seed. Thin line 1 to 99 %, thick line 25 to 75 %, dot 50 %.
    """
    names = dict.fromkeys(["the data", *rows])
    fig, ax = named_rows(names, 0.62 * len(names) + 0.8)
    for i, runs in enumerate([[data], *rows.values()]):
        colour = GREY if i == 0 else COLOURS[(i - 1) % 7]
        for k, quantiles in enumerate(runs):
            y = i + 0.22 * (k - (len(runs) - 1) / 2)
            low, _, left, middle, right, _, high = quantiles
            ax.plot([low, high], [y, y], color=colour, linewidth=1.2)
            ax.plot([left, right], [y, y], color=colour, linewidth=5, solid_capstyle="butt")
            ax.plot(middle, y, "o", color="white", markeredgecolor=colour, markersize=4.5)
    for edge in (data[0], data[-1]):
        ax.axvline(edge, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    ax.set(xlabel="mean brightness of a page (-1 black, 1 white)", ylim=(len(rows) + 0.6, -0.6))
    return fig


def stored(plan: str, variant: str, folder: str | Path = RESULTS.parent) -> Tensor:
    """The pictures beside data/results.json: (n, 3, H, W) in [-1, 1], as ``mosaic`` takes them."""
    strip = torch.from_numpy(np.array(Image.open(picture(plan, variant, folder)).convert("RGB")))
    side = strip.shape[0]  # tiles of H + 2 pixels in one row
    tiles = strip.reshape(side, -1, side, 3).permute(1, 3, 0, 2)[:, :, 1:-1, 1:-1]  # (n, 3, H, W)
    return tiles / 127.5 - 1
