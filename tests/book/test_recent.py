"""Chapter 8 from 2024 on: guidance by halves, average velocities, kernel distances, their labs."""

import math
from dataclasses import replace
from statistics import mean

import pytest
import torch
from torch import nn

from book.ablations import autoguidance_lab, mean_flow_lab, times_lab
from book.ablations.autoguidance_lab import AutoguidanceLab, run_autoguidance
from book.ablations.mean_flow_lab import MeanFlowLab, run_mean_flow
from book.ablations.times_lab import Clock, Clocked, TimesLab, drawn, run_times, shifted
from book.ch08_outlook import kernel_distance as distances
from book.ch08_outlook.guidance_ways import WAYS, limited, measure_ways, projected, ranged
from book.ch08_outlook.kernel_distance import kernel_distance, measure_distances, standard
from book.ch08_outlook.mean_flow import (
    Spanning,
    SpanningMLP,
    gaussian_average,
    leap,
    mean_flow_losses,
    mean_flow_target,
    two_times,
)
from book.results import read_results
from minildm.denoise import gaussian_denoiser, guided
from minildm.engine.settings import FitConfig
from minildm.interfaces import Denoised
from minildm.latent import LatentDiffusion
from minildm.noise import Batch
from minildm.samplers import ddim, sample
from minildm.schedule import CosineSchedule, FlowSchedule
from minildm.unet import UNet, UNetConfig


def pair(seed=0):
    """Two exact denoisers, with and without a condition, and noisy points (9, 2)."""
    cov = torch.tensor([[0.6, 0.3], [0.3, 0.4]], dtype=torch.float64)
    means = torch.tensor([[0.5, -1.0], [-0.3, 0.2]], dtype=torch.float64)
    z = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return *(gaussian_denoiser(CosineSchedule(), mean, cov) for mean in means), z


# --- guidance -------------------------------------------------------------------------------------


def test_a_stretch_has_its_own_denoiser_and_both_its_ends():
    one, two = (lambda z, t, k=k: Denoised(z, k) for k in ("inside", "outside"))
    both = limited(one, two, 200, 700)
    seen = [both(None, torch.tensor(t)).eps for t in (1, 200, 201, 700, 701, 1000)]
    assert seen == ["outside", "outside", "inside", "inside", "outside", "outside"]
    with pytest.raises(ValueError, match="low must be below high"):
        limited(one, two, 700, 200)


def test_what_is_added_is_at_a_right_angle():
    c, u, z = pair()
    t, schedule = torch.tensor(0.6, dtype=torch.float64), CosineSchedule()
    z_c, whole = c(z, t).z0, guided(c, u, 3.0)(z, t).z0
    added = projected(c, u, schedule, 3.0)(z, t).z0 - z_c
    assert ((added * z_c).sum(1)).abs().max() < 1e-9
    rest = whole - z_c - added  # what was taken away lies along z_c
    assert (rest[:, 0] * z_c[:, 1] - rest[:, 1] * z_c[:, 0]).abs().max() < 1e-9
    assert rest.abs().max() > 0.1
    found = projected(c, u, schedule, 3.0)(z, t)
    signal, noise = schedule(t)
    torch.testing.assert_close(signal * found.z0 + noise * found.eps, z)


def test_every_way_is_taken_by_a_sampler_and_is_the_conditioned_one_at_w_1():
    c, u, z = pair()
    times = CosineSchedule().times(6)
    *_, wanted = sample(c, CosineSchedule(), z, times, ddim)
    for way in WAYS.values():
        *_, last = sample(way(c, u, CosineSchedule(), 1.0), CosineSchedule(), z, times, ddim)
        torch.testing.assert_close(last.z, wanted.z)
    assert list(WAYS) == ["everywhere", "in the middle", "projected"]


def test_the_ways_are_measured_seed_by_seed(tmp_path, monkeypatch):
    monkeypatch.setattr("book.ch08_outlook.guidance_ways.CAPTIONS", 2)
    monkeypatch.setattr("book.ch08_outlook.guidance_ways.STEPS", 2)
    model, lines = LatentDiffusion.load("shapes"), []
    found = measure_ways(model, (0, 1), (3.0,), lines.append, tmp_path)
    assert {name: list(by) for name, by in found["ways"].items()} == {
        "everywhere": ["1.0", "3.0"], **{name: ["3.0"] for name in list(WAYS)[1:]}
    }  # fmt: skip
    runs = [run for by in found["ways"].values() for runs in by.values() for run in runs]
    assert [run["seed"] for run in runs] == [0, 1] * 4 and len(lines) == 4
    assert all(run["off"] is None or run["off"] > 0 for run in runs)
    assert found["stretch"] == [200, 700] and not list(tmp_path.glob("*.jsonl"))


def test_a_range_has_the_mean_and_the_range():
    assert ranged([{"a": 1.0}, {"a": 2.0}, {"a": 6.0}], "a", ".1f") == "3.0 (1.0-6.0)"
    assert ranged([{"a": None}, {"a": 2.0}], "a", ".1f") == "2.0 (2.0-2.0)"
    assert ranged([{"a": None}], "a") == "none"


