"""A training that goes on: bit for bit, from the last good checkpoint, and never by guessing."""

import json
import math
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kill_training import CONFIG, SAMPLES, differences, loss, network, run, stop_often

from minildm.engine.fit import fit
from minildm.engine.optim import EMA
from minildm.engine.records import Progress, read_history, write_history
from minildm.engine.resume import METRICS, checkpoints
from minildm.files.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

SHORT = replace(CONFIG, steps=12, save_every=4, log_every=3)


def train(folder, config=SHORT, stop=None, resume=True, **options):
    """Train, or break off after the record of step ``stop``; returns network and average."""
    net = network()
    ema = EMA(net, 0.9)
    for record in fit(net, loss, SAMPLES, config, ema, folder, resume, **options):
        if record.step == stop:
            break
    return net, ema


def steps(folder):
    return [int(place.name.removeprefix("state-")) for place in checkpoints(folder)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


@pytest.fixture
def half(tmp_path):
    """The folder of a training that stopped after step 9, with checkpoints of steps 4 and 8."""
    folder = tmp_path / "half"
    train(folder, stop=9)
    assert steps(folder) == [8, 4]
    return folder


# --- bit for bit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [(3,), (6,), (9,), (12,), (6, 9)])
def test_a_training_that_was_interrupted_ends_like_one_that_was_not(tmp_path, whole, stops):
    """Checkpoints at 4, 8, 12, records at 3, 6, 9, 12: most stops lose steps and an open record."""
    for stop in stops:
        train(tmp_path, stop=stop)
    net, ema = train(tmp_path)
    assert differences(whole, tmp_path) == []
    expected, _ = train(None, resume=False)  # and like one that never saved
    for name, value in net.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name
    assert ema.updates == 12


def test_muon_and_accumulation_go_on_too(tmp_path):
    config = replace(SHORT, optimizer="muon", accumulate=3, schedule="constant")
    train(tmp_path / "a", config)
    train(tmp_path / "b", config, stop=9)
    train(tmp_path / "b", config)
    assert differences(tmp_path / "a", tmp_path / "b") == []


def test_what_the_caller_draws_does_not_matter_and_is_not_changed(tmp_path, whole):
    torch.manual_seed(1)
    expected = torch.randn(5)
    torch.manual_seed(1)
    drawn = []

    def draw(shown, step):
        assert shown is ema.net
        assert not shown.training
        shown(torch.randn(2, 1, 4, 4))
        drawn.append(step)

    net = network()
    ema = EMA(net, 0.9)
    for record in fit(net, loss, SAMPLES, SHORT, ema, tmp_path, every_save=draw):
        if record.step == 3:
            assert torch.equal(torch.randn(5), expected)
    assert drawn == [4, 8, 12]
    assert differences(whole, tmp_path) == []


def test_looking_at_the_network_itself_does_not_change_it():
    """Without an average the network is shown: in evaluation mode, which must end with the look."""
    results, modes = [], []
    for look in (None, lambda shown, step: modes.append(shown.training)):
        net = network()
        list(fit(net, loss, SAMPLES, SHORT, every_save=look))
        results.append(net.state_dict())
    assert modes == [False, False, False]
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name


def test_a_finished_training_gives_its_result_again(tmp_path, whole):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    net = network()
    ema = EMA(net, 0.9)
    history = list(fit(net, loss, SAMPLES, SHORT, ema, tmp_path, resume=True))
    assert [record.step for record in history] == [3, 6, 9, 12]
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_four_kills(tmp_path):
    config = replace(CONFIG, steps=60)
    run(str(tmp_path / "whole"), config)
    alive = stop_often(tmp_path / "killed", config, 4, report=lambda line: None)
    assert alive == 4
    assert differences(tmp_path / "whole", tmp_path / "killed") == []


# --- writing --------------------------------------------------------------------------------------


DISK = ((os, "fsync"), (os, "replace"), (shutil, "rmtree"), (Path, "rename"), (Path, "mkdir"))


class PowerCut(Exception):
    """Stands for the moment at which everything stops."""


def cut_power(patch, after):
    """All calls that touch the disk fail, from the call number ``after`` on."""
    calls, remove = iter(range(10**6)), shutil.rmtree

    def fails(original):
        def call(*args, **options):
            if next(calls) >= after:
                if original is remove:  # a folder is never removed at once
                    (args[0] / "config.json").unlink(missing_ok=True)
                raise PowerCut
            return original(*args, **options)

        return call

    for owner, name in DISK:
        patch.setattr(owner, name, fails(getattr(owner, name)))


def test_a_power_cut_at_any_moment_of_writing_leaves_a_good_checkpoint(
    half, whole, tmp_path, monkeypatch
):
    for after in range(100):
        folder = tmp_path / f"cut-{after}"
        shutil.copytree(half, folder)
        survived = True
        with monkeypatch.context() as patch:
            cut_power(patch, after)
            try:
                train(folder)
            except PowerCut:
                survived = False
        if survived:
            break
        assert steps(folder)[0] >= 8
        for place in checkpoints(folder):
            load_checkpoint(place)  # whatever has the name of a checkpoint is complete
        train(folder)
        assert steps(folder) == [12, 8]
        assert differences(whole, folder) == []
    assert 10 <= after < 99  # it was cut at many places, and then not any more


def test_two_checkpoints_are_kept_and_rests_are_removed(half):
    (half / "state-00000012.part").mkdir()
    train(half)
    assert sorted(path.name for path in half.iterdir()) == [
        METRICS, "state-00000008", "state-00000012",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_rests_of_any_kind_are_removed_and_what_a_link_leads_to_is_not(half, whole, tmp_path, kind):
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("")
    for name in ("state-00000012.part", "state-00000004.part", "metrics.jsonl.part"):
        if kind == "file":
            (half / name).write_text("half")
        elif kind == "folder":
            (half / name / "in").mkdir(parents=True)
        else:
            try:
                (half / name).symlink_to(other)
            except OSError:
                pytest.skip("this system makes no links")
    train(half)
    assert sorted(path.name for path in half.iterdir()) == [
        METRICS, "state-00000008", "state-00000012",
    ]  # fmt: skip
    assert differences(whole, half) == []
    assert (other / "kept").exists()


def test_a_full_checkpoint_says_what_it_is(whole):
    config = json.loads((checkpoints(whole)[0] / "config.json").read_text())
    assert config["step"] == 12
    assert config["ema_updates"] == 12
    assert config["settings"]["fit.batch"] == SHORT.batch
    assert config["settings"]["samples"] == SAMPLES


# --- what is refused ------------------------------------------------------------------------------


def truncate(place):
    file = place / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def flip(name, where):
    def damage(place):
        data = bytearray((place / name).read_bytes())
        data[where if where >= 0 else len(data) + where] ^= 1
        (place / name).write_bytes(data)

    return damage


def flip_the_count_of_updates(place):
    text = (place / "config.json").read_text()
    assert '"ema_updates": 8' in text
    (place / "config.json").write_text(text.replace('"ema_updates": 8', '"ema_updates": 9'))


def pickle_it(place):
    (place / "model.safetensors").write_bytes(pickle.dumps({"net.0.weight": [1.0]}))


def torch_save_it(place):
    torch.save({"net.0.weight": torch.ones(2)}, place / "model.safetensors")


def foreign(place):
    shutil.rmtree(place)
    save_checkpoint(place, network().state_dict(), {"model": "something else"})


def of_another_step(place):
    shutil.rmtree(place)
    shutil.copytree(place.with_name("state-00000004"), place)


def a_file_instead(place):
    shutil.rmtree(place)
    place.write_bytes(b"")


DAMAGES = {
    "truncated": (truncate, "model.safetensors"),
    "bit flipped in the weights": (flip("model.safetensors", -5), "model.safetensors"),
    "bit flipped in the header": (flip("model.safetensors", 40), "model.safetensors"),
    "bit flipped in the config": (flip("config.json", 30), "config.json"),
    "number changed in the config": (flip_the_count_of_updates, "config.json"),
    "no weights": (lambda place: (place / "model.safetensors").unlink(), "model.safetensors"),
    "no config": (lambda place: (place / "config.json").unlink(), "config.json"),
    "pickle": (pickle_it, "is a pickle"),
    "torch.save": (torch_save_it, "is a pickle"),
    "foreign": (foreign, "not a checkpoint of a training"),
    "another step": (of_another_step, "not a checkpoint of a training at that step"),
    "file": (a_file_instead, "config.json"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_the_last_good_one_is_named(half, whole, kind):
    damage, message = DAMAGES[kind]
    newest, good = checkpoints(half)
    damage(newest)
    before = sorted(half.rglob("*"))
    with pytest.raises(CheckpointError) as refused:
        train(half)
    text = str(refused.value)
    assert message in text
    assert str(newest) in text
    assert f"The last good checkpoint is {good} (step 4)" in text
    assert "--resume last-good" in text
    assert sorted(half.rglob("*")) == before  # nothing was changed
    with pytest.warns(UserWarning, match="passing over"):
        train(half, resume="last-good")
    assert differences(whole, half) == []
    assert (half / "state-00000008.refused").exists()  # kept, under another name


def test_without_a_good_checkpoint_nothing_is_guessed(half):
    for place in checkpoints(half):
        truncate(place)
    for resume in (True, "last-good"):
        with pytest.raises(CheckpointError, match="There is no other checkpoint"):
            train(half, resume=resume)
    assert steps(half) == [8, 4]


def test_a_training_is_not_overwritten(half):
    with pytest.raises(ValueError, match=r"holds a training at step 8.*--resume"):
        train(half, resume=False)
    for wrong in ("yes", None, 2, [True]):
        with pytest.raises(ValueError, match="resume must be"):
            train(half, resume=wrong)
    assert steps(half) == [8, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.5}, "fit.lr was 0.01 and is 0.5 now"),
        ({"batch": 6, "seed": 4}, "fit.batch was 8 and is 6 now; fit.seed was 3 and is 4 now"),
        (
            {"steps": 24},
            "fit.steps was 12 and is 24 now. Go on with the same settings, or train in another "
            "folder; to train longer on purpose, resume with 'longer' (--resume longer)",
        ),
    ],
)
def test_other_settings_are_refused_and_named(half, change, message):
    with pytest.raises(CheckpointError) as refused:
        train(half, replace(SHORT, **change))
    assert message in str(refused.value)


def test_other_data_models_and_extra_settings_are_refused(half, tmp_path):
    net = network()
    with pytest.raises(CheckpointError, match="samples was 24 and is 23 now"):
        list(fit(net, loss, 23, SHORT, EMA(net, 0.9), half, resume=True))
    with pytest.raises(CheckpointError, match="averaged was True and is False now"):
        list(fit(net, loss, SAMPLES, SHORT, None, half, resume=True))
    train(tmp_path / "kl", stop=6, settings={"kl": 1.0, "model": {"widths": (1, 2)}})
    with pytest.raises(CheckpointError, match=r"kl was 1.0 and is 2.0 now"):
        train(tmp_path / "kl", settings={"kl": 2.0, "model": {"widths": (1, 2)}})
    train(tmp_path / "kl", settings={"kl": 1.0, "model": {"widths": (1, 2)}})
    wide = torch.nn.Conv2d(1, 1, 5)
    with pytest.raises(CheckpointError, match=r"state-00000008.*do not fit"):
        list(fit(wide, loss, SAMPLES, SHORT, EMA(wide, 0.9), half, resume=True))


def test_how_often_to_log_and_save_may_change(half, whole):
    net, _ = train(half, replace(SHORT, log_every=5, save_every=7))
    expected, _ = train(None, resume=False)
    assert torch.equal(net[0].weight, expected[0].weight)
    assert [record.step for record in read_history(half / METRICS)] == [3, 6, 10, 12]


def rewrite(folder, change):
    """Change the newest checkpoint, as by hand but with right digests."""
    place = checkpoints(folder)[0]
    tensors, info = load_checkpoint(place)
    change(info)
    shutil.rmtree(place)
    save_checkpoint(place, tensors, info)


@pytest.mark.parametrize(("name", "other"), [("threads", 64), ("cpu", "OTHER"), ("torch", "1.0")])
def test_another_machine_is_said(half, name, other):
    rewrite(half, lambda info: info["build"].update({name: other}))
    with pytest.warns(UserWarning, match=f"{other}.* not bit for bit"):
        train(half)


WRONG_FIELDS = {
    "randomness": ([], [{}], "x"),
    "logged": ([3], [3, "x"], [9, 1.0]),
    "seconds": (None, -1.0),
    "ema_updates": (None, 1.5),
    "scaler": ("x", {"scale": 2.0}),
    "settings": (None, []),
}


def test_a_wrong_field_with_a_right_digest_is_named(half, tmp_path):
    for name, values in WRONG_FIELDS.items():
        for i, value in enumerate(values):
            folder = tmp_path / f"{name}-{i}"
            shutil.copytree(half, folder)
            rewrite(folder, lambda info, name=name, value=value: info.update({name: value}))
            with pytest.raises(
                CheckpointError, match=rf"state-00000008 cannot.*({name}|index|random|load_st)"
            ):
                train(folder)
    rewrite(half, lambda info: info["randomness"][0].update(torch="00"))
    with pytest.raises(CheckpointError, match="the random numbers are damaged"):
        train(half)


def test_a_state_of_another_format_is_named(half):
    rewrite(half, lambda info: info.update(format="minildm training state 1"))
    with pytest.raises(CheckpointError, match="was written by another version of this package"):
        train(half)


# --- longer, on purpose ---------------------------------------------------------------------------


def test_a_training_is_made_longer_only_when_that_is_asked_for(whole, tmp_path):
    """The first 12 steps are as before; the others have the learning rates of 18 steps."""
    longer = replace(SHORT, steps=18)
    results = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        shutil.copytree(whole, folder)
        with pytest.raises(CheckpointError, match="fit.steps was 12 and is 18 now"):
            train(folder, longer)
        results.append(train(folder, longer, resume="longer"))
        train(folder, longer, resume="longer")  # the same command again does nothing
        train(folder, longer)
        with pytest.raises(CheckpointError, match="fit.steps was 18 and is 12 now"):
            train(folder, SHORT, resume="longer")
        assert [r.step for r in read_history(folder / METRICS)] == [3, 6, 9, 12, 15, 18]
    assert differences(tmp_path / "a", tmp_path / "b") == []  # reproducible
    before, after = read_history(whole / METRICS), read_history(tmp_path / "a" / METRICS)
    assert repr(after[:4]) == repr(before)
    assert [r.lr for r in after[4:]] == [longer.lr_at(14), longer.lr_at(17)]
    assert after[4].lr > before[3].lr > 0  # the rate has risen again
    with pytest.raises(CheckpointError, match=r"fit.lr was 0.01 and is 0.02 now"):
        train(tmp_path / "a", replace(longer, lr=0.02, steps=20), resume="longer")


def test_a_training_made_longer_with_a_constant_rate_is_one_that_was_planned_so(tmp_path):
    constant = replace(SHORT, schedule="constant")
    train(tmp_path / "a", constant)
    train(tmp_path / "a", replace(constant, steps=18), resume="longer")
    train(tmp_path / "b", replace(constant, steps=18))
    assert differences(tmp_path / "a", tmp_path / "b") == []


# --- metrics --------------------------------------------------------------------------------------


def test_metrics_have_each_line_once(half):
    """Step 9 was logged after the checkpoint of step 8; a kill has cut the line of step 12."""
    path = half / METRICS
    assert [record.step for record in read_history(path)] == [3, 6, 9]
    with open(path, "a") as file:
        file.write('{"step": 12, "lo')
    train(half)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    names = ["step", "loss", "lr", "by_level", "grad_norm", "seconds", "samples_per_second"]
    assert all(list(line) == names for line in lines)
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)


