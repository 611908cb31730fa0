"""The figures of chapter 5.1, the autoencoder."""

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from book.figures import RED, axes


def reach(change: Tensor, place: tuple[int, int], cells: int = 8) -> Figure:
    """How much each pixel (H, W) changed, as a share of the largest change, logarithmic.

    The grid is that of the latent, ``cells`` by ``cells``; the nudged ``place`` (row, column) has a
    red frame.
    """
    share, side = (change / change.max()).numpy(), change.shape[0] // cells
    fig, ax = axes(height=3.6, width=4.6, grid="")
    drawn = ax.imshow(share, norm=LogNorm(1e-3, 1), cmap="viridis", interpolation="nearest")
    edges = [side * k - 0.5 for k in range(cells + 1)]
    ax.hlines(edges, edges[0], edges[-1], color="white", linewidth=0.4)
    ax.vlines(edges, edges[0], edges[-1], color="white", linewidth=0.4)
    corner = (edges[place[1]], edges[place[0]])
    ax.add_patch(Rectangle(corner, side, side, fill=False, color=RED, linewidth=2))
    ax.set(title="one place of the latent nudged (red)", xticks=[], yticks=[])
    fig.colorbar(drawn, ax=ax, label="change, as a share of the largest")
    return fig
