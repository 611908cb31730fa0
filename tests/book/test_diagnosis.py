"""What to measure when a training looks wrong."""

import pytest
import torch

from book.ch05_3_training.diagnosis import linear_denoiser, loss_by_time
from minildm.denoise import Denoised, network_denoiser
from minildm.predict import EPS, V
from minildm.schedule import DiscreteSchedule, cosine_betas

SCHEDULE = DiscreteSchedule(cosine_betas(100))
TIMES = (1, 20, 50, 80, 99)


def correlated(n=4000, seed=0):
    """Gaussian data (n, 2, 1, 2) with a known covariance."""
    root = torch.tensor([[1.0, 0, 0, 0], [0.9, 0.4, 0, 0], [0, 0, 0.5, 0], [0.2, 0, 0.3, 1.5]])
    points = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)) @ root.T
    return (points + torch.tensor([1.0, -1, 0, 2])).reshape(n, 2, 1, 2)


def test_a_network_that_says_nothing_has_the_power_of_the_target():
    """Output 0: the loss of eps is 1 at every time, that of v is noise² E z0² + signal²."""
    z0 = correlated()
    silent = network_denoiser(lambda z, t, c: torch.zeros_like(z), SCHEDULE, V)
    for parameterization in (V, EPS):
        losses = loss_by_time(silent, SCHEDULE, z0, TIMES, V)
        for t, loss in zip(TIMES, losses, strict=True):
            signal, noise = SCHEDULE(t)
            wanted = noise**2 * z0.double().square().mean() + signal**2
            assert float(loss) == pytest.approx(float(wanted), rel=0.05), (parameterization, t)
    says_zero = network_denoiser(lambda z, t, c: torch.zeros_like(z), SCHEDULE, EPS)
    losses = loss_by_time(says_zero, SCHEDULE, z0, TIMES, EPS)
    torch.testing.assert_close(losses, torch.ones(5).double(), rtol=0.05, atol=0)


def test_the_linear_denoiser_reaches_the_conditional_variance():
    """For Gaussian data E|z0 - E[z0 | z_t]|² is the trace of (cov^-1 + SNR I)^-1, by hand."""
    z0 = correlated(20_000)
    cov = z0.flatten(1).double().T.cov()
    denoise = linear_denoiser(SCHEDULE, z0)
    for t in TIMES:
        _, noise = SCHEDULE(t)
        error = torch.linalg.inv(torch.linalg.inv(cov) + SCHEDULE.snr[t] * torch.eye(4)).trace() / 4
        # v = signal eps - noise z0, and eps follows from z0: the error of v is error / noise²
        loss = loss_by_time(denoise, SCHEDULE, z0, [t], V)
        assert float(loss) == pytest.approx(float(error / noise**2), rel=0.03), t


def test_no_other_linear_guess_is_better():
    z0 = correlated()
    exact = linear_denoiser(SCHEDULE, z0)
    best = loss_by_time(exact, SCHEDULE, z0, TIMES, V)

    def bent(z_t, t):
        z0_hat = 0.9 * exact(z_t, t).z0
        signal, noise = SCHEDULE(t)
        return Denoised(z0_hat, ((z_t - signal * z0_hat) / noise).to(z_t))

    assert (loss_by_time(bent, SCHEDULE, z0, TIMES, V) > best).all()


def test_the_same_noise_every_time_and_another_for_another_seed():
    z0 = correlated(50)
    denoise = linear_denoiser(SCHEDULE, z0)
    once, again, other = (loss_by_time(denoise, SCHEDULE, z0, TIMES, V, s) for s in (0, 0, 1))
    assert torch.equal(once, again) and not torch.equal(once, other)


def test_one_sample_has_no_covariance():
    with pytest.raises(ValueError, match="at least two samples; got 1"):
        linear_denoiser(SCHEDULE, correlated(1))