def test_what_the_chapter_says_of_the_stretch_and_of_the_projection():
    ways = read_results("guidance-ways")["ways"]
    right, off = (
        {(name, w): mean(run[key] for run in runs) for name, by in ways.items()
         for w, runs in by.items()} for key in ("right", "off")
    )  # fmt: skip
    everywhere = [value for (name, _), value in right.items() if name == "everywhere"]
    assert right["in the middle", "12.0"] >= max(everywhere)
    assert off["in the middle", "12.0"] < 0.7 * off["everywhere", "12.0"]
    assert right["projected", "12.0"] < right["everywhere", "12.0"]
    assert all(len(runs) == 5 for by in ways.values() for runs in by.values())


# --- average velocities ---------------------------------------------------------------------------


def exact(mean=1.5, std=0.5):
    return lambda z, r, t: gaussian_average(mean, std, z, r[:, None], t[:, None])


def test_exact_averages_leap_to_the_same_place_in_any_number_of_steps():
    z = torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    for times in ((1, 0), (1, 0.5, 0), (1, 0.9, 0.2, 0.1, 0)):
        torch.testing.assert_close(leap(exact(), z, times), 1.5 + 0.5 * z)
    with pytest.raises(ValueError, match="times must fall"):
        leap(exact(), z, (0, 1))


def test_the_target_of_the_exact_average_is_itself_on_average_over_lines():
    """z0 and eps by their exact law given z_t: the mean of the targets is the average velocity."""
    mean, std, t, r = 1.5, 0.5, 0.7, 0.2
    z = torch.tensor([[0.4]], dtype=torch.float64)
    denoise = gaussian_denoiser(
        FlowSchedule(), torch.tensor([mean]).double(), torch.tensor([[std**2]]).double()
    )
    z0 = denoise(z, torch.tensor(t, dtype=torch.float64)).z0
    spread = torch.tensor([[-1.0], [1.0], [2.0], [-2.0]]).double()  # of mean 0 about z0
    eps = (z - (1 - t) * (z0 + spread)) / t
    many, each = z.repeat(4, 1), [torch.full((4,), k, dtype=torch.float64) for k in (r, t)]
    target = mean_flow_target(exact(mean, std), many, eps - z0 - spread, *each)
    wanted = exact(mean, std)(z, *(k[:1] for k in each))
    torch.testing.assert_close(target.mean(0, keepdim=True), wanted)
    assert target.std() > 0.1 and not target.requires_grad


def test_losses_have_no_gradient_through_target_and_weight():
    net = SpanningMLP(2, 16)
    z0, eps = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.9, 0.5, 0.7, 1.0, 0.2]).double()
    r = torch.tensor([0.1, 0.5, 0.2, 0.0, 0.1]).double()
    z_t = (1 - t[:, None].float()) * z0 + t[:, None].float() * eps
    target = mean_flow_target(net, z_t, eps - z0, r, t)
    assert not target.requires_grad  # though the network has weights
    error = (net(z_t, r, t) - target).square().mean(1)
    torch.testing.assert_close(mean_flow_losses(net, z0, eps, r, t, 0.0), error)
    torch.testing.assert_close(target[1], (eps - z0)[1])  # r = t: the velocity itself
    weighted = mean_flow_losses(net, z0, eps, r, t, 1.0)
    torch.testing.assert_close(weighted, error / (error.detach() + 1e-3))
    weighted.sum().backward()
    found = net.net.leave.weight.grad.clone()
    net.zero_grad()
    (error / (error.detach() + 1e-3)).sum().backward()
    torch.testing.assert_close(found, net.net.leave.weight.grad)


