"""The three things that the core passes around, and what each must offer: your own fit, too.

    schedule  how much signal and noise there is at time t, from data (0) to noise (T)
    denoiser  (z_t, t) -> what it believes to be the two parts of z_t = signal_t z0 + noise_t eps
    step      one step of a sampler, from a time t to a cleaner time s

B is the batch, *d any shape of data. Times are int64 on a discrete schedule, float64 on a
continuous one; one for all samples, or (B,).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

Time = Tensor | float


class Schedule(Protocol):
    """Signal and noise at each time. schedule.py has three: discrete, cosine, flow."""

    @property
    def T(self) -> int | float:
        """The last time, all noise: an int on a grid 0..T, 1.0 on continuous time."""

    def __call__(self, t: Time) -> tuple[Tensor, Tensor]:
        """(signal_t, noise_t), float64 shaped like t; exactly (1, 0) at t = 0."""

    def transition(self, t: Time, s: Time) -> tuple[Tensor, Tensor]:
        """(ratio, variance) of q(z_t | z_s) = N(ratio z_s, variance I), s < t: float64 like t."""

    def half_log_snr(self, t: Time) -> Tensor:
        """lambda_t = log(signal_t / noise_t), **half** of log SNR_t: float64 like t."""

    def times(self, steps: int, spacing: str = "uniform") -> Tensor:
        """A grid T = t_0 > ... > t_steps = 0: (steps+1,)."""


class Denoised(NamedTuple):
    """The two parts of z_t = signal z0 + noise eps, each (B, *d)."""

    z0: Tensor
    eps: Tensor


Denoiser = Callable[[Tensor, Tensor], Denoised]  # (z_t, t)
Network = Callable[[Tensor, Tensor, Any], Tensor]  # (z_t, t (B,), condition) -> output, like z_t

# (z, t, s, denoise, schedule, memory) -> (z_s, z0_hat, memory); memory is None at the first step
Stepped = tuple[Tensor, Tensor, Any]
Step = Callable[[Tensor, Tensor, Tensor, Denoiser, Schedule, Any], Stepped]
Draw = Callable[[Tensor], Tensor]  # z -> standard normal noise like z

Told = Tensor | tuple[Tensor, ...]  # what a network hears of each sample: each (B, ...)


@runtime_checkable
class ReadsText(Protocol):
    """A network whose condition is a text: ``TextUNet``, or Stable Diffusion's."""

    config: Any  # with channels, and condition: the kind and size of what it hears

    def __call__(self, z_t: Tensor, t: Tensor, condition: Any) -> Tensor:
        """The output for z_t (B, c, h, w) at t (B,)."""

    def tokens(self, prompts: str | Sequence[str]) -> Tensor:
        """Prompts as token numbers (B, L), or (B, n, L) for n readers; "" is no text."""

    def encode(self, tokens: Tensor) -> Told:
        """Token numbers as the condition, which is worked out once and used at every step."""

    def null(self, condition: Any) -> Told:
        """No text, shaped like ``condition``."""
