"""Schedules: tables against 50-digit arithmetic, time grids for every n, and clear errors."""

import math
import warnings
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minildm import checks
from minildm.denoise import gaussian_denoiser, network_denoiser
from minildm.predict import EPS, FLOW, Z0, V
from minildm.samplers import sample
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    expand,
    linear_betas,
    ramp_betas,
    scaled_linear_betas,
    sigmoid_betas,
    zero_terminal_snr,
)

mp.mp.dps = 50
SMALLEST_NORMAL = 2.3e-308  # below it float64 itself has fewer digits

# A float such as 1e-4 is taken as the number it is, in both computations.


def mp_line(a, b, T):
    a, b = mp.mpf(a), mp.mpf(b)
    return [a + (b - a) * i / (T - 1) if T > 1 else a for i in range(T)]


def mp_linear(T):
    return mp_line(1e-4, 0.02, T)


def mp_scaled_linear(T):
    return [x**2 for x in mp_line(mp.sqrt(mp.mpf(0.00085)), mp.sqrt(mp.mpf(0.012)), T)]


def mp_cosine(T):
    s = mp.mpf(0.008)
    f = [mp.cos((mp.mpf(t) / T + s) / (1 + s) * mp.pi / 2) ** 2 for t in range(T + 1)]
    return [min(1 - f[t] / f[t - 1], mp.mpf(0.999)) for t in range(1, T + 1)]


def mp_sigmoid(T):
    a, b = mp.mpf(1e-4), mp.mpf(0.02)
    return [a + (b - a) / (1 + mp.exp(-u)) for u in mp_line(-6, 6, T)]


def mp_ramp(T):
    return [mp.mpf(t) / T for t in range(1, T + 1)]


def mp_zero_terminal(betas):
    roots = [mp.sqrt(x) for x in mp_alpha_bar(betas)][1:]
    if len(roots) == 1:
        return [mp.mpf(1)]
    new = [(r - roots[-1]) * roots[0] / (roots[0] - roots[-1]) for r in roots]
    squares = [mp.mpf(1)] + [r**2 for r in new]
    return [1 - after / before for before, after in pairwise(squares)]


def mp_alpha_bar(betas):
    products = [mp.mpf(1)]
    for beta in betas:
        products.append(products[-1] * (1 - beta))
    return products


PAIRS = {
    "linear": (linear_betas, mp_linear),
    "scaled_linear": (scaled_linear_betas, mp_scaled_linear),
    "cosine": (cosine_betas, mp_cosine),
    "sigmoid": (sigmoid_betas, mp_sigmoid),
    "ramp": (ramp_betas, mp_ramp),
    "linear, zero SNR": (
        lambda T: zero_terminal_snr(linear_betas(T)),
        lambda T: mp_zero_terminal(mp_linear(T)),
    ),
    "cosine, zero SNR": (
        lambda T: zero_terminal_snr(cosine_betas(T)),
        lambda T: mp_zero_terminal(mp_cosine(T)),
    ),
}


def quiet(betas):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DiscreteSchedule(betas)


def worst_relative_error(table, exact):
    worst = 0.0
    for ours, truth in zip(table.tolist(), exact, strict=True):
        if abs(truth) < SMALLEST_NORMAL:
            assert abs(ours) <= SMALLEST_NORMAL
        else:
            worst = max(worst, float(abs(mp.mpf(ours) - truth) / abs(truth)))
    return worst


