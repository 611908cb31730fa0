"""The training loop: what it draws, what it averages, what it learns, what it logs."""

import importlib
import math
import random
import typing
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import book
import minildm
from book.digit_judge import ClassifierConfig
from book.shape_reader import ReaderTraining
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine.fit import Diverged, build, fit
from minildm.engine.optim import EMA
from minildm.engine.settings import FitConfig
from minildm.files.checkpoint import CheckpointError
from minildm.noise import DROP, Batch, batch_indices, keyed_normal, keyed_uniform, mix
from minildm.schedule import DiscreteSchedule, cosine_betas, linear_betas
from minildm.train import (
    AutoencoderTraining,
    DenoiserTraining,
    encode_all,
    train_autoencoder,
    train_both,
    train_denoiser,
)
from minildm.unet import UNet, UNetConfig


def quick(**changes):
    return FitConfig(**{"steps": 6, "batch": 4, "device": "cpu", "log_every": 2, **changes})


# --- noise that belongs to a sample ---------------------------------------------------------------


def test_keyed_noise_depends_on_its_key_only():
    together = keyed_normal((5, 2), range(8), (3, 2))
    assert torch.equal(keyed_normal((5, 2), [6, 1], (3, 2)), together[[6, 1]])
    assert torch.equal(keyed_normal((5, 2), torch.tensor([6]), (3, 2)), together[6:7])
    for other in ((5, 3), (4, 2), (2, 5), (5, 2, 0)):
        assert not torch.isclose(keyed_normal(other, range(8), (3, 2)), together).any()
    u = keyed_uniform((5, 2), range(8))
    assert torch.equal(keyed_uniform((5, 2), [6, 1]), u[[6, 1]])


def test_a_batch_has_its_own_noise_at_each_step_for_each_use_and_seed():
    batch = Batch(0, 0, torch.arange(8))
    for other in (
        batch._replace(step=1),
        batch._replace(seed=1),
        batch._replace(indices=8 - batch.indices),
    ):
        assert not torch.isclose(batch.normal((3,)), other.normal((3,)))[:4].any()
        assert not torch.isclose(batch.uniform(1), other.uniform(1))[:4].any()
    assert not torch.isclose(batch.uniform(1), batch.uniform(2)).any()
    assert torch.equal(
        batch._replace(indices=torch.tensor([3])).normal((3,)), batch.normal((3,))[3:4]
    )


def test_keyed_noise_is_standard_normal_and_uncorrelated_across_neighbouring_keys():
    n = 20_000
    noise = keyed_normal((0,), range(n), (20,)).double()  # 20: torch's vectorised path (>= 16)
    for sample in (noise, keyed_normal((0,), range(n), (4,)).double()):
        total = sample.numel()
        assert abs(sample.mean()) < 4 / math.sqrt(total)
        assert abs(sample.var() - 1) < 4 * math.sqrt(2 / total)
        neighbours = (sample[1:] * sample[:-1]).mean()
        assert abs(neighbours) < 4 / math.sqrt(total)
    u = keyed_uniform((0,), range(n))
    assert u.min() >= 0
    assert u.max() < 1
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    assert (u.sort().values - steps).abs().max() < 1.95 / math.sqrt(n)  # Kolmogorov, p = 0.001


def test_keys_are_mixed_well():
    keys = {mix(a, b, c) for a in range(10) for b in range(10) for c in range(100)}
    assert len({k & 0xFFFFFFFF for k in keys}) == 10_000  # generators read the lower half only


def test_known_answers_of_the_hash():
    """SplitMix64 as published: its n-th output for a seed is the hash of seed + (n - 1) gamma."""
    gamma = 0x9E3779B97F4A7C15
    for seed, outputs in {
        0: (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F),
        1234567: (6457827717110365317, 3203168211198807973, 9817491932198370423),
    }.items():
        assert [mix(seed + i * gamma) for i in range(3)] == list(outputs)
    assert mix(1, 2) == mix(mix(1) + 2)
    assert mix(-1) == mix(2**64 - 1)
    assert keyed_uniform((), [0]).item() == (0xE220A8397B1DCDAF >> 11) / 2**53


