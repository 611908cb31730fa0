"""How well the text-to-image model does what its captions say: the figures of data/results.json.

Every figure is a share of pictures in which the judge (judge.py) reads all ten attributes as they
were asked for; none of the captions asks for a scene that occurs in training, in either wording.
"""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

import torch
from torch import Tensor

from minildm.accuracy import Accuracy, caption_accuracy, memorised, nearest
from minildm.captions import captions
from minildm.judge import Verdict, judge
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, dpmpp_2m, heun
from minildm.shapes import Pictures, splits
from minildm.shapes_training import GUIDANCE, ShapesTraining, gate, training_pictures

CAPTIONS, STEPS, FEW = 1000, 25, 8
SWEPT = (1.0, 1.5, 2.0, 3.0, 5.0)  # guidance, on validation captions
BATCH = 250  # images at a time


def measure_shapes(
    model: LatentDiffusion, seeds: Sequence[int] = (0, 1, 2), count: int = CAPTIONS, report=print
) -> dict:
    """All figures of the shipped model, over sampling seeds; ``count`` captions of each split."""
    unseen, combinations = splits().test[:count], splits().composition
    combinations = combinations[torch.arange(count) * len(combinations) // count]  # spread evenly
    tasks = {
        "unseen_captions": (unseen, STEPS, ddim),
        "held_out_combinations": (combinations, STEPS, ddim),
        "few_evaluations_ddim": (unseen, FEW, ddim),
        "few_evaluations_dpmpp_2m": (unseen, FEW, dpmpp_2m),
        "few_evaluations_heun": (unseen, FEW // 2, heun),  # each step but the last costs two
    }
    figures = {
        "command": f"python -m minildm measure shapes --seeds {' '.join(map(str, seeds))}",
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "captions": count,
        "guidance": GUIDANCE,
        "guidance_on_validation": sweep_guidance(model, report=report),
        "reconstructions": _reconstructions(model, count),
    }
    for name, (rows, steps, sampler) in tasks.items():
        runs, verdict = [], None
        for seed in seeds:
            verdict, accuracy = draw_and_judge(model, rows, steps, sampler, GUIDANCE, seed)
            runs.append({"seed": seed, **as_figures(accuracy)})
            report(f"{name}, seed {seed}: {accuracy.joint:.2%} (>= {accuracy.bound:.2%})")
        figures[name] = {"evaluations_per_branch": _evaluations(steps, sampler), **band(runs)}
        if name == "unseen_captions":
            figures["copies"] = _copies(verdict)
    figures["nearest_training_picture"] = _nearest(model, unseen[:100])
    figures["seconds_for_16_images"] = seconds_for(model, 16)
    figures["load_average"] = [round(load, 2) for load in os.getloadavg()]
    return figures


def asked_texts(rows: Tensor) -> list[str]:
    """Full captions of scene rows (n, 10): every other one names the second object first."""
    return captions(rows, torch.arange(len(rows)) % 2 == 1)


def draw_and_judge(
    model: LatentDiffusion, rows: Tensor, steps: int, sampler: Callable, guidance: float, seed: int
) -> tuple[Verdict, Accuracy]:
    """One picture per scene row (n, 10), and what the judge says of them."""
    verdict = judge(draw(model, rows, steps, sampler, guidance, seed))
    return verdict, caption_accuracy(verdict, rows)


def draw(
    model: LatentDiffusion, rows: Tensor, steps: int, sampler: Callable, guidance: float, seed: int
) -> Tensor:
    """One picture (3, 64, 64) per scene row (n, 10); the noise of each depends on its number."""
    noise, texts = model.noise(len(rows), seed), asked_texts(rows)
    parts = [
        model.text_to_image(
            texts[i : i + BATCH], z_T=noise[i : i + BATCH], steps=steps, sampler=sampler,
            guidance=guidance, seed=seed,
        )
        for i in range(0, len(rows), BATCH)
    ]  # fmt: skip
    return torch.cat(parts).cpu()


def sweep_guidance(model: LatentDiffusion, count: int = 300, report=print) -> dict[str, float]:
    """Joint accuracy on validation captions for several guidances: what ``GUIDANCE`` is from."""
    rows, found = splits().validation[:count], {}
    for guidance in SWEPT:
        _, accuracy = draw_and_judge(model, rows, STEPS, ddim, guidance, seed=100)
        found[str(guidance)] = round(accuracy.joint, 4)
        report(f"guidance {guidance}: {accuracy.joint:.2%} of {count} validation captions")
    return found


def seconds_for(model: LatentDiffusion, count: int, runs: int = 5) -> dict[str, float]:
    """Wall time of ``count`` images with STEPS guided steps, decoding included; after one to warm
    up: the median and the slowest of ``runs``."""
    texts = asked_texts(splits().test[:count])
    times = []
    for _ in range(runs + 1):
        start = perf_counter()
        model.text_to_image(texts, steps=STEPS, guidance=GUIDANCE, seed=0)
        times.append(perf_counter() - start)
    return {"median": round(statistics.median(times[1:]), 2), "slowest": round(max(times[1:]), 2)}


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


def _evaluations(steps: int, sampler: Callable) -> int:
    return 2 * steps - 1 if sampler is heun else steps


def _reconstructions(model: LatentDiffusion, count: int) -> dict:
    """The most that any denoiser could reach on this autoencoder."""
    passed = gate(model.autoencoder, Pictures(splits().test, count, seed=1))
    return {**as_figures(passed.accuracy), "psnr": round(passed.psnr, 2)}


def _copies(verdict: Verdict) -> dict:
    """How many generated scenes stand pixel for pixel in the training set."""
    pictures, _ = training_pictures(ShapesTraining())
    return {"of_training_pictures": memorised(verdict, pictures)}


def _nearest(model: LatentDiffusion, rows: Tensor) -> dict:
    """Distance to the nearest training picture, of generated and of real unseen pictures."""
    pictures, _ = training_pictures(ShapesTraining())
    generated, _ = nearest(draw(model, rows, STEPS, ddim, GUIDANCE, seed=0), pictures)
    real, _ = nearest(Pictures(rows, len(rows), seed=1)[:], pictures)
    return {
        name: {"median": round(float(d.median()), 4), "min": round(float(d.min()), 4)}
        for name, d in (("generated", generated), ("real_unseen", real))
    }
