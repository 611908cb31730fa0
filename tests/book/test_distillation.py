"""A student that does in one step what its teacher does in two: against walks that are known."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from book.ablations.digits_lab import latents
from book.ablations.few_steps_lab import (
    FewStepsLab,
    look,
    train,
    variety,
    walk,
    with_network,
    within,
)
from book.ch03_algorithm.measure import asked_labels
from book.ch08_outlook.distillation import (
    DistillationTraining,
    ResidualMLP,
    distil,
    halve,
    halving,
    jump,
    one_step_target,
)
from minildm.denoise import gaussian_denoiser, network_denoiser
from minildm.engine.settings import FitConfig
from minildm.latent import LatentDiffusion
from minildm.predict import FLOW, Z0, V
from minildm.samplers import ddim, sample
from minildm.schedule import CosineSchedule, DiscreteSchedule, FlowSchedule, cosine_betas, expand

DISCRETE = DiscreteSchedule(cosine_betas(1000))
SCHEDULES = (DISCRETE, CosineSchedule(), FlowSchedule())
MEAN = torch.tensor([0.5, -1.0], dtype=torch.float64)
COV = torch.tensor([[0.6, 0.3], [0.3, 0.4]], dtype=torch.float64)


def grid_times(schedule, steps):
    """Every (t, m, s) of a student's grid: (steps, 3)."""
    grid = schedule.times(2 * steps)
    return torch.stack([grid[:-2:2], grid[1:-1:2], grid[2::2]], dim=1)


def points(n, d=2):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


class Perfect:
    """A network that puts out exactly what the target is for one known z0 estimate."""

    def __init__(self, z0_hat, schedule, parameterization):
        self.z0_hat, self.schedule, self.parameterization = z0_hat, schedule, parameterization

    def __call__(self, z_t, t, condition=None):
        signal, noise = self.schedule(t)
        z0 = self.z0_hat(z_t, t)
        eps = (z_t - expand(signal, z_t) * z0) / expand(noise, z_t)
        return self.parameterization.target(z0, eps, signal, noise)


# --- the target -----------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_jump_is_a_ddim_step_with_its_own_time_for_each_sample(schedule):
    exact, times, z = gaussian_denoiser(schedule, MEAN, COV), grid_times(schedule, 4), points(4)
    together = jump(exact, schedule, z, times[:, 0], times[:, 2])
    for i, (t, _, s) in enumerate(times):
        alone, _, _ = ddim(z[i : i + 1], t, s, exact, schedule)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-10, rtol=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_step_with_the_target_lands_where_two_steps_of_the_teacher_land(schedule):
    exact, times, z = gaussian_denoiser(schedule, MEAN, COV), grid_times(schedule, 4), points(4)
    for i, (t, m, s) in enumerate(times):
        z_t = z[i : i + 1]
        *_, two = sample(exact, schedule, z_t, torch.stack([t, m, s]), ddim)
        z0 = one_step_target(schedule, z_t, two.z, t, s)
        student = network_denoiser(Perfect(lambda *_, z0=z0: z0, schedule, V), schedule, V)
        one, _, _ = ddim(z_t, t, s, student, schedule)
        torch.testing.assert_close(one, two.z, atol=1e-9, rtol=0)


def test_a_step_to_clean_data_has_its_end_as_target():
    z_t, z_s, zero = points(3), points(6)[3:], torch.zeros(3, dtype=torch.int64)
    assert torch.equal(one_step_target(DISCRETE, z_t, z_s, torch.tensor([1000, 500, 1]), zero), z_s)


def test_the_target_of_a_normal_distribution_in_closed_form():
    """Data N(0, v): a jump multiplies by (v signal_t signal_s + noise_t noise_s) / M_t."""
    v, schedule = 0.3, CosineSchedule()
    exact = gaussian_denoiser(schedule, torch.zeros(1), v * torch.eye(1))
    times, z_t = grid_times(schedule, 4), points(4, 1)
    t, m, s = times.T

    def factor(t, s):
        (a, b), (c, d) = schedule(t), schedule(s)
        return ((v * a * c + b * d) / (v * a**2 + b**2))[:, None]

    signal, noise = (x[:, None] for x in schedule(t))
    two = factor(t, m) * factor(m, s) * z_t
    ratio = (schedule(s)[1] / schedule(t)[1])[:, None]
    z0 = (two - ratio * z_t) / (schedule(s)[0][:, None] - ratio * signal)
    wanted = (signal * z_t - z0) / noise  # v = signal eps - noise z0
    losses = halving(lambda *_: wanted + 0.2, exact, schedule, z_t, times)
    torch.testing.assert_close(losses, torch.full((4,), 0.04, dtype=torch.float64))


