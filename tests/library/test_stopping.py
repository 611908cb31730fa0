"""What stops a training loses nothing: a number, Ctrl-C, a full disk, another training."""

import errno
import functools
import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kill_training import CONFIG, SAMPLES, differences, loss, network

from minildm.engine import devices
from minildm.engine.devices import LOCK, FolderLock, postponed
from minildm.engine.fit import Diverged, _Training, fit
from minildm.engine.optim import EMA
from minildm.engine.records import collect, read_history
from minildm.engine.resume import METRICS, checkpoints
from minildm.files.checkpoint import load_checkpoint

SHORT = replace(CONFIG, steps=12, save_every=4, log_every=3)


def train(folder, loss=loss, config=SHORT, resume=True, net=None, **options):
    net = net or network()
    ema = EMA(net, 0.9)
    for _ in fit(net, loss, SAMPLES, config, ema, folder, resume, **options):
        pass
    return net, ema


def steps(folder):
    return [int(place.name.removeprefix("state-")) for place in checkpoints(folder)]


def at(step, call):
    """The loss, with ``call(model, losses)`` in the place of the losses at one step (from 0)."""

    @functools.wraps(loss)  # a training does not go on with a loss of another name
    def changed(model, batch):
        losses, level = loss(model, batch)
        return (call(model, losses) if batch.step == step else losses), level

    return changed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


# --- by a number ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_once_and_is_never_kept(tmp_path, whole, value):
    which = torch.arange(8) == 5
    bad = at(9, lambda model, losses: torch.where(which, value, losses))
    net = network()
    with pytest.raises(Diverged) as stopped:
        train(tmp_path, bad, net=net)
    text = str(stopped.value)
    assert "stopped at step 10 of 12, learning rate " in text
    assert "1 of 8 losses are NaN or infinite (sample " in text
    assert " at noise level 0." in text
    assert f"The last good checkpoint is {tmp_path / 'state-00000008'}" in text
    assert "Try a smaller lr" in text
    assert steps(tmp_path) == [8, 4]
    assert [record.step for record in read_history(tmp_path / METRICS)] == [3, 6, 9]
    assert all(bool(torch.isfinite(value).all()) for value in net.state_dict().values())
    train(tmp_path)  # with a loss that is in order it goes on
    assert differences(whole, tmp_path) == []


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    def infinite(model, losses):
        zero = model[0].weight.sum() - model[0].weight.sum().detach()
        return losses + zero.clamp(min=0).sqrt()  # sqrt has an infinite slope at 0

    net = network()
    with pytest.raises(Diverged, match=r"step 3 of 12.*norm of the gradient is (inf|nan), though"):
        train(None, at(2, infinite), net=net)
    assert all(bool(torch.isfinite(value).all()) for value in net.state_dict().values())


def test_weights_that_overflow_reach_neither_the_average_nor_the_disk(tmp_path):
    net = network()
    ema = EMA(net, 0.9)
    config = replace(SHORT, lr=1e38, clip=1.0, save_every=1)
    with pytest.raises(Diverged, match=r"the weights are not finite|losses are NaN"):
        list(fit(net, loss, SAMPLES, config, ema, tmp_path, resume=True))
    assert all(bool(torch.isfinite(value).all()) for value in ema.net.state_dict().values())
    for place in checkpoints(tmp_path):
        load_checkpoint(place)
    with pytest.raises(Diverged, match=r"step 1 of 1.* 0.weight of the network is not finite"):
        list(fit(network(), loss, SAMPLES, replace(config, lr=1e38, steps=1, warmup=0)))


def test_an_average_refuses_weights_that_are_not_finite():
    net = torch.nn.Linear(2, 2)
    ema = EMA(net, 0.5)
    before = ema.net.weight.clone()
    torch.nn.init.constant_(net.weight, math.nan)
    with pytest.raises(ValueError, match="the weights are not finite"):
        ema.update(net)
    assert torch.equal(ema.net.weight, before)
    assert ema.updates == 0


def test_a_gradient_that_fp16_has_scaled_too_far_is_skipped_not_refused(monkeypatch):
    """Without a GPU there is no such scale; a stand-in says what it would be."""

    class Scaler:
        scale = 65536.0

        def get_scale(self):
            return self.scale

    seen = []
    original = _Training.note

    def note(self, norm, parts):
        self.accelerator.scaler = Scaler()
        Scaler.scale = 65536.0 if self.step < 4 else 0.5
        if self.step in (2, 6):
            norm = torch.tensor(math.inf)
            for parameter in self.net.parameters():
                parameter.grad = torch.zeros_like(parameter)  # as the scaler would skip the step
        original(self, norm, parts)
        seen.append(len(self.log.norms))
        self.accelerator.scaler = None

    monkeypatch.setattr(_Training, "note", note)
    with pytest.raises(Diverged, match="stopped at step 7 of 12"):
        train(None, config=replace(SHORT, log_every=12))
    assert seen == [1, 2, 2, 3, 4, 5]  # the third norm is not logged


# --- by what cannot be trained --------------------------------------------------------------------


def test_losses_and_networks_that_cannot_be_trained_are_named():
    frozen = network().requires_grad_(False)
    with pytest.raises(ValueError, match="no weights to train"):
        train(None, net=frozen)
    with pytest.raises(ValueError, match=r"one level per sample, \(8,\); got \(\)"):
        train(None, lambda model, batch: (loss(model, batch)[0], torch.tensor(1.0)))
    for n, message in ((0, "n must be"), (2.5, "n must be"), (3, "larger than the 3 samples")):
        with pytest.raises(ValueError, match=message):
            next(fit(network(), loss, n, SHORT))


