"""Faults in the list of questions."""

from mutants import Mutant

QUESTIONS = "tests/book/test_questions.py"

MUTANTS = [
    Mutant(
        0, 'links lead to another place', 'chapters/book/ch09_faq/questions.py',
        'https://github.com/{match[1]}/issues/{match[2]}',
        'https://github.com/{match[1]}/{match[2]}', (QUESTIONS,),
    ),
    Mutant(
        0, 'anchors in lower case', 'chapters/book/ch09_faq/questions.py',
        'return "#" + heading.replace(" ", "-")',
        'return "#" + heading.lower().replace(" ", "-")', (QUESTIONS,),
    ),
    Mutant(
        0, 'a trap that nobody teaches', 'chapters/book/ch09_faq/questions.py',
        '"04_1_mathematical_model", "index base")',
        '"04_1_mathematical_model")', (QUESTIONS,),
    ),
]  # fmt: skip
