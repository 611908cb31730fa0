"""The museum's figures: what the right line does beside what the planted line does.

Each function returns a ``draw(right, wrong) -> Figure`` for one kind of symptom.

    clouds   points in the plane, and the clusters they should form
    curves   two lines over one axis
    rows     two rows of small images
"""

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from book.ch09_1_museum.scene import MEANS, STD
from book.figures import COLOURS, GREY, axes, scales

RIGHT, WRONG = {"color": COLOURS[0]}, {"color": COLOURS[1], "linestyle": "--"}
Draw = Callable[..., Figure]
Limits = tuple[float, float, float, float]  # left, right, bottom, top
LIMITS = (-1.9, 2.6, -1.2, 2.9)
MARGIN = 1.1  # inches, for the names of rows of images
SHADES = 12  # of grey; three times as many of a colour


def clouds(limits: Limits = LIMITS) -> Draw:
    """Two panels of points (n, 2); grey rings are the clusters, at three standard deviations."""

    def draw(right: Tensor, wrong: Tensor) -> Figure:
        fig, panels = axes(2, height=2.2, width=4.6, grid="", sharex=True, sharey=True)
        kinds = (("right", right, COLOURS[0]), ("planted", wrong, COLOURS[1]))
        for ax, (title, points, colour) in zip(panels, kinds, strict=True):
            scatter(ax, points, colour, limits)
            ax.set_title(title)
        return fig

    return draw


def scatter(ax, points: Tensor, colour: str = COLOURS[0], limits: Limits = LIMITS) -> None:
    """One panel of a cloud: points over the rings of the clusters."""
    ax.scatter(*points.T.numpy(), s=2.5, color=colour, linewidths=0, alpha=0.6)
    angle = np.linspace(0, 2 * np.pi, 60)
    for mean in MEANS.numpy():
        ring = mean[:, None] + 3 * STD * np.stack([np.cos(angle), np.sin(angle)])
        ax.plot(*ring, color=GREY, linewidth=0.8)
    ax.set(xlim=limits[:2], ylim=limits[2:], aspect="equal", xticks=[], yticks=[])


def curves(x_label: str, y_label: str, log: str = "", marker: str = "") -> Draw:
    """Two lines, each (x, y), over one axis; ``log`` names the logarithmic axes."""

    def draw(right: tuple, wrong: tuple) -> Figure:
        fig, ax = axes(height=2.1, width=5.6)
        style = {"marker": marker, "markersize": 3.5}
        ax.plot(*map(np.asarray, wrong), **WRONG, **style, label="planted")
        ax.plot(*map(np.asarray, right), **RIGHT, **style, label="right")
        ax.set(xlabel=x_label, ylabel=y_label, **scales(log))
        fig.legend(loc="outside right upper")
        return fig

    return draw


def rows(difference: float = 0.0, size: float = 0.44) -> Draw:
    """Rows of images (n, C, H, W) in [-1, 1]; a third one where ``difference`` magnifies it.

    A symptom may also be a mapping, name -> images: those of the right package other than its last
    are shown above, such as the pictures that were given.
    """

    def draw(right, wrong) -> Figure:
        given = right if isinstance(right, dict) else {"right": right}
        *_, (_, ours) = given.items()
        theirs = wrong if isinstance(wrong, Tensor) else [*wrong.values()][-1]
        lines = {**dict(list(given.items())[:-1]), "right": ours, "planted": theirs}
        if difference:
            lines[f"difference × {difference:g}"] = difference * (theirs - ours)
        return strips(lines, size)

    return draw


def strips(lines: dict[str, Tensor], size: float) -> Figure:
    """Named rows of images as long strips, without gaps: label -> (n, C, H, W)."""
    n = max(len(images) for images in lines.values())
    fig = Figure(figsize=(size * n + MARGIN, size * len(lines) + 0.08 * len(lines)))
    for k, (name, images) in enumerate(lines.items()):
        height = 1 / len(lines)
        left = MARGIN / (size * n + MARGIN)
        ax = fig.add_axes((left, 1 - (k + 1) * height, (1 - left) * len(images) / n, 0.94 * height))
        strip = torch.cat(list(images.detach().float().clamp(-1, 1)), dim=-1)  # (C, H, n W)
        shades = SHADES if len(strip) == 1 else 3 * SHADES
        strip = ((strip + 1) / 2 * shades).round() / shades  # the file gets half as large
        strip = strip.permute(1, 2, 0).expand(-1, -1, 3)
        ax.imshow(strip.numpy(), interpolation="nearest", aspect="auto")
        ax.axis("off")
        ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=8)
    return fig
