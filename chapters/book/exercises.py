"""Exercises that check themselves.

A chapter asks, the reader answers, `check` replies with one of three lines:

    check("4.3-2", my_betas)    # [todo] ...       the blank is still there
                                # [not yet] ...    a hint that fits this answer
                                # [ok] ...         solved

The word in brackets is green or yellow where colours are shown, unless NO_COLOR is set.
`hint("4.3-2")` gives a nudge before any attempt, `reveal("4.3-2")` shows the solution, unless the
environment variable MINILDM_NO_SOLUTIONS is set; `said(guess)` repeats what the reader guessed
before the answer was there; `judged("4.3-2", my_betas)` is for a program that grades.

Each chapter has its own, `ch04_3_gaussian/exercises.py` for chapter 4.3, with a list `EXERCISES`.
A check is a pure function of the answer, so that the tests can call it with the solution and with
typical wrong answers, without running the chapter again.
"""

import contextlib
import functools
import importlib
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from book.language import told

# A reply of `check`, as it is printed in every language: [ok] 4.3-2: solved.
REPLY = re.compile(r"^\[(ok|not yet|todo)\] (\d+(?:\.\d+)?-\d+)[:：]", re.MULTILINE)
GREEN, YELLOW = 32, 33  # of a terminal's colours; JupyterLab shows them in its own shades
COLOURS = {"[ok]": GREEN, "[not yet]": YELLOW}
WIDTH = 96  # letters
NO_SOLUTIONS = "MINILDM_NO_SOLUTIONS"  # in the environment: reveal shows none


@dataclass(frozen=True)
class Exercise:
    """One exercise: what is asked, how an answer is judged, and what typical mistakes look like."""

    id: str  # "4.3-2": second exercise of chapter 4.3
    title: str  # what is asked, in a few words
    stub: str  # code of the chapter's cell, with `...   # YOUR CODE HERE` for what is missing
    solution: str  # complete code; every line of the stub but the blanks occurs in it, in order
    answer: str  # name of the variable (or function) that holds the answer
    check: Callable[[Any], str | None]  # pure: None when right, else the hint for this answer
    hint: str  # a nudge, before any attempt
    # Typical wrong answers, each with a piece of the hint that it must get. A string is code that
    # runs after the solution and defines `answer` anew; anything else is the answer itself.
    wrong: tuple[tuple[Any, str], ...] = field(default=(), repr=False)
    setup: str = ""  # code that the solution needs: imports, names from earlier cells
    praise: str = ""  # said after [ok]: what the answer shows


def check(id: str, answer: Any) -> None:
    """Print `[todo]`, `[not yet]` with a hint, or `[ok]`, for the reader's answer to exercise `id`.

    Never raises because of the answer. Raises `ValueError` for an unknown exercise.
    """
    reply = told(verdict(find(id), answer))
    for kind, asked in REPLY.findall(reply):
        replied[asked] = kind
    print(in_colour(reply if reply.startswith("[todo]") else wrapped(reply)))


replied: dict[str, str] = {}  # exercise: "ok", "not yet" or "todo", of the last `check` of this run


