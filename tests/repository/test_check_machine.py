"""The check of the machine: each situation gets its advice. Situations are made up here."""

import ast
import builtins
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import check_machine
import psutil
import pytest
import torch
from check_machine import ADVICE, BOOK, MODELS, OK, OTHER, PROBLEM, model_fault, report

NEEDED, COMPARED = check_machine.requirements()
TESTED = check_machine.versions((BOOK / "constraints.txt").read_text().splitlines())
HERE = {name: TESTED.get(name, "1.0") for name in {**NEEDED, **COMPARED}}


@pytest.mark.parametrize(
    ("changes", "state", "piece"),
    [({}, OK, "in the tested versions"),
     ({"torch": None}, PROBLEM, "missing: torch. "),
     ({"minildm": None}, PROBLEM, "missing: minildm. "),
     ({"torch": "2.5.1"}, PROBLEM, f"torch 2.5.1 (needs {NEEDED['torch']})"),
     ({"torch": "99.1"}, ADVICE, f"torch 99.1 (tested: {TESTED['torch']})"),
     ({"torch": TESTED["torch"] + "+cpu"}, OK, "tested versions"),
     ({"numpy": "10.0"}, ADVICE, "numpy 10.0"),  # 10 is more than 1.26
     ({"jupyterlab_widgets": "1.1.0"}, PROBLEM, "jupyterlab_widgets 1.1.0 (needs 3)"),
     ({"diffusers": "0.43.0"}, ADVICE, "diffusers 0.43.0 (tested: 0.42.1)"),
     ({"diffusers": None}, ADVICE, "chapter 7 skips some cells")],
)  # fmt: skip
def test_packages_and_their_versions(changes, state, piece, monkeypatch):
    monkeypatch.setattr(check_machine, "installed", {**HERE, **changes}.get)
    found, told = check_machine.packages()
    assert found == state and piece in told
    assert (check_machine.how_to_install() in told) == (state == PROBLEM)


def test_needed_is_what_pyproject_asks_for():
    assert {"torch", "jupyterlab", "safetensors", "minildm"} <= set(NEEDED)
    assert "pytest" not in NEEDED and set(COMPARED) == {"diffusers", "transformers"}
    assert all(check_machine.installed(name) for name in NEEDED)
    assert check_machine.versions(["# the == of a comment", "Jinja2==3.1"]) == {"jinja2": "3.1"}
    versions = ["2.13.0", "2.13.0+cu130", "2.13rc1", "10.0", "unknown"]
    numbers = [check_machine.release(version) for version in versions]
    assert numbers == [(2, 13), (2, 13), (2, 13), (10,), ()], "numbers, not texts"


def test_a_pytorch_that_does_not_start(monkeypatch):
    def importing(name, *given):
        if name == "torch":
            raise OSError("no c10.dll")
        return whole(name, *given)

    whole = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", importing)
    state, told = check_machine.packages()
    assert state == PROBLEM and "no c10.dll. On Windows" in told