@pytest.mark.parametrize("parameterization", [V, Z0, FLOW])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_perfect_student_has_no_loss(schedule, parameterization):
    """Data in one point: every step is exact, so the point itself is the only right answer."""
    point = gaussian_denoiser(schedule, MEAN, torch.zeros(2, 2))
    student = Perfect(lambda z, t: MEAN.expand_as(z), schedule, parameterization)
    times, z = grid_times(schedule, 8), points(8)
    losses = halving(student, point, schedule, z, times, None, parameterization)
    assert losses.shape == (8,)
    assert float(losses.max()) < 1e-16
    off = Perfect(lambda z, t: MEAN.expand_as(z) + 0.1, schedule, parameterization)
    assert float(halving(off, point, schedule, z, times, None, parameterization).min()) > 1e-3


def test_the_teacher_learns_nothing():
    net = ResidualMLP(width=8, depth=1)
    teacher = network_denoiser(net, DISCRETE, V)
    student = ResidualMLP(width=8, depth=1, seed=1)
    halving(student, teacher, DISCRETE, points(4).float(), grid_times(DISCRETE, 4)).sum().backward()
    assert all(p.grad is None for p in net.parameters())
    assert all(p.grad is not None for p in student.parameters())


# --- training -------------------------------------------------------------------------------------


