"""The numbered equations of chapter 5.3, training, each checked against the package."""

import math

import torch
from registry import Equation
from torch import nn

from book.ch05_3_training.diagnosis import linear_denoiser, loss_by_time
from minildm.denoise import network_denoiser
from minildm.engine.optim import EMA, QUINTIC, ROUNDS, Muon, orthogonalized
from minildm.engine.settings import FitConfig
from minildm.losses import min_snr_weight
from minildm.predict import EPS, Z0, V
from minildm.schedule import DiscreteSchedule, cosine_betas

CHAPTER = "05_3_training"
SCHEDULE = DiscreteSchedule(cosine_betas(200))
TIMES = (5, 60, 120, 190)


def _data(n: int) -> torch.Tensor:
    """Correlated numbers with a mean square of about 5."""
    root = torch.tensor([[2.0, 0.0, 0.0], [1.5, 0.7, 0.0], [0.0, 1.0, 2.5]])
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(3)) @ root.T


def power_of_v() -> None:
    z0 = _data(20_000)
    silent = network_denoiser(lambda z, t, c: torch.zeros_like(z), SCHEDULE, V)
    losses = loss_by_time(silent, SCHEDULE, z0, TIMES, V)
    ab = SCHEDULE.alpha_bar[list(TIMES)]
    wanted = ab + (1 - ab) * z0.double().square().mean()
    torch.testing.assert_close(losses, wanted, rtol=0.02, atol=0)


def error_of_the_best_average() -> None:
    z0 = _data(40_000)
    cov = z0.double().T.cov()
    losses = loss_by_time(linear_denoiser(SCHEDULE, z0), SCHEDULE, z0, TIMES, Z0)
    for t, loss in zip(TIMES, losses, strict=True):
        snr = SCHEDULE.snr[t]
        wanted = torch.linalg.inv(torch.linalg.inv(cov) + snr * torch.eye(3)).trace() / 3
        torch.testing.assert_close(loss, wanted, rtol=0.03, atol=0)


def errors_of_three_targets() -> None:
    """The same wrong z0, seen through the package's three targets."""
    z0 = _data(10).double()
    z0_hat, eps = z0 + 0.3, torch.ones(10, 3).double()
    for t in TIMES:
        signal, noise = SCHEDULE(t)
        z_t = signal * z0 + noise * eps
        eps_hat = (z_t - signal * z0_hat) / noise
        errors = {
            p.name: (
                p.target(z0_hat, eps_hat, signal, noise) - p.target(z0, eps, signal, noise)
            ).square().mean()
            for p in (Z0, EPS, V)
        }  # fmt: skip
        snr = SCHEDULE.snr[t]
        torch.testing.assert_close(errors["EPS"], snr * errors["Z0"])
        torch.testing.assert_close(errors["V"], (snr + 1) * errors["Z0"])


def min_snr_for_v() -> None:
    t = torch.arange(1, 201)
    snr = SCHEDULE.alpha_bar[1:] / (1 - SCHEDULE.alpha_bar[1:])
    for gamma, c in ((1.0, 0.0), (5.0, 0.0), (5.0, 1.0), (2.0, 0.3)):
        wanted = (torch.minimum(snr, torch.full_like(snr, gamma)) + c) / (snr + 1)
        torch.testing.assert_close(min_snr_weight(SCHEDULE, t, V, gamma, c), wanted)


def newton_schulz() -> None:
    """The matrix and its singular values, which must be where the polynomial takes them."""
    gradient = torch.randn(5, 12, generator=torch.Generator().manual_seed(2)).double()
    U, s, Vt = torch.linalg.svd(gradient / gradient.norm(), full_matrices=False)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        s = a * s + b * s**3 + c * s**5
    torch.testing.assert_close(
        orthogonalized(gradient), (U * s) @ Vt, rtol=1e-5, atol=1e-5
    )  # 1e-7 is added to the norm


def step_of_muon() -> None:
    net = nn.Linear(12, 5, bias=False).double()
    before = net.weight.detach().clone()
    net.weight.grad = torch.randn(5, 12, generator=torch.Generator().manual_seed(4)).double()
    direction = orthogonalized(net.weight.grad)  # of the first step: its mean is the gradient
    Muon(net, 0.3, weight_decay=0.0).step()
    wanted = before - 0.3 * 0.2 * 12**0.5 * direction
    torch.testing.assert_close(net.weight.detach(), wanted, rtol=1e-5, atol=1e-6)


def rate() -> None:
    fit = FitConfig(steps=60, lr=0.4, warmup=7)
    for k in range(60):
        wanted = 0.4 * min(1, (k + 1) / 7) * (1 + math.cos(math.pi * k / 60)) / 2
        assert math.isclose(fit.lr_at(k), wanted)


def average_unrolled() -> None:
    """After a long warm-up, so that the decay is the one asked for."""
    net = nn.Linear(1, 1, bias=False)
    ema = EMA(net, 0.9)
    ema.updates = 10_000
    start, d = float(ema.net.weight), 0.9
    weights = [3.0, -1.0, 0.5, 2.0, 7.0]  # after steps 0, 1, ..
    for value in weights:
        nn.init.constant_(net.weight, value)
        ema.update(net)
    K = len(weights)
    wanted = d**K * start + (1 - d) * sum(d ** (K - 1 - k) * w for k, w in enumerate(weights))
    torch.testing.assert_close(float(ema.net.weight), wanted, rtol=1e-5, atol=1e-6)


EQUATIONS = [
    Equation(
        "5.3.1", CHAPTER, "one error in three targets",
        "minildm.predict.Parameterization", errors_of_three_targets,
    ),
    Equation(
        "5.3.2", CHAPTER, "min-SNR weights for v, with a floor",
        "minildm.losses.min_snr_weight", min_snr_for_v,
    ),
    Equation("5.3.3", CHAPTER, "the learning rate",
             "minildm.engine.settings.FitConfig.lr_at", rate),
    Equation("5.3.4", CHAPTER, "the running average", "minildm.engine.optim.EMA", average_unrolled),
    Equation("5.3.5", CHAPTER, "the Newton-Schulz iteration",
             "minildm.engine.optim.orthogonalized", newton_schulz),
    Equation("5.3.6", CHAPTER, "a step of Muon", "minildm.engine.optim.Muon", step_of_muon),
    Equation("5.3.7", CHAPTER, "the first loss",
             "book.ch05_3_training.diagnosis.loss_by_time", power_of_v),
    Equation(
        "5.3.8", CHAPTER, "the error of the best average",
        "book.ch05_3_training.diagnosis.linear_denoiser", error_of_the_best_average,
    ),
]  # fmt: skip