def test_seeds_may_be_numpys_integers_and_nothing_but_integers():
    for kind in (np.int8, np.int64, np.uint32, torch.tensor):
        assert mix(kind(7), kind(3)) == mix(7, 3)
    assert torch.equal(keyed_normal((np.int64(1),), np.arange(3), (2,)),
                       keyed_normal((1,), range(3), (2,)))  # fmt: skip
    for bad in (1.5, "a", None, [1, 2], math.nan, torch.tensor([1, 2]), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="must be an integer; got"):
            mix(0, bad)


def test_batches_walk_through_each_epoch_once():
    epochs = [
        torch.cat([batch_indices(22, 5, 4 * e + i, seed=3) for i in range(4)]) for e in (0, 1)
    ]
    for epoch in epochs:
        assert len(epoch.unique()) == 20
    assert not torch.equal(*epochs)
    assert not torch.equal(batch_indices(22, 5, 0, seed=4), epochs[0][:5])
    with pytest.raises(ValueError, match="batch = 5 is larger"):
        batch_indices(4, 5, 0, seed=0)


# --- the loop -------------------------------------------------------------------------------------


def linear_problem(n=64):
    x = keyed_normal((9,), range(n), (3,))
    wanted = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    net = build(lambda: nn.Linear(3, 1), 0)

    def loss(model, batch):
        return (model(x[batch.indices]) - wanted[batch.indices]).square().mean(1), None

    return net, loss


def test_fit_learns_and_reports_means():
    net, loss = linear_problem()
    config = quick(steps=300, batch=16, lr=0.05, weight_decay=0.0, log_every=100)
    records = list(fit(net, loss, 64, config))
    assert [r.step for r in records] == [100, 200, 300]
    assert records[-1].loss < 1e-4 < records[0].loss
    torch.testing.assert_close(
        net.weight.detach(), torch.tensor([[1.0, -2.0, 0.5]]), atol=0.01, rtol=0
    )
    net, loss = linear_problem()
    seen = []

    def spy(model, batch):
        losses, _ = loss(model, batch)
        seen.append(losses.detach())
        return losses, None

    first, second, third = fit(net, spy, 64, quick(log_every=2))
    assert first.loss == pytest.approx(torch.cat(seen[:2]).mean().item())
    assert third.loss == pytest.approx(torch.cat(seen[4:]).mean().item())
    assert second.by_level == ()
    assert [r.lr for r in (first, second, third)] == [quick().lr_at(step) for step in (1, 3, 5)]


