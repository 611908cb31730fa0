"""The figures of chapter 7 show what they were given."""

import torch

from book.ch07_tools.figures import grids, habit


def test_grids_draw_every_stop_but_clean_data_from_noise_to_data():
    rows = {"a": torch.tensor([10, 4, 1, 0]), "b": torch.tensor([9, 2, 0])}
    (ax,) = grids(rows, 10).axes
    dots = [line for line in ax.lines if line.get_marker() not in ("None", "", None)]
    assert [list(line.get_xdata()) for line in dots] == [[10, 4, 1], [9, 2]]
    assert [set(line.get_ydata()) for line in dots] == [{0}, {-1}]
    assert sorted(text.get_text() for text in ax.texts) == ["1", "10", "2", "9"]
    assert ax.get_xlim()[0] > 10 > 0 > ax.get_xlim()[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_habit_rings_only_the_steps_at_which_both_agree():
    steps, right = [5, 10, 20], [0.4, 0.2, 0.1]
    (ax,) = habit(steps, right, [0.4, 0.3, 0.1005], ("rule", "habit"), "error").axes
    curves = {line.get_label(): line for line in ax.lines}
    assert list(curves["rule"].get_ydata()) == right
    assert list(curves["habit"].get_ydata()) == [0.4, 0.3, 0.1005]
    assert list(curves["both the same"].get_xdata()) == [5, 20]
    assert list(curves["both the same"].get_ydata()) == [0.4, 0.1]
