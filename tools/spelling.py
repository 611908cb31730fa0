"""Words of the book that no dictionary knows: mistakes, or names to be listed in tests/words.txt.

    python tools/spelling.py    print them, with the place where each occurs first

The prose is what a reader reads: text cells, Markdown pages, docstrings of the package and the
sentences of exercises; not code, formulas, addresses or names in backquotes.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from book_rules import BOOK, SOURCES
from jupytext import read
from spellchecker import SpellChecker

LISTED = BOOK / "tests" / "words.txt"
PAGES = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "data/README.md",
    "course/README.md", "docs/architecture.md", "docs/going_on.md", "docs/stable_diffusion.md",
)  # fmt: skip
NOT_PROSE = re.compile(
    r"<!-- figures: made by `python .*?<!-- end -->"  # names of packages and processors
    r"|```.*?```|``[^`]*``|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\]\([^)\n]*\)|https?://\S+|<[^>\n]+>"
    r"|\[@[^\]]*\]|\b\S*[_\d/=.\\(){}]\S+|-{2}\w+",
    re.DOTALL,
)
SENTENCE = re.compile(r"[A-Z][a-z']* (?:[^\n=]+ ){4}[^\n=]+$")
WORD = re.compile(r"[A-Za-zÀ-ÿ][A-Za-zÀ-ÿ'’]+")


def prose(text: str) -> str:
    """A Markdown text without its code, formulas, addresses and names."""
    return NOT_PROSE.sub(" ", text)


def words(text: str) -> Iterator[str]:
    """The words of a prose, in order, without 's."""
    for word in WORD.findall(text):
        word = re.sub(r"'s?$", "", word.replace("’", "'").strip("'"))
        if len(word) > 2:
            yield word


@cache
def dictionary() -> SpellChecker:
    """A dictionary of English, without network."""
    return SpellChecker(language="en")


def listed(path: Path = LISTED) -> tuple[set[str], set[str]]:
    """What the book adds to the dictionary, and what it takes out: lines with a ! in front."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = {line for line in lines if line and not line.startswith("#")}
    refused = {line[1:] for line in entries if line.startswith("!")}
    return {line for line in entries if not line.startswith("!")}, refused


def unknown(text: str, known: set[str], refused: set[str]) -> list[str]:
    """Words, each once, that are in neither the dictionary nor ``known``, or are ``refused``.

    A listed word in small letters may be capitalised; one with a capital is a name, as it is.
    """

    def fine(word: str) -> bool:
        forms = {word, word.lower()}
        forms |= {form[:-1] for form in forms if form.endswith("s")}
        return bool(forms & known or dictionary().known([word.lower()]))

    found = dict.fromkeys(words(prose(text)))
    return [word for word in found if word.lower() in refused or not fine(word)]


def texts() -> Iterator[tuple[str, str]]:
    """(place, text) of everything that a reader reads."""
    for path in sorted(SOURCES.glob("*.md")):
        for cell in read(path).cells:
            if cell.cell_type == "markdown":
                yield f"{path.name}, {cell.metadata.get('name')}", cell.source
    for name in PAGES:
        yield name, (BOOK / name).read_text(encoding="utf-8")
    for path in sorted(p for f in ("minildm", "chapters/book") for p in (BOOK / f).rglob("*.py")):
        for text in _sentences(path):
            yield str(path.relative_to(BOOK)), text


def _sentences(path: Path) -> Iterator[str]:
    """Docstrings of a module, without names of the code; strings that read like sentences."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = (ast.Module, ast.ClassDef, ast.FunctionDef)
    names = _names(tree) | {beside.stem for beside in path.parent.glob("*.py")}
    seen = set()
    for node in ast.walk(tree):
        if isinstance(node, docstrings) and (text := ast.get_docstring(node)):
            seen.add(node.body[0].value)
            lines = text.splitlines()  # an indented line is a formula or a table of names
            text = "\n".join(line for line in lines if not line.startswith("  "))
            yield WORD.sub(lambda word: " " if word[0] in names else word[0], text)
        elif (
            isinstance(node, ast.Constant)
            and node not in seen
            and SENTENCE.match(str(node.value))
        ):
            yield node.value


def _names(tree: ast.Module) -> set[str]:
    """Every name in the code of a module, also part by part, and every word that is a value."""
    fields = ("id", "arg", "attr", "name", "asname", "value")
    found = {getattr(node, field, None) for node in ast.walk(tree) for field in fields}
    found = {name for name in found if isinstance(name, str) and name.replace("_", "").isalnum()}
    return found | {part for name in found for part in name.split("_")}


def main() -> int:
    """Print what is unknown; 1 if anything is."""
    (known, refused), seen = listed(), set()
    for place, text in texts():
        for word in unknown(text, known, refused):
            if word not in seen:
                print(f"{word}   ({place})")
            seen.add(word)
    return int(bool(seen))


if __name__ == "__main__":
    sys.exit(main())
