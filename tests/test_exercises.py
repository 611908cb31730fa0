"""Every exercise: the blank, the solution, and each typical mistake get the reply they deserve.

The checks are pure functions, so no chapter is run here: the solution's code is.
"""

import math

import pytest
import torch
from book_rules import in_order

from minildm import exercises
from minildm.exercises import Exercise, check, hint, is_blank, registry, reveal, verdict

PLACEHOLDER = "YOUR CODE HERE"


def run(exercise, extra=""):
    """The answer that the solution (and code after it) defines, in a fresh namespace."""
    namespace = {"__name__": "__exercise__"}
    for code in (exercise.setup, exercise.solution, extra):
        exec(compile(code, f"<exercise {exercise.id}>", "exec"), namespace)
    return namespace[exercise.answer]


def wrong_answers(exercise):
    """(answer, expected piece of the hint) for each listed mistake."""
    for given, piece in exercise.wrong:
        yield (run(exercise, given) if isinstance(given, str) else given), piece


def spoiled(right):
    """Answers of the wrong kind that every check must refuse, made from the right one."""
    yield "some text"
    yield object()
    if isinstance(right, torch.Tensor) and right.is_floating_point():
        yield torch.full_like(right, math.nan)
        yield torch.full((2, 3, 5, 7), math.nan)
        if right.dim() and len(right) > 1:
            yield right[:-1]
    if isinstance(right, float):
        yield math.nan
        yield math.inf
    if callable(right):

        def raising(*args, **keywords):
            raise RuntimeError("a mistake of the reader")

        def wordy(*args, **keywords):
            return "some text"

        def undefined(*args, **keywords):
            return not_a_number(right(*args, **keywords))

        yield from (raising, wordy, undefined)


def not_a_number(value):
    """The same thing with NaN for every number."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(not_a_number, value))
    if isinstance(value, tuple | list):
        return type(value)(map(not_a_number, value))
    return value * math.nan if isinstance(value, torch.Tensor | float | int) else value


# --- the mechanism, on an exercise made here ---------------------------------------------------


def judge_root(answer):
    if answer < 0:
        return "that is the other root"
    return None if abs(answer - 2.0) < 1e-9 else "its square is not 4"


ROOT = Exercise(
    id="0-1",
    title="Find the positive root of x² = 4",
    stub="root = ...   # YOUR CODE HERE",
    solution="root = 4 ** 0.5\n",
    answer="root",
    check=judge_root,
    hint="Which number, times itself, is 4?",
    wrong=((-2.0, "other root"), ("root = 4.0", "square")),
    praise="and it is positive.",
)


@pytest.fixture
def book_of_one(monkeypatch):
    monkeypatch.setattr(exercises, "registry", lambda: {ROOT.id: ROOT})


def test_the_three_replies(book_of_one, capsys):
    for answer in (..., 3.0, -2.0, 2.0):
        check("0-1", answer)
    todo, not_yet, other, ok = capsys.readouterr().out.splitlines()
    assert todo.startswith("[todo] 0-1: Find the positive root")
    assert not_yet == "[not yet] 0-1: its square is not 4"
    assert other == "[not yet] 0-1: that is the other root"
    assert ok == "[ok] 0-1: and it is positive."


def test_hint_and_reveal(book_of_one, capsys):
    hint("0-1")
    assert capsys.readouterr().out == "Which number, times itself, is 4?\n"
    reveal("0-1")
    assert "root = 4 ** 0.5" in capsys.readouterr().out


@pytest.mark.parametrize("ask", [hint, reveal, lambda id: check(id, 1)])
def test_an_unknown_exercise_is_named_with_those_that_exist(book_of_one, ask):
    with pytest.raises(ValueError, match=r"no exercise '0-9'; there are 0-1"):
        ask("0-9")


def test_an_answer_that_breaks_the_check_is_described_not_raised():
    reply = verdict(ROOT, "four")
    assert reply.startswith("[not yet] 0-1") and "a str" in reply and "TypeError" in reply
    reply = verdict(ROOT, torch.zeros(2, 3))
    assert "a Tensor of shape (2, 3) and dtype torch.float32" in reply


def unanswered(x):
    """Double it."""
    ...


def unanswered_return(x):
    return ...  # YOUR CODE HERE


def identity(x):
    return x


def constant(x):
    return 1


def test_blanks_are_recognised():
    for blank in (None, ..., (1, ...), [..., ...], unanswered, unanswered_return):
        assert is_blank(blank), blank
    for filled in (0, 0.0, "", False, (), torch.zeros(2), (0, 1), identity, constant, len):
        assert not is_blank(filled), filled


def test_a_number_used_twice_is_refused(monkeypatch):
    class Chapter:
        EXERCISES = (ROOT,)

    class Module:
        def __init__(self, name):
            self.name = name

    twice = [Module("chapter_00"), Module("chapter_01"), Module("not_a_chapter")]
    monkeypatch.setattr(exercises.pkgutil, "iter_modules", lambda path: twice)
    monkeypatch.setattr(exercises.importlib, "import_module", lambda name: Chapter)
    with pytest.raises(ValueError, match="'0-1' is defined twice"):
        registry.__wrapped__()


# --- every exercise of the book ----------------------------------------------------------------

each = pytest.mark.parametrize("exercise", [pytest.param(e, id=e.id) for e in registry().values()])


@each
def test_blank(exercise):
    assert verdict(exercise, ...).startswith(f"[todo] {exercise.id}")


@each
def test_solution(exercise):
    answer = run(exercise)
    assert verdict(exercise, answer).startswith(f"[ok] {exercise.id}")
    assert verdict(exercise, answer).startswith(f"[ok] {exercise.id}"), "a check changed the answer"


@each
def test_each_mistake_gets_its_own_hint(exercise):
    replies = {}
    for answer, piece in wrong_answers(exercise):
        reply = verdict(exercise, answer)
        assert reply.startswith("[not yet]"), (answer, reply)
        assert piece in reply, f"expected {piece!r} in {reply!r}"
        assert "could not be checked" not in reply, (
            f"a listed mistake made the check crash: {reply}"
        )
        assert replies.setdefault(reply, piece) == piece, f"one hint for two mistakes: {reply!r}"
    assert len(replies) >= 2, "list at least two typical mistakes that get different hints"


@each
def test_answers_of_the_wrong_kind(exercise):
    for answer in spoiled(run(exercise)):
        reply = verdict(exercise, answer)
        assert reply.startswith("[not yet]"), (answer, reply)
        assert len(reply) > 40, f"not much of a help: {reply!r}"


@each
def test_stub_is_part_of_the_solution(exercise):
    assert PLACEHOLDER in exercise.stub and "..." in exercise.stub
    assert PLACEHOLDER not in exercise.solution
    assert in_order(exercise.stub, exercise.solution, skip=PLACEHOLDER)
    assert exercise.hint.strip() and exercise.title.strip()


def test_the_stub_rule_sees_a_line_that_the_solution_lacks():
    stub = "a = 1\nb = ...   # YOUR CODE HERE\nc = a + b"
    assert in_order(stub, "a = 1\nb = 2\nc = a + b", skip=PLACEHOLDER)
    assert not in_order(stub, "a = 1\nb = 2\nc = a - b", skip=PLACEHOLDER)
    assert not in_order(stub, "c = a + b\nb = 2\na = 1", skip=PLACEHOLDER)
