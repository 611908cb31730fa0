"""What the letters of chapter 5.3 stand for: values that the package computed."""

from unittest.mock import patch

import torch
from chapter_05_3 import SCHEDULE, TIMES
from latexbuiltin import MATRICES
from pageforms import shows
from registry import points
from symbols import average, exact, table
from torch import nn

from book.ch05_3_training.diagnosis import linear_denoiser
from minildm.engine import optim
from minildm.engine.optim import EMA, QUINTIC, Muon, orthogonalized
from minildm.engine.settings import FitConfig
from minildm.losses import min_snr_weight
from minildm.predict import EPS, Z0, V
from minildm.process import diffuse

TABLE = table(SCHEDULE)


@shows("5.3.1")
def errors_of_three_targets():
    """One wrong z0, seen through the package's three targets."""
    z0, z0_hat, eps = points(10, 3), points(10, 3, seed=1), points(10, 3, seed=2)
    for t in TIMES:
        scales = SCHEDULE(t)
        eps_hat = (diffuse(SCHEDULE, z0, t, eps) - scales[0] * z0_hat) / scales[1]
        right, wrong = (
            [p.target(*pair, *scales) for p in (Z0, EPS, V)]
            for pair in ((z0, eps), (z0_hat, eps_hat))
        )
        names = ("z_0", r"\epsilon", "v")
        yield (
            TABLE
            | dict(zip(names, right, strict=True))
            | {rf"\hat {name}": value for name, value in zip(names, wrong, strict=True)}
            | {"t": t, "tolerance": 1e-7}
        )


@shows("5.3.2")
def min_snr_for_v():
    for gamma, c in ((1.0, 0.0), (5.0, 1.0), (2.0, 0.3)):
        for t in TIMES:
            weight = min_snr_weight(SCHEDULE, torch.tensor([t]), V, gamma, c)
            yield TABLE | {
                "w_v(t)": weight,
                r"\gamma": gamma,
                r"\kappa": c,
                "t": t,
                "tolerance": 1e-7,
            }


@shows("5.3.5")
def newton_schulz():
    """One round of the package, from a matrix of norm 1; and its singular values."""
    X = points(5, 12)
    X, (a, b, c) = X / X.norm(), QUINTIC
    with patch.object(optim, "ROUNDS", 1):
        after = orthogonalized(X)

    def becomes(old, new):
        truth = after if old.ndim == 2 else torch.linalg.svdvals(after)
        new = new if new.ndim == 2 else new.sort(descending=True).values
        return new.shape == truth.shape and (new - truth).abs().max() < 1e-6  # 1e-7 to the norm

    yield MATRICES | {
        "X": X,
        "s": torch.linalg.svdvals(X),
        "p_1": a,
        "p_3": b,
        "p_5": c,
        r"\leftarrow": becomes,
    }


@shows("5.3.6")
def step_of_muon():
    """The first step, whose mean is the gradient, of a wide and of a tall weight."""
    for shape in ((5, 12), (9, 4)):
        net = nn.Linear(shape[1], shape[0], bias=False).double()
        before = net.weight.detach().clone()
        net.weight.grad = points(*shape, seed=4)
        direction = orthogonalized(net.weight.grad)
        Muon(net, 0.3, weight_decay=0.0).step()
        after = net.weight.detach()
        yield MATRICES | {
            "W": before, r"\eta": 0.3, "m": shape[0], "n": shape[1], r"U V^\top": direction,
            r"\leftarrow": lambda old, new, pair=(before, after): (
                old is pair[0] and (new - pair[1]).abs().max() < 1e-6
            ),
        }  # fmt: skip


@shows("5.3.3")
def rate():
    fit = FitConfig(steps=60, lr=0.4, warmup=7)
    for k in (0, 3, 6, 7, 40, 59):
        yield {r"\eta_k": fit.lr_at(k), r"\eta": 0.4, "k": k, "k_0": 7, "K": 60}


@shows("5.3.4")
def average_unrolled():
    """After a long warm-up, so that the decay is the one asked for."""
    net = nn.Linear(1, 1, bias=False)
    ema = EMA(net, 0.9)
    ema.updates = 10_000
    start, weights = float(ema.net.weight), [3.0, -1.0, 0.5, 2.0, 7.0]
    for value in weights:
        nn.init.constant_(net.weight, value)
        ema.update(net)
    yield {
        r"\bar\theta": float(ema.net.weight), r"\theta_{\text{start}}": start, "d": 0.9, "K": 5,
        r"\theta_": lambda k: dict(enumerate(weights))[round(float(k))], "tolerance": 1e-5,
    }  # fmt: skip


ROOT = torch.tensor([[2.0, 0.0, 0.0], [1.5, 0.7, 0.0], [0.0, 1.0, 2.5]]).double()


@shows("5.3.7")
def power_of_v():
    both = exact(30, 6)
    z0, eps = both[:, :3] @ ROOT.T, both[:, 3:]
    for t in TIMES:
        v = V.target(z0, eps, *SCHEDULE(t))
        yield TABLE | {r"\mathbb E": torch.mean, "v": v, "z_0": z0, "t": t, "tolerance": 1e-7}


@shows("5.3.8")
def error_of_the_best_average():
    """The error of the package's linear denoiser, over samples whose moments are exact."""
    both, root = exact(20_000, 12), points(6, 6, seed=3)
    z0, eps = both[:, :6] @ root.T, both[:, 6:]
    denoise = linear_denoiser(SCHEDULE, z0)
    for t in TIMES:
        guess = denoise(diffuse(SCHEDULE, z0, t, eps), torch.tensor(t)).z0
        yield TABLE | MATRICES | {
            r"\Sigma": root @ root.T, "I": torch.eye(6).double(), "t": t, "tolerance": 1e-3,
            "c": 2, "h": 1, "w": 3, "values": [average((guess - z0) ** 2).mean()],
        }  # fmt: skip
