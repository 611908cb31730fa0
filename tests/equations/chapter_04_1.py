"""The numbered equations of chapter 4.1, each checked against the package."""

import math
from functools import partial

import torch
from registry import close, numbered, points
from torch import nn

from book.ch04_3_gaussian.gaussian_case import LinearAutoencoder
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.denoise import network_denoiser
from minildm.engine.fit import build
from minildm.latent import LatentDiffusion
from minildm.losses import diffusion_loss, kl_loss, reconstruction_loss
from minildm.predict import EPS, V
from minildm.process import Gaussian, diffuse, diffuse_step
from minildm.samplers import ddpm
from minildm.schedule import DiscreteSchedule, cosine_betas, linear_betas
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
    plane = LinearAutoencoder(points(6), torch.linalg.qr(points(6, 2)).Q)
    x = points(9, 6, seed=2)
    for a in (0.1, 10.0):
        close(plane.decode(a * plane.encode(x) / a), plane.decode(plane.encode(x)))


def kl() -> None:
    """The closed form against an integral of q log(q / p)."""
    grid = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    for mean, var in ((0.7, 0.3), (-2.0, 1.0), (0.0, 4.0)):
        q = (-((grid - mean) ** 2) / (2 * var)).exp() / (2 * math.pi * var) ** 0.5
        log_ratio = (grid**2 - (grid - mean) ** 2 / var - math.log(var)) / 2
        m, v = (torch.full((1, 1), x, dtype=torch.float64) for x in (mean, var))
        close(kl_loss(Gaussian(m, v)), torch.trapezoid(q * log_ratio, grid), 1e-9)


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
]
