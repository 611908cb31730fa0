"""Pieces of the command line: a verb with its help, and numbers as they are typed.

Only the standard library is imported here: help comes at once.
"""

from __future__ import annotations

import argparse
import functools
import math
import textwrap
from collections.abc import Callable
from typing import Any


def add_verb(
    verbs: Any, name: str, short: str, run: Callable, names: dict | None = None
) -> argparse.ArgumentParser:
    """A verb with its description: ``run``'s docstring, and the NAMEs that it takes."""
    text = textwrap.dedent(f"    {run.__doc__}").strip()
    if names:
        width = max(map(len, names)) + 2
        fill = functools.partial(textwrap.fill, width=96, subsequent_indent=" " * (width + 2))
        lines = [fill(about, initial_indent=f"  {n:{width}}") for n, about in names.items()]
        text = "\n".join([text, "", "NAME is one of", *lines])
    command = verbs.add_parser(
        name, help=short, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(run=run, prog=command.prog.removesuffix(f" {name}"))
    if names:
        dashes = lambda word: word.replace("_", "-")  # noqa: E731  folders are called with _
        command.add_argument("name", type=dashes, choices=names, metavar="NAME", help="see above")
    return command


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """What reads a whole number, least <= number <= most."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            bound = f"at most {most}" if number > most else f"at least {least}"
            raise argparse.ArgumentTypeError(f"must be a whole number of {bound}; got {text!r}")
        return number

    return read


SEED = whole(0, 2**63 - 1)
