"""The figure of time_to_quality.py."""

from matplotlib.figure import Figure

from book.figures import GREY, axes, look

CLOCKS = {"wall": "minutes of training", "cpu": "minutes of one processor's training"}


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
