"""Figures of chapter 2.

drawn_to_size  a picture and its latent with squares of the same size
milestones     when something happens on the way from noise to data, for each thing and each way
what_is_left   what can be read at each noise level, and how many pictures are refused
unet_sketch    the shape that gives the UNet its name
concept_map    the five concepts, each in its place in training and in generation
in_colours     latents as small pictures: three of their channels
as_picture     one latent, drawn so
error_map      where a picture differs from another one, dark on white
"""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from book.figures import COLOURS, GREY, MARKERS, WIDTH, axes, in_rgb, look, named_rows

REACH = 3.0  # latents are drawn from -REACH to REACH
CONCEPTS = {
    1: "latent space",
    2: "forward diffusion",
    3: "reverse denoising",
    4: "autoencoder",
    5: "UNet",
}


def in_colours(z: Tensor) -> Tensor:
    """The first three channels of latents (n, c, h, w) as pictures (n, 3, h, w) in [-1, 1].

    Raises ValueError with fewer than three channels.
    """
    if z.dim() != 4 or z.shape[1] < 3:
        raise ValueError(f"z must be (n, c, h, w) with c >= 3; got {tuple(z.shape)}")
    return (z[:, :3] / REACH).clamp(-1, 1)


def drawn_to_size(x: Tensor, z: Tensor) -> Figure:
    """A picture x (3, H, W), its latent z (c, h, w) at the same scale, and z again, enlarged.

    One number of the latent's is drawn as large as one pixel: compare the areas.
    """
    c, inch = len(z), 1.9 / x.shape[-1]  # inches for one number
    fig = Figure(figsize=(WIDTH, 2.3))
    width, height = fig.get_size_inches()

    def place(left: float, bottom: float, side: float) -> Axes:
        ax = fig.add_axes((left / width, bottom / height, side / width, side / height))
        ax.set(xticks=[], yticks=[])
        return ax

    place(0.05, 0.1, 1.9).imshow(in_rgb(x))
    fig.text(0.05 / width, 2.08 / height, f"picture: {x.numel():,} numbers",)
    fig.text(2.25 / width, 2.08 / height, f"latent: {z.numel()} numbers")
    for k, channel in enumerate(z):
        small = z.shape[-1] * inch
        style = {"cmap": "gray", "vmin": -REACH, "vmax": REACH}
        place(2.25 + k * (small + 0.06), 1.72, small).imshow(channel.numpy(), **style)
        ax = place(2.25 + k * 1.23, 0.1, 1.15)
        ax.imshow(channel.numpy(), **style)
        ax.set_title(f"channel {k}", fontsize=8, pad=3)
    fig.text(
        (2.25 + c * (small + 0.06) + 0.05) / width, 1.8 / height,
        "the same scale; enlarged below", fontsize=8, color=GREY,
    )  # fmt: skip
    return fig


def milestones(
    ways: Mapping[str, Mapping[str, float]], x_label: str, limits: tuple[float, float]
) -> Figure:
    """way -> (thing -> when), one row per thing, one mark per way; the axis runs down to the right.

    ``limits``: (first, last) of the axis, such as (1000, 0). Raises ValueError unless all ways
    have the same things.
    """
    things = list(next(iter(ways.values())))
    for way, row in ways.items():
        if list(row) != things:
            raise ValueError(f"{way!r} must have the things {things}; got {list(row)}")
    fig, ax = named_rows(dict.fromkeys(things), 0.34 * len(things) + 1.0)
    for i, thing in enumerate(things):
        places = [row[thing] for row in ways.values()]
        ax.plot([min(places), max(places)], [i, i], color="#c8c8c8", linewidth=3, zorder=0)
    for k, (way, row) in enumerate(ways.items()):
        style = {"color": COLOURS[k], "marker": MARKERS[k], "linestyle": "", "markersize": 8}
        ax.plot([row[thing] for thing in things], range(len(things)), label=way, **style)
    ax.set(xlabel=x_label, xlim=limits)
    fig.legend(ncols=len(ways), loc="outside upper center")
    return fig


