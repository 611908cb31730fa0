"""Walks as films: what is settled when, replays, animated pictures."""

import base64
import io
import re

import pytest
import torch
from book_rules import check_alt
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from book.ch05_4_sampling.line_data import THREE, even_normal
from book.ch05_4_sampling.walks import by_kind, moving, replay, settled, show_moving, text_denoiser
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, sample
from minildm.schedule import DiscreteSchedule, cosine_betas

TEXTS = ["a red circle left of a blue square", "a green star above a cyan circle"]
SCHEDULE = DiscreteSchedule(cosine_betas(1000))


def test_a_model_as_a_denoiser_walks_as_the_model_does():
    model = LatentDiffusion.load("shapes")
    z_T, times = model.noise(2, seed=1), model.schedule.times(3)
    *_, ours = sample(text_denoiser(model, TEXTS, 2.0), model.schedule, z_T, times, ddim)
    *_, theirs = model.walk(TEXTS, z_T=z_T, steps=3, sampler=ddim, guidance=2.0)
    torch.testing.assert_close(ours.z, theirs.z, atol=1e-5, rtol=0)


def test_settled_means_for_good():
    """What is right, then wrong, then right again was not settled at first."""
    rows = torch.tensor([1, 1, 0, 1, 1])[:, None, None].expand(5, 2, 10).clone()
    rows[:, 1] = 7
    found = settled(rows)
    assert found[:, 0, 0].tolist() == [False, False, False, True, True]
    assert found[:, 1].all()


def test_kinds_are_means_over_both_objects():
    flags = torch.zeros(3, 4, 10, dtype=torch.bool)
    flags[:, :, 0] = True  # background
    flags[:, :, 4] = True  # the colour of the first object
    flags[0, :, 9] = True  # the shape of the second, at one time
    found = by_kind(flags)
    assert list(found) == ["background", "relation", "size", "fill", "colour", "shape"]
    assert found["background"].tolist() == [1, 1, 1]
    assert found["relation"].tolist() == [0, 0, 0]
    assert found["colour"].tolist() == [0.5, 0.5, 0.5]
    assert found["shape"].tolist() == [0.5, 0, 0]


def test_a_replay_forgets_only_what_was_not_settled():
    denoise, z_T = THREE.denoiser(SCHEDULE), even_normal(200)
    times = SCHEDULE.times(100)
    at = [z_T] + [snapshot.z for snapshot in sample(denoise, SCHEDULE, z_T, times, ddim)]
    end = at[-1]
    apart = [
        float((replay(denoise, SCHEDULE, at[i], times[i:], seed=3) - end).abs().mean())
        for i in (0, 50, 90)
    ]
    assert apart[0] > 0.9  # unrelated: the mean distance of two points of the data
    assert apart[0] > 1.5 * apart[1]
    assert apart[1] > 3 * apart[2]
    assert apart[2] < 0.1
    one, two, other = (replay(denoise, SCHEDULE, z_T, times, seed=s) for s in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def frames(n=4):
    x = torch.full((n, 2, 3, 8, 8), -1.0)
    for i in range(n):
        x[i, 0, 0] = -1 + 2 * i / (n - 1)
    return list(x)


def test_an_animation_has_all_frames_in_order_and_stops():
    data = moving(frames(), columns=2, seconds=0.3)
    film = Image.open(io.BytesIO(data))
    assert (film.format, film.n_frames, film.size) == ("GIF", 4, (20, 10))
    assert film.info["loop"] == 2  # twice more, then rest
    red = []
    for i in range(4):
        film.seek(i)
        red.append(film.convert("RGB").getpixel((4, 4))[0])
        assert film.info["duration"] == (300 if i < 3 else 1500)
    assert red == pytest.approx([0, 85, 170, 255], abs=3)
    with pytest.raises(ValueError, match="frames"):
        moving([], 2)


def test_an_animation_keeps_the_books_rule_on_pictures():
    gif = moving(frames(), columns=2)
    text = show_moving(gif, 'A square that turns "red" in <four> frames.', 40).data
    assert base64.b64decode(re.search(r"base64,([^\"]+)", text).group(1)) == gif
    cell = new_code_cell("x", id="a")
    cell.outputs = [new_output("display_data", {"text/html": text})]
    assert check_alt(new_notebook(cells=[cell])) == []
    cell.outputs[0].data["text/html"] = text.replace("alt=", "title=")
    assert len(check_alt(new_notebook(cells=[cell]))) == 1
    with pytest.raises(ValueError, match="alt"):
        show_moving(gif, "a square", 40)
