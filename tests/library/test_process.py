"""The forward process and the true posterior, against closed forms and against Bayes' rule."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minildm.process import Gaussian, diffuse, diffuse_step, posterior
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    linear_betas,
    ramp_betas,
    zero_terminal_snr,
)

SCHEDULES = {
    "linear": DiscreteSchedule(linear_betas()),
    "ramp": DiscreteSchedule(ramp_betas(1000)),
    "zero SNR": DiscreteSchedule(zero_terminal_snr(linear_betas())),
    "cosine": CosineSchedule(),
    "flow": FlowSchedule(),
}


def at(schedule, fraction):
    """The time at this fraction of T, in the schedule's own kind of number."""
    if schedule.T == 1.0:
        return torch.tensor(fraction, dtype=torch.float64)
    return torch.tensor(round(fraction * schedule.T))


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_diffuse_is_the_jump_formula_for_points_and_latents():
    schedule = SCHEDULES["linear"]
    t = torch.tensor([1, 500, 1000])
    alpha_bar = torch.cumprod(1 - linear_betas(), 0)[t - 1]
    for shape in [(3, 2), (3, 4, 5, 6)]:
        z0, eps = randn(*shape, seed=1), randn(*shape, seed=2)
        wide = alpha_bar.reshape(3, *[1] * (len(shape) - 1))
        expected = wide.sqrt() * z0 + (1 - wide).sqrt() * eps
        assert torch.allclose(diffuse(schedule, z0, t, eps), expected, rtol=1e-9, atol=1e-12)
    assert torch.equal(diffuse(schedule, z0, 0, eps), z0)


def test_markov_step_is_ddpm_equation_2():
    schedule = SCHEDULES["linear"]
    z, eps = randn(4, 2, seed=1), randn(4, 2, seed=2)
    beta = linear_betas()
    for t in (1, 2, 500, 1000):
        expected = (1 - beta[t - 1]).sqrt() * z + beta[t - 1].sqrt() * eps
        assert torch.allclose(diffuse_step(schedule, z, t, t - 1, eps), expected, rtol=1e-12)


def test_the_markov_chain_adds_up_to_the_jump():
    """Walking the chain multiplies the mean and accumulates variance exactly as q(z_t | z0)."""
    for name in ("linear", "ramp", "zero SNR"):
        schedule = SCHEDULES[name]
        zero, one = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
        mean, variance = one, zero
        for t in range(1, schedule.T + 1):
            mean = diffuse_step(schedule, mean, t, t - 1, zero)
            ratio = diffuse_step(schedule, one, t, t - 1, zero)
            std = diffuse_step(schedule, zero, t, t - 1, one)
            variance = ratio**2 * variance + std**2
            signal, noise = schedule(t)
            assert abs(float(mean) - float(signal)) < 1e-12
            assert abs(float(variance) - float(noise) ** 2) < 1e-12


@pytest.mark.parametrize("name", ["linear", "ramp", "zero SNR"])
def test_posterior_is_ddpm_equations_6_and_7_for_every_t(name):
    schedule = SCHEDULES[name]
    z_t, z0 = randn(2, 3, seed=1), randn(2, 3, seed=2)
    beta, alpha_bar = schedule.beta, schedule.alpha_bar
    rest = -torch.expm1(torch.log1p(-schedule.beta).cumsum(0))
    for t in range(1, schedule.T + 1):
        mean, var = posterior(schedule, z_t, z0, t, t - 1)
        from_z0 = alpha_bar[t - 1].sqrt() * beta[t] / rest[t]
        from_z_t = (1 - beta[t]).sqrt() * rest[t - 1] / rest[t]
        assert torch.allclose(mean, from_z0 * z0 + from_z_t * z_t, rtol=1e-9, atol=1e-12)
        assert torch.allclose(var, beta[t] * rest[t - 1] / rest[t], rtol=1e-9, atol=0)
        assert torch.allclose(var, schedule.posterior_variance[t], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("start", "end"), [(0.9, 0.2), (0.5, 0.49), (1.0, 0.3), (0.3, 0.05)])
