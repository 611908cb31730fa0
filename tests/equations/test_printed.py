"""What a chapter displays is what is checked: the LaTeX of each numbered equation, evaluated."""

import pytest
import torch
from faults import faults
from latexmath import Unreadable
from latexvalue import Each, Operator, Rule, Unbound, statements
from pageforms import FORMS, HARMLESS, displays, forms, refused
from registry import printed

NUMBERS = [id for _, id in printed()]


def unread(numbers, read) -> list[str]:
    return [
        f"({id}) is printed but not read: say what its letters stand for, in a function marked "
        f'@shows("{id}") in tests/equations/page_*.py (CONTRIBUTING.md, "Equations")'
        for id in numbers
        if id not in read
    ]


def test_every_printed_equation_is_read():
    assert unread(NUMBERS, forms()) == []


def test_every_display_of_chapter_4_is_read():
    """With a number or without: each step of a proof is evaluated where it stands."""
    steps = [id for id in displays() if id.startswith("04_")]
    assert len(steps) > 16
    assert [id for id in steps if id not in forms()] == []


def test_only_printed_equations_are_read():
    assert set(forms()) <= set(displays()), "a number, or the name of a cell, has changed"


@pytest.mark.parametrize("id", [*NUMBERS, *(id for id in forms() if " " in id)])
def test_what_is_printed_holds_and_no_slip_of_the_pen_does(id):
    assert unread([id], forms()) == []
    latex = displays()[id]
    assert refused(id, latex) == ""
    slips = list(faults(latex))
    assert slips, "no slip of the pen can be tried"
    unseen = {what for what, wrong in slips if not refused(id, wrong)}
    assert unseen == set(HARMLESS[id])


# Five that a reader planted while only the tag was read, and all tests stayed green.
PLANTED = [
    ("4.2.12", r"\frac{r\, b_s^2\; z_t", r"\frac{r\, b_t^2\; z_t"),
    ("4.2.17", r"z_t - \frac", r"z_t + \frac"),
    ("4.2.31", "e^{-h}", "e^{h}"),
    ("4.2.35", r"- \tfrac12", "+ "),
    ("4.3.1", r"1 & 0 \\ 0 & 2", r"5 & 0 \\ 0 & 7"),
]


@pytest.mark.parametrize(("id", "old", "new"), PLANTED, ids=lambda x: str(x))
def test_a_reader_s_fault_is_refused(id, old, new):
    latex = displays()[id]
    assert latex.count(old) == 1
    assert refused(id, latex.replace(old, new))


# --- the reader -----------------------------------------------------------------------------------

LETTERS = {
    "a": 2.0, "b": 3.0, "x": 0.5, "t": 4, "f": lambda x: 10 * x, r"\bar\alpha_": lambda t: t / 8,
    r"q(a \mid b)": 7.0, r"\texttt{two\_a}": 4.0, "w": 5.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("latex", "value"),
    [
        (r"a\,b + 1", 7.0),
        (r"\tfrac12 a - \frac{a}{b}", 1 - 2 / 3),
        (r"w\,(a - b)", -5.0),
        (r"f(a - b)", -10.0),
        (r"f(a)^2", 400.0),
        (r"f\,(a)^2", 40.0),
        (r"\log a b\;b", 5.375278407684165),
        (r"\sqrt{1 - \bar\alpha_{t-1}}", 0.625**0.5),
        (r"\sum_{i=1}^{t} i", 10.0),
        (r"\prod_{i \le t} i\,a", 384.0),
        (r"\int_0^1 s^2 \;ds", 1 / 3),
        (r"\underbrace{2 a}_{\texttt{two\_a}} q(a \mid b)^2", 196.0),
        (r"\big\lVert a - b \big\rVert_2^2 + |a - b|", 2.0),
        (r"10{,}000^{1/2} \text{ words are no factors}", 100.0),
    ],
)
def test_the_value_of_a_formula(latex, value):
    symbols = LETTERS | {"values": [value]}
    assert [holds for _, holds in statements(latex, symbols)] == [True]
    assert [holds for _, holds in statements(latex, LETTERS | {"values": [value + 1e-5]})] == [
        False
    ]


def test_each_relation_is_a_statement():
    latex = (
        r"a + 1 = b = 3, \qquad b \ge a \quad\Longrightarrow\quad b = \underbrace{5}_{\text{no}}"
    )
    assert [holds for _, holds in statements(latex, LETTERS)] == [True, True, True, False]


