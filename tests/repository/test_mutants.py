"""The list of known faults, which of them are planted when, and how a planted one is seen.

That every fault turns a test red is shown by tools/mutants.py, which takes minutes.
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import mutant_choice
import planting
import pytest
from mutant_choice import (
    CYCLE,
    FEWEST,
    base_commit,
    changed_and_sampled,
    choose,
    load_mutants,
    sample,
)

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = load_mutants()
DAY = 24 * 3600
NOON = 1_700_000_000


@pytest.mark.parametrize("name", sorted({key.split(":")[0] for key in MUTANTS}))
def test_each_fault_can_be_planted(name) -> None:
    for key, mutant in MUTANTS.items():
        if key.split(":")[0] == name:
            source = (ROOT / mutant.file).read_text(encoding="utf-8")
            assert source.count(mutant.old) == 1, key
            assert mutant.old != mutant.new, key
            assert mutant.tests, key
            assert all((ROOT / test.split("::")[0]).is_file() for test in mutant.tests), key


def test_every_list_of_faults_lies_where_it_is_looked_for() -> None:
    known = {key.split(":")[0] for key in MUTANTS} | {"__init__"}
    assert {path.stem for path in (ROOT / "tests" / "mutants").rglob("*.py")} == known


def test_a_note_counts_while_the_entry_names_its_test_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(mutant_choice, "SEEN_BY", tmp_path / "seen_by.json")
    assert mutant_choice.seen_by() == {}
    key, other = list(MUTANTS)[:2]
    notes = {
        key: {"test": f"{MUTANTS[key].tests[0]}::test_a", "seconds": 0.1},
        other: {"test": "tests/test_of_former_days.py::test_a", "seconds": 0.1},
        "core: a fault that is no more": {"test": "tests/library/test_a.py::test_a", "seconds": 1},
    }
    (tmp_path / "seen_by.json").write_text(json.dumps(notes))
    assert mutant_choice.seen_by() == {key: notes[key]}


# --- the choice -----------------------------------------------------------------------------------


def commit(folder: Path, seconds: int) -> str:
    """Commit all of the folder at this time; the commit's name."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    when = {"GIT_AUTHOR_DATE": f"{seconds} +0000", "GIT_COMMITTER_DATE": f"{seconds} +0000"}
    for words in (["add", "-A"], [*who, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True, env={**planting.os.environ, **when})
    return mutant_choice.git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """An empty repository whose base nothing in the environment names."""
    if not mutant_choice.git(ROOT, "--version"):
        pytest.skip("there is no git here")
    monkeypatch.delenv("MUTANTS_BASE", raising=False)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def test_the_base_is_what_head_was_a_day_before(clone, monkeypatch) -> None:
    assert base_commit(clone) == ""  # no commit yet
    first = commit(clone, NOON)
    assert base_commit(clone) == ""  # nothing before it: all faults
    second = commit(clone, NOON + 3600)
    assert base_commit(clone) == first == mutant_choice.git(clone, "rev-parse", "HEAD~1")
    third = commit(clone, NOON + DAY + 1800)
    assert base_commit(clone) == first  # the second is not a day old
    commit(clone, NOON + 9 * DAY)
    assert base_commit(clone) == third
    monkeypatch.setenv("MUTANTS_BASE", second[:10])
    assert base_commit(clone) == second
    monkeypatch.setenv("MUTANTS_BASE", "no-such-branch")
    with pytest.raises(ValueError, match="MUTANTS_BASE=no-such-branch"):
        base_commit(clone)


def test_no_repository_means_all_faults(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("MUTANTS_BASE", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert base_commit(tmp_path) == ""
    assert changed_and_sampled(MUTANTS, tmp_path)[0] == MUTANTS


def test_changed_files_are_committed_edited_and_new_ones(clone) -> None:
    for name in ("same", "edited", "committed"):
        (clone / name).write_text("1")
    base = commit(clone, NOON)
    (clone / "committed").write_text("2")
    commit(clone, NOON + 1)
    (clone / "edited").write_text("2")
    (clone / "new").write_text("2")
    assert mutant_choice.changed_files(base, clone) == {"committed", "edited", "new"}


def test_a_change_plants_the_faults_of_its_files() -> None:
    seen = {key: {"test": mutant.tests[0], "seconds": 1.0} for key, mutant in MUTANTS.items()}
    new = seen.popitem()[0]  # never planted yet
    must = {
        key
        for key, mutant in MUTANTS.items()
        if mutant.file == "minildm/process.py"
        or mutant.tests[0] == "tests/book/test_first_page.py"
        or key == new
    }
    changed = {"minildm/process.py", "tests/book/test_first_page.py", "README.md"}
    chosen, why = choose(MUTANTS, seen, changed, 3)
    assert must <= set(chosen) < set(MUTANTS)
    assert set(chosen) - must == set(sample([key for key in MUTANTS if key not in must], 3))
    assert why.startswith(f"{len(must)} faults touched by the change, ")


def test_the_sample_comes_round_to_every_fault() -> None:
    days = [sample(MUTANTS, number) for number in range(CYCLE)]
    assert {key for day in days for key in day} == set(MUTANTS)
    assert sum(map(len, days)) == len(MUTANTS)
    assert all(FEWEST <= len(day) < len(MUTANTS) / 4 for day in days)
    few = [f"fault {number}" for number in range(30)]
    assert all(FEWEST <= len(set(sample(few, number))) <= 30 for number in range(CYCLE))
    assert sorted(sample(few[:7], 2)) == few[:7]


# --- planting -------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    """A tree with one module of one line, and tests that see it."""
    (tmp_path / "minildm").mkdir()
    (tmp_path / "minildm" / "__init__.py").write_text("def one():\n    return 1\n")
    (tmp_path / "test_it.py").write_text(
        "import minildm\n\ndef test_a():\n    assert True\n\n"
        "def test_b():\n    assert minildm.one() == 1\n"
    )
    return tmp_path


FIRST = next(iter(MUTANTS.values()))
FAULT = replace(FIRST, file="minildm/__init__.py", old="return 1", new="return 2")


def test_a_planted_fault_is_seen_by_name_and_gone_afterwards(copy) -> None:
    for _ in range(2):  # both within the second in which the file's times are the same
        with planting.planted(copy, FAULT) as times:
            assert times == 1
            run = planting.run_tests(copy, ["test_it.py"])
            assert (run.status, run.red) == (1, "test_it.py::test_b")
            assert run.seconds > 0
        assert planting.run_tests(copy, ["test_it.py"]).status == 0
    with planting.planted(copy, replace(FAULT, old="not there")) as times:
        assert times == 0
        assert "return 1" in (copy / "minildm" / "__init__.py").read_text()


def test_a_new_process_does_the_same(copy, monkeypatch) -> None:
    monkeypatch.setattr(planting, "FORKS", False)
    with planting.planted(copy, FAULT):
        run = planting.run_tests(copy, ["test_it.py"])
    assert (run.status, run.red) == (1, "test_it.py::test_b")


def test_tests_that_use_another_package_or_never_end_are_no_catch(copy, monkeypatch) -> None:
    (copy / "test_other.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport minildm\n\n"
        "def test_a():\n    assert False\n"
    )
    run = planting.run_tests(copy, ["test_other.py"])
    assert run.status == -1
    assert "not the copy" in run.red
    (copy / "test_slow.py").write_text("import time\n\ndef test_a():\n    time.sleep(60)\n")
    monkeypatch.setattr(planting, "LIMIT", 1)
    assert planting.run_tests(copy, ["test_slow.py"]).status == -1
    assert planting.run_tests(copy, ["test_it.py::test_gone"]).status not in (0, 1)
