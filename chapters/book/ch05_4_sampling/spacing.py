"""Where a walk stops: spacings of the times, and section "spacing" of data/results.json.

    power      T (1 - i/n)^p: even for p = 1, crowded at the noisy end below, at the clean end above
    by_sigma   evenly in a power of noise / signal, from a largest value down: Karras et al.
    SPACINGS   those that are compared, by name

The figures of a run are those of ``measure.py``: the share of pictures that are as asked, and the
distance of the latents to the end of a fine walk from the same noise.
"""

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from book.ch05_4_sampling.measure import Point, measured, rms
from book.ch05_5_text_to_image.measure_shapes import as_figures, band
from minildm import checks
from minildm.checks import inputs
from minildm.latent import LatentDiffusion
from minildm.samplers import dpmpp_2m
from minildm.schedule import DiscreteSchedule
from minildm.shapes.captions import asked_texts
from minildm.shapes.judge import caption_accuracy, judge
from minildm.shapes.scenes import splits
from minildm.shapes.training import GUIDANCE

LARGEST = 80.0  # noise / signal at which Karras et al. begin
RHO = 7.0  # their power
EVALUATIONS = (4, 6, 8, 12)
SEEDS = (0, 1, 2, 3, 4)
CAPTIONS = 50


def power(schedule: DiscreteSchedule, n: int, p: float) -> Tensor:
    """T = t_0 > .. > t_n = 0 near T (1 - i/n)^p: int64 (n+1,). ValueError if two are equal."""
    n, p = checks.count("n", n, schedule.T), inputs.real("p", p, 0, 10, open=True)
    share = torch.arange(n, -1, -1, dtype=torch.float64) / n
    return _distinct((schedule.T * share**p + 0.5).floor().long(), f"p = {p}")


def by_sigma(schedule: DiscreteSchedule, n: int, largest: float = LARGEST) -> Tensor:
    """n times whose (noise / signal)^(1/7) is evenly spaced from ``largest`` down to t = 1, then 0.

    int64 (n+1,), rounded to the nearest level there is; the first is below T where T is noisier.
    Karras et al. 2022 (arXiv 2206.00364), eq. 5. ValueError if two are equal.
    """
    n = checks.count("n", n, schedule.T)
    largest = inputs.real("largest", largest, 0, 1e12, open=True)
    signal, noise = schedule(torch.arange(1, schedule.T + 1))
    sigma = noise / signal  # (T,) grows with t
    ends = [x ** (1 / RHO) for x in (min(largest, float(sigma[-1])), float(sigma[0]))]
    wanted = torch.linspace(*ends, n, dtype=torch.float64) ** RHO
    t = 1 + (sigma - wanted[:, None]).abs().argmin(1)
    return _distinct(torch.cat([t, torch.tensor([0])]), f"largest = {largest:g}")


def _distinct(times: Tensor, what: str) -> Tensor:
    if (times.diff() >= 0).any():
        n = len(times) - 1
        raise ValueError(f"two times are equal with n = {n}, {what}: lower n, or space more evenly")
    return times


SPACINGS = {
    "p = 1/2": partial(power, p=0.5),
    "p = 3/4": partial(power, p=0.75),
    "p = 1": partial(power, p=1.0),
    "p = 2": partial(power, p=2.0),
    "by sigma": by_sigma,
}


def measure_spacing(
    model: LatentDiffusion,
    seeds: Sequence[int] = SEEDS,
    count: int = CAPTIONS,
    folder: str | Path | None = None,
    report=print,
) -> dict:
    """Accuracy and distance of 2M for each spacing and number of evaluations, over seeds.

    ``folder``: where the runs that are done are kept, None: where ``Runs`` keeps them.
    """
    rows = splits().test[:count]
    points = []
    for spacing, grid in SPACINGS.items():
        for n in EVALUATIONS:
            times = grid(model.schedule, n)
            name, summary = f"{spacing}, dpmpp_2m, {n} steps", partial(_point, times)
            points.append(Point(spacing, name, partial(_run, model, rows, times), summary))
    about = lambda *_: {"sampler": "dpmpp_2m"}  # noqa: E731
    return measured("spacing", "spacings", points, about, model, seeds, rows, folder, report)


def _run(model: LatentDiffusion, rows: Tensor, times: Tensor, seed: int, fine: Tensor) -> dict:
    options = {"times": times, "sampler": dpmpp_2m, "guidance": GUIDANCE, "seed": seed}
    *_, last = model.walk(asked_texts(rows), z_T=model.noise(len(rows), seed), **options)
    found = as_figures(caption_accuracy(judge(model.decode(last.z).cpu()), rows))
    return {
        **{k: found[k] for k in ("joint", "accepted")},
        "distance": round(rms(last.z[: len(fine)], fine), 4),
    }


def _point(times: Tensor, runs: Sequence[dict]) -> dict:
    distance = round(statistics.mean(run["distance"] for run in runs), 4)
    head = {"evaluations": len(times) - 1, "times": times.tolist()}
    return {**head, **band(runs), "distance": distance}
