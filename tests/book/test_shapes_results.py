"""The figures of the text-to-image model: how they are taken, and that the book's are met."""

import json
from functools import partial

import experiments
import pytest
import torch

from book.ch03_algorithm.measure import asked_labels, judge_samples
from book.ch05_5_text_to_image import measure_shapes as shapes_results
from book.ch05_5_text_to_image.measure_shapes import (
    STEPS,
    Task,
    asked_texts,
    band,
    compare_spaces,
    draw,
    draw_and_judge,
    frechet,
    measure_shapes,
    sweep_guidance,
)
from book.digit_judge import load_classifier
from book.results import read_results
from minildm.__main__ import main
from minildm.files.places import SHIPPED
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, dpmpp_2m, heun
from minildm.shapes.captions import read, request_rows
from minildm.shapes.scenes import ATTRIBUTES, Pictures, draw_places, render, splits
from minildm.shapes.training import GUIDANCE, ShapesTraining


class Perfect:
    """Stands for a model that draws exactly what it is asked, or errs in one share of cases."""

    def __init__(self, wrong_above=None):
        self.wrong_above, self.calls = wrong_above, []

    def noise(self, count, seed):
        return torch.arange(count) + 1000.0 * seed

    def text_to_image(self, texts, z_T, steps, sampler, guidance, seed):
        self.calls.append((len(texts), steps, sampler, guidance, seed, z_T))
        rows = request_rows([read(text) for text in texts])
        if self.wrong_above is not None and guidance > self.wrong_above:
            rows[:, 4] = (rows[:, 4] + 1) % len(ATTRIBUTES[4])  # another colour
        u = torch.rand(len(rows), 4, generator=torch.Generator().manual_seed(0))
        return render(rows, draw_places(rows, u))


def test_every_caption_of_a_perfect_model_counts_whatever_its_wording():
    rows = splits().test[:300]
    model = Perfect()
    x, verdict, accuracy = draw_and_judge(model, Task(rows, 7, heun), 2.0, seed=3)
    assert (len(x), accuracy.joint, accuracy.n) == (300, 1.0, 300)
    assert verdict.accepted.all()
    texts = asked_texts(rows)
    turned = ["right of" in text or "below" in text for text in texts]
    assert turned == [False, True] * 150
    # each picture keeps its own noise, however the task is cut into batches
    assert torch.equal(torch.cat([call[5] for call in model.calls]), model.noise(300, 3))
    assert {call[1:5] for call in model.calls} == {(7, heun, 2.0, 3)}


def test_the_sweep_finds_where_guidance_hurts():
    found = sweep_guidance(Perfect(wrong_above=2.5), 20, report=lambda line: None)
    assert {float(w): share for w, share in found.items()} == {
        w: float(w <= 2.5) for w in shapes_results.SWEPT
    }


def test_the_frechet_distance_of_real_pictures_is_its_floor():
    real = Pictures(splits().test, 300, 11)[:]
    figures = frechet({"same": real, "grey": torch.zeros_like(real)}, reference=600)
    assert (figures["pictures"], figures["reference"]) == (300, 600)
    assert figures["same"] == pytest.approx(figures["real"], rel=0.5)
    assert figures["grey"] > 10 * figures["real"]


def test_the_band_is_that_of_the_runs():
    assert band([{"joint": 0.5}, {"joint": 0.9}])["joint"] == {"mean": 0.7, "min": 0.5, "max": 0.9}


def test_the_command_measures_writes_and_keeps_other_sections(monkeypatch, tmp_path):
    out = tmp_path / "results.json"
    out.write_text('{"digits": 1}')
    monkeypatch.setitem(experiments.MEASURES, "shapes", lambda seeds: {"seeds": seeds})
    arguments = ["measure", "shapes", "--seeds", "4", "5", "--out", str(out)]
    assert main(arguments, experiments.parser) == 0
    assert json.loads(out.read_text()) == {"digits": 1, "shapes": {"seeds": [4, 5]}}


