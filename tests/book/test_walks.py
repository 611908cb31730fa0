"""What is settled when, on a walk, and what a replay forgets."""


import torch

from book.ch05_4_sampling.line_data import THREE, even_normal
from book.ch05_4_sampling.walks import by_kind, replay, settled
from minildm.samplers import ddim, sample
from minildm.schedule import DiscreteSchedule, cosine_betas

TEXTS = ["a red circle left of a blue square", "a green star above a cyan circle"]
SCHEDULE = DiscreteSchedule(cosine_betas(1000))


def test_settled_means_for_good():
    """What is right, then wrong, then right again was not settled at first."""
    rows = torch.tensor([1, 1, 0, 1, 1])[:, None, None].expand(5, 2, 10).clone()
    rows[:, 1] = 7
    found = settled(rows)
    assert found[:, 0, 0].tolist() == [False, False, False, True, True]
    assert found[:, 1].all()


def test_kinds_are_means_over_both_objects():
    flags = torch.zeros(3, 4, 10, dtype=torch.bool)
    flags[:, :, 0] = True  # background
    flags[:, :, 4] = True  # the colour of the first object
    flags[0, :, 9] = True  # the shape of the second, at one time
    found = by_kind(flags)
    assert list(found) == ["background", "relation", "size", "fill", "colour", "shape"]
    assert found["background"].tolist() == [1, 1, 1]
    assert found["relation"].tolist() == [0, 0, 0]
    assert found["colour"].tolist() == [0.5, 0.5, 0.5]
    assert found["shape"].tolist() == [0.5, 0, 0]


def test_a_replay_forgets_only_what_was_not_settled():
    denoise, z_T = THREE.denoiser(SCHEDULE), even_normal(200)
    times = SCHEDULE.times(100)
    at = [z_T] + [snapshot.z for snapshot in sample(denoise, SCHEDULE, z_T, times, ddim)]
    end = at[-1]
    apart = [
        float((replay(denoise, SCHEDULE, at[i], times[i:], seed=3) - end).abs().mean())
        for i in (0, 50, 90)
    ]
    assert apart[0] > 0.9  # unrelated: the mean distance of two points of the data
    assert apart[0] > 1.5 * apart[1]
    assert apart[1] > 3 * apart[2]
    assert apart[2] < 0.1
    one, two, other = (replay(denoise, SCHEDULE, z_T, times, seed=s) for s in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
