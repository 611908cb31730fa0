"""The command line: train models, and draw with them.

What each verb does is in commands.py. Here only the standard library is imported: help comes at
once. tools/experiments.py adds the book's own verbs.
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minildm import commands
from minildm.commands import DATA_SETS, GUIDANCE, RESUMES, SAMPLERS, TRAININGS

FOLDER = "a folder, or the name of a model of the book: shapes, digits, pixels"


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    about = (__doc__ or "").split("\n")[0]
    top = argparse.ArgumentParser(prog="python -m minildm", description=about)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_sample(add_verb(verbs, "sample", "draw pictures, or change one", commands.sample))
    add_train(add_verb(verbs, "train", "train a model from nothing", commands.train, TRAININGS))
    get = add_verb(verbs, "download", "fetch a full data set", commands.fetch)
    get.add_argument("name", choices=DATA_SETS)
    get.add_argument("--folder", type=Path, help="where to keep it (your cache)")
    return top


def add_verb(
    verbs: Any, name: str, short: str, run: Callable, names: dict | None = None
) -> argparse.ArgumentParser:
    """A verb with its description: ``run``'s docstring, and the NAMEs that it takes."""
    text = textwrap.dedent(f"    {run.__doc__}").strip()
    if names:
        width = max(map(len, names)) + 2
        layout = {"width": 96, "subsequent_indent": " " * (width + 2)}
        lines = [
            textwrap.fill(about, initial_indent=f"  {n:{width}}", **layout)
            for n, about in names.items()
        ]
        text = "\n".join([text, "", "NAME is one of", *lines])
    command = verbs.add_parser(
        name, help=short, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(run=run, prog=command.prog.removesuffix(f" {name}"))
    if names:
        dashes = lambda word: word.replace("_", "-")  # noqa: E731  folders are called with _
        command.add_argument("name", type=dashes, choices=names, metavar="NAME", help="see above")
    return command


def add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change settings, such as fit.steps=100; a wrong key lists all",
    )  # fmt: skip
    command.add_argument(
        "--out", type=Path, help="where to write the model and its training (outputs/NAME)"
    )
    command.add_argument("--seed", type=SEED, help="sets every seed of the training")
    command.add_argument(
        "--resume", nargs="?", const=True, default=False, choices=RESUMES,
        help="go on from the newest checkpoint; last-good: pass over damaged ones; longer: with "
        "more steps than it began with",
    )  # fmt: skip
    command.add_argument(
        "--overwrite", action="store_true",
        help="write over the model in --out, or into the book's own data",
    )  # fmt: skip


def _add_sample(command: argparse.ArgumentParser) -> None:
    command.add_argument("prompt", nargs="*", help="what to draw; see minildm/shapes/captions.py")
    command.add_argument("--out", type=Path, default=Path("grid.png"), help="the file (grid.png)")
    command.add_argument("--model", default="shapes", help=f"{FOLDER} (shapes)")
    command.add_argument("--count", type=whole(1), default=4, help="pictures per text (4)")
    command.add_argument("--steps", type=whole(1), default=25, help="steps of the sampler (25)")
    command.add_argument("--sampler", choices=SAMPLERS, default="dpmpp_2m", help="(dpmpp_2m)")
    command.add_argument(
        "--guidance", type=_number, default=GUIDANCE, help=f"1: as trained ({GUIDANCE})"
    )
    command.add_argument("--negative", help="a text to move away from")
    command.add_argument("--seed", type=SEED, help="the same seed draws the same pictures")
    command.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="a picture to change"
    )
    command.add_argument("--strength", type=_number, help="how much of it to change, up to 1 (0.6)")
    command.add_argument(
        "--mask", type=Path, metavar="FILE", help="draw it anew where this picture is white"
    )


# --- numbers --------------------------------------------------------------------------------------


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """What reads a whole number, least <= number <= most."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            bound = f"at least {least}" if number is None or number < least else f"at most {most}"
            raise argparse.ArgumentTypeError(f"must be a whole number of {bound}; got {text!r}")
        return number

    return read


SEED = whole(0, 2**63 - 1)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a number; got {text!r}")
    return number


# --- running --------------------------------------------------------------------------------------


def main(
    arguments: list[str] | None = None, parser: Callable[[], argparse.ArgumentParser] = parser
) -> int:
    """Run one command; errors that the reader can mend are one line, without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words:
        parser().print_help()
        return 2
    args = parser().parse_args(words)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print(f"\n{commands.stopped(args, words)}", file=sys.stderr)
        return 130  # as shells have it
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "minildm":
            raise
        print(f"error: {_missing(error)}", file=sys.stderr)
    except _expected() as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def _expected() -> tuple:
    """Errors that say what to do. Asked for after one was raised: what can raise it is imported."""
    module = sys.modules.get("minildm.files.checkpoint")
    return (ValueError, OSError, *([module.CheckpointError] if module else []))


def _missing(error: ModuleNotFoundError) -> str:
    """What to do where a package is not installed."""
    return (
        f"{error.name or error} is not installed in this Python ({sys.executable}): pip install "
        "minildm, or in a clone of the book make lab, and then use .venv/bin/python"
    )


if __name__ == "__main__":
    sys.exit(main())
