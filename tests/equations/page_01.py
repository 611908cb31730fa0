"""What the letters of chapter 1 stand for: values that the package computed."""

import math

import torch
from latexrelation import Normal
from latexvalue import WORDS, Rule
from pageforms import shows
from registry import points
from symbols import average, density, exact

from book.ch01_background.likelihood import (
    log_likelihood,
    mixture_entropy,
    mixture_log_density,
)
from book.ch01_background.models import GAN, VAE
from minildm.denoise import Denoised
from minildm.schedule import CosineSchedule

I = torch.eye(2, dtype=torch.float64)  # noqa: E741


@shows("1.1")
def entropy_bound():
    """Samples of clusters far apart, the moments of each exact."""
    weights, means = torch.full((6,), 1 / 6).double(), 9 * points(6, 3)
    covs = (0.2**2 * torch.eye(3).double()).expand(6, 3, 3)
    x = torch.cat([mean + 0.2 * exact(9, 3, seed=k) for k, mean in enumerate(means)])
    entropy = mixture_entropy(weights, covs)
    p = mixture_log_density(weights, means, covs, x).exp()

    def equal(a, b):
        return abs(a - b) < 1e-6 and abs(b - entropy) < 1e-6

    for wrong in (1.5, 0.7):
        yield {
            r"p_\theta(x)": mixture_log_density(weights, means, wrong * covs, x).exp(), "p(x)": p,
            r"\mathbb{E}_{x \sim p}": average, "K": 6, "d": 3, "s": 0.2, "=": equal,
        }  # fmt: skip


@shows("1.2")
@torch.no_grad()
def vae_bound():
    """With one noise in the place of the average; log p by an average over many latents."""
    torch.manual_seed(0)
    model = VAE(8).double()
    x = points(5, 2)
    torch.manual_seed(1)
    bound = model.bound(x)
    mean, log_var = model.encoder(x).chunk(2, dim=1)
    torch.manual_seed(1)
    z = mean + (log_var / 2).exp() * torch.randn_like(mean)
    s, many = float(model.log_s.exp()), points(2000, mean.shape[1], seed=2)
    log_p = torch.stack([density(one, model.decoder(many), s**2 * I).mean().log() for one in x])

    def kl(q, p):
        return (
            (q.mean - p.mean) ** 2 + q.cov - p.cov.diagonal() - (q.cov / p.cov.diagonal()).log()
        ).sum(1) / 2

    def reaches(a, b):
        return (b - bound).abs().max() < 1e-6 and a.mean() > b.mean()

    yield {
        r"\log p_\theta(x)": log_p, r"\mathbb{E}_{q(z \mid x)}": lambda inner: inner, "x": x,
        r"\mathcal N": _density_or_law, "D": model.decoder, "z": z, "s": s, "I": I,
        r"\mathrm{KL}": kl, r"q(z \mid x)": Normal(mean, log_var.exp()), r"\ge": reaches,
        r"\text{how well} x \text{comes back}": WORDS,
    }  # fmt: skip


def _density_or_law(*parts):
    return density(*parts) if len(parts) == 3 else Normal(*parts)


@shows("1.3")
@torch.no_grad()
def gan_losses():
    """Of one point, so that the losses' mean is the value."""
    torch.manual_seed(0)
    model, x = GAN(8).double(), points(1, 2)
    torch.manual_seed(1)
    critic = float(model.critic_loss(x))
    torch.manual_seed(1)
    generator = float(model.generator_loss(x))
    torch.manual_seed(1)
    yield {
        r"\sigma": torch.sigmoid, "C": model.critic, "G": model.generator, "x": x,
        "z": torch.randn(1, 2).to(x), "values": [critic, generator],
    }  # fmt: skip


@shows("1.4")
def change_of_density():
    """A flow v = k z, for which everything is known: z_T = exp(k pi / 2) z0."""
    schedule, k = CosineSchedule(), 0.3

    def parts(z, phi):
        signal, noise = math.cos(phi), math.sin(phi)
        return (signal - noise * k) * z, (noise + signal * k) * z

    def denoise(z, t):
        return Denoised(*parts(z, float(t) * math.pi / 2))

    z0, phi, z = points(2, 2), 0.7, points(3, 2, seed=1)
    yield {
        r"\frac{dz}{d\varphi}": k * z, "z": z, "v": lambda z: k * z, r"\varphi": phi, "only": (0,),
        r"\hat z_0": lambda z: parts(z, phi)[0], r"\hat\epsilon": lambda z: parts(z, phi)[1],
    }  # fmt: skip
    yield {
        "only": (1,), "z_T": z0 * math.exp(k * math.pi / 2),
        r"\log p(z_0)": log_likelihood(denoise, schedule, z0, schedule.times(400)),
        r"\mathrm{div} v": Rule(lambda values: 2 * k + 0 * values[r"\varphi"]),
        r"\mathcal N": density, "I": I, "tolerance": 1e-4,
    }  # fmt: skip
