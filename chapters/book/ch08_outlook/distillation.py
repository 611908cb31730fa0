"""Few steps instead of many: a student that does in one step what its teacher does in two.

    halving          the student's training loss: two teacher steps, turned into one target
    halve            one student, trained on it
    distil           halve again and again: 32 steps, 16, 8, 4, 2, 1
    ResidualMLP      a small network for points in the plane, to try it where the truth is known

A student is a network like any other: ``network_denoiser`` reads it, and ``sample`` walks with it,
by ``ddim`` on the grid ``schedule.times(n)``. Salimans and Ho 2022 (arXiv 2202.00512), section 3;
for a guided teacher Meng et al. 2023 (arXiv 2210.03142), here for one fixed guidance.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm import predict
from minildm.checks import inputs, training_data
from minildm.denoise import Denoiser, network_denoiser
from minildm.engine.fit import build, fit
from minildm.engine.optim import EMA
from minildm.engine.records import collect
from minildm.engine.settings import FitConfig
from minildm.layers import time_embedding
from minildm.noise import TIME, Batch
from minildm.process import diffuse
from minildm.schedule import expand
from minildm.train import Trained

Teacher = Callable[[Tensor | None], Denoiser]  # condition (B, ..) -> denoiser of B latents


@dataclass(frozen=True)
class DistillationTraining:
    """How to halve a teacher's steps again and again.

    first             steps of the teacher that is imitated: a power of two
    fit               the training of one student; each number of steps has its own
    parameterization  what the student predicts: "V", "Z0" or "FLOW"

    Raises ValueError for another number of steps, and for "EPS": where there is no signal, the
    first step from pure noise could not be expressed.
    """

    first: int = 32
    fit: FitConfig = field(default_factory=FitConfig)
    parameterization: str = "V"

    def __post_init__(self) -> None:
        inputs.whole_fields(self, None, None, "first")
        if self.first < 2 or self.first & (self.first - 1):
            raise ValueError(f"first must be a power of two, at least 2; got {self.first}")
        if self.parameterization not in ("V", "Z0", "FLOW"):
            raise ValueError(
                f"parameterization must be V, Z0 or FLOW; got {self.parameterization!r}"
            )


def jump(denoise: Denoiser, schedule, z_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The step ``samplers.ddim`` with a time of its own for each sample: t, s (B,) -> z_s (B, *d).

    z_s = signal_s z0_hat + noise_s eps_hat: forward again, with what the denoiser saw in z_t.
    """
    z0, eps = denoise(z_t, t)
    return diffuse(schedule, z0, s, eps)


