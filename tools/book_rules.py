"""The rules that every chapter keeps, as functions that return what is wrong, in sentences.

An empty list means that all is well. The builder (build_book.py) asks before it writes a notebook,
the tests (tests/repository/test_book.py) ask again of what is committed, and feed the rules broken
notebooks.
"""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from citations import cited, expand, read_bibliography
from crosslinks import WAY_ON, chapters, link_mentions, number_of, way_on
from first_cell import NAME as FIRST
from first_cell import address, first_cell
from nbformat import NotebookNode

BOOK = Path(__file__).resolve().parents[1]
CHAPTERS = BOOK / "chapters"
SOURCES = CHAPTERS / "source"
BIBLIOGRAPHY = CHAPTERS / "references.bib"

MAX_BYTES = 400_000
MIN_ALT = 20
MIN_EXERCISES = 3
IMPORTS = "imports"  # the cell of this name is folded in JupyterLab
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
CHECK_CALL = re.compile(r"\bcheck\(\s*[\"']([^\"']+)[\"']")
MARKDOWN_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}

# What each chapter says, and the word that a line (heading, bold lead-in, quote) opens with.
SECTIONS = ("Objectives", "Prerequisites", "Misconception", "Summary", "References")


# --- source ------------------------------------------------------------------------------------


def source_notebook(
    path: Path, bibliography: Path = BIBLIOGRAPHY, edition: Any = None
) -> NotebookNode:
    """The notebook that a text source stands for, without outputs: names become cell ids.

    Citations and mentions of other chapters become links; a last cell of text ends with the way on.
    The imports are folded, and after the title comes the cell that fetches the book.
    ``edition``: the book in another language (edition.py), whose text then takes its place.
    Raises `ValueError` with everything that is wrong with the source.
    """
    notebook = jupytext.read(path)
    problems = check_names(notebook)
    entries = read_bibliography(bibliography) if bibliography.exists() else {}
    keys = cited("\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"))
    problems += [f"cites [@{k}], not in {bibliography.name}" for k in keys if k not in entries]
    if problems:
        raise ValueError(f"{path.name}: " + "\n  ".join(["", *problems]))
    book, own = chapters(path.parent), number_of(path.stem)
    words = WAY_ON
    if edition:
        edition.translate(path.stem, notebook)
        book, words = edition.chapters, edition.way_on
    for cell in notebook.cells:
        cell.id = cell.metadata["name"]
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode({"tags": tags} if tags else {})
        if cell.id == IMPORTS:
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "markdown":
            cell.source = expand(link_mentions(cell.source, book, own), entries, keys)
    if notebook.cells[-1].cell_type == "markdown":
        notebook.cells[-1].source += way_on(book, own, words)
    notebook.cells.insert(1, first_cell(address()))
    language = {"name": "python", "pygments_lexer": "ipython3"}
    notebook.metadata = NotebookNode({"kernelspec": KERNELSPEC, "language_info": language})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def check_names(notebook: NotebookNode) -> list[str]:
    """Every cell of a source has its own name, fit for an id that never changes."""
    problems = []
    names = [cell.metadata.get("name") for cell in notebook.cells]
    for name, cell in zip(names, notebook.cells, strict=True):
        if name is None:
            how = ":name: short-name" if cell.cell_type == "code" else '+++ {"name": "short-name"}'
            problems.append(f"a {cell.cell_type} cell has no name, add {how}: {_start(cell)}")
        elif not NAME.fullmatch(name):
            problems.append(f"the name {name!r} is not lower-case letters, digits and hyphens")
        elif name == FIRST:
            problems.append(f"the name {name!r} is that of the cell which the build adds")
    counts = Counter(name for name in names if name)
    problems += [f"the name {name!r} occurs {n} times" for name, n in counts.items() if n > 1]
    return problems


def check_pairs(sources: Path = SOURCES, chapters: Path = CHAPTERS) -> list[str]:
    """Every source has its notebook, and every notebook its source."""
    have = {path.stem for path in sources.glob("*.md")}
    built = {path.stem for path in chapters.glob("*.ipynb")}
    problems = [f"{stem}.md was never built: run make book" for stem in sorted(have - built)]
    return problems + [f"{stem}.ipynb has no source" for stem in sorted(built - have)]


def check_inputs(notebook: NotebookNode, source: NotebookNode) -> list[str]:
    """The cells of a notebook, without outputs, are exactly those of its source."""
    ours, theirs = [[_input(c) for c in n.cells] for n in (notebook, source)]
    if ours == theirs:
        return []
    problems = [
        f"cell {a['id']!r} differs from the source in {', '.join(k for k in a if a[k] != b[k])}"
        for a, b in zip(ours, theirs, strict=False)
        if a != b
    ]
    if len(ours) != len(theirs):
        problems.append(f"{len(ours)} cells, but the source has {len(theirs)}")
    return [f"{problem}: edit the source, then run make book" for problem in problems]


def _input(cell: NotebookNode) -> dict:
    return {
        "id": cell.get("id"),
        "cell_type": cell.cell_type,
        "source": cell.source,
        "tags": list(cell.metadata.get("tags", [])),
        "folded": cell.metadata.get("jupyter", {}),
    }


# --- outputs -----------------------------------------------------------------------------------


