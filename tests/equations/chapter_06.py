"""The numbered equations of chapter 6, applications, each checked against the package."""

from itertools import pairwise

import torch
from registry import Equation, close, points

from book.ch06_applications import editing
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine.fit import build
from minildm.latent import REPLACE, LatentDiffusion
from minildm.noise import keyed_normal
from minildm.samplers import ddim
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.captions import text_config
from minildm.text import TextUNet, TextUNetConfig
from minildm.unet import UNetConfig

CHAPTER = "06_applications"
SCHEDULE = DiscreteSchedule(cosine_betas(50))
TEXT = "a red circle above a blue square"


def model() -> LatentDiffusion:
    """A small model that was never trained; its network answers z_t / 2, so that it is known."""

    def parts():
        autoencoder = AutoencoderConfig(
            image_channels=3, latent_channels=2, factor=4, patch=4, width=8
        )
        config = TextUNetConfig(
            text_config(dim=16, layers=1, heads=2), UNetConfig(channels=2, width=8, heads=2)
        )
        return Autoencoder(autoencoder), TextUNet(config)

    made = LatentDiffusion(*build(parts, 0), SCHEDULE, (4, 4))
    made.seen = []

    def forward(z_t, t, condition=None, drop=None):
        made.seen.append((t[0], z_t.clone()))
        return z_t / 2

    made.network.forward = forward
    return made


def pictures() -> torch.Tensor:
    return keyed_normal((1,), range(2), (3, 16, 16)).clamp(-1, 1)


def start_of_image_to_image() -> None:
    small, x, steps = model(), pictures(), 10
    for strength in (0.04, 0.33, 0.6, 1.0):
        small.seen.clear()
        small.image_to_image(x, [TEXT] * 2, strength, steps=steps, guidance=1.0, seed=3)
        k = max(1, round(strength * steps))
        assert len(small.seen) == k
        t, z_t = small.seen[0]
        assert t == SCHEDULE.times(steps)[steps - k]
        a, b = SCHEDULE(t)
        close(z_t, a * small.encode(x).double() + b * small.noise(2, 3).double(), 1e-5)


def kept_latents() -> None:
    """At each step the kept cells are (6.2)'s mixture, the others what the sampler made."""
    small, x, count = model(), pictures(), 2
    mask = torch.zeros(count, 1, 16, 16)
    mask[..., :5] = 1  # reaches into the second column of cells
    small.inpaint(x, mask, [TEXT] * count, steps=5, guidance=1.0, seed=4)
    seen = list(small.seen)
    denoise = small.denoiser([TEXT] * count, 1.0)
    for (t, z_t), (s, z_s) in pairwise(seen):
        a, b = SCHEDULE(s)
        eps = keyed_normal((4, REPLACE, int(s * 1e6)), range(count), (2, 4, 4))
        known = a * small.encode(x).double() + b * eps.double()
        close(z_s[..., 2:], known[..., 2:], 1e-5)
        close(z_s[..., :2], ddim(z_t, t, s, denoise, SCHEDULE)[0][..., :2], 1e-5)


def length_of_the_line() -> None:
    """Exact for vectors at right angles, and on average for noise."""
    z_a, z_b = torch.zeros(1, 8), torch.zeros(1, 8)
    z_a[0, 0] = z_b[0, 1] = 8**0.5
    noise_a, noise_b = points(4000, 64, seed=1), points(4000, 64, seed=2)
    for u in (0.0, 0.3, 0.5, 1.0):
        share = (1 - u) ** 2 + u**2
        close(editing.straight(z_a, z_b, u).square().sum(), 8 * share, 1e-5)
        mean = editing.straight(noise_a, noise_b, u).square().sum(1).mean()
        close(mean / 64, share, 0.02)


def arc_between() -> None:
    z_a, z_b = points(5, 3, 4, seed=1), points(5, 3, 4, seed=2)
    for u in (0.0, 0.25, 0.5, 1.0):
        got = editing.arc(z_a, z_b, u)
        for a, b, z in zip(z_a.flatten(1), z_b.flatten(1), got.flatten(1), strict=True):
            omega = torch.arccos(a @ b / (a.norm() * b.norm()))
            close(z, (torch.sin((1 - u) * omega) * a + torch.sin(u * omega) * b) / omega.sin())


def upwards() -> None:
    """v = z_t / 2 is known, so (6.5) can be done by hand: z0 = a z - b v, eps = b z + a v."""
    small, x = model(), pictures()
    z = small.encode(x).double()
    times = SCHEDULE.times(4).flip(0)
    for t, s in pairwise(times):
        a, b = SCHEDULE(t.clamp(min=1))
        (a_s, b_s), v = SCHEDULE(s), z / 2
        z = a_s * (a * z - b * v) + b_s * (b * z + a * v)
    close(editing.invert(small, x, [TEXT] * 2, steps=4), z, 1e-4)


EQUATIONS = [
    Equation(
        "6.1", CHAPTER, "where image to image starts",
        "minildm.latent.LatentDiffusion.image_to_image", start_of_image_to_image,
    ),
    Equation(
        "6.2", CHAPTER, "what is kept while inpainting",
        "minildm.latent.LatentDiffusion.inpaint", kept_latents,
    ),
    Equation(
        "6.3", CHAPTER, "length of the straight line between two noises",
        "book.ch06_applications.editing.straight", length_of_the_line,
    ),
    Equation("6.4", CHAPTER, "the arc between two noises",
             "book.ch06_applications.editing.arc", arc_between),
    Equation("6.5", CHAPTER, "the walk upwards", "book.ch06_applications.editing.invert", upwards),
]  # fmt: skip
