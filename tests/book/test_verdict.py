"""Bands and verdicts over seeds: the rule by which chapter 5.5 draws its conclusions."""

import math
import statistics

import pytest
import torch

from book.ablations.verdict import CANNOT_TELL, FEWEST, STUDENT, band, table, verdict


def test_the_quantiles_are_students():
    """Of the t density, integrated: 97.5 % lie below each quantile."""
    for freedom, quantile in enumerate(STUDENT, 1):
        x = torch.linspace(0, quantile, 20_001, dtype=torch.float64)
        density = torch.distributions.StudentT(float(freedom)).log_prob(x).exp()
        assert abs(0.5 + float(torch.trapezoid(density, x)) - 0.975) < 1e-4, freedom


def test_a_band_by_hand():
    low, mean, high, seeds = band([0.1, 0.2, 0.3, 0.4, 0.5])
    reach = 2.776 * math.sqrt(0.1 / 4) / math.sqrt(5)
    assert (low, mean, high, seeds) == pytest.approx((0.3 - reach, 0.3, 0.3 + reach, 5))
    for wrong in ([0.5], [0.5, math.nan]):
        with pytest.raises(ValueError, match="at least two finite numbers"):
            band(wrong)


NARROW = [0.80, 0.81, 0.79, 0.80, 0.82, 0.80, 0.79, 0.81]


def test_apart_overlapping_and_too_few():
    low = [value - 0.3 for value in NARROW]
    assert verdict(NARROW, low) == "higher" and verdict(low, NARROW) == "lower"
    near = [value - 0.005 for value in NARROW]
    assert verdict(NARROW, near) == verdict(near, NARROW) == CANNOT_TELL
    assert verdict(NARROW, NARROW) == CANNOT_TELL
    # however far apart: too few seeds of either tell nothing
    few = FEWEST - 1
    assert verdict(NARROW[:few], low) == verdict(NARROW, low[:few]) == CANNOT_TELL
    assert verdict(NARROW[:FEWEST], low[:FEWEST]) == "higher"


def test_one_run_that_went_wrong_widens_the_band():
    """The mean alone would call the first one worse; the spread says that nobody knows."""
    unlucky = [0.8] * 7 + [0.2]
    better = [0.84, 0.86, 0.85, 0.84, 0.86, 0.85, 0.84, 0.86]
    assert statistics.fmean(unlucky) < statistics.fmean(better) - 0.1
    assert verdict(unlucky, better) == CANNOT_TELL


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.0, 0.01), (2.5, 0.9, 1.0)])
def test_how_often_it_speaks(shift, least, most):
    """Eight seeds each: of equals below 1 in 100; of 2.5 deviations nearly always."""
    draws = torch.randn(2000, 2, 8, generator=torch.Generator().manual_seed(0)).double()
    said = [verdict((a + shift).tolist(), b.tolist()) for a, b in draws]
    spoken = sum(word != CANNOT_TELL for word in said) / len(said)
    assert least <= spoken <= most
    assert shift == 0 or "lower" not in said


def test_the_table_says_against_whom():
    found = {"attention": NARROW, "a mean": [v - 0.3 for v in NARROW]}
    lines = table(found, "attention").split("\n")
    assert "against attention" in lines[0] and lines[1].endswith("82%")
    assert lines[2].endswith("lower") and "  8  " in lines[2] and "50%" in lines[2]
