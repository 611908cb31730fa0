"""Pictures of the comparison: samples, training curves over seeds, quality against cost."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from book.ch01_background.comparison import DATA, MODES, STD
from book.figures import COLOURS, GREY, MARKERS, WIDTH


def sample_panels(panels: Mapping[str, Tensor], points: int = 1500, reach: float = 2.1) -> Figure:
    """Three panels a row of samples (n, 2): blue near a mode, orange between; circles: the modes.

    Its number is the share of samples near a mode, as ``mode_coverage`` counts it.
    """
    lines = -(-len(panels) // 3)
    fig = Figure(figsize=(WIDTH, lines * (WIDTH / 3 + 0.45)), layout="constrained")
    fig.get_layout_engine().set(h_pad=0.1)
    axes = fig.subplots(lines, 3, squeeze=False).flatten()
    for ax in axes[len(panels) :]:
        ax.axis("off")
    for ax, (title, z) in zip(axes, panels.items(), strict=False):
        near = torch.cdist(z.double(), DATA[1]).amin(1) <= 3 * STD  # (n,)
        for inside, colour in ((True, COLOURS[0]), (False, COLOURS[1])):
            some = z[:points][near[:points] == inside]
            ax.scatter(*some.T.numpy(), s=2.5, color=colour, linewidths=0)
        angle = torch.linspace(0, 2 * torch.pi, 60)
        for mode in DATA[1]:
            ax.plot(mode[0] + 3 * STD * angle.cos(), mode[1] + 3 * STD * angle.sin(), lw=0.6,
                    color=GREY)  # fmt: skip
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
        ax.set_title(title, fontsize=10)
        ax.set_xlabel(f"{float(near.double().mean()):.0%} in a cluster", fontsize=9)
    return fig


def coverage_curves(
    curves: Mapping[str, Sequence[Sequence[float]]], steps: Sequence[int]
) -> Figure:
    """One panel per model: the effective number of modes while it trains, a line per seed."""
    fig = Figure(figsize=(WIDTH * 1.1, 2.5), layout="constrained")
    axes = fig.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for k, (ax, (name, runs)) in enumerate(zip(axes, curves.items(), strict=True)):
        for values in runs:
            ax.plot(steps, values, color=COLOURS[k], linewidth=1, alpha=0.75)
        ax.axhline(MODES, color=GREY, linestyle=":", linewidth=1)
        ax.set_title(name, fontsize=10)
        ax.set(ylim=(0.7, MODES + 0.4), xlim=(0, steps[-1]), xlabel="training step")
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("effective clusters", fontsize=9)
    return fig


def tuning_plane(table: Mapping[str, Mapping[str, Sequence[dict]]]) -> Figure:
    """Every training of a search: effective modes to the right, share in a cluster upwards.

    ``table``: model -> setting -> runs with "effective modes" and "near a mode". The best corner is
    at the top right, where the data are.
    """
    fig = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    ax = fig.subplots()
    for k, (name, options) in enumerate(table.items()):
        runs = [run for some in options.values() for run in some]
        x, y = ([run[key] for run in runs] for key in ("effective modes", "near a mode"))
        ax.plot(x, y, MARKERS[k], color=COLOURS[k], markersize=6, alpha=0.75, label=name,
                markeredgewidth=0)  # fmt: skip
    ax.plot(MODES, 0.989, "*", color="black", markersize=12, label="the data")
    ax.set(xlim=(0.8, MODES + 0.2), ylim=(0, 1.04))
    ax.set(xlabel="effective clusters (evenness)", ylabel="share in a cluster (quality)")
    ax.grid(color="#e4e4e4", linewidth=0.7)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=9, frameon=False, loc="lower left")
    return fig


def quality_by_evaluations(
    walk: Mapping[int, Sequence[float]], single: Mapping[str, Sequence[float]], y_label: str
) -> Figure:
    """A model that takes steps (evaluations -> a value per seed) beside those that take one.

    Colours and marks as in ``tuning_plane``, where it is the last of four.
    """
    fig = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    ax = fig.subplots()
    counts, own = list(walk), COLOURS[len(single)]
    middle = [sum(v) / len(v) for v in walk.values()]
    ax.fill_between(counts, [min(v) for v in walk.values()], [max(v) for v in walk.values()],
                    color=own, alpha=0.25, linewidth=0)  # fmt: skip
    ax.plot(counts, middle, MARKERS[len(single)] + "-", color=own, label="diffusion")
    for k, (name, values) in enumerate(single.items()):
        colour = COLOURS[k]
        mean = sum(values) / len(values)
        ax.plot([1, 1], [min(values), max(values)], color=colour, linewidth=1.5)
        ax.plot(1, mean, MARKERS[k], color=colour, markersize=7, label=name)
        ax.axhline(mean, color=colour, linestyle=":", linewidth=1)
    ax.set(xscale="log", xlabel="network evaluations per sample", ylabel=y_label, ylim=(0, 1.03))
    ax.set_xticks(counts, [str(n) for n in counts])
    ax.set_xticks([], minor=True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=9, frameon=False, loc="lower right")
    return fig
