"""Measured figures on disk: one JSON file, a section for each measurement.

    read_results    a section of data/results.json, which comes with the book
    write_results   puts one section into a file, OUT unless told otherwise; others stay
    change_results  the same, for a section that is read and written in one go
    writable        can figures be written there? Asked before hours of measuring

    Runs            what a long measurement has found so far: an interrupted one goes on there

A file is written beside its place and moved there; two processes that write at once wait for one
another. So neither a full disk nor a second measurement loses a section.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from minildm.files.alone import alone
from minildm.files.checkpoint import CheckpointError, replace_files
from minildm.files.places import DATA, VARIABLE, homes


def results_file() -> Path:
    """``results.json``: beside the folder that $MINILDM_DATA names, else the clone's own."""
    beside = [home.parent / "results.json" for home in homes()]
    return next((path for path in beside if path.is_file()), DATA / "results.json")


RESULTS = results_file()
KEPT = Path(tempfile.gettempdir()) / "minildm-kept"  # of interrupted measurements
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


# --- runs -----------------------------------------------------------------------------------------


class Runs:
    """The runs of one measurement, each kept as soon as it is done.

        runs = Runs("samplers", settings, model)
        figures = runs.get("ddim, seed 0", lambda: measure())  # measured once, then read
        runs.forget()  # the measurement is complete

    They are lines of a file in ``folder``, by default among the temporary files. Its name holds a
    digest of all that the figures depend on: the settings (JSON-able, all but what the keys say),
    the weights of ``model``, the machine. So no figures are taken for another measurement's.
    """

    def __init__(
        self, name: str, settings: Any, model: nn.Module | None = None,
        folder: str | Path | None = None,
    ) -> None:  # fmt: skip
        from minildm.engine.devices import surroundings
        from minildm.engine.identity import weights_digest

        weights = None if model is None else weights_digest(model)
        machine = {k: v for k, v in surroundings().items() if k != "load_average"}
        mark = json.dumps([settings, weights, machine], sort_keys=True)
        short = hashlib.sha256(mark.encode()).hexdigest()[:16]
        self.path = Path(folder or KEPT) / f"{name}-{short}.jsonl"
        self.found: dict[str, Any] = dict(_lines(self.path))

    def get(self, key: str, run: Callable[[], Any], report: Callable[[str], Any] = print) -> Any:
        """The figures of ``key``; ``run()`` makes them where they are not there yet."""
        if key not in self.found:
            self.found[key] = figures = run()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path.parent), open(self.path, "ab+") as file:
                if file.tell() and not _ends_a_line(self.path):  # the power went away in a line
                    file.write(b"\n")
                file.write((json.dumps([key, figures]) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
            text = json.dumps(figures)
            report(f"{key}: {text if len(text) < 1000 else 'done'}")
        return self.found[key]

    def forget(self) -> None:
        """Remove the file: the measurement is complete."""
        self.path.unlink(missing_ok=True)


def _lines(path: Path) -> list[tuple[str, Any]]:
    """(key, figures) of each whole line."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            key, figures = json.loads(line)
        except (ValueError, TypeError):
            continue  # cut off, or damaged: it is measured again
        if isinstance(key, str):
            found.append((key, figures))
    return found


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
