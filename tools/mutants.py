"""Plant each known fault into a copy of the package and see that a test turns red.

    python tools/mutants.py              all faults
    python tools/mutants.py --changed    those of the files that changed since MUTANTS_BASE (a
                                         commit; without it, what HEAD was a day before its date),
                                         and a part of the others that is another one each day
    python tools/mutants.py --only 10    the faults with this number or name
    python tools/mutants.py --equations  those that an equation of the book forbids, seen by the
                                         checks of the equations alone
    python tools/mutants.py --record     write down which test saw each (tests/mutants/seen_by.json)
    python tools/mutants.py --unseen     those of which this is not yet known

A fault is first shown to the one test that is known to see it; where this stays green or is gone,
to all the tests that the fault's entry names. At the end every test that turned red has to be green
without a fault. Exits with 1 where a fault survives, where its source line is no longer there, or
where such a test is red by itself. Nothing in the working tree is touched.
"""

import argparse
import dataclasses
import gc
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mutant_choice import SEEN_BY, changed_and_sampled, load_mutants, seen_by
from planting import FORKS, copy_tree, planted, run_tests, warm_up

EQUATIONS = "tests/equations/test_equations.py"
# Faults 1 to 23 and 33 of the project's list, but for those that no equation speaks of: time grids
# (7, 8, 9), clipping (16), the precision of tables (22), the cosine schedule's cap (23), and what
# only flow matching has (14).
OF_EQUATIONS = {*range(1, 24), 33} - {7, 8, 9, 14, 16, 22, 23}
UNKNOWN = 5.0  # CPU seconds to expect of a fault that was never planted


@dataclasses.dataclass
class Outcome:
    """One fault: "caught", "SURVIVED" or "NOT PLANTED", by which test, and its CPU seconds."""

    result: str
    test: str = ""
    seconds: float = 0.0
    known: bool = False  # seen by the test that was written down


def new_copy() -> None:
    """Give this worker its own copy of the tree, gone when the worker ends."""
    global COPY, HOLDER
    HOLDER = tempfile.TemporaryDirectory()
    COPY = Path(HOLDER.name)
    copy_tree(COPY)


def try_mutant(mutant, known: str) -> Outcome:
    """Plant one fault; run the test that is known to see it, then all that its entry names."""
    with planted(COPY, mutant) as times:
        if times != 1:
            return Outcome("NOT PLANTED", f"{times} occurrences in {mutant.file}")
        if known and (run := run_tests(COPY, [known])).status == 1:
            return Outcome("caught", run.red, run.seconds, known=True)
        run = run_tests(COPY, mutant.tests)
        if run.status != 1:
            return Outcome("SURVIVED", run.red or "all green", run.seconds)
        return Outcome("caught", run.red, run.seconds)


def control(tests: list[str]) -> list[str]:
    """Those of ``tests`` that are red without any fault."""
    red = []
    while tests and (run := run_tests(COPY, tests)).status != 0:
        if run.status != 1 or run.red not in tests:
            return [*red, run.red or f"pytest ended with {run.status}"]
        red.append(run.red)
        tests = [test for test in tests if test != run.red]
    return red


def in_parts(tests: set[str], parts: int) -> list[list[str]]:
    """The tests in about equal parts, those of one file together."""
    files: dict[str, list[str]] = {}
    for test in sorted(tests):
        files.setdefault(test.split("::")[0], []).append(test)
    piles: list[list[str]] = [[] for _ in range(parts)]
    for file in sorted(files, key=lambda file: -len(files[file])):
        min(piles, key=len).extend(files[file])
    return [pile for pile in piles if pile]


def write_down(seen: dict[str, dict]) -> None:
    """Keep what was seen, in a steady order."""
    text = json.dumps(seen, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    part = SEEN_BY.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(SEEN_BY)


def plant(pool, mutants: dict, order: list[str], arguments) -> dict[str, str]:
    """Plant one after the other and report each; {fault that was caught: the red test}."""
    seen = {} if arguments.equations else seen_by()
    known = [seen.get(key, {}).get("test", "") for key in order]
    jobs = [
        pool.submit(try_mutant, mutants[key], test) for key, test in zip(order, known, strict=True)
    ]
    caught = {}
    for key, job in zip(order, jobs, strict=True):
        was = job.result()
        new = "  (not the test that was written down)" if key in seen and not was.known else ""
        print(f"{mutants[key].number:3d}  {was.result:11s}  {key}  [{was.test}]{new}", flush=True)
        if was.result == "caught":
            caught[key] = was.test
            if arguments.record and "::" in was.test:
                seen[key] = {"test": was.test, "seconds": round(was.seconds, 1)}
                write_down(seen)
    return caught


def plant_all(mutants: dict, arguments) -> int:
    """Plant all, then run the tests that turned red without faults; the number of complaints."""
    seen = seen_by()
    expected = {key: seen.get(key, {}).get("seconds", UNKNOWN) for key in mutants}
    order = sorted(mutants, key=expected.get, reverse=True)  # the longest first: no long tail
    minutes = sum(expected.values()) / arguments.jobs / 60
    print(f"{len(mutants)} faults, about {minutes:.1f} minutes by the CPU seconds written down")
    warm_up()
    gc.freeze()
    context = multiprocessing.get_context("fork" if FORKS else "spawn")
    start = time.perf_counter()
    with ProcessPoolExecutor(arguments.jobs, context, initializer=new_copy) as pool:
        try:
            caught = plant(pool, mutants, order, arguments)
            print(f"planted in {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
            parts = in_parts(set(caught.values()), arguments.jobs)
            red = [test for part in pool.map(control, parts) for test in part]
        except BaseException:  # Ctrl-C too: start no more of them
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    print(f"control, unmutated: {'RED ' + ', '.join(red) if red else 'green'}")
    print(f"{len(caught)} of {len(mutants)} faults caught", flush=True)
    return len(mutants) - len(caught) + len(red)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", help="faults with this number or name")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--equations", action="store_true", help="by the equations' checks alone")
    parser.add_argument("--changed", action="store_true", help="of changed files, and a sample")
    parser.add_argument("--unseen", action="store_true", help="that are not yet written down")
    parser.add_argument("--record", action="store_true", help="write down which test saw which")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    mutants = load_mutants()
    if arguments.equations:
        mutants = {
            key: dataclasses.replace(mutant, tests=(EQUATIONS,))
            for key, mutant in mutants.items()
            if mutant.number in OF_EQUATIONS
        }
    if arguments.changed:
        mutants, why = changed_and_sampled(mutants)
        print(why)
    if arguments.unseen:
        mutants = {key: mutant for key, mutant in mutants.items() if key not in seen_by()}
    if arguments.only is not None:
        mutants = {
            key: mutant
            for key, mutant in mutants.items()
            if any(word in (str(mutant.number), key.split(": ")[1]) for word in arguments.only)
        }
    return int(plant_all(mutants, arguments) > 0)


if __name__ == "__main__":
    sys.exit(main())
