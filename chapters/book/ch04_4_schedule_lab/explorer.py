"""What the schedule explorer of chapter 4.4 shows, as pure functions: no widget in here.

make_schedule  the schedule that the sliders describe
gauges         how much signal is left, and where the steps are spent
draw_samples   samples of the exact denoiser on that schedule, and two distances to the data
board          all of it as one static figure
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from book.figures import COLOURS, GREY, WIDTH
from minildm import samplers
from minildm.data import mixture, ring
from minildm.denoise import mixture_denoiser
from minildm.metrics import mode_coverage, sliced_wasserstein
from minildm.noise import seeded
from minildm.process import diffuse
from minildm.samplers import sample
from minildm.schedule import (
    DiscreteSchedule,
    cosine_betas,
    linear_betas,
    ramp_betas,
    scaled_linear_betas,
    sigmoid_betas,
    zero_terminal_snr,
)

KINDS = ("linear", "scaled linear", "cosine", "sigmoid", "ramp", "your own")
SAMPLERS = ("ddpm", "ddim", "heun", "dpmpp_2m")
POINTS, SPREAD = 2000, 0.12
_weights, _means, _covs = ring(modes=8, radius=1.4, std=SPREAD)  # standard deviation 1, and off
MODES = _weights, _means + torch.tensor([0.9, 0.5]), _covs  # centre: a wrong start must show


@dataclass(frozen=True)
class Settings:
    """Where the sliders stand. ``own``: the betas of kind "your own".

    Raises ValueError for an unknown kind, and as the beta builders do.
    """

    kind: str = "linear"
    T: int = 1000
    first: float = 1e-4
    last: float = 0.02
    zero_terminal: bool = False
    own: tuple[float, ...] = ()


class Gauges(NamedTuple):
    """``left``: sqrt(alpha_bar_T); ``last``: SNR_T; ``useful``: share of steps with SNR 0.1..10."""

    left: float
    last: float
    useful: float


class Drawn(NamedTuple):
    """Samples (n, 2), their sliced Wasserstein distance to the data, modes hit, share near one."""

    samples: Tensor
    distance: float
    modes: float
    near: float

    @property
    def text(self) -> str:
        """Both distances in words."""
        return (
            f"distance to the data {self.distance:.3f} (sliced Wasserstein); "
            f"{self.modes:.0%} of the modes hit, {self.near:.0%} of the samples within three "
            "standard deviations of one (of the data: 99 %)"
        )


def make_schedule(settings: Settings) -> DiscreteSchedule:
    """The schedule that these settings describe; signal left at T is shown, not warned of."""
    s = settings
    make = {
        "linear": lambda: linear_betas(s.T, s.first, s.last),
        "scaled linear": lambda: scaled_linear_betas(s.T, s.first, s.last),
        "cosine": lambda: cosine_betas(s.T),
        "sigmoid": lambda: sigmoid_betas(s.T, s.first, s.last),
        "ramp": lambda: ramp_betas(s.T),
        "your own": lambda: torch.tensor(s.own, dtype=torch.float64),
    }
    if s.kind not in make:
        raise ValueError(f"kind must be one of {', '.join(make)}; got {s.kind!r}")
    betas = make[s.kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DiscreteSchedule(zero_terminal_snr(betas) if s.zero_terminal else betas)


def gauges(schedule: DiscreteSchedule) -> Gauges:
    """What the explorer says about a schedule."""
    snr = schedule.snr[1:]
    useful = ((snr >= 0.1) & (snr <= 10)).double().mean()
    return Gauges(float(schedule(schedule.T)[0]), float(snr[-1]), float(useful))


def data_points(n: int = POINTS) -> Tensor:
    """The data: n points of eight clusters on a circle, float32 (n, 2)."""
    return mixture(n, *MODES, seed=4)


def noise_floor(n: int = 1000, pairs: int = 8) -> tuple[float, float]:
    """How far two sets of n data points are apart, smallest and largest of some pairs.

    A sampler without a fault has distances in this range.
    """
    found = [
        sliced_wasserstein(mixture(n, *MODES, seed=50 + k), data_points(n)) for k in range(pairs)
    ]
    return min(found), max(found)


def noise_points(n: int = POINTS) -> Tensor:
    """One standard normal point per data point, float32 (n, 2)."""
    return torch.randn(n, 2, generator=seeded(44))


def draw_samples(
    schedule: DiscreteSchedule, sampler: str = "ddim", steps: int = 20, n: int = 1000
) -> Drawn:
    """n samples from N(0, I) with the exact denoiser; no step number above T.

    Raises ValueError for an unknown sampler.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {sampler!r}")
    step, generator = getattr(samplers, sampler), seeded(45)
    if sampler == "ddpm":
        step = partial(
            step, draw=lambda z: torch.randn(z.shape, generator=generator, dtype=z.dtype)
        )
    z_T = torch.randn(n, 2, generator=seeded(46), dtype=torch.float64)
    times = schedule.times(min(steps, schedule.T))
    *_, last = sample(mixture_denoiser(schedule, *MODES), schedule, z_T, times, step)
    coverage = mode_coverage(last.z, MODES[1], SPREAD)
    distance = sliced_wasserstein(last.z, data_points(n))
    return Drawn(last.z, distance, coverage.modes, coverage.points)


# --- the static picture ---------------------------------------------------------------------------


def board(
    schedules: dict[str, DiscreteSchedule], places: Sequence[float] = (0.1, 0.3, 0.6, 1.0)
) -> Figure:
    """One row per schedule: alpha_bar and sigma²/beta, log10 SNR, and clouds at shares of T."""
    columns = 2 + len(places)
    fig = Figure(figsize=(WIDTH * 1.25, 1.75 * len(schedules) + 0.3), layout="constrained")
    axes = fig.subplots(
        len(schedules), columns, squeeze=False, width_ratios=[1.6, 1.6] + [1] * len(places)
    )
    clean, noise = data_points(600), noise_points(600)
    for row, (name, schedule) in zip(axes, schedules.items(), strict=True):
        _curves(row[0], row[1], name, schedule)
        for ax, place in zip(row[2:], places, strict=True):
            t = round(place * schedule.T)
            z = diffuse(schedule, clean, t, noise).numpy()  # (n, 2)
            ax.scatter(*z.T, s=1.5, color=COLOURS[5], linewidths=0)
            ax.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xticks=[], yticks=[], aspect="equal")
            ax.set_title(f"t = {t}", fontsize=8)
    for ax in axes[-1, :2]:
        ax.set_xlabel("step t", fontsize=8)
    return fig


def _curves(left, right, name: str, schedule: DiscreteSchedule) -> None:
    t = np.arange(schedule.T + 1)
    share = (schedule.posterior_variance / schedule.beta)[1:].numpy()
    left.plot(t, schedule.alpha_bar.numpy(), color=COLOURS[0], label="ᾱ")
    left.plot(t[1:], share, "--", color=COLOURS[1], label="σ²/β")
    left.set(ylim=(-0.03, 1.03))
    left.set_title(name, fontsize=8)
    left.legend(fontsize=7, frameon=False)
    right.axhspan(-1, 1, color="#ececec")
    with np.errstate(divide="ignore"):
        right.plot(t[1:], np.log10(schedule.snr[1:].numpy()), "-.", color=COLOURS[2])
    right.set(ylim=(-6, 6))
    right.set_title("log10 SNR", fontsize=8)
    for ax in (left, right):
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
        ax.axvline(0, color=GREY, linewidth=0.5)
