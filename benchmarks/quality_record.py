"""The points of a run of time_to_quality.py: what was reached, after how much time; kept on disk.

Each point is written twice: when its steps are done, with their time, and when it has been judged.
A run that is killed in between judges it when it goes on. Time is that of training alone, twice:

    wall  seconds of a clock: what a reader waits, if nothing else runs on the machine
    cpu   seconds of processor time, over all threads: hardly changed by other load
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

from minildm.files.checkpoint import replace_files
from minildm.shapes.judge import Accuracy

FILE = "points.json"


class Record:
    """The file ``folder``/points.json: ``data["points"]``, and whatever else is put into ``data``.

    ``about``: JSON-able; the run goes on only under the settings it began with. Names in ``free``
    may differ.
    Raises ValueError where the folder holds a run with other settings.
    """

    def __init__(self, folder: Path, about: Mapping, free: Sequence[str] = ()) -> None:
        self.folder, now = folder, json.loads(json.dumps(dict(about)))
        self.data: dict = {"about": now, "points": []}
        if (folder / FILE).exists():
            self.data = read_run(folder)
            then = self.data["about"]
            differ = sorted(k for k in {*then, *now} - {*free} if then.get(k) != now.get(k))
            if differ:
                said = "; ".join(f"{k} was {then.get(k)}, is {now.get(k)}" for k in differ)
                raise ValueError(f"{folder} holds another run: {said}. Give another folder or name")
            self.data["about"] = now
        self._running: tuple[float, float] | None = None

    @property
    def last(self) -> dict:
        """The newest point; before the first one, a point at step 0."""
        return self.data["points"][-1] if self.data["points"] else {"step": 0, "wall": 0, "cpu": 0}

    def start(self) -> None:
        """The clocks run from now."""
        self._running = perf_counter(), process_time()

    def stop(self) -> dict[str, float]:
        """The clocks stand still: {"wall", "cpu"} of the whole run up to here."""
        wall, cpu = perf_counter(), process_time()
        assert self._running is not None, "start() comes first"
        began, self._running = self._running, None
        spent = {"wall": wall - began[0], "cpu": cpu - began[1]}
        return {name: self.last[name] + seconds for name, seconds in spent.items()}

    def note(self, step: int, clocks: Mapping[str, float], loss: float | None = None) -> None:
        """A new point, not judged yet."""
        load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
        point = {"step": step, **clocks, "loss": loss, "load_average": load}
        self.data["points"].append(point)
        self.write()

    def judged(self, step: int, accuracy: Accuracy) -> None:
        """Add what a point's pictures were worth."""
        point = next(p for p in self.data["points"] if p["step"] == step)
        point |= as_figures(accuracy)
        self.write()

    def waiting(self) -> list[int]:
        """Steps of the points that are not judged."""
        return [point["step"] for point in self.data["points"] if "accuracy" not in point]

    def cut(self, step: int) -> None:
        """Forget the points after ``step``: the run goes on from there."""
        self.data["points"] = [p for p in self.data["points"] if p["step"] <= step]
        self.write()

    def write(self) -> None:
        """Put everything on the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.data, indent=1) + "\n"
        replace_files(self.folder, {FILE: text.encode()})


def read_run(folder: Path) -> dict:
    """What a ``Record`` has written to ``folder``; FileNotFoundError if there is nothing."""
    return json.loads((folder / FILE).read_text(encoding="utf-8"))


def as_figures(accuracy: Accuracy) -> dict:
    """Joint accuracy, its lower bound, and the share that is a scene at all: JSON-able."""
    return {
        "accuracy": round(accuracy.joint, 4),
        "lower_bound_95": round(accuracy.bound, 4),
        "accepted": round(accuracy.accepted, 4),
        "captions": accuracy.n,
    }


class Reached(NamedTuple):
    """When a curve gets to a level: at its first point there, and on the line that leads to it."""

    first: float
    between: float


def reached(times: Sequence[float], shares: Sequence[float], level: float) -> Reached | None:
    """When ``shares``, measured at ``times``, get to ``level`` for the first time; None: never.

    Between two points the curve is taken as straight. Before the first one nothing is known: there
    ``between`` is the point itself.
    """
    for i, (time, share) in enumerate(zip(times, shares, strict=True)):
        if share < level:
            continue
        if i == 0:
            return Reached(time, time)
        before, rise = times[i - 1], share - shares[i - 1]
        return Reached(time, before + (time - before) * (level - shares[i - 1]) / rise)
    return None
