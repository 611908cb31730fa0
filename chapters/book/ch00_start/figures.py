"""Figures of chapter 0.

    two_walks   one sampler, two denoisers: a cloud of points above, a picture below
    chart       the chapters, and what each builds on

The map is book_map.py; chart places it by itself, so that a new chapter needs no drawing.
"""

import textwrap
from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from book.ch00_start.book_map import CHAPTERS, direct, levels
from book.figures import COLOURS, GREY, WIDTH, axes, ellipse, in_rgb

PARTS = {  # first digits of chapters' numbers: their part of the book, and its colour
    "0": ("start", COLOURS[6]),
    "123": ("ideas", COLOURS[0]),
    "4": ("mathematics", COLOURS[1]),
    "5": ("code", COLOURS[2]),
    "6789": ("use, and beyond", COLOURS[3]),
}


def two_walks(
    titles: Sequence[str], points: Sequence[Tensor], normal: tuple, images: Tensor,
    rows: tuple[str, str] = ("2-D points", "text to image"), points_shown: int = 400,
) -> Figure:  # fmt: skip
    """Above: clouds (n, 2) over the 2-sigma ellipse of ``normal`` = (mean, cov). Below: images.

    One column per title, from noise to data: as many clouds, and images (columns, C, H, W) in
    [-1, 1]. Raises ValueError where the numbers differ.
    """
    n = len(titles)
    if n == 0 or len(points) != n or len(images) != n:
        raise ValueError(f"{n} titles, {len(points)} clouds, {len(images)} images: give as many")
    fig, found = axes(n, 2, 2 * WIDTH / n + 0.3, grid="", squeeze=False)
    curve, middle = ellipse(*normal), torch.as_tensor(normal[0]).double() / 2
    limits = [(float(m) - 5, float(m) + 5) for m in middle]  # from the noise to the data
    for ax, title, z in zip(found[0], titles, points, strict=True):
        ax.plot(*curve.T, color=COLOURS[1], linewidth=1.4)
        z = torch.as_tensor(z)[:points_shown]
        ax.scatter(*z.T.numpy(), s=3, color=COLOURS[0], alpha=0.5, linewidths=0)
        ax.set(xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[], yticks=[], title=title)
    for ax, image in zip(found[1], images, strict=True):
        ax.imshow(in_rgb(image), interpolation="nearest")
        ax.set(xticks=[], yticks=[])
    for ax, label in zip(found[:, 0], rows, strict=True):
        ax.set_ylabel(label)
    return fig


def chart(height: float = 4.9) -> Figure:
    """The chapters in columns by their level; an arrow leads to each from what it builds on
    directly, and colours are the parts of the book.
    """
    places = layout()
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    fig = Figure(figsize=(WIDTH, height))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.05, columns - 0.2), ylim=(rows + 0.4, -0.2))
    ax.axis("off")
    level = levels()
    for stem in CHAPTERS:
        _box(ax, stem, places[stem])
        for need in direct(stem):
            passing = [places[need, c] for c in range(level[need] + 1, level[stem])]
            _arrow(ax, [places[need], *passing, places[stem]])
    for k, (name, colour) in enumerate(PARTS.values()):
        ax.text(k * columns / 5.4, rows + 0.2, f"■ {name}", color=colour, fontsize=9, va="center")
    return fig


def layout() -> Mapping[str | tuple[str, int], tuple[int, float]]:
    """Chapter -> (column, row): the column is its level; in a column, in the order of the book.

    (chapter, column) is the place where its arrows pass that column, among the chapters that are
    nearest in number to where they lead.
    """
    level, order = levels(), list(CHAPTERS)
    ends: dict[tuple[str, int], list[int]] = {}
    for stem in CHAPTERS:
        for need in direct(stem):
            for column in range(level[need] + 1, level[stem]):
                ends.setdefault((need, column), []).append(order.index(stem))
    rank = {stem: float(i) for i, stem in enumerate(order)}
    rank |= {place: sum(found) / len(found) - 0.5 for place, found in ends.items()}
    places: dict = {}
    for column in range(1 + max(level.values())):
        slots = [s for s in order if level[s] == column] + [p for p in ends if p[1] == column]
        places |= {slot: (column, float(i)) for i, slot in enumerate(sorted(slots, key=rank.get))}
    most = max(row for _, row in places.values())
    for column in range(1 + max(level.values())):  # each column in the middle
        last = max(row for c, row in places.values() if c == column)
        places |= {k: (c, r + (most - last) / 2) for k, (c, r) in places.items() if c == column}
    return places


BOX = (0.74, 0.78)  # width and height of a chapter's box, in columns and rows


def _box(ax, stem: str, place: tuple[int, float]) -> None:
    chapter, (x, y) = CHAPTERS[stem], place
    [colour] = [colour for digits, (_, colour) in PARTS.items() if chapter.number[0] in digits]
    outline = {"boxstyle": "round,pad=0,rounding_size=0.06", "linewidth": 1.6, "zorder": 2}
    ax.add_patch(FancyBboxPatch((x, y), *BOX, facecolor="white", edgecolor=colour, **outline))
    middle = {"y": y + BOX[1] / 2, "va": "center", "zorder": 3}
    ax.text(x + 0.05, s=chapter.number, fontsize=11, weight="bold", color=colour, **middle)
    ax.text(x + 0.24, s=textwrap.fill(chapter.name, 13), fontsize=8.5, **middle)


def _arrow(ax, stops: Sequence[tuple[int, float]]) -> None:
    """From the first box to the last one, straight through the places in between."""
    middle = BOX[1] / 2
    track = [(stops[0][0] + BOX[0] + 0.01, stops[0][1] + middle)]
    for x, y in stops[1:-1]:
        track += [(x, y + middle), (x + BOX[0], y + middle)]
    track.append((stops[-1][0] - 0.01, stops[-1][1] + middle))
    ax.plot(*zip(*track[:-1], strict=True), color=GREY, linewidth=0.9, zorder=1)
    style = {"arrowstyle": "-|>", "mutation_scale": 8, "color": GREY, "linewidth": 0.9}
    ax.add_patch(FancyArrowPatch(*track[-2:], shrinkA=0, shrinkB=0, zorder=1, **style))
