"""Shares that count what they say, and bounds that hold as often as they say."""

import pytest
import torch

from book.ch05_5_text_to_image.copies import memorised, nearest
from minildm.shapes import scenes as shapes
from minildm.shapes.judge import Verdict, caption_accuracy, judge, lower_bound
from minildm.shapes.scenes import Pictures


def verdict_of(pictures):
    n = len(pictures)
    perfect = torch.ones(n, dtype=torch.bool), torch.zeros(n), torch.ones(n, 2)
    return Verdict(pictures.rows.clone(), pictures.places.clone(), *perfect)


def test_each_wrong_attribute_costs_its_own_share_and_the_joint_one():
    pictures = Pictures(shapes.splits().test, 40)
    verdict = verdict_of(pictures)
    for i in range(10):
        verdict.rows[i, i] = 1 - verdict.rows[i, i].clamp(max=1)  # picture i: attribute i is wrong
    accuracy = caption_accuracy(verdict, pictures.rows)
    assert accuracy.joint == 30 / 40
    assert list(accuracy.by_name) == list(shapes.NAMES)
    assert list(accuracy.by_name.values()) == [39 / 40] * 10
    assert accuracy.accepted == 1


def test_a_refused_picture_is_wrong_in_everything():
    pictures = Pictures(shapes.splits().test, 20)
    verdict = verdict_of(pictures)
    verdict.accepted[:5] = False
    accuracy = caption_accuracy(verdict, pictures.rows)
    assert (accuracy.joint, accuracy.accepted) == (0.75, 0.75)
    assert set(accuracy.by_name.values()) == {0.75}
    assert accuracy.bound == lower_bound(15, 20)


def test_rows_of_another_number_are_refused():
    pictures = Pictures(shapes.splits().test, 20)
    with pytest.raises(ValueError, match="one for each picture"):
        caption_accuracy(verdict_of(pictures), pictures.rows[:1])


def test_the_bound_solves_wilsons_equation():
    for hits, tries in ((970, 1000), (1, 10), (999, 1000), (500, 1000)):
        p = lower_bound(hits, tries)
        z = (hits / tries - p) / (p * (1 - p) / tries) ** 0.5
        assert z == pytest.approx(1.6448536, abs=1e-6)
    assert lower_bound(0, 10) == 0
    assert lower_bound(1000, 1000) == pytest.approx(1000 / (1000 + 1.6448536**2))


def test_the_bound_is_below_the_truth_in_about_95_of_100_experiments():
    generator = torch.Generator().manual_seed(0)
    for share in (0.9, 0.97):
        hits = (torch.rand(4000, 1000, generator=generator) < share).sum(1)
        below = sum(lower_bound(int(h), 1000) <= share for h in hits) / 4000
        assert below == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("hits", "tries"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(hits, tries):
    with pytest.raises(ValueError, match="hits <= tries"):
        lower_bound(hits, tries)


def test_memorised_counts_copies_and_only_copies():
    training = Pictures(shapes.splits().train, 300, seed=0)
    other = Pictures(shapes.splits().test, 20, seed=1)
    assert memorised(verdict_of(other), training) == 0
    verdict = verdict_of(other)
    verdict.rows[:4], verdict.places[:4] = training.rows[50:54], training.places[50:54]
    assert memorised(verdict, training) == 4 / 20
    verdict.places[0, 1, 1] += 1  # the same scene, one pixel further: not a copy
    assert memorised(verdict, training) == 3 / 20
    verdict.accepted[1] = False
    assert memorised(verdict, training) == 2 / 20


def test_the_nearest_neighbour_is_found_in_any_batch():
    training = Pictures(shapes.splits().train, 60, seed=0)
    x = training[torch.tensor([41, 7])] * 0.9
    distance, index = nearest(x, training, batch=25)
    assert index.tolist() == [41, 7]
    expected = (0.1 * training[torch.tensor([41, 7])]).square().mean((1, 2, 3)).sqrt()
    assert torch.allclose(distance, expected, atol=1e-4)


def test_accuracy_of_real_pictures_is_perfect_and_of_others_zero():
    pictures = Pictures(shapes.splits().test, 12, seed=2)
    assert caption_accuracy(judge(pictures[:]), pictures.rows).joint == 1
    assert caption_accuracy(judge(pictures[:].roll(1, 0)), pictures.rows).joint == 0
