"""The laboratories of chapter 8: pages of any brightness, and digits on several schedules."""

from dataclasses import replace

import pytest
import torch

from book.ablations import flow_lab
from book.ablations.brightness_lab import (
    BrightnessLab,
    brightness,
    compare,
    folding,
    pages,
    run_brightness,
)
from book.ablations.flow_lab import SCHEDULES, FlowLab, flow_grid, run_flow
from book.ablations.plans import FLOW
from book.ch08_outlook.closed_forms import flow_time
from minildm.data import digits
from minildm.engine.settings import FitConfig


def test_pages_have_every_brightness_and_their_ink_can_be_seen():
    x = pages()
    assert x.shape == (4000, 1, 32, 32) and x.abs().max() <= 1
    corner, strongest = x[:, 0, 0, 0], (digits(32).x[:, 0] + 1).flatten(1).argmax(1)
    ink = x.flatten(1).gather(1, strongest[:, None])[:, 0]
    assert torch.allclose((ink - corner).abs(), torch.tensor(0.5), atol=0.02)
    assert ((ink < corner) == (corner >= 0)).all()
    assert brightness(x).quantile(0.05) < -0.7 and brightness(x).quantile(0.95) > 0.7
    assert torch.equal(pages(3), pages(3)) and not torch.equal(pages(3), x)


def test_folding_gives_spread_one_and_back():
    x = pages()[:200]
    fold = folding(x)
    z0 = fold.encode(x).mean * fold.scale
    assert float(z0.std()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(fold.decode(z0) / fold.scale, x, atol=1e-6)


def test_comparing_sees_spread_and_shift():
    x = pages()
    same = compare(x, x)
    assert same["spread"] == 1 and same["distance"] < 1e-6
    assert compare(x / 2, x)["spread"] == pytest.approx(0.5, abs=1e-3)
    shifted = compare(x + 0.3, x)
    assert shifted["distance"] == pytest.approx(0.3, abs=1e-3)
    assert shifted["quantiles"][3] == pytest.approx(same["quantiles"][3] + 0.3, abs=2e-3)


def test_an_untrained_network_started_from_pages_stays_near_them_where_signal_is_left():
    lab = BrightnessLab(samples=20, steps=2)
    quick = replace(lab.denoiser, fit=FitConfig(steps=1, batch=8))
    outcome = run_brightness(replace(lab, denoiser=quick))
    assert set(outcome.figures) == {"from noise", "from noised pages"}
    assert outcome.figures["from noise"] != outcome.figures["from noised pages"]
    repaired = run_brightness(replace(lab, denoiser=quick, schedule="zero terminal SNR"))
    assert repaired.figures["from noise"] == repaired.figures["from noised pages"]
    assert outcome.pictures.shape == (16, 1, 32, 32) and outcome.pictures.abs().max() <= 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_grids_are_even_on_the_clock_of_the_flow(name):
    schedule = SCHEDULES[name]()
    for steps in (1, 4, 16):
        grid = flow_grid(schedule, steps)
        assert len(grid) == steps + 1
        tolerance = 1e-9 if isinstance(schedule.T, float) else 0.01
        even = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        assert (flow_time(schedule, grid) - even).abs().max() < tolerance


def test_labs_refuse_schedules_that_they_do_not_know():
    for lab in (FlowLab, BrightnessLab):
        with pytest.raises(ValueError, match="schedule must be one of .*'quadratic'"):
            lab(schedule="quadratic")


@pytest.mark.parametrize("variant", FLOW.variants)
def test_the_first_step_of_every_variant_can_be_taken(variant):
    """At T, eps says nothing of z0 where no signal is left."""
    config = FLOW.config(variant, 0)
    schedule = SCHEDULES[config.schedule]()
    signal, noise = schedule(schedule.times(4)[0])
    z = torch.zeros(1, 2, 7, 7)
    solved = config.denoiser.predicts.solve(z, z, signal, noise)
    assert all(part.isfinite().all() for part in solved)


def test_each_schedule_is_judged_on_its_own_grid_and_on_that_of_the_flow(monkeypatch):
    seen = []
    monkeypatch.setattr(flow_lab, "FEW", (1, 2))
    monkeypatch.setattr(flow_lab, "judged", lambda model, times, n: seen.append(times) or len(seen))
    lab = FlowLab(samples=5)
    quick = replace(lab.denoiser, fit=FitConfig(steps=1, batch=8))
    assert run_flow(replace(lab, denoiser=quick)).figures == {"even in t": {"1": 1, "2": 2}}
    cosine = replace(lab, denoiser=replace(quick, parameterization="V"), schedule="cosine")
    assert run_flow(cosine).figures == {"even in t": {"1": 3, "2": 4}, "even in flow": {"1": 5}}
    assert [len(times) for times in seen] == [2, 3, 2, 3, 2]
