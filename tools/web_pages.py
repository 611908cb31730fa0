"""The pages of the web edition, as Sphinx reads them: copies of the notebooks and documents.

stage(out, ...)       everything that a build reads, into one folder; only what changed is written
notebook_page(...)    one notebook: its outputs, with folds, hints, solutions, places for widgets

Nothing is executed. A page's text is the notebook's, word for word, so that a translation can be
keyed to it; what links pages to one another is added later, in `web_doctree`.
"""

import base64
import html
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
from book_rules import picture_alts
from crosslinks import Chapter
from edition import Edition, Place
from first_cell import NAME as FIRST
from nbformat import NotebookNode

from book.language import Messages

BOOK = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "glossary", "notation", "equations", "figures", "errata", "article", "stable_diffusion",
    "going_on", "architecture",
)  # fmt: skip
PLAIN = (
    "CONTRIBUTING.md", "CHANGELOG.md", "course/README.md", "data/README.md", "benchmarks/README.md",
)  # fmt: skip
PARTS = {  # title of a part: the first digits of its chapters
    "Begin": "0123",
    "The mathematics": "4",
    "The model, part by part": "5",
    "Use it, and go on": "678",
    "Questions and mistakes": "9",
}
GALLERY = (  # chapter, cell with a figure, what to say under it
    ("03_algorithm", "film", "A digit appears out of noise"),
    ("05_5_text_to_image", "word-maps", "Where each word looks"),
    ("04_3_gaussian_case", "evolution", "A cloud of points dissolves, exactly"),
    ("04_4_schedule_lab", "four-schedules", "Four noise schedules"),
    ("06_applications", "inpaint-live", "A part drawn anew"),
    ("09_1_bug_museum", "blind-test", "Which one is broken?"),
)
FOLD_CODE, FOLD_RESULT = "hide-input", "hide-output"
ANSWERED = re.compile(r'\bcheck\(\s*"([^"]+)"')
HINT = re.compile(r'^hint\("([^"]+)"\)$')
DRAWING = re.compile(r"(?:show|show_moving)\(.*\)", re.DOTALL)
JUPYTER_ANCHOR = re.compile(r"(\]\((?:[\w./-]+\.ipynb)?#)([^)\s]+)\)")
CELL_ANCHOR = re.compile(r"\.ipynb#cell-id=[\w-]+")
WIDGET = re.compile(
    r"LatentWalk\(repair=(\w+)\)|ScheduleExplorer\((?!your own)([\w ]+), T = (\d+)\)"
)
LINKED_FILE = re.compile(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)")


Say = Callable[..., str]


def plain(text: str, *values: object) -> str:
    """What the pages say, as it is written: with values for {0}, {1} .."""
    return Messages.filled(text, values)


# --- notebooks ---------------------------------------------------------------------------------


def notebook_page(
    notebook: NotebookNode,
    chapter: Chapter,
    cost: Mapping[str, Any],
    exercises: Mapping[str, Any],
    say: Say = plain,
) -> NotebookNode:
    """A notebook as a page. `exercises` maps ids to objects with a `hint` and a `solution`.

    `say` puts what the page says beside the notebook's text into another language.
    """
    page = nbformat.from_dict(notebook)
    cells = []
    for cell in page.cells:
        if cell.id == FIRST:  # on the page nothing runs
            continue
        cell.metadata["book_cell"] = cell.id
        if cell.cell_type == "markdown":
            cell.source = f'<div id="{cell.id}"></div>\n\n{with_slugs(cell.source)}'
        else:
            fold(cell, say)
            put_widgets(cell)
            cell.metadata["book_alts"] = [alt for out in cell.outputs for alt in picture_alts(out)]
        cells += [cell, *help_cells(cell, exercises, say)]
    cells.insert(1, text_cell("run-this-chapter", run_box(chapter, cost, say)))
    page.cells = cells
    return page


def text_cell(id: str, source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source, id=id)


def with_slugs(text: str) -> str:
    """Links to headings as Sphinx names them: `#421-two-gaussians` of `#4.2.1-Two-Gaussians`."""
    return JUPYTER_ANCHOR.sub(lambda m: f"{m[1]}{slug(m[2])})", text)


def slug(anchor: str) -> str:
    """The anchor that GitHub gives to a heading, from the one that JupyterLab gives."""
    return re.sub(r"[^\w\- ]", "", unquote(anchor).lower()).replace(" ", "-")


