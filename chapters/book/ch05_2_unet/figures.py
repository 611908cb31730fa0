"""Figures of what flows through a network.

cross      marks a place of a picture or a field
listening  which places of a picture one place listens to, a row per place
shares     how a network's parameters and operations are spread over its parts
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from book.ch05_2_unet.inside import Line
from book.figures import COLOURS, WIDTH, axes, in_rgb


def cross(ax: Axes, row: float, column: float) -> None:
    """Mark a place of a field by a white cross with a black rim: it can be seen on any colour."""
    for colour, wide in (("black", 3.6), ("white", 1.6)):
        ax.plot(column, row, "x", markersize=7, color=colour, markeredgewidth=wide)


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
