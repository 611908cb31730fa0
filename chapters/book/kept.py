"""What a long measurement has found so far: an interrupted one goes on there.

    with Kept("samplers", model, settings) as kept:
        figures = kept.get("ddim, seed 0", lambda: measure())   # measured once, then read

The runs are lines of a file in the folder of temporary files. Its name holds a digest of
everything that the figures depend on: the settings and the weights. So what is kept is never taken
for another measurement's.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from book.results import alone
from minildm.engine.training_data import weights_digest

FOLDER = Path(tempfile.gettempdir()) / "minildm-kept"


class Kept:
    """Runs by their key. ``settings``: JSON-able; ``model``: whose weights matter, or None.

    ``folder``: another place than that of temporary files.
    """

    def __init__(
        self, name: str, model: nn.Module | None, settings: Any, folder: str | Path | None = None
    ) -> None:
        weights = None if model is None else weights_digest(model)
        mark = json.dumps([settings, weights], sort_keys=True)
        short = hashlib.sha256(mark.encode()).hexdigest()[:16]
        self.path = Path(FOLDER if folder is None else folder) / f"{name}-{short}.jsonl"
        self.found: dict[str, Any] = dict(_lines(self.path))

    def get(self, key: str, run: Callable[[], Any], report: Callable[[str], Any] = print) -> Any:
        """The figures of ``key``; ``run()`` makes them where they are not there yet."""
        if key not in self.found:
            self.found[key] = figures = run()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path.parent), open(self.path, "ab+") as file:
                if file.tell() and not _ends_a_line(self.path):  # the power went away in a line
                    file.write(b"\n")
                file.write((json.dumps([key, figures]) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
            text = json.dumps(figures)
            report(f"{key}: {text if len(text) < 1000 else 'done'}")
        return self.found[key]

    def forget(self) -> None:
        """Remove the file: the measurement is complete."""
        self.path.unlink(missing_ok=True)


def _lines(path: Path) -> list[tuple[str, Any]]:
    """(key, figures) of each whole line."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            key, figures = json.loads(line)
        except (ValueError, TypeError):
            continue  # cut off, or damaged: it is measured again
        if isinstance(key, str):
            found.append((key, figures))
    return found


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
