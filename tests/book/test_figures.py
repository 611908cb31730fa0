"""Every figure shows what it is given: read back from what is drawn, never from pixels."""

import importlib
import inspect
import io

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from book import figures
from book.ablations.engine import _write_picture, picture
from book.ch00_start import figures as start
from book.ch01_background import figures as background
from book.ch01_background.timeline import TIMELINE
from book.ch02_concepts import figures as concepts
from book.ch03_algorithm import figures as algorithm
from book.ch04_3_gaussian.gaussian_case import normal
from book.ch05_1_autoencoder import figures as latents
from book.ch05_2_unet import figures as unet
from book.ch05_2_unet.inside import Line
from book.ch05_4_sampling import figures as sampling
from book.ch05_6_gpu import figures as gpu
from book.ch07_6_stable_diffusion import figures as stable
from book.ch07_6_stable_diffusion.tour import Share
from book.ch07_tools import figures as tools
from book.ch08_outlook import figures as outlook
from book.ch09_1_museum import figures as museum
from book.display import pixels, png
from minildm.latent import LatentDiffusion
from minildm.shapes.captions import captions
from minildm.shapes.scenes import render

MODULES = (
    start, background, concepts, algorithm, latents, unet, sampling, gpu, tools, outlook, museum,
    stable,
)  # fmt: skip
A, B = normal([1, 2], [[1.0, 0.6], [0.6, 2.0]]), normal([0, 0], [[1, 0], [0, 1]])
POINTS = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
STEPS, ERRORS = [10, 20, 40], [1.0, 0.5, 0.25]
X = torch.linspace(-1, 1, 6).reshape(6, 1, 1, 1).expand(6, 3, 8, 8)  # from black to white
LONG = torch.tensor([-1.0, 1.0]).repeat_interleave(16)[:, None].expand(3, 32, 8)  # two bands
PARTS = ("picture", "round trip", "latent", "noisy", "estimate", "noise", "half way", "end", "made")
QUANTILES = [-0.9, -0.8, -0.4, 0.0, 0.4, 0.8, 0.9]


def joint(low, mean, high):
    return {"min": low, "mean": mean, "max": high}


def point(n, j, distance):
    return {"evaluations": n, "joint": j, "distance": distance}


MEASURED = {
    "samplers": {
        "ddim": [point(2, joint(0.2, 0.3, 0.4), 0.5), point(4, joint(0.5, 0.6, 0.9), 0.1)],
        "heun": [point(3, joint(0.1, 0.2, 0.3), 0.4)],
    },
    "reference": {"another_noise": 1.4},
}
WALKS = (["a", "b"], [POINTS, POINTS + 1], (torch.tensor([1.0, 2.0]), torch.eye(2)), X[:2])

