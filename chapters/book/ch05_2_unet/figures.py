"""Figures of what flows through a network: pure functions, as in plots.py.

heatmaps   a row of matrices as coloured fields
listening  which places of a picture one place listens to, a row per place
shares     how a network's parameters and operations are spread over its parts
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from book.ch05_2_unet.inside import Line
from book.figures import COLOURS, GREY, WIDTH

CROSS = {"marker": "x", "markersize": 7}


@dataclass(frozen=True)
class Heat:
    """A matrix (rows, columns) and how to draw it; row 0 is on top.

    x, y     what columns and rows are; ``x_ticks``, ``y_ticks``: place -> its name
    low, high  ends of the colours; None: the smallest and largest value
    log      colours by ratio; zeros stay white
    signed   blue below zero, red above, white between
    form     prints each value, such as ".1f"; "" prints none
    cross    (row, column) of a place to mark
    """

    values: Tensor
    x: str = ""
    y: str = ""
    x_ticks: Mapping[int, str] | None = None
    y_ticks: Mapping[int, str] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    signed: bool = False
    form: str = ""
    cross: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.values.dim() != 2:
            raise ValueError(f"values must be (rows, columns); got {tuple(self.values.shape)}")


def heatmaps(panels: Mapping[str, Heat], height: float = 2.3, width: float = WIDTH) -> Figure:
    """One panel per title, side by side, each with its scale of colours."""
    fig = Figure(figsize=(width, height), layout="constrained")
    axes = fig.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, heat) in zip(axes, panels.items(), strict=True):
        image = _field(ax, heat)
        bar = fig.colorbar(image, ax=ax, shrink=0.85, pad=0.03)
        bar.ax.tick_params(labelsize=7)
        ax.set_title(title, fontsize=9)
    return fig


def _field(ax: Axes, heat: Heat):
    values = heat.values.detach().double().cpu().numpy()
    shown = values[values > 0] if heat.log else values
    low = shown.min() if heat.low is None else heat.low
    high = shown.max() if heat.high is None else heat.high
    if heat.signed:
        low, high = -max(-low, high), max(-low, high)
    norm = (LogNorm if heat.log else Normalize)(low, high)
    style = {"norm": norm, "aspect": "auto", "interpolation": "nearest"}
    image = ax.imshow(values, cmap="RdBu_r" if heat.signed else "viridis", **style)
    for which, names in ((ax.xaxis, heat.x_ticks), (ax.yaxis, heat.y_ticks)):
        which.set_ticks(list(names or ()), list((names or {}).values()))
    ax.tick_params(labelsize=7, length=2)
    ax.set_xlabel(heat.x, fontsize=8)
    ax.set_ylabel(heat.y, fontsize=8)
    if heat.form:
        for (i, j), value in zip(_cells(values.shape), values.flatten(), strict=True):
            ink = "black" if norm(value) > 0.6 else "white"
            ax.text(j, i, f"{value:{heat.form}}", ha="center", va="center", fontsize=7, color=ink)
    if heat.cross is not None:
        _mark(ax, *heat.cross)
    return image


def _cells(shape: tuple[int, int]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]


def _mark(ax: Axes, row: float, column: float) -> None:
    """A white cross with a black rim: it can be seen on any colour."""
    for colour, wide in (("black", 3.6), ("white", 1.6)):
        ax.plot(column, row, color=colour, markeredgewidth=wide, **CROSS)


def listening(
    x: Tensor,
    maps: Tensor,
    places: Sequence[tuple[int, int]],
    titles: Sequence[str],
    width: float = WIDTH,
) -> Figure:
    """Row r: the picture x (C, H, W) with a cross at places[r], then maps[r] (n, h, w).

    ``places``: (row, column) in the h x w grid of the maps; each map has its own colours, from 0.
    Raises ValueError unless ``maps`` is (places, titles, h, w).
    """
    if maps.dim() != 4 or maps.shape[:2] != (len(places), len(titles)):
        raise ValueError(
            f"maps must be ({len(places)}, {len(titles)}, h, w), one row per place and one column "
            f"per title; got {tuple(maps.shape)}"
        )
    rows, columns = len(places), len(titles) + 1
    side = width / columns
    fig = Figure(figsize=(width, rows * side + 0.3), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False)
    picture = ((x.detach().cpu() + 1) / 2).clamp(0, 1).permute(1, 2, 0)  # (H, W, C)
    down, right = x.shape[1] / maps.shape[2], x.shape[2] / maps.shape[3]
    for line, place, row in zip(axes, places, maps, strict=True):
        line[0].imshow(picture.expand(-1, -1, 3).numpy())
        _mark(line[0], (place[0] + 0.5) * down - 0.5, (place[1] + 0.5) * right - 0.5)
        for ax, values in zip(line[1:], row, strict=True):
            ax.imshow(values.detach().cpu().numpy(), vmin=0, interpolation="nearest")
            _mark(ax, *place)
            ax.set_xlabel(f"largest {float(values.max()):.2f}", fontsize=7, labelpad=2)
    for ax, title in zip(axes[0], ["listener", *titles], strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    return fig


def shares(lines: Sequence[Line]) -> Figure:
    """Two bars per line of ``shapes_of``: its share of all parameters and of all operations."""
    fig = Figure(figsize=(WIDTH, 0.3 * len(lines) + 0.8), layout="constrained")
    ax = fig.subplots()
    place = range(len(lines))
    for k, (name, of) in enumerate({"parameters": "parameters", "operations": "flops"}.items()):
        total = sum(getattr(line, of) for line in lines)
        values = [100 * getattr(line, of) / total for line in lines]
        style = {"height": 0.36, "color": COLOURS[k], "hatch": ("", "///")[k], "edgecolor": "white"}
        ax.barh([i + 0.38 * k - 0.19 for i in place], values, label=name, **style)
    ax.set_yticks(place, [f"{line.name} ({line.kind})" for line in lines], fontsize=8)
    ax.set_xlabel("share of the network, in percent", fontsize=9)
    ax.invert_yaxis()
    ax.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(colors="#404040")
    ax.legend(fontsize=8, frameon=False, loc="lower right", labelcolor=GREY)
    return fig
