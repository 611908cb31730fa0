"""What the letters of chapters 2 and 3 stand for: values that the package computed."""

from functools import partial

import torch
from chapter_03 import SCHEDULE
from pageforms import shows
from registry import points
from symbols import average, exact, last_norm, only, table

from book.ch02_concepts.walk import scene_pair, walk_stop
from minildm.denoise import Denoised, guided
from minildm.latent import LatentDiffusion
from minildm.losses import diffusion_loss
from minildm.predict import EPS, V
from minildm.process import diffuse
from minildm.samplers import ddpm
from minildm.schedule import DiscreteSchedule, cosine_betas

TABLE = table(SCHEDULE)


@shows("2.1")
def straight_walk():
    model = LatentDiffusion.load("shapes")
    x = scene_pair("another place")
    z_a, z_b = model.encode(x)
    for u in (0.2, 0.9):
        yield {
            "z_u": walk_stop(model, x, u).latent, "z_a": z_a, "z_b": z_b, "u": u, "tolerance": 1e-6,
        }  # fmt: skip


@shows("2.2", "3.4")
def jump():
    z0, eps = exact(9, 2), exact(9, 2, seed=1)
    for t in (1, 2, 500, 1000):
        yield TABLE | {
            "z_t": diffuse(SCHEDULE, z0, t, eps), "z_0": z0, r"\epsilon": eps, "t": t,
            "I": torch.eye(2).double(),
            "tolerance": 1e-7,
        }  # fmt: skip


@shows("3.5")
def loss():
    """The package takes the mean over a sample's numbers where the norm takes the sum."""
    z0, eps, t = points(4, 6), points(4, 6, seed=1), torch.tensor([1, 10, 500, 1000])
    guess = points(4, 6, seed=2)
    ours = diffusion_loss(
        lambda z_t, t, condition: guess, SCHEDULE, z0, t=t, eps=eps, parameterization=EPS
    )
    z_t = diffuse(SCHEDULE, z0, t, eps)
    yield {
        r"\mathcal{L}_{\text{diffuse}}": 6 * ours.mean(), r"\mathbb{E}_{z_0, \epsilon, t}": average,
        r"\lVert": last_norm, r"\epsilon": eps, "z_t": z_t, "t": t,
        r"\epsilon_\theta": only((z_t, t), guess),
    }  # fmt: skip


@shows("3.6")
def velocity():
    z_t, v = points(3, 2), points(3, 2, seed=1)
    for t in (1, 400, 1000):
        z0, eps = V.solve(v, z_t, *SCHEDULE(t))
        yield TABLE | {
            r"\hat z_0": z0, r"\hat\epsilon": eps, r"\hat v": v, "z_t": z_t, "t": t,
            "tolerance": 1e-7,
        }  # fmt: skip


@shows("3.7")
def reverse_step():
    z, eps_hat, xi = points(3, 2), points(3, 2, seed=1), points(3, 2, seed=2)

    def denoise(z_t, t):
        signal, noise = SCHEDULE(t)
        return Denoised((z_t - noise * eps_hat) / signal, eps_hat)

    for t in (2, 400, 1000):
        step = torch.tensor(t), torch.tensor(t - 1)
        yield TABLE | {
            "z_{t-1}": ddpm(z, *step, denoise, SCHEDULE, draw=lambda _: xi)[0], "z_t": z, "t": t,
            r"\epsilon_\theta": only((z, t), eps_hat), r"\xi": xi,
            "tolerance": 1e-6,
        }  # fmt: skip


def guidance(plain: str, chosen: str):
    z, schedule, t = points(3, 2), DiscreteSchedule(cosine_betas()), torch.tensor(300)
    eps_c, eps_u = points(3, 2, seed=1), points(3, 2, seed=2)
    signal, noise = schedule(t)

    def says(eps):
        return lambda z_t, t: Denoised((z_t - noise * eps) / signal, eps)

    for w in (0.0, 0.5, 1.0, 2.5):
        yield {
            r"\hat\epsilon": guided(says(eps_c), says(eps_u), w)(z, t).eps, chosen: eps_c,
            plain: eps_u, "w": w,
        }  # fmt: skip


shows("3.8")(partial(guidance, r"\hat\epsilon_u", r"\hat\epsilon_c"))
shows("5.5.2")(partial(guidance, r"\epsilon_\varnothing", r"\epsilon_c"))  # of nothing
shows("5.5.3")(partial(guidance, r"\epsilon_n", r"\epsilon_c"))  # of a negative prompt
