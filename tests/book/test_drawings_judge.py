"""The judge of drawings, on a small set that stands for OpenMoji, and on OpenMoji itself."""

import importlib.util

import little_emoji
import pytest
import torch

from book.ch05_7_real_drawings import measure
from book.ch05_7_real_drawings.judge import Gallery, averaged, latents_of, moved, rates
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.emoji.drawings import PACKAGES, drawings
from minildm.emoji.splits import splits

MISSING = [name for name, module in PACKAGES.items() if importlib.util.find_spec(module) is None]
real = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed: extra emoji")


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_emoji.rendered(tmp_path_factory.mktemp("little"))


def everyone(source):
    return torch.arange(len(source))


def test_each_drawing_is_known_by_each_of_its_names(little):
    gallery = Gallery(little)
    assert len(gallery) == len(little.picture.unique()) < len(little)
    distances = gallery.distances(little[everyone(little)])
    assert gallery.ranks(distances, everyone(little)).tolist() == [1] * len(little)
    assert torch.equal(gallery.nearest(distances), little.picture)


def test_a_pixel_off_is_the_same_drawing_and_no_further_than_said(little):
    x = moved(little[everyone(little)], 1, -1)
    strict, kind = Gallery(little, shift=0), Gallery(little, shift=1)
    own = kind.distances(x)[everyone(little), torch.searchsorted(kind.pictures, little.picture)]
    assert float(own.max()) < 0.05 < float(strict.distances(x).amin(1).max())
    assert (kind.ranks(kind.distances(x), everyone(little)) == 1).all()


def test_moved_is_to_where_it_says_and_white_comes_in():
    x = torch.full((1, 3, 6, 6), -1.0)
    out = moved(x, 2, -1)
    assert (out[:, :, :2] == 1).all() and (out[..., -1] == 1).all()
    assert (out[:, :, 2:, :-1] == -1).all()
    spot = torch.full((1, 3, 6, 6), 1.0)
    spot[:, :, 2, 3] = 0
    assert (moved(spot, -1, 2)[:, :, 1, 5] == 0).all()


def test_a_tie_counts_against_the_drawing(little):
    gallery = Gallery(little)
    blank = torch.zeros(2, len(gallery))
    assert gallery.ranks(blank, [0, 5]).tolist() == [len(gallery)] * 2
    nearer = blank.clone()
    nearer[0, int(torch.searchsorted(gallery.pictures, little.picture[5]))] = -1
    assert gallery.ranks(nearer, [5, 5]).tolist() == [1, len(gallery)]


def test_the_nearest_of_the_training_is_no_drawing_that_is_held_out(little):
    gallery, parts = Gallery(little), splits(little)
    distances = gallery.distances(little[parts.composition])
    near = gallery.nearest(distances, parts.train)
    assert not torch.isin(near, little.picture[parts.composition]).any()
    assert torch.isin(near, little.picture[parts.train]).all()
    assert torch.equal(gallery.nearest(distances), little.picture[parts.composition])


def test_rates_are_beside_chance():
    found = rates(torch.tensor([1, 1, 2, 5, 6, 900]), 1000)
    assert found["top_1"] == pytest.approx(2 / 6) and found["top_5"] == pytest.approx(4 / 6)
    assert (found["chance_top_1"], found["chance_top_5"]) == (0.001, 0.005)
    assert (found["pictures"], found["median_rank"]) == (6, 2)


def test_it_sees_through_the_latents_of_an_autoencoder(little):
    torch.manual_seed(0)
    config = AutoencoderConfig(image_channels=3, factor=8, patch=4, width=8, max_width=8)
    gallery = Gallery(little, latents_of(Autoencoder(config)), shift=0)
    assert gallery.seen.shape == (len(gallery), 4 * 8 * 8)
    few = everyone(little)[::7]
    assert (gallery.ranks(gallery.distances(little[few]), few) == 1).all()


def test_what_is_no_picture_is_refused(little):
    gallery = Gallery(little)
    with pytest.raises(ValueError, match="x must be"):
        gallery.distances(torch.zeros(1, 3, 32, 32) - 0.1)
    with pytest.raises(ValueError, match="NaN"):
        gallery.distances(torch.full((1, 3, 64, 64), float("nan")))
    with pytest.raises(ValueError, match="shift must be"):
        Gallery(little, shift=-1)


def test_disturbances_do_what_they_say(little):
    x = little[everyone(little)[:9]]
    found = measure.disturbed(x)
    assert all(y.shape == x.shape and y.abs().max() <= 1 for y in found.values())
    white = torch.ones(1, 3, 64, 64)
    grey = white * 0.2
    assert torch.allclose(measure.blurred(white, 2.0), white, atol=1e-5)
    assert torch.allclose(measure.turned(grey, 60), grey, atol=1e-5)
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, 2, 2)
    assert torch.allclose(measure.turned(red, 120)[0, :, 0, 0], torch.tensor([-1.0, 1.0, -1.0]))
    spot = white.clone()
    spot[:, :, 30, 30] = -1
    wide = 1 - measure.blurred(spot, 1.5)[0, 0]
    rows = torch.arange(64.0) - 30
    assert float(wide.sum()) == pytest.approx(2, rel=1e-4)
    variance = float((wide.sum(1) * rows**2).sum() / wide.sum())
    assert variance == pytest.approx(1.5**2, rel=0.03)
    half = measure.half_moved(spot)[0, 0, 30]
    assert half[30] == half[31] == 0 and half[29] == 1


def test_the_figures_name_the_command_and_every_disturbance(little, monkeypatch):
    said = []
    figures = measure.measure_judge([3], little, said.append)
    assert figures["command"] == "python tools/experiments.py measure emoji-judge --seeds 3"
    assert {*figures["disturbed"]} == {*measure.disturbed(little[[0]])} and len(said) == 11
    assert figures["disturbed"]["as they are"]["top_1"] == 1
    assert (figures["drawings"], figures["pictures"]) == (117, len(little.picture.unique()))


@real
@pytest.mark.slow
def test_openmoji_is_known_moved_blurred_noisy_and_recoloured():
    source = drawings(progress=False)
    gallery, asked = Gallery(source), torch.arange(0, len(source), 40)
    least = {
        "as they are": 1.0, "moved by a pixel": 1.0, "blurred, a pixel": 0.9, "noise of 0.3": 0.98,
        "hue turned by 10 degrees": 0.98,
    }  # fmt: skip
    shown = measure.disturbed(source[asked])
    for name, share in least.items():
        found = rates(gallery.ranks(gallery.distances(shown[name]), asked), len(gallery))
        assert found["top_1"] >= share, name
    upside = gallery.ranks(gallery.distances(shown["upside down"]), asked)
    assert rates(upside, len(gallery))["top_1"] < 0.3
    assert averaged(source[asked[:2]]).shape == (2, 3072)
