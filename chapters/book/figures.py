"""Figures of the book: pure functions, data in, matplotlib ``Figure`` out; ``show`` displays one.

    clouds       a row of point clouds with the ellipses of their Gaussians
    ellipses     several Gaussians over one target
    paths        how single points travel from noise to data
    lines        curves over a common axis, with marked places
    convergence  error against number of steps, both logarithmic, with reference slopes
    image_grid   rows of small images

Colours are Okabe and Ito's, which stay apart for colour-blind readers; lines differ in dash and
marker too. Nothing here keeps state: no pyplot, no global style.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from book.display import show

__all__ = ["clouds", "convergence", "ellipses", "image_grid", "lines", "paths", "show"]

# Okabe & Ito (2008); yellow is left out, it is too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#6b6b6b"
WIDTH = 7.2  # inches: the text column of JupyterLab at 100 dpi


def clouds(panels: Mapping[str, tuple], truth=None, columns: int = 5, points: int = 600) -> Figure:
    """One panel per title: points (n, 2), the 2-sigma ellipse of its Gaussian, and of ``truth``.

    ``panels``: title -> (points or None, normal or None); it has ``mean`` (2,), ``cov`` (2, 2).
    All panels share one scale, so that sizes can be compared. Raises ValueError without panels.
    """
    fig, axes = _grid(len(panels), columns)
    for ax, (title, (z, normal)) in zip(axes, panels.items(), strict=True):
        if z is not None:
            z = torch.as_tensor(z)[:points]  # (n, 2)
            ax.scatter(*z.T.numpy(), s=3, color=COLOURS[5], alpha=0.5, linewidths=0)
        if truth is not None:
            _ellipse(ax, truth, color=GREY, linestyle="--", label="data")
        if normal is not None:
            _ellipse(ax, normal, color=COLOURS[1], linewidth=1.6, label="formula")
        ax.set_title(title, fontsize=9)
    return _share_limits(fig, axes)


def ellipses(panels: Mapping[str, Mapping], truth, columns: int = 3) -> Figure:
    """One panel per title: the 2-sigma ellipses of Gaussians (name -> normal) over ``truth``."""
    fig, axes = _grid(len(panels), columns)
    for ax, (title, normals) in zip(axes, panels.items(), strict=True):
        _ellipse(ax, truth, color=GREY, facecolor="#e4e4e4", linewidth=0, label="data")
        for k, (name, normal) in enumerate(normals.items()):
            style = {"color": COLOURS[k % 7], "linestyle": DASHES[k % 7], "linewidth": 1.6}
            _ellipse(ax, normal, label=name, **style)
            ax.plot(*normal.mean, MARKERS[k % 7], color=COLOURS[k % 7], markersize=4)
        ax.set_title(title, fontsize=9)
    return _share_limits(fig, axes)


def paths(panels: Mapping[str, Tensor], truth, start) -> Figure:
    """One panel per title: trajectories (n+1, B, 2) from ``start`` (noise) to ``truth`` (data)."""
    fig, axes = _grid(len(panels), len(panels))
    for ax, (title, z) in zip(axes, panels.items(), strict=True):
        _ellipse(ax, start, color=GREY, linestyle=":", label="noise")
        _ellipse(ax, truth, color=GREY, linestyle="--", label="data")
        for k in range(z.shape[1]):
            ax.plot(*z[:, k].T.numpy(), color=COLOURS[k % 7], linewidth=1.1, alpha=0.8)
            ax.plot(*z[0, k], "o", color=COLOURS[k % 7], markersize=4, markerfacecolor="white")
            ax.plot(*z[-1, k], "o", color=COLOURS[k % 7], markersize=5)
        ax.set_title(title, fontsize=10)
    axes[0].plot([], [], "o", color=GREY, markerfacecolor="white", label="start")
    axes[0].plot([], [], "o", color=GREY, label="end")
    return _share_limits(fig, axes)


def lines(
    x: Sequence, curves: Mapping[str, Sequence], x_label: str, y_label: str,
    marks: Mapping[str, float] | None = None, log: str = "", height: float = 3.0,
) -> Figure:  # fmt: skip
    """Curves (name -> y, as long as x) over one axis; ``marks`` (name -> x) are vertical lines.

    ``log`` names the logarithmic axes: "", "x", "y" or "xy". A curve may also be a pair (x, y).
    """
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    ax = fig.subplots()
    for k, (name, y) in enumerate(curves.items()):
        own_x, y = y if isinstance(y, tuple) else (x, y)
        style = {"color": COLOURS[k % 7], "linestyle": DASHES[k % 7], "linewidth": 1.8}
        ax.plot(np.asarray(own_x), np.asarray(y), label=name, **style)
    for k, (name, place) in enumerate((marks or {}).items()):
        ax.axvline(place, color=GREY, linewidth=1, linestyle=":")
        ax.annotate(
            name, (place, 0.97 - 0.1 * k), xycoords=("data", "axes fraction"), xytext=(4, 0),
            textcoords="offset points", fontsize=9, color="#404040", va="top",
        )  # fmt: skip
    _finish(ax, x_label, y_label, log)
    return fig


def convergence(
    panels: Mapping[str, Mapping[str, tuple]], slopes: Mapping[str, Sequence[tuple]] | None = None,
    y_label: str = "Wasserstein-2 distance to the truth",
) -> Figure:  # fmt: skip
    """One log-log panel per title: error against steps, name -> (steps, errors).

    ``slopes``: title -> (order p, first steps, last steps, error at the first): thin grey lines
    that fall like steps^-p, to compare with.
    A name keeps its colour in all panels.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    fig = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        for name, (steps, errors) in curves.items():
            k = names.index(name)
            style = {"color": COLOURS[k % 7], "marker": MARKERS[k % 7], "linestyle": DASHES[k % 7]}
            ax.plot(steps, errors, markersize=4, linewidth=1.5, label=name, **style)
        for p, first, last, error in (slopes or {}).get(title, ()):
            end = error * (last / first) ** -p
            ax.plot((first, last), (error, end), color=GREY, linewidth=0.9)
            style = {"fontsize": 8, "color": "#404040", "va": "center"}
            ax.annotate(f"order {p}", (last, end), (4, 0), textcoords="offset points", **style)
        ax.set_title(title, fontsize=9)
        _finish(ax, "steps", y_label if ax is axes[0] else "", "xy")
        ticks = [n for n in (2, 5, 10, 20, 50, 100, 200, 500, 1000) if _within(n, ax.get_xlim())]
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.set_xticks([], minor=True)
    return fig