@pytest.mark.slow
def test_all_figures_of_a_small_measurement(monkeypatch):
    """The whole of both measurements on a few captions: what is in them, and that it hangs."""
    monkeypatch.setattr(shapes_results, "SWEPT", (GUIDANCE,))
    monkeypatch.setattr(shapes_results, "STEPS", 3)
    monkeypatch.setattr(Task.__new__, "__defaults__", (3, dpmpp_2m))  # STEPS, when it was made
    monkeypatch.setattr(shapes_results, "ShapesTraining", lambda: ShapesTraining(pictures=3000))
    monkeypatch.setattr(shapes_results, "frechet", partial(frechet, reference=1000))
    quiet = {"report": lambda line: None}
    figures = measure_shapes(LatentDiffusion.load("shapes"), (0, 1), 8, **quiet)
    assert figures["few_evaluations_heun"]["evaluations_per_branch"] == 7
    assert figures["few_evaluations_ddim"]["evaluations_per_branch"] == 8
    assert len(figures["unseen_captions"]["runs"]) == 2
    assert figures["reconstructions"]["joint"] > 0.9
    table = compare_spaces({"one": "shapes", "other": "shapes"}, (0,), 8, **quiet)
    assert table["one"]["joint"] == table["other"]["joint"]
    assert table["one"]["gflop_per_image"] == table["other"]["gflop_per_image"]
    json.dumps([figures, table])


# --- the book's own figures -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def figures():
    return read_results("shapes")


def test_text_to_image_meets_its_bars(figures):
    assert figures["reconstructions"]["joint"] >= 0.99
    assert figures["reconstructions"]["psnr"] >= 30
    assert figures["unseen_captions"]["joint"]["mean"] >= 0.97
    assert figures["held_out_combinations"]["joint"]["mean"] >= 0.90
    few = max(figures[f"few_evaluations_{s}"]["joint"]["mean"] for s in ("ddim", "dpmpp_2m"))
    assert few >= 0.93
    assert figures["seconds_for_16_images"]["slowest"] <= 5
    for name in ("unseen_captions", "held_out_combinations", "few_evaluations_ddim"):
        runs = figures[name]["runs"]
        assert [run["seed"] for run in runs] == [0, 1, 2]
        assert all(run["lower_bound_95"] < run["joint"] <= run["accepted"] for run in runs)
    assert figures["guidance"] == GUIDANCE


def test_the_shipped_model_is_the_one_that_was_measured(figures):
    """A fresh 60 captions: within four standard deviations of what the file says."""
    model, rows = LatentDiffusion.load("shapes"), splits().test[1000:1060]
    _, _, accuracy = draw_and_judge(model, Task(rows), GUIDANCE, seed=7)
    share = figures["unseen_captions"]["joint"]["mean"]
    assert accuracy.joint >= share - 4 * (share * (1 - share) / 60) ** 0.5
    assert (SHIPPED / "shapes" / "model.safetensors").stat().st_size <= 15e6


def test_samplers_agree_on_what_is_drawn():
    """Same noise, same caption: two samplers draw the same scene in the same place, nearly."""
    model, rows = LatentDiffusion.load("shapes"), splits().test[:4]
    one, two = (draw(model, Task(rows, STEPS, s), GUIDANCE, 0) for s in (ddim, dpmpp_2m))
    other = draw(model, Task(rows, STEPS, dpmpp_2m), GUIDANCE, 1)
    assert (one - two).square().mean() < 0.3 * (one - other).square().mean()


def test_the_digits_model_draws_the_digit_it_is_asked_for():
    figures = read_results("shipped-digits")
    assert figures["samples_over_seeds"]["agrees_with_label"]["min"] >= 0.95
    assert len(figures["runs"]) == 3
    model, asked = LatentDiffusion.load("digits"), asked_labels(200)
    x = model.generate(asked, steps=25, sampler=dpmpp_2m, seed=9)
    assert judge_samples(load_classifier(), x, asked)["agrees_with_label"] >= 0.9


def test_latents_and_pixels_got_the_same_time():
    table = read_results("pixels")
    seconds = {name: table[name]["training_seconds"]["sum"] for name in ("latents", "pixels")}
    assert 0.95 <= seconds["pixels"] / seconds["latents"] <= 1.1
    assert table["latents"]["joint"]["mean"] > table["pixels"]["joint"]["max"]
    assert table["latents"]["gflop_per_image"] < table["pixels"]["gflop_per_image"]


def test_all_checkpoints_together_are_small():
    files = [file for file in SHIPPED.glob("*/*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 40e6
    for folder in {file.parent for file in files}:
        names = {file.name for file in files if file.parent == folder}
        assert {"model.safetensors", "config.json", "metrics.json"} <= names
