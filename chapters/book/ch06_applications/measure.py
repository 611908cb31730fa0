"""How well the shipped model edits: section "editing" of data/results.json.

Settings are chosen on validation scenes. All other figures are of test scenes: neither the picture
that is edited nor what is asked for occurs in training. A measurement is interrupted for free: each
finished part is kept, and the next one goes on there.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from book import results
from book.ch06_applications.editing import MARGIN, arc, edit_mask, edit_tasks, seam_error, straight
from book.ch06_applications.judged import (
    INPAINT,
    QUICK,
    inner_jump,
    judge_edits,
    masks,
    mean,
    restored,
    tilings,
    ways,
)
from minildm.engine.devices import surroundings
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, dpmpp_2m
from minildm.shapes.judge import judge, lower_bound
from minildm.shapes.scenes import Pictures, splits

STRENGTHS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
SCALES = (0.25, 0.5, 0.71, 0.85, 1.0, 1.2, 1.4, 2.0)
CHANGES = {
    "colour": ("red", "blue"),
    "fill": ("solid", "striped"),
    "background": ("white", "black"),
}


def measure_editing(
    model: LatentDiffusion,
    seeds: Sequence[int] = (0, 1, 2),
    count: int = 200,
    report=print,
    folder: str | Path | None = None,
) -> dict:
    """All figures of chapter 6; ``count`` inpainting tasks, fewer of the others.

    ``folder``: where the parts that are done are kept, None: where ``Runs`` keeps them.
    """
    some = max(2, count // 4)
    command = results.command("editing", seeds)
    figures = {"command": command, "tasks": count, "fewer_tasks": some, "margin": MARGIN}
    settings = [count, list(seeds), MARGIN, STRENGTHS, SCALES, CHANGES]
    done = results.Runs("editing", settings, model, folder)
    for name, run in _parts(model, seeds, count, some).items():
        figures[name] = done.get(name, run, report)
    done.forget()
    return {**figures, **surroundings()}


def _parts(model: LatentDiffusion, seeds: Sequence[int], count: int, some: int) -> dict:
    """What is measured: name -> a function without arguments."""
    return {
        "inpainting_on_validation": lambda: choose_mask(model, some),
        "inpainting": lambda: measure_inpainting(model, seeds, count),
        "strength": lambda: measure_strength(model, seeds, some),
        "tiling": lambda: measure_tiling(model, some),
        "interpolation": lambda: measure_interpolation(model, seeds, some),
        "scale_of_the_noise": lambda: measure_scale(model, some),
        "attributes": lambda: measure_attributes(model, some),
        "restoration": lambda: measure_restoration(model, seeds, count // 2),
    }


# --- one function per part ------------------------------------------------------------------------


def choose_mask(model: LatentDiffusion, count: int) -> dict[str, float]:
    """Share of right edits of validation scenes, by mask; then by sampler, for the last mask."""
    edits, found = edit_tasks(splits().validation, count, seed=100), {}
    named = masks(edits)
    *_, widest = named
    runs = [(name, name, INPAINT["sampler"]) for name in named]
    runs += [(f"{widest}, {step.__name__}", widest, step) for step in (ddim, dpmpp_2m)]
    for label, name, sampler in runs:
        options = {**INPAINT, "sampler": sampler, "seed": 100}
        x = model.inpaint(edits.x, named[name], edits.texts(), **options)
        found[label] = judge_edits(x, edits).shares()["right"]
    return found


def measure_inpainting(model: LatentDiffusion, seeds: Sequence[int], count: int) -> dict:
    """The try-on task: one object's colour or shape changes, all else stays."""
    edits, runs = edit_tasks(splits().test, count), []
    colour = (edits.column - 2) % 4 == 2
    mask, hits = edit_mask(edits.rows, edits.places, edits.which), 0
    for seed in seeds:
        outcome = judge_edits(
            model.inpaint(edits.x, mask, edits.texts(), **INPAINT, seed=seed), edits
        )
        hits += int(outcome.right.sum())
        by_kind = {"colour": mean(outcome.right[colour]), "shape": mean(outcome.right[~colour])}
        runs.append({"seed": seed, **outcome.shares(), **by_kind})
    tries = count * len(seeds)
    bound = round(lower_bound(hits, tries), 4)
    return {"right": round(hits / tries, 4), "lower_bound_95": bound, "runs": runs}


