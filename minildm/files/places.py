"""Where trained models are looked for by their names.

    $MINILDM_DATA      a folder like a clone's data/checkpoints; looked at first, if it is set
    data/checkpoints   of the clone that this package lies in

Installed without ``-e``, the package lies in no clone; then only the first one helps.
"""

import os
from pathlib import Path

DATA = Path(__file__).parents[2] / "data"
SHIPPED = DATA / "checkpoints"
VARIABLE = "MINILDM_DATA"
MODELS = ("digits", "pixels", "shapes")  # latent diffusion models


def homes() -> list[Path]:
    """The folders that hold models by their names, in the order in which they are looked at."""
    given = os.environ.get(VARIABLE)
    return [*([Path(given)] if given else []), SHIPPED]


def by_name(name: str) -> Path | None:
    """The folder of the model ``name`` in the first of the ``homes`` that has one."""
    for home in homes():
        if is_folder(home / name):
            return home / name
    return None


def book_folder(name: str) -> Path:
    """The folder of what comes with the book; FileNotFoundError saying where it was looked for."""
    place = by_name(name)
    if place is None:
        raise FileNotFoundError(f"{name}, which comes with the book, is missing: {where_looked()}")
    return place


def where_looked() -> str:
    """The places that were looked at, and what to do if there is nothing."""
    given = os.environ.get(VARIABLE)
    first = f"${VARIABLE} = {given}" if given else f"${VARIABLE} (not set)"
    looked = f"looked in {first} and in {SHIPPED}"
    if SHIPPED.is_dir():
        return f"{looked}; git restore data/checkpoints puts the book's models back"
    return (
        f"{looked}. This minildm is installed without the book's data: set {VARIABLE} to the "
        "data/checkpoints of a clone, or install it from a clone with pip install -e"
    )


def is_bare(name: object) -> bool:
    """Whether ``name`` is text without a folder in it: "digits", not "./digits"."""
    separators = {"/", os.sep, os.altsep or "/"}
    return isinstance(name, str) and not separators & set(name) and name not in ("", ".", "..")


def is_folder(path: Path) -> bool:
    """``path.is_dir()``, and False for names that no file system takes."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
