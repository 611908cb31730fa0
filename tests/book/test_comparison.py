"""VAE, GAN and diffusion model of chapter 1: their losses, their training, what is said of them."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from book.ch01_background import measure as results
from book.ch01_background.comparison import (
    CHOSEN,
    DATA,
    FIT,
    MODES,
    STD,
    Candidate,
    Settings,
    balanced,
    candidates,
    chosen,
    cost,
    effective_modes,
    held_out,
    judge,
    largest_fall,
    nats,
    samples,
    shares,
    train,
    vae_bounds,
)
from book.ch01_background.likelihood import mixture_log_density
from book.ch01_background.models import GAN, VAE, Diffusion
from book.ch05_2_unet.cost import parameters
from book.results import read_results
from minildm.data import mixture
from minildm.metrics import mode_coverage
from minildm.process import Gaussian
from minildm.samplers import ddim, heun

NAMES = list(CHOSEN)


# --- models ---------------------------------------------------------------------------------------


class Call(nn.Module):
    """A function as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Linear(VAE):
    """A VAE whose every density is a normal distribution: x = a z + s eps, q(z | x) is free."""

    def __init__(self, a: float, s: float, gain: float, var: float) -> None:
        super().__init__(4)
        self.decoder = Call(lambda z: a * z)
        self.encoder = Call(
            lambda x: torch.cat([gain * x, torch.full_like(x, math.log(var))], dim=1)
        )
        self.log_s.data = torch.tensor(math.log(s))


def test_the_bound_is_the_likelihood_where_the_encoder_is_right_and_below_where_it_is_not():
    a, s = 0.8, 0.5
    total = a**2 + s**2  # the variance of x
    x = torch.tensor([[0.3, -1.0], [2.0, 0.1]])
    truth = -x.square().sum(1) / (2 * total) - math.log(2 * math.pi * total)
    right = Linear(a, s, a / total, s**2 / total)
    bound, estimate = vae_bounds(right, x, draws=3)
    torch.testing.assert_close(bound.float(), truth, rtol=0, atol=1e-4)  # each draw is exact
    torch.testing.assert_close(estimate.float(), truth, rtol=0, atol=1e-4)
    wrong = Linear(a, s, 0.5 * a / total, 1.5 * s**2 / total)
    bound, estimate = vae_bounds(wrong, x, draws=4000)
    assert (bound < truth - 0.1).all()
    assert (estimate > bound + 0.05).all()
    torch.testing.assert_close(estimate.float(), truth, rtol=0, atol=0.05)


