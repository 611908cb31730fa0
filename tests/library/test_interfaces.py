"""A schedule, a denoiser and a step of one's own work with the rest, and mypy reads them so too."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from minildm import (
    Denoised,
    Denoiser,
    FlowSchedule,
    Schedule,
    Step,
    V,
    clipped,
    ddim,
    ddpm,
    diffuse,
    diffuse_step,
    diffusion_loss,
    dpmpp_2m,
    gaussian_denoiser,
    guided,
    heun,
    posterior,
    sample,
)

Time = Tensor | float


class Straight:
    """FlowSchedule, written by somebody who has read interfaces.py and nothing else."""

    T = 1.0

    def __call__(self, t: Time) -> tuple[Tensor, Tensor]:
        t = torch.as_tensor(t, dtype=torch.float64)
        return 1 - t, t.clone()

    def transition(self, t: Time, s: Time) -> tuple[Tensor, Tensor]:
        (signal_t, noise_t), (signal_s, noise_s) = self(t), self(s)
        ratio = signal_t / signal_s
        return ratio, noise_t**2 - (ratio * noise_s) ** 2

    def half_log_snr(self, t: Time) -> Tensor:
        signal, noise = self(t)
        return (signal / noise).log()

    def times(self, steps: int, spacing: str = "uniform") -> Tensor:
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def towards_one(z_t: Tensor, t: Tensor) -> Denoised:
    """Whatever comes, the data is 1."""
    signal, noise = (1 - t).to(z_t), t.to(z_t)
    return Denoised(torch.ones_like(z_t), (z_t - signal) / noise)


def euler(
    z: Tensor, t: Tensor, s: Tensor, denoise: Denoiser, schedule: Schedule, memory: Any = None
) -> tuple[Tensor, Tensor, Any]:
    """A step of one's own: dz/dt = eps - z0 on the straight line; it counts its steps."""
    z0, eps = denoise(z, t)
    return z + (s - t).to(z) * (eps - z0), z0, (memory or 0) + 1


MINE, THEIRS = Straight(), FlowSchedule()
z_T = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MEAN, COV = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.3], [0.3, 2.0]])


def walked(schedule: Schedule, step: Step) -> Tensor:
    denoise = gaussian_denoiser(schedule, MEAN, COV)
    *_, last = sample(clipped(denoise, schedule, -9, 9), schedule, z_T, schedule.times(8), step)
    return last.z


def test_a_schedule_of_ones_own_walks_like_the_library_s() -> None:
    draw = partial(torch.full_like, fill_value=0.5)
    steps: list[Step] = [ddim, heun, dpmpp_2m, partial(ddpm, draw=draw)]
    for step in steps:
        assert torch.allclose(walked(MINE, step), walked(THEIRS, step), rtol=1e-9)


def test_the_forward_process_and_the_loss_take_it() -> None:
    t, s, eps = torch.tensor(0.7).double(), torch.tensor(0.2).double(), torch.ones_like(z_T)
    for mine, theirs in (
        (diffuse(MINE, z_T, t, eps), diffuse(THEIRS, z_T, t, eps)),
        (diffuse_step(MINE, z_T, t, s, eps), diffuse_step(THEIRS, z_T, t, s, eps)),
        (posterior(MINE, z_T, eps, t, s).mean, posterior(THEIRS, z_T, eps, t, s).mean),
        tuple(
            diffusion_loss(lambda z, t, c: z, each, z_T, parameterization=V, t=t, eps=eps)
            for each in (MINE, THEIRS)
        ),
    ):
        assert torch.allclose(mine, theirs, rtol=1e-9)


def test_a_denoiser_and_a_step_of_ones_own() -> None:
    *_, last = sample(guided(towards_one, towards_one, 3.0), MINE, z_T, MINE.times(4), euler)
    assert torch.allclose(last.z, torch.ones_like(z_T))
    assert torch.allclose(walked(MINE, euler), walked(MINE, ddim), rtol=1e-9)
