"""The table of time_to_quality.py: accuracy against minutes, and when each recipe gets to a level.

Minutes are those of the autoencoder and of the denoiser's training, by two clocks: see
quality_record.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.quality_record import reached, read_run

LEVELS = (0.90, 0.97)
CLOCKS = {"wall": "minutes", "cpu": "minutes of a processor"}


def result_of(folder: Path, names: Sequence[str] = ("ours", "stock")) -> dict:
    """Every run of ``names`` with its minutes, and when each gets to ``LEVELS``: JSON-able."""
    runs = {}
    for name in names:
        data = read_run(folder / name)
        points = [p for p in data["points"] if "accuracy" in p]
        for point in points:
            for clock in ("wall", "cpu"):
                seconds = data["autoencoder"][clock] + point[clock]
                point[f"minutes_{clock}"] = round(seconds / 60, 3)
        last = points[-1]
        per_step = {c: round(1000 * last[c] / last["step"], 1) for c in ("wall", "cpu")}
        runs[name] = {**data, "points": points, "ms_per_step": per_step, "to": to_levels(points)}
    return {"runs": runs, "levels": list(LEVELS)}


def changed(told: Mapping, usual: Mapping, prefix: str = "") -> list[str]:
    """The settings, "key=value" as --set has them, in which ``told`` is not ``usual``."""
    found = []
    for key, value in told.items():
        if isinstance(value, Mapping):
            found += changed(value, usual[key], f"{prefix}{key}.")
        elif value != usual.get(key, value):
            found.append(f"{prefix}{key}={value}")
    return found


def to_levels(points: Sequence[dict]) -> dict:
    """Minutes to each level, by both clocks: of the first point there, and between the points."""
    found: dict[str, dict[str, list | None]] = {}
    shares = [p["accuracy"] for p in points]
    for level in LEVELS:
        found[str(level)] = {}
        for clock in ("wall", "cpu"):
            at = reached([p[f"minutes_{clock}"] for p in points], shares, level)
            found[str(level)][clock] = None if at is None else [round(t, 2) for t in at]
    return found


def rows(result: dict) -> list:
    """Lines of the benchmark's table: minutes to each level, of each run that gets there.

    Minutes of a processor: they hardly depend on what else the machine did in those hours.
    """
    from benchmarks.measure import Row

    table, (ours, *rivals) = [], list(result["runs"]) or [""]
    for level in map(str, result["levels"]):
        minutes = {name: run["to"][level]["cpu"] for name, run in result["runs"].items()}
        for name in rivals:
            if minutes[ours]:
                theirs = minutes[name] or (None,)
                what, against = f"from nothing to {float(level):.0%}", name if theirs[1:] else ""
                table.append(Row(what, "cpu min", minutes[ours][1:], theirs[1:], against))
    return table


def not_reached(result: dict) -> list[str]:
    """A sentence for each level that the first run gets to, and another not in all its time."""
    said, (first, *others) = [], list(result["runs"])
    for level in map(str, result["levels"]):
        mine = result["runs"][first]["to"][level]["cpu"]
        for name in others:
            run = result["runs"][name]
            if mine and not run["to"][level]["cpu"]:
                best, end = max(p["accuracy"] for p in run["points"]), run["points"][-1]
                minutes = end["minutes_cpu"]
                said.append(
                    f"{name} was not at {float(level):.0%} after {minutes:.1f} minutes of a "
                    f"processor, more than {minutes / mine[1]:.1f} times ours; its best point had "
                    f"{best:.1%}"
                )
    return said


def lines(result: dict) -> list[str]:
    """The table, as text."""
    said = []
    for name, run in result["runs"].items():
        ms, test = run["ms_per_step"], run.get("test")
        size = run["parameters"]["all"] / 1e6
        said += ["", f"{name}: {size:.2f} M parameters, {ms['wall']} ms a step ({ms['cpu']} cpu)"]
        said.append(f"{'step':>7} {'min':>8} {'cpu min':>8} {'loss':>8} {'accuracy':>9}")
        for p in run["points"]:
            minutes = f"{p['minutes_wall']:8.1f} {p['minutes_cpu']:8.1f}"
            said.append(f"{p['step']:7d} {minutes} {p['loss']:8.4f} {p['accuracy']:9.1%}")
        if test:
            said.append(f"test captions: {test['accuracy']:.1%} (>= {test['lower_bound_95']:.1%})")
    return [*said, "", *comparison(result)]


def comparison(result: dict) -> list[str]:
    """For each level and clock: the minutes of every run, and how many times those of the first."""
    said, (first, *others) = [], list(result["runs"])
    for level in map(str, result["levels"]):
        for clock, unit in CLOCKS.items():
            mine = result["runs"][first]["to"][level][clock]
            text = f"{float(level):.0%}, {unit}: {first} {_minutes(mine)}"
            for name in others:
                run = result["runs"][name]
                theirs, end = run["to"][level][clock], run["points"][-1][f"minutes_{clock}"]
                text += f", {name} {_minutes(theirs, end)}"
                if mine:
                    more = "" if theirs else "more than "
                    text += f" ({more}{(theirs[1] if theirs else end) / mine[1]:.2f} times)"
            said.append(text)
    return [*said, *equal_error(result)]


def equal_error(result: dict) -> list[str]:
    """When the first run guesses the noise as well as each other one does at its end.

    Only where quality_errors.py has noted it. The error falls, so its negative reaches a level.
    """
    said, (first, *others) = [], list(result["runs"])
    mine = result["runs"][first]["points"]
    for name in others:
        theirs = result["runs"][name]["points"]
        if not all("noise_error" in point for point in [*mine, *theirs]):
            continue
        last = theirs[-1]
        for clock, unit in CLOCKS.items():
            minutes = [p[f"minutes_{clock}"] for p in mine]
            at = reached(minutes, [-p["noise_error"] for p in mine], -last["noise_error"])
            text = f"noise guessed to {last['noise_error']:.4f}, {unit}: {name} "
            text += f"{last[f'minutes_{clock}']:.1f}, {first} "
            if at is None:
                said.append(f"{text}{_minutes(None, minutes[-1])}")
            else:
                times = last[f"minutes_{clock}"] / at.between
                said.append(f"{text}{_minutes(list(at))} ({times:.2f} times)")
    return said


def _minutes(at: list | None, end: float | None = None) -> str:
    if at is None:
        return "never" if end is None else f"not in {end:.1f}"
    return f"{at[1]:.1f} (first point {at[0]:.1f})"
