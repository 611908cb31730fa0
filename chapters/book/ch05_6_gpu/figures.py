"""Where memory goes, and where time goes: horizontal bars made of parts; sizes of gradients."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from book.figures import COLOURS, lines, named_rows

HATCHES = ("", "//", "..", "\\\\", "xx", "", "oo")


def stacked(
    rows: Mapping[str, Mapping[str, float]], x_label: str, form: str = ".3g", share: bool = False
) -> Figure:
    """One bar per row, made of named parts, with its sum written behind it in the form ``form``.

    A part keeps its colour and hatching in all rows. ``share``: bars are drawn as shares of their
    sum, so that long and short ones can be compared. Raises ValueError without rows, and for a
    negative part or a sum of zero.
    """
    if not rows:
        raise ValueError("rows must name at least one bar; got none")
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    totals = {row: sum(parts.values()) for row, parts in rows.items()}
    for row, parts in rows.items():
        if min(parts.values()) < 0 or totals[row] <= 0:
            raise ValueError(f"parts of {row!r} must be >= 0 with a sum > 0; got {dict(parts)}")
    fig, ax = named_rows(rows, 0.4 * len(rows) + 1.1)
    for i, (row, parts) in enumerate(rows.items()):
        left, unit = 0.0, totals[row] if share else 1.0
        for name, value in parts.items():
            k = names.index(name)
            style = {"color": COLOURS[k % 7], "hatch": HATCHES[k % 7], "edgecolor": "white"}
            label = name if row == next(r for r in rows if name in rows[r]) else None
            ax.barh(i, value / unit, left=left, height=0.62, linewidth=0.4, label=label, **style)
            left += value / unit
        style = {"textcoords": "offset points", "va": "center"}
        ax.annotate(f"{totals[row]:{form}}", (left, i), (5, 0), **style)
    ax.set(xlabel=x_label, xlim=(0, 1.12 * (1.0 if share else max(totals.values()))))
    fig.legend(ncols=len(names), loc="outside upper center")
    return fig


def gradient_sizes(sizes: Tensor, scale: float = 65536.0) -> Figure:
    """The share of gradients of each size > 0, as they are and times ``scale``, with the ends of
    float16 marked.
    """
    edges = torch.arange(-40, 3)
    share = torch.histogram(sizes.log2(), edges.float()).hist / len(sizes)
    centre = 2.0 ** (edges[:-1] + 0.5)
    fig = lines(
        centre,
        {"gradients of activations": share, f"times {scale:,.0f}": (centre * scale, share)},
        "absolute value", "share",
        marks={"← 0 in float16": 2.0**-25, "← fewer digits": 2.0**-14, "infinite →": 65504.0},
        log="x",
    )  # fmt: skip
    fig.axes[0].set(xlim=(1e-15, 1e8), ylim=(0, 1.2 * float(share.max())))
    fig.axes[0].legend(loc="upper left", fontsize=8, frameon=False)
    return fig
