"""What chapter 5.3 draws.

    by_level  the record of a training, one curve for each noise level, named at its end
    by_rate   what seeds reached at each learning rate
    quality_against_minutes  two recipes' race: what each draws right, and when
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from book.figures import COLOURS, DASHES, GREY, axes, look

CLOCKS = {"wall": "minutes of training", "cpu": "minutes of one processor's training"}


def by_level(
    steps: Sequence[int], levels: Mapping[int, Sequence[float]], over: int = 5
) -> Figure:
    """Losses of tenths of the time range, tenth 0, 1, .. -> (n,); each a mean of 2 over + 1."""
    fig, ax = axes(height=3.2)
    for k, (tenth, losses) in enumerate(levels.items()):
        values = np.asarray(losses, dtype=float)
        mean = [values[max(0, i - over) : i + over + 1].mean() for i in range(len(values))]
        ax.plot(steps, mean, color=COLOURS[k % 7], linestyle=DASHES[k % 7])
        ax.annotate(
            f"t in {tenth / 10:g} to {(tenth + 1) / 10:g} T", (steps[-1], mean[-1]), (5, 0),
            textcoords="offset points", va="center", fontsize=8, color=COLOURS[k % 7],
        )  # fmt: skip
    ax.set(xlabel="training step", ylabel="weighted loss", yscale="log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")
    ax.set_xlim(0, steps[-1] * 1.17)
    return fig


def by_rate(runs: Mapping[float, Sequence[float]], y_label: str) -> Figure:
    """A dot for each seed at each learning rate, and a line through the means."""
    fig, ax = axes(height=2.8)
    ax.plot(list(runs), [np.mean(values) for values in runs.values()], color=COLOURS[0])
    for rate, values in runs.items():
        ax.plot([rate] * len(values), values, "o", color=COLOURS[0])
    ax.set(xlabel="learning rate", ylabel=y_label, xscale="log", ylim=(0, 1))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return fig


def quality_against_minutes(result: dict, clock: str = "wall") -> Figure:
    """Joint accuracy on unseen captions against minutes from nothing, a curve for each recipe.

    ``result``: the section "time_to_quality". Each curve begins where the autoencoder is ready, and
    the levels that are asked for are marked.
    """
    fig, ax = axes(height=3.4)
    for k, (name, run) in enumerate(result["runs"].items()):
        ready = run["autoencoder"][clock] / 60
        minutes = [ready, *(point[f"minutes_{clock}"] for point in run["points"])]
        shares = [0.0, *(point["accuracy"] for point in run["points"])]
        ax.plot(minutes, [100 * share for share in shares], label=name, **look(k))
    for level in result["levels"]:
        ax.axhline(100 * level, color=GREY, linewidth=0.8, linestyle=":")
        ax.annotate(f"{level:.0%}", (0, 100 * level), va="bottom", color=GREY)
    ax.set(xlim=(0, None), ylim=(0, 102), xlabel=CLOCKS[clock], ylabel="captions drawn right, %")
    ax.legend(loc="lower right")
    return fig
