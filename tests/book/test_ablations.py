"""Plans of trainings: what is run, what is kept, what is run again; and networks without a part."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from book.ablations import engine as ablations
from book.ablations.autoencoder_lab import AutoencoderLab, edges, lost_detail
from book.ablations.digits_lab import DigitsAutoencoderLab, DigitsLab, assemble, latents
from book.ablations.engine import Outcome, Plan, outcomes, picture, run_plan, timed
from book.ablations.plans import PLANS
from book.ablations.shapes_lab import ShapesLab, combinations, freeze_text, simple, unseen
from book.ablations.surgery import remove
from book.results import read_results
from minildm.engine.settings import override
from minildm.latent import LatentDiffusion
from minildm.shapes.scenes import ATTRIBUTES, HELD_OUT, splits
from minildm.text import TextUNet, build_network
from minildm.unet import UNet, UNetConfig


@dataclass(frozen=True)
class Toy:
    rate: float = 1.0
    seed: int = 0


def toy_plan(**changes):
    """A plan whose "training" returns rate + seed, and remembers what it was asked for."""
    ran = []

    def run(config):
        ran.append(config)
        return Outcome(0.5, {"figure": config.rate + config.seed}, torch.zeros(2, 1, 4, 4))

    plan = Plan("?", Toy(), {"base": (), "fast": ("rate=5",)}, run, seeds=(0, 3), minutes=1.0)
    return replace(plan, **changes), ran


def quiet(*_):
    pass


def test_every_variant_is_run_once_per_seed_and_written_down(tmp_path):
    path = tmp_path / "results.json"
    plan, ran = toy_plan()
    section = run_plan("toy", plan, path=path, report=quiet)
    assert ran == [Toy(1, 0), Toy(1, 3), Toy(5, 0), Toy(5, 3)]
    assert read_results("ablation toy", path)["variants"] == section["variants"]
    assert outcomes("toy", "fast", "figure", path=path) == [5.0, 8.0]
    assert section["variants"]["fast"]["changes"] == ["rate=5"]
    assert section["command"] == "python tools/experiments.py ablate toy"
    assert picture("toy", "fast", tmp_path).stat().st_size > 50


def test_an_interrupted_plan_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "results.json"
    plan, ran = toy_plan()
    run_plan("toy", plan, only=["fast"], path=path, report=quiet)
    run_plan("toy", plan, path=path, report=quiet)
    run_plan("toy", plan, path=path, report=quiet)
    assert ran == [Toy(5, 0), Toy(5, 3), Toy(1, 0), Toy(1, 3)]


def test_two_processes_with_parts_of_one_plan_lose_nothing(tmp_path):
    path = tmp_path / "results.json"
    plan, _ = toy_plan()

    def meanwhile(config):  # while this one trains, another process finishes the other variant
        if config.rate == 1 and config.seed == 0:
            run_plan("toy", plan, only=["fast"], path=path, report=quiet)
        return plan.run(config)

    run_plan("toy", replace(plan, run=meanwhile), only=["base"], path=path, report=quiet)
    assert outcomes("toy", "fast", "figure", path=path) == [5.0, 8.0]
    assert len(outcomes("toy", "base", "figure", path=path)) == 2


def test_what_was_changed_is_run_again_and_nothing_else(tmp_path):
    path = tmp_path / "results.json"
    plan, ran = toy_plan()
    run_plan("toy", plan, path=path, report=quiet)
    ran.clear()
    other, ran = toy_plan(variants={"base": (), "fast": ("rate=7",)})
    run_plan("toy", other, path=path, report=quiet)
    assert ran == [Toy(7, 0), Toy(7, 3)]
    another, ran = toy_plan(base=Toy(rate=2.0))
    run_plan("toy", another, path=path, report=quiet)
    assert len(ran) == 4


def test_what_was_run_with_other_models_is_run_again(tmp_path, monkeypatch):
    """A laboratory uses the book's autoencoder, judge or teacher: its figures belong to these."""
    path = tmp_path / "results.json"
    plan, ran = toy_plan()
    run_plan("toy", plan, path=path, report=quiet)
    assert len(ran) == 4
    monkeypatch.setattr(ablations, "models_digest", lambda: "others")
    run_plan("toy", plan, path=path, report=quiet)
    assert len(ran) == 8
    assert read_results("ablation toy", path)["models"] == "others"