def check_outputs(notebook: NotebookNode) -> list[str]:
    """Every cell was run, once, in order, without error, and left only what belongs on a page."""
    problems = []
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        problems.append(f"not a valid notebook: {str(error).splitlines()[0]}")
    if "widgets" in notebook.metadata:
        problems.append("metadata.widgets is stored: web pages then show 'Invalid Notebook'")
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    for expected, cell in enumerate(code, 1):
        count = cell.get("execution_count")
        if count is None:
            problems.append(f"{_start(cell)} was never executed")
        elif count != expected:
            problems.append(f"{_start(cell)} has execution count {count}, expected {expected}")
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                problems.append(f"{_start(cell)} ends in {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                problems.append(f"{_start(cell)} stores stderr")
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                problems.append(f"{_start(cell)} stores a widget that no web page can show")
            if any(place in str(output) for place in (str(BOOK), str(Path.home()))):
                problems.append(f"{_start(cell)} prints a path of the author's machine")
    return problems


def check_size(path: Path) -> list[str]:
    """A notebook stays small enough to be shown on the web."""
    size = path.stat().st_size
    return [f"{size:,} bytes, more than {MAX_BYTES:,}: fewer or smaller figures"] * (
        size > MAX_BYTES
    )


def check_alt(notebook: NotebookNode) -> list[str]:
    """Every picture, drawn by code or linked in the text, says what it shows."""
    problems = []
    for cell in notebook.cells:
        texts = []
        if cell.cell_type == "markdown":
            texts += MARKDOWN_IMAGE.findall(cell.source) + html_alts(cell.source)
        for output in cell.get("outputs", []):
            texts += picture_alts(output)
            texts += html_alts("".join(output.get("data", {}).get("text/html", "")))
        for alt in texts:
            if len(alt.strip()) < MIN_ALT:
                problems.append(
                    f"{_start(cell)}: a picture has the alternative text {alt!r}; say in at least "
                    f'{MIN_ALT} characters what it shows: show(fig, alt="...")'
                )
    return problems


def picture_alts(output: NotebookNode) -> list[str]:
    """The alternative texts of the pictures that an output holds; "" where one is missing."""
    metadata, found = output.get("metadata", {}), []
    for mime in (m for m in output.get("data", {}) if m.startswith("image/")):
        own = metadata.get(mime)
        own = own.get("alt") if isinstance(own, dict) else None
        found.append(own or metadata.get("alt") or "")
    return found


def html_alts(text: str) -> list[str]:
    """The alternative texts of all <img> in HTML or Markdown; "" where one is missing."""
    found: list[str] = []

    class Images(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                found.append(dict(attributes).get("alt") or "")

    Images().feed(text)
    return found


# --- content -----------------------------------------------------------------------------------


def check_sections(notebook: NotebookNode) -> list[str]:
    """A chapter has its parts, and says what it costs to run."""
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    problems = [
        f"no line opens with {word!r} (a heading, a bold lead-in or a quote)"
        for word in SECTIONS
        if not re.search(rf"^[#>*\-\d.\s]*{word}", text, re.MULTILINE | re.IGNORECASE)
    ]
    costs = [p for p in text.split("\n\n") if re.search(r"\bmeasured\b", p, re.IGNORECASE)]
    time, memory = r"\d\s*(s|seconds?|min|minutes?)\b", r"\d\s*(MB|GB|MiB|GiB)\b"
    if not any(re.search(time, p) and re.search(memory, p) for p in costs):
        problems.append("no paragraph says 'measured' with a time (42 s) and a memory (0.6 GB)")
    return problems


def exercise_ids(notebook: NotebookNode) -> list[str]:
    """The ids of the exercises that a chapter checks, in order."""
    code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    return list(dict.fromkeys(CHECK_CALL.findall(code)))


def check_exercises(notebook: NotebookNode, stem: str, registered: dict) -> list[str]:
    """The chapter's exercises are those of its module, each with its stub, and at least three.

    `registered` maps the ids of this chapter's exercises to objects with a `stub`.
    """
    used = exercise_ids(notebook)
    prefix = number_of(stem)
    problems = []
    if len(used) < MIN_EXERCISES:
        problems.append(f"{len(used)} exercises, fewer than {MIN_EXERCISES}")
    for id in used:
        if id not in registered:
            problems.append(f"exercise {id!r} is not in chapters/book")
        if not re.fullmatch(rf"{re.escape(prefix)}-\d+", id):
            problems.append(f"exercise {id!r} should be called {prefix}-N")
    problems += [f"exercise {id!r} is never asked" for id in registered if id not in used]
    cells = [c.source for c in notebook.cells if c.cell_type == "code"]
    for id, exercise in registered.items():
        if not any(in_order(exercise.stub, cell) for cell in cells):
            problems.append(f"the stub of exercise {id!r} is in no cell")
    return problems


def in_order(part: str, whole: str, skip: str | None = None) -> bool:
    """Whether the lines of `part` occur in `whole` in order; lines that contain `skip` may not."""
    lines = iter(line.strip() for line in whole.splitlines())
    wanted = [line.strip() for line in part.splitlines() if line.strip()]
    return all(line in lines for line in wanted if skip is None or skip not in line)


# --- all ---------------------------------------------------------------------------------------


def check_notebook(notebook: NotebookNode, source: NotebookNode) -> list[str]:
    """All rules that a built notebook must keep by itself."""
    problems = check_inputs(notebook, source) + check_outputs(notebook)
    return problems + check_alt(notebook) + check_sections(notebook)


def _start(cell: NotebookNode) -> str:
    """A cell as an author finds it again: its name, or its first line."""
    lines = cell.source.strip().splitlines()
    return f"cell {cell.get('id')!r} ({lines[0][:50] if lines else 'empty'})"
