"""The judge is exact: it reads every picture that is a scene, and refuses what is none."""

import itertools

import pytest
import torch

from minildm.shapes import judge as judges
from minildm.shapes import scenes as shapes
from minildm.shapes.judge import judge
from minildm.shapes.scenes import (
    Pictures,
    Scene,
    Thing,
    draw_places,
    every_row,
    render,
    to_rows,
)

TABLE = every_row()


def pictures(n, seed=0):
    p = Pictures(TABLE, n, seed)
    return p, p[:]


def test_the_thresholds_are_the_ones_frozen_before_training():
    assert (judges.EXPLAINED, judges.RESIDUAL) == (0.7, 0.2)


@pytest.mark.slow
def test_ten_thousand_scenes_are_read_exactly():
    """Attributes and places of all of them; the bar is 99.9 %."""
    p = Pictures(TABLE, 10_000, seed=7)
    wrong = 0
    for part in torch.arange(len(p)).split(500):
        verdict = judge(p[part])
        right = (verdict.rows == p.rows[part]).all(1) & verdict.accepted
        right &= (verdict.places == p.places[part]).flatten(1).all(1)
        wrong += int((~right).sum())
    assert wrong == 0


def test_the_closest_and_most_alike_objects_are_told_apart():
    """Two small objects that nearly touch, alike but for one attribute: every pair of things."""
    scenes = [
        Scene(background, relation, Thing("small", fill, colour, a), Thing("small", fill, other, b))
        for background, relation in itertools.product(shapes.BACKGROUNDS, shapes.RELATIONS)
        for fill, (colour, other) in itertools.product(
            shapes.FILLS, (("red", "red"), ("blue", "purple"), ("yellow", "cyan"))
        )
        for a, b in itertools.product(shapes.SHAPES, shapes.SHAPES)
    ][::7]
    rows = to_rows(scenes)
    u = torch.zeros(len(rows), 4)
    u[:, 2:] = 0.5  # side by side, as close as can be
    verdict = judge(render(rows, draw_places(rows, u)))
    assert torch.equal(verdict.rows, rows)
    assert verdict.accepted.all()


def test_every_scene_with_one_wrong_attribute_is_rejected():
    """For 10 scenes, change each attribute to each other value: what is read is never the first."""
    p, _ = pictures(10, seed=1)
    for row, place in zip(p.rows, p.places, strict=True):
        others = []
        for column, known in enumerate(shapes.ATTRIBUTES):
            if column == 1:
                continue  # the relation is a matter of places: next test
            for value in range(len(known)):
                if value != row[column]:
                    other = row.clone()
                    other[column] = value
                    others.append(other)
        rows = torch.stack(others)
        verdict = judge(render(rows, place.expand(len(rows), 2, 2)))
        assert not (verdict.rows == row).all(1).any()
        # An object that grew may touch the other one; all others must also be read right.
        bigger = (rows[:, 2] > row[2]) | (rows[:, 6] > row[6])
        assert torch.equal(verdict.rows[~bigger], rows[~bigger])


def test_a_wrong_relation_is_noticed():
    p, x = pictures(60, seed=2)
    turned = judge(x.transpose(2, 3).contiguous())  # left of <-> above
    assert (turned.rows[:, 1] == 1 - p.rows[:, 1]).all()
    flipped = judge(render(p.rows, p.places.flip(1)))  # the objects change places
    bigger = p.rows[:, 2] != p.rows[:, 6]
    swapped = torch.cat([p.rows[:, :2], p.rows[:, 6:], p.rows[:, 2:6]], dim=1)
    assert torch.equal(flipped.rows[~bigger], swapped[~bigger])


