"""Editing: masks that hold what they should, tilings, ways between latents, directions, judging."""

import pytest
import torch
from torch import nn

from book.ch06_applications import measure as editing_results
from book.ch06_applications.editing import (
    Edits,
    arc,
    circular,
    direction,
    edit_mask,
    edit_tasks,
    invert,
    object_mask,
    seam_error,
    straight,
    whole_cells,
)
from book.ch06_applications.judged import (
    inner_jump,
    judge_edits,
    masks,
    restored,
    tilings,
    turned,
    ways,
)
from book.results import read_results
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.latent import LatentDiffusion
from minildm.noise import keyed_normal
from minildm.samplers import ddim
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.captions import text_config
from minildm.shapes.judge import judge
from minildm.shapes.scenes import ATTRIBUTES, Pictures, cover, render, splits
from minildm.text import TextUNet, TextUNetConfig
from minildm.unet import UNet, UNetConfig

TEST = splits().test


def small_unet():
    net = UNet(UNetConfig(channels=2, width=8, heads=2, multipliers=(1, 1), attention=(0,)))
    for parameter in net.parameters():  # wake the zero-initialised layers
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return net


# --- tasks ----------------------------------------------------------------------------------------


def test_an_edit_changes_one_attribute_and_both_scenes_are_in_the_table():
    edits = edit_tasks(TEST, 60, seed=3)
    known = {tuple(row) for row in TEST.tolist()}
    for row, wanted, column in zip(edits.rows, edits.wanted, edits.column, strict=True):
        assert tuple(row.tolist()) in known
        assert tuple(wanted.tolist()) in known
        assert (row != wanted).nonzero()[:, 0].tolist() == [int(column)]
    kinds = ((edits.column - 2) % 4).tolist()
    assert kinds == [2, 3] * 30  # colour and shape in turn
    assert set(edits.which.tolist()) == {0, 1}
    assert len({tuple(row) for row in edits.rows.tolist()}) > 50
    assert torch.equal(edits.rows, edit_tasks(TEST, 60, seed=3).rows)
    assert not torch.equal(edits.rows, edit_tasks(TEST, 60, seed=4).rows)
    assert torch.equal(edits.x, render(edits.rows, edits.places))
    assert torch.equal(edits.take(slice(3, 5)).wanted, edits.wanted[3:5])


def test_only_one_change_is_asked_for_where_only_says_so():
    edits = edit_tasks(TEST, 20, names=("colour",), only=("red", "blue"))
    n = torch.arange(20)
    assert (edits.rows[n, edits.column] == ATTRIBUTES[4].index("red")).all()
    assert (edits.wanted[n, edits.column] == ATTRIBUTES[4].index("blue")).all()
    background = edit_tasks(TEST, 10, names=("background",))
    assert (background.column == 0).all()
    assert (background.which == 0).all()
    with pytest.raises(ValueError, match="names must be"):
        edit_tasks(TEST, 10, names=("relation",))
    with pytest.raises(ValueError, match="pairs that differ in colour"):
        edit_tasks(TEST[:3], 10)


def test_captions_say_what_is_there_and_what_is_wanted():
    edits = edit_tasks(TEST, 4, names=("fill",), only=("solid", "striped"))
    for before, after in zip(edits.texts(after=False), edits.texts(), strict=True):
        changed = [(a, b) for a, b in zip(before.split(), after.split(), strict=True) if a != b]
        assert changed == [("solid", "striped")]


# --- masks ----------------------------------------------------------------------------------------


