"""What chapter 2 measures: the walk at every corner of its sliders, random latents, bands."""

import ast
import itertools
import json

import jupytext
import pytest
import torch
from book_rules import SOURCES

from book.ch02_concepts.reading import VALUES, beyond_guessing, reading, shown_from
from book.ch02_concepts.walk import (
    PAIRS,
    lead_back,
    random_latents,
    scene_pair,
    share_band,
    walk_stop,
)
from book.ch02_concepts.walk_widget import LatentWalk, panel_images, panel_words
from minildm.latent import LatentDiffusion
from minildm.noise import keyed_normal
from minildm.process import diffuse
from minildm.samplers import dpmpp_2m, sample
from minildm.shapes.judge import judge, lower_bound


@pytest.fixture(scope="module")
def model():
    return LatentDiffusion.load("shapes")


# --- the walk -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "u", "back"), [*itertools.product(PAIRS, (0.0, 0.5, 1.0), (0.0, 0.05, 0.5, 1.0))]
)
def test_every_corner_of_the_sliders(model, name, u, back):
    stop = walk_stop(model, scene_pair(name), u, back)
    images = panel_images(stop)
    assert images.shape == (4, 3, 64, 64)
    assert images.isfinite().all()
    assert images.abs().max() <= 1
    assert len(panel_words(stop)) == 4
    if back < 0.05:
        assert torch.equal(stop.led_back, stop.decoded)


@pytest.mark.parametrize("name", PAIRS)
def test_the_ends_are_the_pictures(model, name):
    pair = scene_pair(name)
    wanted = judge(pair)
    assert wanted.accepted.all()
    for u in (0, 1):
        stop = walk_stop(model, pair, u)
        assert torch.equal(stop.pixels, pair[u])
        assert stop.accepted == (True, True, True)
        assert torch.equal(judge(stop.decoded[None]).rows[0], wanted.rows[u])


def test_the_words_are_the_judge_s(model):
    stop = walk_stop(model, scene_pair("everything differs"), 0.3)
    assert stop.accepted[:2] == (False, True)  # pixels no longer, latents still
    words = panel_words(stop)
    assert words[0] == "pixels mixed: no scene"
    assert words[2].endswith("a scene")
    # the picture that is called "decoded" is that of the latent shown beside it
    torch.testing.assert_close(model.decode(stop.latent[None])[0], stop.decoded)


def test_each_verdict_belongs_to_its_picture(model):
    """Half way is no scene, but with noise up to T and back there is one (with this seed)."""
    stop = walk_stop(model, scene_pair("everything differs"), 0.5, back=1.0, seed=2)
    own = judge(torch.stack([stop.pixels, stop.decoded, stop.led_back])).accepted.tolist()
    assert own == [False, False, True]  # or the next line could not fail
    assert list(stop.accepted) == own


def test_the_panel_shows_every_channel_in_its_corner(model):
    stop = walk_stop(model, scene_pair("another place"), 0.5)
    shown = panel_images(stop)[1]
    for k, (row, column) in enumerate(itertools.product((0, 32), (0, 32))):
        corner = shown[0, row : row + 32 : 4, column : column + 32 : 4]
        torch.testing.assert_close(corner, (stop.latent[k] / 3).clamp(-1, 1))


def test_wrong_requests_are_named(model):
    pair = scene_pair("another place")
    with pytest.raises(ValueError, match="u must lie in 0..1"):
        walk_stop(model, pair, 1.2)
    with pytest.raises(ValueError, match="pair must hold two pictures; got 1"):
        walk_stop(model, pair[:1], 0.5)
    with pytest.raises(ValueError, match="back must lie in 0..1"):
        walk_stop(model, pair, 0.5, back=-0.1)
    with pytest.raises(ValueError, match="name must be one of everything differs"):
        scene_pair("nothing")


def test_leading_back_keeps_what_little_noise_leaves(model):
    z = model.encode(scene_pair("everything differs"))
    assert torch.equal(lead_back(model, z, 0), z)
    little, all_of_it = (lead_back(model, z, back, seed=1) for back in (0.17, 1))
    near, far = ((led - z).norm() / z.norm() for led in (little, all_of_it))
    assert near < 0.2
    assert far > 0.8
    other = lead_back(model, z.flip(0), 1, seed=1)  # at T nothing of z is left:
    assert (other - all_of_it).norm() / z.norm() < 0.1  # the same noise gives the same picture
    assert (lead_back(model, z, 1, seed=2) - all_of_it).norm() / z.norm() > 0.5


# --- random latents -------------------------------------------------------------------------------


def test_random_latents_have_the_moments_that_they_promise():
    generator = torch.Generator().manual_seed(5)
    mix = torch.randn(12, 12, generator=generator)
    data = (torch.randn(5000, 12, generator=generator) @ mix + 3).reshape(-1, 3, 2, 2)
    flat = data.flatten(1)
    for covariance in (False, True):
        drawn = random_latents(data, 20000, covariance, seed=1)
        assert drawn.shape == (20000, 3, 2, 2)
        assert drawn.dtype == torch.float32
        drawn = drawn.flatten(1)
        torch.testing.assert_close(drawn.mean(0), flat.mean(0), rtol=0, atol=0.15)
        torch.testing.assert_close(drawn.std(0), flat.std(0), rtol=0.03, atol=0)
        far = (drawn.T.corrcoef() - flat.T.corrcoef()).abs().max()
        assert (far < 0.05) == covariance
    assert torch.equal(random_latents(data, 3, seed=2), random_latents(data, 3, seed=2))
    with pytest.raises(ValueError, match="at least two"):
        random_latents(data[:1], 3)