SIZES = 2.0 ** (np.arange(-40, 2) + 0.5)  # between powers of two
SHARES = np.select([np.arange(-40, 2) == -20, np.arange(-40, 2) == -10], [0.75, 0.25])
# function -> (its figure, curves or points (n, 2) that it must show, texts that it must hold)
DRAWN = {
    figures.lines: (
        lambda: figures.lines(STEPS, {"a": ERRORS, "b": ([0, 5], [2, 3])}, "step", "value",
                              marks={"here": 15}),
        [(STEPS, ERRORS), ([0, 5], [2, 3])], {"a", "b", "step", "value", "here"},
    ),
    figures.bands: (
        lambda: figures.bands({"share": {"a": ([1, 2, 4], [[1, 2, 8], [3, 4, 4]])},
                               "error": {"b": ([2, 8], [[1, 10]])}}, "calls", log="x"),
        [([1, 2, 4], [2, 3, 6]), ([2, 8], [1, 10])], {"share", "error", "calls", "1", "8"},
    ),
    figures.convergence: (
        lambda: figures.convergence({"one": {"a": (STEPS, ERRORS)}, "two": {"b": (STEPS, ERRORS)}},
                                    slopes={"two": [(2, 10, 40, 0.8)]}),
        [(STEPS, ERRORS), ([10, 40], [0.8, 0.8 / 16])], {"one", "two", "a", "b", "order 2", "20"},
    ),
    figures.seeds: (
        lambda: figures.seeds({"base": [0.2, 0.4], "other": [0.9]}, "right", marks={"luck": 0.1}),
        [([0.2, 0.4], [0, 0]), ([0.9], [1])], {"base", "other", "30%", "90%", "luck", "right"},
    ),
    figures.bars: (
        lambda: figures.bars({"a": 0.25, "b": 0.5}, {"a": (0.1, 0.4)}, "share"),
        [([0.1, 0.4], [0, 0])], {"a", "b", "25%", "50%", "share"},
    ),
    figures.clouds: (
        lambda: figures.clouds({"one": (POINTS, A), "two": (None, B)}, truth=A, points=20),
        [POINTS[:20].T, figures.ellipse(*A).T, figures.ellipse(*B).T], {"one", "two", "formula"},
    ),
    figures.mosaic: (lambda: figures.mosaic(X, 3, ["top", "low"], list("abc")), [],
                     {"top", "low", "a", "b", "c"}),
    figures.grid: (lambda: figures.grid(X, 3, rows=["top", "low"]), [], {"top", "low"}),
    figures.captioned: (lambda: figures.captioned(X[:2], ["red", "blue"], 2), [], {"red", "blue"}),
    start.two_walks: (lambda: start.two_walks(*WALKS), [POINTS.T, POINTS.T + 1], {"a", "b"}),
    start.chart: (start.chart, [], {"0", "9.1", "■ code"}),
    background.sample_panels: (
        lambda: background.sample_panels({"GAN": background.DATA[1].double() + 0.01}),
        [background.DATA[1].T + 0.01], {"GAN", "100% near a mode"},
    ),
    background.tuning_plane: (
        lambda: background.tuning_plane({"GAN": {"x": [{"effective modes": 3, "near a mode": 1}]}}),
        [([3], [1])], {"GAN", "the data"},
    ),
    background.quality_by_evaluations: (
        lambda: background.quality_by_evaluations({1: [0.1], 5: [0.4, 0.6]}, {"GAN": [0.9]}, "ok"),
        [([1, 5], [0.1, 0.5]), ([1], [0.9])], {"GAN", "diffusion", "ok", "5"},
    ),
    background.draw_timeline: (
        background.draw_timeline,
        [([w.year + (w.month - 0.5) / 12], [i]) for i, w in enumerate(TIMELINE)],
        {f"{w.name}: {w.idea}" for w in TIMELINE},
    ),
    concepts.drawn_to_size: (
        lambda: concepts.drawn_to_size(torch.zeros(3, 64, 64), torch.zeros(4, 8, 8)), [],
        {"picture: 12,288 numbers", "latent: 256 numbers", "channel 3"},
    ),
    concepts.milestones: (
        lambda: concepts.milestones({"a": {"x": 900, "y": 400}, "b": {"x": 800, "y": 300}}, "t",
                                    (1000, 0)),
        [([900, 400], [0, 1]), ([800, 300], [0, 1])], {"a", "b", "x", "y", "t"},
    ),
    concepts.what_is_left: (
        lambda: concepts.what_is_left([0, 9], {"a": [1, 0.1], "b": [1, 0.2]}, [0, 0.7]),
        [([0, 9], [1, 0.1]), ([0, 9], [1, 0.2]), ([0, 9], [0, 0.7])], {"a", "b"},
    ),
    concepts.unet_sketch: (lambda: concepts.unet_sketch((9, 5), "label"), [],
                           {"look, at\n9 × 9 places", "look, at\n5 × 5 places",
                            "each part is told the level $t$ and the label"}),
    concepts.concept_map: (lambda: concepts.concept_map(dict.fromkeys(PARTS, X[0])), [],
                           set("12345") | set(concepts.CONCEPTS.values())),
    algorithm.map_of_digits: (lambda: algorithm.map_of_digits(LatentDiffusion.load("digits")), [],
                              {"UNet, told\n$t$ and label", "C  Make a picture"}),
    algorithm.quality_by_steps: (
        lambda: algorithm.quality_by_steps({"a": ([1, 4], [0.2, 0.9])}),
        [([1, 4], [0.2, 0.9])], {"a", "1", "4", "sampling steps"},
    ),
    unet.listening: (
        lambda: unet.listening(X[0], torch.rand(1, 2, 4, 4), [(1, 3)], ["a", "b"]),
        [([6.5], [2.5]), ([3], [1])], {"listener", "a", "b"},
    ),
    unet.receptive: (
        lambda: unet.receptive({"one": torch.rand(4, 4), "two": torch.rand(4, 4)}, (1, 3)),
        [([3], [1]), ([3], [1])], {"one", "two"},
    ),
    unet.over_time: (
        lambda: unet.over_time({"gain": (torch.rand(5, 3), "channel", 3, 0.5),
                                "like": (torch.rand(5, 5), "t'", 1000, None)}),
        [], {"gain", "like", "channel", "t", "t'"},
    ),
    unet.matrix: (
        lambda: unet.matrix(torch.tensor([[1.0, 2.25]]), [20], [30, 40], "true", "told", "error"),
        [], {"1.0", "2.2", "20", "40", "true", "told", "error"},
    ),
    unet.shares: (
        lambda: unet.shares([Line("p", "Conv2d", (), (), 30, 10),
                             Line("q", "Conv2d", (), (), 10, 90)]),
        [], {"p (Conv2d)", "q (Conv2d)", "parameters", "operations"},
    ),
    sampling.end_map: (
        lambda: sampling.end_map(POINTS[:, :1], {"4": {"ddim": POINTS[:, 1:]}}, POINTS[:, :1] + 2),
        [POINTS.T, (POINTS[:, 0], POINTS[:, 0] + 2)], {"4", "DDIM", "exact"},
    ),
    sampling.errors_by_evaluations: (
        lambda: sampling.errors_by_evaluations({"off": {"heun": (STEPS, ERRORS)}}, {"off": 0.3}),
        [(STEPS, ERRORS)], {"off", "Heun", "the denoiser's own error"},
    ),
    sampling.accuracy_and_distance: (
        lambda: sampling.accuracy_and_distance(MEASURED | {"samplers": {
            "ddpm": MEASURED["samplers"]["ddim"], **MEASURED["samplers"]}}),
        [([2, 4], [0.7, 0.4]), ([2, 4], [0.5, 0.1]), ([3], [0.8])], {"DDPM", "DDIM", "Heun", "3"},
    ),
    sampling.settled_curves: (
        lambda: sampling.settled_curves({"seen": ([900, 100], {"colour": [0.2, 0.7]})}),
        [([900, 100], [0.2, 0.7])], {"seen", "colour"},
    ),
    gpu.gradient_sizes: (
        lambda: gpu.gradient_sizes(torch.tensor([2.0**-20, 2.0**-20, 2.0**-20, 2.0**-10]), 4),
        [(SIZES, SHARES), (4 * SIZES, SHARES)],
        {"gradients of activations", "times 4", "infinite →"},
    ),
    gpu.stacked: (
        lambda: gpu.stacked({"a": {"x": 1.0, "y": 3.0}, "b": {"y": 2.0}}, "MB", form=".1f"),
        [], {"a", "b", "x", "y", "4.0", "2.0", "MB"},
    ),
    tools.grids: (
        lambda: tools.grids({"a": torch.tensor([10, 4, 1, 0]), "b": torch.tensor([9, 2, 0])}, 10),
        [([10, 4, 1], [0, 0, 0]), ([9, 2], [-1, -1])], {"a", "b", "10", "1", "9", "2"},
    ),
    tools.rule_and_habit: (
        lambda: tools.rule_and_habit([5, 10, 20], [0.4, 0.2, 0.1], [0.4, 0.3, 0.1005],
                                     ("rule", "habit"), "error"),
        [([5, 10, 20], [0.4, 0.2, 0.1]), ([5, 20], [0.4, 0.1])], {"rule", "habit", "error", "10"},
    ),
    stable.where: (
        lambda: stable.where({(8, "residual"): Share(3_000_000, 10**9),
                              (4, "feed-forward"): Share(1_000_000, 3 * 10**9)}),
        [], {"8 × 8", "4 × 4", "75%", "25%", "residual"},
    ),
    stable.sizes_on_the_way: (
        lambda: stable.sizes_on_the_way({"quiet": [1.0, 2.0], "loud": [1e5, 2e5]}, ["a", "b"]),
        [([0, 1], [1.0, 2.0]), ([0, 1], [1e5, 2e5])], {"quiet", "loud", "a", "b"},
    ),
    stable.tiles: (
        lambda: stable.tiles(LONG, -LONG, 4), [([-1, 1], [8, 24]), ([1, -1], [8, 24])],
        {"at once", "in tiles of 4", "row", "mean red of the rows"},
    ),
    outlook.brightness_rows: (
        lambda: outlook.brightness_rows({"a": [QUANTILES], "b": [QUANTILES]}, QUANTILES),
        [([-0.4, 0.4], [0, 0]), ([-0.9, 0.9], [2, 2])], {"the data", "a", "b"},
    ),
    latents.reach: (
        lambda: latents.reach(torch.rand(16, 16) + 0.01, (1, 2)), [],
        {"one place of the latent nudged (red)", "change, as a share of the largest"},
    ),
    museum.strips: (
        lambda: museum.strips({"right": X, "planted": X}, 0.4), [], {"right", "planted"},
    ),
}  # fmt: skip
each = pytest.mark.parametrize("function", DRAWN, ids=lambda f: f"{f.__module__}.{f.__name__}")


