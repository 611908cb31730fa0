"""Faults in what a reader writes into, and in what the book says to that."""

from mutants import Mutant

COPIES = ("tests/repository/test_reader_copies.py",)
EXERCISES = ("tests/book/test_exercises.py",)
FIGURES = ("tests/book/test_figures.py",)
SOLVED = ("tests/book/test_exercises_solved.py",)

MUTANTS = [
    Mutant(0, 'what a reader wrote is written over', 'tools/reader_copies.py',
        'if not target.exists() or not is_touched(copy):', 'if True:', COPIES),
    Mutant(0, 'a copy never follows the book', 'tools/reader_copies.py',
        'if not target.exists() or not is_touched(copy):', 'if not target.exists():', COPIES),
    Mutant(0, 'a copy started afresh loses the old one', 'tools/reader_copies.py',
        'target.replace(kept)', 'target.unlink()', COPIES),
    Mutant(0, 'what stands for a folded answer is the answer', 'tools/reader_copies.py',
        'cell.outputs.insert(0, ', 'cell.outputs.append(', COPIES),
    Mutant(0, 'a blank unsolves an exercise', 'chapters/book/exercises_solved.py',
        'if kind != "todo"}', 'if kind}', SOLVED),
    Mutant(0, 'another copy unsolves an exercise', 'chapters/book/exercises_solved.py',
        'if found.get(id) != "ok"}', 'if id}', SOLVED),
    Mutant(0, 'what the judge refuses is put into words', 'chapters/book/figures.py',
        'return [t if ok else refused for', 'return [t if True else refused for', FIGURES),
    Mutant(0, 'replies are coloured in files too', 'chapters/book/exercises.py',
        'if shown and not os.environ.get("NO_COLOR") else word', 'if True else word', EXERCISES),
]