def test_two_runs_are_equal_and_seeds_differ():
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + len(weights))  # the global state must not matter
        net, loss = linear_problem()
        list(fit(net, loss, 64, quick(seed=seed)))
        weights.append(net.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_learning_rate_warms_up_and_falls_to_zero():
    config = quick(steps=100, warmup=10, lr=1.0)
    lr = [config.lr_at(step) for step in range(100)]
    assert lr[0] == pytest.approx(0.1)
    assert lr[4] == pytest.approx(0.5 * (1 + math.cos(0.04 * math.pi)) / 2)
    assert max(lr) == pytest.approx(lr[9])
    assert all(a > b for a, b in pairwise(lr[9:]))
    assert lr[50] == pytest.approx(0.5)
    assert lr[-1] < 3e-4
    constant = quick(steps=100, warmup=10, lr=1.0, schedule="constant")
    lr = [constant.lr_at(step) for step in range(100)]
    assert lr[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert lr[10:] == [1.0] * 90


def test_a_step_is_taken_with_its_own_learning_rate():
    """AdamW's first step has the length lr in every number: that of step 0, not of the next."""
    net = nn.Linear(3, 2)
    before = net.weight.detach().clone()
    config = quick(steps=1, warmup=10, lr=1.0, weight_decay=0.0, batch=4)

    def loss(model, batch):
        return model(torch.ones(len(batch.indices), 3)).square().mean(1), None

    list(fit(net, loss, 4, config))
    moved = (net.weight - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, config.lr_at(0)), rtol=1e-3, atol=0)


def test_the_second_step_is_adams_with_both_its_memories():
    """By hand: m = 0.9 m + 0.1 g, v = 0.99 v + 0.01 g², each divided by 1 - beta^k."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    gradients = (1.0, -0.25, 0.5)
    config = quick(steps=3, warmup=0, lr=0.1, weight_decay=0.0, clip=10.0, schedule="constant")

    def loss(model, batch):
        return gradients[batch.step] * model(torch.ones(4, 1))[:, 0], None

    list(fit(net, loss, 4, config))
    weight = m = v = 0.0
    for k, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        weight -= 0.1 * (m / (1 - 0.9**k)) / math.sqrt(v / (1 - 0.99**k))
    assert net.weight.item() == pytest.approx(weight, rel=1e-5)


def test_gradients_are_clipped(monkeypatch):
    norms, step = [], torch.optim.AdamW.step

    def spy(self, *args, **options):
        norms.append(self.param_groups[0]["params"][0].grad.norm().item())
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    for factor in (1e6, 1e-3):  # the gradient's norm, above and below the limit
        net = nn.Linear(1, 1, bias=False)
        list(fit(net, lambda m, b, f=factor: (f * m(torch.ones(4, 1))[:, 0], None), 8,
                 quick(steps=1, clip=0.5)))  # fmt: skip
    assert norms == [pytest.approx(0.5, rel=1e-3), pytest.approx(1e-3)]


@pytest.mark.parametrize("accumulate", [2, 3, 8])
def test_a_batch_in_parts_is_the_same_batch(accumulate):
    """8 samples in parts of unequal size: every sample counts once, in gradient, norm and log."""

    def dropped(model, batch):
        losses, _ = loss(model, batch)
        return losses * batch.uniform(7).float(), batch.uniform(8)

    results = []
    for parts in (1, accumulate):
        net, loss = linear_problem()
        config = quick(batch=8, accumulate=parts, lr=0.05, clip=0.5)
        results.append((list(fit(net, dropped, 64, config)), net))
    for one, other in zip(results[0][0], results[1][0], strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-5)
        assert one.by_level == pytest.approx(other.by_level, rel=1e-5, nan_ok=True)
    torch.testing.assert_close(results[0][1].weight, results[1][1].weight)


def test_the_loss_must_have_one_value_per_sample():
    net, loss = linear_problem()
    with pytest.raises(ValueError, match=r"one value per sample, \(4,\); got \(\)"):
        list(fit(net, lambda m, b: (loss(m, b)[0].mean(), None), 64, quick()))
    with pytest.raises(ValueError, match="batch = 4 cannot be split"):
        list(fit(net, loss, 64, quick(accumulate=5)))


def test_the_gradient_norm_is_logged_before_clipping():
    net = nn.Linear(1, 1, bias=False)

    def loss(model, batch):
        return (batch.step + 1) * 10.0 * model(torch.ones(4, 1))[:, 0], None

    (record,) = fit(net, loss, 8, quick(steps=3, clip=0.1, log_every=3))
    assert record.grad_norm == pytest.approx(20.0)  # the mean of 10, 20, 30


def test_the_time_of_a_record_is_that_of_the_steps(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("minildm.engine.fit.perf_counter", lambda: clock[0])
    net, loss = linear_problem()

    def slow(model, batch):
        clock[0] += 2.0
        return loss(model, batch)

    records = []
    for record in fit(net, slow, 64, quick(steps=5, log_every=2)):
        records.append(record)
        clock[0] += 100.0  # what the caller does with a record is not training
    assert [record.seconds for record in records] == [4.0, 8.0, 10.0]
    assert [record.samples_per_second for record in records] == [2.0] * 3


def test_dropout_depends_on_the_seed_only_and_leaves_the_callers_numbers_alone():
    def weights(seed):
        net = build(lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1)), 0)

        def loss(model, batch):
            x = torch.ones(4, 3) + torch.randn(4, 3) + np.random.rand() + random.random()  # noqa: NPY002
            return model(x).square().mean(1), None

        list(fit(net, loss, 64, quick(seed=seed)))
        return net[1].weight

    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    first = weights(0)
    drawn = torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
    assert torch.equal(drawn[0], expected[0])
    assert drawn[1:] == expected[1:]
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_precision_can_change_from_one_training_to_the_next():
    """Accelerate alone would refuse the second, or silently keep the first one's settings."""
    seen = []

    def loss(model, batch):
        out = model(torch.ones(len(batch.indices), 3))
        seen.append((torch.is_autocast_enabled("cpu"), out.dtype))
        return out.square().mean(1), None

    net = nn.Linear(3, 1)
    for precision in ("no", "bf16", "no"):
        list(fit(net, loss, 64, quick(steps=1, precision=precision)))
        assert "forward" not in vars(net)  # nothing of it stays on the network
    assert [autocast for autocast, _ in seen] == [False, True, False]
    first = fit(net, loss, 64, quick())
    next(first)
    with pytest.raises(ValueError, match="precision 'no' on cpu is not finished"):
        next(fit(net, loss, 64, quick(precision="bf16")))
    first.close()
    next(fit(net, loss, 64, quick(precision="bf16")))


def test_what_a_cpu_cannot_do_is_said(monkeypatch):
    net, loss = linear_problem()
    with pytest.raises(ValueError, match="'fp16' needs a GPU"):
        next(fit(net, loss, 64, quick(precision="fp16")))
    monkeypatch.setenv("WORLD_SIZE", "3")  # but no RANK: the others are not there
    with pytest.raises(ValueError, match="WORLD_SIZE says 3"):
        next(fit(net, loss, 64, quick()))


# --- the average ----------------------------------------------------------------------------------


def test_ema_is_the_formula_with_its_warm_up():
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 1.0)
    ema = EMA(net, decay=0.3)
    expected = 1.0
    for k, value in enumerate((5.0, -2.0, 7.0, 3.0, 4.0)):
        nn.init.constant_(net.weight, value)
        ema.update(net)
        d = min(0.3, (1 + k) / (10 + k))
        expected = d * expected + (1 - d) * value
        assert ema.net.weight.item() == pytest.approx(expected, rel=1e-6)
    assert net.weight.item() == 4.0  # the network itself is left alone
    net = nn.BatchNorm1d(2)
    ema = EMA(net, decay=0.3)
    net(torch.randn(8, 2))
    ema.update(net)
    assert torch.equal(ema.net.running_var, net.running_var)  # buffers are not averaged
    with pytest.raises(ValueError, match="decay"):
        EMA(net, 1.0)


