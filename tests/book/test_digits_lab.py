"""The losses that chapter 5.1 compares, by hand."""

import math

import pytest
import torch

from book.ablations.digits_lab import (
    absolute_loss,
    moved,
    nearest_label,
    perceptual_loss,
)
from minildm.data import LabelledSplit
from minildm.schedule import DiscreteSchedule, cosine_betas


def test_the_absolute_error_by_hand():
    x, x_hat = torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.5, 0.0]])
    torch.testing.assert_close(absolute_loss(x_hat, x), torch.tensor([2.5, 0.25]))
    with pytest.raises(ValueError, match=r"x has shape \(2, 1\) but x_hat"):
        absolute_loss(x_hat, x[:, :1])


def test_a_perceptual_loss_adds_the_features_in_their_own_units():
    """Features that see each pixel doubled and tripled, with standard deviations 2 and 6."""
    x, x_hat = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5)

    def features(y):
        return torch.cat([2 * y, 3 * y], dim=1)

    std = torch.tensor([2.0, 6.0])[None, :, None, None]
    loss = perceptual_loss(features, std, weight=0.1)(x_hat, x)
    pixels = 0.5**2
    seen = ((2 * 0.5 / 2) ** 2 + (3 * 0.5 / 6) ** 2) / 2
    torch.testing.assert_close(loss, torch.tensor([pixels + 0.1 * seen]))
    torch.testing.assert_close(perceptual_loss(features, std, 0.0)(x_hat, x), torch.tensor([0.25]))


def test_what_is_not_finite_has_no_loss():
    x, nan = torch.zeros(2, 3), torch.tensor([[0.0, 1.0, math.nan], [0.0, 0.0, 0.0]])
    for bad in (nan, nan.nan_to_num(nan=math.inf)):
        for loss in (absolute_loss, perceptual_loss(torch.exp, 1.0, 0.1)):
            for pair in ((bad, x), (x, bad)):
                with pytest.raises(ValueError, match="x(_hat)? has 1 entries that are NaN or inf"):
                    loss(*pair)
    with pytest.raises(ValueError, match="weight must be a finite number >= 0.*nan"):
        perceptual_loss(torch.exp, 1.0, math.nan)
    with pytest.raises(ValueError, match="features.* has"):  # of another batch size
        perceptual_loss(lambda y: y[:1], 1.0, 0.1)(x, x)


@pytest.mark.parametrize("s", [1 / 16, 0.5, 1, 4, 16])
def test_a_moved_schedule_has_the_snr_times_the_square(s):
    schedule = DiscreteSchedule(cosine_betas(200))
    other = moved(schedule, s)
    assert other.T == schedule.T
    torch.testing.assert_close(other.snr[1:], s**2 * schedule.snr[1:], rtol=1e-8, atol=0)


def test_a_schedule_is_not_moved_to_nowhere():
    for s in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="s must be"):
            moved(DiscreteSchedule(cosine_betas(20)), s)


def test_the_nearest_digit_names_the_label():
    x = torch.stack([torch.full((1, 2, 2), value) for value in (-1.0, 0.0, 1.0)])
    split = LabelledSplit(x, torch.tensor([7, 8, 9]), x[:0], torch.tensor([]))
    asked = torch.tensor([0.8, -0.6, 0.1])[:, None, None, None].expand(3, 1, 2, 2)
    assert nearest_label(asked, split).tolist() == [9, 7, 8]