def test_the_mask_of_an_object_holds_it_and_only_it():
    edits = edit_tasks(TEST, 40, seed=1)
    n, which = torch.arange(40), edits.which
    things = torch.stack([edits.rows[:, 2:6], edits.rows[:, 6:]], dim=1)
    mine = cover(things[n, which], edits.places[n, which])[:, None] > 0
    other = cover(things[n, 1 - which], edits.places[n, 1 - which])[:, None] > 0
    tight = object_mask(edits.rows, edits.places, which) > 0
    assert (tight & mine).sum() == mine.sum()
    assert not (tight & other).any()
    half = torch.tensor([9, 13])[things[n, which, 0]]
    assert tight.sum((1, 2, 3)).tolist() == ((2 * half) ** 2).tolist()
    wide = object_mask(edits.rows, edits.places, which, margin=2)
    assert (wide.sum((1, 2, 3)) <= (2 * half + 4) ** 2).all()
    assert (wide.bool() & tight).sum() == tight.sum()
    final = edit_mask(edits.rows, edits.places, which) > 0
    assert (final & tight).sum() == tight.sum()
    assert not (final & other).any()
    assert all(mask.shape == (40, 1, 64, 64) for mask in masks(edits).values())


def test_whole_cells_grow_a_mask_to_the_latent_grid():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 7:9, 20] = 1  # two pixels, in two cells
    grown = whole_cells(mask)
    assert grown.sum() == 2 * 64
    assert grown[0, 0, :16, 16:24].all()


# --- tilings --------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_circular_network_does_not_know_where_the_border_is():
    net, t = small_unet(), torch.tensor([7])
    decoder = Autoencoder(AutoencoderConfig(latent_channels=2, width=8)).decoder
    z = keyed_normal((0,), range(1), (2, 8, 8))
    rolled = z.roll((2, 4), dims=(2, 3))

    def apart(f, by=1):
        return (f(z).roll((2 * by, 4 * by), dims=(2, 3)) - f(rolled)).abs().max()

    assert apart(lambda z: net(z, t)) > 1e-3
    with circular(net, decoder) as wrapped:
        assert wrapped > 10
        assert apart(lambda z: net(z, t)) < 1e-4  # float32, added in another order
        assert apart(decoder, by=4) < 1e-4


def test_circular_puts_everything_back_even_after_an_error():
    net = small_unet()

    def modes():
        return [m.padding_mode for m in net.modules() if isinstance(m, nn.Conv2d)]

    def fail():
        with circular(net):
            assert "circular" in modes()
            raise RuntimeError("stop")

    before = modes()
    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert modes() == before == ["zeros"] * len(before)


def test_the_seam_is_the_jump_between_opposite_borders():
    x = torch.zeros(2, 1, 4, 4)
    x[0, 0, :, -1] = 1.0  # last column 1: jump 1 in each row, and none between the rows
    assert seam_error(x).tolist() == [0.5, 0.0]
    x[1, 0, 0] = -1.0  # first row -1: counted with its size
    assert seam_error(x).tolist() == [0.5, 0.5]


def test_the_inner_jump_is_that_of_all_places_to_cut():
    x = torch.zeros(1, 1, 4, 4)
    x[..., 1] = 1.0  # jumps at two of the four cuts; the one at the border is not among them
    assert float(inner_jump(x)) == pytest.approx((1 + 1 + 0) / 3 / 2)


def test_turning_brings_cut_objects_back():
    pictures = Pictures(TEST, 6, seed=2)
    cut = torch.stack([x.roll((20, 28), dims=(1, 2)) for x in pictures[:]])
    verdict = judge(turned(cut))
    assert verdict.accepted.all()
    first, second = verdict.rows[:, 2:6], verdict.rows[:, 6:]
    asked = pictures.rows[:, 2:6], pictures.rows[:, 6:]
    same = (first == asked[0]).all(1) & (second == asked[1]).all(1)
    exchanged = (first == asked[1]).all(1) & (second == asked[0]).all(1)
    assert (same | exchanged).all()


# --- ways between latents -------------------------------------------------------------------------


