r"""The equation registry: each numbered equation of the book, its function, a check.

A chapter writes `\tag{4.3.4}` behind an equation. `tests/equations/chapter_04_3.py` lists the same
number in `EQUATIONS`, with the function that a reader should look at and a check: a function
without arguments that fails if the equation, as printed, is not what that function does.
`test_equations.py` keeps the two lists equal and runs every check. To number an equation in a new
chapter NN_M, add `chapter_NN_M.py` beside it. The LaTeX itself is evaluated with the values that
`page_NN_M.py` gives its letters: see `pageforms`.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
CHECKS = ROOT / "tests" / "equations"
SOURCES = ROOT / "chapters" / "source"
TAG = re.compile(r"\\tag\{([^}]*)\}")
CELL = re.compile(r"^:name: (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Equation:
    """One numbered equation."""

    id: str  # as in \tag{...}: "4.3.4"
    chapter: str  # file name of the source, without .md: "04_3_gaussian_case"
    what: str  # in words
    function: str  # where it is computed: "minildm.process.diffuse", or "cell its-name"
    check: Callable[[], None]  # fails if the equation and the function disagree


def numbered(chapter: str, number: int, what: str, function: str, check) -> Equation:
    """Equation ``number`` of a chapter; a ``function`` of minildm may be named without it."""
    prefix = ".".join(str(int(part)) for part in chapter.split("_") if part.isdigit())
    place = function if function.startswith(("cell ", "book.")) else f"minildm.{function}"
    return Equation(f"{prefix}.{number}", chapter, what, place, check)


@cache
def registered(folder: Path = CHECKS) -> list[Equation]:
    """All equations of all `chapter_*.py` in the folder, in the order of the book."""
    found = []
    for path in sorted(folder.glob("chapter_*.py")):
        name = f"equations_of_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.EQUATIONS
    return found


def printed(folder: Path = SOURCES) -> list[tuple[str, str]]:
    """All (chapter, id) of numbered equations in the chapters' sources, in order, with repeats."""
    return [
        (path.stem, id)
        for path in sorted(folder.glob("*.md"))
        for id in TAG.findall(path.read_text(encoding="utf-8"))
    ]


def cells(chapter: str, folder: Path = SOURCES) -> set[str]:
    """The names of a chapter's code cells."""
    return set(CELL.findall((folder / f"{chapter}.md").read_text(encoding="utf-8")))


def resolve(function: str):
    """The object that a dotted name stands for; ImportError or AttributeError if there is none."""
    parts = function.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = getattr(found, name)
        return found
    raise ImportError(f"{function!r} names no module")


def nowhere(shown: Iterable[tuple[str, str]], checks: Iterable[str]) -> list[str]:
    """Which (chapter prefix, cell) and which checks ("4.3.4" or "file::test") do not exist."""
    numbers = {equation.id for equation in registered()}
    gone = []
    for prefix, cell in shown:
        found = [path.stem for path in SOURCES.glob(f"{prefix}_[a-z]*.md")]
        if len(found) != 1 or cell not in cells(found[0]):
            gone.append(f"no cell {cell} in {prefix}")
    for check in checks:
        file, _, function = check.partition("::")
        if function:
            text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
            if not re.search(rf"^def {function}\(", text, re.MULTILINE):
                gone.append(f"no test {check}")
        elif check not in numbers:
            gone.append(f"equation ({check}) is not registered")
    return gone


# --- what the checks of all chapters share --------------------------------------------------------


def close(a, b, tolerance: float = 1e-10) -> None:
    """Fail, showing both, unless all numbers agree within an absolute tolerance."""
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    assert (a - b).abs().max() <= tolerance, (a, b)


def points(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, float64, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)
