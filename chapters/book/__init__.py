"""What only the book uses, beside the chapter that explains it. Never installed.

Every chapter takes from here what all of them use: ``from book import check, hint, show``.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "show": "display",
    "check": "exercises",
    "hint": "exercises",
    "progress": "exercises_solved",
    "reveal": "exercises",
    "read_results": "results",
    "said": "exercises",
}
__all__ = ["check", "hint", "progress", "read_results", "reveal", "said", "show"]


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, from where it lives: no module is imported before it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
