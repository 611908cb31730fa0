"""Figures of chapter 7.6: where weights and time are, how large numbers get, what tiles do."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from book.ch07_6_stable_diffusion.tour import KINDS, Share
from book.figures import COLOURS, DASHES, GREY, MARKERS, axes, in_rgb

LARGEST_HALF = 65504  # the largest number of float16


def where(shares: Mapping[tuple[int, str], Share]) -> Figure:
    """Two bars for each height of the latent, parameters and operations, by kind of layer."""
    heights = sorted({height for height, _ in shares}, reverse=True)
    fig, row = axes(2, height=3.0, grid="x", sharey=True)
    units = ("parameters, in millions", 1e6), ("operations of one call, in 10⁹", 1e9)
    for i, (ax, (label, unit)) in enumerate(zip(row, units, strict=True)):
        ends = np.zeros(len(heights))
        for k, kind in enumerate(KINDS):
            sizes = np.array([shares.get((h, kind), Share())[i] for h in heights]) / unit
            style = {"color": COLOURS[k], "hatch": ("", "//", "\\\\", "..", "xx")[k]}
            places = range(len(heights))
            ax.barh(places, sizes, left=ends, height=0.7, edgecolor="white", label=kind, **style)
            ends += sizes
        for place, end in enumerate(ends):
            ax.annotate(f"{end / ends.sum():.0%}", (end, place), (3, 0), va="center",
                        textcoords="offset points", fontsize=8)  # fmt: skip
        ax.set_xlim(0, ends.max() * 1.16)
        ax.set_xlabel(label)
    row[0].set_yticks(range(len(heights)), [f"{h} × {h}" for h in heights])
    row[0].invert_yaxis()
    handles, names = row[0].get_legend_handles_labels()
    fig.legend(handles, names, ncols=len(KINDS), loc="outside upper center")
    return fig


def sizes_on_the_way(curves: Mapping[str, Sequence[float]], places: Sequence[str]) -> Figure:
    """The largest number that leaves each layer, one curve for each network, and float16's end."""
    fig, ax = axes(height=3.0)
    for k, (name, sizes) in enumerate(curves.items()):
        ax.plot(range(len(places)), sizes, color=COLOURS[k], marker=MARKERS[k], label=name)
    ax.axhline(LARGEST_HALF, color=GREY, linestyle="--")
    ax.annotate("largest number of float16", (0, LARGEST_HALF), (0, 4),
                textcoords="offset points", color="#404040", fontsize=8)  # fmt: skip
    ax.set_xticks(range(len(places)), places, rotation=30, ha="right", fontsize=7)
    ax.set(yscale="log", ylabel="largest |number|")
    ax.legend()
    return fig


def tiles(whole: Tensor, tiled: Tensor, tile: int) -> Figure:
    """A picture (C, H, W) decoded at once and in tiles of ``tile`` pixels; means of 16 rows each.

    Of the colour whose rows differ most from one another in the first picture.
    """
    fig, row = axes(3, height=2.6, grid="")
    titles = "at once", f"in tiles of {tile}"
    rows = torch.stack([whole, tiled]).mean(3).unfold(2, 16, 16).mean(3)  # (2, C, H / 16)
    colour = int(rows[0].std(1).argmax())
    for k, (x, title) in enumerate(zip((whole, tiled), titles, strict=True)):
        row[k].imshow(in_rgb(x), interpolation="nearest")
        row[k].set_title(title)
        row[k].set_xticks([])
        row[k].set_yticks([])
        means = rows[k, colour].numpy()
        heights = 16 * np.arange(len(means)) + 8
        style = {"color": COLOURS[k], "linestyle": DASHES[k]}
        row[2].plot(means, heights, label=title, **style)
    row[2].invert_yaxis()
    row[2].set(xlabel=f"mean {('red', 'green', 'blue')[colour]} of the rows", ylabel="row")
    row[2].spines[["top", "right"]].set_visible(False)
    row[2].legend()
    return fig