def shown(fig: Figure) -> list[np.ndarray]:
    """All lines and clouds of a figure, each (n, 2)."""
    found = [line.get_xydata() for ax in fig.axes for line in ax.lines]
    return found + [np.asarray(c.get_offsets()) for ax in fig.axes for c in ax.collections]


def said(fig: Figure) -> set[str]:
    """All texts of a figure."""
    fig.canvas.draw()
    return {t.get_text() for t in fig.findobj(lambda a: hasattr(a, "get_text"))}


@each
def test_a_figure_shows_what_it_is_given_and_leaves_nothing_in_pyplot(function):
    make, given, texts = DRAWN[function]
    before = plt.get_fignums()
    fig = make()
    assert isinstance(fig, Figure) and plt.get_fignums() == before
    there = shown(fig)
    for x, y in given:
        wanted = np.stack([np.asarray(x, float), np.asarray(y, float)], axis=1)
        assert any(d.shape == wanted.shape and np.allclose(d, wanted) for d in there), wanted
    assert texts <= said(fig), texts - said(fig)


def test_no_figure_is_forgotten():
    for module in (figures, *MODULES):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__
            if own and inspect.signature(function).return_annotation is Figure:
                assert function in DRAWN, f"{module.__name__}.{name}"


def test_what_makes_no_sense_is_refused():
    for words, call in {
        "at least one panel": lambda: figures.clouds({}),
        "2 values for 3 places": lambda: figures.bands({"y": {"a": (STEPS, [[1, 2]])}}, "x"),
        "one caption per image": lambda: figures.captioned(X, ["red"], 2),
        "1 or 3, H, W": lambda: figures.mosaic(X[:, :2], 2),
        "at least one bar": lambda: gpu.stacked({}, "MB"),
        "parts of 'a'": lambda: gpu.stacked({"a": {"x": -1.0, "y": 3.0}}, "MB"),
        "'b' must have the things": lambda: concepts.milestones({"a": {"x": 1}, "b": {}}, "t",
                                                                   (1, 0)),
        "pictures lack made": lambda: concepts.concept_map(dict.fromkeys(PARTS[:-1], X[0])),
        "give as many": lambda: start.two_walks(["a"], *WALKS[1:]),
        r"\(1, 2, h, w\)": lambda: unet.listening(X[0], torch.rand(2, 1, 4, 4), [(1, 3)],
                                                  ["a", "b"]),
        "c >= 3": lambda: concepts.in_colours(torch.zeros(1, 2, 1, 1)),
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()


# --- the style ------------------------------------------------------------------------------------


def test_axes_are_one_a_row_or_a_block_with_a_grid_unless_they_are_for_images():
    fig, ax = figures.axes(height=2.0)
    assert fig.get_size_inches().tolist() == [figures.WIDTH, 2.0]
    assert not ax.spines["top"].get_visible() and ax.xaxis.get_gridlines()[0].get_visible()
    _, row = figures.axes(3)
    _, block = figures.axes(3, 2, grid="", sharey=True)
    assert (row.shape, block.shape) == ((3,), (2, 3))
    assert block[0, 0].spines["top"].get_visible()
    assert not block[0, 0].xaxis.get_gridlines()[0].get_visible()


def test_colours_stay_apart_without_colour_vision():
    """Lightness differs, or hue on the blue-yellow axis: deuteranopia keeps (R + G) / 2 and B."""
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in figures.COLOURS]) / 255
    seen = np.stack([rgb[:, :2] @ [0.37, 0.63], rgb[:, 2]], axis=1)
    distance = np.linalg.norm(seen[:, None] - seen, axis=-1)
    assert distance[~np.eye(len(rgb), dtype=bool)].min() > 0.13
    looks = [figures.look(k) for k in range(7)]
    assert all(len({str(look[key]) for look in looks}) == 7 for key in looks[0])
    assert figures.look(8) == looks[1]


