"""The book in one language: its chapters, documents and first page, as the catalogues have them.

    Edition()         the book as it is written
    Edition("zh")     in Chinese, as far as it is translated; the rest stays English

`make book LANGUAGE=zh` writes such an edition to outputs/zh: notebooks, README and docs/, which are
read as the English ones are. The web edition takes its pages from here, too.
"""

import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from os.path import relpath
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote

import nbformat
from book_rules import (
    BIBLIOGRAPHY,
    BOOK,
    CHAPTERS,
    SOURCES,
    check_alt,
    check_outputs,
    source_notebook,
)
from build_book import clean, execute, reuse_outputs
from crosslinks import WAY_ON, Chapter, chapters
from nbformat import NotebookNode
from translation import (
    DOCUMENTS,
    FIGURE,
    Paragraph,
    read,
    split,
    split_document,
    text_cells,
    translation,
)

from book.language import messages, widget_texts

HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]")
ANCHOR = re.compile(r'(\]\(|href=")([\w./-]*)#([^)\s"]+)')
FILE = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")
# Before a paragraph without a translation, on the web: a comment, which web_doctree turns into a
# class and a language. Rows of tables have none.
MARK = "% untranslated\n\n"
KEPT_LINES = re.compile(r"(\n)")


class Place(NamedTuple):
    """A text in the book, and its name from the book's folder: chapters/03_algorithm.ipynb."""

    page: str
    text: str


class Edition:
    """The book in a language: "" is as it is written. ``marked``: say what is not translated."""

    def __init__(self, language: str = "", marked: bool = False) -> None:
        self.language, self.marked = language, marked
        self.catalogues: dict[str, dict[Paragraph, str]] = {}
        self.messages = messages(language)

    def say(self, text: str, *values: object) -> str:
        """One of the tools' own texts in this language, with values for {0}, {1} .."""
        return self.messages.say(text, *values)

    def widget_texts(self) -> dict[str, str]:
        """What the widgets' modules may look up; nothing for English."""
        return widget_texts(self.language)

    @property
    def way_on(self) -> list[str]:
        return [self.say(text) for text in WAY_ON]

    @cached_property
    def chapters(self) -> dict[str, Chapter]:
        """All chapters with their titles, by number."""
        book = chapters(SOURCES)
        if not self.language:
            return book
        return {number: chapter._replace(title=self.title(chapter))
                for number, chapter in book.items()}  # fmt: skip

    def title(self, chapter: Chapter) -> str:
        known = self.known(chapter.stem)
        found = (said for place, said in known.items() if place.text == f"# {chapter.title}")
        return next(found, f"# {chapter.title}").removeprefix("# ")

    # --- texts -----------------------------------------------------------------------------------

    def known(self, stem: str) -> dict[Paragraph, str]:
        if stem not in self.catalogues:
            self.catalogues[stem] = read(stem, self.language)
        return self.catalogues[stem]

    def said(self, stem: str, cell: str, text: str) -> str | None:
        """A paragraph in this language, if it is translated."""
        said = translation(Paragraph(cell, text), self.known(stem))
        if said is None and text.startswith("|"):  # a row of what the code says
            parts = re.split(r"((?<!\\)\|)", text)
            said = "".join(f" {self.messages.told(part.strip())} " if part.strip(" |") else part
                           for part in parts)  # fmt: skip
            return said if said != text else None
        return said

    def cell(self, stem: str, cell: str, source: str) -> str:
        """A cell of text in this language, before its anchors are looked up."""
        return "".join(self.part(stem, cell, *part) for part in split(source))

    def part(self, stem: str, cell: str, seen: bool, text: str) -> str:
        """A part of `split`: in this language if it is translated, else as it is."""
        said = self.said(stem, cell, text) if seen or FIGURE.match(text) else text
        if said is not None or not seen:
            return said or text
        free = self.marked and not re.match(r"\s|\||:::|[-*>] |\d+\. ", text)
        return f"{MARK}{text}" if free else text

    def translate(self, stem: str, notebook: NotebookNode) -> None:
        """Put the text of a chapter's source into this language, in place."""
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                text = self.cell(stem, cell.metadata["name"], cell.source)
                cell.source = self.with_anchors(Place(f"chapters/{stem}.ipynb", text))

    def document(self, name: str) -> str:
        """A document in this language: `README.md`, `docs/notation.md`."""
        text = (BOOK / name).read_text(encoding="utf-8")
        stem = next((stem for stem, file in DOCUMENTS.items() if file == name), "")
        if not self.language:
            return text
        if not stem or not self.known(stem):
            note = self.say("(This page is in English.)")
            if note[:5] != "(This":
                text = text.replace("\n\n", f"\n\n{note}\n\n", 1)
            return self.with_anchors(Place(name, text))  # its links lead to Chinese headings
        parts = [self.part(stem, stem, *part) for part in split_document(stem, text)]
        # web/index.md is written as it stands on the site: at its root
        return self.with_anchors(Place(name.removeprefix("web/"), "".join(parts)))

    # --- anchors ---------------------------------------------------------------------------------

    @cached_property
    def anchors(self) -> dict[str, dict[str, str]]:
        """Of each page, the anchors of its headings: English, and as they are here."""
        return {page: dict(zip(headings(page, old), headings(page, new), strict=True))
                for page, old, new in self.pages_twice()}  # fmt: skip

    def pages_twice(self) -> Iterator[tuple[str, str, str]]:
        """Each page's name, its English text, and its text here."""
        for path in sorted(SOURCES.glob("[0-9]*.md")):
            cells = text_cells(path, path.stat().st_mtime_ns)
            new = [self.cell(path.stem, name, source) for name, source in cells]
            old = [source for _, source in cells]
            yield f"chapters/{path.stem}.ipynb", "\n\n".join(old), "\n\n".join(new)
        for stem, name in DOCUMENTS.items():
            text = (BOOK / name).read_text(encoding="utf-8")
            new = [self.part(stem, stem, *part) for part in split_document(stem, text)]
            yield name, text, "".join(new)

    def with_anchors(self, place: Place) -> str:
        """A text whose links to headings lead to the headings as they are in this language."""

        def renew(match: re.Match[str]) -> str:
            start, file, anchor = match.groups()
            page = relpath((PurePosixPath(place.page).parent / file) if file else place.page, ".")
            found = self.anchors.get(page, {}).get(unquote(anchor))
            return match[0] if found is None else f"{start}{file}#{readable(found)}"

        return ANCHOR.sub(renew, place.text) if self.language else place.text

    # --- notebooks -------------------------------------------------------------------------------

    def source(self, stem: str) -> NotebookNode:
        """A chapter without outputs."""
        edition = self if self.language else None
        return source_notebook(SOURCES / f"{stem}.md", BIBLIOGRAPHY, edition)

    def notebook(self, stem: str) -> NotebookNode:
        """A chapter with outputs: of its run in this language, else of the English one's."""
        english = nbformat.read(CHAPTERS / f"{stem}.ipynb", as_version=4)
        if not self.language:
            return english
        notebook, own = self.source(stem), self.folder / "chapters" / f"{stem}.ipynb"
        if own.exists():
            try:
                reuse_outputs(notebook, nbformat.read(own, as_version=4))
            except ValueError:  # its code is not this code: an old one
                reuse_outputs(notebook, english)
        else:
            reuse_outputs(notebook, english)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                self.translate_output(output)
        return notebook

    def translate_output(self, output: NotebookNode) -> None:
        """What a run said in English, as far as it is among the messages: lines, and pictures."""
        told = self.messages.told
        if "text" in output:
            output.text = "".join(told(part) for part in KEPT_LINES.split(output.text))
        if "text/markdown" in output.get("data", {}):
            table = "".join(output.data["text/markdown"])
            output.data["text/markdown"] = self.messages.table(table)
        if "image/png" in output.get("data", {}):
            output.data["text/plain"] = told("".join(output.data.get("text/plain", "")))
            for holder in (output.metadata, output.metadata.get("image/png", {})):
                if "alt" in holder:
                    holder["alt"] = told(holder["alt"])

    # --- the whole edition -----------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where `make book` writes it."""
        return BOOK / "outputs" / self.language

    def write_documents(self) -> None:
        """README and docs/, and their pictures, beside the folder of the notebooks."""
        pictures = self.folder / "docs" / "images"
        shutil.copytree(BOOK / "docs" / "images", pictures, dirs_exist_ok=True)
        for name in (name for name in DOCUMENTS.values() if not name.startswith("web/")):
            text = elsewhere(Place(name, self.document(name)), self.folder)
            (self.folder / name).write_text(text, encoding="utf-8", newline="\n")


