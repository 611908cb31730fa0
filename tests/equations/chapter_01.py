"""The numbered equations of chapter 1, the relatives, each checked against the package."""

import math

import torch
import torch.nn.functional as F
from registry import Equation

from book.ch01_background.likelihood import log_likelihood, mixture_entropy, mixture_log_density
from book.ch01_background.models import GAN, VAE
from minildm.data import mixture, ring
from minildm.denoise import Denoised
from minildm.schedule import CosineSchedule

CHAPTER = "01_background"


def entropy_bound() -> None:
    """-E log p_model >= -E log p, with the entropy of separate clusters in closed form."""
    weights, means, covs = ring(6, radius=3.0, std=0.2)
    data = mixture(40_000, weights, means, covs, seed=1)
    wanted = math.log(6) + math.log(2 * math.pi * math.e * 0.2**2)
    assert math.isclose(mixture_entropy(weights, covs), wanted, rel_tol=1e-9)
    truth = -float(mixture_log_density(weights, means, covs, data).mean())
    assert abs(truth - wanted) < 0.02
    for other in (covs * 1.5, covs / 1.5):
        assert -float(mixture_log_density(weights, means, other, data).mean()) > truth + 0.05


def vae_bound() -> None:
    """With the noise fixed, term by term."""
    torch.manual_seed(0)
    model = VAE(8)
    x = torch.randn(5, 2)
    with torch.no_grad():
        torch.manual_seed(1)
        got = model.bound(x)
        mean, log_var = model.encoder(x).chunk(2, dim=1)
        torch.manual_seed(1)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        s = float(model.log_s.exp())
        seen = -(x - model.decoder(z)).square().sum(1) / (2 * s**2)
        seen = seen - 2 * math.log(s * math.sqrt(2 * math.pi))
        pull = (mean**2 + log_var.exp() - 1 - log_var).sum(1) / 2
    torch.testing.assert_close(got, seen - pull)


def gan_losses() -> None:
    torch.manual_seed(0)
    model = GAN(8)
    x = torch.randn(7, 2)
    with torch.no_grad():
        torch.manual_seed(1)
        false = model.generator(torch.randn_like(x))
        said = torch.sigmoid(model.critic(x)), torch.sigmoid(model.critic(false))
    torch.manual_seed(1)
    critic = float(model.critic_loss(x).detach())
    torch.manual_seed(1)
    generator = float(model.generator_loss(x).detach())
    by_hand = -float((said[0].log() + (1 - said[1]).log()).mean())
    assert math.isclose(critic, by_hand, rel_tol=1e-5)
    assert math.isclose(generator, -float(said[1].log().mean()), rel_tol=1e-5)
    assert math.isclose(generator, float(F.softplus(-said[1].logit()).mean()), rel_tol=1e-5)


def change_of_density() -> None:
    """A flow v = k z, for which everything is known: z_T = exp(k pi / 2) z0."""
    schedule, k = CosineSchedule(), 0.3

    def denoise(z, t):  # the two parts of z whose flow cos(phi) eps - sin(phi) z0 is k z
        signal, noise = schedule(t)
        return Denoised((signal - noise * k) * z, (noise + signal * k) * z)

    z0 = torch.tensor([[0.4, -1.0], [2.0, 0.1]], dtype=torch.float64)
    end = z0 * math.exp(k * math.pi / 2)
    wanted = -end.square().sum(1) / 2 - math.log(2 * math.pi) + 2 * k * math.pi / 2
    got = log_likelihood(denoise, schedule, z0, schedule.times(200))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-3)


EQUATIONS = [
    Equation("1.1", CHAPTER, "the entropy of the data bounds every model",
             "book.ch01_background.likelihood.mixture_entropy", entropy_bound),
    Equation("1.2", CHAPTER, "the bound of a VAE",
             "book.ch01_background.models.VAE.bound", vae_bound),
    Equation("1.3", CHAPTER, "the two losses of a GAN",
             "book.ch01_background.models.GAN.critic_loss", gan_losses),
    Equation("1.4", CHAPTER, "how a flow changes log p",
             "book.ch01_background.likelihood.log_likelihood", change_of_density),
]  # fmt: skip
