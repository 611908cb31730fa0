"""Figures show the numbers they were given: read back from the artists, never from pixels."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from book import display
from book import figures as plots
from book.ch04_3_gaussian.gaussian_case import normal, standard_normal

A, B = normal([1, 2], [[1.0, 0.6], [0.6, 2.0]]), normal([0, 0], [[1, 0], [0, 1]])
POINTS = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()


def labelled(ax) -> dict:
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def legend(owner) -> list[str]:
    return [text.get_text() for text in owner.get_texts()]


def test_ellipse_lies_two_standard_deviations_from_the_mean():
    curve = plots.ellipse(A.mean, A.cov)
    away = torch.from_numpy(curve) - A.mean
    mahalanobis = torch.einsum("ni,ij,nj->n", away, torch.linalg.inv(A.cov), away).sqrt()
    torch.testing.assert_close(mahalanobis, torch.full_like(mahalanobis, 2.0))
    assert np.ptp(np.arctan2(*away.T.numpy())) > 6  # all the way round


def test_ellipse_of_a_line_is_a_segment():
    curve = plots.ellipse([0, 0], [[1, 1], [1, 1]])
    np.testing.assert_allclose(curve[:, 0], curve[:, 1], atol=1e-12)
    assert curve.max() == pytest.approx(2.0)  # 2 sigma of each coordinate


def test_clouds():
    panels = {"one": (POINTS, A), "two": (None, B), "three": (POINTS[:5], None)}
    fig = plots.clouds(panels, truth=A, columns=2, points=20)
    assert [ax.get_title() for ax in fig.axes] == list(panels)
    drawn = [ax.collections[0].get_offsets() if ax.collections else None for ax in fig.axes]
    np.testing.assert_allclose(drawn[0], POINTS[:20])
    assert drawn[1] is None
    first, second, third = (labelled(ax) for ax in fig.axes)
    np.testing.assert_allclose(first["formula"].get_xydata(), plots.ellipse(*A))
    np.testing.assert_allclose(second["formula"].get_xydata(), plots.ellipse(*B))
    np.testing.assert_allclose(second["data"].get_xydata(), plots.ellipse(*A))
    assert "formula" not in third
    assert legend(fig.legends[0]) == ["data", "formula"]  # once, not per panel
    assert len({ax.get_xlim() for ax in fig.axes}) == 1


def test_clouds_without_panels():
    with pytest.raises(ValueError, match="at least one panel"):
        plots.clouds({})


def test_ellipses_differ_in_colour_and_dash():
    fig = plots.ellipses({"panel": {"a": A, "b": B}}, truth=A)
    a, b = (labelled(fig.axes[0])[name] for name in "ab")
    np.testing.assert_allclose(b.get_xydata(), plots.ellipse(*B))
    assert a.get_color() != b.get_color()
    assert a.get_linestyle() != b.get_linestyle()


def test_paths_start_open_and_end_filled():
    z = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(1))
    ax = plots.paths({"panel": z}, truth=A, start=standard_normal(2)).axes[0]
    wanted = z[:, 1].numpy()
    assert any(len(p.get_xydata()) == 6 and np.allclose(p.get_xydata(), wanted) for p in ax.lines)
    dots = {tuple(p.get_xydata()[0]): p for p in ax.lines if len(p.get_xydata()) == 1}
    begin, end = (dots[tuple(z[i, 1].double().tolist())] for i in (0, -1))
    assert begin.get_markerfacecolor() == "white"
    assert end.get_markerfacecolor() != "white"


def test_lines():
    curves = {"a": [1.0, 0.5, 0.1], "b": ([0, 5], [2.0, 3.0])}
    fig = plots.lines([0, 1, 2], curves, "step", "value", marks={"here": 1.5}, log="y")
    ax = fig.axes[0]
    drawn = labelled(ax)
    np.testing.assert_allclose(drawn["a"].get_xydata(), [[0, 1.0], [1, 0.5], [2, 0.1]])
    np.testing.assert_allclose(drawn["b"].get_xydata(), [[0, 2.0], [5, 3.0]])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "value", "log")
    assert ax.get_xscale() == "linear"
    (mark,) = [t for t in ax.texts if t.get_text() == "here"]
    assert mark.xy[0] == 1.5
    assert any(np.allclose(line.get_xdata(), 1.5) for line in ax.lines)


def test_convergence_keeps_colours_and_draws_true_slopes():
    steps, errors = [10, 20, 40], [1.0, 0.5, 0.25]
    panels = {"left": {"a": (steps, errors), "b": (steps, errors)}, "right": {"b": (steps, errors)}}
    fig = plots.convergence(panels, slopes={"right": [(2, 10, 40, 0.8)]})
    left, right = fig.axes
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(labelled(left)["a"].get_xydata(), np.transpose([steps, errors]))
    assert labelled(left)["b"].get_color() == labelled(right)["b"].get_color()
    assert labelled(left)["a"].get_color() != labelled(left)["b"].get_color()
    (line,) = [p for p in right.lines if p.get_label().startswith("_")]
    np.testing.assert_allclose(line.get_xydata(), [[10, 0.8], [40, 0.8 / 16]])
    assert [t.get_text() for t in right.texts] == ["order 2"]
    assert [t.get_text() for t in left.get_xticklabels()] == ["10", "20"]


def test_image_grid_maps_low_to_black_and_high_to_white():
    grey = torch.tensor([[-1.0, 1.0], [0.0, 3.0]]).repeat(2, 1, 1, 1)  # (2, 1, 2, 2)
    colour = torch.zeros(1, 3, 2, 2)
    colour[:, 0] = 1.0
    fig = plots.image_grid({"grey": grey, "colour": colour})
    shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert len(shown) == 3
    np.testing.assert_allclose(shown[0], [[0.0, 1.0], [0.5, 1.0]])  # clipped, not wrapped
    np.testing.assert_allclose(shown[2][0, 0], [1.0, 0.5, 0.5])  # (H, W, RGB)
    assert fig.axes[0].images[0].get_clim() == (0, 1)
    labels = [t.get_text() for ax in fig.axes for t in ax.texts]
    assert labels == ["grey", "colour"]


def test_nothing_is_left_in_pyplot_and_inputs_are_not_changed():
    before, z = plt.get_fignums(), POINTS.clone()
    figures = [
        plots.clouds({"a": (z, A)}),
        plots.ellipses({"a": {"b": B}}, A),
        plots.lines([0, 1], {"a": [0, 1]}, "x", "y"),
    ]
    assert all(isinstance(fig, Figure) for fig in figures)
    assert plt.get_fignums() == before
    torch.testing.assert_close(z, POINTS)
    assert plots.show is display.show


def test_colours_stay_apart_without_colour_vision():
    """Lightness differs, or hue on the blue-yellow axis: deuteranopia keeps (R + G) / 2 and B."""
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in plots.COLOURS]) / 255
    seen = np.stack([rgb[:, :2] @ [0.37, 0.63], rgb[:, 2]], axis=1)
    distance = np.linalg.norm(seen[:, None] - seen, axis=-1)
    assert distance[~np.eye(len(rgb), dtype=bool)].min() > 0.13
    assert len({str(d) for d in plots.DASHES}) == len(plots.COLOURS) == len(set(plots.MARKERS))
