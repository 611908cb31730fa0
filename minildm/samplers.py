"""From noise to data: one loop, four steps.

A step (z, t, s, denoise, schedule, memory) -> (z_s, z0_hat, memory) goes from t to a cleaner time
s; ``memory`` is passed on, never stored. Options by functools.partial: step=partial(ddim, eta=1).

    step      order  calls  idea
    ddpm      1      1      draw from q(z_s | z_t, z0_hat)
    ddim      1      1      keep z0_hat and eps_hat, change their weights
    heun      2      2      average the estimates at both ends of the step
    dpmpp_2m  2      1      extrapolate with the previous estimate
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minildm import checks
from minildm.interfaces import Denoiser, Draw, Schedule, Step, Stepped
from minildm.process import posterior


class Snapshot(NamedTuple):
    """The state after a step: its time, the latent (B, *d), the estimate of z0 that was used."""

    t: Tensor
    z: Tensor
    z0: Tensor


@checks.step
def ddpm(
    z: Tensor, t: Tensor, s: Tensor, denoise: Denoiser, schedule: Schedule, memory: Any = None,
    draw: Draw = torch.randn_like,
) -> Stepped:  # fmt: skip
    """Ancestral step: draw from q(z_s | z_t, z0_hat); no noise at the last (DDPM, algorithm 2).

    For s = t - 1: z_s = (z_t - beta_t / sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_t) + sigma_t
    draw(z), with sigma_t^2 = posterior_variance[t]. The same as ``ddim`` with eta = 1.
    """
    z0 = denoise(z, t).z0
    if schedule(s)[1] == 0:
        return z0, z0, None
    return posterior(schedule, z, z0, t, s).sample(draw(z)), z0, None


@checks.step
def ddim(
    z: Tensor, t: Tensor, s: Tensor, denoise: Denoiser, schedule: Schedule, memory: Any = None,
    eta: float = 0.0, draw: Draw = torch.randn_like,
) -> Stepped:  # fmt: skip
    """z_s = signal_s z0_hat + sqrt(noise_s^2 - std^2) eps_hat + std draw(z).

    std = eta sqrt(var of q(z_s | z_t, z0)): ``eta`` scales the **standard deviation**; 1 is
    ``ddpm``. DDIM (arXiv 2010.02502), eq. 12, 16. ValueError for eta < 0, or if std > noise_s.
    """
    eta, (z0, eps) = checks.eta(eta), denoise(z, t)
    signal_s, noise_s = checks.floats(schedule(s))
    if noise_s == 0:
        return z0, z0, None
    if eta == 0:  # as below, without its numbers; and `alpha` saves a pass over the data: 1.3x
        checks.downwards(t, s)
        return torch.add(signal_s * z0, eps, alpha=noise_s), z0, None
    (_, noise_t), (ratio, v) = map(checks.floats, (schedule(t), schedule.transition(t, s)))
    kept, fresh = (ratio * noise_s / noise_t) ** 2, v / noise_t**2  # shares of noise_t^2, sum 1
    rest = kept + (1 - eta**2) * fresh  # = 1 - (std / noise_s)^2, without cancellation
    checks.noise_left(eta, rest)
    std = eta * noise_s * math.sqrt(max(fresh, 0))
    return signal_s * z0 + noise_s * math.sqrt(rest) * eps + std * draw(z), z0, None


@checks.step
def heun(
    z: Tensor, t: Tensor, s: Tensor, denoise: Denoiser, schedule: Schedule, memory: Any = None
) -> Stepped:
    """Heun's method on d(z / noise) = z0_hat d(signal / noise): average z0_hat over both ends.

    z0_hat(s) is taken where the ddim step would land. Nothing is infinite at zero terminal SNR.
    Karras et al. 2022 (arXiv 2206.00364), algorithm 1, in these coordinates.
    """
    z0 = denoise(z, t).z0
    (signal_s, noise_s), (signal_t, noise_t) = map(checks.floats, (schedule(s), schedule(t)))
    if noise_s == 0:
        return z0, z0, None
    from_z = noise_s / noise_t
    from_z0 = signal_s - from_z * signal_t
    z0 = (z0 + denoise(from_z * z + from_z0 * z0, s).z0) / 2
    return from_z * z + from_z0 * z0, z0, None


@checks.step
def dpmpp_2m(
    z: Tensor, t: Tensor, s: Tensor, denoise: Denoiser, schedule: Schedule, memory: Any = None
) -> Stepped:
    """DPM-Solver++(2M): z_s = (noise_s / noise_t) z - signal_s (exp(-h) - 1) D.

    D = z0_hat + h / (2 h_prev) (z0_hat - z0_prev): the line through the last two estimates, read in
    the middle of the step; h = lambda_s - lambda_t, lambda = log(signal / noise). First and last
    step use D = z0_hat. memory = (z0_hat, h). Lu et al. 2022 (arXiv 2211.01095), algorithm 2.
    """
    z0 = denoise(z, t).z0
    (signal_s, noise_s), (_, noise_t) = map(checks.floats, (schedule(s), schedule(t)))
    if noise_s == 0:
        return z0, z0, None
    h = float(schedule.half_log_snr(s)) - float(schedule.half_log_snr(t))
    D = z0
    if memory is not None:
        z0_previous, h_previous = memory
        D = z0 + h / (2 * h_previous) * (z0 - z0_previous)
    return noise_s / noise_t * z - signal_s * math.expm1(-h) * D, z0, (z0, h)


def sample(
    denoise: Denoiser, schedule: Schedule, z_T: Tensor, times: Tensor, step: Step = ddim
) -> Iterator[Snapshot]:
    """Walk z_T (B, *d) down the grid ``times`` (n+1,); yields a Snapshot after each step.

    ``times``: strictly decreasing, usually schedule.times(n); it may start below T and end above 0.
    The end alone: ``*_, last = sample(...)``. Raises ValueError at once for a bad grid or z_T.
    """
    times = checks.walk(schedule, z_T, times, step)

    def walk(z: Tensor, memory: Any = None) -> Iterator[Snapshot]:
        for t, s in pairwise(times):
            with torch.no_grad():
                z, z0, memory = step(z, t, s, denoise, schedule, memory)
            checks.landed(z, s)
            yield Snapshot(s, z, z0)

    return walk(z_T)
