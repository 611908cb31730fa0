"""The course kit, from course/ and the chapters into outputs/course.

python tools/course.py assignments   a notebook for each chapter's exercises, a folder for each week
python tools/course.py slides        the decks as HTML, and as PDF where there is a Chromium
python tools/course.py questions     the question bank as Moodle XML and as GIFT
python tools/course.py syllabus      renew the tables of course/README.md
python tools/course.py grade FOLDER  who has solved what, in students' notebooks (--run: run them)
"""

import argparse
import sys
from pathlib import Path

from book_rules import BOOK, CHAPTERS

sys.path.insert(0, str(CHAPTERS))

import course_assignments
import course_grade
import course_questions
import course_slides

from book.ch00_start import course as plans
from book.ch00_start.book_map import CHAPTERS as MAP

OUT = BOOK / "outputs" / "course"
README = BOOK / "course" / "README.md"
PLANS = {"six weeks": plans.SIX_WEEKS, "two days": plans.TWO_DAYS}
MARKS = "<!-- {}: made by `make pages` -->", "<!-- end of {} -->"


def tables(text: str) -> str:
    """The syllabus with its tables of times, exercises and chapters as they are today."""
    facts = plans.read_words(), plans.read_exercises(), plans.read_costs()
    for name, plan in PLANS.items():
        begin, end = (mark.format(name) for mark in MARKS)
        table = plans.plan_table(plan, *facts)
        for stem in MAP:
            table = table.replace(f"]({stem}.ipynb)", f"](../chapters/{stem}.ipynb)")
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{table}\n\n{end}{rest.split(end, 1)[1]}"
    return text


def syllabus() -> int:
    """Write the tables of course/README.md anew."""
    README.write_text(tables(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def slides(out: Path) -> int:
    """All decks; without a Chromium there is no PDF, and that is said."""
    for page in course_slides.write(out):
        print(page.relative_to(BOOK))
    course_slides.write_pdf(out)
    return 0


def grade(folder: Path, again: bool) -> int:
    """Print who has solved what; 1 if there is no notebook."""
    found = course_grade.students(folder, again)
    print(course_grade.table(found) if found else f"no notebook in {folder}")
    return 0 if found else 1


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description="The course kit, into outputs/course.")
    verbs = found.add_subparsers(dest="verb", required=True)
    for name in ("assignments", "slides", "questions", "syllabus"):
        verbs.add_parser(name)
    one = verbs.add_parser("grade", help="a table of students and exercises")
    one.add_argument("folder", type=Path)
    one.add_argument("--run", action="store_true", help="run each notebook again first")
    return found


def main() -> int:
    choice = parser().parse_args()
    if choice.verb == "grade":
        return grade(choice.folder, choice.run)
    if choice.verb == "assignments":
        course_assignments.write(OUT)
        print(f"for nbgrader: cd {OUT.relative_to(BOOK)}, then nbgrader generate_assignment week1")
    if choice.verb == "questions":
        print(f"{course_questions.write(OUT / 'questions')} questions as Moodle XML and GIFT")
    if choice.verb == "slides":
        return slides(OUT / "slides")
    return syllabus() if choice.verb == "syllabus" else 0


if __name__ == "__main__":
    sys.exit(main())
