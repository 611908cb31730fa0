"""The questions of chapter 9: each says who asked, and is answered by a cell that runs alone."""

import ast
import builtins
import re
import symtable
from pathlib import Path

import jupytext
import pytest

SOURCE = Path(__file__).parents[2] / "chapters" / "source" / "09_faq.md"
CELLS = jupytext.read(SOURCE).cells
HEADINGS = {
    heading: k
    for k, cell in enumerate(CELLS)
    for heading in re.findall(r"^#{2,3} (.*)$", cell.source, re.MULTILINE)
}
QUESTIONS = [heading for heading in HEADINGS if re.match(r"Q\d+ ", heading)]
TRAPS = {  # that a book on diffusion must not leave out
    "Q11": "eps subtracted as it is",
    "Q13": "L_simple taken for the bound",
    "Q14": "q(z_{t-1} | z_t) taken for q(z_{t-1} | z_t, z_0)",
    "Q15": "sigma_t^2 taken for beta_t",
    "Q16": "short T with the betas of a long one",
    "Q17": "betas from linspace(1/T, 1)",
    "Q18": "SNR_T that is not zero",
    "Q19": "index base",
    "Q20": "noise at the last step",
    "Q21": "a latent scale copied, not measured",
    "Q22": "latents of another scale under the same schedule",
    "Q33": "guidance w taken for 1 + w",
    "Q37": "concatenation where attention belongs",
}


def section(heading):
    """The text of a question, up to the next heading, and {name: code} of its cells."""
    first = HEADINGS[heading]
    cells = CELLS[first : min(k for k in HEADINGS.values() if k > first)]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return text, {c.metadata["name"]: c.source for c in cells if c.cell_type == "code"}


def test_enough_questions_numbered_in_order():
    assert len(QUESTIONS) >= 25
    assert [q.split()[0] for q in QUESTIONS] == [f"Q{k + 1}" for k in range(len(QUESTIONS))]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.split()[0])
def test_each_question_is_answered_by_a_cell_and_says_who_asked(question):
    text, code = section(question)
    asked = re.search(r"^\*Asked in (.*)\*$", text, re.MULTILINE)[1]
    threads = re.findall(r"\[([^]]+)\]\((https://[^)]+)\)", asked)
    assert threads, "nobody asked"
    for name, address in threads:
        if "#" in name:
            assert address == "https://github.com/{}/issues/{}".format(*name.split("#"))
    answers = [name for name in code if name.startswith(f"{question.split()[0].lower()}-")]
    assert any("print(" in code[name] or "show(" in code[name] for name in answers)
    read_on = re.findall(r"\]\((\w+)\.ipynb", text)
    assert read_on and all(SOURCE.with_name(f"{stem}.md").exists() for stem in read_on)
    assert re.search(r"^\*\*[^*]+", text, re.MULTILINE), "the short answer comes first, in bold"


def test_every_trap_has_its_question():
    assert len(TRAPS) == len(set(TRAPS.values())) == 13
    assert set(TRAPS) <= {question.split()[0] for question in QUESTIONS}


def test_the_list_at_the_head_of_the_chapter_leads_to_every_heading_in_order():
    """Anchors as JupyterLab and nbconvert make them: hyphens for spaces, letters as they are."""
    head = next(cell.source for cell in CELLS if cell.metadata["name"] == "questions")
    listed = re.findall(r"\[([^]]+)\]\(#([^)]*)\)", head)
    assert all(anchor == heading.replace(" ", "-") for heading, anchor in listed)
    assert all(re.fullmatch("[A-Za-z0-9 -]+", heading) for heading, _ in listed)
    found = [heading for heading, _ in listed]
    assert [q for q in found if q in QUESTIONS] == QUESTIONS
    first = list(HEADINGS).index(QUESTIONS[0]) - 1
    assert found == list(HEADINGS)[first : first + len(found)], "in their order"


def test_each_answer_runs_alone_after_the_first_cell():
    """The chapter is for looking things up: no answer needs a name from another question."""
    code = {c.metadata["name"]: c.source for c in CELLS if c.cell_type == "code"}
    loaded = names(code["imports"])[0] | set(dir(builtins))
    for question in QUESTIONS:
        stored, used = names("\n".join(section(question)[1].values()))
        assert used <= loaded | stored, f"{question} needs {used - loaded - stored}"


def test_no_answer_changes_what_the_first_cell_loaded():
    """Else the order in which questions are looked up would matter."""
    code = {c.metadata["name"]: c.source for c in CELLS if c.cell_type == "code"}
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
