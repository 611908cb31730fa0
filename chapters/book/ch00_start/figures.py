"""Figures of chapter 0.

    two_walks   one sampler, two denoisers: a cloud of points above, a picture below
    chart       the chapters, and what each builds on

The map is book_map.py; chart places it by itself, so that a new chapter needs no drawing.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor

from book.ch00_start.book_map import CHAPTERS, direct, levels
from book.figures import COLOURS, WIDTH, ellipse, in_rgb

LEGEND = {  # first digits of chapters' numbers: their part of the book, and its colour
    "0": ("■ start", COLOURS[6]),
    "123": ("■ ideas", COLOURS[0]),
    "4": ("■ mathematics", COLOURS[1]),
    "5": ("■ code", COLOURS[2]),
    "6789": ("■ use, and beyond", COLOURS[3]),
}


def two_walks(
    titles: Sequence[str], points: Sequence[Tensor], normal: tuple, images: Tensor,
    rows: tuple[str, str] = ("2-D points", "text to image"), points_shown: int = 400,
) -> Figure:  # fmt: skip
    """Above: clouds (n, 2) over the mean and 2-sigma ellipse of ``normal`` = (mean, cov).
    Below: images, two dots a pixel at 100 dots per inch.

    One column per title, from noise to data: as many clouds, and images (columns, C, H, W) in
    [-1, 1]. Raises ValueError where the numbers differ.
    """
    n = len(titles)
    if n == 0 or len(points) != n or len(images) != n:
        raise ValueError(f"{n} titles, {len(points)} clouds, {len(images)} images: give as many")
    fig, found = _squares(n, images.shape[-1] * 2)
    curve, middle = ellipse(*normal), torch.as_tensor(normal[0]).double() / 2
    limits = [(float(m) - 5, float(m) + 5) for m in middle]  # from the noise to the data
    for ax, title, z in zip(found[0], titles, points, strict=True):
        ax.plot(*curve.T, color=COLOURS[1], linewidth=1.4)
        ax.plot(*normal[0], "+", color=COLOURS[1], markersize=9, markeredgewidth=1.6, zorder=3)
        z = torch.as_tensor(z)[:points_shown]
        ax.scatter(*z.T.numpy(), s=3, color=COLOURS[0], alpha=0.5, linewidths=0)
        ax.set(xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[], yticks=[], title=title)
    for ax, image in zip(found[1], images, strict=True):
        ax.imshow(in_rgb(image), interpolation="nearest")
        ax.set(xticks=[], yticks=[])
    for ax, label in zip(found[:, 0], rows, strict=True):
        ax.set_ylabel(label)
    return fig


def _squares(columns: int, side: int, gap: int = 8) -> tuple[Figure, np.ndarray]:
    """Two rows of axes of exactly ``side`` by ``side`` dots at 100 dots per inch: (2, columns)."""
    width, height = 22 + columns * (side + gap), 24 + 2 * (side + gap)
    fig = Figure(figsize=(width / 100, height / 100))
    fig.add_artist(Rectangle((0, 0), 1, 1, color="white", zorder=-1))  # no tighter than this
    found = np.empty((2, columns), dtype=object)
    for (row, column), _ in np.ndenumerate(found):
        left, bottom = 22 + column * (side + gap), (1 - row) * (side + gap) + gap // 2
        place = (left / width, bottom / height, side / width, side / height)
        found[row, column] = fig.add_axes(place)
    return fig, found


def chart(height: float = 4.9) -> Figure:
    """The chapters in columns by their level; an arrow leads to each from what it builds on
    directly, and colours are the parts of the book. A branch leads from the start to those that
    need nothing else.
    """
    places = layout()
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    fig = Figure(figsize=(WIDTH, height))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.14, columns - 0.2), ylim=(rows + 0.4, -0.2))
    ax.axis("off")
    level = levels()
    _branch(ax, sorted(row for column, row in places.values() if column == 0))
    for stem in CHAPTERS:
        _box(ax, stem, places[stem])
        for need in direct(stem):
            passing = [places[need, c] for c in range(level[need] + 1, level[stem])]
            _arrow(ax, [places[need], *passing, places[stem]], _colour(need))
    for k, (name, colour) in enumerate(LEGEND.values()):
        ax.text(k * columns / 5.4, rows + 0.2, name, color=colour, fontsize=9, va="center")
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
    colour, start = _colour(stem), chapter.number == "0"
    outline = {"boxstyle": "round,pad=0,rounding_size=0.06", "linewidth": 1.6, "zorder": 2}
    filling, ink = (colour, "white") if start else ("white", colour)
    ax.add_patch(FancyBboxPatch((x, y), *BOX, facecolor=filling, edgecolor=colour, **outline))
    middle = {"y": y + BOX[1] / 2, "va": "center", "zorder": 3}
    ax.text(x + 0.05, s=chapter.number, fontsize=11, weight="bold", color=ink, **middle)
    name = textwrap.fill(chapter.name, 13)
    ax.text(x + 0.24, s=name, fontsize=8.5, color="white" if start else "black", **middle)


def _colour(stem: str) -> str:
    """The colour of the part of the book that a chapter belongs to."""
    digit = CHAPTERS[stem].number[0]
    [colour] = [colour for digits, (_, colour) in LEGEND.items() if digit in digits]
    return colour


def _branch(ax, rows: Sequence[float]) -> None:
    """From the first box of the first column, along its left side, to each of the others."""
    middle = [row + BOX[1] / 2 for row in rows]
    style = {"color": COLOURS[6], "linewidth": 1.2, "zorder": 1}
    ax.plot([-0.08, -0.08], [middle[0], middle[-1]], **style)
    for y in middle:
        ax.plot([-0.08, 0], [y, y], **style)


def _arrow(ax, stops: Sequence[tuple[int, float]], colour: str) -> None:
    """From the first box to the last one, straight through the places in between."""
    middle = BOX[1] / 2
    track = [(stops[0][0] + BOX[0] + 0.01, stops[0][1] + middle)]
    for x, y in stops[1:-1]:
        track += [(x, y + middle), (x + BOX[0], y + middle)]
    track.append((stops[-1][0] - 0.01, stops[-1][1] + middle))
    ax.plot(*zip(*track[:-1], strict=True), color=colour, linewidth=0.9, zorder=1)
    style = {"arrowstyle": "-|>", "mutation_scale": 8, "color": colour, "linewidth": 0.9}
    ax.add_patch(FancyArrowPatch(*track[-2:], shrinkA=0, shrinkB=0, zorder=1, **style))
