"""Where memory goes, and where time goes: horizontal bars made of parts."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from book.figures import COLOURS, named_rows

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