def test_both_ways_have_their_ends_and_only_the_arc_keeps_the_length():
    z_a, z_b = keyed_normal((1,), range(5), (4, 8, 8)), keyed_normal((2,), range(5), (4, 8, 8))
    for way in (straight, arc):
        torch.testing.assert_close(way(z_a, z_b, 0.0), z_a)
        torch.testing.assert_close(way(z_a, z_b, 1.0), z_b, atol=1e-6, rtol=1e-5)
    length = [way(z_a, z_b, 0.5).flatten(1).norm(dim=1) / 16 for way in (straight, arc)]
    assert length[0].max() < 0.8
    torch.testing.assert_close(length[1], torch.ones(5), atol=0.1, rtol=0)
    assert arc(z_a, z_b, 0.3).dtype == torch.float32
    with pytest.raises(ValueError, match="parallel"):
        arc(z_a, 2 * z_a, 0.5)


# --- directions and inversion ---------------------------------------------------------------------


class Averages:
    """Stands for a model whose latents are averages of 8 x 8 pixels."""

    def encode(self, x):
        return torch.nn.functional.avg_pool2d(x, 8)

    def decode(self, z):
        return torch.nn.functional.interpolate(z, scale_factor=8)

    def image_to_image(self, x, texts, strength, **options):
        return x

    def text_to_image(self, texts, **options):
        return torch.zeros(len(texts), 3, 64, 64)


def test_a_direction_is_what_the_change_adds():
    edits = edit_tasks(TEST, 30, names=("background",), only=("white", "black"))
    change = direction(Averages(), edits)
    assert change.shape == (3, 8, 8)
    white, black = (render(rows, edits.places) for rows in (edits.rows, edits.wanted))
    expected = torch.nn.functional.avg_pool2d(black - white, 8).mean(0)
    torch.testing.assert_close(change, expected)
    assert change[:, 0, 0].max() < -1.7  # the corner shows background only
    local = direction(Averages(), edit_tasks(TEST, 30, names=("colour",)), cells=True)
    assert local.shape == (3, 1, 1)
    red_to_blue = edit_tasks(TEST, 30, names=("colour",), only=("red", "blue"))
    vector = direction(Averages(), red_to_blue, cells=True).flatten()
    assert vector[0] < -0.2 < 0.2 < vector[2]  # red falls, blue rises: where the object is


def text_model():
    text = text_config(dim=16, layers=1, heads=2)
    network = TextUNet(TextUNetConfig(text, UNetConfig(channels=2, width=8, heads=2)))
    config = AutoencoderConfig(image_channels=3, latent_channels=2, factor=4, patch=4, width=8)
    schedule = DiscreteSchedule(cosine_betas(1000))
    return LatentDiffusion(Autoencoder(config), network, schedule, (4, 4))


def test_down_again_from_the_inverted_noise_comes_back_the_closer_the_finer_the_steps():
    torch.manual_seed(0)
    model = text_model()
    x = keyed_normal((3,), range(2), (3, 16, 16)).clamp(-1, 1)
    prompts, errors = ["a red circle above a blue square"] * 2, []
    z0 = model.encode(x)
    for steps in (10, 80):
        z_T = invert(model, x, prompts, steps)
        *_, last = model.walk(prompts, z_T=z_T, steps=steps, sampler=ddim, guidance=1.0)
        errors.append(float((last.z - z0).square().mean().sqrt()))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.3 * float(z0.square().mean().sqrt())


# --- judging --------------------------------------------------------------------------------------