def test_an_erased_object_a_third_one_and_half_an_object_are_refused():
    p, x = pictures(30, seed=3)
    level = shapes.palette(shapes.BACKGROUNDS)[p.rows[:, 0]][:, :, None, None]
    for i, things in enumerate((p.rows[:, 2:6], p.rows[:, 6:])):
        share = (shapes.cover(things, p.places[:, i]) > 0)[:, None]
        assert not judge(torch.where(share, level, x)).accepted.any()
        half = share.clone()
        for k, (down, _) in enumerate(p.places[:, i].tolist()):
            half[k, :, :down] = False  # the lower half of the object goes
        cut = judge(torch.where(half, level, x))  # half a square may pass for another shape
        assert not (cut.accepted & (cut.rows == p.rows).all(1)).any()
    third = torch.tensor([0, 0, 0, 0]).repeat(len(x), 1)  # a small solid red circle in a corner
    corner = torch.where(p.rows[:, 1:2] == 0, torch.tensor([54, 32]), torch.tensor([32, 54]))
    share = shapes.cover(third, corner)[:, None]
    alone = (share * (x - level).abs()).amax((1, 2, 3)) == 0  # where it overlaps with no object
    red = shapes.palette(shapes.COLOURS)[0].reshape(1, 3, 1, 1)
    assert alone.sum() > 2
    assert not judge(torch.lerp(x, red, share))[2][alone].any()


def test_a_faint_object_has_more_energy_than_what_may_be_left_unexplained():
    """The smallest |a|² |v|² of all objects on all backgrounds, against judge.HIDDEN."""
    colours, levels = (shapes.palette(p) for p in (shapes.COLOURS, shapes.BACKGROUNDS))
    contrast = torch.cdist(colours, levels).square().min()
    energy = shapes.stamps().square().sum((3, 4)).min()
    assert judges.EXPLAINED * float(contrast * energy) > 2 * judges.HIDDEN


@pytest.mark.parametrize("std", [0.05, 0.2, 0.5, 1.0])
def test_noise_is_refused(std):
    generator = torch.Generator().manual_seed(0)
    noise = std * torch.randn(60, 3, 64, 64, generator=generator)
    grey = shapes.palette(shapes.BACKGROUNDS)[1].reshape(1, 3, 1, 1)
    assert not judge((noise + grey).clamp(-1, 1)).accepted.any()


def test_blanks_and_smooth_blobs_are_refused():
    blank = torch.stack([torch.full((3, 64, 64), v) for v in torch.linspace(-1, 1, 21)])
    assert not judge(blank).accepted.any()
    line = (torch.arange(64) - 31.5) / 8
    blob = torch.exp(-(line[:, None] ** 2 + line**2) / 2)
    one = torch.stack([-blob, blob, 0.5 * blob]).expand(4, 3, 64, 64)
    assert not judge(one.contiguous()).accepted.any()


def test_nan_is_refused_and_does_not_spread():
    p, x = pictures(5)
    x[2, 0, 3, 3] = float("nan")
    verdict = judge(x)
    assert verdict.accepted.tolist() == [True, True, False, True, True]
    assert torch.equal(verdict.rows[[0, 1, 3, 4]], p.rows[[0, 1, 3, 4]])


def test_the_scene_is_still_read_under_blur_shift_and_noise():
    """What a decoder does to a picture: a judge of generated pictures must not mind."""
    p, x = pictures(150, seed=4)
    weights = torch.tensor([1.0, 2.0, 1.0]) / 4  # a gentle blur, down and right
    kernel = (weights[:, None] * weights).expand(3, 1, 3, 3)
    blurred = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    blurred = torch.nn.functional.conv2d(blurred, kernel, groups=3)
    moved = (x + x.roll(1, dims=3)) / 2  # half a pixel to the right
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(
        -1, 1
    )
    for name, changed, least in (("blur", blurred, 1), ("move", moved, 1), ("noise", noisy, 1)):
        verdict = judge(changed)
        right = (verdict.rows == p.rows).all(1) & verdict.accepted
        assert right.double().mean() >= least, name


def test_the_verdict_does_not_depend_on_the_batch():
    _, x = pictures(20, seed=5)
    one, other = judge(x, batch=20), judge(x, batch=3)
    assert torch.equal(one.rows, other.rows) and torch.equal(one.places, other.places)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 32, 32)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(B, 3, 64, 64\)"):
        judge(torch.zeros(shape))
