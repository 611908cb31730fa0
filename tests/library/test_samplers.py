"""Samplers: orders of convergence, identities, the last step, the grid, zero terminal SNR."""

import math
import warnings
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minildm.denoise import Denoised, gaussian_denoiser, mixture_denoiser, network_denoiser
from minildm.predict import EPS
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun, sample
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    linear_betas,
    ramp_betas,
    scaled_linear_betas,
    sigmoid_betas,
    zero_terminal_snr,
)

MEAN = torch.tensor([1.0, 2.0]).double()
COV = torch.tensor([[1.3, 0.6], [0.6, 0.7]]).double()  # correlated, and no eigenvalue is 1
CONTINUOUS = {"cosine": CosineSchedule(), "flow": FlowSchedule()}
STEPS = {"ddim": (ddim, 1), "heun": (heun, 2), "dpmpp_2m": (dpmpp_2m, 2)}
ALL_STEPS = [ddpm, ddim, heun, dpmpp_2m, partial(ddim, eta=0.5), partial(ddim, eta=1.0)]


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def exact_flow(schedule, z, t, s):
    """The probability-flow ODE from t to s, solved: in the axes of COV every axis only rescales."""
    (signal_t, noise_t), (signal_s, noise_s) = schedule(t), schedule(s)
    variances, axes = torch.linalg.eigh(COV)
    along = (z - signal_t * MEAN) @ axes
    std_t, std_s = (
        (a**2 * variances + b**2).sqrt() for a, b in ((signal_t, noise_t), (signal_s, noise_s))
    )
    return signal_s * MEAN + (along / std_t * std_s) @ axes.T


def last(denoise, schedule, z, times, step):
    *_, end = sample(denoise, schedule, z, times, step)
    return end.z


def rms(x):
    return float(x.pow(2).mean().sqrt())


def quiet(betas):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DiscreteSchedule(betas)


# --- order of convergence -------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("warp", [1.0, 1.7], ids=["even steps", "uneven steps"])
def test_order_of_convergence(name, kind, warp):
    """Error against the exact flow, from t = 0.95 to 0.05 (noise > 0), at n = 80, 160, 320."""
    (step, order), schedule = STEPS[name], CONTINUOUS[kind]
    denoise, z = gaussian_denoiser(schedule, MEAN, COV), randn(64, 2)
    truth = exact_flow(schedule, z, 0.95, 0.05)
    errors = []
    for n in (80, 160, 320):
        times = 0.05 + 0.9 * torch.linspace(1, 0, n + 1, dtype=torch.float64) ** warp
        errors.append(rms(last(denoise, schedule, z, times, step) - truth))
    assert abs(math.log2(errors[1] / errors[2]) - order) < 0.15
    assert abs(math.log2(errors[0] / errors[1]) - order) < 0.3


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_local_order_with_unequal_steps(name, kind, ratio):
    """One step from the exact path errs by h^(order + 1); 2M remembers a step of another length.

    An inverted step ratio in 2M keeps the global order but shows here as local order 2.
    """
    (step, order), schedule = STEPS[name], CONTINUOUS[kind]
    denoise, z, t = gaussian_denoiser(schedule, MEAN, COV), randn(64, 2), 0.5
    errors = []
    for h in (0.01, 0.005, 0.0025):
        before, now, after = (torch.tensor(x).double() for x in (t + ratio * h, t, t - h))
        *_, memory = step(exact_flow(schedule, z, t, before), before, now, denoise, schedule, None)
        start = exact_flow(schedule, z, t, now)
        end, *_ = step(start, now, after, denoise, schedule, memory)
        errors.append(rms(end - exact_flow(schedule, start, now, after)))
    assert abs(math.log2(errors[1] / errors[2]) - (order + 1)) < 0.25


