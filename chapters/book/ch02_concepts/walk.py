"""What chapter 2 asks of a latent space, as pure functions: no figure and no widget in here.

scene_pair      two pictures to walk between
walk_stop       one stop of the walk: pixels mixed, latents mixed, and led back by the denoiser
random_latents  latents that resemble the encoded ones in mean and scale, or also in covariance
share_band      the shares that a count leaves plausible
lead_back       noise, then denoise: from any latent to one that the model knows
"""

from typing import NamedTuple

import torch
from torch import Tensor

from book.ch06_applications.editing import straight
from minildm.latent import LatentDiffusion
from minildm.metrics import root
from minildm.noise import keyed_normal, seeded
from minildm.process import diffuse
from minildm.samplers import dpmpp_2m, sample
from minildm.shapes.judge import judge, lower_bound
from minildm.shapes.scenes import Scene, Thing, render, to_rows

STEPS = 12  # of the sampler from T to 0; lead_back runs a part of them
RED_CIRCLE = Thing("large", "striped", "red", "circle")
BLUE_STAR = Thing("small", "solid", "blue", "star")
GREEN_SQUARE = Thing("large", "solid", "green", "square")
# name -> two scenes and the places of their objects, [object, (down, right)]
PAIRS = {
    "everything differs": (
        (Scene("grey", "left of", RED_CIRCLE, BLUE_STAR), [[30, 16], [34, 47]]),
        (Scene("black", "above", Thing("small", "solid", "yellow", "cross"), GREEN_SQUARE),
         [[14, 28], [44, 36]]),
    ),
    "another colour": (
        (Scene("grey", "left of", RED_CIRCLE, BLUE_STAR), [[30, 16], [34, 47]]),
        (Scene("grey", "left of", RED_CIRCLE._replace(colour="green"), BLUE_STAR),
         [[30, 16], [34, 47]]),
    ),
    "another place": (
        (Scene("white", "left of", GREEN_SQUARE, BLUE_STAR), [[30, 16], [22, 47]]),
        (Scene("white", "left of", GREEN_SQUARE, BLUE_STAR), [[30, 16], [44, 47]]),
    ),
}  # fmt: skip


class Stop(NamedTuple):
    """One stop of a walk between two pictures.

    pixels    (3, H, W) the two pictures mixed, number by number
    latent    (c, h, w) their latents mixed in the same way
    decoded   (3, H, W) what the decoder makes of that latent
    led_back  (3, H, W) decoded after noise and denoising; the same as ``decoded`` without noise
    accepted  does the judge accept pixels, decoded, led_back as a scene?
    """

    pixels: Tensor
    latent: Tensor
    decoded: Tensor
    led_back: Tensor
    accepted: tuple[bool, bool, bool]


def scene_pair(name: str) -> Tensor:
    """The two pictures of a pair in ``PAIRS``: (2, 3, 64, 64) in [-1, 1].

    Raises ValueError for another name.
    """
    if name not in PAIRS:
        raise ValueError(f"name must be one of {', '.join(PAIRS)}; got {name!r}")
    scenes, places = zip(*PAIRS[name], strict=True)
    return render(to_rows(list(scenes)), torch.tensor(places))


def walk_stop(
    model: LatentDiffusion, pair: Tensor, u: float, back: float = 0.0, seed: int = 0
) -> Stop:
    """The stop at u between two pictures (2, 3, 64, 64): u = 0 is the first, 1 the second.

    latent = (1 - u) E(a) + u E(b); pixels the same with a and b.
    back: the share of T up to which noise is added before denoising; see ``lead_back``.
    Raises ValueError unless 0 <= u <= 1, and for two pictures only.
    """
    if len(pair) != 2:
        raise ValueError(f"pair must hold two pictures; got {len(pair)}")
    if not 0 <= u <= 1:
        raise ValueError(f"u must lie in 0..1, from one picture to the other; got {u}")
    z_a, z_b = model.encode(pair).split(1)  # (1, c, h, w) each
    latent = straight(z_a, z_b, u)
    pixels = straight(pair[:1], pair[1:], u)
    decoded = model.decode(latent)
    led = model.decode(lead_back(model, latent, back, seed))
    accepted = judge(torch.cat([pixels, decoded, led])).accepted.tolist()
    return Stop(pixels[0], latent[0], decoded[0], led[0], tuple(accepted))


@torch.no_grad()
def lead_back(
    model: LatentDiffusion, z: Tensor, back: float, seed: int = 0, steps: int = STEPS
) -> Tensor:
    """Add noise to latents z (n, c, h, w) up to about t = back · T, then denoise without a text.

    back = 0 returns z as it is; at 1 nothing of it is left. The same as image_to_image with
    strength ``back``, for latents: Meng et al. 2022, SDEdit (arXiv 2108.01073).
    Raises ValueError unless 0 <= back <= 1.
    """
    if not 0 <= back <= 1:
        raise ValueError(f"back must lie in 0..1, a share of T; got {back}")
    run = round(back * steps)
    if run == 0:
        return z
    times = model.schedule.times(steps)[-run - 1 :]  # t, .., 0
    eps = keyed_normal((seed,), range(len(z)), z.shape[1:]).to(z)
    z_t = diffuse(model.schedule, z, times[0], eps)
    denoise = model.denoiser(None, count=len(z))
    *_, last = sample(denoise, model.schedule, z_t, times, dpmpp_2m)
    return last.z


def random_latents(z0: Tensor, n: int, covariance: bool = False, seed: int = 0) -> Tensor:
    """n random normal latents like the encoded z0 (m, *d): float32 (n, *d).

    Every number gets the mean and the standard deviation that it has in z0. With ``covariance``
    the numbers also vary together as they do in z0: N(mean, cov), the Gaussian nearest to them.
    Raises ValueError unless z0 holds at least two latents.
    """
    if len(z0) < 2:
        raise ValueError(f"z0 must hold at least two latents; got {len(z0)}")
    flat = z0.flatten(1).double()  # (m, d)
    eps = torch.randn(n, flat.shape[1], dtype=torch.float64, generator=seeded(seed))
    away = eps @ root(flat.T.cov()) if covariance else eps * flat.std(0)
    return (flat.mean(0) + away).float().reshape(n, *z0.shape[1:])


def share_band(hits: int, tries: int) -> tuple[float, float]:
    """The shares that ``hits`` of ``tries`` leave plausible: (low, high), 90 % in between.

    Each end is a one-sided bound of 95 %: see ``judge.lower_bound``, which raises ValueError.
    """
    return lower_bound(hits, tries), 1 - lower_bound(tries - hits, tries)
