"""tools/experiments.py: the book's own verbs. Nothing is written over, help comes at once."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import experiments
import pytest

from book import recipes as trainings
from book.ablations.plans import NEXT, PLANS
from book.digit_judge import ClassifierConfig
from minildm.__main__ import main
from minildm.recipes import Recipe

DATA = experiments.ROOT / "data"


def run(words):
    return main(words, experiments.parser)


def said(capsys):
    """The one line of an error."""
    err = capsys.readouterr().err.strip()
    assert "Traceback" not in err and len(err.splitlines()) == 1, err
    return err


def test_the_names_are_those_that_there_are():
    assert {n: plan.question for n, plan in {**NEXT, **PLANS}.items()} == experiments.PLANS
    assert set(trainings.RECIPES) == set(experiments.JUDGES)


def test_help_comes_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"sys.path.insert(0, {str(experiments.ROOT / 'tools')!r})\n"
        "import experiments\n"
        "for words in ([], *([v, '--help'] for v in 'measure ablate train cost'.split())):\n"
        "    try: experiments.main(words, experiments.parser)\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\n  few-steps           How much of 16 steps" in done.stdout  # one per line
    assert "diffusion on the pixels" in done.stdout and "Raises" not in done.stdout


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        ("cost digits --steps -3", "at least 1; got '-3'"),
        ("cost digits --steps 2.5", "whole number"),
        ("measure digits --seeds 0 -1", "at least 0; got '-1'"),
        ("train digits", "digit-classifier"),
    ],
)
def test_wrong_words_are_refused_by_name(words, piece, capsys):
    with pytest.raises(SystemExit) as stop:
        run(words.split())
    assert stop.value.code == 2
    assert piece in capsys.readouterr().err


def test_after_ctrl_c_the_same_command_goes_on(monkeypatch, tmp_path, capsys):
    def train(config, out, progress, resume):
        (out / "training" / "state-00000125").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(trainings.RECIPES, "pixels", Recipe(ClassifierConfig(), train))
    assert run(["train", "pixels"]) == 130
    assert said(capsys) == (
        "stopped at step 125; go on with: python tools/experiments.py train pixels --resume"
    )


def test_names_of_folders_are_names_of_trainings(monkeypatch, tmp_path):
    asked = []
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(ClassifierConfig(), lambda *given: asked.append(given[1]))
    monkeypatch.setitem(trainings.RECIPES, "digit-classifier", recipe)
    assert run(["train", "digit_classifier"]) == 0
    assert asked == [Path("outputs/digit-classifier")]


def test_figures_go_to_outputs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(experiments.MEASURES, "digits", lambda seeds: {"seeds": seeds})
    before = hashlib.sha256((DATA / "results.json").read_bytes()).hexdigest()
    assert run(["measure", "digits", "--seeds", "4"]) == 0
    assert json.loads(Path("outputs/results.json").read_text()) == {"digits": {"seeds": [4]}}
    assert "wrote section 'digits' of outputs" in capsys.readouterr().out
    assert before == hashlib.sha256((DATA / "results.json").read_bytes()).hexdigest()


@pytest.mark.parametrize("verb", ["measure", "ablate"])
@pytest.mark.parametrize(
    ("out", "piece"),
    [(".", "is a folder"), ("figures.txt", "must end in .json"), ("bad.json", "is damaged")],
)
def test_where_figures_cannot_go_is_said_before_they_are_measured(
    verb, out, piece, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    monkeypatch.setitem(experiments.MEASURES, "digits", lambda seeds: pytest.fail("measured"))
    assert run([verb, "digits", "--out", out]) == 1
    assert piece in said(capsys)


def test_figures_that_cannot_be_written_are_printed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def measure(seeds):
        Path("outputs").write_text("in the way")
        return {"figure": 0.125}

    monkeypatch.setitem(experiments.MEASURES, "digits", measure)
    assert run(["measure", "digits"]) == 1
    assert '{"figure": 0.125}' in capsys.readouterr().out


def test_a_variant_that_is_not_planned_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["ablate", "digits", "--only", "x"]) == 1
    assert "no variant 'x'; there are base" in said(capsys)


def test_next_is_the_plan_that_waits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran = []
    monkeypatch.setattr(
        "book.ablations.engine.run_plan", lambda name, plan, only, out: ran.append((name, plan))
    )
    assert run(["ablate", "text-to-image"]) == run(["ablate", "text-to-image", "--next"]) == 0
    before = PLANS["text-to-image"]
    monkeypatch.delitem(PLANS, "text-to-image")  # as if it had never been run
    assert run(["ablate", "text-to-image"]) == 0
    assert [plan for _, plan in ran] == [before, NEXT["text-to-image"], NEXT["text-to-image"]]
    capsys.readouterr()
    assert run(["ablate", "digits", "--next"]) == 1
    assert f"--next is for {', '.join(NEXT)}; got digits" in said(capsys)
