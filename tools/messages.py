"""The texts in the book's code, for its translation: read from the code, nothing is run.

    exercises    titles, hints, praise, and what a check replies
    figures      labels that a figure shows, and alternative texts (`show(..., alt=...)`)
    widgets      say("...") in their JavaScript, and what stands under their pictures
    site         say("...") in what builds the web edition

An f-string becomes a template: its values are places, {0}, {1} .. `book.language` looks texts up.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import jupytext

BOOK = Path(__file__).resolve().parents[1]
CODE = BOOK / "chapters" / "book"
WORD = re.compile(r"[A-Za-z]{2,}")
PROGRAM = re.compile(
    r"^\s*(def|import|from|return|class|lambda)\b|\n {4}|\n return|^\w+ = |^[\w.]+\(.*\)(, \w+)*$"
)
ASKED = ("title", "hint", "praise")  # of an Exercise; its other texts are code
# What a figure shows: where a call with one of these names, or a keyword, is given a text.
DRAWN = {
    "set_title", "set_xlabel", "set_ylabel", "set", "suptitle", "supxlabel", "supylabel", "text",
    "annotate", "legend", "set_label", "set_xticklabels", "set_yticklabels", "set_xticks",
    "set_yticks", "bar", "barh", "figtext",
}  # fmt: skip
LABELS = {"label", "title", "xlabel", "ylabel", "labels", "titles", "names", "suptitle"}
IN_WORDS = re.compile(r"words|_alt|alt_|told|describe|^text$")
# Not for readers: what these are given, and these words, are names of results or of the code.
KEYED = {"outcomes", "stored_pictures", "device"}
KEYS = {"cpu", "dtype", "eps", "joint", "seconds"}
TITLE = re.compile(r"\d[\d.]* (.+)")  # of a chapter, on the map: "4.2 Derivations"
LEGEND = "LEGEND"  # a table whose texts a figure shows
SITE_TABLES = ("PARTS", "GALLERY", "WAY_ON")
JAVASCRIPT = re.compile(r'\bsay\(\s*"((?:[^"\\]|\\.)+)"')


def template(node: ast.expr) -> str | None:
    """The text of a literal, an f-string or a sum of them, with {n} for each value; else None."""
    parts: list[str | None] = []

    def take(part: ast.expr) -> None:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            parts.append(part.value)
        elif isinstance(part, ast.JoinedStr):
            for piece in part.values:
                take(piece)
        elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add):
            take(part.left)
            take(part.right)
        else:
            parts.append(None)

    if not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
        return None
    take(node)
    if all(part is None for part in parts):
        return None
    places = iter(range(len(parts)))
    return "".join(f"{{{next(places)}}}" if part is None else part for part in parts)


def texts(node: ast.AST, wanted: Callable[[str], bool]) -> Iterator[str]:
    """All texts below a node, each in one piece; docstrings, errors and keys are none."""
    if isinstance(node, ast.Raise | ast.Assert | ast.Subscript | ast.Compare):
        return
    if isinstance(node, ast.Call) and name_of(node) in KEYED:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.expr) and (text := template(node)) is not None and wanted(text):
        yield text
        values = [n for n in ast.walk(node) if isinstance(n, ast.FormattedValue)]
        for value in values:  # f"{'one' if n == 1 else 'many words'}"
            yield from texts(value.value, wanted)
        return
    if isinstance(node, ast.JoinedStr):
        return
    for child in ast.iter_child_nodes(node):
        yield from texts(child, wanted)


def sentence(text: str) -> bool:
    """Whether a text is meant for readers: at least two words, and not a piece of code."""
    return len(WORD.findall(text)) > 1 and " " in text.strip() and not PROGRAM.search(text)


def long_sentence(text: str) -> bool:
    return sentence(text) and len(text.split()) > 3


def label(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]{3}", re.sub(r"\$[^$]*\$", "", text))) and (
        " " in text.strip() or not re.search(r"[._/#=]|^[A-Z_]+$", text)
    )


def name_of(call: ast.Call) -> str:
    function = call.func
    return getattr(function, "attr", getattr(function, "id", ""))


def of_exercises(tree: ast.AST) -> Iterator[str]:
    """Titles, hints and praise, and all sentences in functions, which check, and in tables."""
    for part in getattr(tree, "body", ()):
        if isinstance(part, ast.Assign):
            yield from of_table(part.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in ASKED and (text := template(keyword.value)):
                    yield text
        if isinstance(node, ast.FunctionDef):
            yield from (text for part in node.body for text in texts(part, sentence))


def of_table(table: ast.expr) -> Iterator[str]:
    """What a check looks up: the values of a dictionary, keys that are sentences, rows."""
    if isinstance(table, ast.Dict):
        yield from (text for key in table.keys if key for text in texts(key, long_sentence))
        for value in table.values:
            if not isinstance(value, ast.Dict):
                yield from texts(value, sentence)
    if isinstance(table, ast.Tuple):
        rows = (row for row in table.elts if isinstance(row, ast.Tuple))
        yield from (text for row in rows for text in texts(row, sentence))


def of_figures(tree: ast.AST) -> Iterator[str]:
    """Labels, and what functions return that put a figure into words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            drawn = name_of(node) in DRAWN
            for part in node.args if drawn else []:
                yield from texts(part, label)
            for keyword in node.keywords:
                if keyword.arg in LABELS and name_of(node) != "Exercise":
                    yield from texts(keyword.value, label)
                if keyword.arg == "alt":
                    yield from texts(keyword.value, sentence)
        if isinstance(node, ast.FunctionDef) and IN_WORDS.search(node.name):
            yield from (text for part in node.body for text in texts(part, label))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == LEGEND:
            yield from texts(node.value, label)