def what_is_left(
    levels: Sequence[int], read: Mapping[str, Sequence[float]], refused: Sequence[float]
) -> Figure:
    """Left: a curve for each attribute, 1 is all and 0 is guessing. Right: pictures refused."""
    fig, (left, right) = axes(2, height=3.2, width_ratios=(2, 1))
    for k, (kind, shares) in enumerate(read.items()):
        left.plot(levels, shares, label=kind, **look(k))
    left.axhline(0, color=GREY, linewidth=0.8)
    left.set(xlabel="noise level t", ylabel="read right, beyond guessing")
    left.legend(loc="lower left")
    right.plot(levels, refused, color=GREY, marker="o")
    right.set(xlabel="noise level t", ylabel="refused as a scene", ylim=(-0.03, 1.03))
    return fig


def unet_sketch(sides: tuple[int, int], condition: str = "text") -> Figure:
    """Maps of ``sides`` places a side, down and up again, with the bridge between them."""
    fig = Figure(figsize=(WIDTH, 2.5))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, 72), ylim=(0, 25))
    ax.axis("off")
    large, small = (f"{side} × {side} places" for side in sides)
    for left, y, places in ((14, 14, large), (29, 3, small), (44, 14, large)):
        ax.add_patch(FancyBboxPatch((left, y), 14, 6, boxstyle="round,pad=0.1", facecolor="white",
                                    edgecolor=COLOURS[4], linewidth=1.8))  # fmt: skip
        ax.text(left + 7, y + 3, f"look, at\n{places}", ha="center", va="center", fontsize=8.5)
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": "black", "linewidth": 1.1}
    for start, end in (((9, 17), (13.6, 17)), ((28.3, 17), (43.6, 17)), ((58.3, 17), (62.5, 17)),
                       ((21, 13.7), (29, 8.5)), ((43.2, 8.5), (51, 13.7))):  # fmt: skip
        ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **style))
    for x, y, text, colour in (
        (4.5, 17, "$z_t$", "black"), (67, 17, "estimate\n$\\hat z_0$", "black"),
        (36, 18.4, "bridge: the details", GREY),
        (20, 10.2, "halve", GREY), (52, 10.2, "double", GREY),
        (36, 23.3, f"each part is told the level $t$ and the {condition}", GREY),
        (36, 1.2, "sees the large parts", GREY),
    ):  # fmt: skip
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color=colour)
    return fig


def concept_map(pictures: Mapping[str, Tensor], condition: str = "text") -> Figure:
    """Three rows: train the autoencoder, train the UNet, make a picture; badges 1 to 5 as CONCEPTS.

    ``pictures`` are drawn in their places, each (3, H, W) in [-1, 1]: "picture", "round trip",
    "latent", "noisy", "estimate" for training; "noise", "half way", "end", "made" for making one.
    ``condition``: what the network is told besides t. 64-pixel pictures are drawn dot by dot at 80
    dots per inch. Raises ValueError if one is missing.
    """
    needed = {"picture", "round trip", "latent", "noisy", "estimate", "noise", "half way", "end"}
    if missing := (needed | {"made"}) - set(pictures):
        raise ValueError(f"pictures lack {', '.join(sorted(missing))}")
    fig = Figure(figsize=(8.6, 5.7))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, 86), ylim=(0, 57))
    ax.axis("off")

    def show(name: str, left: float, y: float, text: str, badge: int = 0) -> None:
        thumb = ax.inset_axes((left, y, 8, 8), transform=ax.transData)
        thumb.imshow(in_rgb(pictures[name]), interpolation="nearest")
        thumb.set(xticks=[], yticks=[])
        ax.text(left + 4, y - 0.8, text, ha="center", va="top", fontsize=8)
        _badge(ax, left, y + 8, badge)

    for y, title in ((54, "A  Train the autoencoder"), (36.5, "B  Then train the UNet"),
                     (17.5, "C  Make a picture")):  # fmt: skip
        ax.text(1, y, title, weight="bold", fontsize=10)
    _lane_a(ax, show)
    _lane_b(ax, show, condition)
    _lane_c(ax, show, condition)
    for k, name in CONCEPTS.items():
        _badge(ax, 3 + 17 * (k - 1), 1, k)
        ax.text(4.6 + 17 * (k - 1), 1, name, fontsize=8.5, va="center")
    return fig


def _lane_a(ax: Axes, show) -> None:
    show("picture", 2, 44, "picture $x$")
    _box(ax, 17, 45, "encoder\n$E$", 4)
    show("latent", 37, 44, "latent $z_0$", 1)
    _box(ax, 52, 45, "decoder\n$D$", 4)
    show("round trip", 72, 44, "$D(E(x))$")
    _arrows(ax, 48, (10.5, 16.5), (28, 36.5), (45.5, 51.5), (63, 71.5))
    _compare(ax, 8, 74, 53.3)


