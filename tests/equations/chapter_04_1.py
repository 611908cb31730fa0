"""The numbered equations of chapter 4.1, each checked against the package."""

import contextlib
import math
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

import torch
from registry import close, numbered, points
from torch import nn

from book.written import written
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.denoise import mixture_denoiser, network_denoiser
from minildm.engine.fit import build
from minildm.latent import LatentDiffusion
from minildm.losses import diffusion_loss, kl_loss, reconstruction_loss
from minildm.predict import EPS, V
from minildm.process import Gaussian, diffuse, diffuse_step
from minildm.samplers import ddpm
from minildm.schedule import DiscreteSchedule, cosine_betas, linear_betas
from minildm.train import AutoencoderTraining, train_autoencoder
from minildm.unet import UNet, UNetConfig

CHAPTER = "04_1_mathematical_model"
BETAS = linear_betas(1000)
SCHEDULE = DiscreteSchedule(BETAS)
TIMES = (1, 2, 37, 500, 1000)


def alpha_bar(t: int) -> float:
    """The product, multiplied out: independent of the schedule's logarithms."""
    return math.prod(1 - float(beta) for beta in BETAS[:t])


def reconstruction() -> None:
    x, x_hat = points(3, 2, 4, 5), points(3, 2, 4, 5, seed=1)
    for one, other, loss in zip(x, x_hat, reconstruction_loss(x_hat, x), strict=True):
        squares = [(p - q) ** 2 for p, q in zip(one.flatten(), other.flatten(), strict=True)]
        close(loss, sum(squares) / (2 * 4 * 5))


