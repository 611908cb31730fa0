"""The numbered equations of chapter 7, tools, each checked against the package."""

import torch
from registry import Equation, close, points

from book.ch07_tools import rosetta
from book.ch07_tools.beside_diffusers import heun_over_sigma
from minildm.denoise import gaussian_denoiser
from minildm.process import diffuse
from minildm.samplers import ddim, heun
from minildm.schedule import DiscreteSchedule, FlowSchedule, linear_betas

CHAPTER = "07_tools"
SCHEDULE = DiscreteSchedule(linear_betas(1000))
DENOISE = gaussian_denoiser(
    SCHEDULE, torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.3], [0.3, 2.0]])
)
STEPS = ((900, 700), (400, 380), (60, 1))


def over_sigma() -> None:
    z0, eps, t = points(7, 2), points(7, 2, seed=1), torch.tensor(500)
    signal, noise = SCHEDULE(t)
    sigma, alpha_bar = noise / signal, float(SCHEDULE.alpha_bar[500])
    x = rosetta.rescaled(diffuse(SCHEDULE, z0, t, eps), alpha_bar, "book", "k-diffusion")
    close(x, z0 + sigma * eps)
    close(x, diffuse(SCHEDULE, z0, t, eps) / alpha_bar**0.5)
    close(rosetta.convert("noise level", alpha_bar, "book", "k-diffusion"), sigma)
    close(rosetta.convert("noise level", sigma, "k-diffusion", "book"), 1 / (1 + sigma**2))


def euler_is_ddim() -> None:
    z = points(7, 2)
    for t, s in STEPS:
        (signal_t, noise_t), (signal_s, noise_s) = SCHEDULE(t), SCHEDULE(s)
        x, sigma_t, sigma_s = z / signal_t, noise_t / signal_t, noise_s / signal_s
        z0 = DENOISE(z, t).z0
        x_s = x + (sigma_s - sigma_t) * (x - z0) / sigma_t
        close(signal_s * x_s, ddim(z, torch.tensor(t), torch.tensor(s), DENOISE, SCHEDULE)[0])


def two_heuns() -> None:
    """The mixture of both estimates, then the weights of a ddim step."""
    z = points(7, 2)
    for t, s in STEPS:
        (signal_t, noise_t), (signal_s, noise_s) = SCHEDULE(t), SCHEDULE(s)
        first = DENOISE(z, t).z0
        landed = ddim(z, torch.tensor(t), torch.tensor(s), DENOISE, SCHEDULE)[0]
        second = DENOISE(landed, s).z0
        ratio = (noise_t / signal_t) / (noise_s / signal_s)
        for step, r in ((heun, 1.0), (heun_over_sigma, ratio)):
            z0 = (1 - r / 2) * first + r / 2 * second
            expected = signal_s * z0 + noise_s * (z - signal_t * z0) / noise_t
            close(step(z, torch.tensor(t), torch.tensor(s), DENOISE, SCHEDULE)[0], expected)


def shift() -> None:
    time = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)
    for k in (0.5, 1.0, 3.0, 6.0):
        moved = rosetta.shifted(time, k)
        close(moved, k * time / (1 + (k - 1) * time))
        (signal, noise), (signal_k, noise_k) = FlowSchedule()(time), FlowSchedule()(moved)
        close(noise_k / signal_k, k * noise / signal, 1e-9)


EQUATIONS = [
    Equation("7.1", CHAPTER, "the latent over sigma",
             "book.ch07_tools.rosetta.rescaled", over_sigma),
    Equation("7.2", CHAPTER, "Euler over sigma is ddim", "minildm.samplers.ddim", euler_is_ddim),
    Equation(
        "7.3", CHAPTER, "two rules called Heun", "book.ch07_tools.beside_diffusers.heun_over_sigma",
        two_heuns,
    ),
    Equation("7.4", CHAPTER, "a shift multiplies sigma", "book.ch07_tools.rosetta.shifted", shift),
]  # fmt: skip
