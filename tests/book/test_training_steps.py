"""How chapter 5.3 moves the weights is how the library does it: AdamW, Muon, rate, limit, average.

Everything is compared in float64, as in test_training_chapter.py.
"""

import copy
import inspect
import math
from dataclasses import replace

import pytest
import torch
from awake import points
from torch import nn
from written_recipe import close, flat, recipe

from minildm.engine import optim
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.shapes.training import ShapesTraining

RECIPE = ShapesTraining().denoiser


@pytest.fixture(scope="module")
def written():
    return recipe()


# --- the optimiser --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 50), (50, 12), (7, 7), (1, 9)])
def test_the_orthogonalised_matrix(written, shape):
    G = points(*shape)
    close(written["orthogonal"](G), optim.orthogonalized(G))


def test_the_polynomial_is_that_of_its_text():
    """Five rounds lift all values above 0.005 to 0.7 .. 1.2, and act on singular values only."""
    s = torch.logspace(math.log10(0.005), 0, 60).double()
    U, V = (torch.linalg.qr(points(60, 60, seed=k)).Q for k in (1, 2))
    a, b, c = optim.QUINTIC
    wanted = s / (s.norm() + 1e-7)
    s = torch.cat([s, wanted[wanted > 0.005]])[:60]
    for _ in range(5):
        wanted = a * wanted + b * wanted**3 + c * wanted**5
    close(optim.orthogonalized((U * s) @ V.T), (U * wanted) @ V.T)
    alone = torch.logspace(math.log10(0.005), 0, 200).double()
    for _ in range(optim.ROUNDS):
        alone = a * alone + b * alone**3 + c * alone**5
    assert ((alone > 0.68) & (alone < 1.21)).all()


class Parts(nn.Module):
    """One of each kind of parameter that a network of the book has."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(5, 6), nn.Parameter(torch.randn(4, 6))
        self.conv, self.norm = nn.Conv2d(6, 8, 3), nn.GroupNorm(2, 8)
        self.linear, self.narrow = nn.Linear(8, 20), nn.Linear(20, 3, bias=False)


@pytest.mark.parametrize(("name", "setting"), [("AdamW", "adamw"), ("MuonAndAdamW", "muon")])
def test_three_steps_of_the_optimiser(written, name, setting):
    mine = build(Parts, 0).double()
    theirs = copy.deepcopy(mine)
    settings = replace(RECIPE.fit, weight_decay=0.3, optimizer=setting)
    ours = written[name](mine, 0.3)
    library = optim.make_optimizer(theirs, settings, torch.device("cpu"))
    for step, lr in enumerate((0.1, 0.02, 0.05)):
        for k, (a, b) in enumerate(zip(mine.parameters(), theirs.parameters(), strict=True)):
            a.grad = points(*a.shape, seed=10 * step + k) * 10 ** (step - k % 3)
            b.grad = a.grad.clone()
        ours.step(lr)
        for group in library.param_groups:
            group["lr"] = lr
        library.step()
        for name, p in mine.named_parameters():
            close(p.detach(), theirs.get_parameter(name).detach(), rtol=1e-7)


def test_the_defaults_of_the_text_are_those_of_the_library(written):
    def defaults(function):
        given = inspect.signature(function).parameters
        return {k: p.default for k, p in given.items() if p.default is not p.empty}

    theirs = defaults(optim.Muon.__init__)
    assert defaults(written["muon"])["momentum"] == theirs["momentum"]
    assert tuple(defaults(written["adamw"]).values()) == theirs["betas"]
    assert RECIPE.fit.optimizer == "muon" and RECIPE.fit.schedule == "cosine"


def test_a_step_of_muon_moves_numbers_by_a_fifth_of_the_rate():
    """(5.3.6): UV^T of (m, n) has the mean square 1 / max(m, n), up to 0.7 .. 1.2."""
    for shape in ((40, 10), (10, 40), (24, 24)):
        net = nn.Linear(*shape[::-1], bias=False).double()
        before = net.weight.detach().clone()
        net.weight.grad = points(*shape)
        optim.Muon(net, 0.5, weight_decay=0.0).step()
        moved = (net.weight.detach() - before).square().mean().sqrt()
        assert 0.6 * 0.1 < moved < 1.25 * 0.1
        wanted = torch.linalg.svd(net.weight.grad, full_matrices=False)
        along = wanted.U.T @ (net.weight.detach() - before) @ wanted.Vh.T
        assert (along.diagonal() < 0).all()  # against the gradient, in every direction


# --- rate, limit, average -------------------------------------------------------------------------


@pytest.mark.parametrize("fit", [RECIPE.fit, FitConfig(steps=9, warmup=0), FitConfig(steps=40)])
def test_the_rate(written, fit):
    for step in range(0, fit.steps, max(1, fit.steps // 300)):
        assert math.isclose(written["rate"](step, fit), fit.lr_at(step)), step
        wanted = fit.lr * min(1, (step + 1) / max(1, fit.warmup))
        wanted *= (1 + math.cos(math.pi * step / fit.steps)) / 2  # (5.3.3)
        assert math.isclose(fit.lr_at(step), wanted)


def test_the_limit(written):
    for size in (0.01, 1.0, 100.0):
        mine, theirs = build(Parts, 0).double(), build(Parts, 0).double()
        for k, (a, b) in enumerate(zip(mine.parameters(), theirs.parameters(), strict=True)):
            a.grad = size * points(*a.shape, seed=k)
            b.grad = a.grad.clone()
        written["limit"](mine.parameters(), 1.0)
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            close(a.grad, b.grad)


def test_the_average(written):
    net = build(Parts, 0).double()
    mine, theirs = written["Average"](net, 0.7), optim.EMA(net, 0.7)
    start, weights = flat(net), []
    for step in range(30):
        for k, p in enumerate(net.parameters()):
            p.data += points(*p.shape, seed=100 * step + k)
        weights.append(flat(net))
        mine.update(net)
        theirs.update(net)
        close(flat(mine.net), flat(theirs.net))
    by_hand = start
    for k, now in enumerate(weights):  # theta_0 is what the first step leaves
        d = min(0.7, (1 + k) / (10 + k))
        by_hand = d * by_hand + (1 - d) * now
    close(flat(theirs.net), by_hand)
