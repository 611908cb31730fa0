"""Build the book: chapters/source/NAME.md -> chapters/NAME.ipynb, executed, one way.

    python tools/build_book.py                    every chapter
    python tools/build_book.py 04_3               the chapters whose name starts so
    python tools/build_book.py -k 04_3            only the text changed: run no code
    python tools/build_book.py --costs            run the chapters, and note only what that cost
    python tools/build_book.py --language zh      the book in Chinese, into outputs/zh

The kernel runs in chapters/, without network, on two threads. A notebook that breaks a rule of
book_rules.py is not written. What a run cost is noted in chapters/costs.json; chapter 0 reads that.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
from book_rules import (
    BOOK,
    CHAPTERS,
    SOURCES,
    check_notebook,
    check_size,
    source_notebook,
)
from first_cell import NAME as FIRST
from nbclient import NotebookClient
from nbformat import NotebookNode

COSTS = "costs.json"
KEPT = ("cellView", "jupyter", "tags")  # of a cell's metadata: what folds it, and its tags
PROGRESS_BAR = re.compile(r"\d+%\||\d+it \[")
WIDGET = "application/vnd.jupyter.widget-view+json"


def kernel_environment(threads: int = 1, language: str = "") -> dict[str, str]:
    """The environment that chapters run in: no network, few threads, no coloured output."""
    path = [str(BOOK / "tools" / "offline"), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(part for part in path if part),
        "OMP_NUM_THREADS": str(threads),
        "NO_COLOR": "1",
        "MINILDM_LANGUAGE": language,
    }


def execute(
    notebook: NotebookNode, folder: Path, threads: int = 2, timeout: int = 600, language: str = ""
) -> int:
    """Run all cells in place, in `folder`; return the kernel's peak memory in bytes."""
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    environment = {**os.environ, **kernel_environment(threads, language)}
    with client.setup_kernel(env=environment), peak_memory(client) as peak:
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    return peak[0]


@contextlib.contextmanager
def peak_memory(client: NotebookClient):
    """Watch the resident memory of the kernel; a list that ends up with the largest value."""
    process = psutil.Process(client.km.provisioner.pid)
    peak, stop = [0], threading.Event()

    def watch() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not stop.wait(0.2):
                peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def clean(notebook: NotebookNode) -> NotebookNode:
    """Drop, in place, what a page does not need: stderr, widgets, second copies, versions."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in KEPT})
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.get("name") == "stderr" and not PROGRESS_BAR.search(output.text):
                print(f"\n  dropped from {cell.id!r}: {output.text.strip()}", file=sys.stderr)
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        for output in cell.outputs:
            data = output.get("data", {})
            data.pop(WIDGET, None)
            if any(mime.startswith("image/") for mime in data):
                data.pop("text/html", None)  # the copy that show() makes for JupyterLab
            output.pop("transient", None)
    return notebook


def reuse_outputs(notebook: NotebookNode, built: NotebookNode) -> None:
    """Take the outputs of `built`, whose code must be the same; else `ValueError`.

    The cell that fetches the book may be another: it has no outputs.
    """
    new, old = [[c for c in n.cells if c.cell_type == "code"] for n in (notebook, built)]
    own, stored = [[c for c in cells if c.get("id") != FIRST] for cells in (new, old)]
    if [c.source for c in own] != [c.source for c in stored]:
        raise ValueError("the code changed: build without --keep-outputs")
    for cell, before in zip(own, stored, strict=True):
        cell.outputs = before.outputs
    for count, cell in enumerate(new, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


@contextlib.contextmanager
def in_one_step(path: Path):
    """A file beside `path`, which then takes its place: if stopped, the old one stays whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook that is small enough. Raises `ValueError` where it is not."""
    with in_one_step(path) as part:
        text = nbformat.writes(notebook).rstrip("\n") + "\n"
        part.write_text(text, encoding="utf-8", newline="\n")
        if problems := check_size(part):
            raise ValueError("\n  ".join(["", *problems]))


def timed(notebook: NotebookNode, folder: Path, threads: int = 2, timeout: int = 600) -> dict:
    """`execute`, and what it cost: {"seconds", "peak_gb", "threads"}; the kernel's start counts."""
    start = time.perf_counter()
    memory = execute(notebook, folder, threads, timeout)
    seconds = time.perf_counter() - start
    return {"peak_gb": round(memory / 1e9, 2), "seconds": round(seconds, 1), "threads": threads}


def note_cost(stem: str, cost: dict, folder: Path = CHAPTERS) -> str:
    """Put one chapter's cost into the folder's costs.json, in one step; return it in words."""
    path = folder / COSTS
    costs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = json.dumps({**costs, stem: cost}, indent=1, sort_keys=True) + "\n"
    with in_one_step(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return f"{cost['seconds']:.0f} s, {cost['peak_gb']:.1f} GB"


def measure(source: Path, folder: Path = CHAPTERS, **options: int) -> str:
    """Run one chapter and note what that cost; its notebook stays as it is."""
    return note_cost(source.stem, timed(source_notebook(source), folder, **options), folder)


def build(source: Path, folder: Path = CHAPTERS, *, keep: bool = False, **options: int) -> str:
    """Build one chapter into `folder`; say what it cost. `ValueError` lists the broken rules."""
    target = folder / f"{source.stem}.ipynb"
    notebook, cost = source_notebook(source), None
    if keep:
        reuse_outputs(notebook, nbformat.read(target, as_version=4))
    else:
        cost = timed(notebook, folder, **options)
    clean(notebook)
    if problems := check_notebook(notebook, source_notebook(source)):
        raise ValueError("\n  ".join(["", *problems]))
    write(notebook, target)
    said = note_cost(source.stem, cost, folder) if cost else "outputs kept"
    return f"{said}, {target.stat().st_size / 1000:.0f} kB"


def builder(language: str, costs: bool, options: dict[str, Any]) -> Callable[[Path], str]:
    """What builds one source as the command line asks for it, and says what that cost."""
    if costs:
        return lambda path: measure(path, **options)
    if not language:
        return lambda path: build(path, **options)
    sys.path.insert(0, str(CHAPTERS))
    import edition  # needs the book, and this module

    wanted = edition.Edition(language)
    wanted.write_documents()
    return lambda path: edition.build(path.stem, wanted, **options)


def main() -> int:
    """Build the chapters named on the command line; 1 if one of them could not be built."""
    parser = argparse.ArgumentParser(description="Build the book's notebooks from their sources.")
    parser.add_argument("chapters", nargs="*", help="first letters of names; default: all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-k", "--keep-outputs", action="store_true", help="only the text changed")
    how.add_argument("--costs", action="store_true", help="run, and write costs.json alone")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", 2)))
    parser.add_argument("--language", default="", help="zh: the translation, into outputs/zh")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one cell")
    choice = parser.parse_args()
    sources = [
        path
        for path in sorted(SOURCES.glob("*.md"))
        if not choice.chapters or path.stem.startswith(tuple(choice.chapters))
    ]
    if not sources:
        print(f"no chapter in {SOURCES.relative_to(BOOK)} matches {choice.chapters}")
        return 1
    failed = 0
    options = {"threads": choice.threads, "timeout": choice.timeout}
    if choice.keep_outputs:
        options = {"keep": True}
    make = builder(choice.language, choice.costs, options)
    for path in sources:
        print(f"{path.stem} ... ", end="", flush=True)
        try:
            print(make(path))
        except Exception as error:  # a failing cell too: say so, then build the others
            print(f"NOT BUILT: {error}")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
