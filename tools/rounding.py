"""Run tests and notebooks as other processors would round: is anything red that is right?

    python tools/rounding.py              every setting, all tests and notebooks (hours)
    python tools/rounding.py --quick      3 seeds of noise and 3 code paths, what uses torch
    python tools/rounding.py --list       the settings
    python tools/rounding.py --only noise:1 old --tests tests/book/test_dit.py --notebooks 05_4

A setting is a code path of PyTorch and its libraries (this processor plays an older one), a number
of threads, or noise in the last digits (tools/rounding_noise says which, and how much). `old` is
all code paths at once. Any seed can be given: noise:17. On two cores that do nothing else a code
path takes as long as `make test`, noise about twice that: --quick some 9 times `make test`, all
some 20 times. After the first setting the time that is left is estimated.

What goes red holds on one machine only: give it a tolerance and the reason for it, print fewer
digits, or do not compare it (tag `nbval-ignore-output`). Exits with 1 if anything is red.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NOISE = ROOT / "tools" / "rounding_noise"

OLD = {
    "ATEN_CPU_CAPABILITY": "default",  # PyTorch's own functions: no vector instructions
    "ONEDNN_MAX_CPU_ISA": "SSE41",  # convolutions, gelu
    "MKL_CBWR": "COMPATIBLE",  # matrix products, attention, eigenvalues
    "OPENBLAS_CORETYPE": "Nehalem",  # NumPy's matrix products and eigenvalues
}
SETTINGS = {
    "as it is": {},
    "aten:default": {"ATEN_CPU_CAPABILITY": "default"},
    "aten:avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "onednn:sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "onednn:avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "mkl:compatible": {"MKL_CBWR": "COMPATIBLE"},
    "openblas:nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "old": OLD,
    "threads:2": {"OMP_NUM_THREADS": "2"},
    "threads:4": {"OMP_NUM_THREADS": "4"},
    "noise:1": {"ROUNDING_SEED": "1"},
    "noise:2": {"ROUNDING_SEED": "2"},
    "noise:3": {"ROUNDING_SEED": "3"},
}
QUICK = ("old", "aten:avx2", "threads:4", "noise:1", "noise:2", "noise:3")

# Right on every machine, and yet red under the noise, because of how the noise is made.
EXACT = {
    "tests/book/test_memory.py::test_a_view_keeps_its_whole_storage_once":
        "counts the bytes that a view keeps alive; the noise puts a copy in the view's place",
}  # fmt: skip


class Outcome(NamedTuple):
    """What one setting gave: the number of green tests, the red ones, and the minutes it took."""

    passed: int
    red: list[str]
    minutes: float


def environment(setting: str) -> dict[str, str]:
    """The variables that a setting adds; raises ValueError for one that does not exist."""
    if setting.startswith("noise:") and setting[6:].isdigit():
        return {"ROUNDING_SEED": setting[6:]}
    if setting not in SETTINGS:
        raise ValueError(f"there is no setting {setting!r}; take noise:N or {', '.join(SETTINGS)}")
    return SETTINGS[setting]


def pytest_arguments(tests: list[str], notebooks: list[str], setting: str) -> list[str]:
    """What pytest is asked to run under a setting: paths, and what is exact by contract."""
    chapters = ROOT / "chapters"
    found = [str(p) for name in notebooks for p in sorted(chapters.glob(f"{name}*.ipynb"))]
    if notebooks and not found:
        raise ValueError(f"no notebook's name begins with {' or '.join(notebooks)}")
    skipped = EXACT if setting.startswith("noise:") else ()
    return [
        *tests, *found, *(f"--deselect={name}" for name in skipped), "--ignore=tests/browser",
        "--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg",
        "-q", "-W", "ignore", "-p", "no:cacheprovider",
    ]  # fmt: skip


def run(setting: str, arguments: list[str], workers: int, log: Path) -> Outcome:
    """Run pytest under a setting, its output into ``log``."""
    path = [str(NOISE)] if "ROUNDING_SEED" in environment(setting) else []
    path += [str(ROOT), os.environ.get("PYTHONPATH", "")]
    variables = {
        **{name: value for name, value in os.environ.items() if name not in OLD},
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",  # who waits for another thread leaves the core to it
        **environment(setting),
        "PYTHONPATH": os.pathsep.join(part for part in path if part),
    }
    shared = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    several = shared if workers > 1 else []
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", *arguments, *several, f"--junitxml={report}"]
        start = time.monotonic()
        with open(log, "w", encoding="utf-8") as output:
            status = subprocess.run(
                command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT
            ).returncode
        minutes = (time.monotonic() - start) / 60
        if status not in (0, 1) or not report.exists():
            return Outcome(0, [f"pytest ended with {status}: see {log}"], minutes)
        return Outcome(*read_report(report), minutes)


def read_report(report: Path) -> tuple[int, list[str]]:
    """(green tests, one line for each red one) of a file in JUnit's form."""
    passed, red = 0, []
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = [e for e in case if e.tag in ("failure", "error")]
        name = f"{case.get('classname')}::{case.get('name')}"
        if wrong:
            red.append(f"{name}  {what_was_said(wrong[0])}".rstrip())
        elif not case.findall("skipped"):
            passed += 1
    return passed, red


