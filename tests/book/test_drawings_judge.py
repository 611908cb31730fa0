"""The judge of drawings, on a small set that stands for OpenMoji, and on OpenMoji itself."""

import importlib.util

import little_emoji
import pytest
import torch

from book.ch05_7_real_drawings import measure_judge, measure_model
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
    found = measure_judge.disturbed(x)
    assert all(y.shape == x.shape and y.abs().max() <= 1 for y in found.values())
    white = torch.ones(1, 3, 64, 64)
    grey = white * 0.2
    assert torch.allclose(measure_judge.blurred(white, 2.0), white, atol=1e-5)
    assert torch.allclose(measure_judge.turned(grey, 60), grey, atol=1e-5)
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, 2, 2)
    blue = measure_judge.turned(red, 120)[0, :, 0, 0]
    assert torch.allclose(blue, torch.tensor([-1.0, 1.0, -1.0]))
    spot = white.clone()
    spot[:, :, 30, 30] = -1
    wide = 1 - measure_judge.blurred(spot, 1.5)[0, 0]
    rows = torch.arange(64.0) - 30
    assert float(wide.sum()) == pytest.approx(2, rel=1e-4)
    variance = float((wide.sum(1) * rows**2).sum() / wide.sum())
    assert variance == pytest.approx(1.5**2, rel=0.03)
    half = measure_judge.half_moved(spot)[0, 0, 30]
    assert half[30] == half[31] == 0 and half[29] == 1


def test_the_figures_name_the_command_and_every_disturbance(little, monkeypatch):
    said = []
    figures = measure_judge.measure_judge([3], little, said.append)
    assert figures["command"] == "python tools/experiments.py measure emoji-judge --seeds 3"
    assert {*figures["disturbed"]} == {*measure_judge.disturbed(little[[0]])} and len(said) == 11
    assert figures["disturbed"]["as they are"]["top_1"] == 1
    assert (figures["drawings"], figures["pictures"]) == (117, len(little.picture.unique()))


# --- the figures of a model -----------------------------------------------------------------------


class Painter:
    """A model that knows the drawings by heart: ``text_to_image`` returns what is asked for."""

    def __init__(self, source, answers=None):
        self.source, self.answers, self.asked = source, answers or {}, []
        config = AutoencoderConfig(image_channels=3, factor=8, patch=4, width=8, max_width=8)
        self.autoencoder = Autoencoder(config)

    def noise(self, count, seed):
        return torch.full((count, 1), float(seed))

    def text_to_image(self, prompts, *, steps, sampler, guidance, seed, z_T=None):
        self.asked.append((tuple(prompts), guidance, None if z_T is None else float(z_T[0])))
        return torch.stack([self.paint(text, guidance) for text in prompts])

    def paint(self, text, guidance):
        known = text in self.source.captions and guidance != 6.0
        i = self.source.captions.index(text) if known else 0
        return self.source[self.answers.get(i, i)]

    def encode(self, x):
        return x

    def decode(self, z):
        return z


def test_who_draws_what_is_asked_is_right_in_all_figures(little):
    painter, parts, said = Painter(little), splits(little), []
    found = measure_model.measure_emoji(painter, [3, 4], little, 20, said.append)
    assert found["command"] == "python tools/experiments.py measure emoji --seeds 3 4"
    assert len(said) == len(measure_model.SWEPT) + 4
    for name in ("training_captions", "held_out_combinations"):
        assert found[name]["top_1"] == {"mean": 1, "min": 1, "max": 1}
        assert [run["seed"] for run in found[name]["runs"]] == [3, 4]
        assert all(run["in_features"]["top_1"] == 1 for run in found[name]["runs"])
    assert found["training_captions"]["runs"][0]["pictures"] == 20
    assert found["training_captions"]["runs"][0]["copies"] == 1
    held = found["held_out_combinations"]["runs"][0]
    assert (held["pictures"], held["copies"]) == (len(parts.composition), 0)
    assert (held["role_right"], held["gender_right"], held["tones_right"]) == (1, 1, 1)
    assert found["reconstructions"]["in_pixels"]["top_1"] == 1
    assert found["guidance_on_validation"]["6.0"]["top_1"] == 0
    assert found["guidance_on_validation"]["2.0"]["top_1"] == 1
    validation = {little.captions[i] for i in parts.validation.tolist()}
    for texts, _, noise in painter.asked:  # what chooses is neither judged nor of the same noise
        assert (noise == 100) == ({*texts} <= validation)


