"""A walk through the museum: what a chapter shows of an exhibit.

visit     the line, the symptom, the detector and where it was seen
losses    what a training loss says of each exhibit
ledger    all exhibits with the seconds of their detectors, as a table
blind     six clouds of samples, some from wrong code: which ones?
"""

import difflib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from textwrap import dedent
from time import perf_counter
from typing import NamedTuple

import torch
from IPython.display import display
from torch import Tensor

from book.ch09_1_museum import scene
from book.ch09_1_museum.exhibit import Exhibit, complaint, quietly, symptoms
from book.ch09_1_museum.planted import ROOT, Package, changed_source, planted
from book.ch09_1_museum.rooms import EXHIBITS, find
from book.display import show
from minildm.metrics import sliced_wasserstein

# The panels of ``blind``: which exhibit is planted, if any, and how the samples are drawn.
PANELS = {
    "A": (None, "heun", 20, {}),
    "B": ("eta-on-the-variance", "ddim", 50, {"eta": 0.3}),
    "C": (None, "ddpm", 50, {}),
    "D": ("heun-at-one-time", "heun", 20, {}),
    "E": ("low-precision-table", "ddim", 50, {}),
    "F": ("next-time", "ddim", 60, {}),
}


def changed_lines(exhibit: Exhibit) -> str:
    """The whole lines that differ, unindented, with - for the right and + for the planted one."""
    right = (ROOT / exhibit.file).read_text(encoding="utf-8").splitlines()
    lines = difflib.unified_diff(right, changed_source(exhibit).splitlines(), n=0, lineterm="")
    lines = [line for line in lines if line[:2] not in ("--", "++", "@@")]
    codes = dedent("\n".join(line[1:] for line in lines)).splitlines()
    return "\n".join(f"{line[0]} {code}" for line, code in zip(lines, codes, strict=True))


def visit(name: str) -> None:
    """Show one exhibit: its line, its symptom, its detector at work, and where it was seen."""
    exhibit = find(name)
    lines = f"```diff\n{changed_lines(exhibit)}\n```"
    _write(f"The line, in `minildm/{exhibit.file}`:\n\n{lines}")
    show(exhibit.draw(*symptoms(exhibit)), exhibit.alt, dpi=80)
    silent, found = complaint(exhibit, plant=False), complaint(exhibit, plant=True)
    source = inspect.getsource(exhibit.detector).strip()
    verdict = f"Right package: {silent or 'silent'}.  \nPlanted: **{found or 'silent'}**."
    _write(f"The detector:\n\n```python\n{source}\n```\n\n{verdict}\n\n{_sightings(exhibit)}")


def _sightings(exhibit: Exhibit) -> str:
    lines = [f"- [{what}]({url})" for what, url in exhibit.seen]
    return "\n".join(["Seen, or asked about:\n", *lines]) if lines else "Planted by us."


def _write(markdown: str) -> None:
    display({"text/markdown": markdown, "text/plain": markdown.split("\n")[0]}, raw=True)


class Losses(NamedTuple):
    """Relative to the right package: ``change`` by exhibit, ``spread`` over other seeds; and the
    exhibits whose line runs in this training.
    """

    change: dict[str, float]
    spread: float
    live: frozenset[str]


def losses(seeds: int = 3) -> Losses:
    """What the loss of one short training says of each exhibit.

    The spread is the largest change that the right package shows with other seeds.
    """
    with lines_that_run() as run:
        right = quietly(scene.small_training, Package())
    live = frozenset(exhibit.name for exhibit in EXHIBITS if not run.isdisjoint(place(exhibit)))
    others = [
        quietly(partial(scene.small_training, seed=seed), Package()) for seed in range(1, seeds + 1)
    ]
    change = {}
    for exhibit in EXHIBITS:
        with planted(exhibit) as package:
            change[exhibit.name] = quietly(scene.small_training, package) / right - 1
    return Losses(change, max(abs(other / right - 1) for other in others), live)


