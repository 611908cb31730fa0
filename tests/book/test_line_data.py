"""Data on a line, where the end of a walk is known."""

import pytest
import torch

from book.ch05_4_sampling.line_data import THREE, Clusters, even_normal, exact_end
from minildm.samplers import heun, sample
from minildm.schedule import CosineSchedule, DiscreteSchedule, cosine_betas


def test_even_points_stand_for_the_normal_distribution():
    z = even_normal(2000)
    assert z.shape == (2000, 1)
    assert z.dtype == torch.float64
    assert (z[1:] > z[:-1]).all()
    torch.testing.assert_close(z, -z.flip(0), atol=1e-9, rtol=0)
    assert float(z.square().mean()) == pytest.approx(1, abs=0.01)
    assert float(even_normal(1)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="n must be"):
        even_normal(0)


def test_one_cluster_ends_on_a_straight_line():
    """N(3, 2^2): the exact walk is z_T -> 3 + 2 z_T, wherever it starts."""
    z_T = torch.tensor([[-3.0], [-0.5], [0.0], [2.0], [4.0]])
    end = exact_end(Clusters((1.0,), (3.0,), (2.0,)), z_T)
    torch.testing.assert_close(end, 3 + 2 * z_T.double(), atol=1e-6, rtol=0)


def test_the_share_below_a_point_is_the_clusters():
    x = torch.tensor([[-5.0], [-0.4], [0.95], [5.0]])
    wanted = torch.tensor([[0.0], [0.5], [0.8], [1.0]], dtype=torch.float64)
    torch.testing.assert_close(THREE.below(x), wanted, atol=2e-3, rtol=0)
    assert sum(THREE.shares) == pytest.approx(1)


def test_a_fine_walk_ends_where_it_must():
    schedule, z_T = CosineSchedule(), even_normal(40)
    *_, last = sample(THREE.denoiser(schedule), schedule, z_T, schedule.times(800), heun)
    torch.testing.assert_close(last.z, exact_end(THREE, z_T), atol=4e-3, rtol=0)


def test_a_shifted_denoiser_walks_to_shifted_data():
    schedule, z_T = DiscreteSchedule(cosine_betas(1000)), even_normal(40)
    denoise = THREE.denoiser(schedule, shift=0.2)
    *_, last = sample(denoise, schedule, z_T, schedule.times(500), heun)
    off = last.z - exact_end(THREE, z_T)
    torch.testing.assert_close(off, torch.full_like(off, 0.2), atol=0.01, rtol=0)
