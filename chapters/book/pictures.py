"""Figures of images and of models that make them: pure functions, as in plots.py.

mosaic            many small images in one block, row by row
captioned         images with their captions below them
flow_chart        the latent diffusion model: how it learns, how it makes an image
quality_by_steps  quality against the number of sampling steps
bars              named shares, with bands over seeds
seeds             what each variant of an experiment gave, a dot for each seed
"""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from book.figures import COLOURS, DASHES, GREY, MARKERS, WIDTH

BLUE, RED = COLOURS[:2]


def mosaic(
    x: Tensor, columns: int, rows: Sequence[str] = (), titles: Sequence[str] = (), width=WIDTH
) -> Figure:
    """Images x (n, C, H, W) in [-1, 1], row by row; labels for rows and for columns.

    One picture, so that hundreds of images draw at once. ``width``: inches.
    Raises ValueError unless x is (n, 1 or 3, H, W).
    """
    if x.dim() != 4 or x.shape[1] not in (1, 3) or len(x) == 0:
        raise ValueError(f"x must be (n, 1 or 3, H, W) with n >= 1; got {tuple(x.shape)}")
    H, W = (size + 2 for size in x.shape[2:])
    image = (tile(x, columns) + 1) / 2
    lines = image.shape[1] // H
    margin = 0.09 * max((len(line) for name in rows for line in name.split("\n")), default=0)
    height = (width - margin) * lines * H / (columns * W) + (0.25 if titles else 0.05)
    fig = Figure(figsize=(width, height), layout="constrained")
    ax = fig.subplots()
    ax.imshow(
        image.permute(1, 2, 0).expand(-1, -1, 3).numpy(), interpolation="nearest"
    )  # (h, w, 3)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=9)
    ax.set_yticks([(i + 0.5) * H for i in range(len(rows))], rows)
    ax.set_xticks([(i + 0.5) * W for i in range(len(titles))], titles)
    ax.xaxis.tick_top()
    return fig


