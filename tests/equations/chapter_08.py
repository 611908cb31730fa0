"""The numbered equations of chapter 8, the outlook, each checked against the package."""

import itertools
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
from book.ch08_outlook.guidance_ways import projected
from book.ch08_outlook.kernel_distance import kernel, kernel_distance
from book.ch08_outlook.mean_flow import gaussian_average, mean_flow_target
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


def guided_at_a_right_angle() -> None:
    """The printed estimate; what is added is at a right angle to it; and its eps belongs to it."""
    schedule, t, z_t = CosineSchedule(), torch.tensor(0.6, dtype=torch.float64), points(7, 2)
    cov = torch.tensor([[0.6, 0.3], [0.3, 0.4]], dtype=torch.float64)
    c, u = (
        gaussian_denoiser(schedule, torch.tensor(mean, dtype=torch.float64), cov)
        for mean in ([0.5, -1.0], [-0.3, 0.2])
    )
    z_c, z_u = c(z_t, t).z0, u(z_t, t).z0
    for w in (0.0, 1.0, 5.0):
        found = projected(c, u, schedule, w)(z_t, t)
        for k in range(7):
            g = z_c[k] - z_u[k]
            close(found.z0[k], z_c[k] + (w - 1) * (g - (g @ z_c[k]) / (z_c[k] @ z_c[k]) * z_c[k]))
            close((found.z0[k] - z_c[k]) @ z_c[k], 0)
        signal, noise = schedule(t)
        close(signal * found.z0 + noise * found.eps, z_t)


def average_of_a_gaussian() -> None:
    """The closed form, where a fine walk ends, and the identity of its slope along the walk."""
    schedule = FlowSchedule()
    for mean, std in ((1.5, 0.5), (-0.4, 1.7)):
        law = (torch.tensor(x, dtype=torch.float64) for x in ([mean], [[std**2]]))
        exact, z = gaussian_denoiser(schedule, *law), points(9, 1)
        for t, r in torch.tensor([[1.0, 0.1], [0.8, 0.3]], dtype=torch.float64):
            average = gaussian_average(mean, std, z, r, t)
            S_r, S_t = (math.sqrt((1 - k) ** 2 * std**2 + k**2) for k in (r, t))
            close(average, (1 - S_r / S_t) / (t - r) * (z - (1 - t) * mean) - mean)
            times = torch.linspace(float(t), float(r), 800, dtype=torch.float64)
            *_, last = sample(exact, schedule, z, times, heun)
            assert (z - (t - r) * average - last.z).abs().max() < 1e-4
            each = [torch.full((9,), float(k), dtype=torch.float64) for k in (r, t)]
            v = exact(z, t).eps - exact(z, t).z0
            target = mean_flow_target(
                lambda z, r, t, m=mean, s=std: gaussian_average(m, s, z, r[:, None], t[:, None]),
                z, v, *each,
            )  # fmt: skip
            close(target, average, 1e-9)


def right_on_average() -> None:
    """Over all samples of n and m from two small populations, the mean of D is exactly MMD^2."""
    P, Q, n, m = points(3, 2), points(2, 2, seed=1) + 0.5, 2, 3
    wanted = kernel(P, P).mean() + kernel(Q, Q).mean() - 2 * kernel(P, Q).mean()
    found, biased = [], []
    for i in itertools.product(range(3), repeat=n):
        for k in itertools.product(range(2), repeat=m):
            x, y = P[list(i)], Q[list(k)]
            found.append(kernel_distance(x, y))
            biased.append(kernel_distance(x, y, diagonal=True))
    close(torch.tensor(found, dtype=torch.float64).mean(), wanted)
    excess = sum(
        (kernel(A, A).diagonal().mean() - kernel(A, A).mean()) / size
        for A, size in ((P, n), (Q, m))
    )
    close(torch.tensor(biased, dtype=torch.float64).mean(), wanted + excess)
    x, y = points(4, 3), points(5, 3, seed=2)
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    one = sum((x[a] @ x[b] / 3 + 1) ** 3 for a, b in pairs) / 12
    two = sum((y[a] @ y[b] / 3 + 1) ** 3 for a in range(5) for b in range(5) if a != b) / 20
    across = sum((a @ b / 3 + 1) ** 3 for a in x for b in y) / 20
    close(kernel_distance(x, y), one + two - 2 * across)


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
    Equation("8.7", CHAPTER, "guidance at a right angle",
             "book.ch08_outlook.guidance_ways.projected",
             guided_at_a_right_angle),
    Equation("8.8", CHAPTER, "the average velocity of a Gaussian",
             "book.ch08_outlook.mean_flow.gaussian_average",
             average_of_a_gaussian),
    Equation("8.9", CHAPTER, "a distance that is right on average",
             "book.ch08_outlook.kernel_distance.kernel_distance",
             right_on_average),
]  # fmt: skip