def test_karras_spacing_keeps_second_order_where_uniform_spacing_loses_it():
    """Stable Diffusion's schedule down to clean data, DPM-Solver++(2M), 20 -> 40 steps."""
    schedule = DiscreteSchedule(scaled_linear_betas())
    denoise, z = gaussian_denoiser(schedule, MEAN, COV), randn(64, 2)
    truth = exact_flow(schedule, z, 1000, 0)
    order = {}
    for spacing in ("uniform", "karras"):
        error = [
            rms(last(denoise, schedule, z, schedule.times(n, spacing), dpmpp_2m) - truth)
            for n in (20, 40)
        ]
        order[spacing] = math.log2(error[0] / error[1])
    assert order["uniform"] < 1.5 < 1.8 < order["karras"]


# --- identities -----------------------------------------------------------------------------------


SCHEDULES = {
    "linear": DiscreteSchedule(linear_betas()),
    "zero SNR": DiscreteSchedule(zero_terminal_snr(linear_betas())),
    "ramp": DiscreteSchedule(ramp_betas(100)),
    "cosine": CosineSchedule(),
    "flow": FlowSchedule(),
}


class Draws:
    """Noise that can be replayed, and counted."""

    def __init__(self):
        self.count = 0

    def __call__(self, z):
        self.count += 1
        return randn(*z.shape, seed=1000 + self.count).to(z)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 7, 50, 100])
def test_ddpm_is_ddim_with_eta_1(kind, steps):
    schedule = SCHEDULES[kind]
    denoise, z, times = gaussian_denoiser(schedule, MEAN, COV), randn(8, 2), schedule.times(steps)
    one = sample(denoise, schedule, z, times, partial(ddpm, draw=Draws()))
    other = sample(denoise, schedule, z, times, partial(ddim, eta=1.0, draw=Draws()))
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a.z, b.z, rtol=1e-10, atol=1e-10)


def test_ddpm_is_the_formula_of_the_article():
    """z_{t-1} = (z_t - beta_t / sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_t) + sigma_t xi, t > 1."""
    schedule = SCHEDULES["linear"]
    denoise, z, xi = gaussian_denoiser(schedule, MEAN, COV), randn(8, 2), randn(8, 2, seed=9)
    for t in (2, 3, 500, 1000):
        eps, beta = denoise(z, torch.tensor(t)).eps, schedule.beta[t]
        mean = (z - beta / (1 - schedule.alpha_bar[t]).sqrt() * eps) / (1 - beta).sqrt()
        sigma = (beta * (1 - schedule.alpha_bar[t - 1]) / (1 - schedule.alpha_bar[t])).sqrt()
        now, then = torch.tensor(t), torch.tensor(t - 1)
        ours, *_ = ddpm(z, now, then, denoise, schedule, None, draw=lambda _: xi)
        assert torch.allclose(ours, mean + sigma * xi, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.3, 0.5, 1.0])
def test_eta_scales_the_standard_deviation(eta):
    schedule, t, s = SCHEDULES["linear"], torch.tensor(600), torch.tensor(400)
    denoise, z, zeros = (
        gaussian_denoiser(schedule, MEAN, COV),
        randn(8, 2),
        torch.zeros(8, 2).double(),
    )
    still, *_ = ddim(z, t, s, denoise, schedule, None, eta=eta, draw=lambda _: zeros)
    moved, *_ = ddim(z, t, s, denoise, schedule, None, eta=eta, draw=lambda _: zeros + 1)
    a_t, a_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
    std = eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()  # DDIM, eq. 16
    assert torch.allclose(moved - still, std.expand(8, 2), rtol=1e-9)
    z0, eps = denoise(z, t)
    mean = a_s.sqrt() * z0 + (1 - a_s - std**2).sqrt() * eps  # DDIM, eq. 12
    assert torch.allclose(still, mean, rtol=1e-9)


