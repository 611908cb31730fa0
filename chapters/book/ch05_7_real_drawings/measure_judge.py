"""Can the judge of drawings be trusted? Figures of data/results.json, section "emoji-judge".

Real drawings are disturbed in ways that leave them what they are, or that do not; the judge is
asked which drawing each one is.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from book import results
from book.ch05_7_real_drawings.judge import Gallery, moved, rates
from minildm.emoji.drawings import Drawings, drawings
from minildm.engine.devices import surroundings
from minildm.noise import keyed_normal

EVERY = 8  # of the drawings, so many apart, are disturbed
NOISE = 51  # what a key is used for


def measure_judge(
    seeds: Sequence[int] = (0,), source: Drawings | None = None, report=print
) -> dict:
    """How often the judge knows disturbed real drawings; the first seed is that of the noise."""
    source = source or drawings()
    gallery, asked = Gallery(source), torch.arange(0, len(source), EVERY)
    found = {}
    for name, x in disturbed(source[asked], seeds[0]).items():
        found[name] = rates(gallery.ranks(gallery.distances(x), asked), len(gallery))
        report(f"{name}: {found[name]['top_1']:.1%} first, {found[name]['top_5']:.1%} of five")
    return {
        "command": results.command("emoji-judge", seeds),
        "drawings": len(source),
        "pictures": len(gallery),
        "shift": gallery.shift,
        "disturbed": found,
        **surroundings(),
    }


def disturbed(x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Pictures (n, 3, 64, 64) in [-1, 1] in several disturbances, each by its name."""
    noise = keyed_normal((seed, NOISE), range(len(x)), x.shape[1:])
    return {
        "as they are": x,
        "moved by a pixel": moved(x, 1, -1),
        "moved by two": moved(x, -2, 2),
        "moved by half a pixel": half_moved(x),
        "blurred, a pixel": blurred(x, 1.0),
        "blurred, two pixels": blurred(x, 2.0),
        "noise of 0.3": (x + 0.3 * noise).clamp(-1, 1),
        "noise of 1": (x + noise).clamp(-1, 1),
        "hue turned by 10 degrees": turned(x, 10),
        "hue turned by 60 degrees": turned(x, 60),
        "upside down": x.flip(2),
    }


def half_moved(x: Tensor) -> Tensor:
    """Pictures moved to the right by half a pixel: each the mean of itself and its neighbour."""
    return (x + moved(x, 0, 1)) / 2


def blurred(x: Tensor, std: float) -> Tensor:
    """Pictures seen through a Gaussian of ``std`` pixels; around them all is white."""
    reach = math.ceil(3 * std)
    line = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * std**2))
    line = (line / line.sum()).expand(x.shape[1], 1, 1, -1)  # (C, 1, 1, 2 reach + 1)
    padded = F.pad(x, (reach,) * 4, value=1.0)
    down = F.conv2d(padded, line.transpose(2, 3), groups=x.shape[1])
    return F.conv2d(down, line, groups=x.shape[1])


def turned(x: Tensor, degrees: float) -> Tensor:
    """Colours (n, 3, H, W) turned around the axis of greys, which stay as they are."""
    angle = math.radians(degrees)
    even, odd = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    matrix = torch.tensor([
        [even + math.cos(angle), even - odd, even + odd],
        [even + odd, even + math.cos(angle), even - odd],
        [even - odd, even + odd, even + math.cos(angle)],
    ])  # fmt: skip
    return torch.einsum("ij,njhw->nihw", matrix, x).clamp(-1, 1)
