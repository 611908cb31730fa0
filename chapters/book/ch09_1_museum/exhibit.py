"""What hangs on the walls of the museum: one line of the package, made wrong in one classic way."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure

from book.ch09_1_museum.planted import Package, planted


class Sighting(NamedTuple):
    """Where a mistake was seen, or asked about: what is there, in a few words, and the address."""

    what: str
    url: str


@dataclass(frozen=True)
class Exhibit:
    """One mistake.

    name, title   what it is called in code, and on its label
    file          where it is planted, inside minildm/
    right, wrong  the right text, which occurs once in that file, and what takes its place
    story         the mistake in one sentence
    symptom       package -> what it does, as numbers
    draw, alt     (right, wrong) -> the figure of two symptoms; the sentence that says what it shows
    detector      package -> None; raises AssertionError where the fault is planted
    tests         test files of the repository that turn red
    seen          where it was seen; empty: found in our own drafts, or planted by us
    eye           would you notice in samples, without the right ones beside them
    """

    name: str
    title: str
    file: str
    right: str
    wrong: str
    story: str
    symptom: Callable[[Package], Any]
    draw: Callable[[Any, Any], Figure]
    alt: str
    detector: Callable[[Package], None]
    tests: tuple[str, ...]
    seen: tuple[Sighting, ...]
    eye: str


def quietly(function: Callable[[Package], Any], package: Package) -> Any:
    """``function(package)`` with torch seeded, and put back; without the package's own warnings.

    The package warns of some of these mistakes itself; here the figure is to speak.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return function(package)


def complaint(exhibit: Exhibit, plant: bool) -> str | None:
    """What the detector says of the package, right or planted: None where it is silent."""

    def ask(package: Package) -> str | None:
        try:
            quietly(exhibit.detector, package)
        except AssertionError as error:
            return str(error)
        return None

    if not plant:
        return ask(Package())
    with planted(exhibit) as package:
        return ask(package)


def symptoms(exhibit: Exhibit) -> tuple[Any, Any]:
    """What the right package does, and what the planted one does."""
    right = quietly(exhibit.symptom, Package())
    with planted(exhibit) as package:
        return right, quietly(exhibit.symptom, package)
