"""Figures of chapter 3.

flow_chart        the latent diffusion model: how it learns, how it makes an image
quality_by_steps  quality against the number of sampling steps
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from book.figures import BLUE, GREY, RED, axes, counts, look


def flow_chart() -> Figure:
    """The latent diffusion model in two rows: how it learns, and how it makes an image."""
    fig = Figure(figsize=(8.4, 3.5))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, 101), ylim=(0, 45))
    ax.axis("off")
    noising = (
        "add noise\n$z_t = \\sqrt{\\bar\\alpha_t}\\,z_0 + \\sqrt{1-\\bar\\alpha_t}\\,\\epsilon$"
    )
    learn = [
        (2, 12, "image\n$x$", GREY),
        (19, 12, "encoder\n$E$", BLUE),
        (36, 12, "latent\n$z_0$", GREY),
        (53, 22, noising, RED),
        (80, 16, "network\npredicts the\nnoise: loss (3.5)", BLUE),
    ]
    make = [
        (2, 16, "noise\n$z_T \\sim \\mathcal{N}(0, I)$", GREY),
        (36, 22, "denoise, step by step\n$z_T \\to z_t \\to \\hat z_0$", RED),
        (63, 12, "decoder\n$D$", BLUE), (80, 16, "image\n$\\hat x$", GREY),
    ]  # fmt: skip
    for title, y, boxes in (("Training", 29, learn), ("Generation", 7, make)):
        ax.text(1, y + 12.5, title, weight="bold", fontsize=10)
        for left, width, text, colour in boxes:
            _box(ax, left, y, width, text, colour)
        for (left, width, *_), (following, *_) in pairwise(boxes):
            _arrow(ax, (left + width + 0.7, y + 4.5), (following - 0.7, y + 4.5))
    _arrow(ax, (47, 3.0), (47, 6.3))
    ax.text(47, 1.2, "condition: a label, a text", ha="center", va="center", fontsize=8.5)
    _arrow(ax, (88, 41.8), (88, 39.0))
    ax.text(88, 43, "condition: a label, a text", ha="center", va="center", fontsize=8.5)
    _arrow(ax, (86, 28.4), (55, 17.0), linestyle="dashed")
    ax.text(77, 20.5, "the trained network is used\nagain at every step", fontsize=8, color=GREY)
    ax.text(25, 25.2, "learned first, with $D$", ha="center", fontsize=8, color=GREY)
    return fig


def quality_by_steps(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Figure:
    """Shares (0 to 1) against steps, name -> (steps, shares)."""
    fig, ax = axes(height=3.2)
    for k, (name, (steps, shares)) in enumerate(curves.items()):
        ax.plot(steps, shares, label=name, **look(k))
    counts(ax, sorted({n for steps, _ in curves.values() for n in steps}), base=2)
    ax.set(xlabel="sampling steps", ylabel="share", ylim=(0, 1.08))
    ax.legend(loc="lower center")
    return fig


def _box(ax: Axes, left: float, y: float, width: float, text: str, colour: str) -> None:
    style = {"boxstyle": "round,pad=0.4", "facecolor": "white", "linewidth": 1.8}
    ax.add_patch(FancyBboxPatch((left, y), width, 9, edgecolor=colour, **style))
    ax.text(left + width / 2, y + 4.5, text, ha="center", va="center", fontsize=8.5)


def _arrow(ax: Axes, start: tuple, end: tuple, **style) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": "black", "linewidth": 1.1, **style}
    ax.add_patch(FancyArrowPatch(start, end, **style))
