"""Plant each known fault into a copy of the package and see that a test turns red.

    python tools/mutants.py              all faults, and the unmutated control
    python tools/mutants.py --only 10    the faults with this number
    python tools/mutants.py --equations  those that an equation of the book forbids, seen by the
                                         checks of the equations alone

Exits with 1 where a fault survives, where its source line is no longer there, or where the
unmutated package fails. Nothing in the working tree is touched.
"""

import argparse
import dataclasses
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("minildm", "tests", "tools", "data", "chapters", "pyproject.toml", "conftest.py")


EQUATIONS = "tests/equations/test_equations.py"
# Faults 1 to 23 and 33 of the project's list, but for those that no equation speaks of: time grids
# (7, 8, 9), clipping (16), the precision of tables (22), the cosine schedule's cap (23), and what
# only flow matching has (14).
OF_EQUATIONS = {*range(1, 24), 33} - {7, 8, 9, 14, 16, 22, 23}


def load_mutants():
    sys.path.insert(0, str(ROOT / "tests"))
    package = importlib.import_module("mutants")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"mutants.{name}") for name in names]
    return [mutant for module in modules for mutant in module.MUTANTS]


def copy_tree(folder: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis", ".ipynb_checkpoints")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        elif source.exists():
            shutil.copy2(source, folder / name)


def run_tests(folder: Path, tests) -> tuple[int, str]:
    """Exit status of pytest in the copy (its own minildm comes first), and the first red test."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
    command += ["-W", "ignore", *tests]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(folder))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    red = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, red[0] if red else (lines or [done.stderr])[-1]


def try_mutant(mutant) -> tuple[str, str]:
    """("caught" | "SURVIVED" | "NOT PLANTED", detail) for one fault."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_tree(folder)
        path = folder / "minildm" / mutant.file
        source = path.read_text(encoding="utf-8")
        if source.count(mutant.old) != 1:
            return "NOT PLANTED", f"{source.count(mutant.old)} occurrences in {mutant.file}"
        path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
        status, detail = run_tests(folder, mutant.tests)
    return ("caught" if status == 1 else "SURVIVED"), detail


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the faults to plant")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--equations", action="store_true", help="by the equations' checks alone")
    arguments = parser.parse_args()
    mutants = load_mutants()
    if arguments.equations:
        mutants = [
            dataclasses.replace(mutant, tests=(EQUATIONS,))
            for mutant in mutants
            if mutant.number in OF_EQUATIONS
        ]
    if arguments.only is not None:
        mutants = [mutant for mutant in mutants if mutant.number in arguments.only]
    with tempfile.TemporaryDirectory() as scratch:
        copy_tree(Path(scratch))
        status, detail = run_tests(Path(scratch), sorted({t for m in mutants for t in m.tests}))
    print(f"control, unmutated: {'green' if status == 0 else 'RED'}  {detail}", flush=True)
    bad = status != 0
    caught = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, (result, detail) in zip(mutants, pool.map(try_mutant, mutants), strict=True):
            print(f"{mutant.number:3d}  {result:11s}  {mutant.name}  [{detail}]", flush=True)
            caught += result == "caught"
    print(f"{caught} of {len(mutants)} faults caught")
    return int(bad or caught < len(mutants))


if __name__ == "__main__":
    sys.exit(main())