def test_the_bound_that_is_trained_is_the_bound_that_is_reported():
    torch.manual_seed(0)
    model = VAE(8)
    nn.init.constant_(model.encoder[-1].bias, 1.0)  # far from N(0, I): the KL counts
    x = held_out(4)
    with torch.no_grad():
        drawn = torch.stack([model.bound(x) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(drawn.double(), vae_bounds(model, x, 4000)[0], rtol=0.05, atol=0.05)


def test_the_game_of_a_gan_at_a_critic_that_knows_nothing():
    model = GAN(8)
    for p in model.parameters():
        nn.init.zeros_(p).requires_grad_(False)
    x = held_out(16)
    assert math.isclose(model.critic_loss(x).item(), 2 * math.log(2), rel_tol=1e-5)
    assert math.isclose(model.generator_loss(x).item(), math.log(2), rel_tol=1e-5)


def test_the_critic_prefers_data_and_the_generator_its_own_points():
    model = GAN(4)
    model.generator = Call(lambda z: torch.full_like(z, 5.0))
    x = torch.zeros(8, 2)
    model.critic = Call(lambda z: 3.0 - z.sum(1, keepdim=True))  # data 3, false points -7
    softplus = lambda v: math.log1p(math.exp(v))  # noqa: E731
    assert math.isclose(model.critic_loss(x).item(), softplus(-3) + softplus(-7), rel_tol=1e-4)
    assert math.isclose(model.generator_loss(x).item(), softplus(7), rel_tol=1e-4)
    model.penalty = 2.0  # |slope|^2 is 2 everywhere
    assert math.isclose(model.critic_loss(x).item(), softplus(-3) + softplus(-7) + 2, rel_tol=1e-4)


def test_each_player_of_a_gan_moves_only_itself():
    torch.manual_seed(0)
    model = GAN(8)
    fit = replace(FIT, steps=1, batch=16, warmup=0, ema=0.0, lr=1e-2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    seen = []
    (critic, critic_loss), (generator, _generator_loss) = model.turns()
    assert critic is model.critic
    assert generator is model.generator
    model.turns = lambda: iter([(critic, lambda x: seen.append("critic") or critic_loss(x))])
    trained = train(lambda: model, Settings(fit), held_out(16)).model
    moved = {k.split(".")[0] for k, v in trained.state_dict().items() if (v != before[k]).any()}
    assert moved == {"critic"}
    assert seen == ["critic"]


def test_the_diffusion_model_is_sampled_by_the_steps_and_the_sampler_it_is_told():
    torch.manual_seed(0)
    model = Diffusion(8)
    calls = []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    for steps, step, expected in ((7, ddim, 7), (4, heun, 7)):
        calls.clear()
        samples(model, 3, steps=steps, sampler=step)
        assert len(calls) == expected


# --- training -------------------------------------------------------------------------------------


def test_a_training_depends_on_its_seed_and_leaves_torch_alone():
    fit, points = replace(FIT, steps=3, batch=8), held_out(24)
    state = torch.random.get_rng_state()
    runs = [train(lambda: GAN(4), Settings(replace(fit, seed=s)), points).model for s in (0, 0, 1)]
    assert torch.equal(state, torch.random.get_rng_state())
    first, again, other = (samples(model, 5) for model in runs)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_step_sees_its_own_batch_and_notes_come_in_time():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def turns(self):
            yield self, self.loss

        def loss(self, x):
            seen.append(x)
            assert self.w.grad is None or not self.w.grad.any()  # nothing is left of the last step
            return (self.w - x.mean()).square().sum()

    points = torch.arange(24.0).reshape(12, 2)
    fit = replace(FIT, steps=4, batch=3, lr=0.1)
    trained = train(Spy, Settings(fit), points, lambda m: float(m.w), every=2)
    assert torch.equal(torch.cat(seen), points)
    assert trained.steps == [2, 4]
    assert trained.curve[0] < trained.curve[1] == float(trained.model.w)
    with pytest.raises(ValueError, match="need 15 points"):
        train(Spy, Settings(replace(fit, steps=5)), points)
    with pytest.raises(ValueError, match="the loss of step 2 has 1 entries that are NaN"):
        train(Spy, Settings(fit), torch.where(points == 12, math.nan, points))


# --- the comparison -------------------------------------------------------------------------------


def test_all_models_are_of_one_size_and_get_the_same_effort():
    sizes = [parameters(candidate.make()) for candidate in chosen().values()]
    assert max(sizes) < 1.02 * min(sizes)
    tried = candidates()
    assert len({len(options) for options in tried.values()}) == 1
    for options in tried.values():
        fits = {replace(c.settings.fit, lr=1.0) for c in options.values()}
        assert fits == {replace(FIT, lr=1.0)}
        assert len({c.settings.fit.lr for c in options.values()}) == 5


def test_effective_modes_of_known_shares():
    assert math.isclose(effective_modes(torch.full((8,), 1 / 8)), 8)
    assert math.isclose(effective_modes(torch.tensor([0.0, 1.0, 0.0])), 1)
    assert math.isclose(effective_modes(torch.tensor([0.5, 0.25, 0.25])), 2**1.5, rel_tol=1e-6)


def test_shares_count_only_what_is_near_a_mode():
    _, means, _ = DATA
    points = torch.cat([means[:1].repeat(3, 1), means[2:3], torch.zeros(5, 2)])
    got = shares(points)
    assert got[0] == 0.75
    assert got[2] == 0.25
    assert got.sum() == 1
    assert shares(torch.zeros(4, 2)).sum() == 0


def test_the_largest_fall_is_from_a_high_to_a_later_low():
    assert largest_fall([1, 2, 5, 3, 4, 1.5, 6]) == 3.5
    assert largest_fall([1, 2, 2, 7]) == 0
    assert largest_fall([6, 1]) == 5


def test_the_truth_is_judged_as_the_truth():
    points = mixture(10_000, *DATA, seed=5)
    figures = judge(points)
    assert figures["modes hit"] == 1
    assert figures["effective modes"] > 7.98
    assert abs(figures["near a mode"] - (1 - math.exp(-4.5))) < 0.005  # 3 sigma in the plane
    assert figures["distance"] < 0.06
    assert judge(points[points[:, 0] > 0])["distance"] > 0.5
    counts = torch.cdist(balanced(800).double(), DATA[1]).argmin(1).bincount()
    assert (counts == 100).all()
    assert mode_coverage(balanced(80)[:20], DATA[1], STD).modes > 0.5  # in no order


def test_what_has_a_likelihood_and_what_has_none():
    torch.manual_seed(0)
    x = held_out(20)
    assert set(nats(VAE(4), x)) == {"bound", "estimate"}
    assert nats(GAN(4), x) == {}
    truth = float(mixture_log_density(*DATA, x).mean())
    assert nats(Diffusion(4), x, steps=20)["likelihood"] < truth


def test_costs_are_counted_by_evaluations():
    torch.manual_seed(0)
    model = Diffusion(8)
    few, many = cost(model, 5), cost(model, 10)
    assert (few["evaluations"], many["evaluations"]) == (5, 10)
    assert many["multiply-adds"] == 2 * few["multiply-adds"]
    layers = [m for m in model.network.modules() if isinstance(m, nn.Linear)]
    assert few["multiply-adds"] == 5 * sum(m.weight.numel() for m in layers)
    assert cost(VAE(8))["evaluations"] == 1


def test_posterior_noise_is_used_by_the_vae():
    torch.manual_seed(0)
    model = VAE(8)
    q = model.encode(held_out(5))
    assert isinstance(q, Gaussian)
    assert (q.var > 0).all()
    torch.manual_seed(1)
    mean = model.sample(2000, noisy=False)
    torch.manual_seed(1)
    away = model.sample(2000) - mean
    assert abs(float(away.detach().std()) / float(model.log_s.detach().exp()) - 1) < 0.1


# --- measuring ------------------------------------------------------------------------------------


def test_an_interrupted_measurement_goes_on_and_trains_nothing_twice(monkeypatch, tmp_path):
    asked = []

    def one(name, seed):
        asked.append((name, seed))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return {"distance": 1.0}

    monkeypatch.setattr(results, "measure_one", one)
    with pytest.raises(KeyboardInterrupt):
        results.measure_background([0, 1], report=list, folder=tmp_path)
    figures = results.measure_background([0, 1], report=list, folder=tmp_path)
    assert len(asked) == 1 + 2 * len(NAMES)
    assert len(set(asked)) == 2 * len(NAMES)
    assert [run["seed"] for run in figures["models"]["GAN"]["runs"]] == [0, 1]


def test_the_best_setting_has_the_smallest_mean_distance():
    rows = {
        "lucky once": [{"distance": 0.0}, {"distance": 1.0}],
        "good": [{"distance": 0.3}, {"distance": 0.3}],
    }
    assert results.best(rows) == "good"


def test_a_candidate_keeps_its_learning_rate_and_its_moment():
    options = candidates()
    assert options["GAN"]["lr 0.0003, beta1 0.5"].settings == Settings(replace(FIT, lr=3e-4), 0.5)
    assert options["VAE"]["lr 0.01, KL weight 0.3"].make().beta == 0.3
    assert options["GAN, R1"]["lr 0.001, penalty 1.0"].make().penalty == 1.0
    assert options["diffusion"]["lr 0.003, predicts EPS"].make().parameterization.name == "EPS"
    assert isinstance(chosen()["VAE"], Candidate)


def test_what_was_chosen_is_what_the_tuning_found_best():
    """And the seeds of the tuning were not used again."""
    tuning, figures = read_results("background-tuning"), read_results("background")
    assert tuning["best"] == CHOSEN
    for name, rows in tuning["models"].items():
        assert results.best(rows) == CHOSEN[name]
        assert figures["models"][name]["settings"] == CHOSEN[name]
        seeds = {run["seed"] for run in figures["models"][name]["runs"]}
        assert len(seeds) >= 5
        assert not seeds & set(results.TUNING_SEEDS)
        for run in figures["models"][name]["runs"]:
            assert abs(largest_fall(run["curve"]) - run["largest fall"]) < 0.002
            assert 0 < run["effective modes"] <= MODES
