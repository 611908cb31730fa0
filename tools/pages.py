"""Make the generated pages of docs/, and the table of figures in the README.

python tools/pages.py
"""

import json
import re
import sys
from collections.abc import Iterable
from functools import cache

import jupytext
import nbformat
from book_rules import BOOK, CHAPTERS, SOURCES, picture_alts
from crosslinks import chapters, number_of
from registry import registered

sys.path.insert(0, str(CHAPTERS))

from book.article.errata import ERRATA
from book.article.glossary import TERMS, Term
from book.article.items import ITEMS, SECTIONS
from book.ch00_start.notation import table
from minildm.files.checkpoint import replace_files


def equations() -> str:
    """One row per numbered equation: number, what it says, chapter, code."""

    def code(function: str) -> str:
        cell = function.startswith("cell ")
        return f"cell `{function.removeprefix('cell ')}`" if cell else f"`{function}`"

    rows = [(f"({e.id})", e.what, _link(e.chapter), code(e.function)) for e in registered()]
    return _page(
        "Equations",
        "Every numbered equation of the book, where it is printed, and the code that computes it.\n"
        "Each has a check in `tests/equations/` that compares the printed formula with that code;\n"
        "`make test` fails if one is missing or wrong. Made by `make pages`.",
        _table("| equation | what | chapter | code |", rows),
    )


def errata() -> str:
    """One row per erratum: what the article says, what is the case, where it is shown and kept."""
    rows = [
        (e.number, e.section, e.says, e.case, _cells(e.cells), _checks(e.checks)) for e in ERRATA
    ]
    return _page(
        "Errata of the article",
        "What the article says, what is the case, the cells that show it by running something, "
        "and\nthe checks that keep it shown. Made by `make pages`.",
        _table("| | section | the article says | what is the case | shown in | kept by |", rows),
    )


def article() -> str:
    """One row per formula, claim and step of the article: what the book finds, cell and check."""

    def row(item) -> tuple:
        verdict = item.verdict + (f" (erratum {item.erratum})" if item.erratum else "")
        verdict += f". {item.note}" if item.note else ""
        return item.kind, item.says, verdict, _cells(item.cells), _checks(item.checks)

    parts = []
    for section, title in SECTIONS.items():
        rows = [row(item) for item in ITEMS if item.section == section]
        head = "| | the article | when run | cells | checks |"
        parts += [f"## {section} {title}", _table(head, rows)]
    return _page(
        "The article, item by item",
        "What the article says, whether it holds when it is run, the cells that run it, and\n"
        "the checks that keep it so. Its text ends in 4.3; sections 5 to 9 are announced in\n"
        "its 1.4. What is wrong has a number in the [errata](errata.md). Made by `make pages`.",
        *parts,
    )


def glossary() -> str:
    """One row per term: English, Chinese twice, meaning, where it is explained."""
    rows = [
        (t.english, t.article, t.usual, t.meaning, _cells([(t.chapter, place(t))])) for t in TERMS
    ]
    return _page(
        "Glossary",
        "The terms of the book. The second column is the article's word, where it has one for "
        "this; the third is what is usual in Chinese today. Made by `make pages`.",
        _table("| term | in the article | usual in Chinese | meaning | explained in |", rows),
    )


def notation() -> str:
    """One row per symbol: its name in the code, what it means, its shape, where it lives."""
    return _page(
        "Notation",
        "Each symbol of the book, its name in the code, and where in `minildm/` that name lives.\n"
        "A test looks each of them up. Made by `make pages`.",
        table(),
    )


@cache
def _texts(prefix: str) -> list[tuple[str, str]]:
    """(cell, text) of all text cells of the chapter whose file begins with ``prefix``."""
    cells = jupytext.read(SOURCES / f"{chapter_file(prefix)}.md").cells
    return [(c.metadata["name"], c.source) for c in cells if c.cell_type == "markdown"]


def place(term: Term) -> str:
    """The text cell that explains a term: the first one where it is emphasised or in a heading,
    else the first one that contains it. Raises ValueError where none does.
    """
    word = rf"(?<!\w){re.escape(term.written or term.english)}"
    marked = rf"(?im)^#.*{word}|\*[^*\n]{{0,30}}{word}[^*\n]{{0,30}}\*"
    found = [cell for cell in _texts(term.chapter) if re.search(word, cell[1], re.IGNORECASE)]
    # Objectives and prerequisites name a term; what comes after them explains it.
    after = [cell for cell in found if cell[0] not in ("title", "objectives", "references")]
    found = [cell for cell in after or found if term.cell in ("", cell[0])]
    if not found:
        raise ValueError(f"chapter {term.chapter} {term.cell} does not contain {term.english!r}")
    return next((name for name, text in found if re.search(marked, text)), found[0][0])


def index_of_figures() -> str:
    """One row per figure of the built notebooks: chapter, cell, and what it shows."""
    parts = []
    for chapter in chapters(SOURCES).values():
        notebook = nbformat.read(CHAPTERS / f"{chapter.stem}.ipynb", as_version=4)
        rows = [
            (f"{_place(chapter.stem, cell.id)} `{cell.id}`", " ".join(alt.split()))
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            for alt in picture_alts(output)
        ]
        parts.append(f"## {_link(chapter.stem)} {chapter.title.split(' ', 1)[1]}")
        parts.append(_table("| cell | what it shows |", rows))
    return _page(
        "Figures",
        "Every figure of the book, the cell that draws it, and what is to be seen. The numbered\n"
        "equations are on [a page of their own](equations.md). Made by `make pages`.",
        *parts,
    )


