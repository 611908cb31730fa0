"""The book in another language: catalogues of paragraphs, keyed by the English text.

    python tools/translation.py todo 03_algorithm          what is not translated yet
    python tools/translation.py take 03_algorithm FILE     put a filled-in file into the catalogue
    python tools/translation.py renew                      all catalogues as the English is now
    python tools/translation.py state                      the share that is translated, by chapter

Beside the chapters there are README, index (web/index.md), the documents of docs/ by their names,
and messages (what the code says: tools/messages.py). A catalogue is a PO file (gettext),
chapters/translations/LANGUAGE/STEM.po. An entry's context is the cell's name, its key the English
paragraph as the source has it. So a paragraph that was changed has no translation until somebody
renews it: readers see the English one, never a stale one.
"""

import argparse
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jupytext
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from messages import messages

BOOK = Path(__file__).resolve().parents[1]
SOURCES = BOOK / "chapters" / "source"
CATALOGUES = BOOK / "chapters" / "translations"
DOCUMENTS = {  # stem of a catalogue: the file
    "README": "README.md",
    "index": "web/index.md",
    **{
        name: f"docs/{name}.md"
        for name in ("notation", "stable_diffusion", "going_on", "glossary", "errata",
                     "equations", "article", "figures")
    },
}  # fmt: skip
# Blank lines part paragraphs, but not inside a code block or a displayed formula.
BLOCK = re.compile(r"(^```.*?^```$|^\$\$.*?\$\$$)|\n[ \t]*\n", re.MULTILINE | re.DOTALL)
# In documents, many of whose tables a program makes, each row is a paragraph by itself.
ROW = re.compile(r"(?<=\|)\n(?=\|)")
# A comment, a directive, code: nothing to say. Nor is there in what holds names and code only.
NO_TEXT = re.compile(r"(?:(?:<!--[^\n]*-->|:{3,}[^\n]*|    [^\n]*)\n?)+|\[@\*\]")
PROSE = re.compile(r"[a-z]{2}")
INLINE = re.compile(r"`[^`\n]*`|\$[^$\n]+\$|\]\([^)]*\)")
# Without dates and versions: a catalogue changes where a text does.
HEADER = r'''# The book in another language. Text: CC BY 4.0.
msgid ""
msgstr ""
"Project-Id-Version: Latent diffusion\n"
"Language: {}\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"

'''
# A row of docs/figures.md: what it says is among the messages.
FIGURE = re.compile(r"\| (?:\[[\d.]+\]\([^)]*\) )?`.*")
WORD = re.compile(r"[A-Za-z]{3}")
# What a translation must have as the original has it, in any order.
SAME = {
    "formulas": re.compile(r"\$\$.*?\$\$|(?<![\\$])\$[^$\n]+\$", re.DOTALL),
    "code": re.compile(r"`[^`\n]+`"),
    "links": re.compile(r"\]\(([^)\s]+)\)"),
    "citations": re.compile(r"@[a-z]+\d{4}[a-z0-9]*"),
    "heading": re.compile(r"^#+ ", re.MULTILINE),
    "list": re.compile(r"^(?:[-*]|\d+\.) ", re.MULTILINE),
    "cells of a table": re.compile(r"(?<!\\)\|"),
}
PLACES = {"places": re.compile(r"\{\d+\}")}  # of a message
# What a run cost stands in one paragraph of a chapter: its numbers may change, and no word of it.
COST = re.compile(r"measured\b.*?\d\s*s\b.*?\d\s*[GM]B\b", re.IGNORECASE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Paragraph(NamedTuple):
    """A paragraph of a chapter: the cell that it stands in, and its text."""

    cell: str
    text: str

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.cell}\n{self.text}".encode()).hexdigest()[:8]


def split(source: str) -> list[tuple[bool, str]]:
    """The parts of a cell of Markdown, in order: whether a translator sees it, and the text.

    Joined they are the source again: what stands between paragraphs is a part, too.
    """
    parts, start = [], 0
    for match in BLOCK.finditer(source):
        parts += [(True, source[start : match.start()]), (False, match[0])]
        start = match.end()
    parts.append((True, source[start:]))
    return [(seen and bool(WORD.search(text)), text) for seen, text in parts if text]


def split_document(stem: str, source: str) -> list[tuple[bool, str]]:
    """`split`, and the rows of tables one by one; comments and directives are not seen."""
    silent = FIGURE if stem == "figures" else NO_TEXT
    parts: list[tuple[bool, str]] = []
    for seen, text in split(source):
        rows = ROW.split(text) if seen else [text]
        for k, row in enumerate(rows):
            if k:
                parts.append((False, "\n"))
            figure = silent.fullmatch(row.rstrip("\n"))
            prose = bool(PROSE.search(INLINE.sub("", row))) and not figure
            parts.append((seen and prose, row))
    return parts


def paragraphs(stem: str) -> Iterator[Paragraph]:
    """All paragraphs of a chapter or document that have words, in order; all messages."""
    if stem == "messages":
        yield from (Paragraph(where, text) for text, where in messages().items())
    elif stem in DOCUMENTS:
        text = (BOOK / DOCUMENTS[stem]).read_text(encoding="utf-8")
        seen = dict.fromkeys(text for seen, text in split_document(stem, text) if seen)
        yield from (Paragraph(stem, text) for text in seen)
    else:
        path = SOURCES / f"{stem}.md"
        for name, source in text_cells(path, path.stat().st_mtime_ns):
            yield from (Paragraph(name, text) for seen, text in split(source) if seen)