@pytest.mark.parametrize("T", [1, 2, 3, 10, 100, 1000, 4000])
@pytest.mark.parametrize("kind", PAIRS)
def test_tables_agree_with_50_digits(kind, T):
    betas, exact = PAIRS[kind]
    schedule = quiet(betas(T))
    beta = exact(T)
    alpha_bar = mp_alpha_bar(beta)
    rest = [1 - a for a in alpha_bar]
    variance = [mp.mpf(0)] + [beta[t - 1] * rest[t - 1] / rest[t] for t in range(1, T + 1)]
    assert worst_relative_error(schedule.beta, [mp.mpf(0), *beta]) < 1e-12
    assert worst_relative_error(schedule.alpha_bar, alpha_bar) < 1e-12
    assert worst_relative_error(schedule.noise_variance, rest) < 1e-12
    assert worst_relative_error(schedule.posterior_variance, variance) < 1e-12
    snr = [a / r for a, r in zip(alpha_bar[1:], rest[1:], strict=True)]
    assert worst_relative_error(schedule.snr[1:], snr) < 1e-12
    half_log_snr = [mp.log(x) / 2 for x in snr if x > 0]
    ours = schedule.half_log_snr(torch.arange(1, len(half_log_snr) + 1)).tolist()
    for value, truth in zip(ours, half_log_snr, strict=True):  # passes through 0
        assert abs(mp.mpf(value) - truth) < 1e-12 * (1 + abs(truth))


@pytest.mark.parametrize("kind", PAIRS)
def test_index_0_is_clean_data_exactly(kind):
    schedule = quiet(PAIRS[kind][0](50))
    assert schedule.beta[0] == 0 and schedule.alpha_bar[0] == 1 and schedule.alpha[0] == 1
    assert schedule.snr[0] == math.inf
    assert schedule.posterior_variance[0] == 0 and schedule.posterior_variance[1] == 0
    assert [float(x) for x in schedule(0)] == [1.0, 0.0]
    for table in (schedule.beta, schedule.alpha_bar, schedule.snr, schedule.posterior_variance):
        assert table.dtype == torch.float64 and table.shape == (51,)


def test_known_ratios_of_the_linear_schedule():
    # sigma_t^2 / beta_t = (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t), by hand from beta_1..beta_3
    schedule = DiscreteSchedule(linear_betas())
    ratio = (schedule.posterior_variance / schedule.beta)[1:4]
    assert torch.allclose(ratio, torch.tensor([0, 0.455, 0.611], dtype=torch.float64), atol=5e-4)
    stable_diffusion = DiscreteSchedule(scaled_linear_betas())
    assert abs(float(stable_diffusion.snr[1000]) - 0.00468) < 5e-6  # Lin et al. 2023, table 1


def test_the_ramp_underflows_without_nan():
    schedule = DiscreteSchedule(ramp_betas(1000))
    assert schedule.alpha_bar[929] > 0 and schedule.alpha_bar[930:].eq(0).all()
    ratio, variance = schedule.transition(torch.arange(2, 1001), torch.arange(1, 1000))
    assert torch.allclose(ratio**2, schedule.alpha[2:], rtol=1e-10, atol=0)
    assert torch.allclose(variance, schedule.beta[2:], rtol=1e-12, atol=0)


def test_builders_may_end_in_beta_1_and_take_numpy_integers():
    for betas in (linear_betas(np.int64(9), 0.1, 1.0), scaled_linear_betas(9, 0.1, 1.0)):
        assert DiscreteSchedule(betas).snr[-1] == 0
    assert DiscreteSchedule(cosine_betas(20, max_beta=1.0)).times(np.int64(4)).shape == (5,)


def test_cosine_betas_are_capped():
    assert cosine_betas(1000)[-1] == 0.999 and cosine_betas(1000, max_beta=0.5).max() == 0.5
    assert (cosine_betas(1000)[:-1] < 0.999).all()


@given(st.lists(st.floats(1e-6, 0.999), min_size=2, max_size=30))
def test_zero_terminal_snr_ends_in_exact_zero_and_keeps_beta_1(values):
    betas = torch.tensor(values, dtype=torch.float64)
    rescaled = zero_terminal_snr(betas)
    schedule = DiscreteSchedule(rescaled)
    assert rescaled[-1] == 1 and schedule.snr[-1] == 0 and rescaled[0] == betas[0]
    assert [float(x) for x in schedule(len(values))] == [0.0, 1.0]
    assert torch.allclose(zero_terminal_snr(rescaled), rescaled, rtol=1e-6, atol=1e-12)