def test_all_steps_leave_a_perfectly_known_point_on_its_path():
    """If z0 is known for sure, every deterministic step lands on signal_s z0 + noise_s eps."""
    z0, eps = randn(4, 2, seed=1), randn(4, 2, seed=2)
    for schedule in SCHEDULES.values():
        for step in (ddim, heun, dpmpp_2m):
            for snapshot in sample(
                lambda z, t: Denoised(z0, eps), schedule, eps.clone(), schedule.times(9), step
            ):
                signal, noise = schedule(snapshot.t)
                start = schedule(schedule.times(1)[0])[0]  # sampling began at pure noise instead
                expected = signal * z0 + noise * eps
                assert (snapshot.z - expected).abs().max() < 3 * start + 1e-10


@pytest.mark.parametrize("step", [ddim, heun, dpmpp_2m])
def test_a_solver_sees_only_the_ratio_of_signal_to_noise(step):
    """The same noise-to-signal grid on two schedules gives the same path, up to the scale of z."""
    cosine, flow = CosineSchedule(), FlowSchedule()
    angle = torch.linspace(0.95, 0.05, 13, dtype=torch.float64)
    sigma = torch.tan(math.pi / 2 * angle)
    t_flow = sigma / (1 + sigma)  # noise / signal = t / (1 - t)
    z = randn(6, 2)
    to_flow = flow(t_flow[0])[0] / cosine(angle[0])[0]
    a = sample(gaussian_denoiser(cosine, MEAN, COV), cosine, z, angle, step)
    b = sample(gaussian_denoiser(flow, MEAN, COV), flow, z * to_flow, t_flow, step)
    for one, other in zip(a, b, strict=True):
        assert torch.allclose(one.z0, other.z0, rtol=1e-9, atol=1e-9)
        scale = cosine(one.t)[0] / flow(other.t)[0]
        assert torch.allclose(one.z, other.z * scale, rtol=1e-9, atol=1e-9)


# --- the last step, the grid, the loop ------------------------------------------------------------


@pytest.mark.parametrize("step", [ddpm, partial(ddim, eta=1.0), partial(ddim, eta=0.5)])
def test_no_noise_at_the_last_step(step):
    schedule, draws = SCHEDULES["linear"], Draws()
    denoise = gaussian_denoiser(schedule, MEAN, COV)
    *_, before, end = sample(
        denoise, schedule, randn(4, 2), schedule.times(10), partial(step, draw=draws)
    )
    assert draws.count == 9
    assert torch.equal(end.z, denoise(before.z, before.t).z0) and torch.equal(end.z, end.z0)


def test_a_deterministic_step_draws_nothing():
    schedule, draws = SCHEDULES["linear"], Draws()
    denoise = gaussian_denoiser(schedule, MEAN, COV)
    last(denoise, schedule, randn(4, 2), schedule.times(10), partial(ddim, eta=0.0, draw=draws))
    assert draws.count == 0


@pytest.mark.parametrize("step", ALL_STEPS)
@pytest.mark.parametrize("steps", [1, 3, 7, 60])
def test_every_time_is_read_from_the_grid(step, steps):
    """Also where steps does not divide T: recomputing t - T // n would leave the grid."""
    schedule, asked = SCHEDULES["linear"], []
    oracle = gaussian_denoiser(schedule, MEAN, COV)

    def denoise(z, t):
        asked.append(int(t))
        return oracle(z, t)

    times = schedule.times(steps)
    reached = [int(s.t) for s in sample(denoise, schedule, randn(2, 2), times, step)]
    assert reached == times[1:].tolist()
    inner = [t for t in times[1:-1].tolist() for _ in range(2 if step is heun else 1)]
    assert sorted(asked, reverse=True) == [1000, *inner]


def test_a_run_can_start_below_T_and_end_above_0():
    schedule, times = SCHEDULES["linear"], torch.tensor([700, 650, 301, 300])
    snapshots = list(sample(gaussian_denoiser(schedule, MEAN, COV), schedule, randn(4, 2), times))
    assert [int(s.t) for s in snapshots] == [650, 301, 300]
    assert not torch.equal(snapshots[-1].z, snapshots[-1].z0)  # not clean: noise is left at 300


