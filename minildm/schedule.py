"""How much signal and how much noise there is at time t: beta schedules, their tables, time grids.

A noisy latent is z_t = signal_t z0 + noise_t eps; time runs from data (0) to noise (T).

    beta_t        schedule.beta[t]                t = 1..T; beta[0] = 0
    alpha_bar_t   schedule.alpha_bar[t]           product of the 1 - beta_i; alpha_bar[0] = 1
    SNR_t         schedule.snr[t]                 alpha_bar_t / (1 - alpha_bar_t)
    sigma_t^2     schedule.posterior_variance[t]  variance of q(z_{t-1} | z_t, z0)

The beta builders raise ValueError unless T is an integer >= 1 and every share is in (0, 1].
Tables are float64, on the CPU, and come from log alpha_bar: the product underflows on long ramps,
and 1 - alpha_bar loses its digits near t = 0.
"""

import math

import numpy as np
import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.interfaces import Schedule, Time

PI_2 = math.pi / 2


def linear_betas(T: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """beta_t evenly spaced: float64 (T,). DDPM (arXiv 2006.11239), section 4. Raises ValueError."""
    T, (first, last) = checks.count("T", T), checks.beta(first=first, last=last)
    return torch.linspace(first, last, T, dtype=torch.float64)


def scaled_linear_betas(T: int = 1000, first: float = 0.00085, last: float = 0.012) -> Tensor:
    """sqrt(beta_t) evenly spaced: float64 (T,). Stable Diffusion's schedule. Raises ValueError."""
    first, last = checks.beta(first=first, last=last)
    return linear_betas(T, math.sqrt(first), math.sqrt(last)) ** 2


def cosine_betas(T: int = 1000, s: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """alpha_bar_t ~ f(t) = cos^2((t/T + s)/(1 + s) pi/2), beta_t = min(1 - f(t)/f(t-1), max_beta).

    float64 (T,). Nichol & Dhariwal (arXiv 2102.09672), eq. 17: s = 0.008. Raises ValueError for a
    bad number; s is in 0..1000.
    """
    T, (max_beta,) = checks.count("T", T), checks.beta(max_beta=max_beta)
    s = inputs.real("s", s, 0, 1000)
    step = PI_2 / (T * (1 + s))  # 1 - sin^2 b / sin^2 a = sin(a - b) sin(a + b) / sin^2 a is exact
    left = step * torch.arange(T, -1, -1, dtype=torch.float64)
    betas = math.sin(step) * torch.sin(left[:-1] + left[1:]) / torch.sin(left[:-1]) ** 2
    return betas.clamp(max=max_beta)


def sigmoid_betas(T: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """beta_t = first + (last - first) sigmoid(u), u evenly spaced in [-6, 6]: float64 (T,).

    sigmoid(-6) = 0.0025 is missing at both ends. GeoDiff (arXiv 2203.02923). Raises ValueError.
    """
    T, (first, last) = checks.count("T", T), checks.beta(first=first, last=last)
    return first + (last - first) * torch.linspace(-6, 6, T, dtype=torch.float64).sigmoid()


def ramp_betas(T: int = 100) -> Tensor:
    """beta_t = t / T, the article's: float64 (T,); beta_T = 1. Raises ValueError for a bad T."""
    T = checks.count("T", T)
    return torch.arange(1, T + 1, dtype=torch.float64) / T


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Rescale a schedule so that no signal is left at T: float64 (T,), last entry exactly 1.

    With r_t = sqrt(alpha_bar_t) the new roots are (r_t - r_T) r_1 / (r_1 - r_T). T = 1 gives [1].
    Lin et al. 2023 (arXiv 2305.08891), algorithm 1. Raises ValueError for an invalid schedule.
    """
    betas = checks.betas(betas)
    root_alpha = (1 - betas).sqrt()
    lost = betas / (1 + root_alpha)  # 1 - sqrt(alpha_t) without cancellation
    above = torch.zeros(len(betas) + 1, dtype=torch.float64)  # 1 - r_T / r_t, from T downwards:
    for i in range(len(betas) - 1, -1, -1):  # sums of positive terms; nothing cancels or underflows
        above[i] = lost[i] + root_alpha[i] * above[i + 1]
    drop = lost / above[:-1]  # 1 - (new root at t) / (new root at t - 1)
    rescaled = (drop * (2 - drop)).clamp(max=1 - 2.0**-53)  # rounding must not make an inner 1
    rescaled[0], rescaled[-1] = betas[0], 1.0  # in this order: T = 1 gives [1]
    return rescaled


class DiscreteSchedule:
    """T noise levels from betas: z_t = sqrt(alpha_bar_t) z0 + sqrt(1 - alpha_bar_t) eps (DDPM, 4).

    ``betas``: float64 (T,), each in (0, 1), the last may be 1. ``beta, alpha, alpha_bar,
    log_alpha_bar, snr, posterior_variance`` are float64 (T+1,); entry 0 is clean data. Raises
    ValueError naming a bad beta; warns where over 10 % of the signal amplitude is left at T.
    """

    def __init__(self, betas: Tensor) -> None:
        betas = checks.betas(betas)
        zero = torch.zeros(1, dtype=torch.float64)
        self.T = len(betas)
        self.beta = torch.cat([zero, betas])
        self.alpha = 1 - self.beta
        log_alpha = torch.log1p(-betas)
        coarse = (log_alpha * 2**40).round() / 2**40  # sums of these are exact up to 8,192, so that
        fine = (log_alpha - coarse).nan_to_num(0.0)  # 4,000 roundings cannot pile up
        self.log_alpha_bar = torch.cat([zero, coarse.cumsum(0) + fine.cumsum(0)])
        self.alpha_bar = self.log_alpha_bar.exp()
        self.noise_variance = torch.expm1(self.log_alpha_bar).abs()  # 1 - alpha_bar, all its digits
        self.snr = self.alpha_bar / self.noise_variance
        # beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t)
        self.posterior_variance = self.beta.clone()
        self.posterior_variance[1:] *= self.noise_variance[:-1] / self.noise_variance[1:]
        self._signal, self._noise = (self.log_alpha_bar / 2).exp(), self.noise_variance.sqrt()
        self._half_log_snr = (self.log_alpha_bar - self.noise_variance.log()) / 2
        checks.warn_of_signal_left(float(self._signal[-1]), self.T)

    def __call__(self, t: Time) -> tuple[Tensor, Tensor]:
        """(signal_t, noise_t), float64 shaped like t; t is int64 in 0..T, else ValueError."""
        t = checks.time(t, self.T, torch.int64)
        return self._signal[t], self._noise[t]

    def half_log_snr(self, t: Time) -> Tensor:
        """lambda_t = log(signal_t / noise_t), **half** of log SNR_t: float64 like t; inf at 0."""
        return self._half_log_snr[checks.time(t, self.T, torch.int64)]

    def transition(self, t: Time, s: Time) -> tuple[Tensor, Tensor]:
        """ratio = sqrt(alpha_bar_t / alpha_bar_s), variance = 1 - ratio^2, s < t: like t."""
        t, s = checks.pair(t, s, self.T, torch.int64)
        difference = self.log_alpha_bar[t] - self.log_alpha_bar[s]
        return (difference / 2).exp(), -torch.expm1(difference)

    def times(self, steps: int, spacing: str = "uniform") -> Tensor:
        """A grid T = t_0 > ... > t_steps = 0: int64 (steps+1,); ValueError unless 1 <= steps <= T.

        "uniform" in t, or "karras": (noise/signal)^(1/7) evenly spaced between its largest finite
        and its smallest value (arXiv 2206.00364, eq. 5), rounded to distinct integers.
        """
        steps = checks.count("steps", steps, self.T)
        if spacing == "uniform":  # T (steps - i) / steps in integers, halves rounded up
            return (2 * self.T * torch.arange(steps, -1, -1) + steps) // (2 * steps)
        if spacing != "karras":
            raise ValueError(f'spacing must be "uniform" or "karras"; got {spacing!r}')
        log_sigma = -self.half_log_snr(torch.arange(1, self.T + 1))
        root = (log_sigma[log_sigma.isfinite()] / 7).exp().tolist() or [1.0]  # increases with t
        wanted = np.interp(np.linspace(root[0], root[-1], steps), root, range(1, len(root) + 1))
        grid = [0]  # upwards from clean data: a time that is taken moves to the next free one,
        for i, t in enumerate(wanted.round().astype(int).tolist(), start=1):
            grid.append(min(max(t, grid[-1] + 1), self.T - steps + i))  # and room is left up to T
        grid[-1] = self.T
        return torch.tensor(grid[::-1])


class _ContinuousSchedule:
    """What continuous schedules share: float64 times in [0, 1], T = 1.0, uniform grids."""

    T = 1.0

    def half_log_snr(self: Schedule, t: Time) -> Tensor:
        """lambda_t = log(signal_t / noise_t), **half** of log SNR_t: float64 like t."""
        signal, noise = self(t)
        return signal.log() - noise.log()

    def times(self, steps: int, spacing: str = "uniform") -> Tensor:
        """Evenly spaced 1 = t_0 > ... > t_steps = 0: float64 (steps+1,). Raises ValueError."""
        steps = checks.count("steps", steps)
        if spacing != "uniform":
            raise ValueError(f'spacing must be "uniform" on continuous time; got {spacing!r}')
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


class CosineSchedule(_ContinuousSchedule):
    """z_t = cos(pi t / 2) z0 + sin(pi t / 2) eps, t in [0, 1] (arXiv 2102.09672 with s = 0)."""

    def __call__(self, t: Time) -> tuple[Tensor, Tensor]:
        """(signal_t, noise_t), float64 like t; t is float64 in [0, 1], else ValueError."""
        t = checks.time(t, 1.0, torch.float64)
        return torch.sin(PI_2 * (1 - t)), torch.sin(PI_2 * t)  # cos(pi/2) would be 6e-17, not 0

    def transition(self, t: Time, s: Time) -> tuple[Tensor, Tensor]:
        """(ratio, variance) of q(z_t | z_s) = N(ratio z_s, variance I), s < t: float64 like t."""
        t, s = checks.pair(t, s, 1.0, torch.float64)
        signal_s = self(s)[0]
        lost = torch.sin(PI_2 * (t - s)) * torch.sin(PI_2 * (t + s))  # = cos^2 s - cos^2 t
        return self(t)[0] / signal_s, lost / signal_s**2


class FlowSchedule(_ContinuousSchedule):
    """z_t = (1 - t) z0 + t eps, t in [0, 1]: rectified flow (arXiv 2209.03003), time reversed."""

    def __call__(self, t: Time) -> tuple[Tensor, Tensor]:
        """(signal_t, noise_t) = (1 - t, t), float64 like t; t in [0, 1], else ValueError."""
        t = checks.time(t, 1.0, torch.float64)
        return 1 - t, t.clone()

    def transition(self, t: Time, s: Time) -> tuple[Tensor, Tensor]:
        """(ratio, variance) of q(z_t | z_s) = N(ratio z_s, variance I), s < t: float64 like t."""
        t, s = checks.pair(t, s, 1.0, torch.float64)
        lost = (t - s) * (t + s - 2 * t * s) / (1 - s) ** 2  # = t^2 - ratio^2 s^2, factorised
        return (1 - t) / (1 - s), lost


def expand(coefficient: Tensor, like: Tensor) -> Tensor:
    """Cast a float64 coefficient once to the data's dtype and device; (B,) becomes (B, 1, .., 1).

    Raises ValueError unless it is one finite number, or one per sample of ``like`` (B, *d).
    """
    checks.batch(coefficient, like)
    coefficient = coefficient.to(like.dtype).to(like.device)
    return coefficient.reshape(-1, *[1] * (like.dim() - 1)) if coefficient.dim() else coefficient
