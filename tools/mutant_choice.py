"""Which of the known faults to plant: all, or those that a change could have uncovered.

tests/mutants/seen_by.json keeps, for each fault, the one test that turns red and the CPU seconds
that this took. ``choose`` takes the faults in files that changed since a base, those that
only a changed test sees, those never seen yet, and a sample of the rest that is another one each
day: after ``CYCLE`` days with a commit on each, every fault has been planted.
"""

import datetime
import importlib
import json
import os
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEN_BY = ROOT / "tests" / "mutants" / "seen_by.json"
CYCLE = 8
FEWEST = 20  # of the sample


@cache
def load_mutants() -> dict:
    """{"list: name of the fault": fault}, from the lists in the folders of tests/mutants/."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "chapters"), str(ROOT)]
    named = {}
    for path in sorted(SEEN_BY.parent.glob("*/*.py"), key=lambda path: path.stem):
        module = importlib.import_module(f"mutants.{path.parent.name}.{path.stem}")
        for mutant in module.MUTANTS:
            key = f"{path.stem}: {mutant.name}"
            if key in named:
                raise ValueError(f"two faults in lists called {path.stem}: {mutant.name!r}")
            named[key] = mutant
    return named


def seen_by() -> dict[str, dict]:
    """{fault: {"test": the one that turns red, "seconds": its CPU time}}, for faults of today.

    What was written down before an entry named another test file counts as not known.
    """
    kept = json.loads(SEEN_BY.read_text(encoding="utf-8")) if SEEN_BY.exists() else {}
    files = {key: {test.split("::")[0] for test in m.tests} for key, m in load_mutants().items()}
    return {
        key: entry
        for key, entry in kept.items()
        if entry["test"].split("::")[0] in files.get(key, ())
    }


def git(root: Path, *words: str) -> str:
    """What git prints, "" where it fails (no repository, no such commit, no git)."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def base_commit(root: Path = ROOT) -> str:
    """The commit to compare with: MUTANTS_BASE, or the last one a day older than HEAD, or HEAD~1.

    "" where there is none of these. An unknown MUTANTS_BASE is a ValueError.
    """
    asked = os.environ.get("MUTANTS_BASE", "")
    if asked:
        found = git(root, "rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}")
        if not found:
            raise ValueError(f"MUTANTS_BASE={asked} is no commit of this clone")
        return found
    seconds = git(root, "show", "-s", "--format=%ct", "HEAD")
    if not seconds:
        return ""
    yesterday = git(root, "rev-list", "-1", f"--before={int(seconds) - 24 * 3600}", "HEAD")
    return yesterday or git(root, "rev-parse", "--verify", "--quiet", "HEAD~1")


def changed_files(base: str, root: Path = ROOT) -> set[str]:
    """Files that differ from ``base``, new and uncommitted ones too."""
    named = git(root, "diff", "--name-only", base)
    new = git(root, "ls-files", "--others", "--exclude-standard")
    return {*named.splitlines(), *new.splitlines()}


def day(root: Path = ROOT) -> int:
    """The number of the day of HEAD's commit; the same for whoever runs it."""
    seconds = git(root, "show", "-s", "--format=%ct", "HEAD") or "0"
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).toordinal()


def touched(key: str, mutant, seen: dict, changed: set[str]) -> bool:
    """Whether ``changed`` names the fault's file or the test that sees it, or none is known yet."""
    if key not in seen:
        return True
    return not changed.isdisjoint({mutant.file, seen[key]["test"].split("::")[0]})


def sample(keys, number: int) -> list[str]:
    """About one in ``CYCLE`` of the faults, at least ``FEWEST``; another part for each number."""
    parts = [[] for _ in range(CYCLE)]
    for key in keys:
        parts[zlib.crc32(key.encode("utf-8")) % CYCLE].append(key)
    taken: list[str] = []
    for step in range(CYCLE):
        if step == 0 or len(taken) < FEWEST:
            taken += parts[(number + step) % CYCLE]
    return taken


def choose(mutants: dict, seen: dict, changed: set[str], number: int) -> tuple[dict, str]:
    """(the faults to plant, how many for which reason)."""
    must = [key for key, mutant in mutants.items() if touched(key, mutant, seen, changed)]
    rest = sample([key for key in mutants if key not in set(must)], number)
    others = len(mutants) - len(must)
    why = f"{len(must)} faults touched by the change, {len(rest)} of the {others} others"
    return {key: mutants[key] for key in mutants if key in {*must, *rest}}, why


def changed_and_sampled(mutants: dict, root: Path = ROOT) -> tuple[dict, str]:
    """The faults that the change since ``base_commit`` asks for; all, where there is none."""
    base = base_commit(root)
    if not base:
        return mutants, "no commit to compare with: all faults"
    chosen, why = choose(mutants, seen_by(), changed_files(base, root), day(root))
    return chosen, f"compared with {base[:9]}: {why}"
