"""Figures of chapter 5.4: pure functions, as in plots.py.

ends                   where points of a line go: one panel per number of evaluations
accuracy_and_distance  section "samplers" of data/results.json
guess_paths            how the guesses of several walks travel in one plane
settled_curves         shares against time, from noise on the left to data on the right
"""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from book.figures import COLOURS, DASHES, GREY, MARKERS, WIDTH

NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "heun": "Heun", "dpmpp_2m": "DPM-Solver++(2M)"}
LOOK = {"ddpm": 1, "ddim": 0, "heun": 2, "dpmpp_2m": 4}  # the same colour and marker everywhere


def style(name: str) -> dict:
    """Colour, dash and marker of a sampler."""
    k = LOOK[name]
    return {"color": COLOURS[k], "linestyle": DASHES[k], "marker": MARKERS[k]}


def ends(z_T: Tensor, panels: Mapping[str, Mapping[str, Tensor]], exact: Tensor) -> Figure:
    """One panel per title: the end (n, 1) of every start z_T (n, 1), sampler by sampler.

    A sampler "ddpm" is drawn as dots, all others as lines; ``exact`` as a broad grey line.
    """
    fig = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = fig.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    start = z_T[:, 0].numpy()
    for ax, (title, found) in zip(axes, panels.items(), strict=True):
        ax.plot(start, exact[:, 0].numpy(), color="#c9c9c9", linewidth=6, label="exact")
        for name, z in found.items():
            k = LOOK[name]
            if name == "ddpm":
                ax.plot(start, z[:, 0].numpy(), ".", color=COLOURS[k], markersize=2, alpha=0.6)
                ax.plot([], [], "o", color=COLOURS[k], markersize=4, label=NAMES[name])
            else:
                look = {"color": COLOURS[k], "linestyle": DASHES[k], "linewidth": 1.5}
                ax.plot(start, z[:, 0].numpy(), label=NAMES[name], **look)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("start $z_T$", fontsize=9)
        _tidy(ax)
    axes[0].set_ylabel("end $z_0$", fontsize=9)
    handles = {}
    for ax in axes:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    fig.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles),
        fontsize=8, frameon=False,
    )  # fmt: skip
    return fig


def errors(panels: Mapping[str, Mapping[str, tuple]], marks: Mapping[str, float]) -> Figure:
    """Error against evaluations, both logarithmic: title -> {sampler: (evaluations, errors)}.

    ``marks`` (title -> error) is a horizontal line in that panel: an error that is not the
    sampler's.
    """
    fig = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    axes = fig.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        for name, (n, error) in curves.items():
            ax.plot(n, error, label=NAMES[name], markersize=4, **style(name))
        if title in marks:
            ax.axhline(marks[title], color=GREY, linewidth=1.2, linestyle=":")
            ax.annotate(
                "the denoiser's own error", (1, marks[title]), va="top", ha="right", fontsize=8,
                xycoords=("axes fraction", "data"), xytext=(0, -3), textcoords="offset points",
                color=GREY,
            )  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="evaluations of the denoiser")
        ax.set_title(title, fontsize=9)
        _tidy(ax)
    axes[0].set_ylabel("distance of an end to the truth")
    axes[0].legend(fontsize=8, frameon=False, loc="lower left")
    return fig


def accuracy_and_distance(section: Mapping) -> Figure:
    """Left: joint accuracy, with the band of the seeds; right: distance to the end of a fine walk.

    ``section``: read_results("samplers").
    """
    fig = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    left, right = fig.subplots(1, 2)
    for name, points in section["samplers"].items():
        n = [point["evaluations"] for point in points]
        joint = [point["joint"] for point in points]
        look = {**style(name), "markersize": 4, "linewidth": 1.5}
        left.plot(n, [j["mean"] for j in joint], label=NAMES[name], **look)
        low, high = [j["min"] for j in joint], [j["max"] for j in joint]
        left.fill_between(n, low, high, color=look["color"], alpha=0.18, linewidth=0)
        right.plot(n, [point["distance"] for point in points], **look)
    right.axhline(section["reference"]["another_noise"], color=GREY, linestyle=":", linewidth=1.2)
    right.annotate(
        "another noise", (0.98, section["reference"]["another_noise"]), va="top", ha="right",
        xycoords=("axes fraction", "data"), xytext=(0, -5), textcoords="offset points",
        fontsize=8, color=GREY,
    )  # fmt: skip
    left.set(ylabel="pictures that are as asked", ylim=(0, 1.02))
    right.set(ylabel="distance of the latents to a fine walk", yscale="log")
    left.legend(fontsize=8, frameon=False, loc="lower right")
    asked = {p["evaluations"] for p in section["samplers"]["ddim"]}
    ticks = sorted(asked | {p["evaluations"] for p in section["samplers"]["heun"][:1]})
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [str(n) for n in ticks], fontsize=8)
        ax.minorticks_off()
        ax.set_xlabel("network evaluations per branch")
        _tidy(ax)
    return fig


def guess_paths(paths: Mapping[str, Tensor], end: Sequence[float]) -> Figure:
    """Guesses (n, 2) of several walks in one plane: sampler -> path; a star at ``end``."""
    fig = Figure(figsize=(4.6, 4.6), layout="constrained")
    ax = fig.subplots()
    for name, path in paths.items():
        look = {**style(name), "markersize": 4, "linewidth": 1.3}
        ax.plot(*path.T.numpy(), label=NAMES[name], alpha=0.9, **look)
    ax.plot(*next(iter(paths.values()))[0], "o", color="black", markersize=9, fillstyle="none")
    ax.plot(*end, "*", color="black", markersize=13, label="end of a fine walk")
    ax.set(xlabel="towards the end of the fine walk", ylabel="towards where DDPM ended")
    ax.set_aspect("equal")
    _tidy(ax)
    ax.legend(fontsize=8, frameon=False, loc="best")
    return fig


def settled_curves(
    panels: Mapping[str, tuple[Sequence[int], Mapping[str, Sequence[float]]]], T: int = 1000
) -> Figure:
    """Shares against time, noise at the left: title -> (times, {kind: shares as long as times})."""
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = fig.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (title, (t, curves)) in zip(axes, panels.items(), strict=True):
        for k, (kind, shares) in enumerate(curves.items()):
            ax.plot(
                t, torch.as_tensor(shares).numpy(), label=kind, color=COLOURS[k % 7],
                linestyle=DASHES[k % 7], marker=MARKERS[k % 7], markersize=4, linewidth=1.5,
            )  # fmt: skip
        ax.set(xlim=(1.02 * T, -0.02 * T), ylim=(0, 1.03))
        ax.set_xlabel("time $t$: noise 1000, data 0", fontsize=9)
        ax.set_title(title, fontsize=9)
        _tidy(ax)
    axes[0].set_ylabel("share that is as at the end")
    axes[-1].legend(fontsize=8, frameon=False, loc="lower right")
    return fig


def _tidy(ax: Axes) -> None:
    ax.grid(color="#e4e4e4", linewidth=0.7)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
