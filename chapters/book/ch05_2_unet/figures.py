"""Figures of what flows through a network.

cross      marks a place of a picture or a field
receptive  which places of an input one place of an output depends on, a field per network
listening  which places of a picture one place attends to, a row per place
over_time  fields with time running down
matrix     a table of numbers, coloured on a logarithmic scale
shares     how a network's parameters and operations are spread over its parts
"""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from book.ch05_2_unet.inside import Line
from book.figures import COLOURS, WIDTH, axes, in_rgb


def cross(ax: Axes, row: float, column: float) -> None:
    """Mark a place of a field by a white cross with a black rim: it can be seen on any colour."""
    for colour, wide in (("black", 3.6), ("white", 1.6)):
        ax.plot(column, row, "x", markersize=7, color=colour, markeredgewidth=wide)


def receptive(fields: Mapping[str, Tensor], place: tuple[int, int]) -> Figure:
    """Fields (h, w) of ``influence`` on ``place``, each divided by its largest value; log scale."""
    fig, row = axes(len(fields), height=1.8, grid="", sharey=True)
    for ax, (name, field) in zip(row, fields.items(), strict=True):
        shown = ax.imshow(
            (field / field.max()).numpy(), norm=LogNorm(1e-3, 1), interpolation="nearest"
        )
        cross(ax, *place)
        ax.set(title=name, xticks=[], yticks=[])
    fig.colorbar(shown, ax=row, shrink=0.85)
    return fig


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
    fig, found = axes(columns, rows, rows * side + 0.3, width, grid="", squeeze=False)
    down, right = x.shape[1] / maps.shape[2], x.shape[2] / maps.shape[3]
    for line, place, row in zip(found, places, maps, strict=True):
        line[0].imshow(in_rgb(x))
        cross(line[0], (place[0] + 0.5) * down - 0.5, (place[1] + 0.5) * right - 0.5)
        for ax, values in zip(line[1:], row, strict=True):
            ax.imshow(values.detach().cpu().numpy(), vmin=0, interpolation="nearest")
            cross(ax, *place)
            ax.set_xlabel(f"largest {float(values.max()):.2f}", fontsize=7, labelpad=2)
    for ax, title in zip(found[0], ["listener", *titles], strict=True):
        ax.set_title(title)
    for ax in found.flat:
        ax.set(xticks=[], yticks=[])
    return fig


def over_time(fields: Mapping[str, tuple[Tensor, str, int, float | None]], T: int = 1000) -> Figure:
    """Title -> (field with a row per time 0..T, label and end of x, reach of the colours).

    With a reach, colours run from blue at -reach over white at 0 to red; None: as usual.
    """
    fig, row = axes(len(fields), height=2.3, grid="")
    for ax, (title, (field, label, end, reach)) in zip(row, fields.items(), strict=True):
        colours = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach} if reach else {}
        scale = {"extent": (0, end, T, 0), "aspect": "auto", "interpolation": "nearest"}
        shown = ax.imshow(field.numpy(), **scale, **colours)
        ax.set(title=title, xlabel=label, ylabel="t")
        fig.colorbar(shown, ax=ax, pad=0.03)
    return fig


def matrix(
    values: Tensor, rows: Sequence, columns: Sequence, row_label: str, column_label: str, title: str
) -> Figure:
    """Positive values (rows, columns), written and coloured; from about 1 up, logarithmic."""
    fig, ax = axes(height=3.4, width=5.6, grid="")
    shown = ax.imshow(values.numpy(), norm=LogNorm(0.95, float(values.max())), aspect="auto")
    for i, line in enumerate(values.tolist()):
        for j, value in enumerate(line):
            ink = "black" if shown.norm(value) > 0.6 else "white"
            ax.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=7, color=ink)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel=column_label, ylabel=row_label, title=title)
    fig.colorbar(shown, ax=ax)
    return fig


def shares(lines: Sequence[Line]) -> Figure:
    """Two bars per line of ``shapes_of``: its share of all parameters and of all operations."""
    names = [f"{line.name} ({line.kind})" for line in lines]
    fig, ax = axes(height=0.3 * len(lines) + 0.8, grid="x")
    place = range(len(lines))
    for k, (name, of) in enumerate({"parameters": "parameters", "operations": "flops"}.items()):
        total = sum(getattr(line, of) for line in lines)
        values = [100 * getattr(line, of) / total for line in lines]
        style = {"height": 0.36, "color": COLOURS[k], "hatch": ("", "///")[k], "edgecolor": "white"}
        ax.barh([i + 0.38 * k - 0.19 for i in place], values, label=name, **style)
    ax.set_yticks(place, names)
    ax.set_xlabel("share of the network, in percent")
    ax.invert_yaxis()
    ax.legend(loc="lower right")
    return fig
