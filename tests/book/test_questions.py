"""The questions of chapter 9: each was asked somewhere, and has a heading and a cell."""

import ast
import builtins
import re
import symtable
from pathlib import Path

import jupytext
import pytest

from book.ch09_faq.questions import QUESTIONS, THEMES, TRAPS, anchor, contents, link

SOURCE = Path(__file__).parents[2] / "chapters" / "source" / "09_faq.md"
STYLE = 13  # traps that a book on diffusion must not leave out


@pytest.fixture(scope="module")
def cells():
    return jupytext.read(SOURCE).cells


@pytest.fixture(scope="module")
def places(cells):
    """For each question: the places of its heading and of the next one among the cells."""
    found = {}
    for k, cell in enumerate(cells):
        for heading in re.findall(r"^#{2,3} (.*)$", cell.source, re.MULTILINE):
            assert heading not in found, f"the heading {heading!r} occurs twice"
            found[heading] = k
    return found


def section(cells, places, question):
    """The cells from the question's heading to the next question's, or theme's."""
    first = places[question.heading]
    later = [k for k in places.values() if k > first]
    return cells[first : min(later)]


def test_enough_questions_numbered_in_order():
    assert len(QUESTIONS) >= 25
    assert [q.id for q in QUESTIONS] == [f"Q{k}" for k in range(1, len(QUESTIONS) + 1)]
    assert len({q.cell for q in QUESTIONS}) == len({q.title for q in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.id)
def test_each_question_is_answered_by_a_cell_and_says_who_asked(question, cells, places):
    part = section(cells, places, question)
    text = "\n".join(cell.source for cell in part if cell.cell_type == "markdown")
    assert question.asked, "nobody asked"
    for thread in question.asked:
        assert link(thread) in text
    code = {c.metadata["name"]: c.source for c in part if c.cell_type == "code"}
    assert question.cell in code, f"no cell {question.cell} between this heading and the next"
    assert "print(" in code[question.cell] or "show(" in code[question.cell]
    assert f"({question.more}.ipynb)" in text
    assert SOURCE.with_name(f"{question.more}.md").exists()
    assert re.search(r"^\*\*[^*]+", text, re.MULTILINE), "the short answer comes first, in bold"


def test_every_trap_is_taught():
    assert len(TRAPS) == len(set(TRAPS)) == STYLE
    taught = [q.trap for q in QUESTIONS if q.trap]
    assert sorted(taught) == sorted(TRAPS)


def test_the_list_at_the_head_of_the_chapter_leads_to_every_heading(cells, places):
    head = next(cell.source for cell in cells if cell.metadata["name"] == "questions")
    assert contents() in head
    targets = re.findall(r"\]\((#[^)]*)\)", head)
    assert len(targets) == len(QUESTIONS) + len(THEMES)
    assert set(targets) <= {anchor(h) for h in places if re.fullmatch("[A-Za-z0-9 -]+", h)}


def test_links_lead_to_the_issue():
    assert link("a-b/c.d#12") == "[a-b/c.d#12](https://github.com/a-b/c.d/issues/12)"
    assert link("https://stats.stackexchange.com/q/5") == (
        "[stats.stackexchange.com](https://stats.stackexchange.com/q/5)"
    )
    for broken in ("a/b", "#12", "http://x.org", "see a/b#1", "a/b#x"):
        with pytest.raises(ValueError, match="thread"):
            link(broken)


def test_anchors_are_those_of_jupyterlab_and_nbconvert():
    assert anchor("Q1 How can I") == "#Q1-How-can-I"
    for heading in ("What is this?", "w or 1 + w", "σ", "a_b", ""):
        with pytest.raises(ValueError, match="hyphens"):
            anchor(heading)


def test_each_answer_runs_alone_after_the_first_cell(cells, places):
    """The chapter is for looking things up: no answer needs a name from another question."""
    code = {c.metadata["name"]: c.source for c in cells if c.cell_type == "code"}
    loaded = names(code["imports"])[0] | set(dir(builtins))
    for question in QUESTIONS:
        part = [c for c in section(cells, places, question) if c.cell_type == "code"]
        stored, used = names("\n".join(c.source for c in part))
        assert used <= loaded | stored, f"{question.id} needs {used - loaded - stored}"


def test_no_answer_changes_what_the_first_cell_loaded(cells):
    """Else the order in which questions are looked up would matter."""
    code = {c.metadata["name"]: c.source for c in cells if c.cell_type == "code"}
    loaded = given(code.pop("imports"))
    assert {"scenes", "latents", "mean", "brief"} <= loaded
    for name, source in code.items():
        assert not given(source) & loaded, f"cell {name} overwrites {given(source) & loaded}"


def given(source):
    """Names that a cell gives a value to, for all later cells (not inside of functions)."""
    symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}


def names(source):
    """(names that are given a value anywhere in the code, names that are read in it)."""
    stored, used = set(), set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name):
                stored.add(name)
            case ast.alias(name=name, asname=other):
                stored.add(other or name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                stored.add(name)
            case ast.ExceptHandler(name=str(name)):
                stored.add(name)
    return stored, used
