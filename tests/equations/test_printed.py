"""What a chapter displays is what is checked: the LaTeX of each numbered equation, evaluated."""

import pytest
from faults import faults
from latexvalue import Unbound, statements
from pageforms import HARMLESS, displays, forms, refused
from registry import printed

NUMBERS = [id for _, id in printed()]
# Equations whose print is not read yet. This list only shrinks.
NOT_YET = {
    "1.1", "1.2", "1.3", "1.4", "2.1", "2.2", "3.4", "3.5", "3.6", "3.7", "3.8", "4.4.1", "4.4.2",
    "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.5", "5.2.1", "5.2.2", "5.2.3", "5.2.4", "5.2.5",
    "5.3.1", "5.3.2", "5.3.3", "5.3.4", "5.3.5", "5.3.6", "5.3.7", "5.3.8", "5.4.1", "5.4.2",
    "5.4.3", "5.4.4", "5.4.5", "5.5.1", "5.5.2", "5.5.3", "5.5.4", "5.6.1", "5.6.2", "5.6.3",
    "5.6.4", "5.6.5", "6.1", "6.2", "6.3", "6.4", "6.5", "7.1", "7.2", "7.3", "7.4", "8.1", "8.2",
    "8.3", "8.4", "8.5", "8.6", "9.1", "9.2", "9.3",
}  # fmt: skip


def unread(numbers, read, excused) -> list[str]:
    how = (
        'say what its letters stand for: @shows("{0}") in tests/equations/page_*.py '
        'as in page_04_3.py (CONTRIBUTING.md, "Equations")'
    )
    new = [
        f"({id}) is printed but not read: " + how.format(id)
        for id in numbers
        if id not in {*read, *excused}
    ]
    return new + [f"({id}) is read: take it from NOT_YET" for id in excused if id in read]


def test_every_printed_equation_is_read():
    assert unread(NUMBERS, forms(), NOT_YET) == []


def test_every_form_belongs_to_a_printed_equation():
    assert set(forms()) <= set(NUMBERS)


@pytest.mark.parametrize("id", [id for id in NUMBERS if id not in NOT_YET])
def test_what_is_printed_holds_and_no_slip_of_the_pen_does(id):
    if id not in forms():
        pytest.fail(unread([id], (), ())[0])
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
    (message,) = unread(["9.9"], (), ())
    assert '@shows("9.9")' in message
    assert unread(["9.9"], (), {"9.9"}) == []
    assert unread(["9.9"], {"9.9"}, {"9.9"}) == ["(9.9) is read: take it from NOT_YET"]
