"""Measure how fast it is, beside what a reader would pick instead: one command, one table.

    python benchmarks/run.py                  all cases but the long ones
    python benchmarks/run.py training loops   these; what else is in the file stays
    python benchmarks/run.py --page           run nothing: make the figures of benchmarks/README.md
                                              anew, from data/benchmarks.json

The file is outputs/benchmarks.json, or what --out names.
benchmarks/README.md says how to read the table, and what makes a figure worthless.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from time import strftime, time

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, f"{sys.path[0]}/chapters")
sys.path.insert(2, f"{sys.path[0]}/tools")

import torch

from benchmarks import CASES, LONG, case
from benchmarks.measure import Options, Row, gflops_of_product, load, machine
from minildm.files.checkpoint import replace_files

ROOT = Path(__file__).resolve().parents[1]
STORED, PAGE = ROOT / "data" / "benchmarks.json", ROOT / "benchmarks" / "README.md"
START, END = "<!-- figures: made by `python benchmarks/run.py --page` -->", "<!-- end -->"
HEAD = ("case", "what", "unit", "ours: min / median / max", "rival: the same", "against",
        "rival / ours: median (min to max)")  # fmt: skip
TAKEN = ("case", "date", "minutes", "load before, after", "GFLOP/s of the peak before, after")


def number(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """min / median / max; one number where there is only one."""
    if len(values) < 2:
        return "".join(map(number, values))
    return " / ".join(map(number, (min(values), statistics.median(values), max(values))))


def cells(name: str, row: Row) -> tuple[str, ...]:
    """A line of the table. The ratio is that of the two figures of each round."""
    ratio = ""
    if row.rival:
        each = [rival / ours for ours, rival in zip(row.ours, row.rival, strict=True)]
        band = f" ({min(each):.2f} to {max(each):.2f})" if len(each) > 1 else ""
        ratio = f"{statistics.median(each):.2f}{band}"
    return name, row.what, row.unit, spread(row.ours), spread(row.rival), row.against, ratio


def table(stored: dict) -> list[tuple[str, ...]]:
    """All lines, from what was stored."""
    return [
        cells(name, row) for name, kept in stored.items() for row in case(name).rows(kept["result"])
    ]


def taken(stored: dict) -> list[tuple[str, ...]]:
    """When, and how loaded the machine was."""
    lines = []
    for name, kept in stored.items():
        pairs = [" / ".join(map(str, kept[key])) for key in ("load", "gflops_of_product")]
        lines.append((name, kept["date"], number(kept["minutes"]), *pairs))
    return lines


def machines(stored: dict) -> list[str]:
    """A sentence for each machine and set of versions that figures were taken on."""
    found: dict[str, list[str]] = {}
    for name, kept in stored.items():
        said = ", ".join(f"{key} {value}" for key, value in kept["machine"].items())
        found.setdefault(said, []).append(name)
    return [f"{said} ({', '.join(names)})" for said, names in found.items()]


def notes(stored: dict) -> list[str]:
    """What was left out, and why."""
    pairs = ((name, kept["result"].get("notes", ())) for name, kept in stored.items())
    return [f"{name}: {note}" for name, each in pairs for note in each]


def aligned(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table for a terminal."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in (head, *lines):
        yield "  ".join(map(str.ljust, line, widths)).rstrip()


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """The same for a page."""
    for line in (head, ["---"] * len(head), *lines):
        yield f"| {' | '.join(line)} |"


def page(text: str, stored: dict) -> str:
    """The page with the figures of ``stored`` at their place."""
    made = ["No figures have been stored yet."]
    if stored:
        made = [*markdown(HEAD, table(stored)), "", *markdown(TAKEN, taken(stored)), ""]
        made += [f"- {line}" for line in (*machines(stored), *notes(stored))]
    head, rest = text.split(START)
    return "\n".join([f"{head}{START}", *made, END]) + rest.split(END, 1)[1]


def measured(name: str, options: Options) -> dict:
    """Run a case; with its result comes all that decides what the figures are worth."""
    start, before = time(), (load(), gflops_of_product())
    result = case(name).run(options)
    after = (load(), gflops_of_product())
    return {
        "date": strftime("%Y-%m-%d"),
        "minutes": round((time() - start) / 60, 2),
        "machine": machine(),
        "load": [before[0], after[0]],
        "gflops_of_product": [before[1], after[1]],
        "options": asdict(options),
        "result": result,
    }


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how fast it is, beside others.")
    known = f"{', '.join(CASES)}; and, only by name, {', '.join(LONG)}"
    parser.add_argument("cases", nargs="*", help=f"of {known}")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "benchmarks.json")
    parser.add_argument("--page", action="store_true", help="only make the page's figures anew")
    for field in fields(Options):
        option = f"--{field.name}"
        if field.type is int:
            parser.add_argument(option, type=int, default=field.default, metavar="N")
        elif field.type is bool:
            action = argparse.BooleanOptionalAction
            parser.add_argument(option, action=action, default=field.default)
        else:
            parser.add_argument(option, type=int, nargs="+", default=field.default)
    asked = parser.parse_args(words)
    if wrong := [name for name in asked.cases if name not in CASES + LONG]:
        parser.error(f"no case is called {', '.join(wrong)}: there are {known}")
    return asked


def main(words: Sequence[str] | None = None) -> int:
    asked = arguments(words)
    if asked.page:
        text = page(PAGE.read_text(encoding="utf-8"), read(STORED))
        replace_files(PAGE.parent, {PAGE.name: text.encode()})
        return 0
    options = Options(**{field.name: getattr(asked, field.name) for field in fields(Options)})
    torch.set_num_threads(options.threads)
    stored, new = read(asked.out), {}
    print(", ".join(f"{key} {value}" for key, value in {**machine(), "load": load()}.items()))
    for name in asked.cases or CASES:
        print(f"{name}: {case(name).QUESTION}", flush=True)
        new[name] = measured(name, options)
        stored = {k: v for k in CASES + LONG if (v := {**stored, **new}.get(k))}
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(stored, indent=1) + "\n"
        replace_files(asked.out.parent, {asked.out.name: text.encode()})
    print("", *aligned(HEAD, table(new)), "", *aligned(TAKEN, taken(new)), sep="\n")
    print("", *notes(new), f"load {load()}; written to {asked.out}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
