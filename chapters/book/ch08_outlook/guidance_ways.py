"""Guidance that is not the same everywhere: in a stretch of noise levels, or without one direction.

    limited       guided between two noise levels, conditioned elsewhere
    projected     guided, without the part of the difference that lies along the estimate
    measure_ways  figures of chapter 8, section "guidance-ways" of data/results.json
    ranged        these, as text: mean and range over seeds

Each is a denoiser made from denoisers: every sampler takes them as they are.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from book import results
from book.ch05_5_text_to_image.measure_guidance import variety
from minildm.denoise import guided
from minildm.engine.devices import surroundings
from minildm.interfaces import Denoised, Denoiser, Schedule
from minildm.latent import LatentDiffusion
from minildm.samplers import dpmpp_2m, sample
from minildm.schedule import expand
from minildm.shapes.captions import asked_texts
from minildm.shapes.judge import caption_accuracy, judge
from minildm.shapes.scenes import splits

SCALES = (2.5, 7.0, 12.0)
CAPTIONS, DRAWN, STEPS = 20, 3, 20  # captions of each seed, pictures of each, steps
LOW, HIGH = 200, 700  # of six stretches the best at w = 12, on the captions of seed 10

Way = Callable[[Denoiser, Denoiser, Schedule, float], Denoiser]


def limited(inside: Denoiser, outside: Denoiser, low: float, high: float) -> Denoiser:
    """``inside`` for low < t <= high, ``outside`` elsewhere; t is one time for all, as in samplers.

    Guided inside and only conditioned outside, it is Kynkäänniemi et al. 2024 (arXiv 2404.07724).
    Raises ValueError unless low < high.
    """
    if not low < high:
        raise ValueError(f"low must be below high; got {low} and {high}")
    return lambda z_t, t: (inside if low < float(t) <= high else outside)(z_t, t)


def projected(
    conditional: Denoiser, unconditional: Denoiser, schedule: Schedule, guidance: float
) -> Denoiser:
    """z0 = z0_c + (w - 1) (d - (d . z0_c) / (z0_c . z0_c) z0_c),  d = z0_c - z0_u, and its eps.

    ``guided`` without what lies along z0_c, sample by sample: the projection of APG (Sadat et al.
    2024, arXiv 2410.02416), without its shortening of d and without its momentum.
    """

    def denoise(z_t: Tensor, t: Tensor) -> Denoised:
        z0_c, z0_u = conditional(z_t, t).z0, unconditional(z_t, t).z0
        d = z0_c - z0_u
        across = d - expand(dot(d, z0_c) / dot(z0_c, z0_c), d) * z0_c
        z0 = z0_c + (guidance - 1) * across
        signal, noise = (expand(c, z_t) for c in schedule(t))
        return Denoised(z0, (z_t - signal * z0) / noise)

    return denoise


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each sample of a with its own of b: (B, *d) twice -> (B,)."""
    return (a * b).flatten(1).sum(1)


WAYS: Mapping[str, Way] = {
    "everywhere": lambda c, u, _, w: guided(c, u, w),
    "in the middle": lambda c, u, _, w: limited(guided(c, u, w), c, LOW, HIGH),
    "projected": projected,
}


def measure_ways(
    model: LatentDiffusion, seeds: Sequence[int] = (0, 1, 2, 3, 4),
    scales: Sequence[float] = SCALES, report=print, folder: str | Path | None = None,
) -> dict:  # fmt: skip
    """Figures of each way and guidance, seed by seed: other validation captions for each seed.

    ``folder``: where the runs that are done are kept, None: where ``Runs`` keeps them.
    """
    settings = {
        "captions": CAPTIONS, "pictures_of_each": DRAWN, "steps": STEPS,
        "stretch": [LOW, HIGH],
    }  # fmt: skip
    done = results.Runs("guidance-ways", settings, model, folder)
    figures: dict = {"command": results.command("guidance-ways", seeds), **settings}
    figures |= {**surroundings(), "ways": {"everywhere": {}}}
    for name, guidance in [("everywhere", 1.0), *((n, w) for n in WAYS for w in scales)]:
        runs = []
        for seed in seeds:
            go = partial(_run, model, WAYS[name], guidance, seed)
            key = f"{name}, {guidance}, seed {seed}"
            runs.append({"seed": seed, **done.get(key, go, lambda _: None)})
        figures["ways"].setdefault(name, {})[str(guidance)] = runs
        report(f"{name}, w = {guidance}: right {ranged(runs, 'right')}, off {ranged(runs, 'off')}")
    done.forget()
    return figures


def _run(model: LatentDiffusion, way: Way, guidance: float, seed: int) -> dict:
    """One seed's figures, as in ``measure_guidance``."""
    rows = splits().validation[seed * CAPTIONS : (seed + 1) * CAPTIONS]
    rows = rows.repeat_interleave(DRAWN, dim=0)  # (CAPTIONS · DRAWN, 10)
    x = draw(model, asked_texts(rows), way, guidance, seed)
    return {**of_pictures(x, rows, DRAWN), "size": round(float(model.encode(x).std()), 4)}


def of_pictures(x: Tensor, rows: Tensor, drawn: int) -> dict[str, float | None]:
    """Right, variety and off of pictures (n, 3, 64, 64) of scenes (n, 10), ``drawn`` of each."""
    verdict = judge(x)
    off = verdict.residual[verdict.accepted]
    return {
        "right": round(caption_accuracy(verdict, rows).joint, 4),
        "variety": round(float(variety(x, drawn)), 4),
        "off": round(float(off.mean()), 4) if len(off) else None,  # no clean scene: no distance
    }


def draw(
    model: LatentDiffusion, texts: Sequence[str], way: Way, guidance: float, seed: int,
    steps: int = STEPS,
) -> Tensor:  # fmt: skip
    """Pictures (n, 3, 64, 64) of the texts, guided this way, by the book's sampler."""
    asked, nothing = (model.denoiser(list(texts), w) for w in (1.0, 0.0))
    denoise = way(asked, nothing, model.schedule, guidance)
    return model.decode(walk(model, denoise, len(texts), seed, steps))


def walk(model: LatentDiffusion, denoise: Denoiser, count: int, seed: int, steps: int) -> Tensor:
    """Latents (count, c, h, w) where the walks of this denoiser end, from the noise of the seed."""
    z_T, times = model.noise(count, seed), model.schedule.times(steps)
    *_, last = sample(denoise, model.schedule, z_T, times, dpmpp_2m)
    return last.z


def ranged(runs: Sequence[Mapping[str, float | None]], key: str, form: str = ".3f") -> str:
    """Mean of a figure over the runs that have it, and its range: "0.971 (0.950-0.988)"."""
    found = [value for run in runs if (value := run[key]) is not None]
    if not found:
        return "none"
    low, middle, high = min(found), statistics.mean(found), max(found)
    return f"{middle:{form}} ({low:{form}}-{high:{form}})"
