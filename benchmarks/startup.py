"""How long it takes until something happens, each time in a fresh process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Options, Row, interleaved

NAME = "startup"
QUESTION = "How long until the package is there, and until the first picture is on the disk?"
CAPTION = "a small striped red circle above a large solid blue star on grey"
COMMANDS = {
    "Python alone": ("-c", "pass"),
    "import torch": ("-c", "import torch"),
    "import minildm": ("-c", "import minildm"),
    "and a first use, which imports torch": ("-c", "import minildm; minildm.sample"),
    "python -m minildm sample, to the file": (
        "-m", "minildm", "sample", CAPTION, "--model", "shapes", "--seed", "0", "--out",
    ),
}  # fmt: skip


def process(arguments: Sequence[str], threads: int, folder: Path) -> Callable[[], None]:
    """A function that starts Python and waits for its end; what it draws is drawn anew."""
    picture = folder / "picture.png"
    words = [*arguments, str(picture)] if arguments[-1] == "--out" else arguments
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}

    def call() -> None:
        picture.unlink(missing_ok=True)
        subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=True)
        assert words is arguments or picture.stat().st_size > 0

    return call


def run(options: Options) -> dict:
    few = replace(options, repeats=min(options.repeats, 7), warmup=min(options.warmup, 1))
    with tempfile.TemporaryDirectory() as folder:
        calls = {
            name: process(arguments, options.threads, Path(folder))
            for name, arguments in COMMANDS.items()
        }
        return {"seconds": interleaved(calls, few)}


def rows(result: dict) -> list[Row]:
    return [Row(what, "s", seconds) for what, seconds in result["seconds"].items()]
