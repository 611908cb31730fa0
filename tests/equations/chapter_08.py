"""The numbered equations of chapter 8, the outlook, each checked against the package."""

import math

import torch
from registry import Equation, close, points
from torch import nn

from book.ch04_3_gaussian.gaussian_case import propagate, standard_normal
from book.ch05_4_sampling.line_data import THREE
from book.ch08_outlook.closed_forms import (
    Phase,
    device_hours,
    flow_time,
    implied_weight,
    start_mismatch,
    training_flops,
)
from book.ch08_outlook.distillation import halving, one_step_target
from book.ch08_outlook.dit import DiTBlock
from minildm.denoise import gaussian_denoiser
from minildm.predict import EPS, FLOW, V
from minildm.process import diffuse
from minildm.samplers import ddim, heun, sample
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
    zero_terminal_snr,
)

CHAPTER = "08_outlook"


def start_from_pure_noise() -> None:
    """The printed shares, by the package's function and by the real sampler."""
    betas = scaled_linear_betas()
    for schedule in (DiscreteSchedule(betas), DiscreteSchedule(zero_terminal_snr(betas))):
        left = float(schedule.alpha_bar[-1])
        for variance, mean in ((5.0, 1.0), (40.0, -2.0), (900.0, 30.0)):
            S = math.sqrt(left * variance + 1 - left)
            spread, kept = 1 / S, 1 - math.sqrt(left * variance) / S
            found = start_mismatch(schedule, variance)
            close(found.spread, spread)
            close(found.mean, kept)
            exact = gaussian_denoiser(
                schedule, torch.tensor([mean]).double(), torch.tensor([[variance]]).double()
            )
            end = propagate(exact, schedule, standard_normal(1), schedule.times(200), heun)[-1]
            assert abs(float(end.cov) ** 0.5 / variance**0.5 - spread) < 0.003
            assert abs(float(end.mean) / mean - kept) < 0.003


def flow_is_a_schedule() -> None:
    """Euler's step is ddim on ``FlowSchedule``; other schedules are flows on another clock."""
    flow, z = FlowSchedule(), points(50, 1)
    exact = THREE.denoiser(flow)
    for t, s in torch.tensor([[1.0, 0.7], [0.6, 0.1]], dtype=torch.float64):
        z0, eps = exact(z, t)
        stepped, _, _ = ddim(z, t, s, exact, flow)
        close(z + (s - t) * (eps - z0), stepped)
        close((1 - s) * z0 + s * eps, stepped)
    for schedule in (CosineSchedule(), DiscreteSchedule(linear_betas())):
        times = schedule.times(7)[1:]  # any start will do, so that z' differs from z
        signal, noise = schedule(times)
        close(flow_time(schedule, times), noise / (signal + noise))
        walk = sample(THREE.denoiser(schedule), schedule, z, times, ddim)
        scaled = z / (signal + noise)[0]
        other = sample(exact, flow, scaled, flow_time(schedule, times), ddim)
        for k, (here, there) in enumerate(zip(walk, other, strict=True), start=1):
            close(here.z / (signal + noise)[k], there.z, 1e-9)


def weights_on_one_axis() -> None:
    """The two printed weights, and the definition by differences of the output and of time."""
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    for schedule, target, factor in (
        (FlowSchedule(), FLOW, 0.5),
        (CosineSchedule(), V, 1 / math.pi),
    ):
        level = 2 * schedule.half_log_snr(t)
        close(implied_weight(schedule, target, t) / (factor * (-level / 2).exp()), 1, 1e-4)
    schedule, d = FlowSchedule(), 1e-3
    z_t, eps = points(19, seed=1), points(19, seed=2)
    for target in (FLOW, V, EPS):
        signal, noise = schedule(t)
        output = [
            target.target(((z_t - noise * e) / signal), e, signal, noise) for e in (eps, eps + d)
        ]
        slope = (2 * schedule.half_log_snr(t - 1e-5) - 2 * schedule.half_log_snr(t + 1e-5)) / 2e-5
        wanted = ((output[1] - output[0]) / d) ** 2 / slope
        close(implied_weight(schedule, target, t) / wanted, 1, 1e-4)


