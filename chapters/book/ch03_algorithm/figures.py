"""Figures of chapter 3.

map_of_digits     chapter 2's chart of the whole model, with digits in it
quality_by_steps  quality against the number of sampling steps
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from book.ch02_concepts.figures import REACH, concept_map
from book.figures import axes, counts, look
from minildm.data import digits
from minildm.latent import LatentDiffusion
from minildm.process import diffuse


def map_of_digits(model: LatentDiffusion) -> Figure:
    """``concept_map`` with a held-out 3, what ``model`` makes of it, and an 8 that it draws."""
    split = digits()
    x = split.x_held_out[split.labels_held_out == 3][:1]  # (1, 1, 28, 28)
    z0, t = model.encode(x), torch.tensor(500)
    z_t = diffuse(model.schedule, z0, t, model.noise(1, seed=1))
    film = list(model.walk([8], steps=25, guidance=2.0, seed=3))
    estimate = model.denoiser([3], guidance=1.0)(z_t, t).z0
    images = {"picture": x, "round trip": model.decode(z0), "made": model.decode(film[-1].z)}
    latents = {
        "latent": z0, "noisy": z_t, "estimate": estimate, "noise": model.noise(1, seed=3),
        "half way": film[12].z, "end": film[-1].z,
    }  # fmt: skip
    pictures = {name: F.pad(image, (2,) * 4, value=-1) for name, image in images.items()}
    pictures |= {name: _in_two_colours(z) for name, z in latents.items()}
    sized = {name: F.interpolate(x, 64)[0] for name, x in pictures.items()}
    return concept_map(sized, condition="label")


def _in_two_colours(z: Tensor) -> Tensor:
    """Latents (n, 2, h, w) as pictures (n, 3, h, w) in [-1, 1]: both channels, and their mean."""
    return torch.cat([z, z.mean(1, keepdim=True)], dim=1).div(REACH).clamp(-1, 1)


def quality_by_steps(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Figure:
    """Shares (0 to 1) against steps, name -> (steps, shares)."""
    fig, ax = axes(height=3.2)
    for k, (name, (steps, shares)) in enumerate(curves.items()):
        ax.plot(steps, shares, label=name, **look(k))
    counts(ax, sorted({n for steps, _ in curves.values() for n in steps}), base=2)
    ax.set(xlabel="sampling steps", ylabel="share", ylim=(0, 1.08))
    ax.legend(loc="lower center")
    return fig

