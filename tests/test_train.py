"""The training loop: what it draws, what it averages, what it learns, what it logs."""

import json
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from minildm.ema import EMA
from minildm.fit import Batch, FitConfig, Progress, batch_indices, build, fit, write_history
from minildm.noise import keyed_normal, keyed_uniform, mix
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.train import DenoiserTraining, train_denoiser
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
        z_t, t, condition, _ = calls[step]
        signal, noise = (c.float()[:, None, None, None] for c in SCHEDULE(t))
        expected = signal * z0[batch.indices] + noise * batch.normal((1, 3, 3))
        torch.testing.assert_close(z_t, expected)
        assert torch.equal(condition, labels[batch.indices])


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


def test_loss_by_level_belongs_to_its_times():
    net, loss = linear_problem()

    def by_index(model, batch):
        level = (batch.indices % 10 + 1).double() / 10  # 0.1, 0.2, .., 1.0: ends of the tenths
        zero = 0 * loss(model, batch)[0]
        return zero + (batch.indices % 10).float(), level

    (record,) = fit(net, by_index, 60, quick(steps=1, batch=60, log_every=1))
    assert record.by_level == pytest.approx(tuple(range(10)))


def test_history_on_disk(tmp_path):
    history = [Progress(1, 0.5, 0.1, (1.0, float("nan"))), Progress(2, 0.25, 0.0, (0.5, 2.0))]
    write_history(history, tmp_path / "log.jsonl")
    first, second = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert first == {"step": 1, "loss": 0.5, "lr": 0.1, "by_level": [1.0, None]}
    assert second["by_level"] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FitConfig(steps=0), "steps must be positive"),
        (lambda: FitConfig(precision="float8"), "precision"),
        (lambda: FitConfig(device="tpu"), "device"),
        (lambda: DenoiserTraining(drop=1.0), "drop"),
        (lambda: DenoiserTraining(parameterization="X"), "V, EPS, Z0 or FLOW"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
