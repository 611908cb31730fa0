"""Figures of few-step generation show the numbers they are given."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from book.ablations.engine import _write_picture, picture
from book.ch08_outlook.few_steps_figures import by_calls, ends, stored
from book.figures import COLOURS


def colour(artist):
    return to_hex(artist.get_facecolor()[0][:3]).upper()


def test_a_point_keeps_the_colour_of_its_group_in_every_panel():
    z, groups = torch.randn(30, 2), torch.arange(30) % 3
    fig = ends({"here": z, "there": z.flip(0)}, groups)
    assert [ax.get_title() for ax in fig.axes] == ["here", "there"]
    for ax, points in zip(fig.axes, (z, z.flip(0)), strict=True):
        for k, cloud in enumerate(ax.collections):
            assert colour(cloud) == COLOURS[k]
            np.testing.assert_allclose(cloud.get_offsets(), points[groups == k])


def test_a_curve_is_the_mean_of_its_seeds_within_their_band():
    n, values = [1, 2, 4], [[1.0, 2.0, 8.0], [3.0, 4.0, 4.0]]
    panels = {"a": {"one": (n, values)}, "b": {"two": ([2, 8], [[1.0, 10.0]]), "one": (n, values)}}
    fig = by_calls(panels, log=["b"])
    left, right = fig.axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [2, 3, 6])
    band = left.collections[0].get_paths()[0].vertices
    for x, low, high in zip(n, [1, 2, 4], [3, 4, 8], strict=True):
        assert set(band[band[:, 0] == x, 1]) == {low, high}
    assert left.lines[0].get_color() == right.lines[1].get_color() != right.lines[0].get_color()
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["1", "2", "4", "8"]


def test_stored_pictures_come_back_in_their_order(tmp_path):
    grey = torch.linspace(-1, 1, 6).reshape(6, 1, 1, 1).expand(6, 1, 8, 8)
    _write_picture(grey, picture("some plan", "a, b", tmp_path))
    found = stored("some plan", "a, b", tmp_path)
    assert found.shape == (6, 3, 8, 8)
    torch.testing.assert_close(found.mean((1, 2, 3)), grey[:, 0, 0, 0], atol=0.02, rtol=0)
    with pytest.raises(FileNotFoundError):
        stored("some plan", "c", tmp_path)