def test_an_edit_counts_only_if_all_is_as_asked():
    edits = edit_tasks(TEST, 6, seed=5)
    perfect = judge_edits(render(edits.wanted, edits.places), edits)
    assert perfect.right.all()
    assert perfect.moved.max() == 0
    assert perfect.shares()["right_and_in_place"] == 1
    untouched = judge_edits(edits.x, edits)
    assert not untouched.right.any()
    assert not untouched.asked.any()
    assert untouched.rest.all()
    assert untouched.unchanged.all()
    away = judge_edits(render(edits.wanted, edits.places + 1), edits)
    torch.testing.assert_close(away.moved, torch.full((6,), 2**0.5, dtype=torch.float64))
    grain = 0.5 * keyed_normal((8,), range(6), (3, 64, 64))
    refused = judge_edits(render(edits.wanted, edits.places) + grain, edits)
    assert refused.asked.all()  # it can still be read
    assert not refused.right.any()
    other = edits.wanted.clone()
    other[:, 0] = (other[:, 0] + 1) % 3
    spoiled = judge_edits(render(other, edits.places), edits)
    assert spoiled.asked.all()
    assert not spoiled.rest.any()
    assert not spoiled.right.any()
    with pytest.raises(ValueError, match="one picture for each of 6"):
        judge_edits(edits.x[:2], edits)


def test_directions_of_a_linear_latent_change_the_background():
    edits = edit_tasks(TEST, 4, names=("background",), only=("white", "black"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("book.ch06_applications.judged.invert", lambda *a, **k: None)
        found = ways(Averages(), edits)
    assert len(found) == 4
    corner = found["direction"][:, :, 0, 0]
    assert (corner < -0.5).all()


def test_restored_counts_wrong_scenes_among_the_accepted_only():
    """Of eight pictures two come out true, two as another scene, four as noise."""
    pictures = Pictures(TEST, 8, seed=1)

    class Inventor(Averages):
        def image_to_image(self, x, texts, strength, **options):
            rows = pictures.rows.clone()
            rows[2:4, 0] = (rows[2:4, 0] + 1) % 3
            drawn = render(rows, pictures.places)
            drawn[4:] = keyed_normal((0,), range(4), (3, 64, 64))
            return drawn

    both, figures = restored(Inventor(), pictures, seed=0)
    assert both.shape == (2, 8, 3, 64, 64)
    assert figures["accepted"] == 0.5
    assert figures["invented"] == 0.5
    assert figures["wrong_by_name"]["background"] == 0.5
    assert figures["wrong_by_name"]["colour 1"] == 0


def test_tilings_wrap_and_unwrap():
    model = text_model()
    with pytest.MonkeyPatch.context() as patch:
        quick = {"steps": 2, "sampler": ddim, "guidance": 1.0}
        patch.setattr("book.ch06_applications.judged.QUICK", quick)
        found = tilings(model, ["a red circle above a blue square"], seed=0)
        again = tilings(model, ["a red circle above a blue square"], seed=0)
    assert list(found) == ["zeros", "network wraps", "network and decoder wrap"]
    assert torch.equal(found["zeros"], again["zeros"])
    assert not torch.equal(found["network wraps"], found["network and decoder wrap"])


# --- the book's figures ---------------------------------------------------------------------------


def test_the_figures_of_the_book_meet_their_bars():
    figures = read_results("editing")
    inpainting = figures["inpainting"]
    assert figures["tasks"] >= 200
    assert len(inpainting["runs"]) >= 3
    assert inpainting["right"] >= 0.9
    assert inpainting["lower_bound_95"] >= 0.9
    assert all(run["right"] >= 0.9 for run in inpainting["runs"])
    tried = figures["inpainting_on_validation"]
    assert tried["its square"] < 0.8  # why the mask needs a margin


def test_measuring_gives_every_part(monkeypatch):
    """With a model that answers every wish perfectly."""

    def perfect(x, mask, texts, **options):
        return render(current.wanted, current.places)

    current = edit_tasks(TEST, 8)
    model = type("Perfect", (), {"inpaint": staticmethod(perfect)})()
    found = editing_results.measure_inpainting(model, [0, 1], 8)
    assert found["right"] == 1
    assert 0.8 < found["lower_bound_95"] < 1
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    wrong = current.wanted.clone()
    wrong[0, 0] = (wrong[0, 0] + 1) % 3
    current = Edits(current.rows, current.places, wrong, current.column)
    assert editing_results.measure_inpainting(model, [0], 8)["right"] == pytest.approx(7 / 8)
