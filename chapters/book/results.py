"""Measured figures on disk: one JSON file, a section for each measurement.

    read_results    a section of data/results.json, which comes with the book
    write_results   puts one section into a file, OUT unless told otherwise; others stay
    change_results  the same, for a section that is read and written in one go
    writable        can figures be written there? Asked before hours of measuring

A file is written beside its place and moved there; two processes that write at once wait for one
another. So neither a full disk nor a second measurement loses a section.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minildm.files.checkpoint import CheckpointError, replace_files
from minildm.files.places import DATA, VARIABLE, homes


def results_file() -> Path:
    """``results.json``: beside the folder that $MINILDM_DATA names, else the clone's own."""
    beside = [home.parent / "results.json" for home in homes()]
    return next((path for path in beside if path.is_file()), DATA / "results.json")


RESULTS = results_file()
OUT = Path("outputs") / "results.json"  # in the working directory
INSTALL = (
    "the book's data do not come with the package alone: get the whole repository, and in its "
    f"folder python -m pip install -c constraints.txt -e .[book] (or set {VARIABLE} to the "
    "data/checkpoints of such a folder)"
)


def read_results(section: str, path: str | Path = RESULTS) -> dict:
    """The figures under ``section`` of ``data/results.json``, as ``write_results`` put them there.

    Raises FileNotFoundError without the file, CheckpointError for a damaged one, and ValueError,
    naming the sections there are, for another name.
    """
    path = Path(path)
    if not path.is_file():
        made = f"run python tools/experiments.py {_maker(section)} --out {path}"
        alone = path == RESULTS and not path.parent.is_dir()
        raise FileNotFoundError(f"{path} is missing: {INSTALL if alone else made}")
    results = _read(path)
    if section not in results:
        there = ", ".join(results) or "none"
        raise ValueError(f"no section {section!r} in {path}; there are {there}")
    return results[section]


def write_results(section: str, figures: dict, path: str | Path = OUT) -> None:
    """Put ``figures`` under ``section`` of a JSON file; other sections stay as they are.

    Raises CheckpointError where the file is damaged: nothing is written over it.
    """
    change_results(section, lambda _: figures, path)


def change_results(
    section: str, change: Callable[[dict | None], dict], path: str | Path = OUT
) -> dict:
    """Put ``change(old)`` in the place of a section, None if there is none yet; returns it.

    No other process writes the file between its reading and its writing.
    Raises ValueError for figures that are NaN or infinite.
    """
    path = writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.parent):
        results = _read(path) if path.is_file() else {}
        results[section] = change(results.get(section))
        replace_files(path.parent, {path.name: _text(section, results)})
    return results[section]


def writable(path: str | Path) -> Path:
    """``path`` as one that figures can be put into.

    Raises ValueError for a folder and for a name that does not end in .json, CheckpointError for a
    file that is there and damaged.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file, such as {path / OUT.name}")
    if path.suffix != ".json":
        raise ValueError(f"figures are written as JSON: the file must end in .json; got {path}")
    if path.is_file():
        _read(path)
    return path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time; others wait. A crash does not leave the lock behind."""
    if os.name == "nt":
        import msvcrt

        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        lock = lambda: msvcrt.locking(handle, msvcrt.LK_LOCK, 1)  # noqa: E731
    else:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)  # the folder itself: nothing is left in it
        lock = lambda: fcntl.flock(handle, fcntl.LOCK_EX)  # noqa: E731
    try:
        lock()
        yield
    finally:
        os.close(handle)  # which unlocks


def _read(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(results, dict):
            raise ValueError("it holds no sections")
    except (ValueError, RecursionError) as error:  # also what is not UTF-8, and not JSON
        restore = "git restore data/results.json" if path == RESULTS else "move it away"
        raise CheckpointError(f"{path} is damaged ({error}): {restore}") from error
    return results


def _text(section: str, results: dict) -> bytes:
    try:
        return (json.dumps(results, indent=2, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise ValueError(f"figures of {section!r} are NaN or infinite: not written") from error


def _maker(section: str) -> str:
    plan = section.removeprefix("ablation ")
    return f"measure {section}" if plan == section else f"ablate {plan}"


def command(name: str, seeds: Sequence[int]) -> str:
    """What a reader types to measure a section anew."""
    return f"python tools/experiments.py measure {name} --seeds {' '.join(map(str, seeds))}"
