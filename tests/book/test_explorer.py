"""The schedule explorer: its pure functions at every corner of every slider, its JavaScript, its
Python half. The browser itself is in tests/browser."""

import itertools
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from book.ch04_4_schedule_lab import explorer
from book.ch04_4_schedule_lab.explorer import (
    KINDS,
    MODES,
    SAMPLERS,
    Settings,
    board,
    draw_samples,
    make_schedule,
)
from book.ch04_4_schedule_lab.widget import ScheduleExplorer
from minildm.schedule import DiscreteSchedule, linear_betas

JAVASCRIPT = Path(explorer.__file__).with_name("schedule_explorer.js")
OWN = (0.3, 0.01, 0.2, 0.6, 0.05)
# both ends of every slider, and one T between them
CORNERS = [
    Settings(kind, T, first, last, zero, OWN)
    for kind in KINDS
    for T, first, last, zero in itertools.product(
        (10, 77, 1000), (1e-5, 0.1), (1e-3, 0.9899), (False, True)
    )
    if kind in ("linear", "scaled linear", "sigmoid") or (first, last) == (1e-5, 1e-3)
]


@pytest.mark.parametrize("settings", CORNERS, ids=str)
def test_every_corner_gives_a_schedule_and_true_gauges(settings):
    schedule = make_schedule(settings)
    assert (len(OWN) if settings.kind == "your own" else settings.T) == schedule.T
    g = explorer.gauges(schedule)
    power = float(torch.prod(1 - schedule.beta))
    assert g.left == pytest.approx(power**0.5, rel=1e-6, abs=1e-12)
    assert g.last == pytest.approx(power / (1 - power), rel=1e-6, abs=1e-20)
    inside = [0.1 <= snr <= 10 for snr in schedule.snr[1:].tolist()]
    assert g.useful == pytest.approx(sum(inside) / len(inside))
    if settings.zero_terminal or settings.kind == "ramp":
        assert g.left == 0


@pytest.mark.parametrize(
    ("kind", "sampler"), [*itertools.product(("linear", "cosine", "ramp", "your own"), SAMPLERS)]
)
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_samples_at_the_corners(kind, sampler, steps):
    for zero in (False, True):
        settings = Settings(kind, 10, 1e-5, 0.9899, zero, OWN)
        drawn = draw_samples(make_schedule(settings), sampler, steps, n=60)
        assert drawn.samples.shape == (60, 2)
        assert drawn.samples.isfinite().all()
        assert drawn.samples.abs().max() < 10
        assert 0 <= drawn.near <= 1


def test_good_schedules_are_near_and_bad_ones_far():
    """Both figures know a good sampler from a wrong start and from too few steps."""
    good = draw_samples(make_schedule(Settings("cosine", 1000)), "heun", 50)
    short = draw_samples(make_schedule(Settings("linear", 100)), "heun", 50)  # 60 % signal left
    few = draw_samples(make_schedule(Settings("cosine", 1000)), "ddim", 2)
    assert good.modes == 1.0
    assert good.near > 0.95
    assert good.distance < 0.1
    assert short.distance > 3 * good.distance
    assert few.near < good.near - 0.1
    assert "100% of the modes" in good.text
    with pytest.raises(ValueError, match="sampler must be one of ddpm"):
        draw_samples(make_schedule(Settings()), "euler")


def test_the_data_has_unit_deviation():
    weights, means, covs = MODES
    away = means - weights @ means
    second = (weights[:, None, None] * (away[:, :, None] * away[:, None] + covs)).sum(0)
    torch.testing.assert_close(second, torch.eye(2).double(), atol=0.01, rtol=0)
    assert explorer.data_points().std(0).tolist() == pytest.approx([1, 1], abs=0.03)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="kind must be one of linear"):
        make_schedule(Settings("quadratic"))
    with pytest.raises(ValueError, match="T must be a whole number"):
        make_schedule(Settings(T=0))


