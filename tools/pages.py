"""Make the generated pages of docs/: every numbered equation, and every erratum.

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
from minildm.files.checkpoint import replace_files


def chapter_file(prefix: str) -> str:
    """The name, without ending, of the chapter whose file begins with ``prefix``."""
    [path] = (BOOK / "chapters" / "source").glob(f"{prefix}_[a-z]*.md")
    return path.stem


def equations() -> str:
    """One row per numbered equation: number, what it says, chapter, code."""
    lines = [
        "# Equations",
        "",
        "Every numbered equation of the book, where it is printed, and the code that computes it.",
        "Each has a check in `tests/equations/` that compares the printed formula with that code;",
        "`make test` fails if one is missing or wrong. Made by `make pages`.",
        "",
        "| equation | what | chapter | code |",
        "|---|---|---|---|",
    ]
    for e in registered():
        code = e.function.removeprefix("cell ")
        code = f"cell `{code}`" if e.function.startswith("cell ") else f"`{code}`"
        lines.append(f"| ({e.id}) | {e.what} | {_link(e.chapter)} | {code} |")
    return "\n".join(lines) + "\n"


def errata() -> str:
    """One row per erratum: what the article says, what is the case, where it is shown and kept."""
    lines = [
        "# Errata of the article",
        "",
        "What the article says, what is the case, the cells that show it by running something, and",
        "the checks that keep it shown. Made by `make pages`.",
        "",
        "| | section | the article says | what is the case | shown in | kept by |",
        "|---|---|---|---|---|---|",
    ]
    for e in ERRATA:
        shown = _cells(e.cells) or "not yet"
        lines.append(_row(e.number, e.section, e.says, e.case, shown, _checks(e.checks)))
    return "\n".join(lines) + "\n"


def article() -> str:
    """One row per formula, claim and step of the article: what the book finds, cell and check."""
    lines = [
        "# The article, item by item",
        "",
        "What the article says, whether it holds when it is run, the cells that run it, and",
        "the checks that keep it so. Its text ends in 4.3; sections 5 to 9 are announced in",
        "its 1.4. What is wrong has a number in the [errata](errata.md). Made by `make pages`.",
    ]
    for section, title in SECTIONS.items():
        lines += ["", f"## {section} {title}", ""]
        lines += ["| | the article | when run | cells | checks |", "|---|---|---|---|---|"]
        for item in (item for item in ITEMS if item.section == section):
            verdict = item.verdict + (f" (erratum {item.erratum})" if item.erratum else "")
            verdict += f". {item.note}" if item.note else ""
            shown, kept = _cells(item.cells), _checks(item.checks)
            lines.append(_row(item.kind, item.says, verdict, shown, kept))
    return "\n".join(lines) + "\n"


def glossary() -> str:
    """One row per term: English, Chinese, meaning, where it is explained."""
    lines = [
        "# Glossary",
        "",
        "The terms of the book, with the Chinese ones of the article. Made by `make pages`.",
        "",
        "| term | in the article | meaning | explained in |",
        "|---|---|---|---|",
    ]
    for term in TERMS:
        where = _cells([(term.chapter, place(term))])
        lines.append(_row(term.english, term.chinese, term.meaning, where))
    return "\n".join(lines) + "\n"


@cache
def _texts(chapter: str) -> list[tuple[str, str]]:
    """(cell, text) of all text cells of the chapter whose file begins with ``chapter``."""
    [path] = SOURCES.glob(f"{chapter}_[a-z]*.md")
    cells = jupytext.read(path).cells
    return [(c.metadata["name"], c.source) for c in cells if c.cell_type == "markdown"]


def place(term: Term) -> str:
    """The text cell that explains a term: the first one where it is emphasised or in a heading,
    else the first one that contains it. Raises ValueError where none does.
    """
    word = rf"(?<!\w){re.escape(term.written or term.english)}"
    marked = re.compile(
        rf"^#.*{word}|\*[^*\n]{{0,30}}{word}[^*\n]{{0,30}}\*", re.IGNORECASE | re.MULTILINE
    )
    found = [
        (name, text) for name, text in _texts(term.chapter) if re.search(word, text, re.IGNORECASE)
    ]
    # Objectives and prerequisites name a term; what comes after them explains it.
    found = [
        cell for cell in found if cell[0] not in ("title", "objectives", "references")
    ] or found
    found = [cell for cell in found if term.cell in ("", cell[0])]
    if not found:
        raise ValueError(f"chapter {term.chapter} {term.cell} does not contain {term.english!r}")
    return next((name for name, text in found if marked.search(text)), found[0][0])


def index_of_figures() -> str:
    """One row per figure of the built notebooks: chapter, cell, and what it shows."""
    lines = [
        "# Figures",
        "",
        "Every figure of the book, the cell that draws it, and what is to be seen. The numbered",
        "equations are on [a page of their own](equations.md). Made by `make pages`.",
    ]
    for chapter in chapters(SOURCES).values():
        notebook = nbformat.read(CHAPTERS / f"{chapter.stem}.ipynb", as_version=4)
        rows = [
            _row(f"`{cell.id}`", " ".join(alt.split()))
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            for alt in picture_alts(output)
        ]
        head = f"## {_link(chapter.stem)} {chapter.title.split(' ', 1)[1]}"
        lines += ["", head, "", "| cell | what it shows |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _row(*cells: object) -> str:
    """A row of a table, whatever its cells hold."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _cells(cells: Iterable[tuple[str, str]]) -> str:
    """(chapter prefix, cell), ..: each with a link to its chapter."""
    return ", ".join(f"{_link(chapter_file(prefix))} `{cell}`" for prefix, cell in cells)


