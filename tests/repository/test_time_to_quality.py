"""benchmarks/time_to_quality.py: its clocks, its points, going on, and a rival of the same size."""

import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

pytest.importorskip("diffusers")

from benchmarks import (
    quality_errors,
    quality_record,
    quality_table,
    stock_recipe,
    time_to_quality,
)
from benchmarks.quality_record import Record, reached, read_run
from book.ch05_3_training.figures import quality_against_minutes
from minildm.engine.settings import override
from minildm.files.checkpoint import load_checkpoint
from minildm.files.places import book_folder
from minildm.noise import seeded
from minildm.schedule import expand
from minildm.shapes.captions import text_config
from minildm.shapes.judge import Accuracy
from minildm.shapes.training import SCHEDULE, ShapesTraining
from minildm.text import build_network
from minildm.words import NULL, PAD

TINY = [
    "--set", "pictures=100", "gate_pictures=4", "autoencoder.fit.steps=4",
    "autoencoder.fit.save_every=2", "autoencoder.model.width=8", "autoencoder.model.max_width=16",
    "denoiser.model.unet.width=16", "denoiser.model.text.dim=16", "denoiser.fit.batch=8",
    "denoiser.fit.log_every=2", "--steps", "6", "--every", "2", "--captions", "2", "--test", "2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _quick_and_quiet(monkeypatch):
    monkeypatch.setattr(time_to_quality, "SWEPT", (2.5,))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with an autoencoder, which the runs of this file share."""
    return tmp_path_factory.mktemp("quality")


def start(home, recipe, name, *more):
    threads = str(torch.get_num_threads())
    words = ["--folder", str(home), "--name", name, "--threads", threads, *more]
    time_to_quality.main([recipe, *TINY, *words])
    return read_run(home / name)


def weights(home, name, step=6):
    return load_checkpoint(home / name / f"weights-{step:06d}")[0]


# --- clocks and levels ----------------------------------------------------------------------------


def test_the_clocks_count_training_alone(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(quality_record, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(quality_record, "process_time", lambda: 0.5)
    record = Record(tmp_path, {})
    for step in (1, 2):
        record.start()
        record.note(step, record.stop(), 0.0)
        next(clock)  # judging
    assert [p["wall"] for p in record.data["points"]] == [10, 20]
    again = Record(tmp_path, {})  # after a kill: it goes on from the last point
    next(clock)
    again.start()
    again.note(3, again.stop(), 0.0)
    assert again.last["wall"] == 30 and again.last["cpu"] == 0


def test_a_point_waits_until_it_is_judged_also_after_a_kill(tmp_path):
    record = Record(tmp_path, {"rate": 1})
    record.note(2, {"wall": 1.0, "cpu": 1.0}, 0.5)
    again = Record(tmp_path, {"rate": 1})
    assert again.waiting() == [2]
    again.judged(2, Accuracy(0.25, 1.0, {}, 0.1, 4))
    assert Record(tmp_path, {"rate": 1}).waiting() == []
    assert Record(tmp_path, {"rate": 1}).last["accuracy"] == 0.25
    again.cut(1)
    assert Record(tmp_path, {"rate": 1}).last["step"] == 0
    with pytest.raises(ValueError, match="rate was 1, is 2"):
        Record(tmp_path, {"rate": 2})
    assert Record(tmp_path, {"rate": 2}, free=["rate"]).data["about"] == {"rate": 2}


def test_checkpoints_without_a_point_are_forgotten(tmp_path):
    record = Record(tmp_path, {})
    record.note(4, {"wall": 1.0, "cpu": 1.0}, 0.5)
    for step in (2, 4, 6):
        (tmp_path / f"state-{step:08d}").mkdir()
    time_to_quality.forget_what_was_not_noted(tmp_path, record)
    assert sorted(p.name for p in tmp_path.glob("state-*")) == ["state-00000002", "state-00000004"]


def test_a_level_is_reached_on_the_line_between_two_points():
    times, shares = (10, 20, 40), (0.5, 0.8, 1.0)
    assert reached(times, shares, 0.9) == (40, pytest.approx(30))
    assert reached(times, shares, 0.8) == (20, pytest.approx(20))
    assert reached(times, shares, 0.4) == (10, 10)
    assert reached(times, (0.5, 0.8, 0.85), 0.9) is None
    assert reached((1, 2, 3), (0.95, 0.5, 0.95), 0.9) == (1, 1)  # the first time counts


def invented(shares, seconds, autoencoder=60.0):
    points = [
        {"step": i + 1, "wall": s, "cpu": 2 * s, "loss": 0.1, "accuracy": a}
        for i, (a, s) in enumerate(zip(shares, seconds, strict=True))
    ]
    return {
        "points": points,
        "autoencoder": {"wall": autoencoder, "cpu": autoencoder},
        "parameters": {"all": 10**6, "unet": 10**6},
    }


@pytest.fixture
def stored(tmp_path):
    runs = {"ours": invented((0.8, 1.0), (60, 120)), "stock": invented((0.2, 0.95), (120, 420))}
    for name, run in runs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "points.json").write_text(json.dumps(run))
    return tmp_path


def test_the_table_counts_the_autoencoder_and_compares(stored):
    result = quality_table.result_of(stored)
    ours, stock = result["runs"]["ours"]["to"], result["runs"]["stock"]["to"]
    assert ours["0.9"]["wall"] == [3.0, 2.5]  # one minute for the autoencoder, then 1.5 or 2
    assert ours["0.9"]["cpu"] == [5.0, 4.0]
    assert stock["0.9"]["wall"] == [8.0, pytest.approx(7.67)] and stock["0.97"]["wall"] is None
    said = "\n".join(quality_table.lines(result))
    assert (
        "90%, minutes: ours 2.5 (first point 3.0), stock 7.7 (first point 8.0) (3.07 times" in said
    )
    assert "stock not in 8.0 (more than 2.81 times)" in said


def test_the_benchmark_has_a_line_where_both_arrive_and_a_sentence_where_one_does_not(stored):
    result = quality_table.result_of(stored)
    first, last = quality_table.rows(result)
    assert (first.what, first.unit) == ("from nothing to 90%", "cpu min")
    assert (first.ours, first.rival) == ([4.0], [pytest.approx(14.33)])
    assert (last.ours, tuple(last.rival)) == ([pytest.approx(4.7)], ())
    (said,) = quality_table.not_reached(result)  # 15 minutes: 1 of the autoencoder, 14 of its own
    assert said == (
        "stock was not at 97% after 15.0 minutes of a processor, more than 3.2 times ours; its "
        "best point had 95.0%"
    )


def test_the_figure_has_a_curve_for_each_recipe_from_the_autoencoder_on(stored):
    (ax,) = quality_against_minutes(quality_table.result_of(stored)).axes
    curves = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in curves] == ["ours", "stock"]
    assert list(curves[0].get_xdata()) == [1, 2, 3] and list(curves[0].get_ydata()) == [0, 80, 100]


@pytest.mark.parametrize("steps", [5, 14, 300, 1000, 4000, 7000])
def test_there_are_about_fourteen_points(steps):
    every = time_to_quality.every_so_often(steps)
    assert min(steps, 10) <= -(-steps // every) <= 20
    assert steps < 350 or every % 50 == 0



def test_an_autoencoder_is_taken_with_what_it_cost(tmp_path, monkeypatch):
    clocks = {"perf_counter": 7.0, "process_time": 5.0}  # of the encoding, which is counted too
    for name, seconds in clocks.items():
        ticks = iter((0.0, seconds))
        monkeypatch.setattr(quality_record, name, lambda ticks=ticks: next(ticks))
    monkeypatch.setattr(time_to_quality, "training_pictures", lambda config: (None, None))
    monkeypatch.setattr(time_to_quality, "encode_all", lambda *inputs: torch.zeros(1))
    shapes = book_folder("shapes")
    noted = json.loads((shapes / "metrics.json").read_text(encoding="utf-8"))["training"]
    taken = time_to_quality.common(ShapesTraining(), tmp_path, model=shapes)
    seconds = noted["seconds"]["autoencoder"]
    assert taken.cost == {"wall": seconds + 7, "cpu": seconds * noted["threads"] + 5}
    other = override(ShapesTraining(), ["autoencoder.fit.steps=7"])
    with pytest.raises(ValueError, match="leave --model out"):
        time_to_quality.common(other, tmp_path / "other", model=shapes)

# --- the rival ------------------------------------------------------------------------------------


def test_both_networks_have_as_many_parameters_to_ten_percent():
    with torch.device("meta"):
        ours = build_network(ShapesTraining().denoiser.model)
        widths = stock_recipe.widths_like(stock_recipe.parameters(ours), text_config())
        theirs = stock_recipe.StockNetwork(stock_recipe.StockSettings(widths=widths))
    for part in ("unet", "text"):
        mine = stock_recipe.parameters(getattr(ours, part))
        assert stock_recipe.parameters(getattr(theirs, part)) / mine == pytest.approx(1, abs=0.1)


def test_both_are_asked_for_the_same_noise_in_the_same_latents():
    signal, noise = quality_errors.levels()
    t = torch.arange(0, 1000, 50)
    z0, eps = (torch.randn(len(t), 4, 2, 2, generator=seeded(i)) for i in range(2))
    z_t = expand(signal[t], z0) * z0 + expand(noise[t], z0) * eps
    x = quality_errors.Probe(z_t, eps, t, torch.full((len(t), 3), 7))
    about = {"denoiser": asdict(ShapesTraining().denoiser)}
    net, guess = quality_errors.ours(about)

    def exact(z_t, t, tokens):  # v at our own time, of the same z0 and eps
        clean, dirty = SCHEDULE(t)
        found.append(dirty / clean)
        return expand(clean, eps) * eps - expand(dirty, z0) * z0

    found = []
    net.forward = exact
    assert quality_errors.noise_error(guess, x) < 1e-4  # our times are 1,000, not all: nearest
    off = (found[0] * signal[t] / noise[t]).log().abs()
    assert (off[1:17] < 0.02).all() and (off < 0.3).all()  # at the ends a step of ours is larger
    assert quality_errors.noise_error(lambda z_t, t, tokens: 0 * z_t, x) > 0.5


def test_equal_error_is_found_where_it_was_noted():
    points = [{"minutes_wall": m, "minutes_cpu": 2 * m, "noise_error": e}
              for m, e in ((1, 0.4), (2, 0.2), (3, 0.1))]  # fmt: skip
    slow = [{**p, "minutes_wall": 10 * p["minutes_wall"]} for p in points[:2]]
    runs = {"ours": {"points": points}, "slow": {"points": slow}}
    wall, cpu = quality_table.equal_error({"runs": runs})
    assert "slow 20.0" in wall and "(10.00 times)" in wall
    assert "slow 4.0" in cpu and "(1.00 times)" in cpu
    runs["slow"]["points"][0].pop("noise_error")
    assert quality_table.equal_error({"runs": runs}) == []


def test_settings_that_were_changed_are_named():
    usual = json.loads(json.dumps(asdict(ShapesTraining())))
    told = json.loads(json.dumps(usual))
    told["denoiser"]["model"]["pool"] = "no"
    told["autoencoder"]["fit"]["steps"] = 7
    del told["denoiser"]["fit"]["save_every"]  # not told: not changed
    found = quality_table.changed(told, usual)
    assert found == ["autoencoder.fit.steps=7", "denoiser.model.pool=no"]


class Points(nn.Module):
    """Knows that all latents are 2 with a text, and 1 without: its eps is exact."""

    def text(self, tokens):
        return torch.where(tokens[:, :1] == NULL, 1.0, 2.0)

    def unet(self, z, t, words, encoder_attention_mask):
        from diffusers import DDPMScheduler

        alpha_bar = DDPMScheduler().alphas_cumprod[int(t)]
        z0 = words[:, :, None, None]
        eps = (z - alpha_bar.sqrt() * z0) / (1 - alpha_bar).sqrt()
        return type("Output", (), {"sample": eps})


@pytest.mark.parametrize("sampler", ["dpm", "ddim"])
def test_its_samplers_walk_to_the_data_and_beyond_with_guidance(sampler):
    tokens = torch.full((3, 5), 7)
    tokens[:, 3:] = PAD
    for guidance, wanted in ((0.0, 1.0), (1.0, 2.0), (2.5, 3.5)):
        z = stock_recipe.draw_latents(Points(), tokens, (4, 2, 2), sampler, guidance, batch=2)
        # exact up to float32 and the first step, which takes noise of SNR 4e-5 for pure noise
        assert z.shape == (3, 4, 2, 2)
        assert z.sub(wanted).abs().max() < 0.05


def test_its_rate_rises_and_stays_and_a_share_of_captions_is_dropped(monkeypatch):
    settings = stock_recipe.StockSettings(
        batch=32, rate=0.1, warmup=4, drop=0.25, text=text_config(dim=16), widths=(16, 16)
    )
    tokens = torch.full((64, 14), 7)
    training = stock_recipe.StockTraining(settings, torch.zeros(64, 4, 8, 8), tokens)
    seen, rates = [], []
    monkeypatch.setattr(
        training.net,
        "forward",
        lambda z, t, c: seen.append(c) or z * training.net.text.positions.mean(),
    )
    for _ in range(8):
        training.one_step()
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.025, 0.05, 0.075] + 5 * [0.1])
    null = (torch.cat(seen)[:, 0] == NULL).double().mean()
    assert 0.15 < null < 0.35  # of 256 at 0.25: within 3.7 standard deviations


# --- whole runs, small ----------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["ours", "stock"])
def test_a_run_that_is_killed_goes_on_as_if_nothing_had_happened(home, recipe, monkeypatch):
    more = ["--rate", "1e-2", "--warmup", "1"] if recipe == "stock" else []
    whole = start(home, recipe, recipe, *more)
    assert [p["step"] for p in whole["points"]] == [2, 4, 6]
    for clock in ("wall", "cpu"):
        times = [p[clock] for p in whole["points"]]
        assert times == sorted(times) and times[0] > 0 and whole["autoencoder"][clock] > 0
    assert {"test", "test_at_best_guidance", "guidance_on_validation"} <= whole.keys()

    real = time_to_quality.accuracy
    monkeypatch.setattr(time_to_quality, "accuracy", fails_at_the_second := Second(real))
    with pytest.raises(RuntimeError, match="killed"):
        start(home, recipe, f"{recipe}-killed", *more)
    points = read_run(home / f"{recipe}-killed")["points"]
    assert [("accuracy" in p, p["step"]) for p in points] == [(True, 2), (False, 4)]
    fails_at_the_second.armed = False
    again = start(home, recipe, f"{recipe}-killed", *more)
    assert [(p["step"], p["accuracy"]) for p in again["points"]] == [
        (p["step"], p["accuracy"]) for p in whole["points"]
    ]
    for name, value in weights(home, recipe).items():
        # the same steps in the same order; 1e-5 is far less than one step of rate 1e-2
        torch.testing.assert_close(
            weights(home, f"{recipe}-killed")[name], value, atol=1e-5, rtol=0
        )


class Second:
    """Calls ``real``, but its second call dies while it is armed."""

    def __init__(self, real):
        self.real, self.calls, self.armed = real, 0, True

    def __call__(self, *args):
        self.calls += 1
        if self.armed and self.calls == 2:
            raise RuntimeError("killed")
        return self.real(*args)


def test_an_autoencoder_of_another_recipe_is_refused(home):
    start(home, "ours", "ours")  # finished: nothing is trained, unless this test runs alone
    with pytest.raises(ValueError, match=r"autoencoder.* holds another run: autoencoder was"):
        start(home, "ours", "other", "--set", "autoencoder.kl=0.5")


def test_without_runs_the_case_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = time_to_quality.run(None)
    assert result["runs"] == {} and "no run of ours and stock" in result["notes"][0]
