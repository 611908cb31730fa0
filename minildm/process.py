"""The forward process, data to noise, and the one backward step that is known exactly.

    diffuse       q(z_t | z0)        jump from clean data to any time
    diffuse_step  q(z_t | z_s)       from one time to a later one (s = t - 1: the Markov chain)
    posterior     q(z_s | z_t, z0)   back to an earlier time, *if z0 is known*
"""

from typing import NamedTuple

from torch import Tensor

from minildm import checks
from minildm.interfaces import Schedule, Time
from minildm.schedule import expand


class Gaussian(NamedTuple):
    """A Gaussian with independent components: ``mean`` (B, *d), ``var`` broadcastable to it."""

    mean: Tensor
    var: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """mean + sqrt(var) eps, eps normal, like the mean. Raises ValueError for NaN or var < 0."""
        checks.gaussian(self.mean, self.var, eps)
        return self.mean + self.var.sqrt() * eps


def diffuse(schedule: Schedule, z0: Tensor, t: Time, eps: Tensor) -> Tensor:
    """Jump to time t: z_t = signal_t z0 + noise_t eps, (B, *d) (DDPM, arXiv 2006.11239, eq. 4).

    Raises ValueError for t out of range, shapes that differ, or values that are not finite.
    """
    checks.alike(z0=z0, eps=eps)
    signal, noise = schedule(t)
    return expand(signal, z0) * z0 + expand(noise, z0) * eps


def diffuse_step(schedule: Schedule, z_s: Tensor, t: Time, s: Time, eps: Tensor) -> Tensor:
    """Draw from q(z_t | z_s), s < t: z_t = ratio z_s + std eps, (B, *d) (DDPM, eq. 2).

    For s = t - 1: sqrt(1 - beta_t) z_s + sqrt(beta_t) eps; beta_t is the added noise's variance.
    Raises ValueError as ``diffuse`` does, and unless s < t.
    """
    checks.alike(z_s=z_s, eps=eps)
    ratio, variance = schedule.transition(t, s)
    return expand(ratio, z_s) * z_s + expand(variance.sqrt(), z_s) * eps


def posterior(schedule: Schedule, z_t: Tensor, z0: Tensor, t: Time, s: Time) -> Gaussian:
    """q(z_s | z_t, z0) for any s < t; with q(z_t | z_s) = N(ratio z_s, v I):

        mean = (ratio noise_s^2 z_t + signal_s v z0) / noise_t^2,   var = v noise_s^2 / noise_t^2

    For s = t - 1 these are DDPM's eq. 6 and 7, with var = posterior_variance[t]; var = 0 at s = 0.
    Raises ValueError as ``diffuse_step`` does.
    """
    checks.alike(z_t=z_t, z0=z0)
    (signal_s, noise_s), (_, noise_t) = schedule(s), schedule(t)
    ratio, v = schedule.transition(t, s)
    from_z_t, from_z0 = ratio * (noise_s / noise_t) ** 2, signal_s * v / noise_t**2
    mean = expand(from_z_t, z_t) * z_t + expand(from_z0, z_t) * z0
    return Gaussian(mean, expand(v * (noise_s / noise_t) ** 2, z_t))
