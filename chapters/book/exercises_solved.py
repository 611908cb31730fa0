"""Which exercises are solved: `progress()` prints a line for each chapter.

It reads the replies of `check` in the notebooks of the folder, as they were last saved; what this
notebook has replied since counts, too. Nothing is written.
"""

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book.exercises import GREEN, REPLY, YELLOW, painted, registry, replied
from book.language import told

PAINT = re.compile(r"\x1b\[[\d;]*m")
MARKS = {"ok": ("\u2713", GREEN), "not yet": ("\u2013", YELLOW)}  # a tick, a dash
NOT_TRIED = "\u00b7"


def replies(notebook: NotebookNode) -> dict[str, str]:
    """Exercise -> the last reply of `check` in the outputs: "ok", "not yet" or "todo"."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, id in REPLY.findall(PAINT.sub("", output.get("text", ""))):
                found[id] = kind
    return found


def saved(folder: Path) -> dict[str, str]:
    """The replies in all notebooks of a folder; what is solved in one of them is solved."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.ipynb")):
        try:
            own = replies(nbformat.read(path, as_version=4))
        except (ValueError, AttributeError, KeyError):  # no notebook, or one that is being saved
            continue
        found |= {id: kind for id, kind in own.items() if found.get(id) != "ok"}
    return found


def progress(folder: str | Path = ".") -> None:
    """Print which exercises are solved, chapter by chapter, from the notebooks in ``folder``."""
    tried = {id: kind for id, kind in replied.items() if kind != "todo"}
    found = saved(Path(folder)) | tried
    chapters: dict[str, list[str]] = {}
    for id in registry():
        chapters.setdefault(id.rpartition("-")[0], []).append(id)
    for number, ids in sorted(chapters.items(), key=lambda chapter: float(chapter[0])):
        marks = (MARKS.get(found.get(id, "")) for id in ids)
        line = " ".join(painted(*mark) if mark else NOT_TRIED for mark in marks)
        print(f"{number:4} {count(ids, found):>8}   {line}")
    print(f"     {count(list(registry()), found):>8}")
    print(told("a tick: solved; a dash: not yet right; a dot: not tried, or not saved"))


def count(ids: list[str], found: dict[str, str]) -> str:
    """How many of them are solved: 2 / 5."""
    return f"{sum(found.get(id) == 'ok' for id in ids)} / {len(ids)}"
