"""Figures of chapter 7: where time grids stand, and what a habit costs at each number of steps."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from book.figures import COLOURS, MARKERS, axes, counts


def grids(rows: Mapping[str, Tensor], T: int) -> Figure:
    """One line per grid: its times as dots between T (noise, left) and 0 (data, right).

    The first and the last stop before 0 are written beside their dots; clean data is not a stop.
    """
    fig, ax = axes(height=0.62 * len(rows) + 0.7, grid="y")
    for k, times in enumerate(rows.values()):
        stops = [int(t) for t in times if t > 0]
        ax.plot(stops, [-k] * len(stops), MARKERS[k % 7], color=COLOURS[k % 7], markersize=5)
        for stop in {stops[0], stops[-1]}:
            style = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
            ax.annotate(str(stop), (stop, -k), (0, 7), **style)
    ax.set_yticks([-k for k in range(len(rows))], list(rows))
    ax.set_ylim(-len(rows) + 0.4, 0.7)
    ax.set_xlim(T * 1.03, -T * 0.03)  # time runs to the right: from noise to data
    ax.set_xlabel("t: from noise (left) to data (right)")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return fig


def rule_and_habit(
    steps: Sequence[int], right: Sequence[float], wrong: Sequence[float], names: tuple[str, str],
    y_label: str,
) -> Figure:  # fmt: skip
    """Errors at each number of steps, of a rule and of a habit; both axes logarithmic.

    Where both agree to 1 % a ring is drawn: these are the steps at which nobody notices.
    """
    fig, ax = axes(height=3.2)
    right, wrong = np.asarray(right), np.asarray(wrong)
    ax.plot(steps, wrong, color=COLOURS[1], marker=".", label=names[1])
    ax.plot(steps, right, color=COLOURS[0], linestyle="--", label=names[0])
    same = np.abs(wrong / right - 1) < 0.01
    rings = {"markersize": 8, "markerfacecolor": "none", "markeredgecolor": "black"}
    ax.plot(np.asarray(steps)[same], right[same], "o", label="both the same", **rings)
    counts(ax, [n for n in (5, 10, 20, 50, 100, 200) if steps[0] <= n <= steps[-1]])
    ax.set(xlabel="steps", ylabel=y_label, yscale="log")
    ticks = [e for e in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if wrong.min() <= e <= wrong.max()]
    ax.set_yticks(ticks, [f"{e:g}" for e in ticks])
    ax.set_yticks([], minor=True)
    ax.legend()
    return fig
