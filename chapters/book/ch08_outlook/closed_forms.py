"""Closed forms of chapter 8: a start that does not fit, one clock for all, implied weights.

start_mismatch   how much of a direction's spread and mean is lost by starting from N(0, I)
flow_time        the time of flow matching that belongs to a time of any schedule
straightness     how far walks are from straight lines, where the data are clusters on a line
implied_weight   where on the axis of noise a training spends its loss
"""

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
    keep their order; see known_answer.py.
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
