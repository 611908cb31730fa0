"""Who has solved what: a table from students' notebooks.

python tools/course.py grade FOLDER          the replies of `check` that are stored there
python tools/course.py grade FOLDER --run    every notebook is run again first: slower, and certain

A student is a folder in FOLDER, or a notebook that lies in it directly. Stored replies can be typed
in by hand; `--run` runs what students wrote, so do that where it can do no harm.
"""

import re
from pathlib import Path

import nbformat
from book_rules import CHAPTERS
from nbformat import NotebookNode

from book.exercises_solved import replies

MARKS = {"ok": "x", "not yet": "-", "todo": "."}


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook, run from top to bottom with `folder` as its place; errors stop no cell."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=600, allow_errors=True,
                   resources={"metadata": {"path": str(folder)}}).execute()  # fmt: skip
    return notebook


def students(folder: Path, again: bool = False) -> dict[str, dict[str, str]]:
    """Student -> exercise -> reply, from all notebooks of a folder."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        inside = path.relative_to(folder).parts
        name = inside[0] if len(inside) > 1 else path.stem
        notebook = nbformat.read(path, as_version=4)
        found.setdefault(name, {}).update(replies(run(notebook, CHAPTERS) if again else notebook))
    return found


def table(found: dict[str, dict[str, str]]) -> str:
    """A line for each student: x solved, - not yet, . not tried, blank where it was not asked."""
    ids = sorted({id for solved in found.values() for id in solved}, key=_order)
    width = max((len(name) for name in found), default=0)
    lines = [" " * width + "  solved  " + "  ".join(ids)]
    for name, solved in found.items():
        marks = (MARKS.get(solved.get(id, ""), " ").center(len(id)) for id in ids)
        count = f"{sum(kind == 'ok' for kind in solved.values())}/{len(ids)}"
        lines.append(f"{name:{width}}  {count:>6}  " + "  ".join(marks))
    return "\n".join(line.rstrip() for line in lines)


def _order(id: str) -> list[int]:
    return [int(part) for part in re.split(r"[.-]", id)]

