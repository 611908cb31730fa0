"""A distance of two sets of pictures that is right on average, however few pictures there are.

    kernel_distance    the unbiased estimate of the squared MMD, with the kernel of KID
    standard_features  what a picture is compared by: the reader's features, in their own units
    measure_distances  figures of chapter 8, section "distances" of data/results.json
"""

import functools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from book import results
from book.ch05_5_text_to_image.measure_shapes import Task, draw
from book.shape_reader import load_reader
from minildm.checks import inputs
from minildm.engine.devices import surroundings
from minildm.latent import LatentDiffusion
from minildm.metrics import frechet_distance
from minildm.shapes.scenes import Pictures, splits
from minildm.shapes.training import GUIDANCE

COUNTS = (100, 200, 500, 1000)  # pictures of a set
REFERENCE = 5000  # real pictures that every set is compared with
STEPS = {"drawn in 4 steps": 4, "drawn in 2 steps": 2}


def kernel_distance(x: Tensor, y: Tensor, diagonal: bool = False) -> float:
    """Sum over i != j of k(x_i, x_j) / n (n - 1), the same of y, minus 2 mean k(x_i, y_j).

    ``x`` (n, d), ``y`` (m, d): features; k(a, b) = (a . b / d + 1)^3. Unbiased, so it can be
    negative. ``diagonal``: with the terms i = j, divided by n^2: biased, and never negative.
    Gretton et al. 2012, lemma 6; for the kernel see arXiv 1801.01401, section 4.
    Raises ValueError unless both have two points or more, of the same d.
    """
    x, y = inputs.numbers("x", x), inputs.numbers("y", y)
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            f"give (n, d), (m, d) with n, m >= 2; got {tuple(x.shape)}, {tuple(y.shape)}"
        )

    def own(a: Tensor) -> Tensor:
        k, n = kernel(a, a), len(a)
        return k.mean() if diagonal else (k.sum() - k.trace()) / (n * (n - 1))

    return float(own(x) + own(y) - 2 * kernel(x, y).mean())


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """k(a_i, b_j) = (a_i . b_j / d + 1)^3 of all pairs: (n, d), (m, d) -> (n, m)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def measure_distances(
    model: LatentDiffusion, seeds: Sequence[int] = (0, 1, 2, 3, 4), report=print,
    counts: Sequence[int] = COUNTS, reference: int = REFERENCE, folder: str | Path | None = None,
) -> dict:  # fmt: skip
    """Both distances to ``reference`` real pictures, of four kinds of pictures, for each draw.

    The smaller sets of a draw are the first of its largest one. ``seeds``: one for each draw.
    ``folder``: where the draws that are done are kept, None: where ``Runs`` keeps them.
    """
    settings = {"counts": list(counts), "reference": reference, "guidance": GUIDANCE}
    done = results.Runs("distances", settings, model, folder)
    real = load_reader().features(Pictures(splits().test, reference, seed=2)[:])
    figures: dict = {"command": results.command("distances", seeds), **settings}
    figures |= {**surroundings(), "sets": {}}
    for name in ("real", "reconstructed", *STEPS):
        figures["sets"][name] = draws = []
        for seed in seeds:
            go = partial(_draw, model, real, name, seed, counts)
            draws.append({"seed": seed, **done.get(f"{name}, seed {seed}", go, report)})
    done.forget()
    return figures


def _draw(
    model: LatentDiffusion, real: Tensor, name: str, seed: int, counts: Sequence[int]
) -> dict:
    """{"frechet": {n: distance}, "kernel": {n: distance}} of one draw, to features (m, 64)."""
    x = load_reader().features(pictures(model, name, seed, max(counts)))  # (n, 64)
    a, b = standard(x), standard(real)
    return {
        "frechet": {str(n): round(frechet_distance(x[:n], real), 3) for n in counts},
        "kernel": {str(n): round(kernel_distance(a[:n], b), 6) for n in counts},
    }


def standard_features(x: Tensor) -> Tensor:
    """The reader's features of pictures (n, 3, 64, 64), ``standard``: float64 (n, 64)."""
    return standard(load_reader().features(x))


def standard(features: Tensor) -> Tensor:
    """Features (n, 64) minus their mean over 2,000 training pictures, over their deviation there.

    So that k is of the size of 1. The map is fixed: it depends on none of the sets compared.
    """
    mean, deviation = _units()
    return (features.double() - mean) / deviation


@functools.cache
def _units() -> tuple[Tensor, Tensor]:
    known = load_reader().features(Pictures(splits().train, 2000, seed=4)[:]).double()
    return known.mean(0), known.std(0).clamp(min=1e-6)


def pictures(model: LatentDiffusion, name: str, seed: int, count: int) -> Tensor:
    """``count`` pictures (n, 3, 64, 64) of a kind: real ones, the same through the autoencoder, or
    drawn from captions of the test split; other scenes for each seed."""
    if name in STEPS:
        rows = splits().test
        rows = rows[(seed * count + torch.arange(count)) % len(rows)]
        return draw(model, Task(rows, STEPS[name]), GUIDANCE, seed)
    x = Pictures(splits().test, count, seed=100 + seed)[:]
    return x if name == "real" else model.decode(model.encode(x)).cpu()