def compression() -> None:
    for C, c, factor in ((3, 4, 8), (1, 2, 4), (3, 16, 2)):
        net = Autoencoder(AutoencoderConfig(C, c, factor, patch=2, width=8, max_width=8))
        x = torch.zeros(1, C, 32, 64)
        z = net.encode(x).mean
        assert tuple(z.shape[1:]) == net.latent_shape((32, 64)) == (c, 32 // factor, 64 // factor)
        close(x.numel() / z.numel(), C * factor**2 / c)


def same_round_trip() -> None:
    """The chapter's own ``loud``, around a pair of which neither undoes the other."""
    (loud,) = written("04_1", "loud")

    class Pair:
        def encode(self, x):
            return Gaussian(x.sin() + 0.3, x**2)

        def decode(self, z):
            return (2 * z).exp() - z

    x, pair = points(9, 6, seed=2), Pair()
    for a in (0.1, 10.0):
        encode, decode = loud(pair, a)
        close(encode(x), a * pair.encode(x).mean)
        close(decode(encode(x)), pair.decode(pair.encode(x).mean))


def kl() -> None:
    """The closed form against an integral of q log(q / p)."""
    grid = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    for mean, var in ((0.7, 0.3), (-2.0, 1.0), (0.0, 4.0)):
        q = (-((grid - mean) ** 2) / (2 * var)).exp() / (2 * math.pi * var) ** 0.5
        log_ratio = (grid**2 - (grid - mean) ** 2 / var - math.log(var)) / 2
        m, v = (torch.full((1, 1), x, dtype=torch.float64) for x in (mean, var))
        close(kl_loss(Gaussian(m, v)), torch.trapezoid(q * log_ratio, grid), 1e-9)
    m, v = points(3, 2, 5), points(3, 2, 5, seed=1).exp()  # a mean over 10 numbers, not a sum
    close(kl_loss(Gaussian(m, v)), (m**2 + v - 1 - v.log()).sum((1, 2)) / 2 / 10)
    x, xi = points(3, 1, 16, 16).tanh().float(), points(3, 2, 2, 2, seed=1).float()
    net, loss = _loss_of_training(x, kl=0.3)
    q = net.encode(x)
    x_hat = net.decode(q.mean + q.var.sqrt() * xi)
    close(loss(xi), reconstruction_loss(x_hat, x) + 0.3 * kl_loss(q), 1e-6)


def _loss_of_training(x: torch.Tensor, kl: float):
    """The network that ``train_autoencoder`` would train, and its loss for noise (n, c, h, w)."""
    caught = []

    def catch(net, loss, *rest, **options):
        caught.extend((net.eval(), loss))
        raise InterruptedError

    config = AutoencoderConfig(1, 2, 8, width=8, max_width=8)
    with patch("minildm.train.train_network", catch), contextlib.suppress(InterruptedError):
        train_autoencoder(AutoencoderTraining(config, kl=kl), x)
    net, loss = caught
    indices = torch.arange(len(x))

    def value(xi: torch.Tensor) -> torch.Tensor:
        return loss(net, SimpleNamespace(indices=indices, normal=lambda shape: xi))[0].detach()

    return net.requires_grad_(False), value


def scale() -> None:
    net = build(lambda: Autoencoder(AutoencoderConfig(latent_channels=2, width=8)), 0)
    x = points(20, 1, 16, 16).float().tanh()  # in [-1, 1], as pictures are
    unscaled = net.encode(x).mean.detach()
    net.measure_scale(x)
    close(net.scale * unscaled.double().std(), 1, 1e-6)
    network = UNet(UNetConfig(channels=2, width=8, heads=2))
    model = LatentDiffusion(net, network, DiscreteSchedule(cosine_betas(10)), (4, 4))
    close(model.encode(x), net.scale * unscaled, 1e-6)
    close(model.decode(model.encode(x)), net.decode(unscaled).clamp(-1, 1).detach(), 1e-5)


def markov_step() -> None:
    z, eps = points(5, 2), points(5, 2, seed=1)
    for t in TIMES:
        beta = float(BETAS[t - 1])
        close(diffuse_step(SCHEDULE, z, t, t - 1, eps), (1 - beta) ** 0.5 * z + beta**0.5 * eps)


def jump() -> None:
    z0, eps = points(5, 2), points(5, 2, seed=1)
    for t in TIMES:
        a = alpha_bar(t)
        close(diffuse(SCHEDULE, z0, t, eps), a**0.5 * z0 + (1 - a) ** 0.5 * eps)


def signal_to_noise() -> None:
    for t in TIMES:
        a = alpha_bar(t)
        close(SCHEDULE.snr[t] / (a / (1 - a)), 1)
        close(SCHEDULE.half_log_snr(t), math.log(a / (1 - a)) / 2, 1e-9)


class Wave(nn.Module):
    """Stands for a trained network: any function of z_t and t will do."""

    def forward(self, z_t, t, condition):
        return (z_t + t.double()[:, None] / 300).sin()


def reverse_step() -> None:
    z, xi = points(5, 2), points(5, 2, seed=1)
    denoise = network_denoiser(Wave(), SCHEDULE, EPS)
    for t in TIMES:  # at t = 1 the printed sigma is 0: nothing is drawn
        a, before, beta = alpha_bar(t), alpha_bar(t - 1), float(BETAS[t - 1])
        eps = (z + t / 300).sin()
        sigma = ((1 - before) / (1 - a) * beta) ** 0.5
        update = (z - beta / (1 - a) ** 0.5 * eps) / (1 - beta) ** 0.5 + sigma * xi
        step = torch.tensor(t), torch.tensor(t - 1)
        close(ddpm(z, *step, denoise, SCHEDULE, draw=lambda _: xi)[0], update, 1e-9)


def diffusion() -> None:
    z0, eps, t = points(5, 2), points(5, 2, seed=1), torch.tensor(TIMES)
    expected = []
    for one, noise, time in zip(z0, eps, TIMES, strict=True):
        a = alpha_bar(time)
        z_t = a**0.5 * one + (1 - a) ** 0.5 * noise
        expected.append(((noise - (z_t + time / 300).sin()) ** 2).mean())
    loss = diffusion_loss(Wave(), SCHEDULE, z0, parameterization=EPS, t=t, eps=eps)
    close(loss, torch.stack(expected))


def least_squares() -> None:
    """By quadrature over z_t, for the mean that the package's exact denoiser gives."""
    weights, means = torch.tensor([0.8, 0.2]).double(), torch.tensor([[-1.0], [1.5]]).double()
    variances = torch.tensor([0.3, 0.05]).double()
    oracle = mixture_denoiser(SCHEDULE, weights, means, variances[:, None, None])
    z = torch.linspace(-9, 9, 9001, dtype=torch.float64)
    for t in (37, 500):
        a, b = alpha_bar(t) ** 0.5, (1 - alpha_bar(t)) ** 0.5
        best = oracle(z[:, None], torch.tensor(t)).eps[:, 0]
        for f in (0 * z, z, z.cos(), best):
            whole = unavoidable = own = torch.zeros(()).double()
            for w, m, v in zip(weights, means[:, 0], variances, strict=True):
                c = a**2 * v + b**2  # of z_t in this component; eps is Gaussian there, given z_t
                p = w * (-((z - a * m) ** 2) / (2 * c)).exp() / (2 * math.pi * c) ** 0.5
                eps, spread = b * (z - a * m) / c, a**2 * v / c
                whole = whole + torch.trapezoid(p * ((eps - f) ** 2 + spread), z)
                unavoidable = unavoidable + torch.trapezoid(p * ((eps - best) ** 2 + spread), z)
                own = own + torch.trapezoid(p * (best - f) ** 2, z)
            close(whole, unavoidable + own, 1e-9)


def decoder_width() -> None:
    """The right side against the bound of a variational autoencoder, term by term."""
    x, x_hat = points(2, 3, 4, 4), points(2, 3, 4, 4, seed=1)
    q = Gaussian(points(2, 2, 2, 2, seed=2), points(2, 2, 2, 2, seed=3).exp())
    CHW, chw, width = 48, 8, 0.7
    weight = 2 * width**2 * chw / CHW
    loss = reconstruction_loss(x_hat, x) + weight * kl_loss(q)
    printed = CHW / (2 * width**2) * loss + CHW / 2 * math.log(2 * math.pi * width**2)
    pixel = torch.distributions.Normal(x_hat, torch.tensor(width, dtype=torch.float64))
    standard = torch.distributions.Normal(0 * q.mean, torch.ones_like(q.mean))
    start = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean, q.var.sqrt()), standard
    )
    terms = -pixel.log_prob(x).sum((1, 2, 3)) + start.sum((1, 2, 3))
    close(printed, terms, 1e-9)
    # A linear decoder, one pixel and one number: the bound holds, and is tight for the posterior.
    slope, variance = 1.7, width**2
    one = torch.distributions.Normal(*torch.tensor([0, (slope**2 + variance) ** 0.5]).double())
    posterior = Gaussian(
        torch.tensor([[slope * 0.4 / (slope**2 + variance)]]).double(),
        torch.tensor([[variance / (slope**2 + variance)]]).double(),
    )
    for q, slack in ((posterior, 0.0), (Gaussian(0 * posterior.mean, posterior.var), 1e-3)):
        recon = (0.4 - slope * q.mean) ** 2 + slope**2 * q.var
        right = (recon + 2 * variance * kl_loss(q)) / (2 * variance)
        right = float(right) + math.log(2 * math.pi * variance) / 2
        exact = -float(one.log_prob(torch.tensor(0.4, dtype=torch.float64)))
        assert right >= exact + slack - 1e-9, (right, exact)
        assert slack or abs(right - exact) < 1e-6, (right, exact)


