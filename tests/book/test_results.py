"""Figures on disk: nothing is lost to a full disk, a second process, or other settings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from book import results
from book.ch01_background import measure as background
from book.results import Runs, change_results, read_results, writable, write_results
from minildm.engine import devices
from minildm.files import checkpoint
from minildm.files.checkpoint import CheckpointError


def test_a_failed_write_leaves_the_old_figures(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_results("a", {"x": 1}, path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_results("a", {"x": 2}, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("bad", [b'{"a": {"x"', b"", b"\xff\xfe", b"[1, 2]", b"[" * 100_000])
def test_a_damaged_file_is_named_and_never_written_over(bad, tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(bad)
    for work in (
        lambda: read_results("a", path),
        lambda: write_results("a", {}, path),
        lambda: writable(path),
    ):
        with pytest.raises(CheckpointError, match=r"results\.json is damaged \(.*move it away"):
            work()
    assert path.read_bytes() == bad


def test_the_books_own_file_is_restored_with_git(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    monkeypatch.setattr(results, "RESULTS", path)
    path.write_text("{")
    with pytest.raises(CheckpointError, match=r"git restore data/results\.json"):
        read_results("a", path)


def test_without_the_book_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "data" / "results.json"
    monkeypatch.setattr(results, "RESULTS", path)
    with pytest.raises(FileNotFoundError, match="get the whole repository, and in its folder"):
        read_results("a", path)
    path.parent.mkdir()
    for section, command in (("a", "measure a"), ("ablation few-steps", "ablate few-steps")):
        with pytest.raises(FileNotFoundError, match=f"experiments.py {command} --out"):
            read_results(section, path)


def test_figures_that_are_nan_are_not_written(tmp_path):
    path = tmp_path / "results.json"
    write_results("a", {"x": 1}, path)
    with pytest.raises(ValueError, match="figures of 'b' are NaN or infinite"):
        write_results("b", {"x": [float("nan")]}, path)
    assert json.loads(path.read_text()) == {"a": {"x": 1}}


def test_where_figures_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder; give the name of a file, such as .*json"):
        writable(tmp_path)
    with pytest.raises(ValueError, match=r"must end in \.json; got .*figures\.txt"):
        writable(tmp_path / "figures.txt")


def test_two_processes_that_write_at_once_lose_nothing(tmp_path):
    """Each adds twenty sections to one file; the second one starts in the middle of the first."""
    path = tmp_path / "results.json"
    write = (
        "import sys; from book.results import write_results\n"
        "for i in range(20): write_results(f'{sys.argv[1]} {i}', {'x': i}, sys.argv[2])"
    )
    first = subprocess.Popen([sys.executable, "-c", write, "one", str(path)])
    second = subprocess.Popen([sys.executable, "-c", write, "two", str(path)])
    assert (first.wait(), second.wait()) == (0, 0)
    assert len(json.loads(path.read_text())) == 40
    assert [p.name for p in tmp_path.iterdir() if p.name != ".lock"] == ["results.json"]


def test_what_is_changed_is_read_under_the_same_lock(tmp_path):
    path = tmp_path / "results.json"
    for number in (1, 2, 3):
        add = lambda old, n=number: {"all": [*(old or {}).get("all", []), n]}  # noqa: E731
        change_results("runs", add, path)
    assert read_results("runs", path) == {"all": [1, 2, 3]}


# --- what an interrupted measurement keeps --------------------------------------------------------


def run_once(folder, model, settings, figures=1.0):
    """(figures, whether they were made now)."""
    made = []
    store = Runs("test", settings, model, folder)
    return store.get("a", lambda: made.append(1) or figures, report=list), bool(made)


def test_runs_are_kept_for_the_same_settings_and_weights_only(tmp_path):
    torch.manual_seed(0)
    model, settings = nn.Linear(2, 2), {"captions": 3}
    assert run_once(tmp_path, model, settings, 1.0) == (1.0, True)
    assert run_once(tmp_path, model, settings, 2.0) == (1.0, False)
    assert run_once(tmp_path, model, {"captions": 4}, 3.0) == (3.0, True)
    assert run_once(tmp_path, None, settings, 4.0) == (4.0, True)
    with torch.no_grad():  # the sum of the weights is what it was
        model.weight.copy_(model.weight.flip(0))
    assert run_once(tmp_path, model, settings, 5.0) == (5.0, True)


def test_runs_of_another_machine_are_measured_again(tmp_path, monkeypatch):
    """Else the figures of one would be printed beside the name of the other."""
    assert run_once(tmp_path, None, {}, 1.0) == (1.0, True)
    here = devices.surroundings()
    busy = {**here, "load_average": [9.0, 9.0, 9.0]}
    monkeypatch.setattr(devices, "surroundings", lambda: busy)
    assert run_once(tmp_path, None, {}, 2.0) == (1.0, False)
    monkeypatch.setattr(devices, "surroundings", lambda: {**here, "machine": "another"})
    assert run_once(tmp_path, None, {}, 3.0) == (3.0, True)


def test_a_finished_measurement_is_measured_anew(tmp_path, monkeypatch):
    """Chapter 1's: a second call trains again, and so does one after its settings have changed."""
    trained = []
    monkeypatch.setattr(background, "measure_one", lambda name, seed: trained.append(name) or {})
    for _ in range(2):
        background.measure_background([0], report=list, folder=tmp_path)
    assert len(trained) == 2 * len(background.CHOSEN)
    monkeypatch.setattr(background, "measure_one", lambda name, seed: 1 / 0)
    runs = Runs("background", [background.CHOSEN, background._settings()], folder=tmp_path)
    runs.get("VAE, seed 0", lambda: {"old": True}, report=list)
    monkeypatch.setattr(background, "SAMPLES", 1 + background.SAMPLES)
    with pytest.raises(ZeroDivisionError):  # and not the old figures
        background.measure_background([0], report=list, folder=tmp_path)


def test_a_line_that_was_cut_off_is_measured_again(tmp_path):
    store = Runs("test", {}, folder=tmp_path)
    store.get("a", lambda: 1, report=list)
    with open(store.path, "ab") as file:
        file.write(b'["b", {"x"')
    again = Runs("test", {}, folder=tmp_path)
    assert again.found == {"a": 1}
    again.get("c", lambda: 3, report=list)
    assert Runs("test", {}, folder=tmp_path).found == {"a": 1, "c": 3}
    again.forget()
    assert list(Path(tmp_path).glob("*.jsonl")) == []


def test_it_is_kept_outside_the_book():
    assert results.RESULTS.parent not in results.KEPT.parents


def test_figures_lie_beside_the_models_that_a_reader_has_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MINILDM_DATA", raising=False)
    assert results.results_file() == results.DATA / "results.json"
    monkeypatch.setenv("MINILDM_DATA", str(tmp_path / "checkpoints"))
    assert results.results_file() == results.DATA / "results.json"  # there is none beside it
    (tmp_path / "results.json").write_text("{}")
    assert results.results_file() == tmp_path / "results.json"
