"""A week's assignment through nbgrader: released, answered rightly, not at all and wrongly, graded.

make course-test
"""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import course_assignments as assignments
import nbformat
import pytest
from course_assignments import HIDDEN, SOLUTION

from book.ch00_start.course import SIX_WEEKS
from book.exercises import Exercise

pytest.importorskip("nbgrader", reason="the extra course brings it: make course-test")
NUMBER = 2  # its exercises need no trained model: the kernels start fast
WEEK = assignments.week_name(NUMBER)
STEMS = assignments.with_exercises(SIX_WEEKS[NUMBER - 1])
EXERCISES = [e for stem in STEMS for e in assignments.exercises_of(stem)]
STUDENTS = ("right", "blank", "wrong-0", "wrong-1")


def answers(student: str) -> dict[str, str]:
    """The code that a student hands in, by exercise; what is missing stays the stub."""
    if student == "blank":
        return {}
    if student == "right":
        return {e.id: e.solution for e in EXERCISES}
    return {e.id: code for e, (code, _) in mistakes(student)}


def mistakes(student: str) -> list[tuple[Exercise, tuple[str, str]]]:
    """(exercise, (code of a listed wrong answer, a piece of the hint that it gets))."""
    which = int(student[-1])
    listed = ((e, assignments.wrong_code(e, which)) for e in EXERCISES)
    return [(e, wrong) for e, wrong in listed if wrong is not None]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course's folder after the whole round trip."""
    folder = tmp_path_factory.mktemp("course")
    assignments.write(folder)

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}  # nbgrader calls alembic by its name

    def nbgrader(*words: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert done.returncode == 0, f"nbgrader {' '.join(words)}:\n{done.stderr[-3000:]}"

    nbgrader("generate_assignment", WEEK)
    for student in STUDENTS:
        handed_in = folder / "submitted" / student / WEEK
        handed_in.mkdir(parents=True)
        for path in (folder / "release" / WEEK).glob("*.ipynb"):
            page = assignments.answered(nbformat.read(path, as_version=4), answers(student))
            nbformat.write(page, handed_in / path.name)
    nbgrader("autograde", WEEK)
    nbgrader("generate_feedback", WEEK)
    return folder


@pytest.fixture(scope="module")
def scores(course):
    """Student -> exercise -> points."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        return {
            student: {
                grade.cell.name.removeprefix("check-"): grade.score
                for notebook in book.find_submission(WEEK, student).notebooks
                for grade in notebook.grades
            }
            for student in STUDENTS
        }


def slug(exercise: Exercise) -> str:
    return exercise.id.replace(".", "-")


def feedback(course, student: str) -> str:
    """All that a student is told, without tags, on one line."""
    pages = sorted((course / "feedback" / student / WEEK).glob("*.html"))
    assert len(pages) == len(STEMS)
    text = " ".join(page.read_text(encoding="utf-8") for page in pages)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_nothing_released_helps_more_than_the_handout(course):
    """nbgrader leaves what `student` leaves: the stub, and the check without its hidden part."""
    for path in sorted((course / "release" / WEEK).glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        assert not any(mark in text for mark in (*SOLUTION, *HIDDEN))
        released = nbformat.read(path, as_version=4).cells
        handout = nbformat.read(course / "handout" / WEEK / path.name, as_version=4).cells
        assert [c.source.strip() for c in released] == [c.source.strip() for c in handout]


def test_right_answers_get_all_points(scores):
    assert scores["right"] == {slug(e): assignments.POINTS for e in EXERCISES}


def test_blanks_get_none(scores):
    assert scores["blank"] == {slug(e): 0 for e in EXERCISES}


@pytest.mark.parametrize("student", ["wrong-0", "wrong-1"])
def test_wrong_answers_get_no_point_and_their_own_hint(course, scores, student):
    told = feedback(course, student)
    listed = mistakes(student)
    assert len(listed) > len(EXERCISES) / 2
    for exercise, (_, piece) in listed:
        assert scores[student][slug(exercise)] == 0
        assert " ".join(piece.split()) in told, (exercise.id, piece)
