"""The check of the machine: each situation gets its advice. Situations are made up here."""

import ast
import builtins
import inspect
import subprocess
import sys
from dataclasses import replace

import environment_check
import pytest
import situation
from environment_check import ADVICE, OK, PROBLEM, Finding, judge_all, report, self_test
from situation import BOOK, CHECKPOINTS, Situation, look, release

from minildm import __main__

NEEDED = {"torch": "2.6", "numpy": "1.26", "ipywidgets": "8.1"}
TESTED = {"torch": "2.13.0", "numpy": "2.4.6", "ipywidgets": "8.1.9"}
EXACT = {"diffusers": "0.42.1", "transformers": "5.23.0"}
HERE = {**TESTED, **EXACT, "jupyterlab_widgets": "3.0.17"}
FINE = Situation(
    python=(3, 11, 7), needed=NEEDED, installed=HERE, tested=TESTED, exact=EXACT, cores=4,
    threads=2, memory=9.0, disk=50.0, checkpoints=dict.fromkeys(CHECKPOINTS, ""),
)  # fmt: skip


def finding(name, **changes):
    [found] = [f for f in judge_all(replace(FINE, **changes)) if f.name == name]
    return found


def with_version(name, version):
    return {"installed": {**HERE, name: version}}


def test_a_good_machine_gets_no_advice():
    assert {f.state for f in judge_all(FINE)} == {OK}


CASES = [
    ("Python", {"python": (3, 9, 1)}, PROBLEM, "3.9.1 is too old: install 3.11"),
    ("Python", {"python": (3, 14, 0)}, OK, "3.14.0"),
    ("packages", with_version("torch", "2.5.1"), PROBLEM, "torch 2.5.1 (needs 2.6)"),
    ("packages", with_version("torch", None), PROBLEM, "missing: torch. In the folder"),
    ("packages", {"needed": {}}, PROBLEM, "not installed in this Python. In the folder"),
    ("packages", {"broken": "no c10.dll"}, PROBLEM, "no c10.dll. On Windows"),
    ("packages", with_version("torch", "2.14.0"), ADVICE, "torch 2.14.0 (tested: 2.13.0)"),
    ("packages", with_version("torch", "2.13.0+cpu"), OK, "tested versions"),
    ("packages", with_version("numpy", "10.0"), ADVICE, "numpy 10.0"),  # 10 is more than 1.26
    ("device", {}, OK, "CPU: the book is made for it"),
    ("device", {"cuda": "Some GPU", "driver": True}, OK, "CUDA: Some GPU"),
    ("device", {"cuda": "Some GPU"}, OK, "is not measured"),
    ("device", {"mps": True}, ADVICE, "Nobody has measured"),
    ("device", {"mps": True}, ADVICE, "autoencoder.fit.device=cpu"),
    ("device", {"threads": None}, ADVICE, "unknown"),
    ("device", {"driver": True}, ADVICE, "this PyTorch cannot use it"),
    ("processor", {"cores": 1, "threads": 1}, ADVICE, "expect double"),
    ("processor", {"cores": 2, "threads": 8}, ADVICE, "OMP_NUM_THREADS=2"),
    ("memory", {"memory": 0.4}, PROBLEM, "close other programs"),
    ("memory", {"memory": 1.5}, ADVICE, "one chapter at a time"),
    ("memory", {"memory": None}, ADVICE, "unknown"),
    ("disk", {"disk": 0.1}, ADVICE, "make room"),
    ("models", {"checkpoints": {**FINE.checkpoints, "shapes": "missing"}}, PROBLEM,
     "shapes is missing: fetch"),
    ("models", {"checkpoints": {**FINE.checkpoints, "digits": "damaged"}}, PROBLEM,
     "python -m minildm train digits --out data/checkpoints/digits --overwrite"),
    ("models", {"checkpoints": {**FINE.checkpoints, "digit_classifier": "damaged"}}, PROBLEM,
     "minildm train digit-classifier --out data/checkpoints/digit_classifier "),
    ("models", {"checkpoints": {**FINE.checkpoints, "digits": situation.OTHER}}, ADVICE,
     "digits is not the book's own: what chapters say"),
    ("models", {"alone": True, "results": "missing", "checkpoints": {}}, PROBLEM,
     "get the whole repository, and in its folder"),
    ("figures", {"results": "damaged"}, PROBLEM, "git restore data/results.json"),
    ("processor", {"load": 3.1}, ADVICE, "load 3.1"),
    ("processor", {"load": 2.5}, OK, "times in the book"),
    ("processor", {"load": 3.1, "threads": 1}, OK, "times in the book"),
    ("packages", {**with_version("torch", None), "venv": ".venv/bin/python"}, PROBLEM,
     "missing: torch. The book has a Python of its own: use .venv/bin/python in the place of "
     "python, or first source .venv/bin/activate"),
    ("packages", {"needed": {}, "venv": ".venv/Scripts/python.exe"}, PROBLEM,
     "or first .venv/Scripts/activate"),
    ("models", {"checkpoints": {}}, PROBLEM, "pixels is missing"),
    ("diffusers", with_version("diffusers", None), ADVICE, "only chapter 7"),
    ("diffusers", {"exact": {}}, ADVICE, "diffusers not installed"),
    ("diffusers", with_version("diffusers", "0.43.0"), ADVICE, "diffusers 0.43.0 (tested: 0.42.1)"),
    ("sliders", with_version("jupyterlab_widgets", "1.1.0"), ADVICE, "jupyterlab_widgets 1.1.0"),
    ("sliders", with_version("jupyterlab_widgets", None), ADVICE, "picture beside it"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "state", "piece"), CASES)
