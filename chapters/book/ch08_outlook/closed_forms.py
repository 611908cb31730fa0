"""Closed forms of chapter 8: a wrong start, one clock for all, implied weights, costs on paper.

start_mismatch   how much of a direction's spread and mean is lost by starting from N(0, I)
flow_time        the time of flow matching that belongs to a time of any schedule
straightness     how far walks are from straight lines, where the data are clusters on a line
implied_weight   where on the axis of noise a training spends its loss
training_flops   what a training costs, on paper: good to a few per cent, for what it counts
device_hours     the same in hours: as good as its assumption on the share of the peak speed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from book.ch05_4_sampling.line_data import Clusters, exact_end
from minildm.predict import Parameterization
from minildm.schedule import FlowSchedule


class Kept(NamedTuple):
    """Shares of the data's ``spread`` (standard deviation) and ``mean`` that samples have."""

    spread: Tensor
    mean: Tensor


def start_mismatch(schedule, variance: Tensor | float) -> Kept:
    """What an exact deterministic sampler keeps when it starts from N(0, I), along one direction.

    For Gaussian data with ``variance`` along it, and z_T = signal z0 + noise eps:

        spread = 1 / sqrt(signal^2 variance + noise^2),   mean = 1 - signal sqrt(variance) spread

    1 and 1 at zero terminal SNR. Float64, shaped like ``variance``; ValueError if it is negative.
    """
    variance = torch.as_tensor(variance, dtype=torch.float64)
    if not (variance >= 0).all():
        raise ValueError(f"variance must be >= 0; got {float(variance.min()):.3g}")
    signal, noise = schedule(schedule.T)
    spread = (signal**2 * variance + noise**2).rsqrt()
    return Kept(spread, 1 - signal * variance.sqrt() * spread)


def flow_time(schedule, t: Tensor | int | float) -> Tensor:
    """noise / (signal + noise): the time at which ``FlowSchedule`` has the same SNR.

    There z / (signal + noise) is the noisy latent of flow matching. Float64, shaped like t.
    """
    signal, noise = schedule(t)
    return noise / (signal + noise)


def straightness(clusters: Clusters, z_T: Tensor, steps: int = 100) -> Tensor:
    """Mean over time of (velocity - (z_T - z_0))^2 of the exact flow from z_T (n, 1): float64 (n,).

    0 for a walk that is a straight line at constant speed. Liu et al. 2023 (arXiv 2209.03003),
    their S(Z), for each walk alone; here with the exact denoiser, by the midpoints of
    ``steps`` intervals of time, on walks that are exact as well.
    """
    schedule = FlowSchedule()
    denoise = clusters.denoiser(schedule)
    chord = z_T.double() - exact_end(clusters, z_T)
    total = torch.zeros(len(z_T), dtype=torch.float64)
    for t in (torch.arange(steps, dtype=torch.float64) + 0.5) / steps:
        z0, eps = denoise(exact_point(clusters, z_T, t), t)
        total += (eps - z0 - chord).square()[:, 0]
    return total / steps


def exact_point(clusters: Clusters, z_T: Tensor, t: Tensor | float) -> Tensor:
    """Where the exact flow that starts at z_T (n, 1) is at flow time t: float64 (n, 1).

    Noisy clusters are clusters again, N((1 - t) mean, (1 - t)^2 std^2 + t^2), and walks on a line
    keep their order; see line_data.py.
    """
    t = float(t)
    means = tuple((1 - t) * mean for mean in clusters.means)
    stds = tuple(((1 - t) ** 2 * std**2 + t**2) ** 0.5 for std in clusters.stds)
    return exact_end(Clusters(clusters.shares, means, stds), z_T)


def implied_weight(schedule, parameterization: Parameterization, t: Tensor) -> Tensor:
    """What a unit of log SNR weighs in a training that draws t evenly and weighs all times alike.

    In units of the error of eps, for which the variational bound weighs every log SNR alike:

        w = (det / signal)^2 (share of times per unit of log SNR),   det of predict.py

    A constant factor means nothing. t: inner times, (n,) int64 in 2..T-1 or float64 in (0, 1);
    float64 (n,). Kingma and Gao 2023 (arXiv 2303.00848).
    """
    discrete = isinstance(schedule.T, int)
    step = 1 if discrete else 1e-5
    slope = 2 * (schedule.half_log_snr(t - step) - schedule.half_log_snr(t + step)) / (2 * step)
    signal, noise = schedule(t)
    a, b = parameterization.weights(signal, noise)
    det = signal * b - noise * a
    return (det / signal) ** 2 / (slope * schedule.T)


BACKWARD = 2.0  # a backward pass costs two forward passes: gradients of inputs and of weights


@dataclass(frozen=True)
class Phase:
    """Part of a training: ``flops`` of one forward call for one sample, a multiply-add being two.

    ``fixed``: operations per sample of networks that only run forward, such as a text encoder.
    Raises ValueError for numbers that are not positive (``fixed``: negative).
    """

    steps: float
    batch: float
    flops: float
    fixed: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "flops"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not self.fixed >= 0:
            raise ValueError(f"fixed must be >= 0; got {self.fixed}")


def training_flops(phases: Sequence[Phase]) -> float:
    """sum over phases of steps batch ((1 + BACKWARD) flops + fixed)."""
    return sum(p.steps * p.batch * ((1 + BACKWARD) * p.flops + p.fixed) for p in phases)


def device_hours(flops: float, peak: float, utilisation: float) -> float:
    """flops / (peak utilisation) / 3600: hours on one device of ``peak`` operations per second.

    Raises ValueError unless peak > 0 and 0 < utilisation <= 1.
    """
    if not peak > 0:
        raise ValueError(f"peak must be positive; got {peak}: operations per second")
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation must be in (0, 1]; got {utilisation}: 0.3 is usual")
    return flops / (peak * utilisation) / 3600


# Steps and batch: model card of Stable Diffusion v1 (checkpoints v1-1 to v1-3). The UNet's
# operations per call on 64 x 64 latents were counted with ch05_2_unet/cost.py; on 32 x 32 it is
# about a quarter (exactly so for convolutions; attention shrinks more).
UNET_512 = 803e9
ENCODER_512 = 1.12e12  # its encoder on 512 x 512 pixels; on 256 x 256 a quarter as well
STABLE_DIFFUSION = (
    Phase(steps=237_000, batch=2048, flops=UNET_512 / 4, fixed=13.3e9),  # 256 x 256 pixels
    Phase(steps=194_000 + 515_000 + 195_000, batch=2048, flops=UNET_512, fixed=13.3e9),  # 512
)
PUBLISHED_HOURS = 150_000  # A100 PCIe 40 GB, same model card
A100_PEAK = {"half precision": 312e12, "TF32": 156e12, "float32": 19.5e12}  # its data sheet