def test_a_variant_that_is_not_planned_is_refused_before_anything_is_run(tmp_path):
    plan, ran = toy_plan()
    with pytest.raises(ValueError, match="no variant 'slow'; there are base, fast"):
        run_plan("toy", plan, only=["fast", "slow"], path=tmp_path / "results.json", report=quiet)
    assert not ran


def test_figures_and_pictures_of_a_reader_go_to_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_plan("toy", toy_plan()[0], report=quiet)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")) == sorted(
        str(Path("outputs") / name)
        for name in ("results.json", "ablations/toy-base.png", "ablations/toy-fast.png")
    )


def test_more_time_than_allowed_is_written_down(tmp_path):
    path = tmp_path / "results.json"
    plan, _ = toy_plan(minutes=0.1)
    run_plan("toy", plan, path=path, report=quiet)
    runs = read_results("ablation toy", path)["variants"]["base"]["runs"]
    assert all(run["over_budget"] for run in runs)


def test_errors_say_what_there_is(tmp_path):
    path = tmp_path / "results.json"
    plan, _ = toy_plan()
    run_plan("toy", plan, only=["base"], path=path, report=quiet)
    with pytest.raises(ValueError, match="no results of 'fast'.*there are base.*ablate toy"):
        outcomes("toy", "fast", "figure", path=path)
    with pytest.raises(ValueError, match="no variant 'slow'; there are base, fast"):
        plan.config("slow", 0)


def test_cpu_time_is_measured_not_waiting():
    import time

    _, minutes = timed(lambda: time.sleep(0.3))
    assert minutes < 0.1 / 60
    _, minutes = timed(lambda: sum(i * i for i in range(2_000_000)))
    assert minutes > 0.01 / 60


def test_figures_hang_on_the_models_that_plans_use_and_on_no_other(tmp_path, monkeypatch):
    for name in (*ablations.USED, "emoji"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
    monkeypatch.setattr(ablations, "homes", lambda: [tmp_path])
    before = ablations.models_digest()
    (tmp_path / "emoji" / "model.safetensors").write_bytes(b"trained anew")
    assert ablations.models_digest() == before
    for name in ablations.USED:
        (tmp_path / name / "model.safetensors").write_bytes(b"trained anew")
        before, was = ablations.models_digest(), before
        assert before != was, name


@pytest.mark.parametrize("name", PLANS)
def test_the_plans_are_sound_and_their_results_are_of_these_settings(name):
    """Every variant can be built, differs from the base, and what is shipped belongs to it."""
    plan = PLANS[name]
    configs = [plan.config(variant, 0) for variant in plan.variants]
    assert len({repr(config) for config in configs}) == len(configs)
    assert plan.minutes <= 10 and len(plan.seeds) >= 2
    section = read_results(f"ablation {name}")
    expected = ablations._section(name, plan, ablations.RESULTS)
    for variant in plan.variants:
        runs = expected["variants"][variant]["runs"]
        assert [run["seed"] for run in runs] == list(plan.seeds), variant
        assert all(run["cpu_minutes"] <= plan.minutes for run in runs), variant
    assert section["variants"] == expected["variants"]
    assert json.loads(json.dumps(section)) == section


# --- networks without a part ----------------------------------------------------------------------


def small(**changes):
    torch.manual_seed(0)
    net = UNet(UNetConfig(channels=2, width=16, multipliers=(1, 2), attention=(0, 1), **changes))
    for parameter in net.parameters():  # silent layers would hide what is missing
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


@torch.no_grad()
def output(net, t=5, seed=0):
    z = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(seed))
    return net(z, torch.full((2,), t))


def test_without_skips_the_way_down_is_heard_only_through_the_middle():
    """Silence the middle as well, and nothing of the input is left; with skips, much is."""

    def silent_middle(net):
        net.middle.register_forward_hook(lambda *args: torch.zeros_like(args[2]))
        return net

    with_skips, without = silent_middle(small()), silent_middle(remove(small(), "skips"))
    assert not torch.allclose(output(with_skips, seed=0), output(with_skips, seed=1))
    torch.testing.assert_close(output(without, seed=0), output(without, seed=1))