def _lane_b(ax: Axes, show, condition: str) -> None:
    show("latent", 2, 26, "$z_0$, from $E$", 1)
    _box(ax, 17, 27, "add noise\n$\\epsilon$, level $t$", 2)
    show("noisy", 37, 26, "$z_t$")
    _box(ax, 52, 27, f"UNet, told\n$t$ and {condition}", 5)
    show("estimate", 72, 26, "estimate $\\hat z_0$")
    _arrows(ax, 30, (10.5, 16.5), (28, 36.5), (45.5, 51.5), (63, 71.5))
    _compare(ax, 8, 74, 35.3)


def _lane_c(ax: Axes, show, condition: str) -> None:
    show("noise", 2, 6, "noise $z_T$:\nno picture goes in")
    _box(ax, 14.5, 7, f"UNet, told\n$t$ and {condition}", 5)
    show("half way", 29.5, 6, "$z_t$, half way")
    _box(ax, 41, 7, f"UNet, told\n$t$ and {condition}", 5)
    show("end", 56, 6, "latent $z_0$", 1)
    _box(ax, 66.5, 7, "$D$", 4, width=6)
    show("made", 76, 6, "new picture")
    _arrows(ax, 10, (10.3, 14.2), (25.8, 29.2), (37.8, 40.6), (52.3, 55.6), (64.3, 66.2),
            (73, 75.7))  # fmt: skip
    ax.plot([10, 56], [16, 16], color=COLOURS[2], linewidth=1.4)
    ax.text(33, 16, "  the same network, again and again: 25 steps  ", fontsize=8, ha="center",
            va="center", backgroundcolor="white")  # fmt: skip
    _badge(ax, 10, 16, 3)


def _box(ax: Axes, left: float, y: float, text: str, concept: int, width: float = 11) -> None:
    style = {"boxstyle": "round,pad=0.1", "facecolor": "white", "linewidth": 1.8}
    colour = COLOURS[concept - 1]
    ax.add_patch(FancyBboxPatch((left, y), width, 6, edgecolor=colour, **style))
    ax.text(left + width / 2, y + 3, text, ha="center", va="center", fontsize=8)
    _badge(ax, left, y + 6.2, concept)


def _badge(ax: Axes, x: float, y: float, concept: int) -> None:
    """The number of a concept in a disc of its colour; 0 is none."""
    if concept:
        colour = COLOURS[concept - 1]
        ax.text(
            x, y, str(concept), color="white", weight="bold", fontsize=8, ha="center", va="center",
            zorder=9, bbox={"boxstyle": "circle,pad=0.25", "facecolor": colour, "linewidth": 0},
        )  # fmt: skip


def _arrows(ax: Axes, y: float, *spans: tuple[float, float]) -> None:
    for start, end in spans:
        style = {"arrowstyle": "-|>", "mutation_scale": 10, "color": "black", "linewidth": 1}
        ax.add_patch(FancyArrowPatch((start, y), (end, y), shrinkA=0, shrinkB=0, **style))


def _compare(ax: Axes, left: float, right: float, y: float) -> None:
    """A bracket above a row: both ends should become equal."""
    ax.plot([left, left, right, right], [y - 1, y, y, y - 1], color=GREY, linewidth=1,
            linestyle="--")  # fmt: skip
    ax.text((left + right) / 2 + 8, y, "  as close as possible: the loss  ", fontsize=8, color=GREY,
            ha="center", va="center", backgroundcolor="white")  # fmt: skip


def as_picture(z: Tensor) -> Tensor:
    """One latent (c, h, w) as ``in_colours`` draws it: (3, h, w)."""
    return in_colours(z[None])[0]


def error_map(x_hat: Tensor, x: Tensor, gain: float = 4.0) -> Tensor:
    """|x_hat - x| of pictures (n, C, H, W), the mean over channels, times ``gain``: (n, 3, H, W).

    White is no error, black is an error of 2 / gain or more.
    """
    error = (x_hat - x).abs().mean(1, keepdim=True)
    return torch.clamp(1 - gain * error, -1, 1).expand(-1, 3, -1, -1)
