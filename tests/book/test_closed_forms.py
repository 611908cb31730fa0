"""Chapter 8: what a wrong start costs, one clock, where a loss is spent, what a training costs."""

import math
from statistics import fmean

import pytest
import torch

from book.ablations.engine import outcomes
from book.ablations.plans import PLANS
from book.ch04_3_gaussian.gaussian_case import propagate, standard_normal
from book.ch05_2_unet.cost import flops
from book.ch05_4_sampling.line_data import THREE, Clusters, even_normal, exact_end
from book.ch08_outlook.closed_forms import (
    A100_PEAK,
    PUBLISHED_HOURS,
    STABLE_DIFFUSION,
    Phase,
    device_hours,
    exact_point,
    flow_time,
    implied_weight,
    start_mismatch,
    straightness,
    training_flops,
)
from minildm.denoise import gaussian_denoiser
from minildm.predict import EPS, FLOW, Z0, V
from minildm.recipes import DIGITS_DENOISER
from minildm.samplers import heun, sample
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    linear_betas,
    scaled_linear_betas,
    zero_terminal_snr,
)
from minildm.text import build_network
from minildm.unet import UNet
from minildm.words import NULL


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(("variance", "mean"), [(60.0, 3.0), (1000.0, -40.0)])
@pytest.mark.parametrize("repair", [False, True])
def test_the_sampler_loses_what_the_formula_says(variance, mean, repair):
    betas = scaled_linear_betas()
    schedule = DiscreteSchedule(zero_terminal_snr(betas) if repair else betas)
    exact = gaussian_denoiser(schedule, torch.tensor([mean]).double(), column(variance))
    end = propagate(exact, schedule, standard_normal(1), schedule.times(200), heun)[-1]
    kept = start_mismatch(schedule, variance)
    assert abs(math.sqrt(float(end.cov) / variance) - float(kept.spread)) < 0.003
    assert abs(float(end.mean) / mean - float(kept.mean)) < 0.003
    assert (float(kept.spread) == 1) == repair


def test_a_start_that_fits_costs_nothing_and_nonsense_is_refused():
    schedule = DiscreteSchedule(scaled_linear_betas())
    assert float(start_mismatch(schedule, 1.0).spread) == pytest.approx(1)
    assert float(start_mismatch(schedule, 0.0).mean) == 1
    assert start_mismatch(schedule, torch.tensor([1.0, 9.0])).mean.shape == (2,)
    with pytest.raises(ValueError, match="variance must be >= 0; got -2"):
        start_mismatch(schedule, -2.0)


@pytest.mark.parametrize("schedule", [CosineSchedule(), DiscreteSchedule(linear_betas())])
def test_on_the_clock_of_the_flow_the_snr_is_the_same(schedule):
    times = schedule.times(9)[1:-1]
    there = flow_time(schedule, times)
    torch.testing.assert_close(
        FlowSchedule().half_log_snr(there), schedule.half_log_snr(times), rtol=1e-9, atol=1e-9
    )
    assert float(flow_time(schedule, schedule.times(1)[-1])) == 0


def test_exact_points_lie_on_a_finely_sampled_walk():
    z, flow = even_normal(12), FlowSchedule()
    assert torch.allclose(exact_point(THREE, z, 1.0), z, atol=1e-9)
    assert torch.allclose(exact_point(THREE, z, 0.0), exact_end(THREE, z), atol=1e-9)
    walk = sample(THREE.denoiser(flow), flow, z, flow.times(200), heun)
    for shot in walk:
        if 0.1 < float(shot.t) < 0.95:
            assert torch.allclose(shot.z, exact_point(THREE, z, shot.t), atol=2e-3), shot.t


def test_straight_are_the_walks_to_a_single_point_and_to_nothing_else():
    z = even_normal(9)
    point = Clusters((1.0,), (0.7,), (1e-6,))
    assert straightness(point, z).max() < 1e-6
    wide = Clusters((1.0,), (0.5,), (1.0,))
    # sd(t)^2 = (1 - t)^2 + t^2: a walk is 0.5 (1 - t) + sd(t) z, its chord is z - (z + 0.5)
    t = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    slope = (2 * t - 1) / ((1 - t) ** 2 + t**2).sqrt()
    wanted = slope.square().mean() * z[:, 0] ** 2
    torch.testing.assert_close(straightness(wide, z), wanted, rtol=1e-3, atol=1e-4)