def test_bands_hold_the_share_and_are_even_handed():
    for hits, tries in ((0, 100), (3, 100), (50, 100), (100, 100), (7, 9)):
        low, high = share_band(hits, tries)
        assert low <= hits / tries <= high
        assert low == lower_bound(hits, tries)
        mirrored = share_band(tries - hits, tries)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))
    assert share_band(0, 100)[1] == pytest.approx(0.0263, abs=1e-3)  # z² / (n + z²)
    assert share_band(50, 1000)[1] < share_band(5, 100)[1]


# --- the widget -----------------------------------------------------------------------------------


def test_the_widget_answers_with_the_stop_that_was_asked_for(model):
    widget = LatentWalk(model, repair=True)
    before = widget.panels
    asked = {"pair": "another colour", "u": 0.15, "back": 0.5, "request": 1}
    widget.wanted = asked
    stop = walk_stop(model, scene_pair("another colour"), 0.15, 0.5)
    assert widget.shown["words"] == panel_words(stop)
    assert widget.shown["request"] == 1
    height, width = widget.shown["height"], widget.shown["width"]
    assert (height, width) == (66, 4 * 66)
    assert len(widget.panels) == 3 * height * width
    assert widget.panels != before
    got = torch.frombuffer(bytearray(widget.panels), dtype=torch.uint8).reshape(height, width, 3)
    for k, image in enumerate(panel_images(stop)):  # each with a frame of 1 pixel
        wanted = ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
        left = 66 * k + 1
        assert torch.equal(got[1:65, left : left + 64], wanted)
    assert not torch.equal(stop.led_back, stop.decoded)
    ends = torch.frombuffer(bytearray(widget.ends), dtype=torch.uint8).reshape(2, 66, 66, 3)
    pair = ((scene_pair("another colour") + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(ends[:, 1:65, 1:65], pair.permute(0, 2, 3, 1))


def test_without_repair_there_are_three_panels_and_no_noise(model):
    widget = LatentWalk(model)
    assert widget.shown["width"] == 3 * 66
    assert len(widget.shown["words"]) == 3
    assert widget.wanted["back"] == 0
    json.dumps(widget.shown)  # nothing in it that a browser cannot read
    assert repr(widget) == "LatentWalk(repair=False)"


def test_the_script_is_one_plain_module():
    """Nothing is fetched from anywhere: it works without a network."""
    text = LatentWalk._esm.read_text(encoding="utf-8") if hasattr(
        LatentWalk._esm, "read_text"
    ) else str(LatentWalk._esm)  # fmt: skip
    assert "export default" in text
    assert "import " not in text
    assert "http" not in text
    assert "fetch(" not in text


# --- what can be read -----------------------------------------------------------------------------


def test_luck_is_taken_out():
    for k in (2, 3, 6):
        assert beyond_guessing(1, k) == pytest.approx(1)
        assert beyond_guessing(1 / k, k) == pytest.approx(0)
        for seen in (0.3, 0.8):
            assert beyond_guessing(seen + (1 - seen) / k, k) == pytest.approx(seen)


def test_a_reading_of_real_scenes_is_right_and_a_wrong_attribute_counts():
    x, truth = scene_pair("everything differs"), judge(scene_pair("everything differs")).rows
    assert reading(x, truth) == {**dict.fromkeys(VALUES, 1.0), "refused": 0.0}
    got = reading(x, truth.index_copy(1, torch.tensor([0]), 1 - truth[:, :1].clamp(0, 1)))
    assert got["background"] < 1 and got["shape"] == 1
    assert reading(torch.zeros_like(x), truth)["refused"] == 1


def test_an_attribute_shows_from_the_step_on_at_which_enough_stay():
    """Of 10 pictures all read 1 in the end; at the first stops some still read 0."""
    rows = torch.ones(3, 10, 10, dtype=torch.int64)
    rows[0, :2, 0] = 0  # background, one of three: 8 right of 10 are 0.7 beyond guessing
    rows[1, :2, 5] = 0  # shape 1, one of six: 18 of 20 objects are 0.88 ...
    rows[0, :2, 5], rows[0, :4, 9] = 0, 0  # ... and 14 of 20 are 0.64
    got = shown_from(rows, [900, 600, 300])
    assert got["background"] == 600 and got["shape"] == 600
    assert got["relation"] == 900 and got["fill"] == 900


# --- what stands in the cells ---------------------------------------------------------------------


@torch.no_grad()
def test_noise_and_back_as_the_page_writes_it_is_the_book_s(model):
    names = {"model": model, "schedule": model.schedule, "sample": sample, "dpmpp_2m": dpmpp_2m}
    for cell in jupytext.read(SOURCES / "02_core_concepts.md").cells:
        if cell.metadata.get("name") in ("forward-strip", "there-and-back-again"):
            body = [x for x in ast.parse(cell.source).body if isinstance(x, ast.FunctionDef)]
            exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    z = model.encode(scene_pair("everything differs"))
    eps = keyed_normal((5,), range(2), z.shape[1:])
    t = torch.tensor([300, 900])
    wanted = diffuse(model.schedule, z, t, eps)
    torch.testing.assert_close(names["with_noise"](z, t, eps), wanted, rtol=0, atol=1e-5)
    times = model.schedule.times(12)
    got = names["noise_and_back"](z, times[times <= 750], eps)
    torch.testing.assert_close(got, lead_back(model, z, 0.75, seed=5), rtol=0, atol=1e-3)