def one_step_target(schedule, z_t: Tensor, z_s: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The z0 estimate (B, *d) with which a single ``ddim`` step leads from z_t to z_s:

        z0 = (z_s - k z_t) / (signal_s - k signal_t),   k = noise_s / noise_t

    For s = 0 it is z_s itself. Salimans and Ho 2022 (arXiv 2202.00512), algorithm 2.
    """
    (signal_t, noise_t), (signal_s, noise_s) = schedule(t), schedule(s)
    k = noise_s / noise_t
    return (z_s - expand(k, z_t) * z_t) / expand(signal_s - k * signal_t, z_t)


def halving(
    net: Callable, teacher: Denoiser, schedule, z_t: Tensor, times: Tensor, condition=None,
    parameterization: predict.Parameterization = predict.V,
) -> Tensor:  # fmt: skip
    """Mean (net(z_t, t, condition) - target)^2 per sample: (B,); zero: one step does two.

    ``times`` (B, 3): where the step begins, its middle, its end. The teacher takes two steps, t to
    m to s; ``one_step_target`` says what the student must see in z_t to get there at once.
    """
    t, m, s = times.unbind(1)  # each (B,)
    with torch.no_grad():
        z_s = jump(teacher, schedule, jump(teacher, schedule, z_t, t, m), m, s)
        z0 = one_step_target(schedule, z_t, z_s, t, s)
        signal, noise = schedule(t)
        eps = (z_t - expand(signal, z_t) * z0) / expand(noise, z_t)
        target = parameterization.target(z0, eps, signal, noise)
    return (net(z_t, t, condition) - target).square().flatten(1).mean(1)  # (B, *d) -> (B,)


def halve(
    config: DistillationTraining, net: nn.Module, teacher: Teacher, schedule, steps: int,
    z0: Tensor, condition: Tensor | None = None, progress: bool = False,
) -> Trained:  # fmt: skip
    """Train ``net``, in place, to walk in ``steps`` steps as the teacher does in 2 ``steps``.

    ``z0`` (n, *d): clean latents, noised to the times of the student's grid; ``condition`` (n, ..).
    Returns the averaged network. Only the times 1..steps of ``schedule.times(steps)`` are learned.
    Raises ValueError for data, a condition and a schedule that cannot be right.
    """
    schedule, steps = training_data.schedule(schedule), inputs.whole("steps", steps, 1)
    told = getattr(net, "config", None)
    training_data.latents("z0", z0, getattr(told, "channels", None))
    condition = training_data.condition(told, condition, len(z0), z0.shape[2:])
    grid = schedule.times(2 * steps)
    parameterization = getattr(predict, config.parameterization)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        clean = z0[batch.indices]
        seen = None if condition is None else condition[batch.indices]
        start = 2 * (batch.uniform(TIME) * steps).long()  # (B,): 0, 2, .., 2 steps - 2
        times = torch.stack([grid[start], grid[start + 1], grid[start + 2]], dim=1)  # (B, 3)
        z_t = diffuse(schedule, clean, times[:, 0], batch.normal(clean.shape[1:]).to(clean))
        losses = halving(model, teacher(seen), schedule, z_t, times, seen, parameterization)
        return losses, times[:, 0] / schedule.T

    ema = EMA(net, config.fit.ema)
    run = fit(net, loss, len(z0), config.fit, ema, settings={"steps": steps, **asdict(config)})
    return Trained(ema.net, collect(run, config.fit, f"{steps} steps", progress))


def distil(
    config: DistillationTraining, net: nn.Module, teacher: Teacher, schedule, z0: Tensor,
    condition: Tensor | None = None, progress: bool = False,
) -> dict[int, Trained]:  # fmt: skip
    """A student for each number of steps: first / 2, first / 4, .., 1.

    ``net``: what the first student begins as, usually the teacher's network; it is left as it is.
    Each student begins as the one before it, and has that one as its teacher.
    """
    parameterization, students = getattr(predict, config.parameterization), {}
    steps = config.first // 2
    while steps >= 1:
        net = copy.deepcopy(net).requires_grad_(True)
        students[steps] = halve(config, net, teacher, schedule, steps, z0, condition, progress)
        net = students[steps].net
        teacher = _as_teacher(net, schedule, parameterization)
        steps //= 2
    return students


def _as_teacher(net: nn.Module, schedule, parameterization: predict.Parameterization) -> Teacher:
    return lambda condition: network_denoiser(net, schedule, parameterization, condition)


class ResidualMLP(nn.Module):
    """net(z_t, t, condition) -> output, for points z_t (B, d); there is no condition.

    Three layers, each of which hears the time: x + silu(linear(x) + linear(embedding of t)).
    """

    def __init__(self, d: int = 2, width: int = 128, depth: int = 3, seed: int = 0) -> None:
        super().__init__()
        layers = build(lambda: _point_layers(d, width, depth), seed)
        self.enter, self.leave, self.inner, self.hear = layers
        self.width = width

    def forward(self, z_t: Tensor, t: Tensor, condition: None = None) -> Tensor:
        embedding = time_embedding(t, self.width)  # (B, width)
        x = self.enter(z_t)
        for inner, hear in zip(self.inner, self.hear, strict=True):
            x = x + F.silu(inner(x) + hear(embedding))
        return self.leave(x)


def _point_layers(d: int, width: int, depth: int) -> nn.ModuleList:
    inner, hear = (nn.ModuleList(nn.Linear(width, width) for _ in range(depth)) for _ in range(2))
    return nn.ModuleList([nn.Linear(d, width), nn.Linear(width, d), inner, hear])
