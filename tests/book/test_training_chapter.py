"""The recipe that chapter 5.3 writes, cell by cell, is the library's: loss, optimiser, step, loop.

What the cells define is run as it stands in the source. Everything is compared in float64, where
the same sums in another order differ by about 1e-15 of their size, and any other formula by far
more. Where the engine is run, it mixes z_t and v in float32: there 1e-4 of the movement is left.
"""

import ast
import copy
import inspect
import math
from dataclasses import replace

import jupytext
import pytest
import torch
from awake import points
from book_rules import SOURCES
from torch import nn

from book.ch05_3_training.figures import by_level, by_rate
from minildm import losses as library
from minildm.engine import optim
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.noise import DROP, TIME, Batch, batch_indices
from minildm.predict import V
from minildm.process import diffuse
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.training import ShapesTraining
from minildm.text import TextEncoderConfig, TextUNetConfig, build_network
from minildm.train import DenoiserTraining, denoiser_loss, train_denoiser
from minildm.unet import UNetConfig

SCHEDULE = DiscreteSchedule(cosine_betas(1000))
RECIPE = ShapesTraining().denoiser
CELLS = {
    cell.metadata["name"]: cell.source
    for cell in jupytext.read(SOURCES / "05_3_training.md").cells
    if cell.cell_type == "code"
}
WRITTEN = (
    "write-target", "write-weight", "write-drop", "write-loss", "write-orthogonal", "write-steps",
    "write-optimizer", "write-rate-limit-average", "write-loop",
)  # fmt: skip
TINY = TextUNetConfig(
    TextEncoderConfig(tuple("abcdefg"), length=5, dim=16, layers=1, heads=2),
    UNetConfig(channels=2, width=16, multipliers=(1, 1), attention=(0, 1), heads=2),
)
NULL = torch.tensor([1, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def written():
    """The functions and classes of the cells, without what is computed beside them."""
    names = {
        "torch": torch, "nn": nn, "math": math, "copy": copy, "alpha_bar": SCHEDULE.alpha_bar,
        "Batch": Batch, "batch_indices": batch_indices, "TIME": TIME, "DROP": DROP,
    }  # fmt: skip
    for name in WRITTEN:
        tree = ast.parse(CELLS[name])
        tree.body = [p for p in tree.body if isinstance(p, ast.FunctionDef | ast.ClassDef)]
        assert tree.body, name
        exec(compile(tree, f"<cell {name}>", "exec"), names)
    return names


def awake(config, seed=0):
    """A network in float64 without a zero: zeros hide what does not arrive."""
    net = build(lambda: build_network(config), seed).double()
    for k, p in enumerate(net.parameters()):
        p.data += 0.2 * points(*p.shape, seed=k)
    return net


def captions(n):
    tokens = torch.randint(2, 9, (n, 5), generator=torch.Generator().manual_seed(4))
    return tokens * (torch.arange(5) <= torch.arange(n)[:, None] % 4 + 1)  # 2, 3, .. words


def flat(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def close(got, wanted, rtol=1e-9):
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=1e-12)


# --- the loss -------------------------------------------------------------------------------------


def test_the_noisy_latent_and_its_target(written):
    z0, eps, t = points(6, 2, 3, 4), points(6, 2, 3, 4, seed=2), [1, 2, 300, 700, 999, 1000]
    z_t, v = written["noisy_and_target"](z0, torch.tensor(t), eps)
    close(z_t, diffuse(SCHEDULE, z0, torch.tensor(t), eps))
    close(v, V.target(z0, eps, *SCHEDULE(torch.tensor(t))))


@pytest.mark.parametrize(("gamma", "floor"), [(5.0, 1.0), (5.0, 0.0), (1.0, 0.3)])
def test_the_weight(written, gamma, floor):
    t = torch.arange(1, 1001)
    close(written["weight"](t, gamma, floor), library.min_snr_weight(SCHEDULE, t, V, gamma, floor))


def test_the_recipe_is_a_plain_error_of_v_capped_at_low_noise(written):
    """The text: the shipped weight is exactly 1 where SNR <= gamma, and below it elsewhere."""
    assert (RECIPE.parameterization, RECIPE.snr_floor) == ("V", 1.0)
    snr = SCHEDULE.snr[1:]
    w = library.min_snr_weight(
        SCHEDULE, torch.arange(1, 1001), V, RECIPE.min_snr, RECIPE.snr_floor
    )
    noisy = snr <= RECIPE.min_snr
    assert noisy.any() and not noisy.all()
    close(w[noisy], torch.ones(int(noisy.sum())).double())
    assert (w[~noisy] < 1).all() and (w[~noisy].diff() > 0).all()


def test_the_loss_of_each_sample_and_its_gradient(written):
    settings = replace(RECIPE, model=TINY)
    net, tokens = awake(TINY), captions(6)
    z0, eps, t = points(6, 2, 4, 4), points(6, 2, 4, 4, seed=2), torch.tensor([1, 90, 400, 600])
    t, dropped = torch.cat([t, torch.tensor([900, 1000])]), torch.arange(6) % 3 == 1
    mine = written["losses_of"](net, z0, tokens, NULL, t, eps, dropped, settings)
    weight = lambda *given: library.min_snr_weight(*given, gamma=5.0, floor=1.0)  # noqa: E731
    theirs = library.diffusion_loss(
        lambda z_t, t, c: net(z_t, t, c, dropped), SCHEDULE, z0, tokens, t=t, eps=eps,
        parameterization=V, weight=weight,
    )  # fmt: skip
    close(mine, theirs)
    gradients = [
        torch.autograd.grad(loss.mean(), net.parameters(), allow_unused=True)
        for loss in (mine, theirs)
    ]
    assert sum(g is not None for g in gradients[0]) > 20
    for a, b in zip(*gradients, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a, b, rtol=1e-8)


def slope_at_zero(z0, eps, t):
    """d loss / d output at a network that says 0, summed over each sample's elements: (B,)."""
    said = torch.zeros_like(z0, requires_grad=True)
    weight = lambda *given: library.min_snr_weight(*given, gamma=5.0, floor=1.0)  # noqa: E731
    loss = library.diffusion_loss(
        lambda z_t, t, c: said, SCHEDULE, z0, t=t, eps=eps, parameterization=V, weight=weight
    )
    return torch.autograd.grad(loss.sum(), said)[0].flatten(1).sum(1)


def test_the_sign_and_size_of_each_term_by_its_gradient():
    """Noise alone pulls the output up by 2 w signal; data alone pushes it down by 2 w noise."""
    t = torch.tensor([5, 200, 500, 800, 995])
    nothing, ones = torch.zeros(5, 2, 3, 3).double(), torch.ones(5, 2, 3, 3).double()
    signal, noise = SCHEDULE(t)
    snr = signal.square() / noise.square()
    w = (snr.clamp(max=5.0) + 1) / (snr + 1)
    close(slope_at_zero(nothing, ones, t), -2 * w * signal)
    close(slope_at_zero(ones, nothing, t), 2 * w * noise)


def test_left_out_conditions_leave_the_data_as_they_are(written):
    tokens, dropped = captions(4), torch.tensor([True, False, False, True])
    before = tokens.clone()
    told = written["leave_out"](tokens, dropped, NULL)
    assert torch.equal(tokens, before)
    assert torch.equal(told[~dropped], tokens[~dropped])
    assert torch.equal(told[0], NULL) and torch.equal(told[3], NULL)
    wanted = awake(TINY).null(tokens)
    assert torch.equal(told[dropped], wanted[dropped])
    labels = written["leave_out"](torch.tensor([3, 4, 5, 6]), dropped, torch.tensor(10))
    assert labels.tolist() == [10, 4, 5, 10]


# --- the random choices ---------------------------------------------------------------------------


class Spy(nn.Module):
    """Says 0, and notes the times, the noise (of latents that are 0) and who is told nothing."""

    def __init__(self):
        super().__init__()
        self.weight, self.noted = nn.Parameter(torch.zeros(())), []

    def forward(self, z_t, t, condition, drop):
        noise = SCHEDULE(t)[1].float()[:, None, None, None]  # (B, 1, 1, 1)
        self.noted.append((t, z_t / noise, drop))
        return z_t * 0


@pytest.fixture(scope="module")
def choices():
    """Times (steps, B), noise (steps, B, 2, 4, 4) and drops (steps, B) of 150 batches of 64."""
    settings, spy = replace(RECIPE, model=TINY), Spy()
    loss = denoiser_loss(settings, SCHEDULE, torch.zeros(64, 2, 4, 4), captions(64))
    for step in range(150):
        loss(spy, Batch(3, step, torch.arange(64)))
    return [torch.stack(part) for part in zip(*spy.noted, strict=True)]


def independent(a, b):
    """No correlation that numbers drawn on their own would show once in 15,000 times."""
    a, b = a.double().flatten(), b.double().flatten()
    together = torch.corrcoef(torch.stack([a, b]))[0, 1]
    assert together.abs() < 4 / math.sqrt(len(a)), float(together)


def test_times_are_uniform_noise_is_normal_and_the_share_is_left_out(choices):
    t, eps, dropped = choices
    n = t.numel()
    assert t.min() >= 1 and t.max() <= 1000
    tenths = torch.bincount((t.flatten() - 1) // 100, minlength=10)
    assert ((tenths - n / 10).abs() < 4 * math.sqrt(0.09 * n)).all()
    assert abs(eps.mean()) < 4 / math.sqrt(eps.numel())
    assert abs(eps.var() - 1) < 4 * math.sqrt(2 / eps.numel())
    share = dropped.double().mean()
    assert abs(share - RECIPE.drop) < 4 * math.sqrt(0.09 / n)


def test_the_three_choices_are_independent_of_one_another(choices):
    t, eps, dropped = choices
    size, sign = eps.square().flatten(2).mean(2), eps.flatten(2).mean(2)
    for a, b in ((t, dropped), (t, size), (t, sign), (dropped, size), (dropped, sign)):
        independent(a, b)


def test_each_sample_and_each_step_has_its_own(choices):
    for numbers in (choices[0], choices[2], choices[1][:, :, 0, 0, 0]):
        independent(numbers[:, 1:], numbers[:, :-1])  # neighbours of one batch
        independent(numbers[1:], numbers[:-1])  # one sample, a step later
        assert (numbers.double().std(1) > 0).all()  # no coin for a whole batch
    a_number, the_next = choices[1].flatten(2)[..., :-1], choices[1].flatten(2)[..., 1:]
    independent(a_number, the_next)


def test_the_written_draws_are_these(written, choices):
    for step in (0, 1, 149):
        batch = Batch(3, step, torch.arange(64))
        t, eps, dropped = written["draw"](batch, (2, 4, 4), RECIPE)
        assert torch.equal(t, choices[0][step]) and torch.equal(dropped, choices[2][step])
        torch.testing.assert_close(eps, choices[1][step], rtol=1e-4, atol=1e-5)  # float32


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


def test_three_steps_of_the_optimiser(written):
    mine = build(Parts, 0).double()
    theirs = copy.deepcopy(mine)
    settings = replace(RECIPE.fit, weight_decay=0.3)
    ours = written["MuonAndAdamW"](mine, 0.3)
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
    """(5.3.4): UV^T of (m, n) has the mean square 1 / max(m, n), up to 0.7 .. 1.2."""
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
        wanted *= (1 + math.cos(math.pi * step / fit.steps)) / 2  # (5.3.5)
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
    for k, now in enumerate(weights):
        d = min(0.7, (1 + k) / (10 + k))
        by_hand = d * by_hand + (1 - d) * now
    close(flat(theirs.net), by_hand)


# --- the loop -------------------------------------------------------------------------------------

FOUR = FitConfig(
    steps=4, batch=8, lr=0.02, warmup=2, clip=0.05, ema=0.9, optimizer="muon", weight_decay=0.1,
    seed=5, log_every=1,
)  # fmt: skip


def both(written, settings, condition, nothing):
    """The averaged weights and the losses of the written loop, and of the library's."""
    z0 = points(20, 2, 4, 4).float()
    mine, losses = written["train"](awake(settings.model), z0, condition, nothing, settings)
    theirs = train_denoiser(
        settings, SCHEDULE, z0, condition, prepare=lambda _: awake(settings.model)
    )
    moved = (flat(theirs.net) - flat(awake(settings.model))).norm()
    apart = (flat(mine) - flat(theirs.net)).norm()
    assert apart < 1e-4 * moved, (float(apart), float(moved))
    assert losses == pytest.approx([record.loss for record in theirs.history], rel=1e-5)


def test_four_steps_with_captions(written):
    settings = DenoiserTraining(model=TINY, fit=FOUR, drop=0.4, min_snr=5.0, snr_floor=1.0)
    both(written, settings, captions(20), NULL)


def test_four_steps_with_labels_and_other_weights(written):
    model = UNetConfig(channels=2, width=16, multipliers=(1, 2), classes=10)
    fit = replace(FOUR, clip=100.0, seed=6)
    settings = DenoiserTraining(model=model, fit=fit, drop=0.4, min_snr=2.0, snr_floor=0.25)
    both(written, settings, torch.arange(20) % 10, torch.tensor(10))


def test_each_cell_fits_on_a_screen_and_is_compared():
    for name in WRITTEN:
        assert len(CELLS[name].splitlines()) <= 45, name
    code = "\n".join(CELLS.values())
    for name in ("V.target(", "min_snr_weight(", "denoiser_loss(", "orthogonalized(", "Muon(",
                 "lr_at(", "EMA(", "train_denoiser("):  # fmt: skip
        assert name in code, name


# --- its figures ----------------------------------------------------------------------------------


def test_each_curve_of_the_record_is_named_at_its_end_as_the_tenth_it_is():
    fig = by_level([0, 50, 100], {0: [3.0, 2.0, 1.0], 9: [9.0, 9.0, 9.0]}, over=0)
    (ax,) = fig.axes
    assert [text.get_text() for text in ax.texts] == ["t in 0 to 0.1 T", "t in 0.9 to 1 T"]
    assert list(ax.lines[0].get_ydata()) == [3.0, 2.0, 1.0]
    smooth = by_level([0, 50, 100], {0: [3.0, 2.0, 1.0]}, over=1).axes[0].lines[0].get_ydata()
    assert list(smooth) == [2.5, 2.0, 1.5]


def test_rates_lie_on_their_axis_with_a_dot_for_each_seed():
    (ax,) = by_rate({1e-3: [0.2, 0.4], 1e-2: [0.5]}, "share").axes
    line, *dots = ax.lines
    assert list(line.get_ydata()) == pytest.approx([0.3, 0.5])
    assert [list(d.get_xdata()) for d in dots] == [[1e-3, 1e-3], [1e-2]]
    assert ax.get_xscale() == "log"
