"""The house style of the book's figures, and the figures that several chapters draw.

    axes         a figure of the book's width and its axes: draw on them as on any others
    look         colour, dash and marker of the k-th curve
    counts       a logarithmic axis of counts, each written out
    named_rows   an axis with a row for each name

    lines        curves over a common axis, with marked places
    bands        curves over seeds: the mean as a line, smallest to largest as a band
    convergence  error against number of steps, both logarithmic, with reference slopes
    seeds        what each variant of an experiment gave, a dot for each seed
    bars         named shares, with bands over seeds
    clouds       a row of point clouds with the ellipses of their Gaussians
    mosaic       many small images in one block, row by row
    grid         the same in few shades: a quarter of the bytes, and nobody sees it
    captioned    images with their captions below them
    in_words     what the judge sees in pictures of shapes: no figure, for who cannot tell colours

A function takes data and returns a matplotlib ``Figure``, for ``show``; none uses pyplot. Colours
are Okabe and Ito's, which stay apart for colour-blind readers; curves differ in dash and marker.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator
from torch import Tensor

from book.display import tile
from book.language import told

# Okabe & Ito (2008); yellow is left out, it is too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BLUE, RED = COLOURS[:2]
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, PALE = "#6b6b6b", "#e4e4e4"
WIDTH = 7.2  # inches: the text column of JupyterLab at 100 dpi
SHADES = 12.5  # per unit of [-1, 1]: the backgrounds lie in the middle of a shade, and stay calm

matplotlib.rcParams.update({
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False,
    "axes.axisbelow": True,
    "grid.color": PALE, "grid.linewidth": 0.7, "lines.linewidth": 1.6, "lines.markersize": 4,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
})  # fmt: skip


def axes(
    columns: int = 1, rows: int = 1, height: float = 3.0, width: float = WIDTH, grid: str = "both",
    **options,
) -> tuple[Figure, Axes]:  # fmt: skip
    """A figure, ``height`` by ``width`` inches, and its axes: one, a row, or (rows, columns).

    ``grid``: "both", "x" or "y"; "" is for images: no grid, and a whole frame. Other ``options`` go
    to ``Figure.subplots``, such as ``sharey=True``.
    """
    fig = Figure(figsize=(width, height), layout="constrained")
    found = fig.subplots(rows, columns, **options)
    if grid:
        for ax in np.atleast_1d(found).flat:
            ax.grid(axis=grid)
            ax.spines[["top", "right"]].set_visible(False)
    return fig, found


def look(k: int) -> dict:
    """Colour, dash and marker of the k-th curve, for ``plot``; they begin again after seven."""
    return {"color": COLOURS[k % 7], "linestyle": DASHES[k % 7], "marker": MARKERS[k % 7]}


def counts(ax: Axes, values: Sequence[int], base: int = 10) -> None:
    """Make the x axis logarithmic, with these ticks, written out, and no others."""
    ax.set_xscale("log", base=base)
    ax.set_xticks(values, [str(value) for value in values])
    ax.set_xticks([], minor=True)


# --- curves ---------------------------------------------------------------------------------------


def lines(
    x: Sequence, curves: Mapping[str, Sequence], x_label: str, y_label: str,
    marks: Mapping[str, float] | None = None, log: str = "", height: float = 3.0,
) -> Figure:  # fmt: skip
    """Curves (name -> y, as long as x) over one axis; ``marks`` (name -> x) are vertical lines.

    ``log`` names the logarithmic axes: "", "x", "y" or "xy". A curve may also be a pair (x, y).
    """
    fig, ax = axes(height=height)
    for k, (name, y) in enumerate(curves.items()):
        own_x, y = y if isinstance(y, tuple) else (x, y)
        ax.plot(np.asarray(own_x), np.asarray(y), linestyle=DASHES[k % 7], label=name)
    for k, (name, place) in enumerate((marks or {}).items()):
        ax.axvline(place, color=GREY, linewidth=1, linestyle=":")
        ax.annotate(
            name, (place, 0.97 - 0.1 * k), xycoords=("data", "axes fraction"), xytext=(4, 0),
            textcoords="offset points", color="#404040", va="top",
        )  # fmt: skip
    ax.set(xlabel=x_label, ylabel=y_label, **scales(log))
    if curves:
        ax.legend()
    return fig


def bands(
    panels: Mapping[str, Mapping[str, tuple]], x_label: str, log: str = "", height: float = 3.1
) -> Figure:
    """Panels, y label -> {name: (x, values)}, values (seeds, x): their mean, and a band over them.

    ``log``: as in ``lines``; an "x" means counts, and every one is written out. A name looks the
    same in all panels. Raises ValueError for values of another number of places than x has.
    """
    names = _names(panels)
    fig, row = axes(len(panels), height=height)
    for ax, (label, curves) in zip(np.atleast_1d(row), panels.items(), strict=True):
        for name, (x, values) in curves.items():
            values, k = np.asarray(values), names.index(name)
            if values.shape[-1] != len(x):
                raise ValueError(f"{name} has {values.shape[-1]} values for {len(x)} places")
            ax.plot(x, values.mean(0), label=name, **look(k))
            low, high = values.min(0), values.max(0)
            ax.fill_between(x, low, high, color=COLOURS[k % 7], alpha=0.2, linewidth=0)
        if "x" in log:
            counts(ax, sorted({place for x, _ in curves.values() for place in x}), base=2)
        if "y" in log:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("")
        ax.set(xlabel=x_label, ylabel=label)
    fig.legend(*np.atleast_1d(row)[0].get_legend_handles_labels(), ncols=len(names),
               loc="outside upper center")  # fmt: skip
    return fig


def convergence(
    panels: Mapping[str, Mapping[str, tuple]], slopes: Mapping[str, Sequence[tuple]] | None = None,
    y_label: str = "Wasserstein-2 distance to the truth",
) -> Figure:  # fmt: skip
    """One log-log panel per title: error against steps, name -> (steps, errors).

    ``slopes``: title -> (order p, first steps, last steps, error at the first): thin grey lines
    that fall like steps^-p, to compare with. A name looks the same in all panels.
    """
    names = _names(panels)
    fig, row = axes(len(panels), height=3.4, sharey=True)
    for ax, (title, curves) in zip(np.atleast_1d(row), panels.items(), strict=True):
        for name, (steps, errors) in curves.items():
            ax.plot(steps, errors, label=name, **look(names.index(name)))
        for p, first, last, error in (slopes or {}).get(title, ()):
            end = error * (last / first) ** -p
            ax.plot((first, last), (error, end), color=GREY, linewidth=0.9)
            style = {"fontsize": 8, "color": "#404040", "va": "center"}
            ax.annotate(f"order {p}", (last, end), (4, 0), textcoords="offset points", **style)
        ax.set(title=title, xlabel="steps", **scales("xy"))
        low, high = ax.get_xlim()
        nice = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
        counts(ax, [n for n in nice if low <= n <= high])
        ax.legend()
    np.atleast_1d(row)[0].set_ylabel(y_label)
    return fig


# --- rows -----------------------------------------------------------------------------------------


def named_rows(names: Mapping[str, object], height: float) -> tuple[Figure, Axes]:
    """One axis with a row for each name, the first on top."""
    fig, ax = axes(height=height, grid="x")
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    return fig, ax


def seeds(
    runs: Mapping[str, Sequence[float]], x_label: str, form: str = ".0%",
    marks: Mapping[str, float] | None = None, log: bool = False,
) -> Figure:  # fmt: skip
    """One row per variant: a dot for each seed, a line over their range, the mean as a number.

    ``form`` prints the mean; ``marks`` (name -> value) are vertical lines, such as a chance level.
    The first variant is the one that the others are compared with: a thin line shows its mean.
    """
    fig, ax = named_rows(runs, 0.33 * len(runs) + 0.9)
    for i, (name, values) in enumerate(runs.items()):
        colour = GREY if i == 0 else BLUE
        ax.plot([min(values), max(values)], [i, i], color=colour)
        ax.plot(values, [i] * len(values), "o", color=colour, markersize=5, label=name)
        mean = sum(values) / len(values)
        ax.annotate(f"{mean:{form}}", (1.01, i), xycoords=("axes fraction", "data"), va="center")
        if i == 0:
            ax.axvline(mean, color=GREY, linewidth=0.8, zorder=0)
    for k, (name, value) in enumerate((marks or {}).items()):
        ax.axvline(value, color=RED, linewidth=1, linestyle=DASHES[1 + k % 5], zorder=0)
        ax.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), xytext=(3, 2),
            textcoords="offset points", fontsize=8, color=RED,
        )  # fmt: skip
    ax.set(xlabel=x_label, **scales("x" if log else ""))
    return fig


def bars(
    shares: Mapping[str, float], bands: Mapping[str, tuple[float, float]], x_label: str
) -> Figure:
    """Horizontal bars of shares (0 to 1) with their numbers; ``bands`` name -> (low, high)."""
    fig, ax = named_rows(shares, 0.42 * len(shares) + 0.7)
    for i, (name, share) in enumerate(shares.items()):
        ax.barh(i, share, color=COLOURS[i % 7], height=0.6)
        low, high = bands.get(name, (share, share))
        ax.plot([low, high], [i, i], color="black", linewidth=2, marker="|")
        ax.text(max(share, high) + 0.01, i, f"{share:.0%}", va="center")
    ax.set(xlabel=x_label, xlim=(0, 1.12))
    return fig


# --- points ---------------------------------------------------------------------------------------


def clouds(panels: Mapping[str, tuple], truth=None, columns: int = 5, points: int = 600) -> Figure:
    """One panel per title: points (n, 2), the 2-sigma ellipse of its Gaussian, and of ``truth``.

    ``panels``: title -> (points or None, normal or None); it has ``mean`` (2,), ``cov`` (2, 2).
    All panels share one scale, so that sizes can be compared. Raises ValueError without panels.
    """
    if not panels:
        raise ValueError("panels must name at least one panel; got none")
    columns = min(columns, len(panels))
    rows, size = -(-len(panels) // columns), min(WIDTH / columns, 3.2)
    fig, found = axes(columns, rows, (size + 0.15) * rows + 0.25, size * columns, grid="",
                      squeeze=False, sharex=True, sharey=True)  # fmt: skip
    for ax in found.flat[len(panels) :]:
        ax.remove()
    named = {}
    for ax, (title, (z, normal)) in zip(found.flat, panels.items(), strict=False):
        if z is not None:
            z = torch.as_tensor(z)[:points]  # (n, 2)
            ax.scatter(*z.T.numpy(), s=3, color=COLOURS[5], alpha=0.5, linewidths=0)
        if truth is not None:
            ax.plot(*ellipse(*truth).T, color=GREY, linestyle="--", label="data")
        if normal is not None:
            ax.plot(*ellipse(*normal).T, color=RED, label="formula")
        ax.set(title=title, aspect="equal")
        named |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if named:
        fig.legend(named.values(), named.keys(), ncols=len(named), loc="outside lower center")
    return fig


def ellipse(mean, cov, sigmas: float = 2.0, points: int = 121) -> np.ndarray:
    """The curve mean + sigmas cov^(1/2) (cos, sin): (points, 2). Also for singular covariances."""
    variances, directions = np.linalg.eigh(np.asarray(cov, dtype=float))
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, points)
    root = directions * np.sqrt(variances.clip(min=0))
    return np.asarray(mean, dtype=float) + sigmas * circle.T @ root.T


# --- images ---------------------------------------------------------------------------------------


def mosaic(
    x: Tensor, columns: int, rows: Sequence[str] = (), titles: Sequence[str] = (), width=WIDTH,
    zoom: int = 0,
) -> Figure:  # fmt: skip
    """Images x (n, C, H, W) in [-1, 1], row by row; labels for rows and for columns.

    One picture, so that hundreds of images draw at once. ``width``: inches; or ``zoom``, whole dots
    per pixel at 100 dots per inch. Raises ValueError unless x is (n, 1 or 3, H, W).
    """
    if x.dim() != 4 or x.shape[1] not in (1, 3) or len(x) == 0:
        raise ValueError(f"x must be (n, 1 or 3, H, W) with n >= 1; got {tuple(x.shape)}")
    H, W = (size + 2 for size in x.shape[2:])
    block = (tile(x, columns) + 1) / 2
    lines = len(block) // H
    margin = 0.09 * max((len(line) for name in rows for line in name.split("\n")), default=0)
    if zoom:
        fig, ax = _to_the_dot(zoom * block.shape[1], zoom * len(block), margin, bool(titles))
    else:
        height = (width - margin) * lines * H / (columns * W) + (0.25 if titles else 0.05)
        fig, ax = axes(height=height, width=width, grid="")
    ax.imshow(np.broadcast_to(block, (*block.shape[:2], 3)), interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=9)
    ax.set_yticks([(i + 0.5) * H for i in range(len(rows))], rows)
    ax.set_xticks([(i + 0.5) * W for i in range(len(titles))], titles)
    ax.xaxis.tick_top()
    return fig


def _to_the_dot(w: int, h: int, margin: float, titled: bool) -> tuple[Figure, Axes]:
    """Axes of exactly w by h dots at 100 dots per inch, with a margin on the left and on top."""
    left, top = round(100 * margin), 25 if titled else 0
    fig = Figure(figsize=((left + w) / 100, (top + h) / 100))
    fig.add_artist(Rectangle((0, 0), 1, 1, color="white", zorder=-1))  # no tighter than this
    return fig, fig.add_axes((left / (left + w), 0, w / (left + w), h / (top + h)))


def grid(x: Tensor, columns: int, **labels) -> Figure:
    """``mosaic`` of x (n, C, H, W) in [-1, 1], rounded to 1 / SHADES."""
    return mosaic((x * SHADES).round() / SHADES, columns, **labels)


def captioned(x: Tensor, captions: Sequence[str], columns: int, width: float = WIDTH) -> Figure:
    """Images x (n, C, H, W) in [-1, 1], each with its caption, wrapped, below. ``width``: inches.

    Raises ValueError unless there is one caption for each image.
    """
    if len(x) != len(captions) or len(x) == 0:
        raise ValueError(f"give one caption per image; got {len(captions)} for {len(x)} images")
    side, rows = width / columns, -(-len(x) // columns)
    letters = int(side / 0.073)  # of 8 points, that fit under an image
    texts = [textwrap.fill(text, letters) for text in captions]
    below = 0.12 + 0.15 * max(text.count("\n") + 1 for text in texts)
    fig, found = axes(columns, rows, rows * (side + below), width, grid="", squeeze=False)
    for ax in found.flat:
        ax.axis("off")
    for ax, image, text in zip(found.flat, x, texts, strict=False):
        ax.imshow(in_rgb(image), interpolation="nearest")
        ax.set_title(text, fontsize=8, y=-0.05, pad=0, va="top")
    return fig


def in_words(x: Tensor) -> list[str]:
    """What the exact judge sees in pictures of captioned shapes x (n, 3, 64, 64) in [-1, 1].

    Each is a caption, "a large solid yellow star above ..", or says that no picture of two objects
    is there. ``captioned(x, in_words(x), columns=4)`` writes it below the pictures. Raises
    ValueError for other shapes and values.
    """
    from minildm.shapes.captions import captions  # not loaded for a figure
    from minildm.shapes.judge import judge

    verdict = judge(x)
    texts = captions(verdict.rows, torch.zeros(len(verdict.rows), dtype=torch.bool))
    refused = told("no clear picture of two objects")
    return [t if ok else refused for t, ok in zip(texts, verdict.accepted.tolist(), strict=True)]


def in_rgb(x: Tensor) -> np.ndarray:
    """An image (1 or 3, H, W) in [-1, 1] as ``imshow`` takes it: (H, W, 3) in [0, 1]."""
    x = ((x.detach().float().cpu() + 1) / 2).clamp(0, 1)
    return x.expand(3, -1, -1).permute(1, 2, 0).numpy()


# --- parts ----------------------------------------------------------------------------------------


def _names(groups: Mapping[str, Mapping[str, object]]) -> list[str]:
    """All names in all groups, each once, in their order."""
    return list(dict.fromkeys(name for group in groups.values() for name in group))


def scales(log: str) -> dict[str, str]:
    """For ``ax.set``: which axes are logarithmic."""
    return {f"{axis}scale": "log" for axis in log}