def test_a_name_looks_the_same_in_every_panel_and_a_band_reaches_over_its_seeds():
    values = [[1.0, 2.0], [3.0, 4.0]]
    fig = figures.bands({"l": {"a": ([1, 2], values)}, "r": {"b": ([1, 2], values),
                         "a": ([1, 2], values)}}, "x", log="y")  # fmt: skip
    left, right = fig.axes
    assert left.lines[0].get_color() == right.lines[1].get_color() != right.lines[0].get_color()
    corners = left.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} == {(1, 1), (1, 3), (2, 2), (2, 4)}
    assert (left.get_yscale(), left.get_xscale()) == ("log", "linear")


def test_an_ellipse_lies_two_standard_deviations_from_the_mean():
    away = torch.from_numpy(figures.ellipse(*A)) - A.mean
    mahalanobis = torch.einsum("ni,ij,nj->n", away, torch.linalg.inv(A.cov), away).sqrt()
    torch.testing.assert_close(mahalanobis, torch.full_like(mahalanobis, 2.0))
    assert np.ptp(np.arctan2(*away.T.numpy())) > 6  # all the way round
    line = figures.ellipse([0, 0], [[1, 1], [1, 1]])  # singular: a segment
    np.testing.assert_allclose(line[:, 0], line[:, 1], atol=1e-12)


