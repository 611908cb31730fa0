"""Files of weights: what is refused, and what is there after a write that failed half way."""

import builtins
import errno
import json
import math
import os
import shutil

import pytest
import torch
from torch import nn

from minildm.files.checkpoint import (
    CheckpointError,
    build_for,
    check_finite,
    load_checkpoint,
    load_weights,
    replace_files,
    save_checkpoint,
    write_figures,
)

ONE, TWO = {"w": torch.ones(3)}, {"w": torch.full((3,), 2.0)}
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path / "model", ONE, {"size": 3, "levels": (1, 2), "of": {"b": 0.1}})
    return tmp_path / "model"


def test_there_and_back(folder):
    tensors, config = load_checkpoint(folder)
    assert torch.equal(tensors["w"], ONE["w"])
    assert config == {"size": 3, "levels": [1, 2], "of": {"b": 0.1}}


# --- not finite -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_numbers_that_are_not_finite_are_neither_written_nor_read(folder, bad, dtype, monkeypatch):
    broken = {"a": torch.ones(2), "b.c": torch.tensor([1.0, bad, 3.0], dtype=dtype)}
    with pytest.raises(CheckpointError, match=r"model: b\.c has 1 entries \(of 3\) .* NaN or inf"):
        save_checkpoint(folder, broken, {})
    assert torch.equal(load_checkpoint(folder)[0]["w"], ONE["w"])  # the old one is still there
    with monkeypatch.context() as patch:
        patch.setattr("minildm.files.checkpoint.check_finite", lambda *_: None)
        save_checkpoint(folder, broken, {})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: b\.c has 1 entries"):
        load_checkpoint(folder)


def test_whole_numbers_truth_values_and_tiny_floats_are_finite():
    check_finite({"i": torch.arange(3), "b": torch.tensor([True]), "none": torch.ones(0)}, "x")
    check_finite({"f": torch.ones(2).to(torch.float8_e4m3fn)}, "x")
    with pytest.raises(CheckpointError, match="x: f has 1 entries"):
        check_finite({"f": torch.tensor([1.0, math.nan]).to(torch.float8_e4m3fn)}, "x")


def test_a_config_that_json_cannot_hold_is_refused(folder):
    for config in ({"kl": math.nan}, {"net": nn.Linear(1, 1)}):
        with pytest.raises(ValueError, match=r"config\.json cannot hold this config"):
            save_checkpoint(folder, TWO, config)
    assert load_checkpoint(folder)[1]["size"] == 3


# --- damaged and edited ---------------------------------------------------------------------------


def edit(folder, change):
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


def test_the_digest_covers_the_config(folder):
    edit(folder, lambda config: None)  # another layout of the file is no other config
    load_checkpoint(folder)
    for change in (
        lambda config: config.update(size=4),
        lambda config: config["of"].update(b=0.2),
        lambda config: config.update(more=1),
        lambda config: config.pop("levels"),
        lambda config: config.update(sha256_config="0" * 64),
    ):
        original = (folder / CONFIG).read_bytes()
        edit(folder, change)
        with pytest.raises(CheckpointError, match=r"config\.json was changed after"):
            load_checkpoint(folder)
        (folder / CONFIG).write_bytes(original)


def test_a_config_of_before_there_was_a_digest_is_read(folder):
    edit(folder, lambda config: config.pop("sha256_config"))
    assert load_checkpoint(folder)[1]["size"] == 3


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[]", "3", "null", '{"sha256": 3}', '{"a": 1}', '{"sha256"', "\xff"]
)
def test_no_config(folder, text):
    (folder / CONFIG).write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"config\.json is not a checkpoint's config"):
        load_checkpoint(folder)


