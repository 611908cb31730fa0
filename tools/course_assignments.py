"""Assignments from the chapters' exercises: for each week a folder, in it a notebook a chapter.

    source_notebook(stem)   for nbgrader: solutions and hidden tests between its marks
    student(notebook)       the same without either: what students get, nbgrader or not
    answered(notebook, ..)  a student's notebook with answers put in, to try the grading
    write(out)              all of it, into a folder that is a course of nbgrader

A hidden test is the exercise's own check: `judged` returns None, or the hint for this answer.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from book_rules import CHAPTERS, KERNELSPEC
from nbformat import NotebookNode

from book.ch00_start.book_map import CHAPTERS as MAP
from book.ch00_start.course import SIX_WEEKS, Session
from book.exercises import Exercise, registry

SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
POINTS = 1
STATEMENT = re.compile(
    r"\*\*Exercise (\d+(?:\.\d+)?-\d+)\.\*\*.*?(?=\n\n(?:\*\*Exercise|#)|\Z)", re.DOTALL
)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)")
HEADER = """# Exercises of chapter {number}, {title}

Read `chapters/{stem}.ipynb` first. Replace each `...` by your answer, and run the cells from top to
bottom. `check` answers `[todo]`, `[not yet]` with a hint that fits your answer, or `[ok]`; ask it
as often as you like. `hint("{first}")` gives a nudge. Each exercise counts {points} point. Leave
the other cells as they are."""
BEGIN = '''import sys
from pathlib import Path

import minildm

sys.path.insert(0, str(Path(minildm.__file__).resolve().parents[1] / "chapters"))  # the book's code
from book import check, hint'''
CONFIG = """# Settings of nbgrader for this course; written by tools/course.py.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "latent-diffusion"
c.ClearSolutions.code_stub = {"python": ""}  # the stub of the exercise stands before the solution
c.ExecutePreprocessor.timeout = 300  # seconds for one cell
"""


def week_name(number: int) -> str:
    return f"week{number}"


def notebook_name(stem: str) -> str:
    """`chapter_4_3.ipynb` of the chapter 04_3_gaussian_case."""
    return f"chapter_{MAP[stem].number.replace('.', '_')}.ipynb"


def exercises_of(stem: str) -> list[Exercise]:
    """The exercises of a chapter, in the order of their numbers."""
    number = MAP[stem].number
    return [e for id, e in registry().items() if id.rpartition("-")[0] == number]


def statements(stem: str) -> dict[str, str]:
    """Exercise -> what the chapter asks, word for word; links to other files become their words."""
    notebook = nbformat.read(CHAPTERS / f"{stem}.ipynb", as_version=4)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    found = (match for text in texts for match in STATEMENT.finditer(text))
    return {match[1]: LINK.sub(r"\1", match[0].strip()) for match in found}


def source_notebook(stem: str) -> NotebookNode:
    """All exercises of a chapter, each with statement, setup, solution and a graded check."""
    exercises, said = exercises_of(stem), statements(stem)
    chapter = MAP[stem]
    head = HEADER.format(
        number=chapter.number, title=chapter.name, stem=stem, first=exercises[0].id, points=POINTS
    )
    cells = [_text("header", head), _code("begin", BEGIN)]
    for exercise in exercises:
        name = exercise.id.replace(".", "-")
        cells.append(_text(f"exercise-{name}", said[exercise.id]))
        if exercise.setup:
            cells.append(_code(f"setup-{name}", exercise.setup.strip()))
        answer = [exercise.stub.strip(), SOLUTION[0], exercise.solution.strip(), SOLUTION[1]]
        cells.append(_code(f"answer-{name}", "\n".join(answer), solution=True))
        cells.append(_code(f"check-{name}", graded_check(exercise), grade=True))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = dict(KERNELSPEC)
    return notebook


def graded_check(exercise: Exercise) -> str:
    """The cell that gives the point: `check` for the student, the same check for the grader."""
    lines = [
        f'check("{exercise.id}", {exercise.answer})', HIDDEN[0],
        "from book.exercises import judged",
        f'complaint = judged("{exercise.id}", {exercise.answer})',
        "assert complaint is None, complaint", HIDDEN[1],
    ]  # fmt: skip
    return "\n".join(lines)


def _text(id: str, source: str) -> NotebookNode:
    cell = nbformat.v4.new_markdown_cell(source, id=id)
    return _marked(cell)


def _code(id: str, source: str, *, solution: bool = False, grade: bool = False) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(source, id=id)
    return _marked(cell, solution=solution, grade=grade)


def _marked(cell: NotebookNode, *, solution: bool = False, grade: bool = False) -> NotebookNode:
    """What nbgrader has to know of a cell."""
    marks = {"grade_id": cell.id, "grade": grade, "solution": solution, "task": False,
             "locked": not solution, "schema_version": 3}  # fmt: skip
    cell.metadata["nbgrader"] = marks | ({"points": POINTS} if grade else {})
    return cell


def student(notebook: NotebookNode) -> NotebookNode:
    """A notebook without solutions and hidden tests, as nbgrader's release leaves it."""
    page = nbformat.from_dict(notebook)
    for cell in page.cells:
        for begin, end in (SOLUTION, HIDDEN):
            cell.source = re.sub(rf"\n{begin}\n.*?\n{end}", "", cell.source, flags=re.S)
    return page


def answered(notebook: NotebookNode, answers: Mapping[str, str]) -> NotebookNode:
    """A student's notebook with the code of `answers`, by exercise, in the cells for it."""
    page = nbformat.from_dict(notebook)
    for cell in page.cells:
        for id, code in answers.items():
            if cell.id == f"answer-{id.replace('.', '-')}":
                cell.source = code
    return page


def wrong_code(exercise: Exercise, which: int) -> tuple[str, str] | None:
    """Code for the listed wrong answer number `which` among those that are code, and its hint."""
    listed = [(code, piece) for code, piece in exercise.wrong if isinstance(code, str)]
    if not listed:
        return None
    code, piece = listed[which % len(listed)]
    return f"{exercise.solution.strip()}\n{code}", piece


def with_exercises(session: Session) -> list[str]:
    return [stem for stem in session.chapters if exercises_of(stem)]


def write(out: Path, note: Callable[[str], Any] = print) -> None:
    """`source/` for nbgrader, `handout/` for students without it, and nbgrader's settings."""
    out.mkdir(parents=True, exist_ok=True)
    for number, session in enumerate(SIX_WEEKS, start=1):
        count = 0
        for stem in with_exercises(session):
            notebook = source_notebook(stem)
            for folder, page in (("source", notebook), ("handout", student(notebook))):
                path = out / folder / week_name(number) / notebook_name(stem)
                path.parent.mkdir(parents=True, exist_ok=True)
                nbformat.write(page, path)
            count += len(exercises_of(stem))
        note(f"{week_name(number)}: {count} exercises from {len(with_exercises(session))} chapters")
    (out / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
