"""One step without a teacher: a network of the average velocity between two times of a flow.

    gaussian_average   the average velocity in closed form, where the data are one Gaussian
    mean_flow_target   what the network is asked for, by one Jacobian-vector product
    mean_flow_losses   the squared error of that, sample by sample
    leap               from time t to time r in one evaluation
    Spanning           a network that knows one time, made to know two

Geng et al. 2025 (arXiv 2505.13447). Times are those of ``FlowSchedule``: z_t = (1 - t) z0 + t eps.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from book.ch08_outlook.distillation import ResidualMLP
from minildm import checks
from minildm.noise import TIME, Batch
from minildm.process import diffuse
from minildm.schedule import FlowSchedule, expand

Average = Callable[[Tensor, Tensor, Tensor], Tensor]  # (z (B, *d), r (B,), t (B,)) -> (B, *d)
SPAN, APART = 61, 62  # what a key of randomness is used for


def gaussian_average(mean: Tensor | float, std: float, z: Tensor, r: Tensor, t: Tensor) -> Tensor:
    """u(z, r, t) = (1 - S_r / S_t) / (t - r) (z - (1 - t) mean) - mean.

    S_t^2 = (1 - t)^2 std^2 + t^2 is the variance of z_t.
    For data from N(mean, std^2 I), r < t: what leads from z at t to the walk's point at r, by
    z - (t - r) u. r, t shaped like z, or one per sample made so by ``expand``.
    """
    S_r, S_t = (((1 - k) ** 2 * std**2 + k**2).sqrt() for k in (r, t))
    return (1 - S_r / S_t) / (t - r) * (z - (1 - t) * mean) - mean


def mean_flow_target(u: Average, z_t: Tensor, v: Tensor, r: Tensor, t: Tensor) -> Tensor:
    """v - (t - r) d u(z_t, r, t) / d t along the walk: (B, *d), a constant to the gradient.

    d / dt = v . d/dz + d/dt, in one ``torch.func.jvp`` with the tangents (v, 0, 1). ``v`` is the
    velocity eps - z0 of the sample's own line: its mean over all lines through z_t is the flow's.
    """
    tangents = (v, torch.zeros_like(r), torch.ones_like(t))
    with sdpa_kernel(SDPBackend.MATH):  # the fast attention has no forward derivative
        _, slope = torch.func.jvp(u, (z_t, r, t), tangents)
    return (v - expand(t - r, z_t) * slope).detach()


def mean_flow_losses(
    u: Average, z0: Tensor, eps: Tensor, r: Tensor, t: Tensor, power: float = 1.0
) -> Tensor:
    """w mean (u(z_t, r, t) - target)^2, w = (mean (..)^2 + 0.001)^-power without gradient: (B,).

    ``power`` 0 is the squared error; 1 weighs samples with large errors down, as the paper does.
    """
    z_t = diffuse(FlowSchedule(), z0, t, eps)
    target = mean_flow_target(u, z_t, eps - z0, r, t)
    error = (u(z_t, r, t) - target).square().flatten(1).mean(1)  # (B, *d) -> (B,)
    return error / (error.detach() + 1e-3) ** power


def two_times(batch: Batch, apart: float) -> tuple[Tensor, Tensor]:
    """r <= t, float64 (B,) each: uniform times in order; all but a share ``apart`` have r = t."""
    one, two = 1 - batch.uniform(TIME), 1 - batch.uniform(SPAN)
    t, r = torch.maximum(one, two), torch.minimum(one, two)
    return torch.where(batch.uniform(APART) < apart, r, t), t


@torch.no_grad()
def leap(u: Average, z: Tensor, times: Sequence[float] = (1.0, 0.0)) -> Tensor:
    """z (B, *d) from the first of the times down to the last, one evaluation for each step.

    z_r = z_t - (t - r) u(z_t, r, t): exact for the exact u, in any number of steps.
    Raises ValueError unless the times fall.
    """
    for t, r in pairwise(float(t) for t in times):
        if not r < t:
            raise ValueError(f"times must fall, from noise (1) to data (0); got {list(times)}")
        both = (torch.full((len(z),), k, dtype=torch.float64) for k in (r, t))
        z = z - (t - r) * u(z, *both)
    return z


class Spanning(nn.Module):
    """u(z, r, t, condition, drop) by a network that takes z_t, t, a condition and ``drop``.

    The length t - r goes in as one more channel of z, the same number everywhere, and what comes
    out of that channel is not used. ``net`` has channels c + 1.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        # the forward derivative of group_norm does not know channels_last
        self.net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, z: Tensor, r: Tensor, t: Tensor, condition=None, drop=None) -> Tensor:
        checks.per_sample(t, z)
        span = expand(t - r, z).expand_as(z[:, :1])  # (B, 1, *size)
        return self.net(torch.cat([z, span], dim=1), t, condition, drop)[:, :-1]


class SpanningMLP(nn.Module):
    """u(z, r, t) for points z (B, d): a ``ResidualMLP`` of d + 1 numbers, the last being t - r.

    Times are divided by 100: by its fastest waves the slope in t would be a thousand times u.
    """

    def __init__(self, d: int, width: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.net = ResidualMLP(d + 1, width, seed=seed)

    def forward(self, z: Tensor, r: Tensor, t: Tensor) -> Tensor:
        span = expand(t - r, z).expand_as(z[:, :1])  # (B, 1)
        return self.net(torch.cat([z, span], dim=1), t / 100)[:, :-1]