def test_times_are_in_order_and_apart_as_often_as_asked():
    batch = Batch(0, 1, torch.arange(4000))
    r, t = two_times(batch, 0.25)
    assert (r <= t).all() and (r > 0).all() and (t <= 1).all()
    assert float((r < t).double().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(t.mean()) == pytest.approx(2 / 3, abs=0.02)  # the later of two
    same, _ = two_times(batch, 0.0)
    assert torch.equal(same, t)


@torch.no_grad()
def test_a_network_hears_how_long_the_step_is():
    net = Spanning(UNet(UNetConfig(channels=3, width=8, multipliers=(1,), classes=10)))
    nn.init.normal_(net.net.leave[-1].weight)
    z, t = torch.randn(2, 2, 7, 7), torch.tensor([0.8, 0.9]).double()
    labels = torch.tensor([3, 4])
    out = [net(z, r, t, labels) for r in (t, t - 0.5)]
    assert out[0].shape == z.shape and (out[0] - out[1]).abs().max() > 1e-3


def test_the_lab_of_the_average_velocity_runs_in_small(monkeypatch):
    monkeypatch.setattr(mean_flow_lab, "STEPS", (1, 2))
    lab = MeanFlowLab(fit=FitConfig(steps=1, batch=8), samples=20)
    small = replace(lab, model=replace(lab.model, width=8))
    for apart in (0.5, 0.0):
        outcome = run_mean_flow(replace(small, apart=apart))
        assert [point["steps"] for point in outcome.figures["student"]] == [1, 2]
        assert outcome.pictures.shape == (20, 1, 28, 28)
    seen = []
    mean_flow_lab.conditioned(lambda *given: seen.append(given), 7, False)("z", "r", "t")
    mean_flow_lab.conditioned(lambda *given: seen.append(given), 7, True)("z", "r", "t")
    assert seen == [("z", "t", "t", 7), ("z", "r", "t", 7)]


# --- distances ------------------------------------------------------------------------------------


def test_the_kernel_distance_sees_a_shift_and_its_diagonal():
    x = torch.randn(300, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert abs(kernel_distance(x[:150], x[150:])) < 0.1
    assert kernel_distance(x[:150], x[150:] + 1) > 0.1
    assert kernel_distance(x, x, diagonal=True) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(x, x) < 0
    with pytest.raises(ValueError, match=r"give \(n, d\), \(m, d\)"):
        kernel_distance(x, x[:1])


def test_units_come_from_other_pictures_and_never_from_the_sets():
    features = torch.randn(6, 64) * 3 + 10
    whole, part = standard(features), standard(features[:2])
    assert whole.dtype == torch.float64 and torch.equal(whole[:2], part)


def test_distances_are_measured_of_every_kind_and_draw(tmp_path, monkeypatch):
    monkeypatch.setattr(distances, "STEPS", {"drawn in 1 step": 1})
    found = measure_distances(
        LatentDiffusion.load("shapes"), (0, 1), lambda _: None, (4, 8), 30, tmp_path
    )
    assert list(found["sets"]) == ["real", "reconstructed", "drawn in 1 step"]
    for draws in found["sets"].values():
        assert [draw["seed"] for draw in draws] == [0, 1]
        assert all(set(draw["frechet"]) == set(draw["kernel"]) == {"4", "8"} for draw in draws)
    assert found["sets"]["real"][0] != found["sets"]["real"][1]


# --- a flow's times, and a worse model ------------------------------------------------------------


def test_a_shift_multiplies_noise_over_signal():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    late = shifted(t, 3.0)
    torch.testing.assert_close(late[1:-1] / (1 - late[1:-1]), 3 * t[1:-1] / (1 - t[1:-1]))
    assert late[0] == 0 and late[-1] == 1 and torch.equal(shifted(t, 1.0), t)


def test_a_clock_draws_as_it_says_and_the_network_hears_the_flows_time():
    u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    t = drawn(u, "logit-normal", 1.0)
    logit = (t / (1 - t)).log()
    assert float(logit.mean()) == pytest.approx(0, abs=1e-6)
    assert float(logit.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(drawn(u, "uniform", 1.0), u)
    torch.testing.assert_close(drawn(u, "logit-normal", 3.0), shifted(t, 3.0))
    assert drawn(torch.tensor([1.0]).double(), "logit-normal", 3.0) == 1

    def clock(u):
        return drawn(u, "logit-normal", 3.0)

    signal, noise = Clock(clock)(u)
    torch.testing.assert_close(noise, clock(u))
    torch.testing.assert_close(signal, 1 - clock(u))
    net = UNet(UNetConfig(width=8, multipliers=(1,)))
    heard = []
    net.forward = lambda z, t, c, drop: heard.append(t)
    Clocked(net, clock)(torch.zeros(1, 4, 8, 8), u[:3])
    torch.testing.assert_close(heard[0], clock(u[:3]))


TINY = ("denoiser", {"steps": 1, "batch": 8, "warmup": 0})


def tiny(lab):
    """The lab with a small network and one step of training."""
    model = lab.denoiser.model
    model = replace(model, unet=replace(model.unet, width=8), text=replace(model.text, dim=16))
    fit = FitConfig(**TINY[1], optimizer=lab.denoiser.fit.optimizer)
    return replace(lab, denoiser=replace(lab.denoiser, model=model, fit=fit), pictures=32)


def test_the_lab_of_times_runs_in_small(monkeypatch):
    monkeypatch.setattr(times_lab, "FEW", (1, 2))
    rows = times_lab.unseen()[:8]
    monkeypatch.setattr(times_lab, "unseen", lambda: rows)
    outcome = run_times(replace(tiny(TimesLab()), draw="logit-normal", shift=3.0))
    assert list(outcome.figures["shift"]) == ["1", "2", "3"]
    assert list(outcome.figures["shift"]["2"]) == ["1", "2"]
    with pytest.raises(ValueError, match="draw must be one of"):
        TimesLab(draw="even")


def test_the_lab_of_autoguidance_runs_in_small(monkeypatch):
    monkeypatch.setattr(autoguidance_lab, "SCALES", (2.0,))
    lab = replace(tiny(AutoguidanceLab()), captions=2, drawn=2, steps=2)
    figures = run_autoguidance(lab).figures
    assert list(figures) == ["worse alone", "w = 1", "ordinary, w = 2", "autoguidance, w = 2"]
    assert all(0 <= found["right"] <= 1 for found in figures.values())
    assert math.isfinite(figures["w = 1"]["variety"])
