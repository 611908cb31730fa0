"""How long the book and its tests take to run."""

import json
import subprocess
from pathlib import Path
from time import perf_counter

from benchmarks.measure import Options, Row

NAME = "chapters"
QUESTION = "How long does every chapter take from its first cell to its last, and the test run?"
ROOT = Path(__file__).resolve().parents[1]


def run(options: Options) -> dict:
    """What the last builds and the last test run noted; or measured now, where that is asked for.

    A chapter's seconds are those of its cells and of its kernel's start.
    """
    notes, costs = [], json.loads((ROOT / "chapters" / "costs.json").read_text(encoding="utf-8"))
    if options.chapters:
        costs = measured(options.threads)
    else:
        notes.append("as the last build of each chapter noted it, not in this run (--chapters)")
    noted = json.loads((ROOT / "tests" / "costs.json").read_text(encoding="utf-8"))
    result = {
        "seconds": {name: cost["seconds"] for name, cost in costs.items()},
        "threads": sorted({cost["threads"] for cost in costs.values()}),
        "tests_noted": round(sum(noted.values())),
    }
    if options.tests:
        start = perf_counter()
        passed = subprocess.run(["make", "test"], cwd=ROOT, check=False).returncode == 0
        result["tests"] = round(perf_counter() - start, 1)
        notes += [] if passed else ["the test run did not pass: its time says little"]
    else:
        notes.append("the tests: what their files took when that was last noted (--tests)")
    return {**result, "notes": notes}


def measured(threads: int) -> dict[str, dict]:
    """Run all chapters, one after another, without changing a file."""
    from book_rules import CHAPTERS, SOURCES, source_notebook
    from build_book import timed

    sources = sorted(SOURCES.glob("*.md"))
    return {path.stem: timed(source_notebook(path), CHAPTERS, threads) for path in sources}


def rows(result: dict) -> list[Row]:
    seconds = result["seconds"]
    slowest = sorted(seconds, key=seconds.get, reverse=True)[:3]
    threads = " or ".join(map(str, result["threads"]))
    what = f"all {len(seconds)} chapters, {threads} threads"
    table = [Row(what, "minutes", [sum(seconds.values()) / 60])]
    table += [Row(f"slowest: {name}", "s", [seconds[name]]) for name in slowest]
    if "tests" in result:
        table.append(Row("make test", "minutes", [result["tests"] / 60]))
    return [*table, Row("tests, the sum over their files", "minutes", [result["tests_noted"] / 60])]
