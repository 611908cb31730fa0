r"""What an equation's letters stand for, so that its printed LaTeX can be evaluated.

`tests/equations/page_*.py` say it, for each number:

    @shows("4.2.12")
    def posterior_mean():
        for t, s in PAIRS:
            yield {"E[z_s \mid z_t, z_0]": posterior(...).mean, "r": ..., "b_": ..., ...}

``refused(id, latex)`` evaluates ``latex`` with each set of symbols and says what does not hold.
What the page prints must hold; `faults` are slips of the pen, which must not.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from latexvalue import statements
from registry import CHECKS, SOURCES

FORMS: dict[str, Callable[[], Iterator[Mapping[str, Any]]]] = {}
HARMLESS: dict[str, dict[str, str]] = {}
CELL = re.compile(r'^\+\+\+ \{"name": "([^"]+)"', re.MULTILINE)
DISPLAY = re.compile(r"\$\$(.*?)\$\$", re.DOTALL)


def shows(*ids: str, harmless: Mapping[str, str] | None = None):
    """Registers what the letters of equations stand for: a generator of sets of symbols.

    ``harmless`` names slips of the pen that change nothing, each with its reason.
    """

    def register(form):
        for id in ids:
            FORMS[id], HARMLESS[id] = form, dict(harmless or {})
        return form

    return register


@cache
def forms() -> dict[str, Callable]:
    for path in sorted(CHECKS.glob("page_*.py")):
        spec = spec_from_file_location(path.stem, path)
        module = sys.modules[path.stem] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return FORMS


@cache
def symbols(id: str) -> list[Mapping[str, Any]]:
    return list(forms()[id]())


@cache
def displays() -> dict[str, str]:
    """The LaTeX of each displayed equation, read from the chapters' sources.

    Under its number; one without a number under "05_4 its-cell", or "05_4 its-cell 2" and so on.
    """
    found: dict[str, str] = {}
    for path in sorted(SOURCES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        chapter = re.match(r"[\d_]*\d", path.stem)[0]
        for match in DISPLAY.finditer(text):
            number = re.search(r"\\tag\{([^}]*)\}", match[1])
            key = number[1] if number else _place(chapter, text[: match.start()], found)
            found[key] = match[1]
    return found


def _place(chapter: str, before: str, taken) -> str:
    name = f"{chapter} {re.findall(CELL, before)[-1]}"
    others = sum(re.fullmatch(rf"{re.escape(name)}( \d+)?", key) is not None for key in taken)
    return f"{name} {others + 1}" if others else name


def refused(id: str, latex: str) -> str:
    """Why the LaTeX does not hold for the values of this equation; "" if it does."""
    checked = 0
    for values in symbols(id):
        try:
            for text, holds in statements(latex, values):
                checked += 1
                if not holds:
                    return f"does not hold: {text}"
        except Exception as error:  # a fault may make anything of a formula
            return f"{type(error).__name__}: {error}"
    return "" if checked else "nothing in it can be checked"