def test_missing_files(folder):
    (folder / CONFIG).rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match="config.json is missing"):
        load_checkpoint(folder)
    (folder / "elsewhere").rename(folder / CONFIG)
    (folder / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors is missing"):
        load_checkpoint(folder)


# --- writes that fail half way --------------------------------------------------------------------


class FullDisk:
    """A file that takes ``room`` bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: self.room])
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 10, 90, 110])  # the weights take 72 + 12 bytes, config more
def test_a_full_disk_leaves_the_old_files(folder, room, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    opened = builtins.open
    monkeypatch.setattr(
        "builtins.open",
        lambda path, mode="r", **options: (
            FullDisk(opened(path, mode), room) if mode == "xb" else opened(path, mode, **options)
        ),
    )
    with pytest.raises(OSError, match=r"No space left on device \(what was there before is unch"):
        save_checkpoint(folder, TWO, {"size": 4, "more": "x" * 200})
    with pytest.raises(OSError, match=r"metrics\.json"):
        write_figures({"figure": "x" * 200}, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_crash_at_any_moment_leaves_the_old_pair_or_the_new_one(folder, tmp_path, monkeypatch):
    """Also a second crash, in the write after the first; and then a write that succeeds."""

    class Crash(BaseException):
        """Stands for kill -9: nothing is tidied up."""

    def crash_at(moment, values):
        calls, replace, fsync, unlink = iter(range(99)), os.replace, os.fsync, os.unlink

        def dying(call):
            def step(*args, **options):
                if next(calls) >= moment:
                    raise Crash
                return call(*args, **options)

            return step

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying(replace))
            patch.setattr(os, "fsync", dying(fsync))
            patch.setattr(os, "unlink", dying(unlink))  # tidying up is not done any more either
            try:
                save_checkpoint(place, *values)
            except Crash:
                return False
        return True

    known = {1.0: 3, 2.0: 4, 3.0: 5}
    survived = 0
    for first in range(9):
        for second in range(9):
            place = tmp_path / f"{first}-{second}"
            shutil.copytree(folder, place)
            crash_at(first, (TWO, {"size": 4}))
            tensors, config = load_checkpoint(place)
            assert config["size"] == known[float(tensors["w"][0])]
            survived += crash_at(second, ({"w": torch.full((3,), 3.0)}, {"size": 5}))
            tensors, config = load_checkpoint(place)
            assert config["size"] == known[float(tensors["w"][0])]
    assert 0 < survived < 80


@pytest.mark.parametrize("rest", ["file", "folder", "link"])
def test_rests_of_an_earlier_write_are_coped_with(folder, tmp_path, rest):
    other = tmp_path / "other"
    other.write_text("not to be touched")
    for name in (WEIGHTS, CONFIG):
        part = folder / f"{name}.part"
        if rest == "file":
            part.write_bytes(b"half")
        elif rest == "folder":
            (part / "in").mkdir(parents=True)
        else:
            try:
                part.symlink_to(other)
            except OSError:
                pytest.skip("this system makes no links")
    assert load_checkpoint(folder)[1]["size"] == 3
    save_checkpoint(folder, TWO, {"size": 4})
    assert load_checkpoint(folder)[1]["size"] == 4
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
    assert other.read_text() == "not to be touched"


def test_a_folder_that_is_no_folder(tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(OSError, match="a file"):
        replace_files(tmp_path / "a file", {"x": b""})


# --- into a network -------------------------------------------------------------------------------


def test_weights_that_do_not_fit_are_named_before_memory_is_taken():
    tensors = nn.Linear(2, 3).state_dict()
    net = build_for(lambda: nn.Linear(2, 3), tensors, "x")
    assert net.weight.device.type == "cpu"
    load_weights(net, tensors, "x")
    for make, message in (
        (lambda: nn.Linear(2, 4), r"x: the weights do not fit .* bias is \(3,\), .* \(4,\)"),
        (lambda: nn.Linear(2, 3, bias=False), r"bias is \(3,\), and must be None"),
        (lambda: nn.Linear(10**6, 10**6), r"weight|bias"),
        (lambda: nn.GroupNorm(3, 8), "describes no network"),
        (lambda: nn.Linear(8 // 0, 1), "describes no network"),
    ):
        with pytest.raises(CheckpointError, match=message):
            build_for(make, tensors, "x")


def test_weights_of_another_kind_of_number_are_refused():
    net = nn.Linear(2, 1)
    whole = {name: value.round().int() for name, value in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"x: weight is torch\.int32, and must be torch\.flo"):
        load_weights(net, whole, "x")