def captioned(x: Tensor, captions: Sequence[str], columns: int, width: float = WIDTH) -> Figure:
    """Images x (n, C, H, W) in [-1, 1], each with its caption, wrapped, below. ``width``: inches.

    Raises ValueError unless there is one caption for each image.
    """
    if len(x) != len(captions) or len(x) == 0:
        raise ValueError(f"give one caption per image; got {len(captions)} for {len(x)} images")
    side, lines = width / columns, -(-len(x) // columns)
    letters = int(side / 0.073)  # of 8 points, that fit under an image
    texts = [textwrap.fill(text, letters) for text in captions]
    below = 0.12 + 0.15 * max(text.count("\n") + 1 for text in texts)
    fig = Figure(figsize=(width, lines * (side + below)), layout="constrained")
    axes = fig.subplots(lines, columns, squeeze=False).flatten()
    for ax in axes:
        ax.axis("off")
    for ax, image, text in zip(axes, x.detach().float().cpu().clamp(-1, 1), texts, strict=False):
        shown = ((image + 1) / 2).permute(1, 2, 0).expand(-1, -1, 3)  # (H, W, 3)
        ax.imshow(shown.numpy(), interpolation="nearest")
        ax.set_title(text, fontsize=8, y=-0.05, pad=0, va="top")
    return fig


def tile(x: Tensor, columns: int) -> Tensor:
    """Images (n, C, H, W) as one (C, rows (H + 2), columns (W + 2)); gaps and free places white."""
    n, C, H, W = x.shape
    rows = -(-n // columns)
    full = torch.ones(rows * columns, C, H + 2, W + 2)
    full[:n, :, 1:-1, 1:-1] = x.detach().float().cpu().clamp(-1, 1)
    full = full.reshape(rows, columns, C, H + 2, W + 2).permute(2, 0, 3, 1, 4)
    return full.reshape(
        C, rows * (H + 2), columns * (W + 2)
    )  # (C, rows, h, columns, w) -> (C, ., .)


def pixels(x: Tensor, columns: int) -> Tensor:
    """``tile`` as colours 0..255, as files of pictures want them: uint8 (h, w, 3)."""
    block = ((tile(x, columns) + 1) * 127.5).round().to(torch.uint8)  # (C, h, w)
    return block.permute(1, 2, 0).expand(-1, -1, 3)


def flow_chart() -> Figure:
    """The latent diffusion model in two rows: how it learns, and how it makes an image."""
    fig = Figure(figsize=(8.4, 3.5))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, 101), ylim=(0, 44))
    ax.axis("off")
    noising = (
        "add noise\n$z_t = \\sqrt{\\bar\\alpha_t}\\,z_0 + \\sqrt{1-\\bar\\alpha_t}\\,\\epsilon$"
    )
    learn = [
        (2, 12, "image\n$x$", GREY),
        (19, 12, "encoder\n$E$", BLUE),
        (36, 12, "latent\n$z_0$", GREY),
        (53, 22, noising, RED),
        (80, 16, "network\npredicts the\nnoise", BLUE),
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
    _arrow(ax, (86, 28.4), (55, 17.0), linestyle="dashed")
    ax.text(77, 20.5, "the trained network is used\nagain at every step", fontsize=8, color=GREY)
    ax.text(25, 25.2, "learned first, with $D$", ha="center", fontsize=8, color=GREY)
    return fig


def quality_by_steps(
    curves: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    levels: Mapping[str, float],
    y_label: str,
) -> Figure:
    """Shares (0 to 1) against steps, name -> (steps, shares); ``levels`` are horizontal lines."""
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    ax = fig.subplots()
    for k, (name, (steps, shares)) in enumerate(curves.items()):
        ax.plot(steps, shares, MARKERS[k], color=COLOURS[k], linestyle=DASHES[k], label=name)
    for name, level in levels.items():
        ax.axhline(level, color=GREY, linestyle=":", linewidth=1.2)
        ax.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), xytext=(-4, 2), ha="right",
            textcoords="offset points", fontsize=8, color=GREY,
        )  # fmt: skip
    ax.set(xlabel="sampling steps", ylabel=y_label, ylim=(0, 1.08))
    ax.set_xscale("log", base=2)
    ticks = sorted({n for steps, _ in curves.values() for n in steps})
    ax.set_xticks(ticks, [str(n) for n in ticks])
    ax.grid(color="#e4e4e4", linewidth=0.7)
    ax.legend(fontsize=8, frameon=False, loc="lower center")
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def bars(
    shares: Mapping[str, float], bands: Mapping[str, tuple[float, float]], x_label: str
) -> Figure:
    """Horizontal bars of shares (0 to 1) with their numbers; ``bands`` name -> (low, high)."""
    fig = Figure(figsize=(WIDTH, 0.42 * len(shares) + 0.7), layout="constrained")
    ax = fig.subplots()
    for i, (name, share) in enumerate(shares.items()):
        ax.barh(i, share, color=COLOURS[i % len(COLOURS)], height=0.6)
        low, high = bands.get(name, (share, share))
        ax.plot([low, high], [i, i], color="black", linewidth=2, marker="|")
        ax.text(max(share, high) + 0.01, i, f"{share:.0%}", va="center", fontsize=9)
    ax.set_yticks(range(len(shares)), list(shares))
    ax.set(xlabel=x_label, xlim=(0, 1.12))
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def seeds(
    runs: Mapping[str, Sequence[float]],
    x_label: str,
    form: str = ".0%",
    marks: Mapping[str, float] | None = None,
    log: bool = False,
) -> Figure:
    """One row per variant: a dot for each seed, a line over their range, the mean as a number.

    ``form`` prints the mean; ``marks`` (name -> value) are vertical lines, such as a chance level.
    The first variant is the one that the others are compared with: a thin line shows its mean.
    """
    fig = Figure(figsize=(WIDTH, 0.33 * len(runs) + 0.9), layout="constrained")
    ax = fig.subplots()
    for i, (name, values) in enumerate(runs.items()):
        colour = GREY if i == 0 else BLUE
        ax.plot([min(values), max(values)], [i, i], color=colour, linewidth=1.5)
        ax.plot(values, [i] * len(values), "o", color=colour, markersize=5, label=name)
        mean = sum(values) / len(values)
        ax.annotate(
            f"{mean:{form}}", (1.01, i), xycoords=("axes fraction", "data"), fontsize=9, va="center"
        )
        if i == 0:
            ax.axvline(mean, color=GREY, linewidth=0.8, zorder=0)
    for k, (name, value) in enumerate((marks or {}).items()):
        ax.axvline(value, color=RED, linewidth=1, linestyle=DASHES[1 + k % 5], zorder=0)
        ax.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), xytext=(3, 2),
            textcoords="offset points", fontsize=8, color=RED,
        )  # fmt: skip
    ax.set_yticks(range(len(runs)), list(runs))
    ax.set(xlabel=x_label, ylim=(len(runs) - 0.5, -0.5))
    if log:
        ax.set_xscale("log")
    ax.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def _box(ax: Axes, left: float, y: float, width: float, text: str, colour: str) -> None:
    style = {
        "boxstyle": "round,pad=0.4",
        "facecolor": "white",
        "edgecolor": colour,
        "linewidth": 1.8,
    }
    ax.add_patch(FancyBboxPatch((left, y), width, 9, **style))
    ax.text(left + width / 2, y + 4.5, text, ha="center", va="center", fontsize=8.5)


def _arrow(ax: Axes, start: tuple, end: tuple, **style) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": "black", "linewidth": 1.1, **style}
    ax.add_patch(FancyArrowPatch(start, end, **style))
