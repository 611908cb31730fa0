"""A VAE, a GAN and a diffusion model for points in the plane (B, 2), with one interface.

``d``: more numbers than 2, for the digits of section 1.5; ``latent``: how many a sample is made of.

model.turns()    who learns in a step, one after another: (network, loss of a batch) pairs
model.sample(n)  n new points (n, 2)

VAE        -ELBO = -E log N(x; D(z), s^2 I) + KL(q(z | x) || N(0, I))     arXiv 1312.6114, eq. 3
GAN        critic: softplus(-C(x)) + softplus(C(G(z))); generator: softplus(-C(G(z)))
           the non-saturating loss of arXiv 1406.2661, section 3
Diffusion  ``losses.diffusion_loss``, sampled by ``samplers.sample``: the book's own path
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.denoise import Denoiser, network_denoiser
from minildm.layers import time_embedding
from minildm.losses import diffusion_loss, kl_loss
from minildm.predict import Parameterization, V
from minildm.process import Gaussian
from minildm.samplers import dpmpp_2m, sample
from minildm.schedule import DiscreteSchedule, cosine_betas

HIDDEN = 3  # hidden layers of each network
TIME = 32  # numbers that tell a network which time it is


def mlp(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """``HIDDEN`` hidden layers of ``width`` and SiLU: (B, inputs) -> (B, outputs).

    SiLU is smooth, so that the network has a divergence everywhere (likelihood.py). The weights
    start as He et al. 2015 (arXiv 1502.01852), eq. 10, propose: torch's own start is so small that
    a network of this depth first learns the coarse shape of the data alone, for thousands of steps.
    """
    sizes = [inputs] + [width] * HIDDEN + [outputs]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layer = nn.Linear(before, after)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class TimeMLP(nn.Module):
    """``mlp`` of a point and an embedding of the time: (z_t (B, d), t (B,)) -> (B, d)."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.body = mlp(d + TIME, d, width)

    def forward(self, z_t: Tensor, t: Tensor, condition: None = None) -> Tensor:
        """There is nothing to condition on: ``condition`` is what ``network_denoiser`` passes."""
        return self.body(torch.cat([z_t, time_embedding(t, TIME).to(z_t)], dim=1))  # (B, d + TIME)


D = 2  # points in the plane
Turn = tuple[nn.Module, Callable[[Tensor], Tensor]]


class VAE(nn.Module):
    """Encoder q(z | x), decoder p(x | z) = N(D(z), s^2 I) with one learned s, prior N(0, I).

    ``beta`` weighs the KL term; 1 is the bound itself.
    """

    def __init__(self, width: int, beta: float = 1.0, d: int = D, latent: int = D) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(d, 2 * latent, width), mlp(latent, d, width)
        self.latent = latent
        self.log_s = nn.Parameter(torch.tensor(-1.0))
        self.beta = beta

    def encode(self, x: Tensor) -> Gaussian:
        """q(z | x), independent components."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return Gaussian(mean, log_var.exp())

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), in nats: (B,)."""
        squares = (x - self.decoder(z)).square().sum(-1) / self.log_s.mul(2).exp()
        return -squares / 2 - x.shape[-1] * (self.log_s + math.log(2 * math.pi) / 2)

    def bound(self, x: Tensor, beta: float = 1.0) -> Tensor:
        """A draw of the ELBO of each point, with a reparameterised z: (B,), in nats."""
        q = self.encode(x)
        z = q.sample(torch.randn_like(q.mean))
        return self.log_likelihood(x, z) - beta * self.latent * kl_loss(q)

    def turns(self) -> Iterator[Turn]:
        """One player, one loss."""
        yield self, lambda x: -self.bound(x, self.beta).mean()

    def sample(self, n: int, noisy: bool = True) -> Tensor:
        """D(z) + s eps; without ``noisy`` the mean D(z) alone."""
        mean = self.decoder(torch.randn(n, self.latent))
        return mean + self.log_s.exp() * torch.randn_like(mean) if noisy else mean


class GAN(nn.Module):
    """Generator and critic; ``penalty`` > 0 adds R1 = penalty / 2 |grad C(x)|^2 at the data.

    R1: Mescheder et al. 2018 (arXiv 1801.04406), section 4.1.
    """

    def __init__(self, width: int, penalty: float = 0.0, d: int = D, latent: int = D) -> None:
        super().__init__()
        self.generator, self.critic = mlp(latent, d, width), mlp(d, 1, width)
        self.penalty, self.latent = penalty, latent

    def critic_loss(self, x: Tensor) -> Tensor:
        """The critic calls data real and the generator's points false: ()."""
        with torch.no_grad():
            false = self.generator(torch.randn(len(x), self.latent).to(x))
        x = x.detach().requires_grad_(self.penalty > 0)
        real = self.critic(x)
        loss = F.softplus(-real).mean() + F.softplus(self.critic(false)).mean()
        if self.penalty > 0:
            (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)  # (B, 2)
            loss = loss + self.penalty / 2 * slope.square().sum(1).mean()
        return loss

    def generator_loss(self, x: Tensor) -> Tensor:
        """The generator wants its points to be called real; ``x`` only says how many: ()."""
        z = torch.randn(len(x), self.latent).to(x)
        return F.softplus(-self.critic(self.generator(z))).mean()

    def turns(self) -> Iterator[Turn]:
        """Two players: the critic first."""
        yield self.critic, self.critic_loss
        yield self.generator, self.generator_loss

    def sample(self, n: int) -> Tensor:
        """G(z), z standard normal."""
        return self.generator(torch.randn(n, self.latent))


class Diffusion(nn.Module):
    """One network, the cosine schedule with 1,000 times; ``steps`` of ``sampler`` to sample."""

    def __init__(self, width: int, parameterization: Parameterization = V, d: int = D) -> None:
        super().__init__()
        self.network, self.d = TimeMLP(d, width), d
        self.schedule = DiscreteSchedule(cosine_betas(1000))
        self.parameterization = parameterization

    def denoiser(self) -> Denoiser:
        """The network, read as a denoiser."""
        return network_denoiser(self.network, self.schedule, self.parameterization)

    def turns(self) -> Iterator[Turn]:
        """One player, one loss."""
        kind = {"parameterization": self.parameterization}
        yield self.network, lambda x: diffusion_loss(self.network, self.schedule, x, **kind).mean()

    def sample(self, n: int, steps: int = 25, sampler: Callable = dpmpp_2m) -> Tensor:
        """``steps`` steps from pure noise, by the book's sampler."""
        times = self.schedule.times(steps)
        *_, last = sample(self.denoiser(), self.schedule, torch.randn(n, self.d), times, sampler)
        return last.z
