"""Faults that the tests must catch. ``tools/mutants.py`` plants each one alone and expects red."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault: in ``file`` (from the root of the repository), the only occurrence of ``old`` becomes ``new``.

    ``number`` is the fault's number in the project's list of faults, 0 for one of our own. ``tests``
    are the test files that are run against it.
    """

    number: int
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
