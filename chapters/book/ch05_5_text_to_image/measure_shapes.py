"""How well the text-to-image models do what their captions say: figures of data/results.json.

Every accuracy is a share of pictures in which the judge (judge.py) reads all ten attributes as they
were asked for. None of the captions asks for a scene that occurs in training, in either wording.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from book import results
from book.ch05_2_unet.cost import costs
from book.ch05_5_text_to_image.copies import memorised, nearest
from book.shape_reader import distance, load_reader
from minildm.engine.devices import surroundings
from minildm.files.places import find_model
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, dpmpp_2m, heun
from minildm.shapes.captions import asked_texts
from minildm.shapes.judge import Accuracy, Verdict, caption_accuracy, judge
from minildm.shapes.scenes import Pictures, splits
from minildm.shapes.training import GUIDANCE, ShapesTraining, gate, training_pictures

CAPTIONS, STEPS, FEW = 1000, 25, 8
SWEPT = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)  # guidance, on validation captions
BATCH = 250  # images at a time


class Task(NamedTuple):
    """Scenes to ask for (n, 10), and how to draw them."""

    rows: Tensor
    steps: int = STEPS
    sampler: Callable = dpmpp_2m


# --- the shipped model ----------------------------------------------------------------------------


def measure_shapes(
    model: LatentDiffusion, seeds: Sequence[int] = (0, 1, 2), count: int = CAPTIONS, report=print
) -> dict:
    """All figures of the shipped model, over sampling seeds; ``count`` captions of each split."""
    sweep = sweep_guidance(model, count // 2, report)
    figures = {
        "command": results.command("shapes", seeds),
        "captions": count,
        "guidance": GUIDANCE,
        "guidance_on_validation": sweep,
        "reconstructions": _reconstructions(model, count),
    }
    drawn = {}
    for name, task in _tasks(count).items():
        runs = []
        for seed in seeds:
            x, verdict, accuracy = draw_and_judge(model, task, GUIDANCE, seed)
            runs.append({"seed": seed, **as_figures(accuracy)})
            report(f"{name}, seed {seed}: {accuracy.joint:.2%} (>= {accuracy.bound:.2%})")
            drawn.setdefault(name, (x, verdict))  # the first seed's
        figures[name] = {
            "evaluations_per_branch": evaluations(task.sampler, task.steps),
            **band(runs),
        }
    pictures, _ = training_pictures(ShapesTraining())
    x, verdict = drawn["unseen_captions"]
    figures["copies_of_training_pictures"] = memorised(verdict, pictures)
    figures["nearest_training_picture"] = _nearest(x[:100], pictures)
    figures["frechet"] = frechet({"generated": x, "reconstructed": _reconstructed(model, count)})
    figures["seconds_for_16_images"] = seconds_for(model, 16)
    return {**figures, **surroundings()}


def _tasks(count: int) -> dict[str, Task]:
    unseen, combinations = splits().test[:count], splits().composition
    combinations = combinations[torch.arange(count) * len(combinations) // count]  # spread evenly
    return {
        "unseen_captions": Task(unseen),
        "unseen_captions_ddim": Task(unseen, sampler=ddim),
        "held_out_combinations": Task(combinations),
        "few_evaluations_dpmpp_2m": Task(unseen, FEW),
        "few_evaluations_ddim": Task(unseen, FEW, ddim),
        "few_evaluations_heun": Task(unseen, FEW // 2, heun),  # each step but the last costs two
    }


# --- against pixels -------------------------------------------------------------------------------


def compare_spaces(
    models: Mapping[str, str | Path] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    count: int = CAPTIONS // 2,
    report=print,
) -> dict:
    """The same task by diffusion on latents and on pixels: accuracy and cost of each, one table.

    ``models``: name -> model; default: the two that come with the book. Each gets the guidance that
    serves it best on validation captions.
    """
    models = models or {"latents": "shapes", "pixels": "pixels"}
    table = {name: _row(place, seeds, count, report) for name, place in models.items()}
    command = results.command("pixels", seeds)
    return {"command": command, "captions": count, **table, **surroundings()}


def _row(place: str | Path, seeds: Sequence[int], count: int, report: Callable) -> dict:
    model = LatentDiffusion.load(place)
    sweep = sweep_guidance(model, count // 2, report)
    guidance = float(max(sweep, key=sweep.get))
    task, runs, pictures = Task(splits().test[:count]), [], None
    for seed in seeds:
        x, _, accuracy = draw_and_judge(model, task, guidance, seed)
        pictures = x if pictures is None else pictures
        runs.append({"seed": seed, **as_figures(accuracy)})
        report(f"{place}, seed {seed}: {accuracy.joint:.2%}")
    cost = costs(model)
    once = sum(c.flops for part, c in cost.items() if part in ("text encoder", "decoder"))
    training = json.loads((find_model(place) / "metrics.json").read_text("utf-8"))["training"]
    stages = {n: s for n, s in training["seconds"].items() if n != "in_all_since_last_start"}
    return {
        "training_seconds": {**stages, "sum": sum(stages.values())},
        "parameters": sum(c.parameters for c in cost.values()),
        "gflop_per_image": round((once + 2 * STEPS * cost["denoiser"].flops) / 1e9, 2),
        "seconds_for_16_images": seconds_for(model, 16),
        "guidance_on_validation": sweep,
        "guidance": guidance,
        "evaluations_per_branch": STEPS,
        **band(runs),
        "frechet": frechet({"generated": pictures}),
    }


# --- drawing and judging --------------------------------------------------------------------------


def draw_and_judge(
    model: LatentDiffusion, task: Task, guidance: float, seed: int
) -> tuple[Tensor, Verdict, Accuracy]:
    """One picture per scene, what the judge reads in them, and how often it is what was asked."""
    x = draw(model, task, guidance, seed)
    verdict = judge(x)
    return x, verdict, caption_accuracy(verdict, task.rows)


def draw(model: LatentDiffusion, task: Task, guidance: float, seed: int) -> Tensor:
    """One picture (3, 64, 64) per scene; the noise of each depends on its number in the task."""
    noise, texts = model.noise(len(task.rows), seed), asked_texts(task.rows)
    options = {"steps": task.steps, "sampler": task.sampler, "guidance": guidance, "seed": seed}
    parts = [
        model.text_to_image(texts[i : i + BATCH], z_T=noise[i : i + BATCH], **options)
        for i in range(0, len(texts), BATCH)
    ]
    return torch.cat(parts).cpu()


def sweep_guidance(model: LatentDiffusion, count: int, report=print) -> dict[str, float]:
    """Joint accuracy on ``count`` validation captions for each guidance of ``SWEPT``."""
    task, found = Task(splits().validation[:count]), {}
    for guidance in SWEPT:
        _, _, accuracy = draw_and_judge(model, task, guidance, seed=100)
        found[str(guidance)] = round(accuracy.joint, 4)
        report(f"guidance {guidance}: {accuracy.joint:.2%} of {count} validation captions")
    return found


def frechet(sets: Mapping[str, Tensor], reference: int = 5000) -> dict:
    """Fréchet distance (shape_reader.py) of sets of pictures to real pictures of the test split.

    ``real``: the same for other real pictures, as many as in the first set: the floor.
    """
    reader = load_reader()
    real = Pictures(splits().test, reference, seed=2)[:]
    count = len(next(iter(sets.values())))
    others = {"real": Pictures(splits().test, count, seed=3)[:], **sets}
    figures = {name: round(distance(reader, x, real), 3) for name, x in others.items()}
    return {"pictures": count, "reference": reference, **figures}


def seconds_for(model: LatentDiffusion, count: int, runs: int = 5) -> dict[str, float]:
    """Wall time of ``count`` images with STEPS guided steps, decoding included; after one to warm
    up: the median and the slowest of ``runs``."""
    texts = asked_texts(splits().test[:count])
    options = {"steps": STEPS, "sampler": dpmpp_2m, "guidance": GUIDANCE, "seed": 0}
    times = []
    for _ in range(runs + 1):
        start = perf_counter()
        model.text_to_image(texts, **options)
        times.append(perf_counter() - start)
    return {"median": round(statistics.median(times[1:]), 2), "slowest": round(max(times[1:]), 2)}


# --- as JSON --------------------------------------------------------------------------------------


def as_figures(accuracy: Accuracy) -> dict:
    """An ``Accuracy`` as JSON-able figures."""
    return {
        "joint": round(accuracy.joint, 4),
        "lower_bound_95": round(accuracy.bound, 4),
        "accepted": round(accuracy.accepted, 4),
        "by_name": {name: round(share, 4) for name, share in accuracy.by_name.items()},
    }


def band(runs: Sequence[dict]) -> dict:
    """Mean, smallest and largest joint accuracy over seeds, and the runs themselves."""
    joint = [run["joint"] for run in runs]
    over_seeds = {"mean": round(statistics.mean(joint), 4), "min": min(joint), "max": max(joint)}
    return {"joint": over_seeds, "runs": list(runs)}


def evaluations(step: Callable, steps: int) -> int:
    """How often a sampler asks the denoiser in that many steps: n, and 2 n - 1 for ``heun``.

    Heun asks twice in each step but the last, which jumps to clean data.
    """
    return 2 * steps - 1 if step is heun else steps


def _reconstructions(model: LatentDiffusion, count: int) -> dict:
    """The most that any denoiser could reach on this autoencoder."""
    passed = gate(model.autoencoder, Pictures(splits().test, count, seed=1))
    return {**as_figures(passed.accuracy), "psnr": round(passed.psnr, 2)}


def _reconstructed(model: LatentDiffusion, count: int) -> Tensor:
    return model.decode(model.encode(Pictures(splits().test, count, seed=1)[:])).cpu()


def _nearest(generated: Tensor, pictures: Pictures) -> dict:
    """Distance to the nearest training picture, of generated and of real unseen pictures."""
    real = Pictures(splits().test, len(generated), seed=1)[:]
    distances = {"generated": nearest(generated, pictures)[0], "real": nearest(real, pictures)[0]}
    return {
        name: {"median": round(float(d.median()), 4), "min": round(float(d.min()), 4)}
        for name, d in distances.items()
    }