def test_zero_terminal_snr_of_one_step_and_of_long_schedules():
    assert zero_terminal_snr(linear_betas(1)).tolist() == [1.0]
    flat = torch.full((4000,), 0.9, dtype=torch.float64)  # sqrt(alpha_bar_T) underflows
    assert torch.allclose(zero_terminal_snr(flat)[:3900], flat[:3900], rtol=1e-12)


# --- time grids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", ["uniform", "karras"])
@pytest.mark.parametrize("betas", [linear_betas(97), ramp_betas(40), cosine_betas(64)])
def test_times_for_every_number_of_steps(betas, spacing):
    schedule = quiet(betas)
    for steps in range(1, schedule.T + 1):
        times = schedule.times(steps, spacing)
        assert times.dtype == torch.int64 and len(times) == steps + 1
        assert times[0] == schedule.T and times[-1] == 0 and (times.diff() < 0).all()
        if spacing == "uniform":
            even = torch.linspace(schedule.T, 0, steps + 1, dtype=torch.float64)
            assert (times - even).abs().max() <= 0.5 + 1e-9
    assert times.tolist() == list(range(schedule.T, -1, -1))


def test_karras_times_are_even_in_the_seventh_root_of_sigma():
    schedule = DiscreteSchedule(scaled_linear_betas())
    times = schedule.times(10, "karras")[:-1]
    root = (-schedule.half_log_snr(times) / 7).exp()
    even = torch.linspace(float(root[0]), float(root[-1]), 10, dtype=torch.float64)
    neighbours = (-schedule.half_log_snr(torch.arange(1, 1001)) / 7).exp()
    spacing = neighbours.diff()[times - 2]  # one integer step of t at each grid point
    assert times[-1] == 1
    assert ((root - even).abs() <= 0.5 * spacing + 1e-3).all()


def test_a_zero_snr_end_does_not_stretch_the_karras_grid():
    # sigma_T is infinite; the grid spans the finite ones, with T itself in the first place
    schedule = DiscreteSchedule(zero_terminal_snr(scaled_linear_betas()))
    times = schedule.times(12, "karras")
    assert times[0] == 1000 and times[-2] == 1 and times[1] < 999


@pytest.mark.parametrize("schedule", [CosineSchedule(), FlowSchedule()])
def test_continuous_times(schedule):
    for steps in (1, 2, 7, 1000):
        times = schedule.times(steps)
        assert times.dtype == torch.float64 and times[0] == 1 and times[-1] == 0
        assert torch.allclose(times.diff(), torch.tensor(-1 / steps, dtype=torch.float64))


# --- continuous schedules -------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [CosineSchedule(), FlowSchedule()])
def test_both_ends_are_exact(schedule):
    assert [float(x) for x in schedule(0.0)] == [1.0, 0.0]
    assert [float(x) for x in schedule(1.0)] == [0.0, 1.0]
    assert schedule.half_log_snr(0.0) == math.inf and schedule.half_log_snr(1.0) == -math.inf


@given(st.floats(0.001, 0.999))
def test_continuous_schedules_against_their_formulas(t):
    signal, noise = CosineSchedule()(t)
    assert abs(signal - math.cos(math.pi * t / 2)) < 1e-14
    assert abs(noise - math.sin(math.pi * t / 2)) < 1e-14
    assert abs(CosineSchedule().half_log_snr(t) + math.log(math.tan(math.pi * t / 2))) < 1e-12
    assert [float(x) for x in FlowSchedule()(t)] == [1 - t, t]
    assert abs(FlowSchedule().half_log_snr(t) - math.log((1 - t) / t)) < 1e-12


