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
    """The LaTeX of each numbered equation, read from the chapters' sources."""
    return {
        number[1]: display
        for path in sorted(SOURCES.glob("*.md"))
        for display in DISPLAY.findall(path.read_text(encoding="utf-8"))
        if (number := re.search(r"\\tag\{([^}]*)\}", display))
    }


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