# --- by Ctrl-C ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def python_handles_ctrl_c():
    """Also where the tests run in the background of a shell, which takes it from them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(step, times=1):
    """A loss during whose step Ctrl-C is pressed."""

    def pressed(model, losses):
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return losses

    return at(step, pressed)


def test_ctrl_c_ends_the_step_saves_and_says_how_to_go_on(tmp_path, whole, capsys):
    for step in (0, 4, 6, 7, 11):
        folder = tmp_path / str(step)
        with pytest.raises(KeyboardInterrupt) as stopped:
            train(folder, press(step))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # as it was
        (note,) = stopped.value.__notes__
        assert f"stopped at step {step + 1} of 12, which is kept in {folder}; go on with" in note
        assert "--resume" in note
        assert steps(folder)[0] == step + 1
        assert "Ctrl-C again stops at once" in capsys.readouterr().err
        train(folder)
        assert differences(whole, folder) == []


def test_the_second_ctrl_c_does_not_wait(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tmp_path, press(6, times=2))
    assert not hasattr(stopped.value, "__notes__")
    assert steps(tmp_path) == [4]
    with pytest.raises(KeyboardInterrupt, match="no folder was given, so nothing is kept"):
        train(None, press(2))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_a_bar_is_drawn_or_a_picture_waits_for_the_next_step(tmp_path, whole):
    """Whoever uses ``collect`` has no moment at which a step is lost."""

    def pressing(net, step):
        if step == 4:
            signal.raise_signal(signal.SIGINT)

    net = network()
    run = fit(net, loss, SAMPLES, SHORT, EMA(net, 0.9), tmp_path, every_save=pressing)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 5 of 12"):
        collect(run, SHORT, "x", show=False)
    assert steps(tmp_path) == [5, 4]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train(tmp_path)
    assert differences(whole, tmp_path) == []


def test_ctrl_c_is_left_alone_where_it_is_not_pythons():
    mine = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with postponed() as interrupt:
            signal.raise_signal(signal.SIGINT)
        assert not interrupt.asked
    finally:
        signal.signal(signal.SIGINT, mine)
    failed = []

    def elsewhere():
        try:
            with postponed():
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not failed


# --- by a full disk, or one that may not be written -----------------------------------------------


class Full:
    """A file on a disk that is full after half of what is written next."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", METRICS])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, whole, monkeypatch, name):
    opened, found = open, []

    def full(path, mode="r", **options):
        file = opened(path, mode, **options)
        if mode in ("xb", "a") and Path(path).name.removesuffix(".part") == name:
            found.append(path)
            return Full(file) if len(found) == 3 else file  # not the first ones
        return file

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", full)
        with pytest.raises(OSError, match=rf"No space left.*unchanged\): '.*{name}"):
            train(tmp_path)
    assert steps(tmp_path)[0] >= 4
    assert not list(tmp_path.glob("*.part"))
    train(tmp_path)
    assert differences(whole, tmp_path) == []


REFUSED = "Permission denied; nothing can be written.*another folder"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    read_only(tmp_path)


def test_a_folder_that_may_not_be_written_as_it_looks_to_others(tmp_path, monkeypatch):
    """The same, where the tests run as root."""

    def refused(path, *_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(PermissionError, match=REFUSED):
        train(tmp_path)
    assert list(tmp_path.iterdir()) == []


def read_only(folder):
    folder.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=REFUSED):
            train(folder)
    finally:
        folder.chmod(0o700)
    assert list(folder.iterdir()) == []


# --- by another training --------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from minildm.engine.devices import FolderLock
held = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process, which holds the lock of ``tmp_path``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_who_trains_there(holder, tmp_path):
    with pytest.raises(ValueError, match=rf"is being trained in by process {holder.pid} on .* sin"):
        train(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK]  # nothing was written
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK).exists()  # left by the crash, but nobody holds it
    train(tmp_path)
    assert not (tmp_path / LOCK).exists()


def test_a_process_that_ends_gives_the_folder_free(holder, tmp_path):
    holder.communicate("")
    train(tmp_path)


def test_a_lock_says_who_and_since_when(tmp_path):
    held = FolderLock(tmp_path)
    text = json.loads((tmp_path / LOCK).read_text())
    assert text["process"] == os.getpid()
    assert list(text) == ["process", "host", "since"]
    held.release()
    held.release()
    assert not (tmp_path / LOCK).exists()


def test_a_later_training_in_the_same_process_takes_the_folder_over(tmp_path, whole):
    """As in a notebook: a cell that failed still holds its training; the same cell is run again."""
    net = network()
    first = fit(net, loss, SAMPLES, SHORT, EMA(net, 0.9), tmp_path, resume=True)
    assert next(first).step == 3
    train(tmp_path)
    with pytest.raises(ValueError, match="was taken over by a later training in this process"):
        next(first)
    assert differences(whole, tmp_path) == []


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def unknown(handle):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(devices, "_lock", unknown)
    with pytest.warns(UserWarning, match="knows no locks"):
        FolderLock(tmp_path).release()


def test_a_lock_whose_file_has_gone_is_taken_anew(tmp_path, monkeypatch):
    """The other one removes its file between our opening and our locking of it."""
    original, removed = devices._lock, []

    def gone(handle):
        if not removed:
            (tmp_path / LOCK).unlink()
            removed.append(True)
        original(handle)

    monkeypatch.setattr(devices, "_lock", gone)
    held = FolderLock(tmp_path)
    assert (tmp_path / LOCK).exists()
    held.release()
