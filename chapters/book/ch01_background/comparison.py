"""VAE, GAN and diffusion model on the same eight clusters: chapter 1, sections "background" and
"background-tuning" of data/results.json.

Written down before anything was measured. All see the same points in the same order, take the same
2,000 steps of 256 points, with AdamW, a falling learning rate and the same running average of
weights, and have the same number of parameters within 2 % (two networks of width 96, or one of
128). Tuning: the same effort for each, five learning rates times two values of the setting that
matters most for it, two trainings each, with seeds that are not used again; what has the smallest
sliced Wasserstein distance on average is chosen (``CHOSEN``), and judged with other seeds. (The
fifth and largest rate was added, for all, when the VAE's best was the largest of four.)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from book.ch01_background.likelihood import log_likelihood
from book.ch01_background.models import GAN, VAE, D, Diffusion
from book.ch05_2_unet.cost import flops, parameters
from minildm.checks import inputs
from minildm.data import mixture, ring
from minildm.engine.optim import EMA
from minildm.engine.settings import FitConfig
from minildm.metrics import mode_coverage, sliced_wasserstein
from minildm.noise import seeded
from minildm.predict import EPS, V

MODES, RADIUS, STD = 8, 1.4, 0.1  # radius 1.4: standard deviation 1 in each direction
DATA = ring(MODES, RADIUS, STD)
WIDTH, WIDTH_DIFFUSION = 96, 128
FIT = FitConfig(steps=2000, batch=256, ema=0.99)
SAMPLES, NOTED, HELD_OUT, EVERY = 10_000, 2_000, 500, 100
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


@dataclass(frozen=True)
class Settings:
    """``fit``: steps, batch, learning rate, average. ``beta1``: of Adam's first moment."""

    fit: FitConfig
    beta1: float = 0.9

    def __post_init__(self) -> None:
        inputs.share_fields(self, "beta1")


class Trained(NamedTuple):
    """``model``: with averaged weights; ``steps`` and ``curve``: what was noted, and when."""

    model: nn.Module
    steps: list[int]
    curve: list


def train(
    make: Callable[[], nn.Module],
    settings: Settings,
    points: Tensor,
    note: Callable[[nn.Module], object] | None = None,
    every: int = 100,
) -> Trained:
    """Train ``make()`` on points (n, 2): step i sees points[i * batch : (i + 1) * batch].

    ``note(model)`` is asked each ``every`` steps, of the averaged weights. All chance depends
    on settings.fit.seed; torch's own state is kept. Raises ValueError for too few points, and
    ``NotFinite`` for a loss that is not a number. The engine's ``fit`` trains one network on one
    loss; a GAN has two players that take turns, so here a step goes round all players of a model.
    """
    fit = settings.fit
    if len(points) < fit.steps * fit.batch:
        raise ValueError(f"{fit.steps} steps of {fit.batch} need {fit.steps * fit.batch} points")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fit.seed)
        model = make()
        players = [
            (loss, torch.optim.AdamW(
                net.parameters(), fit.lr, (settings.beta1, 0.99), weight_decay=fit.weight_decay,
                fused=True,
            ))
            for net, loss in model.turns()
        ]  # fmt: skip
        average, steps, curve = EMA(model, fit.ema), [], []
        for step, batch in enumerate(points[: fit.steps * fit.batch].split(fit.batch)):
            for loss, optimizer in players:
                for group in optimizer.param_groups:
                    group["lr"] = fit.lr_at(step)
                optimizer.zero_grad()
                value = loss(batch)
                inputs.finite(f"the loss of step {step}", value)
                value.backward()
                optimizer.step()
            average.update(model)
            if note is not None and (step + 1) % every == 0:
                steps.append(step + 1)
                curve.append(note(average.net))
    return Trained(average.net, steps, curve)


class Candidate(NamedTuple):
    """A model and how it is trained."""

    make: Callable[[], nn.Module]
    settings: Settings


def _candidate(make: Callable[[], nn.Module], lr: float, beta1: float = 0.9) -> Candidate:
    return Candidate(make, Settings(replace(FIT, lr=lr), beta1))


def candidates() -> dict[str, dict[str, Candidate]]:
    """Everything that was tried: model -> "lr ..., setting ..." -> candidate."""
    tried: dict[str, dict[str, Candidate]] = {}
    for lr in RATES:
        rows = {
            "VAE": [
                (f"KL weight {beta}", _candidate(partial(VAE, WIDTH, beta), lr))
                for beta in (1.0, 0.3)
            ],
            "GAN": [
                (f"beta1 {beta1}", _candidate(partial(GAN, WIDTH), lr, beta1))
                for beta1 in (0.5, 0.9)
            ],
            "GAN, R1": [
                (f"penalty {penalty}", _candidate(partial(GAN, WIDTH, penalty), lr, 0.5))
                for penalty in (0.1, 1.0)
            ],
            "diffusion": [
                (f"predicts {kind.name}", _candidate(partial(Diffusion, WIDTH_DIFFUSION, kind), lr))
                for kind in (V, EPS)
            ],
        }
        for name, options in rows.items():
            tried.setdefault(name, {}).update({f"lr {lr:g}, {what}": c for what, c in options})
    return tried


CHOSEN = {
    "VAE": "lr 0.03, KL weight 1.0",
    "GAN": "lr 0.0003, beta1 0.9",
    "GAN, R1": "lr 0.003, penalty 1.0",
    "diffusion": "lr 0.01, predicts V",
}