def test_the_python_of_the_book_is_named_where_it_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(check_machine, "BOOK", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "-e " in check_machine.how_to_install()
    name = os.path.join(
        ".venv", *(["Scripts", "python.exe"] if os.name == "nt" else ["bin/python"])
    )
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert f"use {name} for python" in check_machine.how_to_install()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert "-e " in check_machine.how_to_install()


# What a machine with four cores, of which PyTorch takes two, may be besides.
MACHINES = [
    ("device", {}, OK, "CPU: the book is made for it"),
    ("device", {"cuda": True, "driver": True}, OK, "CUDA: Some GPU"),
    ("device", {"mps": True}, ADVICE, "Nobody has measured"),
    ("device", {"driver": True}, ADVICE, "this PyTorch cannot use it"),
    ("processor", {}, OK, "times in the book"),
    ("processor", {"cores": 1, "threads": 1}, ADVICE, "expect double"),
    ("processor", {"threads": 8}, ADVICE, "OMP_NUM_THREADS=4"),
    ("processor", {"load": 3.1}, ADVICE, "load 3.1"),
    ("processor", {"load": 2.5}, OK, "times in the book"),
    ("processor", {"load": 3.1, "threads": 1}, OK, "times in the book"),
    ("memory", {}, OK, "9.0 GB free"),
    ("memory", {"memory": 0.4}, PROBLEM, "close programs"),
    ("memory", {"memory": 1.5}, ADVICE, "one chapter at a time"),
    ("disk", {}, OK, "50 GB free"),
    ("disk", {"disk": 0.1}, ADVICE, "make room"),
]


@pytest.mark.parametrize(("name", "machine", "state", "piece"), MACHINES)
def test_each_machine_gets_its_advice(name, machine, state, piece, monkeypatch):
    def replace(module, name, value):
        monkeypatch.setattr(module, name, lambda *_: value, raising=False)

    replace(torch.cuda, "is_available", machine.get("cuda", False))
    replace(torch.cuda, "get_device_name", "Some GPU")
    replace(torch.backends.mps, "is_available", machine.get("mps", False))
    replace(torch, "get_num_threads", machine.get("threads", 2))
    replace(shutil, "which", "nvidia-smi" if machine.get("driver") else None)
    replace(os, "sched_getaffinity", range(machine.get("cores", 4)))
    replace(os, "getloadavg", (machine.get("load", 0.0), 0, 0))
    available = SimpleNamespace(available=1e9 * machine.get("memory", 9.0))
    replace(psutil, "virtual_memory", available)
    replace(shutil, "disk_usage", SimpleNamespace(free=1e9 * machine.get("disk", 50.0)))
    replace(check_machine, "group_memory", float("inf"))
    found, told = getattr(check_machine, name)()
    assert found == state and piece in told


def test_a_container_may_leave_less_memory(tmp_path):
    assert check_machine.group_memory(tmp_path) == float("inf"), "no container"
    for name, text in {"max": "1000", "current": "700", "stat": "a 5\ninactive_file 50\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert check_machine.group_memory(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert check_machine.group_memory(tmp_path) == float("inf"), "no limit"


# --- models and figures --------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of one model and of the list of sums, in the place of the book's models."""
    here = BOOK / "data" / "checkpoints"
    shutil.copytree(here / "digit_classifier", tmp_path / "checkpoints" / "digit_classifier")
    shutil.copy(here / "SHA256SUMS", tmp_path / "checkpoints")
    monkeypatch.setattr(check_machine, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.delenv("MINILDM_DATA", raising=False)
    return tmp_path / "checkpoints" / "digit_classifier"


def test_the_models_of_the_book_are_all_looked_at_and_whole():
    folder = BOOK / "data" / "checkpoints"
    assert sorted(MODELS) == sorted(path.parent.name for path in folder.glob("*/config.json"))
    files = (path for path in folder.glob("*/*") if path.is_file())
    here = {path.relative_to(folder).as_posix(): check_machine.digest(path) for path in files}
    assert check_machine.sums() == here, "made anew by: python tools/checksums.py"
    assert [check_machine.models()[0], check_machine.figures()[0]] == [OK, OK]


def test_a_damaged_model_and_a_missing_one(copied):
    assert model_fault("digit_classifier") == "" and model_fault("shapes") == "missing"
    config = (copied / "config.json").read_text()
    damaged = ["{", "[]", "{}", config.replace('"width": 24', '"width": 16')]
    assert config not in damaged
    for text in damaged:
        (copied / "config.json").write_text(text)
        assert model_fault("digit_classifier") == "damaged"
    (copied / "config.json").write_text(config)
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    state, told = check_machine.models()
    assert state == PROBLEM and "digit_classifier is damaged, digits is missing" in told


def test_a_named_folder_of_models_comes_first_and_what_is_not_there_from_the_clone(
    copied, tmp_path, monkeypatch
):
    mine = tmp_path / "mine"
    monkeypatch.setenv("MINILDM_DATA", str(mine))
    assert model_fault("digit_classifier") == ""
    (mine / "digit_classifier").mkdir(parents=True)
    assert model_fault("digit_classifier") == "missing"


def test_a_model_that_was_trained_over_the_books_own_is_noticed(copied, monkeypatch):
    """It fits its own configuration; nothing but the list of sums can tell."""
    from minildm.files.checkpoint import load_checkpoint, save_checkpoint

    monkeypatch.setattr(check_machine, "MODELS", ["digit_classifier"])
    (copied / "metrics.json").write_text("{}")  # figures beside a model belong to it
    assert check_machine.models()[0] == ADVICE
    tensors, config = load_checkpoint(copied)
    save_checkpoint(copied, {name: value + 1 for name, value in tensors.items()}, config)
    assert check_machine.models()[0] == ADVICE and OTHER in check_machine.models()[1]


@pytest.mark.parametrize(
    ("text", "piece"), [(None, "missing"), ("[1]", "damaged"), ("{", "damaged")]
)
def test_the_figures_of_the_book_are_looked_at(text, piece, copied):
    if text is not None:
        (copied.parents[1] / "results.json").write_text(text)
    state, told = check_machine.figures()
    assert state == PROBLEM and f"is {piece}: git restore" in told


# --- trying and telling --------------------------------------------------------------------------


def test_the_two_ends_of_the_book_work_here_and_no_path_of_this_machine_is_shown():
    found = check_machine.everything()
    assert [name for name, *_ in found[-2:]] == ["sampler", "drawing"]
    assert {state for _, state, _ in found[-2:]} == {OK}
    assert str(BOOK) not in report(found)


def test_a_sampler_that_is_off_is_seen(monkeypatch):
    from minildm import samplers

    def too_short(z, t, s, *given):  # each step makes a thousandth less than it should
        z, z0, memory = right(z, t, s, *given)
        return 0.999 * z, z0, memory

    right = samplers.heun
    monkeypatch.setattr(samplers, "heun", too_short)
    assert check_machine.sampler()[0] == PROBLEM


def test_a_wrong_picture_is_seen_and_an_error_is_a_line(monkeypatch):
    from minildm.latent import LatentDiffusion

    def broken(folder):
        raise FileNotFoundError("no model here")

    whole = LatentDiffusion.text_to_image
    monkeypatch.setattr(LatentDiffusion, "text_to_image", lambda *a, **k: -whole(*a, **k))
    assert check_machine.drawing()[0] == PROBLEM
    monkeypatch.setattr(LatentDiffusion, "load", broken)
    [(name, state, told)] = check_machine.findings(check_machine.drawing)
    assert (name, state) == ("drawing", PROBLEM) and "no model here" in told


@pytest.mark.parametrize(("state", "code"), [(OK, 0), (ADVICE, 0), (PROBLEM, 1)])
def test_only_a_problem_ends_the_command_with_1(state, code, monkeypatch, capsys):
    ends = {OK: "will run.", ADVICE: "Advice can wait.", PROBLEM: "then check again."}
    found = [("disk", OK, "a sentence"), ("memory", state, "another")]
    monkeypatch.setattr(check_machine, "everything", lambda **_: found)
    assert check_machine.main([]) == code
    assert capsys.readouterr().out.endswith(f"{ends[state]}\n")
    assert check_machine.main(["--problems"]) == code
    assert ("memory" in capsys.readouterr().out) == (state == PROBLEM)


def test_it_starts_where_nothing_else_does():
    """Without any package: a report, and no traceback. An old Python can at least read it."""
    command = [sys.executable, "-I", "-S", "tools/check_machine.py"]
    done = subprocess.run(command, cwd=BOOK, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == ""
    assert "problem packages   missing: minildm, " in done.stdout
    assert "ok      models" in done.stdout and "advice  trial" in done.stdout
    tree = ast.parse((BOOK / "tools" / "check_machine.py").read_text(), feature_version=(3, 6))
    assert not [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]


def test_an_old_python_is_told_what_to_do():
    pretend = (
        "import sys; sys.version_info = (3, 9, 0); exec(open('tools/check_machine.py').read())"
    )
    command = [sys.executable, "-c", pretend]
    done = subprocess.run(command, cwd=BOOK, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer, and this is Python 3.9" in done.stderr
    assert "PYTHON=" in done.stderr and "Traceback" not in done.stderr
    assert check_machine.main(["--python"]) == 0