def test_weights_follow_from_errors_and_times():
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    flow, cosine = FlowSchedule(), CosineSchedule()
    for schedule, target, factor in ((flow, FLOW, 2), (cosine, V, math.pi)):
        signal, noise = schedule(t)
        torch.testing.assert_close(
            factor * implied_weight(schedule, target, t), noise / signal, rtol=1e-5, atol=0
        )
    ratio = implied_weight(flow, Z0, t) / implied_weight(flow, EPS, t)
    torch.testing.assert_close(ratio, (t / (1 - t)) ** 2)  # 1 / SNR
    steps = torch.arange(2, 1000)
    linear = DiscreteSchedule(linear_betas())
    level = 2 * linear.half_log_snr(steps)
    total = -(implied_weight(linear, EPS, steps) * torch.gradient(level)[0]).sum()
    assert float(total) == pytest.approx(0.998, abs=2e-3)  # shares of the times add up to all


def test_operations_of_a_real_backward_pass_are_about_twice_the_forward_ones():
    net = UNet(DIGITS_DENOISER.model)
    z, t, y = torch.zeros(1, 2, 7, 7), torch.ones(1, dtype=torch.int64), torch.zeros(1).long()
    forward = flops(net, z, t, y)

    def both():
        with torch.enable_grad():
            net(z, t, y).sum().backward()

    assert flops(both) == pytest.approx(training_flops([Phase(1, 1, forward)]), rel=0.05)


def test_phases_add_up_and_fixed_networks_run_forward_only():
    once = training_flops([Phase(10, 4, 7.0)])
    assert once == 10 * 4 * 21
    assert training_flops([Phase(10, 4, 7.0), Phase(10, 4, 7.0)]) == 2 * once
    assert training_flops([Phase(10, 4, 7.0, fixed=5.0)]) == once + 10 * 4 * 5


def test_hours_are_longer_where_less_of_the_peak_is_reached():
    assert device_hours(3600e12, 1e12, 1.0) == pytest.approx(1)
    assert device_hours(3600e12, 1e12, 0.25) == pytest.approx(4)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: Phase(0, 1, 1), "steps must be positive; got 0"),
        (lambda: Phase(1, 1, 1, -1), "fixed must be >= 0; got -1"),
        (lambda: device_hours(1, 0, 0.5), "peak must be positive; got 0"),
        (lambda: device_hours(1, 1, 40), r"utilisation must be in \(0, 1\]; got 40"),
    ],
)
def test_numbers_without_sense_are_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        wrong()


def test_one_training_of_the_book_predicts_another():
    z, t = torch.zeros(1, 2, 7, 7), torch.ones(1, dtype=torch.int64)
    forward = flops(UNet(DIGITS_DENOISER.model), z, t, torch.zeros(1).long())
    fit = DIGITS_DENOISER.fit
    minutes = sum(outcomes("digits", "base", "cpu_minutes")) / 3
    speed = training_flops([Phase(fit.steps, fit.batch, forward)]) / (60 * minutes)
    text = PLANS["text-to-image"].base.denoiser
    tokens = torch.full((1, text.model.text.length), NULL)
    forward = flops(build_network(text.model), torch.zeros(1, 4, 8, 8), t, tokens)
    phase = Phase(text.fit.steps, text.fit.batch, forward)
    predicted = 60 * device_hours(training_flops([phase]), speed, 1.0)
    measured = fmean(outcomes("text-to-image", "base", "cpu_minutes"))
    assert 0.4 < measured / predicted < 2.5


def test_the_published_hours_are_above_what_the_operations_need():
    total = training_flops(STABLE_DIFFUSION)
    need = {name: device_hours(total, peak, 1.0) for name, peak in A100_PEAK.items()}
    assert need["half precision"] < need["TF32"] < need["float32"] < PUBLISHED_HOURS
    assert sum(p.steps for p in STABLE_DIFFUSION) == 1_141_000