@pytest.mark.parametrize("latex", ["a = c", r"\hat a = a", "q(b \\mid a) = 7", "a_t = 2"])
def test_a_letter_without_a_value_is_refused(latex):
    with pytest.raises(Unbound):
        list(statements(latex, LETTERS))


def test_a_new_equation_is_asked_for_its_letters():
    (message,) = unread(["9.9"], ())
    assert '@shows("9.9")' in message
    assert unread(["9.9"], {"9.9"}) == []


def test_what_says_nothing_is_refused():
    with pytest.raises(Unreadable, match="by itself"):
        list(statements("a = a + b", LETTERS | {"b": 0.0}))
    with pytest.raises(Unbound, match="when"):
        list(statements(r"a = \text{when } b", LETTERS | {"b": 2.0}))
    assert list(statements(r"\text{if } a < b", LETTERS)) == [(r"\text{if} a < b", True)]


def test_symbols_that_act_on_formulas():
    symbols = LETTERS | {
        r"\sum_j": Operator(lambda rest: rest({"j": 1}) + rest({"j": 2})),
        "c_j": Rule(lambda values: 10.0 * values["j"]), r"\Delta": Operator(
            lambda rest: rest({"a": 3.0}) - rest({"a": 2.0})
        ),
        "d": Each((30.0, 5.0)),
    }  # fmt: skip
    latex = r"d = \sum_j c_j, \quad d = \Delta\, a^2, \quad d = 0"
    assert [holds for _, holds in statements(latex, symbols | {"only": (0, 1)})] == [True, True]


@pytest.mark.parametrize(
    ("latex", "value"),
    [
        (r"2\,a\,b", 20.0),
        (r"a\,b\,w", 7.0),  # not the value of a b, times w
        (r"b\,a", 6.0),  # in another order it is no such run
        (r"a\,x\,b", 3.0),  # nor with something between
        (r"w\,a\,b^2", 500.0),  # the exponent is that of the whole run
        (r"\frac{a\,b}{b}", 10 / 3),
    ],
)
def test_the_longest_run_of_factors_wins(latex, value):
    symbols = LETTERS | {"a b": 10.0, "a b w": 7.0, "values": [value]}
    assert [holds for _, holds in statements(latex, symbols)] == [True]


@pytest.mark.parametrize("given", [[], [LETTERS], [LETTERS | {"only": ()}]])
def test_a_form_that_checks_nothing_is_refused(monkeypatch, given):
    forms()
    monkeypatch.setitem(FORMS, f"9.{len(given)}{given}", lambda: iter(given))
    latex = "a = 2" if given and "only" in given[0] else r"\text{words alone}"
    assert refused(f"9.{len(given)}{given}", latex) == "nothing in it can be checked"


def test_an_inner_product_is_that_of_rows():
    symbols = {"x": torch.tensor([[1.0, 2.0], [0.0, 3.0]]), "y": torch.tensor([[3.0, 1.0]])}
    latex = r"\big\langle x,\; y - x \big\rangle"
    assert [holds for _, holds in statements(latex, symbols | {"values": [[0.0, -6.0]]})] == [True]


def test_a_function_to_a_power_and_a_space():
    symbols = LETTERS | {"y": torch.zeros(5, 4, 8), r"\mathbb R^{4 \times 8}": (4, 8)}
    latex = r"f^2(a) = 400, \quad y \in \mathbb{R}^{4 \times 8}."
    assert [holds for _, holds in statements(latex, symbols)] == [True, True]


def test_samples_are_drawn_from_what_has_their_moments():
    symbols = {"x": torch.tensor([0.0, 4.0]), "y": torch.zeros(2)}
    latex = r"x \sim \mathcal N(2, 4), \quad x \sim \mathcal N(2, 2), \quad y \sim \mathcal N(1, 0)"
    assert [holds for _, holds in statements(latex, symbols)] == [True, False, False]


def test_a_slip_changes_the_formula_and_not_its_words():
    latex = r"\text{noise}_{t-1} - \tfrac12 \sqrt{a_t}\tag{1.2}"
    found = dict(faults(latex))
    assert len(found) > 6
    assert all(r"\text{noise}" in wrong and r"\tag{1.2}" in wrong for wrong in found.values())
    for wanted in (r"\tfrac12 {a_t}", r"1 \sqrt", r"+ \tfrac12", "{noise}_t "):
        assert any(wanted in wrong for wrong in found.values()), wanted
