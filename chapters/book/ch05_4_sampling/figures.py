"""Figures of chapter 5.4.

style                  how a sampler is drawn, everywhere the same
end_map                where points of a line go: one panel per number of evaluations
errors_by_evaluations  how far from the truth they end
accuracy_and_distance  section "samplers" of data/results.json
settled_curves         shares against time, from noise on the left to data on the right
"""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from book.figures import COLOURS, GREY, axes, counts, look

NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "heun": "Heun", "dpmpp_2m": "DPM-Solver++(2M)"}
LOOK = {"ddpm": 1, "ddim": 0, "heun": 2, "dpmpp_2m": 4}  # the same colour and marker everywhere


def style(name: str) -> dict:
    """Colour, dash and marker of a sampler."""
    return look(LOOK[name])


def end_map(z_T: Tensor, panels: Mapping[str, Mapping[str, Tensor]], exact: Tensor) -> Figure:
    """One panel per title: the end (n, 1) of every start z_T (n, 1), sampler by sampler.

    A sampler "ddpm" is drawn as dots, all others as lines; ``exact`` as a broad grey line.
    """
    fig, [row] = axes(len(panels), height=2.9, sharex=True, sharey=True, squeeze=False)
    start = z_T[:, 0].numpy()
    for ax, (title, found) in zip(row, panels.items(), strict=True):
        ax.plot(start, exact[:, 0].numpy(), color="#c9c9c9", linewidth=6, label="exact")
        for name, z in found.items():
            k = LOOK[name]
            if name == "ddpm":
                ax.plot(start, z[:, 0].numpy(), ".", color=COLOURS[k], markersize=2, alpha=0.6)
                ax.plot([], [], "o", color=COLOURS[k], markersize=4, label=NAMES[name])
            else:
                own = {**style(name), "marker": ""}
                own |= {"linewidth": 3.5} if name == "ddim" else {}  # seen below the others
                ax.plot(start, z[:, 0].numpy(), label=NAMES[name], **own)
        ax.set(title=title, xlabel="start $z_T$")
    row[0].set_ylabel("end $z_0$")
    handles = {}
    for ax in row:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    where = {"loc": "outside lower center", "ncols": len(handles)}
    fig.legend(handles.values(), handles.keys(), **where)
    return fig


def errors_by_evaluations(
    panels: Mapping[str, Mapping[str, tuple]], marks: Mapping[str, float]
) -> Figure:
    """Error against evaluations, both logarithmic: title -> {sampler: (evaluations, errors)}.

    ``marks`` (title -> error) is a horizontal line in that panel: an error that is not the
    sampler's.
    """
    fig, [row] = axes(len(panels), height=3.1, sharex=True, sharey=True, squeeze=False)
    for ax, (title, curves) in zip(row, panels.items(), strict=True):
        for name, (n, error) in curves.items():
            ax.plot(n, error, label=NAMES[name], **style(name))
        if title in marks:
            ax.axhline(marks[title], color=GREY, linewidth=1.2, linestyle=":")
            ax.annotate(
                "the denoiser's own error", (1, marks[title]), va="top", ha="right", fontsize=8,
                xycoords=("axes fraction", "data"), xytext=(0, -3), textcoords="offset points",
                color=GREY,
            )  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="evaluations of the denoiser", title=title)
    row[0].set_ylabel("distance of an end to the truth")
    row[0].legend(loc="lower left")
    return fig


def accuracy_and_distance(section: Mapping) -> Figure:
    """Left: share of wrong pictures, with the band of the seeds; right: distance to a fine walk.

    On a logarithmic axis: what matters lies between 1 % and 10 %.
    ``section``: read_results("samplers").
    """
    fig, (left, right) = axes(2, height=3.4)
    for name, points in section["samplers"].items():
        n, own = [point["evaluations"] for point in points], style(name)
        wrong = {k: [1 - point["joint"][k] for point in points] for k in ("mean", "min", "max")}
        left.plot(n, wrong["mean"], label=NAMES[name], **own)
        left.fill_between(n, wrong["max"], wrong["min"], color=own["color"], alpha=0.18, lw=0)
        right.plot(n, [point["distance"] for point in points], **own)
    right.axhline(section["reference"]["another_noise"], color=GREY, linestyle=":", linewidth=1.2)
    right.annotate(
        "another noise", (0.98, section["reference"]["another_noise"]), va="top", ha="right",
        xycoords=("axes fraction", "data"), xytext=(0, -5), textcoords="offset points",
        fontsize=8, color=GREY,
    )  # fmt: skip
    left.set(ylabel="pictures that are not as asked", yscale="log", ylim=(0.003, 1.1))
    left.set_yticks([0.01, 0.1, 1], ["1 %", "10 %", "100 %"])
    right.set(ylabel="distance of the latents to a fine walk", yscale="log")
    left.legend(loc="upper right")
    asked = {p["evaluations"] for p in section["samplers"]["ddim"]}
    ticks = sorted(asked | {p["evaluations"] for p in section["samplers"]["heun"][:1]})
    for ax in (left, right):
        counts(ax, ticks, base=2)
        ax.set_xlabel("network evaluations per branch")
    return fig


def settled_curves(
    panels: Mapping[str, tuple[Sequence[int], Mapping[str, Sequence[float]]]], T: int = 1000
) -> Figure:
    """Shares against time, noise at the left: title -> (times, {kind: shares as long as times})."""
    fig, [row] = axes(len(panels), height=3.2, sharex=True, sharey=True, squeeze=False)
    for ax, (title, (t, curves)) in zip(row, panels.items(), strict=True):
        for k, (kind, shares) in enumerate(curves.items()):
            ax.plot(t, torch.as_tensor(shares).numpy(), label=kind, **look(k))
        ax.set(xlim=(1.02 * T, -0.02 * T), ylim=(0, 1.03))
        ax.set(title=title, xlabel="time $t$: noise 1000, data 0")
    row[0].set_ylabel("share that is as at the end")
    row[-1].legend(loc="lower right")
    return fig