def test_the_swap_is_undone_even_after_an_error():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    ema = EMA(net, 0.5)
    net(torch.randn(8, 2))  # moves the batch norm's buffers
    with torch.no_grad():
        net[0].weight.add_(1.0)
    own = {k: v.clone() for k, v in net.state_dict().items()}

    def use_it_and_fail():
        with ema.weights_in(net):
            assert torch.equal(net[0].weight, ema.net[0].weight)
            assert not torch.equal(net[0].weight, own["0.weight"])
            assert not net.training
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        use_it_and_fail()
    assert net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, own[name]), name


# --- the denoiser ---------------------------------------------------------------------------------

SCHEDULE = DiscreteSchedule(cosine_betas(100))
SMALL = UNetConfig(channels=1, width=8, heads=2, multipliers=(1,), classes=2)


def two_classes(n=256):
    """Latents that are +1 or -1 all over, by their label."""
    labels = torch.arange(n) % 2
    return (2.0 * labels - 1)[:, None, None, None].expand(n, 1, 3, 3).clone(), labels


def record_calls(monkeypatch):
    calls, forward = [], UNet.forward

    def spy(self, z_t, t, condition=None, drop=None):
        calls.append((z_t.detach().clone(), t.clone(), condition.clone(), drop.clone()))
        return forward(self, z_t, t, condition, drop)

    monkeypatch.setattr(UNet, "forward", spy)
    return calls