# --- images and bars ------------------------------------------------------------------------------


def test_images_stand_row_by_row_from_black_to_white():
    for make, off in ((figures.mosaic, 1e-6), (figures.grid, 0.021)):
        block = make(X, 3).axes[0].images[0].get_array()
        assert block.shape == (20, 30, 3)
        middles = [block[5 + 10 * i, 5 + 10 * j, 0] for i in range(2) for j in range(3)]
        np.testing.assert_allclose(middles, np.linspace(0, 1, 6), atol=off)
    fig = figures.captioned(X[:2], ["a", "b"], 2)
    assert [float(ax.images[0].get_array()[0, 0, 0]) for ax in fig.axes] == pytest.approx([0, 0.2])
    assert figures.in_rgb(torch.tensor([[[-3.0, 3.0]]])).tolist() == [[[0, 0, 0], [1, 1, 1]]]


def test_zoomed_images_are_drawn_to_the_dot():
    """In the PNG that ``show`` stores, each pixel is a square of 2 x 2 dots of exactly its grey."""
    x = torch.rand(6, 1, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for titles in ((), list("abc")):
        fig = figures.mosaic(x, 3, ["top", "the lower row"], titles, zoom=2)
        drawn = np.asarray(Image.open(io.BytesIO(png(fig))).convert("RGB"))[..., 0].astype(int)
        wanted = pixels(x, 3)[..., 0].repeat(2, 0).repeat(2, 1).astype(int)  # (44, 54)
        top, left = (25 if titles else 0) + 10, drawn.shape[1] - 10 - wanted.shape[1]
        found = drawn[top : top + 44, left : left + 54]
        assert abs(found - wanted).max() <= 1  # 0 to 255, rounded twice


def test_parts_of_a_bar_lie_behind_one_another_and_shares_make_one_length():
    rows = {"a": {"x": 1.0, "y": 3.0}, "b": {"y": 2.0}}
    bars = gpu.stacked(rows, "MB").axes[0].patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(0, 1), (1, 3), (0, 2)]
    colours = [bar.get_facecolor() for bar in bars]
    assert colours[1] == colours[2] != colours[0]
    bars = gpu.stacked(rows, "share", share=True).axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.25, 0.75, 1.0]