SCHEDULES = [DiscreteSchedule(linear_betas()), DiscreteSchedule(ramp_betas(1000))]
SCHEDULES += [CosineSchedule(), FlowSchedule()]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_transitions_compose(schedule):
    """u -> s -> t in two steps is u -> t in one: ratios multiply, variances add up."""
    if schedule.T == 1.0:
        u, s, t = torch.tensor([[0.0, 0.2, 0.5], [0.1, 0.21, 0.9], [0.3, 0.22, 1.0]]).double()
    else:
        u, s, t = torch.tensor([[0, 300, 940], [1, 301, 950], [400, 302, 1000]])
    ratio_1, v_1 = schedule.transition(s, u)
    ratio_2, v_2 = schedule.transition(t, s)
    ratio, v = schedule.transition(t, u)
    assert torch.allclose(ratio, ratio_1 * ratio_2, rtol=1e-12, atol=1e-300)
    assert torch.allclose(v, v_2 + ratio_2**2 * v_1, rtol=1e-12)
    signal, noise = schedule(t)
    signal_u, noise_u = schedule(u)
    assert torch.allclose(signal, ratio * signal_u, rtol=1e-12, atol=1e-300)
    assert torch.allclose(noise**2, v + (ratio * noise_u) ** 2, rtol=1e-12)


def test_transition_keeps_its_digits_over_a_tiny_step():
    for schedule in (CosineSchedule(), FlowSchedule()):
        t, s = 0.5 + 2.0**-40, 0.5
        T, S = mp.mpf(t), mp.mpf(s)
        if isinstance(schedule, FlowSchedule):
            exact = T**2 - ((1 - T) / (1 - S)) ** 2 * S**2
        else:
            exact = 1 - (mp.cos(mp.pi * T / 2) / mp.cos(mp.pi * S / 2)) ** 2
        assert abs(schedule.transition(t, s)[1] / float(exact) - 1) < 1e-12


# --- shapes, warnings, errors ---------------------------------------------------------------------


def test_expand_casts_once_and_broadcasts_over_the_data():
    like = torch.zeros(3, 4, 5, 6)
    coefficient = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    wide = expand(coefficient, like)
    assert wide.shape == (3, 1, 1, 1) and wide.dtype == torch.float32
    assert torch.equal(wide.flatten(), coefficient.float())
    assert (wide * like).dtype == torch.float32
    with pytest.raises(ValueError, match=r"\(2,\).*\(3, 4, 5, 6\)"):
        expand(coefficient[:2], like)


def test_too_few_steps_warn_with_the_number_and_the_remedy():
    with pytest.warns(UserWarning, match=r"0\.6.*T = 100.*zero_terminal_snr"):
        schedule = DiscreteSchedule(linear_betas(T=100))
    assert abs(float(schedule(100)[0]) - 0.6) < 0.005  # 60 % of the amplitude,
    assert abs(float(schedule.alpha_bar[100]) - 0.36) < 0.005  # 36 % of the power
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for betas in (linear_betas(), scaled_linear_betas(), cosine_betas(), ramp_betas()):
            DiscreteSchedule(betas)


def test_eps_prediction_where_the_signal_is_lost_warns_with_the_factor():
    lost = (cosine_betas(), cosine_betas(10), ramp_betas(), zero_terminal_snr(linear_betas()))
    for schedule in (*map(DiscreteSchedule, lost), CosineSchedule(), FlowSchedule()):
        for eps in (EPS, "EPS"):
            said = r"signal = .* at T = .*by (\d|infinity).*Predict V"
            with pytest.warns(UserWarning, match=said):
                checks.warn_of_signal_lost(eps, schedule)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for kind in (V, Z0, FLOW, "V", "Z0", "FLOW"):
                checks.warn_of_signal_lost(kind, schedule)
    kept = (linear_betas(), sigmoid_betas(), scaled_linear_betas(), linear_betas(1500))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for betas in kept:  # the last has less signal at T than cosine_betas(50), but falls slowly
            checks.warn_of_signal_lost(EPS, DiscreteSchedule(betas))
    # what it warns of: an error of 0.1 in eps, in 20 steps, blows up the samples, or does not
    generator = torch.Generator().manual_seed(0)
    z_T, off = torch.randn(2, 500, 2, dtype=torch.float64, generator=generator)
    for betas, least, most in ((linear_betas(), 0.5, 2), (cosine_betas(), 50, 500)):
        schedule = DiscreteSchedule(betas)
        exact = gaussian_denoiser(schedule, torch.zeros(2), torch.eye(2))
        wrong = network_denoiser(lambda z, t, _, e=exact: e(z, t).eps + 0.1 * off, schedule, EPS)
        *_, last = sample(wrong, schedule, z_T, schedule.times(20))
        assert least < float(last.z.std()) < most