def _checks(checks: Iterable[str]) -> str:
    """Tests by their names, equations by their numbers."""
    return ", ".join(f"`{c.split('::')[1]}`" if "::" in c else f"({c})" for c in checks)


def figures() -> str:
    """The README's table: what the text-to-image models do, from data/results.json."""
    results = json.loads((BOOK / "data" / "results.json").read_text(encoding="utf-8"))
    shapes, table = results["shapes"], results["pixels"]
    rows = {
        "unseen captions, 25 evaluations per branch": "unseen_captions",
        "the same, by plain DDIM": "unseen_captions_ddim",
        "pairs of colour and shape never seen together in training": "held_out_combinations",
        "8 evaluations per branch, DPM-Solver++(2M)": "few_evaluations_dpmpp_2m",
    }
    lines = [
        "| asked for | right in all ten attributes, mean | over seeds | each at least (95 %) |"
    ]
    lines.append("|---|---|---|---|")
    for what, name in rows.items():
        joint, runs = shapes[name]["joint"], shapes[name]["runs"]
        bound = min(run["lower_bound_95"] for run in runs)
        band = f"{joint['min']:.1%} to {joint['max']:.1%}"
        lines.append(f"| {what} | {joint['mean']:.1%} | {band} | {bound:.1%} |")
    lines += [
        "",
        "The same task by diffusion on latents and on pixels, trained for the same time:",
        "",
    ]
    lines += ["| | training | right | operations per image | 16 images |", "|---|---|---|---|---|"]
    for name in ("latents", "pixels"):
        r = table[name]
        lines.append(
            f"| {name} | {r['training_seconds']['sum'] / 60:.0f} minutes | "
            f"{r['joint']['mean']:.1%} | {r['gflop_per_image']:.1f} GFLOP | "
            f"{r['seconds_for_16_images']['median']:.1f} s |"
        )
    return "\n".join(lines) + "\n"


def readme(text: str) -> str:
    """The README with the table of ``figures`` at its place."""
    head, rest = text.split(START)
    return f"{head}{START}\n{figures()}{END}{rest.split(END, 1)[1]}"


def _link(chapter: str) -> str:
    return f"[{number_of(chapter)}](../chapters/{chapter}.ipynb)"


START, END = "<!-- figures: made by `make pages` -->", "<!-- end -->"
PAGES = {
    "article.md": article,
    "equations.md": equations,
    "errata.md": errata,
    "figures.md": index_of_figures,
    "glossary.md": glossary,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        replace_files(BOOK / "docs", {name: make().encode()})
        print(f"docs/{name}")
    page = readme((BOOK / "README.md").read_text(encoding="utf-8"))
    replace_files(BOOK, {"README.md": page.encode()})
    print("README.md")
