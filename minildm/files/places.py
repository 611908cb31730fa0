"""Where trained models are looked for by their names.

    $MINILDM_DATA      a folder like a clone's data/checkpoints; looked at first, if it is set
    data/checkpoints   of the clone that this package lies in

Installed without ``-e``, the package lies in no clone; then only the first one helps.
"""

import os
import warnings
from pathlib import Path

DATA = Path(__file__).parents[2] / "data"
SHIPPED = DATA / "checkpoints"
VARIABLE = "MINILDM_DATA"
MODELS = ("digits", "emoji", "pixels", "shapes")  # latent diffusion models


def homes() -> list[Path]:
    """The folders that hold models by their names, in the order in which they are looked at."""
    given = os.environ.get(VARIABLE)
    return [*([Path(given)] if given else []), SHIPPED]


def by_name(name: str) -> Path | None:
    """The folder of the model ``name`` in the first of the ``homes`` that has one."""
    return next((home / name for home in homes() if is_folder(home / name)), None)


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


def is_foreign(path: object) -> bool:
    """Whether ``path`` is a folder of diffusers, or is called like a file of weights."""
    if not isinstance(path, str | Path) or not str(path):
        return False
    files = (".safetensors", ".ckpt")
    return str(path).endswith(files) or (
        is_folder(Path(path)) and (Path(path) / "model_index.json").is_file()
    )


def is_folder(path: Path) -> bool:
    """``path.is_dir()``, and False for names that no file system takes."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def find_model(name: str | Path) -> Path:
    """The folder of a model.

    A bare name of the book ("digits") is the book's model, whatever lies in the working directory.
    Anything else is a folder, else a name in $MINILDM_DATA or in data/checkpoints.
    Raises FileNotFoundError, saying where it was looked for.
    """
    if is_bare(name) and name in MODELS:
        place, here = book_folder(name), Path(name)
        if is_folder(here) and not here.samefile(place):
            instead = f"write './{name}' for the folder of that name in the working directory"
            warnings.warn(f"{name!r} is the book's model, in {place}; {instead}", stacklevel=4)
        return place
    if str(name) and is_folder(Path(name)):
        return Path(name)
    found = by_name(str(name)) if is_bare(name) else None
    if found is None:
        raise FileNotFoundError(
            f"there is no folder {str(name)[:200]!r} in {Path.cwd()}, and no model of that name: "
            f"{where_looked()}. Give a folder written by save(), or one of "
            f"{', '.join(shipped_models()) or 'none so far'}"
        )
    return found


def check_target(folder: str | Path, overwrite: bool) -> None:
    """Raise ValueError where saving to ``folder`` would hide or replace a model of the book.

    ``overwrite``: it is meant. A bare name of the book is refused even then: loaded by that name,
    the book's model would come.
    """
    if is_bare(folder) and folder in MODELS:
        instead = f"save to './{folder}', or under another name"
        raise ValueError(f"{folder!r} is the name of a model of the book; {instead}")
    path = Path(folder).resolve()
    shipped = any(home.resolve() == path.parent for home in homes())
    if shipped and (path / "config.json").exists() and not overwrite:
        said = "holds a model that comes with the book; overwrite=True replaces it"
        raise ValueError(f"{path} {said}")


def shipped_models() -> list[str]:
    """Names of the latent diffusion models in $MINILDM_DATA and in data/checkpoints."""
    found = [place for home in homes() for place in home.glob("*/config.json")]
    kinds = {p.parent.name: p.read_text("utf-8", errors="replace") for p in reversed(found)}
    return sorted(name for name, text in kinds.items() if '"LatentDiffusion"' in text)