def measure_strength(model: LatentDiffusion, seeds: Sequence[int], count: int) -> dict:
    """image_to_image under the caption of the edited scene: strength -> figures of each seed."""
    edits = edit_tasks(splits().test, count, seed=1)
    found = {}
    for strength in STRENGTHS:
        runs = []
        for seed in seeds:
            options = {**QUICK, "steps": 20, "seed": seed}
            x = model.image_to_image(edits.x, edits.texts(), strength, **options)
            runs.append(judge_edits(x, edits).shares())
        found[str(strength)] = {name: [run[name] for run in runs] for name in runs[0]}
    return found


def measure_tiling(model: LatentDiffusion, count: int) -> dict:
    """Seam against the jumps inside, and what wrapping costs in obedience to the caption."""
    edits, found = edit_tasks(splits().test, count, seed=2), {}
    for name, x in tilings(model, edits.texts(), seed=0).items():
        found[name] = {
            "seam": round(float(seam_error(x).mean()), 4),
            "inside": round(float(inner_jump(x).mean()), 4),
            "right": judge_edits(x, edits).shares()["right"],
        }
    return found


def measure_interpolation(model: LatentDiffusion, seeds: Sequence[int], count: int) -> dict:
    """Half way between two noises, and half way between two encoded pictures."""
    edits, found = edit_tasks(splits().test, count, seed=3), {}
    texts = edits.texts()
    for way in (straight, arc):
        z = [way(model.noise(count, seed), model.noise(count, seed + 50), 0.5) for seed in seeds]
        runs = [judge_edits(model.text_to_image(texts, z_T=z_T, **QUICK), edits) for z_T in z]
        length = torch.cat(z).flatten(1).norm(dim=1) / z[0][0].numel() ** 0.5
        right = [mean(run.right) for run in runs]
        found[way.__name__] = {"length": round(float(length.mean()), 4), "right": right}
    pictures = Pictures(splits().test, 2 * count, seed=4)[:]
    z_a, z_b = model.encode(pictures).chunk(2)
    accepted = judge(model.decode(straight(z_a, z_b, 0.5))).accepted
    return {**found, "between_encoded_pictures": {"accepted": mean(accepted)}}


def measure_scale(model: LatentDiffusion, count: int) -> dict[str, float]:
    """Share of right pictures when the starting noise is multiplied by a factor."""
    edits = edit_tasks(splits().test, count, seed=5)
    z_T, found = model.noise(count, 0), {}
    for scale in SCALES:
        x = model.text_to_image(edits.texts(), z_T=scale * z_T, **QUICK)
        found[str(scale)] = judge_edits(x, edits).shares()["right"]
    return found


def measure_attributes(model: LatentDiffusion, count: int) -> dict:
    """Three ways to change one attribute: directions in the latents, noising, inversion."""
    found = {}
    for name, only in CHANGES.items():
        edits = edit_tasks(splits().test, count, seed=6, names=(name,), only=only)
        found[name] = {how: judge_edits(x, edits).shares() for how, x in ways(model, edits).items()}
    return found


def measure_restoration(model: LatentDiffusion, seeds: Sequence[int], count: int) -> dict:
    """Pictures averaged over 8 x 8 pixels, "restored" without a caption: is it the truth?"""
    pictures = Pictures(splits().test, count, seed=7)
    runs = [restored(model, pictures, seed)[1] for seed in seeds]
    return {name: [run[name] for run in runs] for name in runs[0]}
