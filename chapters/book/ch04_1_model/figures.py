"""The figure of chapter 4.1: the model as a graph."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from book import figures

NODES = ("$x$", "$z_0$", "$z_1$", "…", "$z_{t-1}$", "$z_t$", "…", "$z_T$")
RADIUS = 0.3


def chain_of_latents() -> Figure:
    """Encoder, forward chain and jump as solid arrows; reverse chain and decoder dashed."""
    fig, ax = figures.axes(height=1.6, grid="")
    ax.set(xlim=(-0.6, len(NODES) - 0.4), ylim=(-0.8, 1.4), aspect="equal")
    ax.axis("off")
    for place, name in enumerate(NODES):
        if name != "…":
            edge = figures.GREY if place == 0 else "black"
            ax.add_patch(Circle((place, 0), RADIUS, facecolor="white", edgecolor=edge))
        ax.text(place, 0, name, ha="center", va="center", fontsize=10)
    for place in range(len(NODES) - 1):
        _arrow(ax, place, place + 1, figures.BLUE, "-", 0.13)
        _arrow(ax, place + 1, place, figures.RED, "--", -0.13)
    _arrow(ax, 1, 5, figures.BLUE, "-", RADIUS, bend=-0.35)
    words = {"color": figures.BLUE, "ha": "center", "fontsize": 8}
    ax.text(3, 1.2, r"the jump $q(z_t \mid z_0)$", **words)
    ax.text(0.5, 0.35, r"$\mathcal{E}$", **words)
    ax.text(4.2, 0.36, r"$q(z_t \mid z_{t-1})$", **words)
    words["color"] = figures.RED
    ax.text(0.5, -0.55, r"$\mathcal{D}$", **words)
    ax.text(4.5, -0.65, r"$p_\theta(z_{t-1} \mid z_t)$", **words)
    ax.text(7, -0.65, r"starts from $\mathcal{N}(0, I)$", **words)
    return fig


def _arrow(ax: Axes, start: int, end: int, colour: str, dash: str, y: float, bend=0.0) -> None:
    """From node to node, from edge to edge; ``bend`` curves it."""
    side = 0 if bend else RADIUS * (1 if end > start else -1)
    style = {
        "arrowstyle": "-|>", "color": colour, "linestyle": dash, "linewidth": 1.2,
        "shrinkA": 1, "shrinkB": 1, "connectionstyle": f"arc3,rad={bend}",
    }  # fmt: skip
    ax.annotate("", (end - side, y), (start + side, y), arrowprops=style)