def gated_branches() -> None:
    """A block against the formula, in which F is the block's own attention and its own mlp."""
    torch.manual_seed(0)
    block = DiTBlock(8, heads=2).double()
    nn.init.normal_(block.modulate.weight)
    nn.init.normal_(block.modulate.bias)
    x, embedding = torch.randn(2, 3, 5, 8, dtype=torch.float64)[0], torch.randn(3, 8).double()
    vectors = (embedding @ block.modulate.weight.T + block.modulate.bias).reshape(3, 6, 1, 8)
    b1, a1, g1, b2, a2, g2 = vectors.unbind(1)  # shift, scale, gate, twice

    def norm(x):
        return (x - x.mean(-1, keepdim=True)) / x.var(-1, keepdim=True, correction=0).sqrt()

    h = x + g1 * block.attend((1 + a1) * norm(x) + b1)
    y = h + g2 * block.mlp((1 + a2) * norm(h) + b2)
    torch.testing.assert_close(block(x, embedding), y, atol=1e-4, rtol=1e-4)
    nn.init.zeros_(block.modulate.weight)
    nn.init.zeros_(block.modulate.bias)
    assert torch.equal(block(x, embedding), x)


def two_steps_in_one() -> None:
    """The printed target, and that one step of ``ddim`` with it lands where two steps land."""
    mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
    cov = torch.tensor([[0.6, 0.3], [0.3, 0.4]], dtype=torch.float64)
    z_t = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for schedule in (DiscreteSchedule(cosine_betas(1000)), CosineSchedule(), FlowSchedule()):
        exact = gaussian_denoiser(schedule, mean, cov)
        t, m, s = schedule.times(8)[[0, 2, 5]]
        z_m, _, _ = ddim(z_t, t, m, exact, schedule)
        z_s, _, _ = ddim(z_m, m, s, exact, schedule)
        (signal_t, noise_t), (signal_s, noise_s) = schedule(t), schedule(s)
        k = noise_s / noise_t
        z0 = (z_s - k * z_t) / (signal_s - k * signal_t)
        each = [time.expand(4) for time in (t, m, s)]
        torch.testing.assert_close(one_step_target(schedule, z_t, z_s, each[0], each[2]), z0)
        eps = (z_t - signal_t * z0) / noise_t
        torch.testing.assert_close(diffuse(schedule, z0, s, eps), z_s)
        v = signal_t * eps - noise_t * z0
        losses = halving(lambda *_, v=v: v, exact, schedule, z_t, torch.stack(each, dim=1))
        assert float(losses.max()) < 1e-20


def cost_of_a_training() -> None:
    phases = [Phase(100, 8, 5e9, 2e9), Phase(30, 4, 7e9)]
    operations = 100 * 8 * (3 * 5e9 + 2e9) + 30 * 4 * 3 * 7e9
    close(training_flops(phases) / operations, 1)
    close(device_hours(operations, 2e12, 0.25) * 3600 * 2e12 * 0.25 / operations, 1)


EQUATIONS = [
    Equation("8.1", CHAPTER, "a start from pure noise",
             "book.ch08_outlook.closed_forms.start_mismatch",
             start_from_pure_noise),
    Equation("8.2", CHAPTER, "flow matching is a schedule",
             "book.ch08_outlook.closed_forms.flow_time",
             flow_is_a_schedule),
    Equation("8.3", CHAPTER, "where a loss is spent",
             "book.ch08_outlook.closed_forms.implied_weight",
             weights_on_one_axis),
    Equation("8.4", CHAPTER, "a gated block", "book.ch08_outlook.dit.DiTBlock", gated_branches),
    Equation("8.5", CHAPTER, "two steps in one", "book.ch08_outlook.distillation.one_step_target",
             two_steps_in_one),
    Equation("8.6", CHAPTER, "what a training costs",
             "book.ch08_outlook.closed_forms.training_flops",
             cost_of_a_training),
]  # fmt: skip