@pytest.mark.parametrize("step", ALL_STEPS)
def test_any_shape_and_float32_all_the_way(step):
    schedule = SCHEDULES["linear"]
    seen = []

    def net(z_t, t, condition):
        seen.append((z_t.dtype, tuple(z_t.shape), t.dtype))
        return 0.1 * z_t

    denoise = network_denoiser(net, schedule, EPS)
    for snapshot in sample(denoise, schedule, torch.ones(2, 4, 3, 3), schedule.times(5), step):
        assert snapshot.z.dtype == snapshot.z0.dtype == torch.float32
        assert snapshot.z.shape == snapshot.z0.shape == (2, 4, 3, 3)
    assert set(seen) == {(torch.float32, (2, 4, 3, 3), torch.int64)}


@pytest.mark.parametrize("step", ALL_STEPS)
@pytest.mark.parametrize(
    "betas",
    [
        zero_terminal_snr(linear_betas()),
        zero_terminal_snr(cosine_betas(60)),
        ramp_betas(1),
        ramp_betas(1000),  # alpha_bar underflows over the last 70 steps
        linear_betas(4000),
        sigmoid_betas(500),
        torch.full((3,), 0.5, dtype=torch.float64),
    ],
)
def test_nothing_is_nan_and_samples_reach_the_data(step, betas):
    """Also at zero terminal SNR; with many steps the samples have the data's mean."""
    schedule = quiet(betas)
    denoise, z = gaussian_denoiser(schedule, MEAN, COV), randn(512, 2)
    for steps in {1, min(2, schedule.T), min(100, schedule.T)}:
        for snapshot in sample(denoise, schedule, z, schedule.times(steps), step):
            assert torch.isfinite(snapshot.z).all() and torch.isfinite(snapshot.z0).all()
    if schedule.T >= 60 and schedule(schedule.T)[0] < 0.01:
        assert (snapshot.z.mean(0) - MEAN).abs().max() < 5 * (COV.diagonal() / 512).sqrt().max()


def test_first_step_from_zero_snr_is_the_ddim_step():
    """h is infinite there; 2M and Heun must not turn it into NaN or forget the noise."""
    schedule = SCHEDULES["zero SNR"]
    denoise, z = gaussian_denoiser(schedule, MEAN, COV), randn(4, 2)
    T, s = torch.tensor(1000), torch.tensor(900)
    expected, *_ = ddim(z, T, s, denoise, schedule)
    assert torch.allclose(dpmpp_2m(z, T, s, denoise, schedule)[0], expected, rtol=1e-12)
    signal, noise = schedule(s)
    assert torch.allclose(expected, signal * MEAN + noise * z, rtol=1e-12)


@settings(max_examples=20)
@given(st.integers(1, 100), st.sampled_from(list(SCHEDULES)))
def test_a_single_point_of_data_is_always_found(steps, kind):
    """Data at one point: every sampler must end there exactly, for every number of steps."""
    schedule = SCHEDULES[kind]
    denoise = gaussian_denoiser(schedule, MEAN, torch.zeros(2, 2).double())
    for step in ALL_STEPS:
        end = last(denoise, schedule, randn(3, 2), schedule.times(steps), step)
        assert torch.allclose(end, MEAN.expand(3, 2), atol=1e-10)


def test_mixture_samples_have_the_right_weights_and_widths():
    """Two metrics: a transport distance alone can miss a wrong width, weights alone a shift."""
    schedule = DiscreteSchedule(cosine_betas())
    weights = torch.tensor([0.8, 0.2]).double()
    means, std = torch.tensor([[3.0, 0.0], [-3.0, 1.0]]).double(), 0.3
    covs = (std**2 * torch.eye(2).double()).expand(2, 2, 2)
    denoise = mixture_denoiser(schedule, weights, means, covs)
    n = 20_000
    for step in (partial(ddpm, draw=Draws()), ddim, heun, dpmpp_2m):
        z = last(denoise, schedule, randn(n, 2, seed=4), schedule.times(100), step)
        first = z[:, 0] > 0
        assert abs(float(first.double().mean()) - 0.8) < 4 * math.sqrt(0.8 * 0.2 / n) + 0.005
        for mode, own in ((means[0], z[first]), (means[1], z[~first])):
            assert (own.mean(0) - mode).abs().max() < 0.03
            assert abs(float(own.std(0).mean()) / std - 1) < 0.08  # ddim: 0.06


