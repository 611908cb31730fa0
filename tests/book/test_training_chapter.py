"""The recipe that chapter 5.3 writes, cell by cell, is the library's: schedule, loss, step, loop.

What the cells define is run as it stands in the source. Everything is compared in float64, where
the same sums in another order differ by about 1e-15 of their size, and any other formula by far
more. Where the engine is run, it mixes z_t and v in float32: there 1e-4 of the movement is left.
"""

import inspect
import math
from dataclasses import replace

import pytest
import torch
from awake import points
from torch import nn
from written_recipe import CELLS, WRITTEN, close, flat, recipe

from book.ch05_3_training.figures import by_level, by_rate
from book.ch05_3_training.writing import FAULTS, broken
from minildm import losses as library
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.noise import Batch
from minildm.predict import V
from minildm.process import diffuse
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.training import ShapesTraining
from minildm.text import TextEncoderConfig, TextUNetConfig, build_network
from minildm.train import DenoiserTraining, denoiser_loss, train_denoiser
from minildm.unet import UNetConfig

SCHEDULE = DiscreteSchedule(cosine_betas(1000))
RECIPE = ShapesTraining().denoiser
TINY = TextUNetConfig(
    TextEncoderConfig(tuple("abcdefg"), length=5, dim=16, layers=1, heads=2),
    UNetConfig(channels=2, width=16, multipliers=(1, 1), attention=(0, 1), heads=2),
)
NULL = torch.tensor([1, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def written():
    return recipe()


def awake(config, seed=0):
    """A network in float64 without a zero: zeros hide what does not arrive."""
    net = build(lambda: build_network(config), seed).double()
    for k, p in enumerate(net.parameters()):
        p.data += 0.2 * points(*p.shape, seed=k)
    return net


def captions(n):
    tokens = torch.randint(2, 9, (n, 5), generator=torch.Generator().manual_seed(4))
    return tokens * (torch.arange(5) <= torch.arange(n)[:, None] % 4 + 1)  # 2, 3, .. words


# --- the loss -------------------------------------------------------------------------------------


def test_the_schedule(written):
    for mine, theirs in (
        (written["alpha_bar"], SCHEDULE.alpha_bar),
        (written["signal"], SCHEDULE(torch.arange(1001))[0]),
        (written["noise"], SCHEDULE(torch.arange(1001))[1]),
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=0)
    short = DiscreteSchedule(cosine_betas(50, s=0.1, max_beta=0.9))
    close(written["cosine_schedule"](50, 0.1, 0.9)[0], short.alpha_bar)


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


# --- the loop -------------------------------------------------------------------------------------

FOUR = FitConfig(
    steps=4, batch=8, lr=0.02, warmup=2, clip=0.05, ema=0.9, optimizer="muon", weight_decay=0.1,
    seed=5, log_every=1,
)  # fmt: skip


def both(written, settings, condition, nothing):
    """The averaged weights and the losses of the written loop, and of the library's."""
    z0 = points(20, 2, 4, 4).float()
    moving = written["MuonAndAdamW" if settings.fit.optimizer == "muon" else "AdamW"]
    mine, losses = written["train"](awake(settings.model), z0, condition, nothing, settings, moving)
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


def test_four_steps_with_labels_and_adamw(written):
    """The loop that is complete before Muon is told: it is what ``train`` does unasked."""
    model = UNetConfig(channels=2, width=16, multipliers=(1, 2), classes=10)
    settings = DenoiserTraining(
        model=model, fit=replace(FOUR, optimizer="adamw"), drop=0.4, min_snr=5.0
    )
    both(written, settings, torch.arange(20) % 10, torch.tensor(10))
    assert inspect.signature(written["train"]).parameters["optimizer"].default is written["AdamW"]
    assert list(CELLS).index("write-loop") < list(CELLS).index("write-orthogonal")


def test_the_broken_loop_of_the_chapter_has_all_three_faults_and_no_other():
    assert broken(*FAULTS).strip() in CELLS["exercise-broken"]
    for fault in FAULTS:
        assert broken(fault) != broken()


def test_each_cell_fits_on_a_screen_and_is_compared():
    for name in WRITTEN:
        assert len(CELLS[name].splitlines()) <= 45, name
    code = "\n".join(CELLS.values())
    for name in ("V.target(", "min_snr_weight(", "denoiser_loss(", "orthogonalized(", "Muon(",
                 "SHAPES_SCHEDULE(t_all)", "optim.AdamW(", "lr_at(", "EMA(",
                 "train_denoiser("):  # fmt: skip
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
