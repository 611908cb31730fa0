"""How fast it is, beside what a reader would pick instead: see README.md and run.py.

A case is a module of this folder, named in ``CASES`` or, if it takes hours, in ``LONG``, with

    NAME       its name at the command line and in the tables: that of the module
    QUESTION   what it answers, in one sentence
    run        run(options: measure.Options) -> dict that JSON can hold: every figure as it was
               measured, not yet summed up. Under "notes": a list of sentences on what was left
               out, and why
    rows       rows(result) -> list[measure.Row], the lines of the table. ``result`` comes from
               ``run``, or from a file that was written then

A case that needs a package which is not installed leaves that part out, and says so in its notes.
"""

import importlib
from types import ModuleType

CASES = (
    "training", "sampling", "stable_diffusion_step", "loops", "peak", "picture_size", "widgets",
    "chapters", "startup",
)  # fmt: skip
LONG = ("time_to_quality",)  # run only when they are asked for by name


def case(name: str) -> ModuleType:
    """The module of a case."""
    return importlib.import_module(f"benchmarks.{name}")
