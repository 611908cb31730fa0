"""The closed forms of chapter 4.3: exact propagation, against formulas and against sampling."""

from functools import partial
from itertools import pairwise

import pytest
import torch

from book.ch04_3_gaussian.gaussian_case import (
    Affine,
    LinearAutoencoder,
    Normal,
    backward,
    cov_error,
    denoising_cov,
    deviation,
    empirical,
    marginal,
    normal,
    propagate,
    root,
    standard_errors,
    standard_normal,
    wasserstein2,
)
from minildm.denoise import clipped, gaussian_denoiser, mixture_denoiser
from minildm.process import diffuse_step, posterior
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun, sample
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    linear_betas,
    ramp_betas,
    scaled_linear_betas,
    zero_terminal_snr,
)

ARTICLE = normal([1, 2], [[1, 0], [0, 2]])
TILTED = normal([1, -2], [[1.3, 0.6], [0.6, 0.7]])
FLAT = normal([1, 2], [[1, 1], [1, 1]])  # a line: singular
RAMP = DiscreteSchedule(ramp_betas(100))
ZERO_END = DiscreteSchedule(zero_terminal_snr(linear_betas(1000)))
STEPS = {"ddpm": ddpm, "ddim": ddim, "heun": heun, "dpmpp_2m": dpmpp_2m}
EYE = torch.eye(2, dtype=torch.float64)
STEPS["ddim, eta 0.5"] = partial(ddim, eta=0.5)


def noise(n: int, seed: int = 0, d: int = 2):
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def seeded(step, seed: int):
    """The step with its noise from one generator; deterministic steps stay as they are."""
    generator = torch.Generator().manual_seed(seed)
    if step in (heun, dpmpp_2m, ddim):
        return step
    return partial(step, draw=lambda z: torch.randn(z.shape, dtype=z.dtype, generator=generator))


# --- propagate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("data", [ARTICLE, TILTED], ids=["article", "tilted"])
def test_100_000_samples_agree_with_the_exact_map_within_4_standard_errors(name, data):
    step, denoise, times = STEPS[name], gaussian_denoiser(RAMP, *data), RAMP.times(50)
    exact = propagate(denoise, RAMP, standard_normal(2), times, step)[-1]
    *_, last = sample(denoise, RAMP, noise(100_000, seed=1), times, seeded(step, seed=2))
    assert deviation(last.z, exact) < 4
    # and the test can see a small fault: 2 % more noise, or a mean that is off by 0.03
    assert deviation(last.z, Normal(exact.mean, 1.04 * exact.cov)) > 4
    assert deviation(last.z, Normal(exact.mean + 0.03, exact.cov)) > 4


@pytest.mark.parametrize("name", STEPS)
def test_every_station_and_a_start_that_is_not_standard(name):
    step, denoise = STEPS[name], gaussian_denoiser(RAMP, *TILTED)
    start, times = normal([2, 1], [[0.5, -0.3], [-0.3, 0.9]]), torch.tensor([60, 30, 12, 5])
    path = propagate(denoise, RAMP, start, times, step)
    assert len(path) == len(times)
    assert path[0] is start
    walk = sample(denoise, RAMP, start.sample(noise(40_000, 3)), times, seeded(step, seed=4))
    for station, snapshot in zip(path[1:], walk, strict=True):
        assert deviation(snapshot.z, station) < 4


