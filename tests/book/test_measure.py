"""What is measured, and how: counted as it is paid for, kept once it is done, met by the book."""

import json
from functools import partial

import experiments
import pytest
import torch

from book.ch03_algorithm.measure import asked_labels, judge_samples
from book.ch05_4_sampling import measure as sampling
from book.ch05_4_sampling.measure import (
    EVALUATIONS,
    SAMPLERS,
    draw_latents,
    measure_samplers,
    rms,
    steps_for,
    within_noise,
)
from book.ch05_5_text_to_image import measure_shapes as shapes
from book.ch05_5_text_to_image.measure_guidance import SCALES, variety
from book.ch05_5_text_to_image.measure_shapes import (
    STEPS,
    Task,
    band,
    compare_spaces,
    draw,
    draw_and_judge,
    evaluations,
    frechet,
    measure_shapes,
    sweep_guidance,
)
from book.digit_judge import load_classifier
from book.results import read_results
from minildm.__main__ import main
from minildm.denoise import Denoised
from minildm.files.places import SHIPPED
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun, sample
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.captions import asked_texts, read, request_rows
from minildm.shapes.scenes import ATTRIBUTES, Pictures, draw_places, render, splits
from minildm.shapes.training import GUIDANCE, ShapesTraining


@pytest.fixture(scope="module")
def model():
    return LatentDiffusion.load("shapes")


def quiet(line):
    """Reports nothing."""


# --- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_evaluations_are_counted_as_the_sampler_makes_them(step, steps):
    schedule, calls = DiscreteSchedule(cosine_betas(50)), []

    def denoise(z, t):
        calls.append(t)
        return Denoised(z / 2, z / 2)

    list(sample(denoise, schedule, torch.ones(1, 1), schedule.times(steps), step))
    assert len(calls) == evaluations(step, steps)


def test_as_many_steps_as_can_be_paid_for():
    for step in (ddpm, ddim, dpmpp_2m, heun):
        for most in range(1, 30):
            steps = steps_for(step, most)
            assert evaluations(step, steps) <= most < evaluations(step, steps + 1)
    with pytest.raises(ValueError, match="most"):
        steps_for(ddim, 0)


def test_no_point_is_measured_twice():
    grid = sampling._grid()
    assert len(grid) == len(set(grid))
    assert ("heun", 25) in grid
    assert ("ddim", 50) in grid
    assert sum(name == "heun" for name, _ in grid) == len(EVALUATIONS) - 1  # 3 and 4 are one


def test_the_latents_are_those_of_the_pictures(model):
    task = Task(splits().test[:3], 3, ddpm)
    x = draw(model, task, 2.0, seed=4)
    assert torch.equal(model.decode(draw_latents(model, task, 2.0, seed=4)).cpu(), x)


def test_the_distance_is_per_number():
    assert rms(torch.zeros(2, 3, 4), torch.full((2, 3, 4), 2.0)) == pytest.approx(2.0)
    assert rms(torch.tensor([3.0, 0.0]), torch.zeros(2)) == pytest.approx(4.5**0.5)


def point(n, mean, low, high):
    return {"evaluations": n, "joint": {"mean": mean, "min": low, "max": high}}


def test_within_noise_compares_means_with_the_best_points_smallest_seed():
    points = [point(2, 0.5, 0.4, 0.99), point(4, 0.94, 0.93, 0.95), point(8, 0.96, 0.94, 0.97)]
    assert within_noise(points) == 4
    assert within_noise([*points, point(16, 0.90, 0.40, 0.95)]) == 4  # not the last one counts
    assert within_noise([point(8, 0.96, 0.95, 0.97), point(4, 0.94, 0.93, 0.95)]) == 8
    with pytest.raises(ValueError, match="points"):
        within_noise([])


def test_variety_is_the_distance_of_two_pictures_of_one_caption():
    """Pictures of one caption differ by 2 in all pixels, captions by much more: only the first
    counts, and a picture's distance to itself does not."""
    x = torch.zeros(6, 1, 4, 4)
    x[1::2] += 2.0  # the second picture of each caption
    x += torch.tensor([0.0, 0, 50, 50, -70, -70])[:, None, None, None]
    assert float(variety(x, 2)) == pytest.approx(2.0)
    assert float(variety(torch.ones(4, 1, 4, 4), 4)) == 0.0

    for n, drawn in ((4, 1), (5, 2)):
        with pytest.raises(ValueError, match="at least 2 pictures of each caption"):
            variety(torch.zeros(n, 1, 4, 4), drawn)


# --- a whole measurement --------------------------------------------------------------------------


def test_an_interrupted_measurement_goes_on_where_it_stopped(model, monkeypatch, tmp_path):
    monkeypatch.setattr(sampling, "EVALUATIONS", (1, 2))
    monkeypatch.setattr(sampling, "FINE", 4)
    monkeypatch.setattr(sampling, "FOLLOWED", 2)
    folder, lines = tmp_path / "runs", []

    def report(line):
        lines.append(line)
        if len(lines) in (5, 8):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            measure_samplers(model, (0, 1), 3, folder, report)
        [file] = folder.iterdir()
        with file.open("a") as half:
            half.write('["ddim, 2 st')  # the power went away in the middle of a line
    walk, walked = model.walk, []
    tell = lambda *a, **o: walked.append(o["steps"]) or walk(*a, **o)  # noqa: E731
    monkeypatch.setattr(model, "walk", tell)
    figures = measure_samplers(model, (0, 1), 3, folder, lines.append)
    assert len(lines) == len(set(lines)) == 14 + 3  # 7 points and 2 seeds; the fine walks
    assert list(folder.iterdir()) == []
    assert walked.count(4) == 0  # the references of 2M were kept as well
    whole = measure_samplers(model, (0, 1), 3, tmp_path / "other", quiet)
    assert figures["samplers"] == whole["samplers"]
    assert json.loads(json.dumps(figures)) == figures


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
    found = sweep_guidance(Perfect(wrong_above=2.5), 20, report=quiet)
    assert {float(w): share for w, share in found.items()} == {
        w: float(w <= 2.5) for w in shapes.SWEPT
    }