def test_each_situation_gets_its_advice(name, changes, state, piece):
    found = finding(name, **changes)
    assert found.state == state
    assert piece in found.says
    others = [f for f in judge_all(replace(FINE, **changes)) if f.name != name]
    if name != "packages":
        assert {f.state for f in others} == {OK}, "one thing is wrong, one thing is said"


def test_without_the_book_nothing_is_said_of_its_figures():
    alone = judge_all(replace(FINE, alone=True, results="missing"))
    assert "figures" not in {f.name for f in alone}


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.13.0", (2, 13)), ("2.13.0+cu130", (2, 13)), ("5.23rc1", (5, 23)), ("10.0", (10,)),
     ("unknown", ())],
)  # fmt: skip
def test_versions_are_numbers_and_not_texts(version, numbers):
    assert release(version) == numbers


def test_the_facts_of_this_machine():
    here = look()
    assert here.python == tuple(sys.version_info[:3])
    assert set(here.checkpoints.values()) == {""}
    assert {"torch", "jupyterlab", "scikit-learn"} <= set(here.needed)
    assert "pytest" not in here.needed and set(here.exact) == {"diffusers", "transformers"}
    assert all(here.installed[name] for name in here.needed)
    assert here.memory > 0 and here.disk > 0 and here.cores >= 1