def figures() -> str:
    """The README's tables: what the text-to-image models do, from data/results.json."""
    results = json.loads((BOOK / "data" / "results.json").read_text(encoding="utf-8"))
    asked = {
        "unseen captions, 25 evaluations per branch": "unseen_captions",
        "the same, by plain DDIM": "unseen_captions_ddim",
        "pairs of colour and shape never seen together in training": "held_out_combinations",
        "8 evaluations per branch, DPM-Solver++(2M)": "few_evaluations_dpmpp_2m",
    }
    rows = []
    for what, name in asked.items():
        joint, runs = results["shapes"][name]["joint"], results["shapes"][name]["runs"]
        band = f"{joint['min']:.1%} to {joint['max']:.1%}"
        least = min(run["lower_bound_95"] for run in runs)
        rows.append((what, f"{joint['mean']:.1%}", band, f"{least:.1%}"))
    spaces = []
    for name in ("latents", "pixels"):
        r = results["pixels"][name]
        minutes, seconds = r["training_seconds"]["sum"] / 60, r["seconds_for_16_images"]["median"]
        right, gflop = f"{r['joint']['mean']:.1%}", f"{r['gflop_per_image']:.1f} GFLOP"
        spaces.append((name, f"{minutes:.0f} minutes", right, gflop, f"{seconds:.1f} s"))
    emoji, drawn = results["emoji"], []
    for what, name in {
        "names that it has learned": "training_captions",
        "people whose role, gender and skin tone were never shown together":
            "held_out_combinations",
    }.items():
        first = emoji[name]["top_1"]
        band = f"{first['min']:.1%} to {first['max']:.1%}"
        drawn.append((what, f"{first['mean']:.1%}", band))
    for what, name in {
        "the same, by the nearest drawing that it has learned": "copier",
        "by a mean of its neighbours in skin tone": "blender",
        "by repainting the skin of a neighbour": "repainter",
    }.items():
        drawn.append((what, f"{emoji[name]['top_1']:.1%}", ""))
    head = "| asked for | right in all ten attributes, mean | over seeds | each at least (95 %) |"
    parts = [
        _table(head, rows),
        "The same task by diffusion on latents and on pixels, trained for the same time:",
        _table("| | training | right | operations per image | 16 images |", spaces),
        "And real drawings: how often, of all 3,709, the nearest one is what was asked for,\n"
        "beside controls that can only copy, mix or repaint what the model has learned:",
        _table("| asked for | right, mean | over seeds |", drawn),
    ]
    return "\n\n".join(parts) + "\n"


def readme(text: str) -> str:
    """The README with the tables of ``figures`` at their place."""
    head, rest = text.split(START)
    return f"{head}{START}\n{figures()}{END}{rest.split(END, 1)[1]}"


def chapter_file(prefix: str) -> str:
    """The name, without ending, of the chapter whose file begins with ``prefix``."""
    [path] = SOURCES.glob(f"{prefix}_[a-z]*.md")
    return path.stem


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *parts]) + "\n"


def _table(head: str, rows: Iterable[tuple]) -> str:
    """A table in Markdown, whatever its cells hold."""
    cells = ([str(cell).replace("|", "\\|") for cell in row] for row in rows)
    rule = "|---" * (head.count("|") - 1) + "|"
    return "\n".join([head, rule, *(f"| {' | '.join(row)} |" for row in cells)])


def _cells(cells: Iterable[tuple[str, str]]) -> str:
    """(chapter prefix, cell), ..: each with its section, which links to the cell."""
    return ", ".join(f"{_place(chapter_file(prefix), cell)} `{cell}`" for prefix, cell in cells)


def _place(chapter: str, cell: str) -> str:
    """The section that a cell stands in, as a link: JupyterLab goes to the cell itself."""
    return f"[{_sections(chapter)[cell]}](../chapters/{chapter}.ipynb#cell-id={cell})"


@cache
def _sections(chapter: str) -> dict[str, str]:
    """Each cell of a chapter, and the number of its section: 4.2.3; before the first, 4.2."""
    found, section = {}, number_of(chapter)
    for cell in jupytext.read(SOURCES / f"{chapter}.md").cells:
        own = SECTION.findall(cell.source) if cell.cell_type == "markdown" else []
        numbers = own or [section]  # a cell of text may hold more than one
        found[cell.metadata["name"]], section = numbers[0], numbers[-1]
    return found


def _checks(checks: Iterable[str]) -> str:
    """Tests by their names, equations by their numbers."""
    return ", ".join(f"`{c.split('::')[1]}`" if "::" in c else f"({c})" for c in checks)


def _link(chapter: str) -> str:
    return f"[{number_of(chapter)}](../chapters/{chapter}.ipynb)"


SECTION = re.compile(r"^#{1,4} (\d+(?:\.\d+)*)[. ]", re.MULTILINE)
START, END = "<!-- figures: made by `make pages` -->", "<!-- end -->"
PAGES = {
    "article.md": article,
    "equations.md": equations,
    "errata.md": errata,
    "figures.md": index_of_figures,
    "glossary.md": glossary,
    "notation.md": notation,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        replace_files(BOOK / "docs", {name: make().encode()})
        print(f"docs/{name}")
    page = readme((BOOK / "README.md").read_text(encoding="utf-8"))
    replace_files(BOOK, {"README.md": page.encode()})
    print("README.md")
    from course import syllabus

    syllabus()
    print("course/README.md")