@contextmanager
def lines_that_run() -> Iterator[set[tuple[str, int]]]:
    """The lines of the package that run in the block: (file, number), filled while it lasts."""
    run: set[tuple[str, int]] = set()

    def within(frame, event, _):
        run.add((frame.f_code.co_filename, frame.f_lineno))
        return within

    def entered(frame, event, _):
        return within if frame.f_code.co_filename.startswith(str(ROOT)) else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        yield run
    finally:
        sys.settrace(before)


def place(exhibit: Exhibit) -> set[tuple[str, int]]:
    """The lines on which the right text of an exhibit stands: (file, number)."""
    path = ROOT / exhibit.file
    before, _, _ = path.read_text(encoding="utf-8").partition(exhibit.right)
    first = before.count("\n") + 1
    return {(str(path), first + k) for k in range(len(exhibit.right.splitlines()))}


def ledger(found: Losses) -> float:
    """Show a table of all exhibits; returns the seconds that all detectors take together.

    The seconds of an exhibit: one run of its detector on the right package.
    """
    head = "| | exhibit | visible in samples | its line runs | training loss | detector |"
    rows, total = [head + " finds it | seconds |", "|---|---|---|---|---|---|---|---|"], 0.0
    for k, exhibit in enumerate(EXHIBITS, 1):
        start = perf_counter()
        silent = complaint(exhibit, plant=False) is None
        seconds = perf_counter() - start
        finds = "yes" if silent and complaint(exhibit, plant=True) else "**no**"
        detector, loss = f"`{exhibit.detector.__name__}`", _loss(exhibit.name, found)
        runs = "yes" if exhibit.name in found.live else "no"
        cells = (k, exhibit.title, exhibit.eye, runs, loss, detector, finds, f"{seconds:.2f}")
        rows.append("| " + " | ".join(map(str, cells)) + " |")
        total += seconds
    _write("\n".join(rows))
    return total


def _loss(name: str, found: Losses) -> str:
    change = found.change[name]
    if name not in found.live:
        return "–"
    if abs(change) < 5e-5:
        return "hidden: less than 0.01%"
    return f"**{change:+.0%}**" if abs(change) > found.spread else f"hidden: {change:+.2%}"


# --- the blind test -------------------------------------------------------------------------------


def blind(n: int = 2000) -> dict[str, Tensor]:
    """Samples (n, 2) of the three clusters for the panels A to F.

    F, with 60 steps, runs on a schedule of 100 times, the others on one of 1,000.
    """
    drawn = {}
    for letter, (name, step, steps, options) in PANELS.items():

        def draw(package: Package, step=step, steps=steps, options=options) -> Tensor:
            schedule = scene.linear(package, 100 if steps == 60 else 1000, 10 if steps == 60 else 1)
            step = partial(getattr(package.samplers, step), **options)
            return scene.walk(package, schedule, step, steps, n=n)

        if name is None:
            drawn[letter] = quietly(draw, Package())
        else:
            with planted(find(name)) as package:
                drawn[letter] = quietly(draw, package)
    return drawn


def reveal(drawn: dict[str, Tensor]) -> None:
    """Show what each panel was, and its distance from the data; a fresh sample for comparison."""
    generator = torch.Generator().manual_seed(7)

    def data(n: int) -> Tensor:
        labels = torch.multinomial(scene.WEIGHTS, n, replacement=True, generator=generator)
        eps = torch.randn(n, 2, dtype=torch.float64, generator=generator)
        return scene.MEANS[labels] + scene.STD * eps

    truth = data(10_000)
    rows = ["| panel | code | distance to the data | its detector |", "|---|---|---|---|"]
    for letter, points in drawn.items():
        name = PANELS[letter][0]
        code = "right" if name is None else f"**{name}**"
        said = "" if name is None else complaint(find(name), plant=True)
        rows.append(f"| {letter} | {code} | {sliced_wasserstein(points, truth):.3f} | {said} |")
    own = sliced_wasserstein(data(len(points)), truth)
    rows.append(f"| | {len(points):,} fresh points of the data | {own:.3f} | |")
    _write("\n".join(rows))