def test_the_frechet_distance_of_real_pictures_is_its_floor():
    real = Pictures(splits().test, 300, 11)[:]
    figures = frechet({"same": real, "grey": torch.zeros_like(real)}, reference=600)
    assert (figures["pictures"], figures["reference"]) == (300, 600)
    assert figures["same"] == pytest.approx(figures["real"], rel=0.5)
    assert figures["grey"] > 10 * figures["real"]


def test_the_band_is_that_of_the_runs():
    assert band([{"joint": 0.5}, {"joint": 0.9}])["joint"] == {"mean": 0.7, "min": 0.5, "max": 0.9}


@pytest.mark.slow
def test_all_figures_of_a_small_measurement(model, monkeypatch):
    """The whole of both measurements on a few captions: what is in them, and that it hangs."""
    monkeypatch.setattr(shapes, "SWEPT", (GUIDANCE,))
    monkeypatch.setattr(shapes, "STEPS", 3)
    monkeypatch.setattr(Task.__new__, "__defaults__", (3, dpmpp_2m))  # STEPS, when it was made
    monkeypatch.setattr(shapes, "ShapesTraining", lambda: ShapesTraining(pictures=3000))
    monkeypatch.setattr(shapes, "frechet", partial(frechet, reference=1000))
    figures = measure_shapes(model, (0, 1), 8, report=quiet)
    assert figures["few_evaluations_heun"]["evaluations_per_branch"] == 7
    assert figures["few_evaluations_ddim"]["evaluations_per_branch"] == 8
    assert len(figures["unseen_captions"]["runs"]) == 2
    assert figures["reconstructions"]["joint"] > 0.9
    table = compare_spaces({"one": "shapes", "other": "shapes"}, (0,), 8, report=quiet)
    assert table["one"]["joint"] == table["other"]["joint"]
    assert table["one"]["gflop_per_image"] == table["other"]["gflop_per_image"]
    json.dumps([figures, table])


def test_the_command_measures_writes_and_keeps_other_sections(monkeypatch, tmp_path):
    out = tmp_path / "results.json"
    out.write_text('{"digits": 1}')
    monkeypatch.setitem(experiments.MEASURES, "shapes", lambda seeds: {"seeds": seeds})
    arguments = ["measure", "shapes", "--seeds", "4", "5", "--out", str(out)]
    assert main(arguments, experiments.parser) == 0
    assert json.loads(out.read_text()) == {"digits": 1, "shapes": {"seeds": [4, 5]}}


# --- the book's own figures -----------------------------------------------------------------------


def test_the_shipped_figures_are_of_all_scales():
    figures = read_results("guidance")["by_guidance"]
    assert [float(w) for w in figures] == list(SCALES)
    assert all(run["right"] == 0 for run in figures["0.0"])  # nobody listens
    assert min(run["right"] for run in figures["2.5"]) > 0.8


def test_what_the_chapter_says_of_the_curves():
    """Few steps: 2M before Heun. Many: all agree on what is right; only DDPM ends elsewhere."""
    section = read_results("samplers")
    table = {
        name: {point["steps"]: point for point in points}
        for name, points in section["samplers"].items()
    }
    assert table["dpmpp_2m"][4]["joint"]["min"] > table["heun"][2]["joint"]["max"]
    finest = [points[max(points)] for points in table.values()]
    means = [point["joint"]["mean"] for point in finest]
    assert max(means) - min(means) < 0.04
    assert min(means) > 0.94
    for name in ("ddim", "heun", "dpmpp_2m"):
        distance = [point["distance"] for point in table[name].values()]
        assert distance[-1] < 0.15 * distance[0]
    assert table["ddpm"][50]["distance"] > 0.4 * section["reference"]["another_noise"]
    agreed = section["reference"]["heun_with_as_many_evaluations"]
    assert agreed < 0.1 * section["reference"]["another_noise"]
    for points in section["samplers"].values():
        for p in points:
            assert [run["seed"] for run in p["runs"]] == [0, 1, 2]


def test_text_to_image_meets_its_bars():
    figures = read_results("shapes")
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


def test_the_shipped_model_is_the_one_that_was_measured(model):
    """A fresh 60 captions: within four standard deviations of what the file says."""
    rows = splits().test[1000:1060]
    _, _, accuracy = draw_and_judge(model, Task(rows), GUIDANCE, seed=7)
    share = read_results("shapes")["unseen_captions"]["joint"]["mean"]
    assert accuracy.joint >= share - 4 * (share * (1 - share) / 60) ** 0.5
    assert (SHIPPED / "shapes" / "model.safetensors").stat().st_size <= 15e6


def test_samplers_agree_on_what_is_drawn(model):
    """Same noise, same caption: two samplers draw the same scene in the same place, nearly."""
    rows = splits().test[:4]
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
