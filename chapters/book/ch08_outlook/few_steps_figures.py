"""Figures of few-step generation: pure functions, as in plots.py.

ends        where points of the plane end, each in the colour of the group it belongs to
by_calls    figures against network evaluations, with the band of the seeds
stored      the pictures that a plan of trainings has left of one of its variants
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image
from torch import Tensor

from book.ablations.engine import picture
from book.figures import COLOURS, DASHES, MARKERS, WIDTH
from book.results import RESULTS


def ends(panels: Mapping[str, Tensor], groups: Tensor) -> Figure:
    """One panel per title: points (n, 2), coloured and marked by their group, int64 (n,)."""
    fig = Figure(figsize=(WIDTH, WIDTH / len(panels) + 0.3), layout="constrained")
    axes = np.atleast_1d(fig.subplots(1, len(panels), sharex=True, sharey=True))
    for ax, (title, z) in zip(axes, panels.items(), strict=True):
        for k in groups.unique().tolist():
            look = {"color": COLOURS[k % 7], "alpha": 0.6, "linewidths": 0}
            ax.scatter(*z[groups == k].T.numpy(), s=9, marker=MARKERS[k % 7], **look)
        ax.set_title(title, fontsize=9)
        ax.set_aspect("equal")
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    return fig


def by_calls(
    panels: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[Sequence[float]]]]],
    log: Sequence[str] = (),
) -> Figure:
    """Panels, y label -> {name: (evaluations, values)}, values (seeds, evaluations).

    A line through the means, a band from the smallest to the largest; ``log``: labels of the
    panels with a logarithmic height. A name looks the same in all panels.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    fig = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = np.atleast_1d(fig.subplots(1, len(panels)))
    for ax, (label, curves) in zip(axes, panels.items(), strict=True):
        for name, (n, values) in curves.items():
            k, values = names.index(name), np.asarray(values)
            look = {"color": COLOURS[k % 7], "marker": MARKERS[k % 7], "linestyle": DASHES[k % 7]}
            ax.plot(n, values.mean(0), label=name, markersize=4, linewidth=1.5, **look)
            low, high = values.min(0), values.max(0)
            ax.fill_between(n, low, high, color=look["color"], alpha=0.18, linewidth=0)
        ticks = sorted({x for n, _ in curves.values() for x in n})
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [str(x) for x in ticks])
        if label in log:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("")
        ax.tick_params(labelsize=8)
        ax.set_xlabel("network evaluations", fontsize=9)
        ax.set_title(label, fontsize=9)
        ax.grid(color="#e4e4e4", linewidth=0.7)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8, frameon=False)
    return fig


def stored(plan: str, variant: str, folder: str | Path = RESULTS.parent) -> Tensor:
    """The pictures beside data/results.json: (n, 3, H, W) in [-1, 1], as ``mosaic`` takes them."""
    strip = torch.from_numpy(np.array(Image.open(picture(plan, variant, folder)).convert("RGB")))
    side = strip.shape[0]  # tiles of H + 2 pixels in one row
    tiles = strip.reshape(side, -1, side, 3).permute(1, 3, 0, 2)[:, :, 1:-1, 1:-1]  # (n, 3, H, W)
    return tiles / 127.5 - 1
