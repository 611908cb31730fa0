"""The digits model of chapter 3, trained once per seed and judged: two sections of results.json.

train_digits            the latent diffusion model of chapter 3, trained from scratch
measure_digits          how many of its images a classifier of real digits is sure about
measure_shipped_digits  the same for the model that comes with the book
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from book import results
from book.digit_judge import CLASSES, DigitClassifier, confident_classes, confident_fraction
from minildm.data import LabelledSplit, digits
from minildm.engine.devices import surroundings
from minildm.engine.records import Progress
from minildm.latent import LatentDiffusion
from minildm.metrics import psnr
from minildm.predict import V
from minildm.recipes import DIGITS_AUTOENCODER, DIGITS_DENOISER
from minildm.samplers import dpmpp_2m
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.train import train_autoencoder, train_denoiser

SAMPLES, STEPS, GUIDANCE = 256, 20, 2.0


class TrainedDigits(NamedTuple):
    """The model, the log of both trainings, and the seconds that each took."""

    model: LatentDiffusion
    autoencoder_history: list[Progress]
    denoiser_history: list[Progress]
    autoencoder_seconds: float
    denoiser_seconds: float


def train_digits(x: Tensor, labels: Tensor, seed: int = 0, progress: bool = False) -> TrainedDigits:
    """Train the model of chapter 3 on images (n, 1, 28, 28) in [-1, 1] with labels (n,)."""
    first = replace(DIGITS_AUTOENCODER, fit=replace(DIGITS_AUTOENCODER.fit, seed=seed))
    second = replace(DIGITS_DENOISER, fit=replace(DIGITS_DENOISER.fit, seed=seed))
    schedule = DiscreteSchedule(cosine_betas(1000))
    start = perf_counter()
    autoencoder, autoencoder_history = train_autoencoder(first, x, progress)
    middle = perf_counter()
    with torch.no_grad():
        z0 = autoencoder.encode(x).mean * autoencoder.scale
    network, denoiser_history = train_denoiser(second, schedule, z0, labels, progress)
    end = perf_counter()
    model = LatentDiffusion(autoencoder, network, schedule, z0.shape[-2:], V)
    return TrainedDigits(model, autoencoder_history, denoiser_history, middle - start, end - middle)


def asked_labels(count: int = SAMPLES) -> Tensor:
    """All ten classes in turn: 0, 1, .., 9, 0, 1, ..: int64 (count,)."""
    return torch.arange(count) % CLASSES


def judge_samples(
    classifier: DigitClassifier, x: Tensor, asked: Tensor | None = None
) -> dict[str, float]:
    """What the classifier says about images (n, 1, 28, 28): figures of ``data/results.json``."""
    p = classifier.probabilities(x)
    figures = {
        "confident_fraction": round(confident_fraction(p), 4),
        "confident_classes": confident_classes(p),
    }
    if asked is not None:
        figures["agrees_with_label"] = round(float((p.argmax(1) == asked).double().mean()), 4)
    return figures


def measure_digits(
    classifier: DigitClassifier, split: LabelledSplit, seeds: Sequence[int], report=print
) -> dict:
    """Train once per seed; judge samples, decoded random latents and real held-out digits."""
    real = judge_samples(classifier, split.x_held_out, split.labels_held_out)
    report(f"real held-out digits: {real}")
    runs = []
    for seed in seeds:
        trained = train_digits(split.x, split.labels, seed)
        runs.append({"seed": seed, **_judge_run(classifier, split, trained, seed)})
        report(json.dumps(runs[-1]))
    return {
        "command": results.command("digits", seeds),
        **surroundings(),
        "samples": SAMPLES,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "real_held_out": real,
        "samples_over_seeds": _band([run["generated"] for run in runs]),
        "random_latents_over_seeds": _band([run["random_latents"] for run in runs]),
        "runs": runs,
    }


def measure_shipped_digits(
    model: LatentDiffusion, classifier: DigitClassifier, seeds: Sequence[int], report=print
) -> dict:
    """What a judge of real digits says about the digits model of the book, over sampling seeds."""
    asked, runs = asked_labels(1000), []
    for seed in seeds:
        x = model.generate(asked, steps=25, sampler=dpmpp_2m, guidance=GUIDANCE, seed=seed)
        runs.append(judge_samples(classifier, x, asked))
        report(json.dumps(runs[-1]))
    split = digits()
    x_hat = model.decode(model.encode(split.x_held_out))
    return {
        "command": results.command("shipped-digits", seeds),
        "samples": len(asked),
        "evaluations_per_branch": 25,
        "guidance": GUIDANCE,
        "real_held_out": judge_samples(classifier, split.x_held_out, split.labels_held_out),
        "reconstructed": judge_samples(classifier, x_hat, split.labels_held_out),
        "samples_over_seeds": _band(
            [{k: v for k, v in run.items() if k != "seed"} for run in runs]
        ),
        "runs": [{"seed": seed, **run} for seed, run in zip(seeds, runs, strict=True)],
        **surroundings(),
    }


def _judge_run(classifier, split: LabelledSplit, trained: TrainedDigits, seed: int) -> dict:
    model, asked = trained.model, asked_labels()
    start = perf_counter()
    options = {"steps": STEPS, "sampler": dpmpp_2m, "seed": seed}
    x = model.generate(asked, guidance=GUIDANCE, **options)
    seconds = perf_counter() - start
    plain = model.generate(asked, guidance=1.0, **options)
    x_hat = model.decode(model.encode(split.x_held_out))
    return {
        "generated": judge_samples(classifier, x, asked),
        "generated_without_guidance": judge_samples(classifier, plain, asked),
        "random_latents": judge_samples(classifier, model.decode(model.noise(SAMPLES, seed))),
        "reconstructed": judge_samples(classifier, x_hat, split.labels_held_out),
        "reconstruction_psnr": round(float(psnr(x_hat, split.x_held_out).mean()), 2),
        "seconds": {
            "autoencoder": round(trained.autoencoder_seconds, 1),
            "denoiser": round(trained.denoiser_seconds, 1),
            "sampling": round(seconds, 1),
        },
    }


def _band(figures: Sequence[dict]) -> dict:
    """Mean, smallest and largest of each figure."""
    return {
        name: {
            "mean": round(statistics.mean(run[name] for run in figures), 4),
            "min": min(run[name] for run in figures),
            "max": max(run[name] for run in figures),
        }
        for name in figures[0]
    }