@pytest.mark.parametrize("schedule", [RAMP, ZERO_END], ids=["ramp", "zero end"])
def test_ddpm_by_recursion(schedule):
    """ddpm's moments follow from one affine map per step: another road to the same place."""
    denoise, times = gaussian_denoiser(schedule, *TILTED), schedule.times(17)
    mean, cov = standard_normal(2)
    corners = torch.cat([torch.zeros(1, 2), torch.eye(2)]).double()
    for t, s in pairwise(times):
        q = posterior(schedule, corners, denoise(corners, t).z0, t, s)
        A, b = (q.mean[1:] - q.mean[0]).T, q.mean[0]
        mean, cov = A @ mean + b, A @ cov @ A.T + q.var * EYE
    end = propagate(denoise, schedule, standard_normal(2), times, ddpm)[-1]
    torch.testing.assert_close(end.mean, mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(end.cov, cov, rtol=0, atol=1e-10)


def test_ddpm_is_ddim_with_eta_1():
    denoise, times = gaussian_denoiser(RAMP, *TILTED), RAMP.times(20)
    a, b = (
        propagate(denoise, RAMP, standard_normal(2), times, step)[-1]
        for step in (ddpm, partial(ddim, eta=1.0))
    )
    torch.testing.assert_close(a.cov, b.cov, rtol=0, atol=1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_one_step_from_a_point_shows_the_noise_alone(eta):
    """From a point, the covariance after one step is that of the noise: eta^2 times ddpm's."""
    point, t, s = Normal(TILTED.mean, 0 * EYE), torch.tensor(30), torch.tensor(12)
    denoise, times = gaussian_denoiser(RAMP, *TILTED), torch.stack([t, s])
    end = propagate(denoise, RAMP, point, times, partial(ddim, eta=eta))[-1]
    ratio = (RAMP.alpha_bar[t] / RAMP.alpha_bar[s]).item()
    var = (1 - ratio) * RAMP.noise_variance[s] / RAMP.noise_variance[t]
    torch.testing.assert_close(end.cov, eta**2 * var * EYE, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 3])
def test_other_dimensions(d):
    cov = torch.eye(d) + 0.4
    data = normal(torch.arange(1.0, d + 1), cov)
    denoise, times = gaussian_denoiser(RAMP, *data), RAMP.times(10)
    end = propagate(denoise, RAMP, standard_normal(d), times, ddpm)[-1]
    *_, last = sample(denoise, RAMP, noise(40_000, 5, d), times, seeded(ddpm, 6))
    assert deviation(last.z, end) < 4


def test_a_sampler_that_is_not_affine_is_refused():
    weights, means = torch.tensor([0.5, 0.5]), torch.tensor([[-2.0, 0], [2.0, 0]])
    mixture = mixture_denoiser(RAMP, weights, means, 0.1 * torch.eye(2).repeat(2, 1, 1))
    clip = clipped(gaussian_denoiser(RAMP, *ARTICLE), RAMP)

    def own_noise(z, t, s, denoise, schedule, memory=None):
        return ddpm(z, t, s, denoise, schedule, draw=torch.randn_like)

    line = gaussian_denoiser(RAMP, *ARTICLE)
    for denoise, step in ((mixture, ddim), (clip, heun), (line, own_noise)):
        with pytest.raises(ValueError, match="not affine"):
            propagate(denoise, RAMP, standard_normal(2), RAMP.times(10), step)


def test_two_draws_in_one_step_are_refused():
    def twice(z, t, s, denoise, schedule, memory=None, draw=torch.randn_like):
        return z + draw(z) + draw(z), z, None

    with pytest.raises(ValueError, match="more than once"):
        propagate(gaussian_denoiser(RAMP, *ARTICLE), RAMP, ARTICLE, RAMP.times(3), twice)


# --- what the map says about the samplers -------------------------------------------------------


def test_orders_in_distribution():
    schedule = CosineSchedule()
    denoise = gaussian_denoiser(schedule, *TILTED)
    start, truth = (marginal(schedule, TILTED, t) for t in (0.95, 0.05))
    for step, order in ((ddpm, 1), (ddim, 1), (heun, 2), (dpmpp_2m, 2)):
        coarse, fine = (
            wasserstein2(
                propagate(
                    denoise, schedule, start, torch.linspace(0.95, 0.05, n + 1).double(), step
                )[-1],
                truth,
            )
            for n in (80, 160)
        )
        assert torch.tensor(coarse / fine).log2().item() == pytest.approx(order, abs=0.15)


def test_last_jump_and_karras_spacing():
    """Stable Diffusion's schedule: uniform times fall to order 1, Karras times keep order 2."""
    schedule = DiscreteSchedule(scaled_linear_betas())
    denoise, start = gaussian_denoiser(schedule, *ARTICLE), marginal(schedule, ARTICLE, 1000)

    def error(n, spacing):
        end = propagate(denoise, schedule, start, schedule.times(n, spacing), dpmpp_2m)[-1]
        return torch.tensor(wasserstein2(end, ARTICLE))

    assert 0.75 < (error(20, "uniform") / error(160, "uniform")).log2() / 3 < 1.25
    assert (error(10, "karras") / error(80, "karras")).log2() / 3 > 1.8
    assert error(80, "karras") < error(80, "uniform") / 5


def test_errata_numbers():
    """Figures that the chapter's prose gives: the ramp, the short-T trap, the lost variance."""
    assert RAMP.alpha_bar[20] < 0.11
    assert RAMP.alpha_bar[40] < 1e-4
    denoise = gaussian_denoiser(RAMP, *ARTICLE)
    end = propagate(denoise, RAMP, standard_normal(2), RAMP.times(100), ddpm)[-1]
    assert 0.80 < end.cov[0, 0] < 0.88  # 15 % lost with all steps and a perfect denoiser
    assert 0.80 < end.cov[1, 1] / 2 < 0.88
    with pytest.warns(UserWarning, match=r"0\.603"):
        short = DiscreteSchedule(linear_betas(100))
    end = propagate(
        gaussian_denoiser(short, *ARTICLE), short, standard_normal(2), short.times(100)
    )[-1]
    assert wasserstein2(end, ARTICLE) > 1.5
    end = propagate(denoise, RAMP, standard_normal(2), RAMP.times(25, "karras"), dpmpp_2m)[-1]
    assert wasserstein2(end, ARTICLE) > 1.5  # Karras spacing is no law


def test_order_of_the_betas_does_not_matter_to_the_true_reverse():
    betas = linear_betas(1000)
    ends = []
    for ordered in (betas, betas.flip(0), torch.cat([betas[::2], betas[1::2].flip(0)])):
        schedule, z = DiscreteSchedule(ordered), standard_normal(2)
        for t, s in pairwise(schedule.times(20)):
            z = backward(schedule, TILTED, t, s).push(z)
        ends.append(z)
    for end in ends[1:]:
        torch.testing.assert_close(end.cov, ends[0].cov, rtol=0, atol=1e-9)
        torch.testing.assert_close(end.mean, ends[0].mean, rtol=0, atol=1e-9)


# --- forward and reverse ------------------------------------------------------------------------


def test_marginal_is_where_the_markov_chain_leads():
    z = TILTED.sample(noise(50_000, 7))
    for t in range(1, 31):
        z = diffuse_step(RAMP, z, t, t - 1, noise(50_000, 100 + t))
        if t in (1, 8, 30):
            assert deviation(z, marginal(RAMP, TILTED, t)) < 4


@pytest.mark.parametrize("data", [TILTED, FLAT], ids=["tilted", "singular"])
@pytest.mark.parametrize(
    ("schedule", "t", "s"),
    [(RAMP, 100, 0), (RAMP, 12, 11), (CosineSchedule(), 1.0, 0.3), (FlowSchedule(), 0.7, 0.0)],
)
def test_backward_undoes_forward_in_distribution(schedule, t, s, data):
    """The joint distribution of (z_s, z_t) is the same from either end."""
    ratio, v = schedule.transition(t, s)
    later, earlier = marginal(schedule, data, t), marginal(schedule, data, s)
    step = backward(schedule, data, t, s)
    back = step.push(later)
    torch.testing.assert_close(back.mean, earlier.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(back.cov, earlier.cov, rtol=0, atol=1e-9)
    torch.testing.assert_close(step.matrix @ later.cov, ratio * earlier.cov, rtol=0, atol=1e-9)
    forward = ratio**2 * earlier.cov + v * EYE
    torch.testing.assert_close(forward, later.cov, rtol=0, atol=1e-9)
    # given z_t, as much is open about z_s as about z_0, if s = 0
    if s == 0:
        torch.testing.assert_close(step.cov, denoising_cov(schedule, data, t), rtol=0, atol=1e-9)


def test_affine_map_that_is_not_symmetric():
    A = torch.tensor([[1.0, 2.0], [-0.5, 0.3]], dtype=torch.float64)
    b, C = torch.tensor([3.0, -1.0]).double(), 0.2 * EYE
    z = TILTED.sample(noise(100_000, 14)) @ A.T + b + noise(100_000, 15) @ root(C)
    assert deviation(z, Affine(A, b, C).push(TILTED)) < 4


# --- distances and errors -----------------------------------------------------------------------


def test_wasserstein2():
    assert wasserstein2(TILTED, TILTED) < 1e-6  # the root of a rounding error, of about 1e-15
    shifted = Normal(TILTED.mean + torch.tensor([3.0, 4.0]), TILTED.cov)
    assert wasserstein2(TILTED, shifted) == pytest.approx(5)
    a, b = normal([0, 0], [[4, 0], [0, 9]]), normal([0, 0], [[1, 0], [0, 1]])
    assert wasserstein2(a, b) == pytest.approx((1 + 4) ** 0.5)  # of standard deviations
    assert wasserstein2(TILTED, a) == pytest.approx(wasserstein2(a, TILTED))
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    turned = [Normal(turn @ x.mean, turn @ x.cov @ turn.T) for x in (TILTED, a)]
    assert wasserstein2(*turned) == pytest.approx(wasserstein2(TILTED, a))
    point = normal([1, -2], [[0, 0], [0, 0]])
    assert wasserstein2(TILTED, point) == pytest.approx(2**0.5)  # root of the trace


def test_cov_error_is_relative():
    assert cov_error(Normal(TILTED.mean, 1.1 * TILTED.cov), TILTED) == pytest.approx(0.1)


def test_root_and_sample():
    R = root(TILTED.cov)
    torch.testing.assert_close(R @ R, TILTED.cov)
    torch.testing.assert_close(R, R.T)
    torch.testing.assert_close(root(FLAT.cov) @ root(FLAT.cov), FLAT.cov)
    assert deviation(TILTED.sample(noise(100_000, 8)), TILTED) < 4


def test_standard_errors_are_the_spread_of_repeated_samples():
    n, repeats = 30, 20_000
    sets = TILTED.sample(noise(n * repeats, 9)).reshape(repeats, n, 2)  # (repeats, n, 2)
    got, errors = [empirical(z) for z in sets[:5000]], standard_errors(TILTED, n)
    means, covs = (torch.stack([g[i] for g in got]) for i in (0, 1))
    assert (means.std(0) / errors.mean - 1).abs().max() < 0.05
    assert (covs.std(0) / errors.cov - 1).abs().max() < 0.05


@pytest.mark.parametrize(
    ("mean", "cov", "message"),
    [
        ([1, 2], [[1, 0]], r"\(d, d\)"),
        ([[1, 2]], [[1, 0], [0, 1]], "mean must be"),
        ([1, 2], [[1, 0.5], [0, 1]], "symmetric"),
        ([1, 2], [[1, 2], [2, 1]], "negative variance"),
    ],
)
def test_normal_refuses_what_is_no_gaussian(mean, cov, message):
    with pytest.raises(ValueError, match=message):
        normal(mean, cov)


# --- the linear autoencoder ---------------------------------------------------------------------


def plane(D: int = 16):
    basis = torch.linalg.qr(noise(D, 10)).Q
    return LinearAutoencoder(noise(1, 11, D)[0], basis)


def test_fit_finds_the_plane_and_loses_nothing_on_it():
    x = plane().decode(TILTED.sample(noise(100, 12)))
    fitted = LinearAutoencoder.fit(x, 2)
    torch.testing.assert_close(fitted.decode(fitted.encode(x)), x)
    torch.testing.assert_close(fitted.basis.T @ fitted.basis, torch.eye(2).double())
    projector = plane().basis @ plane().basis.T  # the same plane, in whatever axes
    torch.testing.assert_close(fitted.basis @ fitted.basis.T, projector)


def test_off_plane_part_is_dropped_and_never_comes_back():
    grainy = Normal(plane().decode(TILTED.mean[None])[0], 0.3 * torch.eye(16).double())
    through = plane().decode_normal(plane().encode_normal(grainy))
    assert grainy.cov.trace() - through.cov.trace() == pytest.approx(14 * 0.3)
    off = torch.eye(16) - plane().basis @ plane().basis.T
    assert (off @ through.cov @ off).abs().max() < 1e-12


def test_a_latent_diffusion_model_in_closed_form():
    """Diffusing the latents and decoding equals diffusing in the plane: same moments, decoded."""
    images = plane().decode_normal(TILTED)
    latents = plane().encode_normal(images)
    torch.testing.assert_close(latents.cov, TILTED.cov)
    denoise, times = gaussian_denoiser(ZERO_END, *latents), ZERO_END.times(40)
    end = propagate(denoise, ZERO_END, standard_normal(2), times, heun)[-1]
    decoded = plane().decode_normal(end)
    assert cov_error(decoded, images) == pytest.approx(cov_error(end, TILTED))
    *_, last = sample(denoise, ZERO_END, noise(20_000, 13), times, heun)
    x = plane().decode(last.z)
    assert deviation(plane().encode(x), end) < 4
    torch.testing.assert_close(
        empirical(x).cov, plane().basis @ empirical(last.z).cov @ plane().basis.T
    )