def test_posterior_is_bayes_rule(name, start, end):
    """log q(z_t|z_s) + log q(z_s|z0) is a parabola in z_s: its vertex and width are known."""
    schedule = SCHEDULES[name]
    t, s = at(schedule, start), at(schedule, end)
    z0, z_t = 0.7, -1.3
    one = torch.ones(1, 1).double()
    mean, var = posterior(schedule, z_t * one, z0 * one, t, s)
    ratio, v = (float(x) for x in schedule.transition(t, s))
    signal_s, noise_s = (float(x) for x in schedule(s))
    precision = ratio**2 / v + 1 / noise_s**2
    vertex = (ratio * z_t / v + signal_s * z0 / noise_s**2) / precision
    assert math.isclose(float(var), 1 / precision, rel_tol=1e-9)
    assert math.isclose(float(mean), vertex, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_posterior_inverts_the_forward_process_in_distribution(name):
    """Averaged over z_t ~ q(z_t | z0), the posterior gives back q(z_s | z0): for any s < t."""
    schedule = SCHEDULES[name]
    t, s = at(schedule, 0.8), at(schedule, 0.37)
    zero, one = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
    signal_t, noise_t = schedule(t)
    signal_s, noise_s = schedule(s)
    mean, var = posterior(schedule, signal_t * one, one, t, s)
    slope = posterior(schedule, one, zero, t, s).mean
    assert torch.allclose(mean, signal_s * one, rtol=1e-12)
    assert torch.allclose(var + (slope * noise_t) ** 2, noise_s**2 * one, rtol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_posterior_at_clean_data_is_the_data(name):
    schedule = SCHEDULES[name]
    z_t, z0 = randn(3, 2, seed=1), randn(3, 2, seed=2)
    mean, var = posterior(schedule, z_t, z0, at(schedule, 0.6), at(schedule, 0.0))
    assert torch.allclose(mean, z0, rtol=1e-14) and (var == 0).all()


@given(st.integers(1, 1000), st.integers(0, 999))
def test_a_batch_of_times_is_each_time_on_its_own(t, s):
    if s >= t:
        t, s = s + 1, t - 1
    schedule = SCHEDULES["linear"]
    z_t, z0 = randn(2, 3, 2, 2, seed=1).float(), randn(2, 3, 2, 2, seed=2).float()
    mean, var = posterior(schedule, z_t, z0, torch.tensor([t, 700]), torch.tensor([s, 600]))
    alone = posterior(schedule, z_t[:1], z0[:1], t, s)
    assert mean.dtype == torch.float32 and var.shape == (2, 1, 1, 1)
    torch.testing.assert_close(mean[:1], alone.mean)
    torch.testing.assert_close(var[0, 0, 0, 0], alone.var)


def test_gaussian_scales_noise_by_the_standard_deviation():
    mean, eps = torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0])
    assert torch.equal(Gaussian(mean, torch.tensor(4.0)).sample(eps), torch.tensor([3.0, 0.0]))


POINT = torch.zeros(2, 2)
LINEAR = SCHEDULES["linear"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: diffuse(LINEAR, POINT, 5, torch.zeros(2, 3)), r"eps.*\(2, 3\).*z0.*\(2, 2\)"),
        (lambda: diffuse(LINEAR, POINT, 1001, POINT), "t = 1001"),
        (lambda: diffuse(LINEAR, POINT, torch.tensor([1, 2, 3]), POINT), r"\(3,\)"),
        (lambda: diffuse(LINEAR, POINT / 0, 5, POINT), "z0.*NaN"),
        (lambda: diffuse(LINEAR, POINT, 5, POINT + math.inf), "eps.*infinite"),
        (lambda: diffuse(LINEAR, POINT, 5, POINT.double()), "float64"),
        (lambda: diffuse(LINEAR, POINT.long(), 5, POINT.long()), "z0.*int64"),
        (lambda: diffuse_step(LINEAR, POINT, 5, 5, POINT), "s = 5"),
        (lambda: diffuse_step(LINEAR, POINT, 5, 4, POINT * math.nan), "eps.*NaN"),
        (lambda: posterior(LINEAR, POINT, POINT, 0, 0), "s = 0 must be below t = 0"),
        (lambda: posterior(LINEAR, POINT, POINT[:1], 5, 4), r"z0.*\(1, 2\)"),
        (lambda: posterior(FlowSchedule(), POINT, POINT, 1, 0), "float64"),
    ],
)
def test_bad_arguments_name_argument_value_and_fix(call, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()