def test_the_denoiser_sees_one_based_times_keyed_noise_and_dropped_conditions(monkeypatch):
    calls = record_calls(monkeypatch)
    z0, labels = two_classes()
    config = DenoiserTraining(SMALL, quick(steps=30, batch=64, seed=7), drop=0.25)
    train_denoiser(config, SCHEDULE, z0, labels)
    times, drops = (torch.cat([call[i] for call in calls]) for i in (1, 3))
    assert times.dtype == torch.int64
    assert times.min() == 1
    assert times.max() == 100
    n = len(drops)
    assert abs(drops.double().mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / n)
    for step in (0, 17):
        batch = Batch(7, step, batch_indices(256, 64, step, 7))
        z_t, t, condition, drop = calls[step]
        signal, noise = (c.float()[:, None, None, None] for c in SCHEDULE(t))
        expected = signal * z0[batch.indices] + noise * batch.normal((1, 3, 3))
        torch.testing.assert_close(z_t, expected)
        assert torch.equal(condition, labels[batch.indices])
        assert torch.equal(drop, batch.uniform(DROP) < 0.25)  # of its own, not that of the times


@torch.no_grad()
def test_the_denoiser_learns_both_conditions_and_the_null():
    """Known answer: E[z0 | z_T] is the class's ±1 with its label, and 0 without."""
    z0, labels = two_classes()
    config = DenoiserTraining(SMALL, quick(steps=120, batch=32, lr=1e-2, ema=0.9), drop=0.3)
    with torch.enable_grad():
        net, history = train_denoiser(config, SCHEDULE, z0, labels)
    assert not net.training
    z_t = keyed_normal((1,), range(200), (1, 3, 3))
    t = torch.full((200,), 100)
    for label, answer in ((0, -1.0), (1, 1.0), (2, 0.0)):  # 2 = null
        z0_hat = -net(z_t, t, torch.full((200,), label))  # v = -z0 where no signal is left
        assert z0_hat.mean().item() == pytest.approx(answer, abs=0.25)
    last = history[-1]
    assert last.loss < 0.5 * history[0].loss
    assert len(last.by_level) == 10


def test_returned_weights_are_the_average_not_the_last(monkeypatch):
    z0, labels = two_classes(64)
    last = {}

    class Spy(EMA):
        def update(self, net):
            super().update(net)
            last["weights"] = [p.detach().clone() for p in net.parameters()]

    monkeypatch.setattr("minildm.train.EMA", Spy)
    net, _ = train_denoiser(DenoiserTraining(SMALL, quick(lr=0.01)), SCHEDULE, z0, labels)
    different = [
        not torch.equal(a, b) for a, b in zip(net.parameters(), last["weights"], strict=True)
    ]
    assert all(different)


class Generated:
    """Latents of ``two_classes``, made when they are asked for."""

    def __len__(self):
        return 64

    def __getitem__(self, indices):
        return two_classes(64)[0][indices]


def test_data_may_be_made_on_demand():
    z0, labels = two_classes(64)
    config = DenoiserTraining(SMALL, quick())
    one, other = (train_denoiser(config, SCHEDULE, x, labels).net for x in (z0, Generated()))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def both(folder, resume=False, **options):
    x = two_classes(32)[0].repeat_interleave(4, 2).repeat_interleave(4, 3)  # (32, 1, 12, 12)
    first = AutoencoderTraining(AutoencoderConfig(latent_channels=1, width=8), quick())
    second = DenoiserTraining(SMALL, quick(save_every=2))
    options |= {"folder": folder, "resume": resume}
    return train_both(first, second, SCHEDULE, x * 0.9, two_classes(32)[1], **options)


def test_both_trainings_go_on_in_their_folder(tmp_path, monkeypatch):
    expected = both(None)
    seen = []

    def stop(autoencoder, net, step):
        seen.append((step, isinstance(autoencoder, Autoencoder), net.training))
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        both(tmp_path, every_save=stop)
    assert seen == [(2, True, False), (4, True, False)]
    monkeypatch.setattr(Autoencoder, "encode", None)  # finished: neither trained nor asked again
    monkeypatch.setattr(
        Autoencoder, "measure_scale", lambda self, x: self.scale.fill_(expected[0].net.scale)
    )
    trained = both(tmp_path, resume=True)
    for one, other in zip(expected, trained, strict=True):
        assert [r[:3] for r in one.history] == [r[:3] for r in other.history]
        for name, value in one.net.state_dict().items():
            assert torch.equal(value, other.net.state_dict()[name]), name