DISCRETE = DiscreteSchedule(linear_betas())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DiscreteSchedule(torch.tensor([0.1, 0.0]).double()), r"betas\[1\].*0\.0"),
        (lambda: DiscreteSchedule(torch.tensor([1.0, 0.5]).double()), r"betas\[0\].*1\.0.*last"),
        (lambda: DiscreteSchedule(torch.tensor([0.5, 1.5]).double()), r"betas\[1\].*1\.5"),
        (lambda: DiscreteSchedule(torch.tensor([0.5, math.nan]).double()), r"betas\[1\].*nan"),
        (lambda: DiscreteSchedule(torch.tensor([-0.5, 0.5]).double()), r"betas\[0\].*-0\.5"),
        (lambda: DiscreteSchedule(linear_betas().float()), r"float64.*float32"),
        (lambda: DiscreteSchedule(torch.zeros(0).double()), r"T >= 1"),
        (lambda: DiscreteSchedule(torch.full((2, 2), 0.1).double()), r"\(2, 2\)"),
        (lambda: linear_betas(0), "T must be a whole number"),
        (lambda: linear_betas(10.0), "T must be a whole number"),
        (lambda: linear_betas(10, first=0.0), "first"),
        (lambda: scaled_linear_betas(10, last=1.5), "last.*1.5"),
        (lambda: sigmoid_betas(10, last=math.nan), "last"),
        (lambda: cosine_betas(10, max_beta=1.1), "max_beta"),
        (lambda: cosine_betas(10, s=-0.1), "s must be"),
        (lambda: ramp_betas(-3), "T must be a whole number"),
        (lambda: zero_terminal_snr(torch.tensor([0.1, 2.0]).double()), r"betas\[1\]"),
        (lambda: DISCRETE(1001), r"t = 1001.*0\.\.1000"),
        (lambda: DISCRETE(torch.tensor([5, -1])), r"t = -1"),
        (lambda: DISCRETE(torch.tensor(0.5).double()), "int64"),
        (lambda: DISCRETE(torch.tensor(3, dtype=torch.int32)), "int64"),
        (lambda: DISCRETE.transition(3, 3), "s = 3 must be below t = 3"),
        (lambda: DISCRETE.transition(torch.tensor([9, 4]), torch.tensor([8, 5])), "s = 5.*t = 4"),
        (lambda: DISCRETE.times(0), "steps"),
        (lambda: DISCRETE.times(1001), r"1\.\.1000; got 1001"),
        (lambda: DISCRETE.times(10, "leading"), "uniform.*karras.*leading"),
        (lambda: CosineSchedule()(torch.tensor(1)), "float64"),
        (lambda: FlowSchedule()(1), "float64"),
        (lambda: FlowSchedule()(torch.tensor(0.5)), "float64.*0..1"),
        (lambda: FlowSchedule()(1.5), "t = 1.5"),
        (lambda: CosineSchedule()(math.nan), "t = nan"),
        (lambda: FlowSchedule().transition(0.2, 0.3), "s = 0.3"),
        (lambda: FlowSchedule().times(10, "karras"), "karras"),
        (lambda: FlowSchedule().times(0), "steps"),
    ],
)
def test_bad_arguments_name_argument_value_and_fix(call, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()
