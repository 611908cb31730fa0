"""Exact likelihoods: against densities that are known in closed form."""

import itertools
import math

import pytest
import torch

from book.ch01_background.likelihood import log_likelihood, mixture_entropy, mixture_log_density
from book.ch01_background.models import TimeMLP
from minildm.data import mixture, ring
from minildm.denoise import Denoised, gaussian_denoiser, mixture_denoiser, network_denoiser
from minildm.predict import FLOW, V
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    zero_terminal_snr,
)

RING = ring(5, radius=1.2, std=0.2)
MEAN, COV = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.5], [0.5, 2.0]])
GAUSSIAN = torch.ones(1), MEAN[None], COV[None]
SCHEDULES = {
    "cosine": CosineSchedule(),
    "flow": FlowSchedule(),
    "discrete": DiscreteSchedule(cosine_betas(1000)),
    "zero SNR": DiscreteSchedule(zero_terminal_snr(cosine_betas(1000))),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("data", [RING, GAUSSIAN], ids=["ring", "gaussian"])
def test_the_exact_denoiser_gives_the_exact_density(schedule, data):
    z0 = mixture(40, *data, seed=1).double()
    got = log_likelihood(mixture_denoiser(schedule, *data), schedule, z0, schedule.times(200))
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, mixture_log_density(*data, z0), rtol=0, atol=0.01)


def test_points_that_the_data_hardly_have_are_improbable_by_the_right_amount():
    schedule = CosineSchedule()
    z0 = torch.tensor([[0.0, 0.0], [-1.5, 4.5], [3.0, -1.0]], dtype=torch.float64)
    got = log_likelihood(gaussian_denoiser(schedule, MEAN, COV), schedule, z0, schedule.times(100))
    torch.testing.assert_close(got, mixture_log_density(*GAUSSIAN, z0), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["cosine", "flow"])
def test_twice_the_steps_quarter_the_error(name):
    schedule = SCHEDULES[name]
    z0 = mixture(40, *GAUSSIAN, seed=1).double()
    denoise, truth = gaussian_denoiser(schedule, MEAN, COV), mixture_log_density(*GAUSSIAN, z0)
    errors = [
        float((log_likelihood(denoise, schedule, z0, schedule.times(n)) - truth).abs().mean())
        for n in (20, 40, 80)
    ]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(orders) > 1.8, errors


def test_the_same_in_three_dimensions_and_on_a_line():
    schedule = CosineSchedule()
    for cov in (torch.diag(torch.tensor([0.3, 1.0, 2.0])), torch.tensor([[0.3]])):
        d = len(cov)
        data = torch.ones(1), torch.full((1, d), 0.5), cov[None]
        z0 = mixture(20, *data, seed=2).double()
        got = log_likelihood(mixture_denoiser(schedule, *data), schedule, z0, schedule.times(100))
        torch.testing.assert_close(got, mixture_log_density(*data, z0), rtol=0, atol=0.01)


@pytest.mark.parametrize("kind", [V, FLOW], ids=lambda kind: kind.name)
def test_a_network_gives_a_density_that_integrates_to_one(kind):
    torch.manual_seed(0)
    schedule = DiscreteSchedule(cosine_betas(1000, max_beta=0.99))
    net = TimeMLP(2, 16).double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(0.5)
    axis = torch.linspace(-7, 7, 71, dtype=torch.float64)
    z0 = torch.cartesian_prod(axis, axis)
    denoise = network_denoiser(net, schedule, kind)
    grid = torch.cat([torch.tensor([1000]), torch.arange(950, -1, -50)])
    log_p = log_likelihood(denoise, schedule, z0, grid)
    total = float(log_p.exp().sum()) * float(axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 0.05


def test_neither_gradients_nor_points_are_left_behind():
    schedule = CosineSchedule()
    z0 = torch.zeros(3, 2, requires_grad=True)
    with torch.no_grad():
        got = log_likelihood(
            gaussian_denoiser(schedule, MEAN, COV), schedule, z0, schedule.times(5)
        )
    assert not got.requires_grad
    assert z0.grad is None


def test_wrong_grids_and_points_are_refused():
    schedule = CosineSchedule()
    denoise, z0 = gaussian_denoiser(schedule, MEAN, COV), torch.zeros(2, 2)
    for times in ([0.5, 0.0], [1.0, 0.5]):
        with pytest.raises(ValueError, match="from T = "):
            log_likelihood(denoise, schedule, z0, torch.tensor(times, dtype=torch.float64))
    with pytest.raises(ValueError, match="strictly decreasing"):
        log_likelihood(denoise, schedule, z0, schedule.times(4).flip(0))
    with pytest.raises(ValueError, match="shape"):
        log_likelihood(denoise, schedule, torch.zeros(2, 2, 2), schedule.times(4))


def test_density_of_a_mixture_by_hand():
    weights, means = torch.tensor([0.25, 0.75]), torch.tensor([[0.0], [2.0]])
    covs = torch.tensor([[[1.0]], [[4.0]]])
    x = 0.5
    by_hand = 0.25 * math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) + 0.75 * math.exp(
        -((x - 2) ** 2) / 8
    ) / math.sqrt(8 * math.pi)
    got = float(mixture_log_density(weights, means, covs, torch.tensor([[x]])))
    assert math.isclose(got, math.log(by_hand), rel_tol=1e-6)
    with pytest.raises(ValueError, match="sum to 1"):
        mixture_log_density(2 * weights, means, covs, torch.tensor([[x]]))


def test_entropy_of_separate_modes_is_what_their_points_say():
    weights = torch.tensor([0.2, 0.8], dtype=torch.float64)
    means = torch.tensor([[0.0, 0.0], [50.0, 0.0]], dtype=torch.float64)
    covs = torch.stack([torch.eye(2), torch.tensor([[2.0, 0.5], [0.5, 1.0]])]).double()
    z = mixture(40_000, weights, means, covs, seed=3)
    by_points = -float(mixture_log_density(weights, means, covs, z).mean())
    assert abs(mixture_entropy(weights, covs) - by_points) < 0.02


def test_a_denoiser_that_says_nothing_leaves_the_normal_density():
    schedule = CosineSchedule()

    def denoise(z, t):  # the exact one for N(0, I) data
        signal, noise = schedule(t)
        return Denoised(signal * z, noise * z)

    z0 = torch.randn(6, 2, dtype=torch.float64)
    got = log_likelihood(denoise, schedule, z0, schedule.times(3))
    torch.testing.assert_close(got, -(z0.square().sum(1) / 2 + math.log(2 * math.pi)))