def fold(cell: NotebookNode, say: Say = plain) -> None:
    """Fold what a reader of the page may skip: imports, drawing, and a hint before it is wanted."""
    tags, code = cell.metadata.setdefault("tags", []), cell.source.strip()
    if cell.id == "imports":
        tags.append(FOLD_CODE)
        prompts(cell, say("The imports of this chapter"))
    elif HINT.match(code):
        tags.append(FOLD_RESULT)
        prompts(cell, say("The hint"))
    elif only_draws(code):
        tags.append(FOLD_CODE)
        prompts(cell, say("The code that draws this"))


def prompts(cell: NotebookNode, words: str) -> None:
    cell.metadata["mystnb"] = {"code_prompt_show": words, "code_prompt_hide": words}


def only_draws(code: str) -> bool:
    """Whether a cell is one call of `show`, over several lines or in one."""
    lines = code.splitlines()
    inner = all(line.startswith((" ", ")")) or not line for line in lines[1:])
    return bool(DRAWING.fullmatch(code)) and inner


def put_widgets(cell: NotebookNode) -> None:
    """Where a widget's name stands for it, a place that `book.js` fills with its twin."""
    for output in cell.outputs:
        match = WIDGET.fullmatch("".join(output.get("data", {}).get("text/plain", "")))
        if match is None:
            continue
        repair, kind, steps = match.groups()
        options = {"repair": repair == "True"} if repair else {"kind": kind, "T": int(steps)}
        name = "latent-walk" if repair else "schedule-explorer"
        said = html.escape(json.dumps(options))
        text = f'<div class="book-widget" data-widget="{name}" data-options="{said}"></div>'
        output.data = NotebookNode({"text/html": text})


def help_cells(
    cell: NotebookNode, exercises: Mapping[str, Any], say: Say = plain
) -> Iterator[NotebookNode]:
    """The hint and the solution of an exercise, folded, after the cell that checks the answer."""
    if cell.cell_type != "code":
        return
    for id in ANSWERED.findall(cell.source):
        if id not in exercises:
            continue
        name, exercise = id.replace(".", "-"), exercises[id]
        nudge = html.escape(say(exercise.hint), quote=False)
        hint = f"{folded(say('Hint'))}\n\n{nudge}\n\n</details>"
        code = f"```python\n{exercise.solution.strip()}\n```"
        solution = f"{folded(say('Solution'))}\n\n{code}\n\n</details>"
        yield text_cell(f"help-{name}", f"{hint}\n\n{solution}")


def folded(title: str) -> str:
    return f'<details class="book-help">\n<summary>{title}</summary>'


def run_box(chapter: Chapter, cost: Mapping[str, Any], say: Say = plain) -> str:
    """How to run this chapter, and what that takes, as `make book` measured it."""
    takes = f"{cost['seconds']:.0f}", f"{cost['threads']}", f"{cost['peak_gb']:.1f}"
    title = say("Run this chapter")
    parts = [
        say("On this page nothing runs: the results are those of the book's own run. To change a "
            "cell and see what happens, open the notebook on your machine. In a copy of the book's "
            "folder:"),
        say("```bash\nmake lab    # then open chapters/{0}.ipynb\n```", chapter.stem),
        say("All its cells together take about {0} s on {1} threads, {2} GB of memory; no GPU and "
            "no network.", *takes)
        + " " + say("[More ways to start](../README.md#start).")
        + f' <a href="../files/{chapter.stem}.ipynb" download>'
        + say("This notebook, as a file.") + "</a>",
    ]  # fmt: skip
    text = "\n\n".join(parts)
    return f":::{{admonition}} {title}\n:class: tip dropdown\n{text}\n:::"


# --- the first page ----------------------------------------------------------------------------


def index_page(
    template: str, book: Mapping[str, Chapter], gallery: list[str], say: Say = plain
) -> str:
    """The first page: its text from web/index.md, the gallery, and the table of contents."""
    lists = [f"```{{toctree}}\n:hidden:\n:caption: {say(title)}\n\n{names}\n```"
             for title, names in contents(book).items()]  # fmt: skip
    text = template.replace("<!-- gallery -->", "\n".join(gallery))
    return "\n\n".join([text.rstrip(), *lists]) + "\n"


