"""docs/architecture.md is true: who imports whom, where things are, what is used."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = {
    "minildm": "minildm", "book": "chapters/book", "tools": "tools", "benchmarks": "benchmarks",
    "tests": "tests",
}  # fmt: skip
FILES = {room: sorted((ROOT / folder).rglob("*.py")) for room, folder in FOLDERS.items()}
SOURCES = sorted((ROOT / "chapters" / "source").glob("*.md"))
TOOLS = {path.stem for path in FILES["tools"]}


def module_of(path: Path) -> str:
    """`book.results` of chapters/book/results.py: what an import calls it."""
    outside = {"chapters", "tools", "tests"} & set(path.relative_to(ROOT).parts[:1])
    parts = path.relative_to(ROOT).with_suffix("").parts[bool(outside) :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(nodes, package: str) -> set[str]:
    """The dotted names that imports ask for: `a.b`, or `a.b.c` of `from a.b import c`."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def modules_among(names, modules) -> set[str]:
    """The modules that the names are, or lie in."""
    return {name if name in modules else name.rpartition(".")[0] for name in names} & set(modules)


def package_of(path: Path) -> str:
    return module_of(path) if path.stem == "__init__" else module_of(path).rpartition(".")[0]


@cache
def imports(path: Path) -> frozenset[str]:
    """All that a file imports; of a chapter's source, all that its cells import."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        cells = re.findall(r"^```\{code-cell\}.*?$(.*?)^```", text, re.DOTALL | re.MULTILINE)
        text = "\n".join(re.sub(r"^[:%].*", "", cell, flags=re.MULTILINE) for cell in cells)
    return frozenset(imported(ast.walk(ast.parse(text)), package_of(path)))


def room_of(name: str) -> str:
    """The room that an imported name lies in; "" if it is not of this house."""
    first = name.split(".")[0]
    rooms = ("minildm", "book", "benchmarks", "tests")
    return first if first in rooms else "tools" * (first in TOOLS)


def test_no_room_imports_from_another_without_an_arrow():
    arrows = set(re.findall(r"^ +(\w+) --> (\w+)$", PAGE, re.MULTILINE))
    found = {}
    for room, files in {**FILES, "chapters": SOURCES}.items():
        for path in files:
            for other in {room_of(name) for name in imports(path)} - {"", room}:
                found.setdefault((room, other), path.relative_to(ROOT))
    assert {pair: found[pair] for pair in found.keys() - arrows} == {}
    assert arrows - found.keys() == set(), "an arrow that no import needs"


def test_every_module_of_the_book_is_used():
    """By a chapter, a module or a tool; a test does not count. Exercises are found by name."""
    modules = {module_of(path): path for path in FILES["book"]}
    used = set()
    for user in [*FILES["book"], *FILES["tools"], *SOURCES]:
        used |= modules_among(imports(user), modules) - {module_of(user)}
    by_name = ("__init__.py", "exercises.py")
    assert {m for m in modules.keys() - used if modules[m].name not in by_name} == set()


def at_the_top(tree: ast.Module):
    """The statements that run at an import: not those of functions, nor those for types only."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from ast.walk(node)
        yield node


@pytest.mark.parametrize("room", ["minildm", "book", "benchmarks"])
def test_imports_do_not_run_in_circles(room):
    modules = {module_of(path): path for path in FILES[room]}
    needs = {}
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        asked = imported(at_the_top(tree), package_of(path))
        needs[module] = modules_among(asked, modules) - {module}
    while free := {module for module in needs if not needs[module] & needs.keys()}:
        needs = {module: asked for module, asked in needs.items() if module not in free}
    assert needs == {}, "each of these waits for another"


def test_things_are_where_the_page_says():
    rows = re.findall(r"^\| .*? \| (`.*`) \|$", PAGE.split("## Where is")[1], re.MULTILINE)
    assert len(rows) > 15
    for place in (place for row in rows for place in row.split("; ")):
        path, *names = re.findall(r"`([^`]+)`", place)
        files = [ROOT / path] if (ROOT / path).is_file() else (ROOT / path).glob("*.py")
        text = "\n".join(file.read_text(encoding="utf-8") for file in files)
        for name in names:
            pattern = rf"\b{re.escape(name)}\b"
            assert re.search(pattern, text), f"{name} is not in {path}"
