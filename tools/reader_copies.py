"""The reader's own copies of the chapters, in work/: the book stays as it is, whatever is written.

python tools/reader_copies.py              a copy of each chapter that has none, or an older one
python tools/reader_copies.py fresh 03     chapter 3 as the book has it; yours is kept beside it

`make lab` opens the copies. What a reader wrote is never written over: a copy is renewed only where
its cells are still those that it was made of. With the environment variable MINILDM_LANGUAGE=zh:
the copies of the Chinese edition, in outputs/zh/work.
"""

import argparse
import hashlib
import html
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from first_cell import NAME as FIRST
from lab import BOOK, COPIES, LANGUAGE, edition_folder
from nbformat import NotebookNode

sys.path.insert(0, str(BOOK / "chapters"))
from book.language import messages

# Of the notebook's metadata, what it is a copy of: {"file": its sum, "cells": their fingerprint}.
MARK = "minildm"
CELL = """\
# The book's own code lies here, for programs that do not know it
import sys
from pathlib import Path

sys.path.append(str(Path({chapters!r}).resolve()))"""
ANSWERS = re.compile(r"\bsaid\(")  # a cell that repeats the reader's guess beside the answer
KEPT = "{name} stays as you have it; the book's chapter is newer: make fresh CHAPTER={stem}"


def fingerprint(notebook: NotebookNode) -> str:
    """Of what a reader can write: kinds and sources of the cells, but the one the build adds."""
    cells = [[c.cell_type, c.source] for c in notebook.cells if c.get("id") != FIRST]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def reader_copy(original: NotebookNode, chapters: str) -> NotebookNode:
    """A chapter as a reader gets it, made in place.

    Its first cell finds the book's code in the folder ``chapters``.
    Each picture has its alternative text where JupyterLab looks for one: in HTML. What answers a
    question that the reader is asked before is folded.
    """
    for cell in original.cells:
        if cell.get("id") == FIRST:
            cell.source = CELL.format(chapters=chapters)
        for output in cell.get("outputs", []):
            add_html(output)
        if cell.get("outputs") and ANSWERS.search(cell.source):
            fold_answer(cell)
    return original


def fold_answer(cell: NotebookNode) -> None:
    """Fold a cell's outputs in JupyterLab until it is run; their first line stands there."""
    cell.metadata["jupyter"] = {**cell.metadata.get("jupyter", {}), "outputs_hidden": True}
    said = messages(LANGUAGE).say(
        "Your guess first; then run this cell. (Click here to see what came out for us.)"
    )
    cell.outputs.insert(0, nbformat.v4.new_output("stream", text=f"{said}\n"))


def add_html(output: NotebookNode) -> None:
    """Beside a picture with an alternative text, the same in HTML: JupyterLab then shows that."""
    data, alt = output.get("data", {}), output.get("metadata", {}).get("alt")
    if alt and "image/png" in data:
        source = "data:image/png;base64," + data["image/png"].replace("\n", "")
        data["text/html"] = f'<img alt="{html.escape(alt)}" src="{source}">'


def made_of(copy: NotebookNode | None) -> dict[str, str]:
    """What a copy says that it was made of; nothing where it does not say so."""
    return copy.metadata.get(MARK, {}) if copy else {}


def is_touched(copy: NotebookNode | None) -> bool:
    """Whether a reader has written into a copy; a file that does not know what it is, is theirs."""
    return copy is None or made_of(copy).get("cells") != fingerprint(copy)


def file_sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_copy(original: Path, target: Path) -> None:
    """Write the copy of one chapter, in one step."""
    chapters = os.path.relpath(BOOK / "chapters", target.parent).replace("\\", "/")
    notebook = nbformat.read(original, as_version=4)
    notebook.metadata[MARK] = {"file": file_sum(original), "cells": fingerprint(notebook)}
    reader_copy(notebook, chapters)
    part = target.with_name(target.name + ".part")
    part.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    part.replace(target)


def bring_up_to_date(folder: Path) -> Iterator[str]:
    """Copy folder/chapters to folder/work, where that loses nothing; say what stays behind."""
    (folder / COPIES).mkdir(exist_ok=True)
    for original in sorted((folder / "chapters").glob("*.ipynb")):
        target = folder / COPIES / original.name
        copy = read(target) if target.exists() else None
        if made_of(copy).get("file") == file_sum(original):
            continue
        if not target.exists() or not is_touched(copy):
            write_copy(original, target)
        elif made_of(copy).get("cells") != fingerprint(nbformat.read(original, as_version=4)):
            yield KEPT.format(name=f"{COPIES}/{target.name}", stem=original.stem)


def start_afresh(folder: Path, stem: str) -> str:
    """The book's chapter in the place of the reader's copy, which is kept; say where."""
    target = folder / COPIES / f"{stem}.ipynb"
    target.parent.mkdir(exist_ok=True)
    said = f"{COPIES}/{target.name} is the book's"
    if target.exists() and is_touched(read(target)):
        kept = free_name(target)
        target.replace(kept)
        said += f"; yours is now {COPIES}/{kept.name}"
    write_copy(folder / "chapters" / target.name, target)
    return said


def free_name(path: Path) -> Path:
    """NAME.yours-1.ipynb beside NAME.ipynb, or the first number that is free."""
    names = (path.with_name(f"{path.stem}.yours-{k}.ipynb") for k in range(1, sys.maxsize))
    return next(name for name in names if not name.exists())


def read(path: Path) -> NotebookNode | None:
    """A notebook; None where the file is none."""
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError, KeyError):
        return None


def main() -> int:
    """Bring all copies up to date, or start chapters afresh; 1 if no chapter has such a name."""
    parser = argparse.ArgumentParser(description="Your own copies of the chapters, in work/.")
    parser.add_argument("verb", nargs="?", choices=("fresh",), help="start chapters afresh")
    parser.add_argument("chapters", nargs="*", help="first letters of their names: 03")
    choice, folder = parser.parse_args(), edition_folder(BOOK)
    if choice.verb is None:
        for line in bring_up_to_date(folder):
            print(line)
        return 0
    stems = sorted(path.stem for path in (folder / "chapters").glob("*.ipynb"))
    found = [stem for stem in stems if stem.startswith(tuple(choice.chapters))]
    if not choice.chapters or not found:
        print(f"Name a chapter by its first letters, such as make fresh CHAPTER={stems[0][:2]}")
        print(f"There are {', '.join(stems)}")
        return 1
    for stem in found:
        print(start_afresh(folder, stem))
    return 0


if __name__ == "__main__":
    sys.exit(main())
