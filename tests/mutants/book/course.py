"""Faults in the course kit: what students get, what a grader asserts, what platforms import."""

from mutants import Mutant

COURSE = ("tests/repository/test_course.py",)

MUTANTS = [
    Mutant(0, 'solutions are handed out', 'tools/course_assignments.py',
        'for begin, end in (SOLUTION, HIDDEN):', 'for begin, end in (HIDDEN,):', COURSE),
    Mutant(0, 'hidden tests are handed out', 'tools/course_assignments.py',
        'for begin, end in (SOLUTION, HIDDEN):', 'for begin, end in (SOLUTION,):', COURSE),
    Mutant(0, 'a blank gets the point', 'chapters/book/exercises.py',
        'blank = f"not answered: {exercise.title}"', 'blank = None', COURSE),
    Mutant(0, 'solutions cannot be switched off', 'chapters/book/exercises.py',
        'if os.environ.get(NO_SOLUTIONS):', 'if False:', COURSE),
    Mutant(0, 'students may change the check', 'tools/course_assignments.py',
        '"locked": not solution, "schema_version": 3', '"locked": False, "schema_version": 3', COURSE),
    Mutant(0, 'the first reply of a check counts', 'chapters/book/exercises_solved.py',
        'found[id] = kind', 'found.setdefault(id, kind)', COURSE),
    Mutant(0, 'a reply in the middle of a line counts', 'chapters/book/exercises.py',
        'r"^\\[(ok|not yet|todo)\\]', 'r"\\[(ok|not yet|todo)\\]', COURSE),
    Mutant(0, 'braces of a formula end a question in GIFT', 'tools/course_questions.py',
        'for c in "\\\\~=#{}:"', 'for c in "\\\\~=#:"', COURSE),
    Mutant(0, 'Moodle takes the wrong answers for right', 'tools/course_questions.py',
        'fraction = "100" if option.right else "0"', 'fraction = "0" if option.right else "100"', COURSE),
    Mutant(0, 'a slide may show a figure that is gone', 'tools/course_slides.py',
        'raise ValueError(f"{stem}, cell {name}: no such figure is stored")', 'return b"", ""', COURSE),
    Mutant(0, 'the syllabus keeps the links of chapter 0', 'tools/course.py',
        'table = table.replace(f"]({stem}.ipynb)", f"](../chapters/{stem}.ipynb)")', 'pass', COURSE),
]