def what_was_said(failure: ElementTree.Element) -> str:
    """A failure in one line: of a notebook's cell, the line that failed or the first difference."""
    message, text = (
        re.sub(r"(?:#x1B|\x1b)\[[\d;]*m", "", part or "").strip()
        for part in (failure.get("message"), failure.text)
    )
    lines = text.splitlines()
    if message.startswith("Notebook cell"):
        chosen = [line for line in lines if line.startswith("---")][1:]
    elif "output" in message.partition("\n")[0]:
        chosen = [line for line in lines if "<<<" in line or "disagrees" in line]
    else:
        chosen = []
    return " ".join((chosen or message.splitlines() or [""])[0].split())[:140]


def that_compute() -> list[str]:
    """The test files that use torch: the others compute nothing that could be rounded."""
    tests = ROOT / "tests"
    files = [p for p in sorted(tests.glob("**/test_*.py")) if "browser" not in p.parts]
    beside = {p: p.parent.glob("*.py") if p.parent.name == "equations" else [p] for p in files}
    chosen = [p for p in files if any("torch" in q.read_text("utf-8") for q in beside[p])]
    return [p.relative_to(ROOT).as_posix() for p in chosen]


def arguments_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="SETTING", help="these settings, or noise:N")
    parser.add_argument("--quick", action="store_true", help="3 seeds of noise, 3 code paths")
    parser.add_argument("--tests", nargs="*", metavar="PATH", help="these tests (none: no tests)")
    parser.add_argument(
        "--notebooks", nargs="*", metavar="NAME", help="the notebooks that begin so (none: none)"
    )
    parser.add_argument("-n", "--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--logs", type=Path, help="folder for pytest's output (a temporary one)")
    parser.add_argument("--list", action="store_true", help="list the settings, run nothing")
    chosen = parser.parse_args(argv)
    narrow = chosen.tests is not None or chosen.notebooks is not None
    if chosen.tests is None:
        chosen.tests = [] if narrow else that_compute() if chosen.quick else ["tests"]
    if chosen.notebooks is None:
        chosen.notebooks = [] if narrow else [""]
    chosen.only = chosen.only or list(QUICK if chosen.quick else SETTINGS)
    return chosen


def main(argv: list[str] | None = None) -> int:
    """Run the settings, print the table; the exit status."""
    chosen = arguments_of(argv)
    if chosen.list:
        for name, variables in SETTINGS.items():
            print(f"{name:18s}", " ".join(f"{k}={v}" for k, v in variables.items()))
        return 0
    try:
        jobs = [(s, pytest_arguments(chosen.tests, chosen.notebooks, s)) for s in chosen.only]
        [environment(setting) for setting in chosen.only]
    except ValueError as error:
        print(error)
        return 2
    logs = chosen.logs or Path(tempfile.mkdtemp(prefix="rounding-"))
    logs.mkdir(parents=True, exist_ok=True)
    print(f"{len(jobs)} settings; pytest's output is in {logs}", flush=True)
    print(f"{'setting':18s}{'passed':>8s}{'failed':>8s}{'minutes':>9s}", flush=True)
    outcomes = {}
    for i, (setting, arguments) in enumerate(jobs, start=1):
        done = run(setting, arguments, chosen.workers, logs / f"{setting.replace(':', '-')}.log")
        outcomes[setting] = done
        spent = sum(outcome.minutes for outcome in outcomes.values())
        left = f"   (about {spent / i * (len(jobs) - i):.0f} minutes left)" if i < len(jobs) else ""
        line = f"{setting:18s}{done.passed:8d}{len(done.red):8d}{done.minutes:9.1f}{left}"
        print(line, *(f"    {red}" for red in done.red), sep="\n", flush=True)
    bad = [setting for setting, outcome in outcomes.items() if outcome.red or not outcome.passed]
    print(f"rounding: {len(jobs)} settings, {len(jobs) - len(bad)} green, {len(bad)} red", end="")
    print(f" ({', '.join(bad)})" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