def test_shares_of_a_network_are_percent_of_the_whole():
    groups = DRAWN[unet.shares][0]().axes[0].containers
    assert [[bar.get_width() for bar in group] for group in groups] == [[75, 25], [10, 90]]


def test_numbers_are_drawn_to_scale():
    fig = DRAWN[concepts.drawn_to_size][0]()
    picture, small, large = (ax.get_position().width for ax in fig.axes[:3])
    assert picture / 64 == pytest.approx(small / 8) and large > 2 * small


def test_latents_and_errors_as_pictures():
    z = torch.tensor([[[[3.0]], [[-6.0]], [[0.0]], [[9.0]]]])
    assert concepts.in_colours(z).flatten().tolist() == [1, -1, 0]
    x = torch.zeros(1, 3, 1, 2)
    y = x.clone()
    y[0, :, 0, 1] = torch.tensor([-0.5, 0.25, 0.0])
    found = concepts.error_map(y, x, gain=4)
    assert found[0, :, 0].tolist() == [[1, 0]] * 3  # white; 1 - 4 · 0.25


def test_stored_pictures_come_back_in_their_order(tmp_path):
    _write_picture(X, picture("some plan", "a, b", tmp_path))
    found = outlook.stored("some plan", "a, b", tmp_path)
    torch.testing.assert_close(found, X, atol=0.02, rtol=0)
    with pytest.raises(FileNotFoundError):
        outlook.stored("some plan", "c", tmp_path)


def test_the_names_that_every_chapter_uses_are_taken_from_where_they_live():
    import book

    for name in book.__all__:
        home = importlib.import_module(f"book.{book._HOMES[name]}")
        assert getattr(book, name) is getattr(home, name) and name in dir(book)
    with pytest.raises(AttributeError, match="has no attribute 'draw'"):
        _ = book.draw


def test_pictures_are_put_into_words_by_the_judge():
    rows = torch.tensor([[1, 0, 0, 1, 2, 3, 1, 0, 4, 1], [0, 1, 1, 0, 5, 2, 0, 1, 0, 5]])
    places = torch.tensor([[[32, 16], [32, 48]], [[16, 32], [48, 32]]])
    x = torch.cat([render(rows, places), torch.zeros(1, 3, 64, 64)])
    assert figures.in_words(x) == [
        *captions(rows, torch.tensor([False, False])), "no clear picture of two objects",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="x must"):
        figures.in_words(torch.zeros(1, 1, 28, 28))
