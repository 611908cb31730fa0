"""Figures of chapter 1: the comparison, from samples to what quality costs; and the timeline."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from book.ch01_background.comparison import DATA, MODES, STD
from book.ch01_background.timeline import STRANDS, TIMELINE, Work
from book.figures import COLOURS, GREY, MARKERS, WIDTH, axes, counts


def sample_panels(panels: Mapping[str, Tensor], points: int = 1500, reach: float = 2.1) -> Figure:
    """Three panels a row of samples (n, 2): blue near a mode, orange between; circles: the modes.

    Its number is the share of samples near a mode, as ``mode_coverage`` counts it.
    """
    lines = -(-len(panels) // 3)
    fig, found = axes(3, lines, lines * (WIDTH / 3 + 0.45), grid="", squeeze=False)
    fig.get_layout_engine().set(h_pad=0.1)
    for ax in found.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, z) in zip(found.flat, panels.items(), strict=False):
        near = torch.cdist(z.double(), DATA[1]).amin(1) <= 3 * STD  # (n,)
        for inside, colour in ((True, COLOURS[0]), (False, COLOURS[1])):
            some = z[:points][near[:points] == inside]
            ax.scatter(*some.T.numpy(), s=2.5, color=colour, linewidths=0)
        angle = torch.linspace(0, 2 * torch.pi, 60)
        for mode in DATA[1]:
            ax.plot(mode[0] + 3 * STD * angle.cos(), mode[1] + 3 * STD * angle.sin(), lw=0.6,
                    color=GREY)  # fmt: skip
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
        ax.set(title=title, xlabel=f"{float(near.double().mean()):.0%} near a mode")
    return fig


def tuning_plane(table: Mapping[str, Mapping[str, Sequence[dict]]]) -> Figure:
    """Every training of a search: effective modes to the right, share near a mode upwards.

    ``table``: model -> setting -> runs with "effective modes" and "near a mode". The best corner is
    at the top right, where the data are; the axis is stretched there.
    """
    fig, ax = axes(height=3.8)
    ax.set_xscale("function", functions=(lambda x: x**3, lambda x: abs(x) ** (1 / 3)))
    for k, (name, options) in enumerate(table.items()):
        runs = [run for some in options.values() for run in some]
        x, y = ([run[key] for run in runs] for key in ("effective modes", "near a mode"))
        ax.plot(x, y, MARKERS[k], color=COLOURS[k], markersize=6, alpha=0.75, label=name,
                markeredgewidth=0)  # fmt: skip
    ax.plot(MODES, 0.989, "*", color="black", markersize=12, label="the data")
    ax.set(xlim=(0.8, MODES + 0.1), ylim=(-0.03, 1.04), xticks=(1, 3, 4, 5, 6, 7, 7.5, 8))
    ax.set(xlabel="effective modes (evenness)", ylabel="share near a mode (quality)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 0.12))
    return fig


def quality_by_evaluations(
    walk: Mapping[int, Sequence[float]], single: Mapping[str, Sequence[float]], y_label: str
) -> Figure:
    """A model that takes steps (evaluations -> a value per seed) beside those that take one.

    Colours and marks as in ``tuning_plane``, where it is the last of four.
    """
    fig, ax = axes()
    calls, own = list(walk), COLOURS[len(single)]
    middle = [sum(v) / len(v) for v in walk.values()]
    ax.fill_between(calls, [min(v) for v in walk.values()], [max(v) for v in walk.values()],
                    color=own, alpha=0.25, linewidth=0)  # fmt: skip
    ax.plot(calls, middle, MARKERS[len(single)] + "-", color=own, label="diffusion")
    for k, (name, values) in enumerate(single.items()):
        colour = COLOURS[k]
        mean = sum(values) / len(values)
        ax.plot([1, 1], [min(values), max(values)], color=colour, linewidth=1.5)
        ax.plot(1, mean, MARKERS[k], color=colour, markersize=7, label=name)
        ax.axhline(mean, color=colour, linestyle=":", linewidth=1)
    counts(ax, calls)
    ax.set(xlabel="network evaluations per sample", ylabel=y_label, ylim=(0, 1.03))
    ax.legend(loc="lower right")
    return fig


def draw_timeline(works: Sequence[Work] = TIMELINE) -> Figure:
    """One line per work, oldest on top: a dot at its date, coloured and shaped by its strand."""
    fig, ax = axes(height=0.27 * len(works) + 0.9, width=WIDTH * 1.15, grid="x")
    for row, work in enumerate(works):
        when, k = work.year + (work.month - 0.5) / 12, STRANDS.index(work.kind)
        ax.plot(when, row, MARKERS[k], color=COLOURS[k], markersize=7)
        side, place = ("left", 9) if when < 2019 else ("right", -9)
        ax.annotate(f"{work.name}: {work.idea}", (when, row), (place, 0), va="center", ha=side,
                    textcoords="offset points", fontsize=8.5)  # fmt: skip
    for k, kind in enumerate(STRANDS):
        ax.plot([], [], MARKERS[k], color=COLOURS[k], markersize=6, label=kind)
    ax.set(ylim=(len(works) - 0.4, -0.6), yticks=[], xlim=(2013.2, 2024.9))
    ax.set_xticks(range(2014, 2025))
    ax.spines["left"].set_visible(False)
    ax.legend(loc="lower left")
    return fig