def test_the_checkpoints_of_the_book_are_all_looked_at():
    folders = (BOOK / "data" / "checkpoints").glob("*/config.json")
    assert sorted(CHECKPOINTS) == sorted(path.parent.name for path in folders)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A book with one model and the list of sums."""
    here = BOOK / "data" / "checkpoints"
    folder = tmp_path / "data" / "checkpoints" / "digit_classifier"
    folder.mkdir(parents=True)
    for path in (here / "digit_classifier").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder.parent / "SHA256SUMS").write_bytes((here / "SHA256SUMS").read_bytes())
    monkeypatch.setattr(situation, "BOOK", tmp_path)
    monkeypatch.delenv("MINILDM_DATA", raising=False)
    return folder


def test_a_damaged_checkpoint_and_a_missing_one(copied):
    assert situation._checkpoint("digit_classifier") == ""
    assert situation._checkpoint("shapes") == "missing"
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    assert situation._checkpoint("digit_classifier") == "damaged"
    for config in ("{", "[]", "{}"):
        (copied / "config.json").write_text(config)
        assert situation._checkpoint("digit_classifier") == "damaged"


def test_an_edited_configuration_is_damage(copied):
    config = (copied / "config.json").read_text()
    (copied / "config.json").write_text(config.replace('"width": 24', '"width": 16'))
    assert config != (copied / "config.json").read_text()
    assert situation._checkpoint("digit_classifier") == "damaged"


def test_a_model_that_was_trained_over_the_books_own_is_noticed(copied):
    """It fits its own configuration; nothing but the list of sums can tell."""
    from minildm.files.checkpoint import load_checkpoint, save_checkpoint

    tensors, config = load_checkpoint(copied)
    save_checkpoint(copied, {name: value + 1 for name, value in tensors.items()}, config)
    load_checkpoint(copied)
    assert situation._checkpoint("digit_classifier") == situation.OTHER


def test_a_named_folder_of_models_is_looked_at(copied, monkeypatch):
    monkeypatch.setattr(situation, "BOOK", copied)  # installed alone
    assert situation._checkpoint("digit_classifier") == "missing" and look().alone
    monkeypatch.setenv("MINILDM_DATA", str(copied.parent))
    assert situation._checkpoint("digit_classifier") == "" and not look().alone


def test_figures_beside_a_model_belong_to_it(copied):
    (copied / "metrics.json").write_text("{}")
    assert situation._checkpoint("digit_classifier") == situation.OTHER


def test_the_list_of_sums_is_of_these_files():
    folder = BOOK / "data" / "checkpoints"
    files = (p for p in folder.glob("*/*") if p.is_file())
    here = {path.relative_to(folder).as_posix(): situation.digest(path) for path in files}
    assert situation.sums() == here, "made anew by: python tools/checksums.py"


@pytest.mark.parametrize(("text", "state"), [("{}", ""), ("[1]", "damaged"), ("{", "damaged")])
def test_the_figures_of_the_book_are_looked_at(text, state, tmp_path, monkeypatch):
    monkeypatch.setattr(situation, "BOOK", tmp_path)
    assert situation._results() == "missing"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "results.json").write_text(text)
    assert situation._results() == state


def test_the_python_of_the_book_is_found_where_it_is_not_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert situation.venv_python(tmp_path) == ""
    names = {"posix": ".venv/bin/python", "nt": ".venv/Scripts/python.exe"}
    python = tmp_path / names["nt" if sys.platform == "win32" else "posix"]
    python.parent.mkdir(parents=True)
    python.touch()
    assert situation.venv_python(tmp_path) == str(python.relative_to(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert situation.venv_python(tmp_path) == ""


def test_a_container_may_leave_less_memory(tmp_path):
    assert situation.group_memory(tmp_path) == float("inf"), "no container"
    for name, text in (
        ("max", "1000\n"),
        ("current", "700\n"),
        ("stat", "a 5\ninactive_file 50\n"),
    ):
        (tmp_path / f"memory.{name}").write_text(text)
    assert situation.group_memory(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert situation.group_memory(tmp_path) == float("inf"), "no limit"


def test_pins(tmp_path):
    assert situation.pins(tmp_path / "none.txt") == {}
    (tmp_path / "pins.txt").write_text("# the == of a comment\nJinja2==3.1.6\ntorch==2.13.0\n")
    assert situation.pins(tmp_path / "pins.txt") == {"jinja2": "3.1.6", "torch": "2.13.0"}


# --- trying and telling ------------------------------------------------------------------------


def test_the_self_test_passes_here():
    assert [(f.name, f.state) for f in self_test()] == [("sampler", OK), ("drawing", OK)]


def test_the_self_test_sees_a_sampler_that_is_off(monkeypatch):
    from minildm import samplers

    def too_short(z, t, s, *given):  # each step makes a thousandth less than it should
        z, z0, memory = right(z, t, s, *given)
        return 0.999 * z, z0, memory

    right = samplers.heun
    monkeypatch.setattr(samplers, "heun", too_short)
    assert self_test()[0].state == PROBLEM


def test_the_self_test_sees_a_wrong_picture_and_survives_errors(monkeypatch):
    from minildm.latent import LatentDiffusion

    whole = LatentDiffusion.text_to_image
    monkeypatch.setattr(
        LatentDiffusion, "text_to_image", lambda self, *a, **k: -whole(self, *a, **k)
    )
    found = self_test()[1]
    assert found.state == PROBLEM and "of 10 attributes" in found.says

    def broken(folder):
        raise FileNotFoundError("no model here")

    monkeypatch.setattr(LatentDiffusion, "load", broken)
    found = self_test()[1]
    assert found.state == PROBLEM and "no model here" in found.says


def test_report_says_what_to_do_next():
    fine, advice, problem = (
        Finding("thing", state, "a sentence") for state in (OK, ADVICE, PROBLEM)
    )
    assert report([fine]).splitlines() == [
        "ok      thing      a sentence",
        "All chapters will run.",
    ]
    assert report([fine, advice]).endswith("Advice can wait.")
    assert report([advice, problem]).endswith("Mend what is called a problem, then check again.")


@pytest.mark.parametrize(("memory", "code"), [(9.0, 0), (1.5, 0), (0.4, 1)])
def test_only_a_problem_ends_the_command_with_1(memory, code, monkeypatch, capsys):
    monkeypatch.setattr(environment_check, "look", lambda: replace(FINE, memory=memory))
    monkeypatch.setattr(environment_check, "self_test", list)
    assert __main__.main(["check"]) == code
    assert f"{memory:.1f} GB free" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["environment_check"], ["minildm", "check"]])
def test_it_starts_where_packages_are_missing(command):
    """Without torch, psutil and safetensors: a report, and no traceback."""
    hide = (
        "import sys, runpy\n"
        "sys.argv, module = [None, *sys.argv[2:]], sys.argv[1]\n"
        "for name in ('torch', 'psutil', 'safetensors'): sys.modules[name] = None\n"
        "runpy.run_module(module, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide, *command],
        cwd=BOOK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "problem sampler" in done.stdout and "ok      models" in done.stdout
    assert "unknown, because PyTorch" in done.stdout
    assert "train it" not in done.stdout, "the models are whole: no advice to make them anew"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", [environment_check, situation])
def test_an_old_python_can_read_it(module):
    tree = ast.parse(inspect.getsource(module), feature_version=(3, 8))
    assert ast.unparse(tree.body[1]) == "from __future__ import annotations", "or X | None fails"


@pytest.mark.parametrize(
    ("error", "said"),
    [(ModuleNotFoundError("no torch", name="torch"), ""), (OSError("no c10.dll"), "no c10.dll"),
     (ModuleNotFoundError("no sympy", name="sympy"), "no sympy")],
)  # fmt: skip
def test_a_pytorch_that_does_not_start(error, said, monkeypatch):
    def importing(name, *given):
        if name == "torch":
            raise error
        return whole(name, *given)

    whole = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", importing)
    assert situation._torch() == (None, False, None, said)


def test_the_report_shows_no_path_of_this_machine():
    assert str(BOOK) not in report(judge_all(look()) + self_test())