def test_without_skips_what_comes_from_below_stays():
    net = remove(small(), "skips")
    assert not torch.allclose(output(net, seed=0), output(net, seed=1))


def test_without_time_all_times_are_one():
    net, whole = remove(small(), "time"), small()
    torch.testing.assert_close(output(net, 5), output(net, 900))
    torch.testing.assert_close(output(net, 5), output(whole, 0))  # and that one is t = 0
    assert not torch.allclose(output(whole, 5), output(whole, 900))


def test_without_self_attention_reading_stays():
    net = remove(small(context_dim=8), "self-attention")
    assert all(stage.attend is None for stage in net.up)
    assert net.middle.attend is None
    assert net.middle.read is not None
    one, two = (torch.full((2, 3, 8), value) for value in (0.5, -0.5))
    z, t = torch.randn(2, 2, 8, 8), torch.tensor([5, 5])
    with torch.no_grad():
        assert not torch.allclose(net(z, t, one), net(z, t, two))


def test_nothing_else_can_be_removed():
    net = small()
    assert remove(net, "") is net
    with pytest.raises(ValueError, match="self-attention, time, cross-attention; got 'norms'"):
        remove(net, "norms")


# --- laboratories ---------------------------------------------------------------------------------


def spelled(rows):
    """The ten words of each scene."""
    return [[known[i] for i, known in zip(row, ATTRIBUTES, strict=True)] for row in rows.tolist()]


def test_the_simple_world():
    seen, asked, pairs = simple(splits().train), unseen(), combinations()
    for words in spelled(torch.cat([seen, asked, pairs])):
        assert (words[0], words[2], words[3], words[6], words[7]) == (
            "grey", "large", "solid", "large", "solid",
        )  # fmt: skip
    train = {tuple(row) for row in seen.tolist()}
    assert not train & {tuple(row) for row in asked.tolist()}
    for words in spelled(pairs):
        assert {tuple(words[4:6]), tuple(words[8:])} & set(HELD_OUT)
    assert len(pairs.unique(dim=0)) == len(pairs) == 200


def test_a_rescaled_model_draws_the_same_pictures_from_rescaled_latents():
    z0, _ = latents()
    config = DigitsLab(rescale=4.0)
    network = build_network(config.denoiser.model)
    model = assemble(config, network)
    plain = LatentDiffusion.load("digits").decode(z0[:3])
    torch.testing.assert_close(model.decode(4.0 * z0[:3]), plain)


def test_a_frozen_text_encoder_does_not_learn():
    config = override(ShapesLab(encoder="random"), [])
    net = TextUNet(config.denoiser.model)
    freeze_text(net, config)
    assert not any(p.requires_grad for p in net.text.parameters())
    assert all(p.requires_grad for p in net.unet.parameters())


def test_laboratories_refuse_what_they_do_not_know():
    for wrong, match in (
        (lambda: ShapesLab(without="norms"), "without must be one of"),
        (lambda: ShapesLab(encoder="clip"), "encoder must be one of joint, contrastive, .*random"),
        (lambda: DigitsLab(rescale=0), "rescale must be a finite number > 0"),
        (lambda: DigitsAutoencoderLab(loss="hinge"), "loss must be one of squared, absolute"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()
    assert AutoencoderLab().autoencoder.kl == 1e-5


def test_edges_of_a_blurred_stripe():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4:] = 1.0  # one edge of height 1 in each of 8 rows
    assert float(edges(x)) == pytest.approx(8 / 56 / 2)
    assert float(edges(x / 2)) == pytest.approx(float(edges(x)) / 2)


def test_the_mean_of_a_picture_is_no_detail():
    x = torch.randn(2, 1, 20, 20, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(lost_detail(x + 3, x), torch.zeros(8).double(), atol=1e-10, rtol=0)
    with pytest.raises(ValueError, match="square, wider than 16"):
        lost_detail(x[..., :16, :16], x[..., :16, :16])
