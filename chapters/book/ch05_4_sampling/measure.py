"""Samplers against the number of network evaluations: section "samplers" of data/results.json.

Every sampler starts from the same noise, for the same captions. Two figures of each run:

    joint     share of pictures in which the judge reads all that was asked for
    distance  root mean square difference of its latents from those of a walk so fine that finer
              ones no longer move it; DDPM has no such end, its distance says how far it strays

A measurement is interrupted for free: each run is kept, and the next one goes on there.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from book import results
from book.ch05_5_text_to_image.measure_shapes import Task, as_figures, band, evaluations
from minildm.engine.devices import surroundings
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun
from minildm.shapes.captions import asked_texts
from minildm.shapes.judge import caption_accuracy, judge
from minildm.shapes.scenes import splits
from minildm.shapes.training import GUIDANCE

SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "heun": heun, "dpmpp_2m": dpmpp_2m}
EVALUATIONS = (2, 3, 4, 6, 8, 12, 16, 25, 50)  # of the network, in each branch of the guidance
CAPTIONS = 100
FINE, FOLLOWED = 100, 40  # steps of the reference; captions for which it is walked


def steps_for(step: Callable, most: int) -> int:
    """The largest number of steps that costs at most ``most`` evaluations.

    Raises ValueError unless ``most`` is at least 1.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1 evaluation; got {most}")
    return (most + 1) // 2 if step is heun else most


def draw_latents(model: LatentDiffusion, task: Task, guidance: float, seed: int) -> Tensor:
    """The latents (n, c, h, w) of ``measure_shapes.draw``: same noise, same captions, undecoded."""
    options = {"steps": task.steps, "sampler": task.sampler, "guidance": guidance, "seed": seed}
    noise = model.noise(len(task.rows), seed)
    *_, last = model.walk(asked_texts(task.rows), z_T=noise, **options)
    return last.z


def rms(a: Tensor, b: Tensor) -> float:
    """Root mean square difference of two batches of latents, over all their numbers."""
    return float((a.double() - b.double()).square().mean().sqrt())


class Point(NamedTuple):
    """One point of a table of figures."""

    row: str  # where it stands in the table
    name: str  # of its runs
    run: Callable[[int, Tensor], dict]  # (seed, end of the fine walk) -> what one run found
    summary: Callable[[Sequence[dict]], dict]  # of all runs


def measured(
    section: str, title: str, points: Sequence[Point], about: Callable[..., dict],
    model: LatentDiffusion, seeds: Sequence[int], rows: Tensor, folder: str | Path | None, report,
) -> dict:  # fmt: skip
    """A section of figures: ``title`` is its table, each of its points over seeds.

    ``about(done, fine)``: what stands before the table. Runs that are done are kept in ``folder``.
    """
    settings = {"captions": len(rows), "followed": FOLLOWED, "fine": FINE, "guidance": GUIDANCE}
    done = results.Runs(section, settings, model, folder)
    fine = {seed: fine_end(done, model, rows, seed, report) for seed in seeds}
    table: dict[str, list[dict]] = {}
    for point in points:
        runs = []
        for seed in seeds:
            go = partial(point.run, seed, fine[seed])
            runs.append({"seed": seed, **done.get(f"{point.name}, seed {seed}", go, report)})
        table.setdefault(point.row, []).append(point.summary(runs))
    figures = {
        "command": results.command(section, seeds),
        "captions": len(rows),
        "guidance": GUIDANCE,
        **about(done, fine),
        title: table,
        **surroundings(),
    }
    done.forget()
    return figures


def measure_samplers(
    model: LatentDiffusion,
    seeds: Sequence[int] = (0, 1, 2),
    count: int = CAPTIONS,
    folder: str | Path | None = None,
    report=print,
) -> dict:
    """Accuracy and distance of each sampler at each number of evaluations, over seeds.

    ``folder``: where the runs that are done are kept, None: where ``Runs`` keeps them.
    """
    rows = splits().test[:count]
    points = []
    for name, steps in _grid():
        task = Task(rows, steps, SAMPLERS[name])
        summary = partial(_point, SAMPLERS[name], steps)
        points.append(Point(name, f"{name}, {steps} steps", partial(_run, model, task), summary))

    def about(done: results.Runs, fine: Mapping[int, Tensor]) -> dict:
        other = _fine(done, model, rows, "heun", FINE // 2, seeds[0], report)
        return {"reference": _about(fine, other)}

    return measured("samplers", "samplers", points, about, model, seeds, rows, folder, report)


def within_noise(points: Sequence[Mapping]) -> int:
    """The fewest evaluations whose mean accuracy lies in the seeds' band of the best point.

    ``points``: one sampler's, as in the section: each with "evaluations" and "joint" with "mean",
    "min" and "max". Raises ValueError without points.
    """
    if not points:
        raise ValueError("points must hold at least one point of a sampler; got none")
    best = max(points, key=lambda point: point["joint"]["mean"])
    good = [p["evaluations"] for p in points if p["joint"]["mean"] >= best["joint"]["min"]]
    return min(good)


# --- one run --------------------------------------------------------------------------------------


def _grid() -> list[tuple[str, int]]:
    """(sampler, steps) of every point, each once: 3 and 4 evaluations are both 2 steps of Heun."""
    pairs = ((n, steps_for(step, most)) for n, step in SAMPLERS.items() for most in EVALUATIONS)
    return list(dict.fromkeys(pairs))


def _run(model: LatentDiffusion, task: Task, seed: int, fine: Tensor) -> dict:
    z = draw_latents(model, task, GUIDANCE, seed)
    found = as_figures(caption_accuracy(judge(model.decode(z).cpu()), task.rows))
    return {**found, "distance": round(rms(z[: len(fine)], fine), 4)}


def _point(step: Callable, steps: int, runs: Sequence[dict]) -> dict:
    names = runs[0]["by_name"]
    shares = {n: round(statistics.mean(r["by_name"][n] for r in runs), 4) for n in names}
    short = [{k: run[k] for k in ("seed", "joint", "accepted", "distance")} for run in runs]
    distance = round(statistics.mean(run["distance"] for run in runs), 4)
    head = {"evaluations": evaluations(step, steps), "steps": steps}
    return {**head, **band(short), "distance": distance, "by_name": shares}


def _about(fine: Mapping[int, Tensor], other: Tensor) -> dict:
    """What the reference is, how well another sampler agrees with it, and what "far" means."""
    z = next(iter(fine.values()))
    apart = [rms(a, b) for a, b in pairwise(fine.values())]
    return {
        "sampler": "dpmpp_2m",
        "steps": FINE,
        "captions": len(z),
        "heun_with_as_many_evaluations": round(rms(other, z), 4),
        "another_noise": round(statistics.mean(apart), 4) if apart else None,
    }


def fine_end(done: results.Runs, model, rows: Tensor, seed: int, report=print) -> Tensor:
    """The latents at the end of ``FINE`` steps of 2M, for the first ``FOLLOWED`` captions."""
    return _fine(done, model, rows, "dpmpp_2m", FINE, seed, report)


def _fine(done, model, rows: Tensor, name: str, steps: int, seed: int, report) -> Tensor:
    """The latents at the end of a fine walk for the first captions, walked once."""
    task = Task(rows[:FOLLOWED], steps, SAMPLERS[name])
    key = f"fine {name}, {steps} steps, seed {seed}"
    go = lambda: draw_latents(model, task, GUIDANCE, seed).tolist()  # noqa: E731
    return torch.tensor(done.get(key, go, report))
