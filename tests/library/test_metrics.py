"""Metrics against values that are known in closed form."""

import math

import pytest
import torch

from minildm.data import mixture, ring
from minildm.metrics import (
    frechet_distance,
    frechet_gaussians,
    mode_coverage,
    psnr,
    root,
    sliced_wasserstein,
)


def test_frechet_of_commuting_gaussians_is_a_distance_of_roots():
    a, b = torch.tensor([1, 4, 0]).double(), torch.tensor([9, 1, 4]).double()
    turn, _ = torch.linalg.qr(torch.tensor([[1, 2, 3], [-1, 4, 1], [2, 0, 5]]).double())
    expected = (a.sqrt() - b.sqrt()).square().sum() + 12  # + |(2, 2, 2)|^2
    distance = frechet_gaussians(
        torch.zeros(3), turn @ a.diag() @ turn.T, torch.full((3,), 2.0), turn @ b.diag() @ turn.T
    )
    assert distance == pytest.approx(expected.item(), abs=1e-6)


def test_frechet_of_gaussians_that_do_not_commute():
    """tr (AB)^(1/2) of 2 x 2 matrices is sqrt(tr AB + 2 sqrt(det AB))."""
    a, b = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.tensor([[1.0, -0.5], [-0.5, 0.5]])
    product = a @ b
    root = (product.trace() + 2 * torch.linalg.det(product).sqrt()).sqrt()
    expected = a.trace() + b.trace() - 2 * root
    zero = torch.zeros(2)
    assert frechet_gaussians(zero, a, zero, b) == pytest.approx(expected.item(), abs=1e-6)


def test_frechet_of_sets():
    a = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + torch.tensor([3.0, 0, 4.0])) == pytest.approx(25, rel=1e-5)
    spread = a.double().var(0).sum().item()
    assert frechet_distance(a, 3 * a - 2 * a.mean(0)) == pytest.approx(4 * spread, rel=1e-4)


def test_sliced_wasserstein_of_a_shift():
    """Along a unit vector u a shift s moves all points by u·s; its mean square is |s|^2 / d."""
    a = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([3.0, -4.0])
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    distance = sliced_wasserstein(a, (a + shift)[order], directions=4000)
    assert distance == pytest.approx(5 / math.sqrt(2), rel=0.05)
    assert sliced_wasserstein(a, a[order]) == pytest.approx(0, abs=1e-7)
    # 2 copies of every point are the same distribution
    assert sliced_wasserstein(a, a.repeat(2, 1)) == pytest.approx(0, abs=1e-7)


def test_psnr():
    x = torch.zeros(2, 1, 4, 4)
    error = torch.tensor([0.2, 0.02])[:, None, None, None]
    torch.testing.assert_close(psnr(x + error, x), torch.tensor([20.0, 40.0]))
    with pytest.raises(ValueError, match="must be equal"):
        psnr(x[:1], x)


def test_mode_coverage_counts_modes_and_strays():
    weights, means, covs = ring(modes=8, radius=4, std=0.1)
    everything = mixture(4000, weights, means, covs)
    found = mode_coverage(everything, means, 0.1, sigmas=3)
    assert found.modes == 1
    assert found.points == pytest.approx(1 - math.exp(-4.5), abs=0.01)  # 2-D: 1 - exp(-3^2 / 2)
    half = everything[torch.cdist(everything.double(), means).argmin(1) < 4]
    assert mode_coverage(half, means, 0.1).modes == 0.5
    strays = torch.cat([everything, torch.zeros(4000, 2)])
    assert mode_coverage(strays, means, 0.1).points == pytest.approx(found.points / 2)


def test_sets_of_wrong_shape_are_named():
    with pytest.raises(ValueError, match="two sets"):
        frechet_distance(torch.zeros(5, 2), torch.zeros(5, 3))
    with pytest.raises(ValueError, match="flatten images"):
        sliced_wasserstein(torch.zeros(5, 1, 2, 2), torch.zeros(5, 1, 2, 2))


# --- a broken sampler has no distance -------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_no_measure_takes_what_is_not_finite(d, value):
    good = torch.randn(50, d, generator=torch.Generator().manual_seed(0)).double()
    bad = good.clone()
    bad[7, -1] = value
    said = "(NaN|infinite)"
    for sets in ((bad, good), (good, bad), (bad.numpy(), good)):
        for measure in (frechet_distance, sliced_wasserstein, psnr):
            with pytest.raises(ValueError, match=said):
                measure(*sets)
        with pytest.raises(ValueError, match=said):
            mode_coverage(*sets, std=1.0)
    mean, cov = good.mean(0), good.T.cov().reshape(d, d)
    for i in range(4):
        moments = [mean, cov, mean, cov]
        moments[i] = moments[i].clone()
        moments[i].view(-1)[-1] = value
        with pytest.raises(ValueError, match=said):
            frechet_gaussians(*moments)


def test_a_covariance_is_one():
    for cov in ([[1.0, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[1.0, 2.0], [2.0, 1.0]]):
        for four in (([0, 0], cov, [0, 0], torch.eye(2)), ([0, 0], torch.eye(2), [0, 0], cov)):
            with pytest.raises(ValueError, match="symmetric|negative variance"):
                frechet_gaussians(*four)
        with pytest.raises(ValueError, match="symmetric|negative variance"):
            root(torch.tensor(cov))
    with pytest.raises(ValueError, match="n, m >= 1"):
        mode_coverage(torch.zeros(0, 2), torch.zeros(1, 2), std=1.0)
    assert psnr(torch.zeros(1, 2), torch.zeros(1, 2)).tolist() == [math.inf]  # equal: no error