class Linear(nn.Module):
    """v = a_t z + b_t, with numbers of its own for each time: enough for normal data on a line."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.zeros(1001)) for _ in range(2))

    def forward(self, z_t, t, condition=None):
        return self.a[t][:, None] * z_t + self.b[t][:, None]


@pytest.fixture(scope="module")
def on_a_line():
    """(teacher, students) for data N(0.5, 0.6): four steps, then two, then one."""
    mean, cov = MEAN[:1], COV[:1, :1]
    exact = gaussian_denoiser(DISCRETE, mean, cov)
    z0 = (mean + cov.sqrt() * points(2000, 1)).float()
    config = DistillationTraining(
        first=4, fit=FitConfig(steps=300, batch=64, lr=0.05, warmup=1, ema=0.9, weight_decay=0.0)
    )
    return exact, distil(config, Linear(), lambda _: exact, DISCRETE, z0)


def test_each_student_walks_like_the_teacher_in_fewer_steps(on_a_line):
    exact, students = on_a_line
    assert list(students) == [2, 1]
    z_T = points(50, 1).float()
    *_, wanted = sample(exact, DISCRETE, z_T, DISCRETE.times(4), ddim)
    *_, two = sample(exact, DISCRETE, z_T, DISCRETE.times(2), ddim)
    *_, one = sample(exact, DISCRETE, z_T, DISCRETE.times(1), ddim)
    for steps, untaught in ((2, two), (1, one)):
        student = network_denoiser(students[steps].net, DISCRETE, V)
        *_, got = sample(student, DISCRETE, z_T, DISCRETE.times(steps), ddim)
        error = (got.z - wanted.z).abs().max()
        assert error < 0.02 < 0.2 * (untaught.z - wanted.z).abs().max()


def test_a_student_begins_as_its_teacher_which_stays_as_it_is():
    net = ResidualMLP(width=8, depth=1)
    before = copy.deepcopy(net.state_dict())
    config = DistillationTraining(first=2, fit=FitConfig(steps=1, batch=4, lr=1e-9))
    exact = gaussian_denoiser(DISCRETE, MEAN, COV)
    z0 = points(8).float()
    students = distil(config, net, lambda _: exact, DISCRETE, z0)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
        torch.testing.assert_close(students[1].net.state_dict()[name], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize("steps", [1, 4])
def test_only_the_times_of_its_own_grid_are_learned(steps):
    seen = []

    class Spy(ResidualMLP):
        def forward(self, z_t, t, condition=None):
            seen.extend(t.tolist())
            return super().forward(z_t, t)

    config = DistillationTraining(fit=FitConfig(steps=8, batch=32))
    exact = gaussian_denoiser(DISCRETE, MEAN, COV)
    halve(config, Spy(width=8, depth=1), lambda _: exact, DISCRETE, steps, points(64).float())
    assert sorted(set(seen)) == sorted(DISCRETE.times(steps)[:-1].tolist())


def test_the_teacher_sees_the_same_condition_as_the_student():
    """Two labels with data in two places: the student must tell them apart."""
    places = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
    labels = torch.arange(64) % 2

    class Told(Linear):
        def forward(self, z_t, t, condition=None):
            even = super().forward(z_t, t)
            return torch.where(
                condition[:, None] == 0, even, self.a[t + 1][:, None] * z_t + self.b[t + 1][:, None]
            )

    def teacher(condition):
        def denoise(z_t, t):
            z0 = places[condition].to(z_t)
            signal, noise = DISCRETE(t)
            return z0, (z_t - expand(signal, z_t) * z0) / expand(noise, z_t)

        return denoise

    class Small(DiscreteSchedule):
        """One step only, from a time whose number leaves room for a second one."""

        def times(self, steps, spacing="uniform"):
            return torch.tensor([998, 500, 0])

    fit = FitConfig(steps=300, batch=32, lr=0.05, warmup=1, ema=0.9, weight_decay=0.0)
    net = halve(
        DistillationTraining(fit=fit), Told(), teacher, Small(cosine_betas(1000)), 1,
        places[labels].float(), labels,
    ).net  # fmt: skip
    z = points(2, 1).float()
    read = network_denoiser(net, DISCRETE, V, torch.tensor([0, 1]))(z, torch.tensor(998))
    torch.testing.assert_close(read.z0, places.float(), atol=0.05, rtol=0)


def test_settings_that_make_no_sense_are_refused():
    for first in (1, 6, 0):
        with pytest.raises(ValueError, match="power of two"):
            DistillationTraining(first=first)
    with pytest.raises(ValueError, match="V, Z0 or FLOW"):
        DistillationTraining(parameterization="EPS")


# --- the students of the digits -------------------------------------------------------------------


def test_every_3_the_same_has_no_variety_and_real_ones_have_all_of_it():
    z0, labels = latents()
    assert variety(z0, labels) == pytest.approx(1)
    means = torch.stack([z0[labels == k].mean(0) for k in range(10)])
    assert variety(means[labels], labels) < 1e-6
    half = means[labels] + (z0 - means[labels]) / 2
    assert variety(half, labels) == pytest.approx(0.5, rel=1e-4)
    # it is the spread about the own digit's mean, not about the mean of all
    assert within(z0, labels) < 0.95 * float((z0 - z0.mean(0)).square().mean().sqrt())


def test_a_student_of_the_digits_learns_from_the_guided_teacher():
    """After a step that moves nothing, it is the teacher as conditioned; its target is guided."""
    fit = FitConfig(steps=1, batch=16, lr=1e-9)
    config = FewStepsLab(distillation=DistillationTraining(first=2, fit=fit), guidance=3.0)
    model = LatentDiffusion.load("digits")
    (student,) = train(config, model).values()
    z = walk(with_network(model, student.net), 20, 2, ddim, 1.0, 0)
    torch.testing.assert_close(z, walk(model, 20, 2, ddim, 1.0, 0), atol=1e-3, rtol=0)
    plain = train(replace(config, guidance=1.0), model)[1]
    assert student.history[0].loss > 1.5 * plain.history[0].loss


def test_evaluations_are_counted_in_both_branches_of_guidance():
    z0, labels = latents()
    order = torch.stack([(labels == k).nonzero()[:20, 0] for k in range(10)], 1).flatten()
    real = z0[order]  # 0, 1, .., 9, 0, 1, ..
    assert torch.equal(labels[order], asked_labels(200))
    found = look(real, real[:50] + 0.5, steps=4, guidance=2.0)
    assert (found["steps"], found["evaluations"]) == (4, 8)
    assert look(real, real, 4, 1.0)["evaluations"] == 4
    assert found["as_asked"] > 0.95
    assert found["variety"] == pytest.approx(1, abs=0.1)
    assert found["to_end"] == pytest.approx(0.5, abs=1e-3)
    mixed = look(real.roll(1, 0), real, 4, 1.0)
    assert mixed["as_asked"] < 0.1