def image_grid(
    rows: Mapping[str, Tensor], size: float = 0.75, low: float = -1, high: float = 1
) -> Figure:
    """Rows of images: label -> (n, C, H, W) or (n, H, W), grey or RGB, ``low`` is black."""
    most = max(len(images) for images in rows.values())
    fig = Figure(figsize=(size * most + 1.2, size * len(rows) + 0.1), layout="constrained")
    axes = fig.subplots(len(rows), most, squeeze=False)
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, list(images) + [None] * (most - len(images)), strict=True):
            ax.axis("off")
            if image is None:
                continue
            image = ((image.detach().cpu().float() - low) / (high - low)).clamp(0, 1)
            image = image[0] if image.dim() == 3 and len(image) == 1 else image  # (H, W)
            image = image.permute(1, 2, 0) if image.dim() == 3 else image  # (H, W, 3)
            ax.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        line[0].text(
            -0.15, 0.5, label, transform=line[0].transAxes, ha="right", va="center", fontsize=9
        )
    return fig


# --- parts ---------------------------------------------------------------------------------------


def ellipse(mean, cov, sigmas: float = 2.0, points: int = 121) -> np.ndarray:
    """The curve mean + sigmas cov^(1/2) (cos, sin): (points, 2). Also for singular covariances."""
    variances, axes = np.linalg.eigh(np.asarray(cov, dtype=float))
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, points)
    return np.asarray(mean, dtype=float) + sigmas * (
        circle.T @ (axes * np.sqrt(variances.clip(min=0))).T
    )


def _ellipse(ax: Axes, normal, facecolor=None, **style) -> None:
    curve = ellipse(normal.mean, normal.cov)
    if facecolor is None:
        ax.plot(*curve.T, **style)
    else:
        ax.fill(*curve.T, facecolor=facecolor, **style)


def _grid(panels: int, columns: int) -> tuple[Figure, np.ndarray]:
    """A figure of text width with that many square panels; no empty ones are left."""
    if panels == 0:
        raise ValueError("panels must name at least one panel; got none")
    columns = min(columns, panels)
    rows = -(-panels // columns)
    size = min(WIDTH / columns, 3.2)
    fig = Figure(figsize=(size * columns, (size + 0.15) * rows + 0.25), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for ax in axes[panels:]:
        ax.remove()
    return fig, axes[:panels]


def _share_limits(fig: Figure, axes: Sequence[Axes]) -> Figure:
    """Equal units in all panels (they share their axes), one legend below them."""
    named = {}
    for ax in axes:
        ax.set_aspect("equal")
        ax.tick_params(labelsize=8)
        _despine(ax)
        named |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if named:
        style = {"fontsize": 8, "frameon": False, "ncols": len(named)}
        fig.legend(named.values(), named.keys(), loc="outside lower center", **style)
    return fig


def _finish(ax: Axes, x_label: str, y_label: str, log: str) -> None:
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.grid(color="#e4e4e4", linewidth=0.7)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=8, frameon=False)
    _despine(ax)


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _despine(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
