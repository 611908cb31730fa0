"""The numbered equations of chapter 2, the core concepts, each checked against the package."""

import torch
from registry import Equation

from book.ch02_concepts.walk import scene_pair, walk_stop
from minildm.latent import LatentDiffusion
from minildm.noise import keyed_normal
from minildm.process import diffuse
from minildm.schedule import DiscreteSchedule, cosine_betas

CHAPTER = "02_core_concepts"


def straight_walk() -> None:
    """The latent of a stop, and what is decoded, from the latents of both ends."""
    model = LatentDiffusion.load("shapes")
    x = scene_pair("another place")
    z_a, z_b = model.encode(x)
    for u in (0.0, 0.2, 0.5, 1.0):
        stop = walk_stop(model, x, u)
        torch.testing.assert_close(stop.latent, (1 - u) * z_a + u * z_b)
        wanted = model.decode(((1 - u) * z_a + u * z_b)[None])[0]
        torch.testing.assert_close(stop.decoded, wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(stop.pixels, (1 - u) * x[0] + u * x[1])


def signal_and_noise() -> None:
    schedule = DiscreteSchedule(cosine_betas(1000))
    z0, eps = (keyed_normal((k,), range(4), (4, 8, 8)).double() for k in (1, 2))
    t = torch.tensor([0, 1, 497, 1000])
    bar = torch.tensor([float(torch.prod(1 - schedule.beta[1 : n + 1])) for n in t.tolist()])
    bar = bar.double()[:, None, None, None]
    wanted = bar.sqrt() * z0 + (1 - bar).sqrt() * eps
    torch.testing.assert_close(diffuse(schedule, z0, t, eps), wanted, rtol=1e-5, atol=1e-5)


def signal_to_noise() -> None:
    schedule = DiscreteSchedule(cosine_betas(1000))
    t = torch.arange(1, 1001)
    signal, noise = schedule(t)
    torch.testing.assert_close(schedule.snr[1:], signal**2 / noise**2)
    bar = (1 - schedule.beta[1:]).cumprod(0)
    torch.testing.assert_close(schedule.snr[1:], bar / (1 - bar), rtol=1e-6, atol=0)


EQUATIONS = [
    Equation("2.1", CHAPTER, "a straight walk", "book.ch02_concepts.walk.walk_stop", straight_walk),
    Equation("2.2", CHAPTER, "signal and noise", "minildm.process.diffuse", signal_and_noise),
    Equation(
        "2.3", CHAPTER, "signal-to-noise ratio", "minildm.schedule.DiscreteSchedule",
        signal_to_noise,
    ),
]  # fmt: skip