def test_the_board_shows_the_tables():
    schedules = {
        "a": make_schedule(Settings("cosine", 50)),
        "b": make_schedule(Settings("ramp", 10)),
    }
    fig = board(schedules, places=(0.5, 1.0))
    assert len(fig.axes) == 2 * 4
    power, share = fig.axes[0].lines[:2]
    np.testing.assert_allclose(power.get_ydata(), schedules["a"].alpha_bar)
    np.testing.assert_allclose(
        share.get_ydata(), (schedules["a"].posterior_variance / schedules["a"].beta)[1:]
    )
    titles = [ax.get_title() for ax in fig.axes]
    assert titles[:4] == ["a", "log10 SNR", "t = 25", "t = 50"]
    cloud = fig.axes[3].collections[0].get_offsets()  # at T: the noise alone, but for a little
    np.testing.assert_allclose(cloud, explorer.noise_points(600), atol=0.1)


# --- the JavaScript -------------------------------------------------------------------------------

PROGRAM = """
import { betas, zeroTerminal, tables, gauges } from "./explorer.mjs";
import { readFileSync } from "node:fs";
const plain = (x) => Array.from(x, (v) => (Number.isFinite(v) ? v : null));
const answers = JSON.parse(readFileSync(0, "utf8")).map((s) => {
  const raw = betas(s.kind, s.T, s.first, s.last, s.own);
  const b = s.zero_terminal ? zeroTerminal(raw) : raw;
  const t = tables(b);
  return { betas: plain(b), alphaBar: plain(t.alphaBar), snr: plain(t.snr), share: plain(t.share),
           gauges: gauges(t) };
});
console.log(JSON.stringify(answers));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_browser_computes_what_the_package_computes(tmp_path):
    (tmp_path / "explorer.mjs").write_text(JAVASCRIPT.read_text(encoding="utf-8"))
    (tmp_path / "program.mjs").write_text(PROGRAM)
    done = subprocess.run(
        ["node", "program.mjs"], cwd=tmp_path, text=True, capture_output=True, timeout=120,
        input=json.dumps([vars(settings) for settings in CORNERS]),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for settings, got in zip(CORNERS, json.loads(done.stdout), strict=True):
        schedule = make_schedule(settings)
        share = torch.nan_to_num(schedule.posterior_variance / schedule.beta)
        wanted = {
            "betas": schedule.beta[1:], "alphaBar": schedule.alpha_bar,
            "snr": schedule.snr[1:], "share": share,
        }  # fmt: skip
        got["snr"] = got["snr"][1:]  # infinite at 0
        for name, table in wanted.items():
            np.testing.assert_allclose(
                got[name], table, rtol=1e-6, atol=1e-12, err_msg=f"{name} of {settings}"
            )
        g = explorer.gauges(schedule)
        assert got["gauges"]["left"] == pytest.approx(g.left, rel=1e-6, abs=1e-9)
        assert got["gauges"]["useful"] == pytest.approx(g.useful, abs=1e-9)


def test_the_script_is_one_plain_module():
    """Nothing is fetched from anywhere: it works without a network."""
    text = JAVASCRIPT.read_text(encoding="utf-8")
    assert "import " not in text
    assert "http" not in text
    assert "fetch(" not in text


# --- the Python half ------------------------------------------------------------------------------


def test_pressing_the_button_draws_with_the_settings_of_the_sliders():
    widget = ScheduleExplorer(settings=Settings("cosine", 200))
    assert widget.samples == b""
    widget.set_trait("sampler", "heun")
    widget.set_trait("steps", 10)
    widget.request = 1
    expected = draw_samples(make_schedule(Settings("cosine", 200)), "heun", 10)
    got = torch.frombuffer(bytearray(widget.samples), dtype=torch.float32).reshape(-1, 2)
    torch.testing.assert_close(got, expected.samples.float())
    assert widget.figures["text"] == expected.text
    before = widget.samples
    widget.zero_terminal = True
    widget.request = 2
    assert widget.samples != before
    assert widget.settings == replace(Settings("cosine", 200), zero_terminal=True)


def test_a_schedule_of_the_readers_own():
    betas = linear_betas(50, 0.01, 0.3)
    widget = ScheduleExplorer(betas)
    assert widget.kind == "your own"
    shown = make_schedule(widget.settings)
    torch.testing.assert_close(shown.beta, DiscreteSchedule(betas).beta)
    with pytest.raises(ValueError, match="beta"):
        ScheduleExplorer(torch.tensor([0.5, 2.0]).double())


def test_its_name_has_no_address_in_it():
    assert repr(ScheduleExplorer()) == "ScheduleExplorer(linear, T = 1000)"