def chosen() -> dict[str, Candidate]:
    """The best candidate of each model, by the section "background-tuning"."""
    return {name: candidates()[name][label] for name, label in CHOSEN.items()}


# --- one training -------------------------------------------------------------------------------


def run(candidate: Candidate, seed: int = 0, note: Callable | None = None) -> Trained:
    """Train a candidate with this seed: other points, other weights, other noise."""
    settings = replace(candidate.settings, fit=replace(candidate.settings.fit, seed=seed))
    points = mixture(settings.fit.steps * settings.fit.batch, *DATA, seed=seeded(seed, 1))
    return train(candidate.make, settings, points, note, EVERY)


def shares(points: Tensor) -> Tensor:
    """Which share of the points that are near a mode is near each: float64 (MODES,)."""
    distance, nearest = torch.cdist(points.double(), DATA[1]).min(dim=1)
    counts = torch.bincount(nearest[distance <= 3 * STD], minlength=MODES).double()
    return counts / counts.sum().clamp(min=1)


def effective_modes(shares: Tensor) -> float:
    """exp(-sum p log p) of shares p (K,): K when all are alike, 1 when there is only one.

    The perplexity of the shares; Hill 1973 (Ecology 54, 427), order 1.
    """
    return float(torch.special.entr(shares.double()).sum().exp())


def largest_fall(curve: Sequence[float]) -> float:
    """How far a curve ever falls below what it had reached before: 0 if it only rises."""
    values = torch.tensor(curve, dtype=torch.float64)
    return float((values.cummax(0).values - values).max())


@torch.no_grad()
def noted(model: nn.Module) -> float:
    """The effective number of modes of some samples: one point of a curve."""
    return effective_modes(shares(model.sample(NOTED)))


def balanced(n: int = SAMPLES, seed: int = 7) -> Tensor:
    """n points of the data with exactly n / MODES in each mode: the truth, without its own luck."""
    _, means, covs = DATA
    one = torch.ones(1, dtype=torch.float64)
    each = [
        mixture(n // MODES, one, means[k : k + 1], covs[k : k + 1], seed=seeded(seed, k))
        for k in range(MODES)
    ]
    points = torch.cat(each)
    return points[torch.randperm(len(points), generator=seeded(seed))]


def judge(points: Tensor) -> dict[str, float]:
    """Coverage, evenness, quality and distance of samples (n, 2)."""
    cover = mode_coverage(points, DATA[1], STD)
    return {
        "modes hit": cover.modes,
        "effective modes": effective_modes(shares(points)),
        "near a mode": cover.points,
        "distance": sliced_wasserstein(points, balanced()),
    }


@torch.no_grad()
def samples(model: nn.Module, n: int = SAMPLES, seed: int = 0, **options) -> Tensor:
    """n samples of a trained model, by this seed: (n, 2); torch's own state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model.sample(n, **options)


# --- likelihood and cost --------------------------------------------------------------------------


def held_out(n: int = HELD_OUT) -> Tensor:
    """Points that nobody was trained on: (n, 2)."""
    return mixture(n, *DATA, seed=seeded(99))


@torch.no_grad()
def vae_bounds(model: VAE, x: Tensor, draws: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(ELBO, importance-weighted estimate of log p(x)), each (B,), in nats, from ``draws`` z each.

    ELBO: mean of log w; the estimate: log of the mean of w, w = p(x | z) p(z) / q(z | x). It is a
    bound, too, and tighter: Burda et al. 2015 (arXiv 1509.00519), equation 8.
    """
    q, generator = model.encode(x), torch.Generator().manual_seed(seed)
    eps = torch.randn(draws, *q.mean.shape, generator=generator)
    z = q.mean + q.var.sqrt() * eps  # (draws, B, 2)
    log_ratio = (eps.square() - z.square() + q.var.log()).sum(-1) / 2  # log p(z) / q(z | x)
    log_w = (model.log_likelihood(x, z) + log_ratio).double()  # (draws, B)
    return log_w.mean(0), torch.logsumexp(log_w, 0) - math.log(draws)


def nats(model: nn.Module, x: Tensor, steps: int = 100) -> dict[str, float]:
    """What a model gives held-out points on average, in nats; a GAN says nothing: {}."""
    if isinstance(model, VAE):
        bound, estimate = vae_bounds(model, x)
        return {"bound": float(bound.mean()), "estimate": float(estimate.mean())}
    if isinstance(model, Diffusion):
        times = model.schedule.times(steps)
        return {
            "likelihood": float(log_likelihood(model.denoiser(), model.schedule, x, times).mean())
        }
    return {}


def cost(model: nn.Module, steps: int = 25) -> dict[str, float]:
    """Network evaluations and multiply-adds per sample, milliseconds per 1,000 samples."""
    one = torch.zeros(1, D)
    if isinstance(model, Diffusion):
        calls, work = steps, flops(model.network, one, torch.ones(1, dtype=torch.int64))
        draw = partial(samples, model, 1000, steps=steps)
    else:
        network = model.decoder if isinstance(model, VAE) else model.generator
        calls, work, draw = 1, flops(network, one), partial(samples, model, 1000)
    times = []
    for _ in range(5):
        start = perf_counter()
        draw()
        times.append(perf_counter() - start)
    return {
        "parameters": parameters(model),
        "evaluations": calls,
        "multiply-adds": calls * work // 2,
        "ms per 1,000 samples": 1000 * sorted(times)[2],
    }


def rounded(figures: Mapping[str, float], digits: int = 4) -> dict[str, float]:
    """For a file that people read."""
    return {name: round(v, digits) if isinstance(v, float) else v for name, v in figures.items()}