def test_latents_are_kept_for_the_same_weights_and_images_only(tmp_path):
    net = build(lambda: Autoencoder(AutoencoderConfig(latent_channels=1, width=8)), 0)
    x = keyed_normal((1,), range(20), (1, 8, 8)).clamp(-1, 1)
    net.measure_scale(x)
    z0 = encode_all(net, x, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(z0, net.encode(x).mean * net.scale)
    assert z0.std().item() == pytest.approx(1.0, abs=1e-4)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    assert torch.equal(encode_all(net, x, tmp_path), z0)
    assert not torch.equal(encode_all(net, -x, tmp_path), z0)
    with torch.no_grad():
        net.encoder[1].weight.mul_(1.5)
    assert not torch.equal(encode_all(net, x, tmp_path), z0)


def test_other_schedules_are_other_trainings(tmp_path):
    z0, labels = two_classes(32)
    config = DenoiserTraining(SMALL, quick())
    train_denoiser(config, SCHEDULE, z0, labels, folder=tmp_path)
    other = DiscreteSchedule(linear_betas(100, last=0.1))
    with pytest.raises(CheckpointError, match="schedule was"):
        train_denoiser(config, other, z0, labels, folder=tmp_path, resume=True)
    config = DenoiserTraining(SMALL, quick(), drop=0.3)
    with pytest.raises(CheckpointError, match=r"drop was 0.1 and is 0.3 now"):
        train_denoiser(config, SCHEDULE, z0, labels, folder=tmp_path, resume=True)


def test_loss_by_level_belongs_to_its_times():
    net, loss = linear_problem()

    def by_index(model, batch):
        level = (batch.indices % 10 + 1).double() / 10  # 0.1, 0.2, .., 1.0: ends of the tenths
        zero = 0 * loss(model, batch)[0]
        return zero + (batch.indices % 10).float(), level

    (record,) = fit(net, by_index, 60, quick(steps=1, batch=60, log_every=1))
    assert record.by_level == pytest.approx(tuple(range(10)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FitConfig(steps=0), "steps must be a whole number >= 1; got 0"),
        (lambda: FitConfig(precision="float8"), "precision"),
        (lambda: FitConfig(device="tpu"), "device"),
        (lambda: FitConfig(schedule="linear"), "schedule"),
        (lambda: FitConfig(optimizer="sgd"), "optimizer"),
        (lambda: FitConfig(accumulate=0), "accumulate must be a whole number >= 1; got 0"),
        (lambda: FitConfig(save_every=0), "save_every must be a whole number >= 1; got 0"),
        (lambda: DenoiserTraining(drop=1.0), r"drop must be in \[0, 1\)"),
        (lambda: DenoiserTraining(snr_floor=1.0), r"snr_floor = 1.0 .* but min_snr is None"),
        (lambda: ReaderTraining(width=12), "width must be a multiple of 8"),
        (lambda: DenoiserTraining(parameterization="X"), "V, EPS, Z0 or FLOW"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


WHOLE_NUMBERS = {
    FitConfig: {
        "steps": 1, "batch": 1, "warmup": 0, "log_every": 1, "accumulate": 1, "save_every": 1,
        "seed": None,
    },
    ClassifierConfig: {"width": 1},
    ReaderTraining: {"width": 8, "pictures": 1},
}  # fmt: skip
# Real numbers: the least value that is taken, and values that are not.
REAL_NUMBERS = {
    FitConfig: {
        "lr": (1e-30, 0, -1), "clip": (1e-30, 0, -1), "weight_decay": (0, -1e-9),
        "ema": (0, -0.1, 1, 2.0),
    },
    AutoencoderTraining: {"kl": (0, -1)},
    DenoiserTraining: {
        "drop": (0, -0.1, 1), "min_snr": (1e-30, 0, -1), "snr_floor": (0, -1),
    },
    ClassifierConfig: {"nothing": (0, -0.1, 1)},
    ReaderTraining: {"noise": (0, -1)},
}  # fmt: skip


def test_every_number_of_every_configuration_has_its_range():
    for kind, numbers in WHOLE_NUMBERS.items():
        for name, least in numbers.items():
            bad = [10.5, math.nan, math.inf, "3", None, True, 1e400]
            for value in bad if least is None else [*bad, least - 1]:
                with pytest.raises(ValueError, match=rf"{name} must be a .*got"):
                    kind(**{name: value})
            value = getattr(kind(**{name: np.int64(least or 0)}), name)
            assert (type(value), value) == (int, least or 0)
    for kind, numbers in REAL_NUMBERS.items():
        for name, (least, *wrong) in numbers.items():
            for value in [*wrong, math.nan, math.inf, -math.inf, "3", True, [1]]:
                with pytest.raises(ValueError, match=rf"{name} must be .*got"):
                    kind(**{name: value})
            value = getattr(kind(**{name: np.float64(least)}), name)
            assert (type(value), value) == (float, least)


def configurations():
    """All configuration classes of the package, by name."""
    names = ["book.ch01_background.comparison", "book.ch05_5_text_to_image.contrastive",
             "book.ch08_outlook.distillation", "book.ch08_outlook.dit", "book.digit_judge",
             "book.pixel_space", "book.shape_reader"]  # fmt: skip
    for package, pattern in ((minildm, "**/*.py"), (book, "ablations/*_lab.py")):
        home = Path(package.__file__).parent
        files = [path.relative_to(home.parent) for path in home.glob(pattern)]
        names += [".".join(path.with_suffix("").parts) for path in files if "__" not in path.stem]
    for name in names:
        module = importlib.import_module(name)
        for kind in vars(module).values():
            if is_dataclass(kind) and kind.__module__ == name:
                yield kind


def test_no_configuration_of_the_package_takes_a_number_that_is_none():
    """Also those of the ablations. What is required is given: a FitConfig, or words."""
    seen = set()
    for kind in configurations():
        hints = typing.get_type_hints(kind)
        given = {
            field.name: FitConfig() if hints[field.name] is FitConfig else ("a",)
            for field in fields(kind)
            if field.default is MISSING and field.default_factory is MISSING
        }  # fmt: skip
        for name, hint in hints.items():
            wanted = {k for k in (int, float) if k in (hint, *typing.get_args(hint))}
            if not wanted or typing.get_origin(hint) is tuple:
                continue
            seen.add(kind.__name__)
            for bad in (math.nan, math.inf, "3", [1], *([10.5] if int in wanted else [])):
                with pytest.raises(ValueError, match=rf"{name}"):
                    kind(**given, **{name: bad})
    assert {"FitConfig", "UNetConfig", "ShapesTraining", "ShapesLab", "Settings"} <= seen
    assert len(seen) > 20


def test_no_number_of_a_configuration_was_forgotten():
    for kind in (FitConfig, AutoencoderTraining, DenoiserTraining, ClassifierConfig,
                 ReaderTraining):  # fmt: skip
        numbers = {
            field.name for field in fields(kind)
            if any(word in str(field.type) for word in ("int", "float"))
        }  # fmt: skip
        assert numbers == {*WHOLE_NUMBERS.get(kind, {}), *REAL_NUMBERS[kind]}


def test_an_output_that_is_not_finite_stops_the_training_with_its_step():
    """The loss itself refuses NaN; that must not cost the step, and what to try."""
    x = keyed_normal((0,), range(16), (1, 16, 16)).clamp(-1, 1)
    run = FitConfig(steps=10, batch=8, lr=1e3, warmup=0, clip=1e9, device="cpu")
    settings = AutoencoderTraining(AutoencoderConfig(latent_channels=2, width=8), run)
    said = r"stopped at step \d+ of 10, learning rate .*: (x_hat|mean|var) has .*NaN.*smaller lr"
    with pytest.raises(Diverged, match=said):
        train_autoencoder(settings, x)
