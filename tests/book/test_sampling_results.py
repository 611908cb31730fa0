"""Samplers against evaluations: how it is counted, drawn, kept and summed up."""

import json

import pytest
import torch

from book.ch05_4_sampling import measure as sampling_results
from book.ch05_4_sampling.measure import (
    EVALUATIONS,
    SAMPLERS,
    draw_latents,
    evaluations,
    measure_samplers,
    rms,
    steps_for,
    within_noise,
)
from book.ch05_5_text_to_image.measure_shapes import Task, draw
from book.results import read_results
from minildm.denoise import Denoised
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun, sample
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.scenes import splits


@pytest.fixture(scope="module")
def model():
    return LatentDiffusion.load("shapes")


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
    grid = sampling_results._grid()
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


def test_an_interrupted_measurement_goes_on_where_it_stopped(model, monkeypatch, tmp_path):
    monkeypatch.setattr(sampling_results, "EVALUATIONS", (1, 2))
    monkeypatch.setattr(sampling_results, "FINE", 4)
    monkeypatch.setattr(sampling_results, "FOLLOWED", 2)
    kept, lines = tmp_path / "kept", []

    def report(line):
        lines.append(line)
        if len(lines) in (5, 8):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            measure_samplers(model, (0, 1), 3, kept, report)
        [file] = kept.iterdir()
        with file.open("a") as half:
            half.write('["ddim, 2 st')  # the power went away in the middle of a line
    monkeypatch.setattr(model, "walk", _once(model.walk, walked := []))
    figures = measure_samplers(model, (0, 1), 3, kept, lines.append)
    assert len(lines) == len(set(lines)) == 14 + 3  # 7 points and 2 seeds; the fine walks
    assert list(kept.iterdir()) == []
    assert walked.count(4) == 0  # the references of 2M were kept as well
    whole = measure_samplers(model, (0, 1), 3, tmp_path / "other", lambda line: None)
    assert figures["samplers"] == whole["samplers"]
    assert json.loads(json.dumps(figures)) == figures


def _once(walk, walked):
    """``walk`` that writes down its numbers of steps."""

    def walk_and_tell(*arguments, **options):
        walked.append(options["steps"])
        return walk(*arguments, **options)

    return walk_and_tell


# --- the book's own figures -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def section():
    return read_results("samplers")


def test_what_the_chapter_says_of_the_curves(section):
    """Few steps: 2M before Heun. Many: all agree on what is right; only DDPM ends elsewhere."""
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