def test_history_on_disk_and_back(tmp_path):
    nan = math.nan
    history = [
        Progress(1, 0.5, 0.1, (1.0, nan), 3.0, 2.0, 8.0),
        Progress(2, nan, 0.0, (0.5, 2.0), nan, 4.0, 4.0),
    ]
    path = tmp_path / "log.jsonl"
    write_history(history, path)
    first, second = map(json.loads, path.read_text().splitlines())
    assert first == {
        "step": 1, "loss": 0.5, "lr": 0.1, "by_level": [1.0, None], "grad_norm": 3.0,
        "seconds": 2.0, "samples_per_second": 8.0,
    }  # fmt: skip
    assert (second["loss"], second["grad_norm"]) == (None, None)
    assert repr(read_history(path)) == repr(history)
    assert repr(read_history(path, last=1)) == repr(history[:1])
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        read_history(tmp_path / "nowhere")


def line(**changes):
    record = Progress(1, 0.5, 0.1, (1.0,), 3.0, 2.0, 8.0)._asdict() | changes
    return json.dumps({name: value for name, value in record.items() if value != "missing"}) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"other": 1}\n', "its fields must be step, loss"),
        (line(step="3"), "step must be a whole number >= 1; got '3'"),
        (line(step=2.5), "step must be a whole number"),
        (line(step=0), "step must be a whole number"),
        (line(loss="low"), "loss must be a number; got 'low'"),
        (line(by_level=3), "by_level must be a list; got 3"),
        (line(by_level=["x"]), "by_level must be a number; got 'x'"),
        (line(seconds="missing"), "its fields must be"),
        (line(more=1), "its fields must be"),
        ("[" * 100_000 + "\n", "recursion"),
        ("\n", "Expecting value"),
        ("3\n", "its fields must be"),
    ],
)
def test_a_wrong_line_of_the_metrics_is_named(tmp_path, text, message):
    path = tmp_path / "log.jsonl"
    path.write_text(line() + text)
    with pytest.raises(CheckpointError, match=f"log.jsonl, line 2 is no record.*{message}"):
        read_history(path)


def test_metrics_that_are_no_text_or_no_file_are_named(half):
    path = half / METRICS
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(CheckpointError, match="metrics.jsonl is no file of a training's records"):
        train(half)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="metrics.jsonl is no file of a training's records"):
        train(half)
