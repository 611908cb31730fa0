"""Closed forms of the objectives: each number here can be worked out on paper."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from minildm.losses import (
    diffusion_loss,
    kl_loss,
    min_snr_weight,
    random_times,
    reconstruction_loss,
)
from minildm.predict import EPS, FLOW, Z0, V
from minildm.process import Gaussian
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    linear_betas,
    zero_terminal_snr,
)

ALL = [EPS, Z0, V, FLOW]
SCHEDULE = DiscreteSchedule(cosine_betas(100))


def case(n=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z0 = torch.randn(n, 2, 3, 3, generator=generator)
    eps = torch.randn(n, 2, 3, 3, generator=generator)
    return z0, eps, torch.tensor([1, 2, 30, 50, 99, 100][:n])


def cheat(parameterization, schedule, z0, eps):
    """A network that answers exactly what is asked, whatever it sees."""
    return lambda z_t, t, condition: parameterization.target(z0, eps, *schedule(t))


@pytest.mark.parametrize("parameterization", ALL, ids=lambda p: p.name)
def test_the_right_answer_costs_nothing_and_an_error_its_square(parameterization):
    z0, eps, t = case()
    right = cheat(parameterization, SCHEDULE, z0, eps)
    loss = partial(diffusion_loss, parameterization=parameterization, t=t, eps=eps)
    assert torch.equal(loss(right, SCHEDULE, z0), torch.zeros(6))
    off = torch.tensor([0.0, 1.0, -2.0, 3.0, 0.5, 4.0])
    wrong = loss(lambda *a: right(*a) + off[:, None, None, None], SCHEDULE, z0)
    torch.testing.assert_close(wrong, off**2)  # one value per sample, a mean over its elements


def test_a_silent_network_pays_the_power_of_its_target():
    z0, eps, t = case()
    signal, noise = (c.float()[:, None, None, None] for c in SCHEDULE(t))
    for parameterization, target in (
        (EPS, eps),
        (Z0, z0),
        (V, signal * eps - noise * z0),
        (FLOW, eps - z0),
    ):
        loss = diffusion_loss(
            lambda z_t, t, c: torch.zeros_like(z_t),
            SCHEDULE,
            z0,
            parameterization=parameterization,
            t=t,
            eps=eps,
        )
        torch.testing.assert_close(loss, target.square().mean((1, 2, 3)))


def test_the_network_sees_the_diffused_latent_the_one_based_time_and_the_condition():
    z0, eps, t = case()
    seen = {}

    def net(z_t, t, condition):
        seen.update(z_t=z_t, t=t, condition=condition)
        return z_t

    diffusion_loss(net, SCHEDULE, z0, torch.arange(6), t=t, eps=eps)
    signal, noise = (c.float()[:, None, None, None] for c in SCHEDULE(t))
    torch.testing.assert_close(seen["z_t"], signal * z0 + noise * eps)
    assert torch.equal(seen["t"], t)
    assert torch.equal(seen["condition"], torch.arange(6))


def test_gradients_reach_the_network():
    z0, eps, t = case()
    net = torch.nn.Conv2d(2, 2, 1)
    diffusion_loss(lambda z, t, c: net(z), SCHEDULE, z0, t=t, eps=eps).mean().backward()
    assert net.weight.grad.abs().min() > 0


def test_a_network_that_changes_the_shape_is_refused():
    z0, eps, t = case()
    with pytest.raises(ValueError, match="keeps the shape"):
        diffusion_loss(lambda z, t, c: z[:, :1], SCHEDULE, z0, t=t, eps=eps)


def test_drawn_times_cover_the_schedule_evenly_without_0():
    u = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert torch.equal(random_times(SCHEDULE, u).bincount()[1:], torch.full((100,), 10))
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert random_times(SCHEDULE, ends).tolist() == [1, 100]
    t = random_times(FlowSchedule(), ends)
    assert t.dtype == torch.float64
    assert t.min() > 0
    assert t.max() == 1
    torch.testing.assert_close(random_times(CosineSchedule(), u).sort().values, u)


@pytest.mark.parametrize("schedule", [SCHEDULE, CosineSchedule(), FlowSchedule()])
@pytest.mark.parametrize("gamma", [1e9, 5.0], ids=["snr", "min-snr"])
def test_a_weight_means_the_same_for_every_parameterisation(schedule, gamma):
    """One wrong (z0, eps), written as four outputs, must cost the same four times."""
    z0, eps, t = case()
    t = t if schedule is SCHEDULE else t.double() / 101
    signal, noise = (c.float()[:, None, None, None] for c in schedule(t))
    z0_hat = z0 + 0.1 * torch.randn(z0.shape, generator=torch.Generator().manual_seed(1))
    eps_hat = (signal * (z0 - z0_hat) + noise * eps) / noise  # so that z_t is what it was
    losses = [
        diffusion_loss(
            lambda z_t, t, c, p=p: p.target(z0_hat, eps_hat, *schedule(t)),
            schedule,
            z0,
            parameterization=p,
            t=t,
            eps=eps,
            weight=partial(min_snr_weight, gamma=gamma),
        )
        for p in ALL
    ]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], rtol=2e-3, atol=1e-9)


def test_min_snr_weights_are_those_of_the_paper():
    t = torch.arange(1, 101)
    snr = SCHEDULE.snr[1:]
    for gamma in (1.0, 5.0):
        clipped = snr.clamp(max=gamma)
        for parameterization, expected in (
            (Z0, clipped),
            (EPS, clipped / snr),
            (V, clipped / (snr + 1)),
        ):
            weight = min_snr_weight(SCHEDULE, t, parameterization, gamma)
            torch.testing.assert_close(weight, expected, rtol=1e-9, atol=1e-15)


def test_the_floor_weighs_pure_noise_like_the_plain_error_of_v():
    t = torch.arange(1, 101)
    snr = SCHEDULE.snr[1:]
    for parameterization, per_z0 in ((Z0, 1), (EPS, 1 / snr), (V, 1 / (snr + 1))):
        weight = min_snr_weight(SCHEDULE, t, parameterization, 5.0, floor=0.3)
        expected = (snr.clamp(max=5) + 0.3) * per_z0
        torch.testing.assert_close(weight, expected, rtol=1e-9, atol=1e-15)
    terminal = DiscreteSchedule(zero_terminal_snr(linear_betas(50)))
    assert min_snr_weight(terminal, torch.tensor([50]), V, floor=0.3) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="EPS says nothing"):
        min_snr_weight(terminal, torch.tensor([50]), EPS, floor=0.3)
    with pytest.raises(ValueError, match="floor must not be negative"):
        min_snr_weight(SCHEDULE, t, V, floor=-1)


def test_weights_are_finite_at_zero_terminal_snr():
    schedule = DiscreteSchedule(zero_terminal_snr(linear_betas(50)))
    t = torch.arange(1, 51)
    for parameterization in ALL:
        assert torch.isfinite(min_snr_weight(schedule, t, parameterization)).all()
    assert torch.equal(min_snr_weight(schedule, t, EPS, gamma=1e9), torch.ones(50).double())
    assert min_snr_weight(schedule, t, EPS)[-1] == 1
    with pytest.raises(ValueError, match="gamma"):
        min_snr_weight(schedule, t, EPS, gamma=0)


def test_kl_is_that_of_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(4, 2, 3, 3, generator=generator)
    var = torch.rand(4, 2, 3, 3, generator=generator) + 0.1
    expected = kl_divergence(Normal(mean, var.sqrt()), Normal(0.0, 1.0)).mean((1, 2, 3))
    torch.testing.assert_close(kl_loss(Gaussian(mean, var)), expected)
    assert kl_loss(Gaussian(torch.zeros(2, 5), torch.ones(2, 5))).tolist() == [0, 0]
    assert kl_loss(Gaussian(torch.full((1, 5), 2.0), torch.ones(()))).item() == 2  # mean^2 / 2
    shrunk = kl_loss(Gaussian(torch.zeros(1, 5), torch.full((1, 5), 0.25))).item()
    assert shrunk == pytest.approx((0.25 - 1 + math.log(4)) / 2)
    with pytest.raises(ValueError, match="var must be positive"):
        kl_loss(Gaussian(torch.zeros(1, 5), torch.zeros(1, 5)))
    for nothing in (torch.zeros(()), torch.zeros(0, 5)):
        with pytest.raises(ValueError, match="B >= 1"):
            kl_loss(Gaussian(nothing, torch.ones(nothing.shape)))


def test_reconstruction_is_a_mean_over_each_image():
    x = torch.zeros(3, 1, 4, 4)
    x_hat = x.clone()
    x_hat[1, 0, 0, 0] = 4.0  # 16 / 16 pixels
    x_hat[2] = -0.5
    assert reconstruction_loss(x_hat, x).tolist() == [0, 1, 0.25]
    with pytest.raises(ValueError, match="must be equal"):
        reconstruction_loss(x_hat, x[:1])


def test_times_that_nobody_gives_are_drawn_for_each_sample():
    """One time for a whole batch would be right on average, and a noisy training."""
    asked = []

    def net(z_t, t, condition):
        asked.append(t.clone())
        return z_t

    torch.manual_seed(0)
    diffusion_loss(net, DiscreteSchedule(cosine_betas()), torch.randn(64, 2))
    (t,) = asked
    assert t.shape == (64,) and t.dtype == torch.int64
    assert len(t.unique()) > 48 and t.min() < 250 and t.max() > 750  # of 1..1000
    diffusion_loss(net, DiscreteSchedule(cosine_betas()), torch.randn(3, 2), t=np.int64(7))
    assert asked[-1].tolist() == [7, 7, 7]  # one number is for all


def test_what_is_not_finite_has_no_loss():
    x, nan = torch.zeros(2, 3), torch.tensor([[0.0, 1.0, math.nan], [0.0, 0.0, 0.0]])
    for bad in (nan, nan.nan_to_num(nan=math.inf)):
        for pair in ((bad, x), (x, bad)):
            with pytest.raises(ValueError, match="x(_hat)? has 1 entries that are NaN or inf"):
                reconstruction_loss(*pair)
        for gaussian in (Gaussian(bad, x + 1), Gaussian(x, bad + 1)):
            with pytest.raises(ValueError, match="(mean|var) has 1 entries"):
                kl_loss(gaussian)
    for u in (math.nan, -1.0, 1.0, 1e38):
        with pytest.raises(ValueError, match="u "):
            random_times(DiscreteSchedule(cosine_betas()), torch.tensor([0.5, u]))


@pytest.mark.parametrize(
    "z0", [torch.zeros(0, 2), torch.tensor(1.0), torch.tensor([[0.0, math.nan]])]
)
def test_no_latents_no_loss(z0):
    """The message is of z0, and comes before a time is drawn or the network is asked."""
    with pytest.raises(ValueError, match=r"z0 (must be \(B, \*d\)|has 1 entries)"):
        diffusion_loss(lambda z_t, t, condition: z_t, DiscreteSchedule(cosine_betas()), z0)