def test_a_wrong_part_is_counted_as_that_part(little):
    gallery, parts = Gallery(little), splits(little)
    asked = torch.tensor([little.find("woman cook, dark skin tone")] * 3)
    shown = ["man cook, dark skin tone", "woman cook, light skin tone", "woman farmer"]
    x = little[[little.find(text) for text in shown]]
    found = measure_model.judged(gallery, x, asked, parts.train)
    assert found["role_right"] == pytest.approx(2 / 3)
    assert found["gender_right"] == pytest.approx(2 / 3)
    assert found["tones_right"] == pytest.approx(1 / 3)
    assert found["top_1"] == 0
    alike = little.find("cook")
    man = torch.tensor([little.find("man cook")])  # he is drawn as the person is
    assert measure_model.parts_right(little, man, torch.tensor([alike]))["gender_right"] == 1
    thing = torch.tensor([little.find("turkey")])
    assert measure_model.parts_right(little, thing, thing) == {}


def test_the_controls_use_the_training_alone(little):
    gallery, parts = Gallery(little), splits(little)
    found = measure_model.controls(gallery, parts.composition, parts.train)
    assert found["copier"]["top_1"] == 0 < found["copier"]["top_5"]
    assert found["copier"]["pictures"] == len(parts.composition)
    for i in parts.composition.tolist():
        who = little.spellings[i]
        for tone, other in measure_model.neighbours(little, i, parts.train).items():
            assert other in parts.train.tolist() and tone != who.tones[0]
            assert little.spellings[other] == who._replace(tones=(tone,))
    thing = little.find("turkey")
    assert measure_model.neighbours(little, thing, parts.train) == {}


def test_neighbours_are_the_next_tones_that_are_there(little):
    asked = little.find("woman cook, medium skin tone")
    shown = [f"woman cook, {tone} skin tone" for tone in ("light", "medium-light", "dark")]
    man = "man cook, medium-dark skin tone"
    train = torch.tensor([little.find(text) for text in [*shown, man]])
    found = measure_model.neighbours(little, asked, train)
    assert found == {"medium-light": int(train[1]), "dark": int(train[2])}
    assert measure_model.neighbours(little, asked, train[:2]) == {"medium-light": int(train[1])}


def test_the_repainter_paints_the_skin_and_nothing_else(little, monkeypatch):
    """The small set has colours of its own; with them known, the right drawing comes out."""
    light, dark = (colour.lstrip("#") for colour in (little_emoji.SKIN[1], little_emoji.SKIN[5]))
    monkeypatch.setitem(measure_model.SKIN, "light", light)
    monkeypatch.setitem(measure_model.SKIN, "dark", dark)
    of = {tone: little.find(f"woman cook, {tone} skin tone") for tone in ("light", "dark")}
    x = measure_model._repainted(little, of["dark"], {"light": of["light"]})
    assert (x - little[torch.tensor([of["dark"]])][0]).abs().max() < 0.02
    rgb = measure_model.colour("ff0080").flatten().tolist()
    assert rgb == pytest.approx([1, -1, 0.004], abs=1e-3)


def test_captions_are_spread_evenly():
    numbers = torch.arange(10) * 3
    assert measure_model.spread(numbers, 4).tolist() == [0, 6, 15, 21]
    assert measure_model.spread(numbers, 20).tolist() == numbers.tolist()


@real
@pytest.mark.slow
def test_openmoji_is_known_moved_blurred_noisy_and_recoloured():
    source = drawings(progress=False)
    gallery, asked = Gallery(source), torch.arange(0, len(source), 40)
    least = {
        "as they are": 1.0, "moved by a pixel": 1.0, "blurred, a pixel": 0.9, "noise of 0.3": 0.98,
        "hue turned by 10 degrees": 0.98,
    }  # fmt: skip
    shown = measure_judge.disturbed(source[asked])
    for name, share in least.items():
        found = rates(gallery.ranks(gallery.distances(shown[name]), asked), len(gallery))
        assert found["top_1"] >= share, name
    upside = gallery.ranks(gallery.distances(shown["upside down"]), asked)
    assert rates(upside, len(gallery))["top_1"] < 0.3
    assert averaged(source[asked[:2]]).shape == (2, 3072)
