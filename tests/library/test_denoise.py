"""Denoisers: exact oracles against brute force, guidance, clipping, and how networks are called."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minildm.denoise import (
    Denoised,
    clipped,
    gaussian_denoiser,
    guided,
    mixture_denoiser,
    network_denoiser,
)
from minildm.predict import EPS, FLOW, Z0, V
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    linear_betas,
    ramp_betas,
    zero_terminal_snr,
)

LINEAR = DiscreteSchedule(linear_betas())
ZERO_SNR = DiscreteSchedule(zero_terminal_snr(linear_betas()))
SCHEDULES = [LINEAR, ZERO_SNR, DiscreteSchedule(ramp_betas(100)), CosineSchedule(), FlowSchedule()]
MEAN = torch.tensor([1.0, -2.0]).double()
COV = torch.tensor([[1.3, 0.8], [0.8, 0.7]]).double()
WEIGHTS = torch.tensor([0.7, 0.3]).double()
MEANS = torch.tensor([[1.5, 0.0], [-1.0, 1.0]]).double()
COVS = torch.tensor([[[0.3, 0.1], [0.1, 0.2]], [[0.1, -0.05], [-0.05, 0.4]]]).double()


def at(schedule, fraction):
    if schedule.T == 1.0:
        return torch.tensor(fraction, dtype=torch.float64)
    return torch.tensor(round(fraction * schedule.T))


def points(n, seed=0):
    return 2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- oracles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.8, 1.0])
def test_gaussian_oracle_is_linear_regression_on_z_t(schedule, fraction):
    """E[z0 | z_t] = mean + Cov(z0, z_t) Cov(z_t)^-1 (z_t - E z_t), by the joint Gaussian."""
    t = at(schedule, fraction)
    signal, noise = schedule(t)
    z_t = points(5)
    gain = signal * COV @ torch.linalg.inv(signal**2 * COV + noise**2 * torch.eye(2).double())
    expected = MEAN + (z_t - signal * MEAN) @ gain.T
    z0, eps = gaussian_denoiser(schedule, MEAN, COV)(z_t, t)
    assert torch.allclose(z0, expected, rtol=1e-10, atol=1e-12)
    assert torch.allclose(signal * z0 + noise * eps, z_t, rtol=1e-12, atol=1e-12)


def normal_density(x, mean, cov):
    d = x - mean
    exponent = -0.5 * (d @ torch.linalg.inv(cov) * d).sum(-1)
    return exponent.exp() / (2 * math.pi * torch.linalg.det(cov).sqrt())


@pytest.mark.parametrize("schedule", [LINEAR, FlowSchedule()])
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9])
def test_mixture_oracle_is_bayes_rule_on_a_grid(schedule, fraction):
    """Integrate z0 p(z0) q(z_t | z0) over a fine grid of z0: no formula of the oracle is used."""
    t = at(schedule, fraction)
    signal, noise = schedule(t)
    axis = torch.linspace(-6, 6, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)  # (601 * 601, 2)
    prior = sum(
        w * normal_density(grid, m, c) for w, m, c in zip(WEIGHTS, MEANS, COVS, strict=True)
    )
    z_t = torch.tensor([[0.3, 0.4], [-1.0, 0.2], [0.8, 1.5]]).double()
    oracle = mixture_denoiser(schedule, WEIGHTS, MEANS, COVS)(z_t, t)
    for point, z0, eps in zip(z_t, *oracle, strict=True):
        weight = prior * (-0.5 * ((point - signal * grid) ** 2).sum(-1) / noise**2).exp()
        expected = (weight[:, None] * grid).sum(0) / weight.sum()
        assert torch.allclose(z0, expected, rtol=1e-6, atol=1e-6)
        assert torch.allclose(eps, (point - signal * expected) / noise, rtol=1e-5, atol=1e-5)


def test_eps_is_minus_noise_times_the_score():
    """E[eps | z_t] = -noise grad log p_t(z_t): the score taken by automatic differentiation."""
    t = torch.tensor(400)
    signal, noise = LINEAR(t)
    z_t = points(6).requires_grad_()
    density = sum(
        w * normal_density(z_t, signal * m, signal**2 * c + noise**2 * torch.eye(2).double())
        for w, m, c in zip(WEIGHTS, MEANS, COVS, strict=True)
    )
    (score,) = torch.autograd.grad(density.log().sum(), z_t)
    eps = mixture_denoiser(LINEAR, WEIGHTS, MEANS, COVS)(z_t.detach(), t).eps
    assert torch.allclose(eps, -noise * score, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_oracles_for_points_on_a_line(schedule):
    """A singular covariance: the estimate stays on the line, and nothing is NaN at either end."""
    along = torch.tensor([0.6, 0.8]).double()
    oracle = gaussian_denoiser(schedule, MEAN, torch.outer(along, along))
    across = torch.tensor([-0.8, 0.6]).double()
    for fraction in (0.01, 0.5, 1.0):
        z0, eps = oracle(points(7), at(schedule, fraction))
        # (z_t - signal mean) / noise: near clean data a rounding of signal counts 1 / noise times
        assert ((z0 - MEAN) @ across).abs().max() < 1e-10
        signal, noise = schedule(at(schedule, fraction))
        assert torch.allclose(signal * z0 + noise * eps, points(7), atol=1e-12)
    z0, eps = oracle(points(7), at(schedule, 0.0))
    assert torch.equal(z0, points(7)) and (eps == 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_oracles_at_the_noisy_end_know_only_the_prior(schedule):
    z0, eps = mixture_denoiser(schedule, WEIGHTS, MEANS, COVS)(points(4), at(schedule, 1.0))
    if schedule(at(schedule, 1.0))[0] == 0:
        assert torch.allclose(z0, (WEIGHTS @ MEANS).expand(4, 2), atol=1e-14)
        assert torch.allclose(eps, points(4), atol=1e-14)
    else:
        assert (z0 - WEIGHTS @ MEANS).abs().max() < 0.1


def test_oracles_take_one_time_per_sample_and_keep_float32():
    oracle = mixture_denoiser(LINEAR, WEIGHTS, MEANS, COVS)
    t = torch.tensor([1, 0, 500, 1000])
    batch = oracle(points(4).float(), t)
    assert batch.z0.dtype == batch.eps.dtype == torch.float32
    for i in range(4):
        alone = oracle(points(4)[i : i + 1].float(), t[i])
        assert torch.allclose(batch.z0[i], alone.z0[0]) and torch.allclose(
            batch.eps[i], alone.eps[0]
        )


@pytest.mark.parametrize(
    ("weights", "means", "covs", "message"),
    [
        ([0.5, 0.6], MEANS, COVS, "sum to 1"),
        ([-0.5, 1.5], MEANS, COVS, ">= 0"),
        ([0.5, 0.5], MEANS, COVS[:1], r"do not fit"),
        ([0.5, 0.5], MEANS, COVS - 1.0, "negative variance"),
        ([0.5, 0.5], MEANS, COVS + torch.tensor([[0.0, 1.0], [0.0, 0.0]]), "symmetric"),
        ([0.5, 0.5], MEANS * math.nan, COVS, "mean.*NaN"),
    ],
)
def test_impossible_mixtures_are_refused(weights, means, covs, message):
    with pytest.raises(ValueError, match=message):
        mixture_denoiser(LINEAR, torch.tensor(weights), means, covs)


def test_oracles_refuse_other_shapes_and_nan():
    oracle = gaussian_denoiser(LINEAR, MEAN, COV)
    with pytest.raises(ValueError, match=r"\(B, 2\).*\(4, 3\)"):
        oracle(torch.zeros(4, 3), torch.tensor(5))
    with pytest.raises(ValueError, match="z_t.*NaN"):
        oracle(torch.full((4, 2), math.nan), torch.tensor(5))
    with pytest.raises(ValueError, match=r"\(3,\).*\(4, 2"):
        oracle(points(4), torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="do not fit"):
        gaussian_denoiser(LINEAR, MEAN, COV[0])


# --- networks -------------------------------------------------------------------------------------


class Recorder:
    """A 'network' that knows the truth about fixed data and remembers how it was called."""

    def __init__(self, schedule, parameterization, z0, eps):
        self.schedule, self.parameterization, self.z0, self.eps = (
            schedule,
            parameterization,
            z0,
            eps,
        )
        self.calls = []

    def __call__(self, z_t, t, condition):
        self.calls.append((z_t.shape, t, condition))
        return self.parameterization.target(self.z0, self.eps, *self.schedule(t))


@pytest.mark.parametrize("parameterization", [EPS, Z0, V, FLOW])
def test_network_denoiser_recovers_both_unknowns(parameterization):
    z0, eps = points(3, seed=1), points(3, seed=2)
    net = Recorder(LINEAR, parameterization, z0, eps)
    denoise = network_denoiser(net, LINEAR, parameterization, condition="a digit")
    for t in (1, 500, 1000):
        signal, noise = LINEAR(t)
        out = denoise(signal * z0 + noise * eps, torch.tensor(t))
        assert torch.allclose(out.z0, z0, atol=1e-10) and torch.allclose(out.eps, eps, atol=1e-10)
        shape, seen, condition = net.calls[-1]
        assert shape == (3, 2) and condition == "a digit"
        assert seen.dtype == torch.int64 and seen.tolist() == [t] * 3  # the book's 1-based t


def test_clean_data_needs_no_network():
    z0, eps = points(3, seed=1), points(3, seed=2)
    net = Recorder(LINEAR, V, z0, eps)
    out = network_denoiser(net, LINEAR, V)(z0, torch.tensor(0))
    assert torch.equal(out.z0, z0) and (out.eps == 0).all() and not net.calls
    some = network_denoiser(net, LINEAR, V)(z0, torch.tensor([0, 5, 0]))
    assert torch.equal(some.z0[0], z0[0]) and (some.eps[[0, 2]] == 0).all()


def test_a_network_that_changes_the_shape_is_refused():
    denoise = network_denoiser(lambda z, t, c: z[:, :1], LINEAR)
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3, 2\)"):
        denoise(points(3), torch.tensor(5))


# --- guidance -------------------------------------------------------------------------------------


def two_oracles(schedule=LINEAR):
    return (
        gaussian_denoiser(schedule, MEAN, COV),
        gaussian_denoiser(schedule, -MEAN, 2 * COV),
    )


def test_guidance_0_and_1_are_the_two_denoisers_exactly():
    conditional, unconditional = two_oracles()
    z, t = points(5), torch.tensor(321)
    for w, plain in (
        (0, unconditional),
        (1, conditional),
        (0.0, unconditional),
        (1.0, conditional),
    ):
        assert torch.equal(guided(conditional, unconditional, w)(z, t).z0, plain(z, t).z0)
        assert torch.equal(guided(conditional, unconditional, w)(z, t).eps, plain(z, t).eps)


@given(st.floats(-3, 12), st.integers(1, 1000))
def test_guidance_extrapolates_and_stays_consistent(w, t):
    conditional, unconditional = two_oracles()
    z, t = points(5), torch.tensor(t)
    c, u = conditional(z, t), unconditional(z, t)
    out = guided(conditional, unconditional, w)(z, t)
    assert torch.allclose(out.eps, (1 - w) * u.eps + w * c.eps, atol=1e-9)
    assert torch.allclose(out.z0, (1 - w) * u.z0 + w * c.z0, atol=1e-9)
    signal, noise = LINEAR(t)
    assert torch.allclose(signal * out.z0 + noise * out.eps, z, atol=1e-9)


def test_guidance_asks_a_shared_network_once():
    calls = []

    def net(z_t, t, condition):
        calls.append((len(z_t), t.tolist()))
        return z_t * condition[:, None] + t[:, None] / 1000

    c = network_denoiser(net, LINEAR, V, condition=torch.tensor([1.0, 2.0]).double())
    u = network_denoiser(net, LINEAR, V, condition=torch.tensor([0.0, 0.0]).double())
    z, t = points(2), torch.tensor([7, 900])
    together = guided(c, u, 3.0)(z, t)
    assert calls == [(4, [7, 900, 7, 900])]
    apart = Denoised(*(pu + 3.0 * (pc - pu) for pc, pu in zip(c(z, t), u(z, t), strict=True)))
    assert torch.allclose(together.z0, apart.z0) and torch.allclose(together.eps, apart.eps)


def test_guidance_keeps_one_time_for_all():
    """The network sees it once per sample; the schedule is asked for one number."""
    asked, seen = [], []

    class Counting(FlowSchedule):
        def __call__(self, t):
            asked.append(t.dim())
            return super().__call__(t)

    def net(z_t, t, condition):
        seen.append(t.tolist())
        return z_t * condition[:, None]

    schedule = Counting()
    c, u = (network_denoiser(net, schedule, V, x) for x in (torch.ones(2), torch.zeros(2)))
    guided(c, u, 3.0)(points(2), torch.tensor(0.25).double())
    assert seen == [[0.25] * 4] and set(asked) == {0}


@pytest.mark.parametrize("change", ["condition", "parameterization", "net"])
def test_guidance_does_not_merge_what_differs(change):
    def net(z_t, t, condition):
        return z_t * (1.0 if condition is None else 2.0)

    labels = torch.tensor([1, 2])
    c = network_denoiser(net, LINEAR, V, labels)
    u = {
        "condition": network_denoiser(net, LINEAR, V, None),
        "parameterization": network_denoiser(net, LINEAR, Z0, labels),
        "net": network_denoiser(lambda z, t, c: -z, LINEAR, V, labels),
    }[change]
    z, t = points(2), torch.tensor(500)
    expected = u(z, t).z0 + 2.5 * (c(z, t).z0 - u(z, t).z0)
    assert torch.allclose(guided(c, u, 2.5)(z, t).z0, expected)


@pytest.mark.parametrize("w", [math.nan, math.inf])
def test_guidance_must_be_finite(w):
    with pytest.raises(ValueError, match=f"guidance.*{w}"):
        guided(*two_oracles(), w)


# --- clipping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_clipping_derives_eps_again(schedule):
    denoise = clipped(gaussian_denoiser(schedule, MEAN, COV), schedule, -0.5, 0.5)
    for fraction in (0.1, 0.6, 1.0):
        t = at(schedule, fraction)
        signal, noise = schedule(t)
        z0, eps = denoise(points(6), t)
        assert z0.abs().max() == 0.5
        assert torch.allclose(signal * z0 + noise * eps, points(6), atol=1e-12)
    clean = denoise(points(6), at(schedule, 0.0))
    assert torch.equal(clean.z0, points(6)) and (clean.eps == 0).all()


def test_clipping_that_does_not_bite_changes_nothing():
    plain = gaussian_denoiser(LINEAR, MEAN, COV)
    out, t = clipped(plain, LINEAR, -1e3, 1e3)(points(6), torch.tensor(300)), torch.tensor(300)
    assert torch.allclose(out.z0, plain(points(6), t).z0)
    assert torch.allclose(out.eps, plain(points(6), t).eps, atol=1e-12)
    with pytest.raises(ValueError, match="low = 1, high = -1"):
        clipped(plain, LINEAR, 1, -1)
