"""Figures of chapter 8: pure functions, as in plots.py."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from book.figures import COLOURS, GREY, WIDTH


def brightness_rows(rows: Mapping[str, Sequence[Sequence[float]]], data: Sequence[float]) -> Figure:
    """Quantiles of brightness (1, 5, 25, 50, 75, 95, 99 %), one bar per run; ``data``: the truth.

    ``rows``: name -> runs, one per seed. Thin line 1 to 99 %, thick line 25 to 75 %, dot 50 %.
    """
    fig = Figure(figsize=(WIDTH, 0.62 * (len(rows) + 1) + 0.8), layout="constrained")
    ax = fig.subplots()
    for i, runs in enumerate([[data], *rows.values()]):
        colour = GREY if i == 0 else COLOURS[(i - 1) % 7]
        for k, quantiles in enumerate(runs):
            y = i + 0.22 * (k - (len(runs) - 1) / 2)
            low, _, left, middle, right, _, high = quantiles
            ax.plot([low, high], [y, y], color=colour, linewidth=1.2)
            ax.plot([left, right], [y, y], color=colour, linewidth=5, solid_capstyle="butt")
            ax.plot(middle, y, "o", color="white", markeredgecolor=colour, markersize=4.5)
    for edge in (data[0], data[-1]):
        ax.axvline(edge, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    ax.set_yticks(range(len(rows) + 1), ["the data", *rows])
    ax.set(xlabel="mean brightness of a page (-1 black, 1 white)", ylim=(len(rows) + 0.6, -0.6))
    ax.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def walks(panels: Mapping[str, tuple[Tensor, Tensor]], y_label: str = "z") -> Figure:
    """One panel per title: walks z (n+1, B) over flow time (n+1,), noise left, data right."""
    fig = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, (times, z)) in zip(axes, panels.items(), strict=True):
        for k in range(z.shape[1]):
            ax.plot(times.numpy(), z[:, k].numpy(), color=COLOURS[k % 3], linewidth=1.1)
        ax.invert_xaxis()
        ax.set_title(title, fontsize=9)
        ax.set(xlabel="flow time t (noise at 1, data at 0)")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(y_label)
    return fig