def of_plans(tree: ast.AST) -> Iterator[str]:
    """The titles of the chapters, without their numbers, and the tables of the courses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and (title := TITLE.fullmatch(str(node.value))):
            yield title[1]
        if isinstance(node, ast.Call) and name_of(node) == "Session":
            yield from (text for part in (node.args[0], node.args[2]) if (text := template(part)))
        if isinstance(node, ast.Name) and node.id in ("SIX_WEEKS", "TWO_DAYS"):
            yield node.id.replace("_", " ").capitalize()
        if isinstance(node, ast.FunctionDef) and node.name == "plan_table":
            for part in node.body:
                yield from (text.strip("*") for text in texts(part, label))


def of_chapter(path: Path) -> Iterator[str]:
    """What the figures of a chapter show, and say, as far as its own cells write it."""
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "code" and "show" in cell.source:
            code = re.sub(r"^\s*[%!].*", "", cell.source, flags=re.MULTILINE)
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.Call) and name_of(node) in ("show", "show_moving"):
                    for part in [*node.args, *(k.value for k in node.keywords)]:
                        yield from texts(part, label)


def of_site(path: Path) -> Iterator[str]:
    """What a tool says on a page: say("..."), and the tables whose texts it says."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        said = isinstance(node, ast.Call) and name_of(node) == "say" and node.args
        if said and (text := template(node.args[0])):
            yield text
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in SITE_TABLES:
            for part in ast.iter_child_nodes(node.value):
                text = part.elts[-1] if isinstance(part, ast.Tuple) else part
                if isinstance(text, ast.Constant) and WORD.search(str(text.value)):
                    yield text.value


def sources() -> Iterator[tuple[str, str]]:
    """(where it stands, text), in the order of the book; a text may occur more than once."""
    for path in (BOOK / "web" / "conf.py", *sorted((BOOK / "tools").glob("*.py"))):
        yield from (("site", text) for text in of_site(path))
    for path in (*sorted((BOOK / "web" / "static").glob("*.js")), *sorted(CODE.glob("**/*.js"))):
        yield from (("widgets", text) for text in JAVASCRIPT.findall(path.read_text("utf-8")))
    for path in sorted(CODE.glob("**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        where = path.relative_to(CODE).with_suffix("").as_posix()
        if where.startswith("article/") or where in ("language", "display"):
            continue
        asks = any(isinstance(n, ast.Call) and name_of(n) == "Exercise" for n in ast.walk(tree))
        if asks or path.name.startswith("exercises"):
            yield from ((where, text) for text in of_exercises(tree))
        yield from ((where, text) for text in of_figures(tree))
        if path.name in ("book_map.py", "course.py"):
            yield from ((where, text) for text in of_plans(tree))
    for path in sorted((BOOK / "chapters" / "source").glob("[0-9]*.md")):
        yield from ((path.stem, text) for text in of_chapter(path))


@cache
def messages() -> dict[str, str]:
    """Each text, and where it stands first."""
    found: dict[str, str] = {}
    for where, text in sources():
        if WORD.search(text) and text not in KEYS:
            found.setdefault(text, where)
    return found