def contents(book: Mapping[str, Chapter]) -> dict[str, str]:
    """The parts of the book and their pages, a line each."""
    parts = {
        title: "\n".join(f"chapters/{c.stem}" for n, c in book.items() if n[0] in digits)
        for title, digits in PARTS.items()
    }
    look_up = [f"docs/{name}" for name in (*DOCUMENTS[:5], "references", *DOCUMENTS[5:])]
    return parts | {"Look up": "\n".join(["README", *look_up])}


def gallery_items(chapter_folder: Path, out: Path, say: Say = plain) -> list[str]:
    """Figures of the chapters, each a link to where it is drawn; the pictures go to `out`."""
    items = []
    for stem, name, words in GALLERY:
        notebook = nbformat.read(chapter_folder / f"{stem}.ipynb", as_version=4)
        [cell] = [cell for cell in notebook.cells if cell.id == name]
        picture = next(o for o in cell.outputs if "image/png" in o.get("data", {}))
        file = f"{stem}-{name}.png"
        write_bytes(out / file, base64.b64decode(picture.data["image/png"]))
        alt = say(picture.metadata["image/png"]["alt"]).replace("[", "(").replace("]", ")")
        target = f"chapters/{stem}.ipynb"
        caption = f"[{say(words)}]({target})"
        items.append(f":::{{figure}} gallery/{file}\n:alt: {alt}\n\n{caption}\n:::\n")
    return items


# --- documents ---------------------------------------------------------------------------------


def document_page(text: str, listed: bool = True) -> str:
    """A document as a page: a diagram that needs a program of its own is shown as its text.

    `listed`: it stands in the table of contents.
    """
    head = "" if listed else "---\norphan: true\n---\n\n"
    # Here a cell is found by its name, which stands beside the link (web_doctree.link_cells).
    text = CELL_ANCHOR.sub(".ipynb", text)
    return head + text.replace("```mermaid", "```text")


def references_page(
    entries: Mapping[str, Mapping[str, str]], line: Any, say: Say = plain
) -> str:
    """All works that the book cites, in one list; `line` writes one of them."""
    order = sorted(entries, key=lambda key: (entries[key]["author"], entries[key]["year"]))
    works = "\n".join(f"- {line(entries[key])}" for key in order)
    head = say("References")
    return f"# {head}\n\n{say('All works that the chapters cite.')}\n\n{works}\n"


# --- files -------------------------------------------------------------------------------------


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file unless it is there and the same: what did not change is not built again."""
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def copy_linked(text: str, page: str, out: Path) -> None:
    """Files of the repository that a page links to, as they are: Sphinx offers them as files."""
    for target in LINKED_FILE.findall(text):
        place = (BOOK / page).parent / unquote(target)
        if place.suffix in {".md", ".ipynb"} or not place.is_file():
            continue
        inside = place.resolve().relative_to(BOOK)
        (out / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(place, out / inside)


def stage(out: Path, files: Path, exercises: Mapping[str, Any], edition: Edition) -> None:
    """All pages of an edition into the folder `out`, the notebooks themselves into `files`."""
    from citations import read_bibliography, reference

    book, say = edition.chapters, edition.say
    costs = json.loads((BOOK / "chapters" / "costs.json").read_text(encoding="utf-8"))
    for chapter in book.values():
        name = f"{chapter.stem}.ipynb"
        notebook = edition.notebook(chapter.stem)
        page = notebook_page(notebook, chapter, costs[chapter.stem], exercises, say)
        place = Place(f"chapters/{name}", page.cells[1].source)
        page.cells[1].source = edition.with_anchors(place)
        write(out / "chapters" / name, nbformat.writes(page))
        write_bytes(files / name, (BOOK / "chapters" / name).read_bytes())
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        copy_linked(text, f"chapters/{name}", out)
    documents = {f"docs/{name}.md": f"docs/{name}.md" for name in DOCUMENTS}
    documents |= {name: name for name in (*PLAIN, "README.md")}
    for name, place in documents.items():
        text = edition.document(name)
        copy_linked(text, name, out)
        write(out / place, document_page(text, listed=name not in PLAIN))
    shutil.copytree(BOOK / "docs" / "images", out / "docs" / "images", dirs_exist_ok=True)
    entries = read_bibliography(BOOK / "chapters" / "references.bib")
    write(out / "docs" / "references.md", references_page(entries, reference, say))
    gallery = gallery_items(BOOK / "chapters", out / "gallery", say)
    template = edition.document("web/index.md")
    write(out / "index.md", index_page(template, book, gallery, say))