@cache
def text_cells(path: Path, _changed: int) -> list[tuple[str, str]]:
    """(name, text) of each cell of Markdown in a chapter's source."""
    cells = (cell for cell in jupytext.read(path).cells if cell.cell_type == "markdown")
    return [(cell.metadata["name"], cell.source) for cell in cells]


def stems() -> list[str]:
    """The names of all catalogues."""
    chapters = [path.stem for path in sorted(SOURCES.glob("[0-9]*.md"))]
    return [*chapters, *DOCUMENTS, "messages"]


# --- catalogues --------------------------------------------------------------------------------


def path_of(stem: str, language: str) -> Path:
    return CATALOGUES / language / f"{stem}.po"


def read(stem: str, language: str) -> dict[Paragraph, str]:
    """The translations of a chapter's paragraphs, those of former texts included."""
    path = path_of(stem, language)
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        entries = read_po(file, locale=language)
    filled = (entry for entry in entries if entry.id and entry.string)
    return {Paragraph(e.context or "", str(e.id)): str(e.string) for e in filled}


def write(stem: str, language: str, known: dict[Paragraph, str]) -> None:
    """A chapter's catalogue, in the order of its paragraphs; what no longer stands there goes."""
    catalogue = Catalog(locale=language, project="Latent diffusion", fuzzy=False)
    for place in paragraphs(stem):
        catalogue.add(place.text, translation(place, known) or "", context=place.cell)
    path = path_of(stem, language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(HEADER.format(language).encode())
        write_po(file, catalogue, width=0, omit_header=True)


def translation(place: Paragraph, known: dict[Paragraph, str]) -> str | None:
    """The translation of a paragraph as it is now; None where there is none."""
    if place in known:
        return known[place]
    if COST.search(place.text):
        for old, text in known.items():
            same = NUMBER.sub("0", old.text) == NUMBER.sub("0", place.text)
            if old.cell == place.cell and same:
                return with_numbers(text, NUMBER.findall(old.text), NUMBER.findall(place.text))
    return None


def with_numbers(text: str, old: list[str], new: list[str]) -> str | None:
    """A translation with new numbers in the place of the old ones; None if it has others."""
    left = list(zip(old, new, strict=True))

    def renew(match: re.Match[str]) -> str:
        found = next((pair for pair in left if pair[0] == match[0]), None)
        if found is None:
            raise LookupError(match[0])
        left.remove(found)
        return found[1]

    try:
        renewed = NUMBER.sub(renew, text)
    except LookupError:
        return None
    return None if left else renewed


def differences(text: str, translation: str, more: dict | None = None) -> list[str]:
    """What a translation leaves out, adds or changes of formulas, code, links and lists."""
    found = []
    numbers = {"numbers": NUMBER} if COST.search(text) else {}
    for name, pattern in (SAME | numbers | (more or {})).items():
        old, new = Counter(pattern.findall(text)), Counter(pattern.findall(translation))
        if old != new:
            found.append(f"{name}: missing {list((old - new).elements())}, "
                         f"too many {list((new - old).elements())}")  # fmt: skip
    return found


# --- a translator's commands ---------------------------------------------------------------------


def todo(stem: str, language: str) -> str:
    """The paragraphs without a translation, each under its key, as `take` reads them."""
    known = read(stem, language)
    missing = [p for p in paragraphs(stem) if translation(p, known) is None]
    return "\n".join(f"%% {p.key}\n{p.text}\n" for p in missing)


def take(stem: str, language: str, filled: str) -> list[str]:
    """Put filled-in paragraphs into the catalogue; what is wrong is left out and returned."""
    places = {p.key: p for p in paragraphs(stem)}
    known, problems = read(stem, language), []
    for key, text in re.findall(r"^%% (\w+)\n(.*?)(?=^%% |\Z)", filled, re.MULTILINE | re.DOTALL):
        if key not in places:
            problems.append(f"{key}: no paragraph of {stem} has this key")
            continue
        place, text = places[key], text.strip("\n")
        wrong = differences(place.text, text, PLACES if stem == "messages" else None)
        # A message may be a name, the same in every language; a paragraph is never the same.
        if text and not wrong and (stem == "messages" or text != place.text.strip("\n")):
            known[place] = text
        problems += [f"{key}: {problem}" for problem in wrong]
    write(stem, language, known)
    return problems


def shares(language: str) -> dict[str, tuple[int, int]]:
    """Of each chapter, how many paragraphs are translated, and how many there are."""
    found = {}
    for stem in stems():
        places, known = list(paragraphs(stem)), read(stem, language)
        done = sum(translation(p, known) is not None for p in places)
        found[stem] = (done, len(places))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Translations of the book.")
    parser.add_argument("do", choices=("todo", "take", "renew", "state"))
    parser.add_argument("chapter", nargs="?", help="the stem of its source, 03_algorithm")
    parser.add_argument("file", nargs="?", type=Path, help="of take: the filled-in paragraphs")
    parser.add_argument("--language", default="zh")
    choice = parser.parse_args()
    if choice.do == "state":
        for stem, (done, number) in shares(choice.language).items():
            print(f"{stem:26s}{done:5d} of {number:4d}  {done / number:.0%}")
        return 0
    if choice.do == "renew":
        for stem in stems():
            if path_of(stem, choice.language).exists():
                write(stem, choice.language, read(stem, choice.language))
        return 0
    if choice.do == "todo":
        print(todo(choice.chapter, choice.language))
        return 0
    problems = take(choice.chapter, choice.language, choice.file.read_text(encoding="utf-8"))
    print("\n".join(problems) or "all taken")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
