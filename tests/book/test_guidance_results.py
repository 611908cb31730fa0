"""What guidance does, measured."""

import pytest
import torch

from book.ch05_5_text_to_image.measure_guidance import SCALES, variety
from book.results import read_results


def test_variety_is_the_distance_of_two_pictures_of_one_caption():
    """Pictures of one caption differ by 2 in all pixels, captions by much more: only the first
    counts, and a picture's distance to itself does not."""
    x = torch.zeros(6, 1, 4, 4)
    x[1::2] += 2.0  # the second picture of each caption
    x += torch.tensor([0.0, 0, 50, 50, -70, -70])[:, None, None, None]
    assert float(variety(x, 2)) == pytest.approx(2.0)
    assert float(variety(torch.ones(4, 1, 4, 4), 4)) == 0.0


def test_variety_needs_two_of_each():
    for n, drawn in ((4, 1), (5, 2)):
        with pytest.raises(ValueError, match="at least 2 pictures of each caption"):
            variety(torch.zeros(n, 1, 4, 4), drawn)


def test_the_shipped_figures_are_of_all_scales():
    figures = read_results("guidance")["by_guidance"]
    assert [float(w) for w in figures] == list(SCALES)
    assert all(run["right"] == 0 for run in figures["0.0"])  # nobody listens
    assert min(run["right"] for run in figures["2.5"]) > 0.8