@pytest.mark.parametrize("step", ALL_STEPS)
def test_no_step_leads_away_from_clean_data(step):
    with pytest.raises(ValueError, match=r"s = 5|from t = 0 to s = 5"):
        step(randn(2, 2), 0, 5, lambda z, t: Denoised(z, z), SCHEDULES["linear"])


@pytest.mark.parametrize("step", [ddim, heun, dpmpp_2m])
@pytest.mark.parametrize("level", [[math.nan], [0.5, 0.5]], ids=["NaN", "two for one time"])
def test_a_schedule_of_ones_own_gives_one_finite_number(step, level):
    class Wrong(FlowSchedule):
        def __call__(self, t):
            return torch.tensor(level).double().squeeze(), torch.tensor(0.5).double()

    with pytest.raises(ValueError, match="a coefficient"):
        step(randn(2, 2), 0.9, 0.5, lambda z, t: Denoised(z, z), Wrong())


@pytest.mark.parametrize("step", [heun, dpmpp_2m])
def test_numbers_of_a_step_are_not_rounded_to_the_data(step):
    """bfloat16 keeps 8 bits: noise_s eps is wrong by half a unit of the last, 2^-8, not twice."""
    schedule, t, s = SCHEDULES["linear"], torch.tensor(420), torch.tensor(300)
    z = randn(400, 1).bfloat16()
    ours, exact = (
        step(x, t, s, lambda z, t: Denoised(0 * z, z), schedule)[0] for x in (z, z.double())
    )
    assert ours.dtype == torch.bfloat16
    assert ((ours - exact) / exact).abs().max() < 1.001 * 2**-8  # it is computed in float32


def test_what_changes_after_it_was_looked_at_is_looked_at_again():
    z, free = randn(2, 2), lambda z, t: Denoised(torch.zeros(2, 2), torch.zeros(2, 2))
    step = partial(ddim, t=9, s=3, denoise=free, schedule=SCHEDULES["linear"])
    step(z)
    z[1, 1] = math.nan
    with pytest.raises(ValueError, match="z has 1 entries that are NaN"):
        step(z)


LINEAR = SCHEDULES["linear"]
ORACLE = gaussian_denoiser(LINEAR, MEAN, COV)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample(ORACLE, LINEAR, randn(2, 2), torch.tensor([0, 500, 1000])), "decreasing"),
        (lambda: sample(ORACLE, LINEAR, randn(2, 2), torch.tensor([9, 9, 0])), r"\[9, 9, 0\]"),
        (lambda: sample(ORACLE, LINEAR, randn(2, 2), torch.tensor([5])), "at least 2"),
        (lambda: sample(ORACLE, LINEAR, randn(2, 2), torch.tensor([1001, 0])), "1001"),
        (lambda: sample(ORACLE, LINEAR, randn(2, 2), torch.tensor([1.0, 0.0])), "int64"),
        (lambda: sample(ORACLE, LINEAR, randn(2, 2) / 0, torch.tensor([9, 0])), "z_T.*infinite"),
        (lambda: next(sample(lambda z, t: Denoised(z * math.nan, z), LINEAR, randn(2, 2),
                             torch.tensor([9, 0]))), "t = 0.*NaN"),
        (lambda: last(ORACLE, LINEAR, randn(2, 2), LINEAR.times(5), partial(ddim, eta=-1)), "eta"),
        (lambda: last(ORACLE, LINEAR, randn(2, 2), LINEAR.times(5), partial(ddim, eta=9.0)), "eta"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_at_once(call, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()
