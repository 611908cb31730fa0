"""Classes and functions that were written in the cells of another chapter, ready to be used.

    UNet, attend = written("05_2", "UNet", "attend")

They come from that chapter's notebook, as it is saved: what its reader has changed there is used.
It is looked for beside the notebook that asks, among the reader's copies, then in the book's own.
"""

import ast
import json
from pathlib import Path
from typing import Any

CHAPTERS = Path(__file__).resolve().parents[1]


def written(chapter: str, *names: str, folder: Path | None = None) -> tuple[Any, ...]:
    """What the notebook ``chapter`` ("05_2") calls by these names, with all that they need.

    Of a name that is written twice, the first counts. Of the other lines of the notebook only those
    are run that give such a name a number or a text (``PAD, NULL = 0, 1``).
    Raises ValueError where there is no such notebook, or where it does not define a name.
    """
    here = Path.cwd()  # where JupyterLab runs a notebook: in its own folder
    folder = folder or (here if any(here.glob(f"{chapter}_*.ipynb")) else CHAPTERS)
    # yours-1: a copy that make fresh has laid aside
    found = [p for p in sorted(folder.glob(f"{chapter}*.ipynb")) if ".yours-" not in p.name]
    if len(found) != 1:
        raise ValueError(f"chapter must begin the name of one notebook in {folder}; got {chapter}")
    defined, imported = _statements(found[0])
    for name in names:
        if name not in defined:
            there = ", ".join(sorted(defined))
            raise ValueError(f"{found[0].name} defines no {name!r}; it defines {there}")
    space: dict[str, Any] = {"__name__": f"written_in_{found[0].stem}"}
    wanted, chosen = list(names), {}
    while wanted:
        name = wanted.pop()
        statement = defined.get(name) or imported.get(name)
        if name in chosen or statement is None:
            continue
        chosen[name] = statement
        if name in defined:
            wanted += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    imports = [chosen[name] for name in chosen if name not in defined]
    kept = {id(chosen[name]): chosen[name] for name in defined if name in chosen}
    body = [*imports, *kept.values()]
    exec(compile(ast.Module(body, []), f"<cells of {found[0].name}>", "exec"), space)
    return tuple(space[name] for name in names)


def _statements(notebook: Path) -> tuple[dict[str, ast.stmt], dict[str, ast.stmt]]:
    """Definitions and imports at the top level of the cells of code, by the names they bind."""
    defined: dict[str, ast.stmt] = {}
    imported: dict[str, ast.stmt] = {}
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        for statement in _parsed("".join(cell["source"])):
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                defined.setdefault(statement.name, statement)
            elif isinstance(statement, ast.Assign) and _is_literal(statement.value):
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name):
                        defined.setdefault(node.id, statement)
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                for alias in statement.names:
                    name = alias.asname or alias.name.split(".")[0]
                    imported.setdefault(name, _only(statement, alias))
    return defined, imported


def _parsed(code: str) -> list[ast.stmt]:
    """The statements of a cell; none of one that Python cannot read, such as a %magic."""
    try:
        return ast.parse(code).body
    except SyntaxError:
        return []


def _only(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    """The import of this one name."""
    if isinstance(statement, ast.Import):
        return ast.copy_location(ast.Import([alias]), statement)
    return ast.copy_location(
        ast.ImportFrom(statement.module, [alias], statement.level), statement
    )


def _is_literal(value: ast.expr) -> bool:
    """Whether it is numbers and texts only, and none of them is still a blank, ``...``."""
    parts = [*ast.walk(value)]
    blank = any(isinstance(part, ast.Constant) and part.value is ... for part in parts)
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return not blank
