"""The numbered equations of chapter 9, the questions, each checked against the package."""

import math

import torch
from registry import Equation
from torch import nn

from book.ch05_3_training.diagnosis import loss_by_time
from minildm.denoise import gaussian_denoiser
from minildm.engine.optim import EMA
from minildm.noise import seeded
from minildm.predict import EPS, Z0
from minildm.schedule import DiscreteSchedule, linear_betas

CHAPTER = "09_faq"


def floor_of_the_noise_loss() -> None:
    """The loss of the exact denoiser, as the package measures it, against the formula."""
    schedule, s = DiscreteSchedule(linear_betas()), 0.6
    z0 = s * torch.randn(40_000, 1, dtype=torch.float64, generator=seeded(9))
    exact = gaussian_denoiser(schedule, torch.zeros(1), torch.tensor([[s**2]]))
    times = torch.tensor([20, 150, 400, 800])
    power, noise = schedule.alpha_bar[times] * s**2, 1 - schedule.alpha_bar[times]
    measured = loss_by_time(exact, schedule, z0, times, EPS)
    torch.testing.assert_close(measured, power / (power + noise), rtol=0.03, atol=0)
    other = loss_by_time(exact, schedule, z0, times, Z0)  # Var(z0 | z_t), for comparison
    torch.testing.assert_close(other, s**2 * noise / (power + noise), rtol=0.03, atol=0)


def share_of_the_start() -> None:
    """An average that starts at 1 and sees zeros from then on *is* the share of the start."""
    for decay, steps in ((0.9, 5), (0.99, 40), (0.9999, 60)):
        net = nn.Linear(1, 1, bias=False)
        nn.init.ones_(net.weight)
        ema = EMA(net, decay)
        nn.init.zeros_(net.weight)
        shares = [min(decay, (1 + k) / (10 + k)) for k in range(steps)]  # the warm-up's decays
        for _ in range(steps):
            ema.update(net)
        assert math.isclose(float(ema.net.weight), math.prod(shares), rel_tol=1e-3)


def error_of_z0() -> None:
    schedule = DiscreteSchedule(linear_betas())
    z_t, eps = torch.randn(2, 5, 3, dtype=torch.float64, generator=seeded(10))
    for t in (1, 300, 1000):
        signal, noise = schedule(t)
        before, after = (EPS.solve(e, z_t, signal, noise)[0] for e in (eps, eps + 0.1))
        expected = -0.1 * noise / signal * torch.ones_like(z_t)
        torch.testing.assert_close(after - before, expected, rtol=1e-9, atol=1e-12)


EQUATIONS = [
    Equation(
        "9.1", CHAPTER, "the floor of the noise loss",
        "book.ch05_3_training.diagnosis.loss_by_time",
        floor_of_the_noise_loss,
    ),
    Equation("9.2", CHAPTER, "what an average keeps of its start", "minildm.engine.optim.EMA",
             share_of_the_start),
    Equation("9.3", CHAPTER, "what an error in eps costs in z0", "cell q10-targets", error_of_z0),
]  # fmt: skip