def wrapped(reply: str) -> str:
    """A reply in lines that a notebook shows whole: it would break them inside of words."""
    lines = (textwrap.wrap(line, WIDTH, break_on_hyphens=False) for line in reply.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


def in_colour(reply: str) -> str:
    """A reply with its bracket in bold green or yellow; what is still to do has no colour."""
    for word, colour in COLOURS.items():
        if reply.startswith(word):
            return painted(word, colour) + reply.removeprefix(word)
    return reply


def painted(word: str, colour: int) -> str:
    """A word in bold and in a terminal's colour, where colours are shown and wanted; else as it is.

    In a notebook they are shown, in a file they are not.
    """
    shown = type(sys.stdout).__module__.startswith("ipykernel") or sys.stdout.isatty()
    return f"\x1b[1;{colour}m{word}\x1b[0m" if shown and not os.environ.get("NO_COLOR") else word


def hint(id: str) -> None:
    """Print a nudge for exercise `id`."""
    print(told(find(id).hint))


def said(guess: Any) -> str:
    """What the reader guessed; or, while the dots still stand in the cell, a nudge to guess."""
    if is_blank(guess):
        return told("no guess yet: replace the dots above, and run both cells")
    given = told(" and ").join(map(str, guess)) if isinstance(guess, tuple) else guess
    return told(f"you said {given}")


def reveal(id: str) -> None:
    """Print the solution of exercise `id`; a course may switch that off."""
    exercise = find(id)
    if os.environ.get(NO_SOLUTIONS):
        print(told(f"{NO_SOLUTIONS} is set here: solutions are not shown. Try hint({id!r})."))
        return
    print(told(f"# Exercise {exercise.id}: {exercise.title}"))
    print(exercise.solution.strip())


def verdict(exercise: Exercise, answer: Any) -> str:
    """The line that `check` prints; a wrong type or shape is a wrong answer, not a crash."""
    if is_blank(answer):
        return f"[todo] {exercise.id}: {exercise.title}. Replace the `...` and run the cell again."
    complaint = _complaint(exercise, answer)
    if complaint is not None:
        return f"[not yet] {exercise.id}: {complaint}"
    return " ".join(f"[ok] {exercise.id}: {exercise.praise or 'solved.'}".split())


def judged(id: str, answer: Any) -> str | None:
    """None if the answer to exercise `id` is right, else the hint: what a grader asserts."""
    exercise = find(id)
    blank = f"not answered: {exercise.title}"
    complaint = blank if is_blank(answer) else _complaint(exercise, answer)
    return None if complaint is None else told(complaint)


def _complaint(exercise: Exercise, answer: Any) -> str | None:
    """The hint for an answer, or None if it is right; whatever the answer is, nothing is raised."""
    try:
        complaint = exercise.check(answer)
    except Exception:  # whatever the reader wrote: the reply is a hint, not a traceback
        complaint = (
            f"your answer is {_describe(answer)}; it could not be checked: it is another kind of "
            f"thing than the exercise asks for ({exercise.title})"
        )
    if complaint is None:
        return None
    return _own_fault(exercise, answer) or complaint


def _own_fault(exercise: Exercise, answer: Any) -> str | None:
    """What the reader's function does wrong by itself: it raises, or it returns nothing.

    The check is run once more, with a function that notes what becomes of each call.
    """
    if not inspect.isfunction(answer):
        return None
    noted: list[str] = []

    @functools.wraps(answer)
    def watched(*given: Any, **options: Any) -> Any:
        try:
            value = answer(*given, **options)
        except Exception as error:
            kinds = ", ".join(type(value).__name__ for value in (*given, *options.values()))
            first = str(error).split("\n")[0]
            raised = f"{type(error).__name__}: {first}"
            noted.append(f"called with ({kinds}), your function raises {raised}")
            raise
        if value is None:
            noted.append("your function returned nothing: is a `return` missing?")
        return value

    with contextlib.suppress(Exception):
        exercise.check(watched)
    return noted[0] if noted else None


def is_blank(answer: Any) -> bool:
    """Whether the answer is still the stub's blank: `...`, several of them, or a function of it.

    A class, such as a module, is blank while its `forward` is.
    """
    if isinstance(answer, tuple | list):
        return any(is_blank(part) for part in answer)
    if isinstance(answer, type):
        answer = vars(answer).get("forward", answer)
    code = getattr(answer, "__code__", None)
    if code is not None:  # def f(x): ...   and   def f(x): return ...
        constants = set(code.co_consts) - {answer.__doc__}
        return code.co_code in _blank_bodies() and constants <= {None, ...}
    return answer is None or answer is ...


@functools.cache
def _blank_bodies() -> set[bytes]:
    """The byte code of functions that do nothing yet, with and without a docstring."""
    namespace: dict[str, Any] = {}
    for i, body in enumerate(("...", "return ...", "'doc'\n ...", "'doc'\n return ...")):
        exec(f"def f{i}():\n {body}", namespace)
    return {namespace[f"f{i}"].__code__.co_code for i in range(4)}


def find(id: str) -> Exercise:
    """The exercise with this id; `ValueError` names those that exist."""
    exercises = registry()
    if id not in exercises:
        raise ValueError(f"no exercise {id!r}; there are {', '.join(exercises) or 'none yet'}")
    return exercises[id]


@functools.cache
def registry() -> dict[str, Exercise]:
    """All exercises of all chapters, by id, in the order of the book."""
    found: dict[str, Exercise] = {}
    for path in sorted(Path(__file__).parent.glob("ch*/exercises.py")):
        for exercise in importlib.import_module(f"book.{path.parent.name}.exercises").EXERCISES:
            if exercise.id in found:
                raise ValueError(f"exercise {exercise.id!r} is defined twice: give it a new number")
            found[exercise.id] = exercise
    return found


def _describe(answer: Any) -> str:
    """What the answer is, in words: its type, and its shape and dtype where it has them.

    Each in one piece, as a translation puts the words into another order.
    """
    kind = type(answer).__name__
    shape = tuple(answer.shape) if hasattr(answer, "shape") else None
    if shape is not None and hasattr(answer, "dtype"):
        return f"of type {kind}, of shape {shape} and dtype {answer.dtype}"
    return f"of type {kind}" if shape is None else f"of type {kind} and of shape {shape}"