def two_units() -> None:
    z_t, output = points(5, 2), points(5, 2, seed=1)
    for t in TIMES:
        signal, noise = SCHEDULE(t)
        (z0, eps), (z0_, eps_) = (
            V.solve(some, z_t, signal, noise) for some in (output, output + points(5, 2, seed=2))
        )
        a = alpha_bar(t)
        close(
            (z0 - z0_).square().mean(), (1 - a) / a * (eps - eps_).square().mean(), 1e-6 * (1 / a)
        )


_equation = partial(numbered, CHAPTER)

EQUATIONS = [
    _equation(1, "the reconstruction loss", "losses.reconstruction_loss", reconstruction),
    _equation(2, "compression", "autoencoder.Autoencoder.latent_shape", compression),
    _equation(3, "what the loss does not see", "cell loud-latents", same_round_trip),
    _equation(4, "the pull towards N(0, 1)", "losses.kl_loss", kl),
    _equation(5, "the latent scale", "autoencoder.Autoencoder.measure_scale", scale),
    _equation(6, "one Markov step", "process.diffuse_step", markov_step),
    _equation(7, "the jump", "process.diffuse", jump),
    _equation(8, "signal-to-noise ratio", "schedule.DiscreteSchedule", signal_to_noise),
    _equation(9, "the article's reverse step", "samplers.ddpm", reverse_step),
    _equation(10, "the diffusion loss", "losses.diffusion_loss", diffusion),
    _equation(11, "errors in eps and in z0", "predict.Parameterization.solve", two_units),
    _equation(12, "least squares", "denoise.mixture_denoiser", least_squares),
    _equation(13, "the autoencoder's bound", "losses.kl_loss", decoder_width),
]
