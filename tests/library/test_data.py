"""The data sets are what their docstrings say."""

import importlib.resources

import pytest
import torch

from minildm.data import digits, gaussian, mixture, ring, to_unit_range


@pytest.fixture(scope="module")
def mnist():
    return digits()


def test_digits_are_real_balanced_and_in_minus_one_to_one(mnist):
    assert mnist.x.shape == (4000, 1, 28, 28)
    assert mnist.x_held_out.shape == (1000, 1, 28, 28)
    assert mnist.labels.bincount().tolist() == [400] * 10
    assert mnist.labels_held_out.bincount().tolist() == [100] * 10
    for x in (mnist.x, mnist.x_held_out):
        assert (x.min(), x.max()) == (-1, 1)
    # mostly background, which is black = -1, as in all of MNIST (mean grey value 0.1307 of 1)
    grey = (torch.cat([mnist.x, mnist.x_held_out]).mean().item() + 1) / 2
    assert grey == pytest.approx(0.1307, abs=0.003)


def test_digits_match_their_labels(mnist):
    """A nearest-neighbour rule learnt on the one part reads the other: labels stayed in place."""
    distance = torch.cdist(mnist.x_held_out.flatten(1), mnist.x.flatten(1))
    read = mnist.labels[distance.argmin(1)]
    assert (read == mnist.labels_held_out).double().mean() > 0.9


def test_no_digit_is_in_both_parts_and_every_digit_in_one(mnist):
    everything = torch.cat([mnist.x, mnist.x_held_out]).flatten(1)
    other = digits(seed=1)
    again = torch.cat([other.x, other.x_held_out]).flatten(1)
    key = torch.randn(784, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = (
        (everything.double() @ key)[:, 0].sort().values,
        (again.double() @ key)[:, 0].sort().values,
    )
    torch.testing.assert_close(a, b)  # the same 5,000 images
    assert len((everything.double() @ key)[:, 0].unique()) == 5000  # and none of them twice


def test_the_split_depends_on_the_seed_only(mnist):
    again, other = digits(), digits(seed=1)
    assert torch.equal(again.x, mnist.x)
    assert torch.equal(again.labels_held_out, mnist.labels_held_out)
    assert not torch.equal(other.x_held_out, mnist.x_held_out)
    changes = (mnist.labels[1:] != mnist.labels[:-1]).double().mean()
    assert changes > 0.8  # shuffled: sorted labels would change 9 times


def test_padding_adds_black_margins_only(mnist):
    padded = digits(size=32).x
    assert torch.equal(padded[..., 2:-2, 2:-2], mnist.x)
    padded[..., 2:-2, 2:-2] = -1
    assert (padded == -1).all()


def test_wrong_requests_are_named(monkeypatch):
    with pytest.raises(ValueError, match="size must be 28"):
        digits(size=30)
    for held_out in (15, 5000, -10):
        with pytest.raises(ValueError, match="held_out must be a multiple of 10"):
            digits(held_out=held_out)

    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.resources, "files", missing)
    with pytest.raises(FileNotFoundError, match=r'pip install "minildm\[data\]"'):
        digits()


def test_unit_range_ends():
    assert to_unit_range(torch.tensor([0, 51, 255]), 255).tolist() == pytest.approx([-1, -0.6, 1])


def test_gaussian_has_its_mean_and_covariance():
    n, cov = 40_000, torch.tensor([[1.0, 0.8], [0.8, 2.0]])
    points = gaussian(n, mean=(1, -3), cov=cov)
    # 4 standard errors: sqrt(var / n), and sqrt((c_ii c_jj + c_ij^2) / n) for the covariance
    assert ((points.mean(0) - torch.tensor([1.0, -3.0])).abs() < 4 * (cov.diag() / n).sqrt()).all()
    error = ((cov.diag()[:, None] * cov.diag() + cov**2) / n).sqrt()
    assert ((points.T.cov() - cov).abs() < 4 * error).all()
    flat = gaussian(500, mean=(0, 0), cov=((1, 1), (1, 1)))  # singular: points on a line
    torch.testing.assert_close(flat[:, 0], flat[:, 1], atol=1e-5, rtol=0)


def test_mixture_takes_modes_by_weight():
    weights, means, covs = ring(modes=4, radius=10.0, std=0.1)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    points = mixture(20_000, weights, means, covs)
    nearest = torch.cdist(points.double(), means).argmin(1)
    share = nearest.bincount() / 20_000
    assert ((share - weights).abs() < 4 * (weights * (1 - weights) / 20_000).sqrt()).all()
    spread = (points.double() - means[nearest]).std().item()
    assert spread == pytest.approx(0.1, rel=0.02)


def test_seeds_and_generators():
    assert torch.equal(gaussian(50, seed=3), gaussian(50, seed=3))
    assert not torch.equal(gaussian(50, seed=3), gaussian(50, seed=4))
    assert torch.equal(gaussian(50, seed=torch.Generator().manual_seed(3)), gaussian(50, seed=3))
    assert not torch.equal(gaussian(50, seed=2**64 - 1), gaussian(50, seed=-(2**63)))  # the ends
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match="seed must be"):
            gaussian(50, seed=seed)
    with pytest.raises(ValueError, match="n must be"):
        gaussian(0)


def test_mixture_shapes_are_checked():
    weights, means, covs = ring()
    with pytest.raises(ValueError, match="do not fit together"):
        mixture(10, weights[:3], means, covs)
