"""Every exercise: the blank, the solution, and each typical mistake get the reply they deserve.

The checks are pure functions, so no chapter is run here: the solution's code is.
"""

import ast
import math
from dataclasses import replace

import pytest
import torch
from book_rules import in_order

from book import exercises
from book.ch05_6_gpu.exercises import COMMAND
from book.exercises import Exercise, check, hint, is_blank, registry, reveal, said, verdict

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


def test_a_long_reply_breaks_between_words(monkeypatch, capsys):
    words = "as long as a hint that names every word of the grammar, well-known or not, tends to be"
    long = replace(ROOT, praise=f"{words}, {words}.\n    x = 1")
    monkeypatch.setattr(exercises, "registry", lambda: {"0-1": long})
    check("0-1", 2.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= exercises.WIDTH
    assert " ".join(lines).split() == f"[ok] 0-1: {long.praise}".split()


def test_replies_have_colours_where_these_are_shown(book_of_one, capsys, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for shown, before, after in (True, "\x1b[1;{}m", "\x1b[0m"), (False, "", ""):
        monkeypatch.setattr(exercises.sys.stdout, "isatty", lambda shown=shown: shown)
        for answer in 2.0, 3.0, ...:
            check("0-1", answer)
        ok, not_yet, todo = capsys.readouterr().out.splitlines()
        assert ok.startswith(f"{before.format(32)}[ok]{after} 0-1: ")
        assert not_yet.startswith(f"{before.format(33)}[not yet]{after} 0-1: ")
        assert todo.startswith("[todo] 0-1: ")
    monkeypatch.setattr(exercises.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert exercises.painted("[ok]", exercises.GREEN) == "[ok]"


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
    assert reply.startswith("[not yet] 0-1") and "of type str" in reply and ROOT.title in reply
    assert "Error" not in reply  # Python's own words say nothing of the exercise
    reply = verdict(ROOT, torch.zeros(2, 3))
    assert "of type Tensor, of shape (2, 3) and dtype torch.float32" in reply


def unanswered(x):
    """Double it."""
    ...


def unanswered_return(x):
    return ...  # YOUR CODE HERE


class Unanswered(torch.nn.Module):
    def __init__(self):
        super().__init__()
        ...  # YOUR CODE HERE

    def forward(self, x):
        return ...  # YOUR CODE HERE


class Answered(Unanswered):
    def forward(self, x):
        return x


def identity(x):
    return x


def constant(x):
    return 1


def test_blanks_are_recognised():
    for blank in (None, ..., (1, ...), [..., ...], unanswered, unanswered_return, Unanswered):
        assert is_blank(blank), blank
    written = (identity, constant, len, Answered, int)
    for filled in (0, 0.0, "", False, (), torch.zeros(2), (0, 1), *written):
        assert not is_blank(filled), filled


def test_the_reply_to_a_guess():
    assert said(25) == "you said 25"
    assert said((0.1, "all")) == "you said 0.1 and all"
    for blank in (..., (..., ...), (0.1, ...)):
        assert "no guess yet" in said(blank)


def test_a_number_used_twice_is_refused(monkeypatch):
    class Chapter:
        EXERCISES = (ROOT,)

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


# --- one formula, many spellings ------------------------------------------------------------------

NAMES = {"sqrt": "torch.sqrt", "exp": "torch.exp", "log": "torch.log"}


class Spelled(ast.NodeTransformer):
    """The roots, exponentials and logarithms of a function, all written in one way.

    ``way``: "torch" (torch.sqrt(v)), "method" (v.sqrt()), "power" (v ** 0.5, roots only),
    "math" (math.sqrt(v)) or "np". ``found`` counts them.
    """

    def __init__(self, way):
        self.way, self.found = way, 0

    def write(self, name, value):
        self.found += 1
        if self.way == "power" and name == "sqrt":
            return ast.BinOp(value, ast.Pow(), ast.Constant(0.5))
        if self.way == "method":
            return ast.Call(ast.Attribute(value, name, ast.Load()), [], [])
        library = "torch" if self.way == "power" else self.way
        function = ast.Attribute(ast.Name(library, ast.Load()), name, ast.Load())
        return ast.Call(function, [value], [])

    def visit_Call(self, node):
        self.generic_visit(node)
        function = node.func
        if not isinstance(function, ast.Attribute) or function.attr not in NAMES or node.keywords:
            return node
        name = function.value.id if isinstance(function.value, ast.Name) else ""
        library = name in ("torch", "math", "np")
        if library and len(node.args) == 1:
            return self.write(function.attr, node.args[0])
        if not library and not node.args:
            return self.write(function.attr, function.value)
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        power = node.right
        if isinstance(node.op, ast.Pow) and isinstance(power, ast.Constant) and power.value == 0.5:
            return self.write("sqrt", node.left)
        return node


def respelled(exercise, way):
    """The solution in another spelling; None if it has no root, exponential or logarithm."""
    spelled = Spelled(way)
    tree = spelled.visit(ast.parse(exercise.solution))
    if not spelled.found:
        return None
    code = "import math, torch\nimport numpy as np\n" + ast.unparse(ast.fix_missing_locations(tree))
    return replace(exercise, solution=code)


FORMULAS = [e for e in registry().values() if "def " in e.solution and respelled(e, "torch")]


def test_the_spellings_are_spelled():
    root = replace(ROOT, solution="def f(x):\n    return x.sqrt() + (1 - x) ** 0.5 + math.exp(x)")
    said = {way: respelled(root, way).solution.splitlines()[-1] for way in WAYS}
    assert said["torch"].strip() == "return torch.sqrt(x) + torch.sqrt(1 - x) + torch.exp(x)"
    assert said["method"].strip() == "return x.sqrt() + (1 - x).sqrt() + x.exp()"
    assert said["np"].strip() == "return np.sqrt(x) + np.sqrt(1 - x) + np.exp(x)"
    assert respelled(replace(ROOT, solution="f = 1"), "torch") is None
    assert len(FORMULAS) > 5


WAYS = ("torch", "method", "power", "math", "np")
# What fails in the chapter too: math takes single numbers only, torch takes tensors only.
TENSORS = ("4.1-1", "5.0-1", "5.1-2", "5.3-1", "5.3-2", "5.3-3", "7-4")
WHOLE_TENSORS = {(id, "math") for id in TENSORS}
PLAIN_NUMBERS = {(id, way) for id in ("5.2-3", "6-5") for way in ("torch", "method")}
SPELLINGS = [
    (exercise, way)
    for exercise in FORMULAS
    for way in WAYS
    if (exercise.id, way) not in WHOLE_TENSORS | PLAIN_NUMBERS
]


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize(("exercise", "way"), SPELLINGS, ids=lambda p: getattr(p, "id", p))
def test_a_right_answer_counts_in_every_spelling(exercise, way):
    """No spelling is refused for what the check hands over."""
    reply = verdict(exercise, run(respelled(exercise, way)))
    assert reply.startswith("[ok]"), reply


def test_a_function_that_returns_nothing_or_raises_is_told_so():
    double = replace(ROOT, check=lambda f: None if float(f(2.0)) == 4.0 else "that is not double")

    def forgotten(x):
        2 * x

    def broken(x):
        return torch.sqrt(x)

    assert "returned nothing: is a `return` missing?" in verdict(double, forgotten)
    reply = verdict(double, broken)
    assert "called with (float), your function raises TypeError: sqrt()" in reply
    assert verdict(double, lambda x: 3 * x) == "[not yet] 0-1: that is not double"
    assert verdict(double, lambda x: 2 * x).startswith("[ok]")


SETTINGS = "denoiser.fit.batch=256 denoiser.fit.accumulate=2 denoiser.fit.precision=bf16"


@pytest.mark.parametrize(
    "launch",
    [
        "--nproc_per_node 4", "--nproc-per-node=4", "--nnodes 1 --nproc_per_node=4",
        "--standalone --nproc-per-node 4 --nnodes=1", "--nproc_per_node 4 \\\n   ",
    ],
)  # fmt: skip
def test_every_spelling_of_the_launch_is_accepted(launch):
    text = f"torchrun {launch} -m minildm train shapes --set {SETTINGS}"
    assert verdict(COMMAND, text).startswith("[ok]"), verdict(COMMAND, text)


@pytest.mark.parametrize(
    ("launch", "piece"),
    [
        ("--nnodes=4 --nproc-per-node=1", "one machine"), ("--nproc-per-node=gpu", "the number, 4"),
        ("--nnodes 1", "number of processes"), ("--nproc_per_node 4 --max_restarts 3", "leave out"),
    ],
)  # fmt: skip
def test_a_wrong_launch_gets_its_own_hint(launch, piece):
    text = f"torchrun {launch} -m minildm train shapes --set {SETTINGS}"
    assert piece in verdict(COMMAND, text)