def headings(page: str, text: str) -> list[str]:
    """The anchors of a page's headings, as JupyterLab names them; in a document, as GitHub does."""
    found = [MARKUP.sub(r"\1", head) for head in HEADING.findall(FENCED.sub("", text))]
    if page.endswith(".ipynb"):
        return [head.replace(" ", "-") for head in found]
    return [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in found]


def readable(anchor: str) -> str:
    """An anchor in a link: as it is, but for what Markdown or an address reads otherwise."""
    return re.sub(r"[()\[\]<>%?#\"\\`]", lambda m: quote(m[0]), anchor)


def elsewhere(place: Place, folder: Path) -> str:
    """A page of another folder: what lies only in the book's is linked to there."""
    there = (folder / place.page).parent

    def renew(match: re.Match[str]) -> str:
        target = unquote(match[2])
        page = relpath((BOOK / place.page).parent / target, BOOK).replace("\\", "/")
        known = page in DOCUMENTS.values() or page.startswith(("chapters/0", "docs/images"))
        if known or not (BOOK / page).exists():
            return match[0]
        return f"{match[1]}{relpath(BOOK / page, there)}{match[3]}".replace("\\", "/")

    return FILE.sub(renew, place.text)


def own_links(stem: str, notebook: NotebookNode, folder: Path) -> None:
    """`elsewhere` for all texts of a chapter, in place."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = elsewhere(Place(f"chapters/{stem}.ipynb", cell.source), folder)


def build(stem: str, edition: Edition, *, keep: bool = False, **options: int) -> str:
    """Write a chapter of an edition to its folder; say how large it is. It runs in chapters/."""
    if keep:
        notebook = edition.notebook(stem)
    else:
        notebook = edition.source(stem)
        execute(notebook, CHAPTERS, language=edition.language, **options)
    clean(notebook)
    if problems := check_outputs(notebook) + check_alt(notebook):
        raise ValueError("\n  ".join(["", *problems]))
    own_links(stem, notebook, edition.folder)
    target = edition.folder / "chapters" / f"{stem}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    return f"{'outputs kept' if keep else 'run'}, {target.stat().st_size / 1000:.0f} kB"
