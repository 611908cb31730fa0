"""Figures of chapter 6: pure functions, as in plots.py.

grid   pictures.mosaic in few shades: a quarter of the bytes, and nobody sees it
bands  curves over seeds: the mean as a line, smallest to largest as a band
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from book.figures import COLOURS, DASHES, MARKERS, WIDTH
from book.pictures import mosaic

SHADES = 12.5  # per unit of [-1, 1]: the backgrounds lie in the middle of a shade, and stay calm


def grid(x: Tensor, columns: int, **labels) -> Figure:
    """``pictures.mosaic`` of x (n, C, H, W) in [-1, 1], rounded to 1 / SHADES."""
    return mosaic((x * SHADES).round() / SHADES, columns, **labels)


def bands(
    x: Sequence[float], curves: Mapping[str, Sequence[Sequence[float]]], x_label: str, y_label: str
) -> Figure:
    """Curves name -> for each x the values of all seeds: their mean, and a band over them.

    Raises ValueError unless each curve has one list of values for each x.
    """
    fig = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    ax = fig.subplots()
    for k, (name, values) in enumerate(curves.items()):
        if len(values) != len(x):
            raise ValueError(f"{name} has {len(values)} lists of values for {len(x)} places")
        mean = [sum(some) / len(some) for some in values]
        style = {"color": COLOURS[k % 7], "linestyle": DASHES[k % 7], "marker": MARKERS[k % 7]}
        ax.plot(x, mean, label=name, linewidth=1.8, markersize=4, **style)
        low, high = [min(some) for some in values], [max(some) for some in values]
        ax.fill_between(x, low, high, color=COLOURS[k % 7], alpha=0.2, linewidth=0)
    ax.set(xlabel=x_label, ylabel=y_label, ylim=(-0.03, 1.05))
    ax.grid(color="#e4e4e4", linewidth=0.7)
    fig.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=len(curves))
    ax.spines[["top", "right"]].set_visible(False)
    return fig
