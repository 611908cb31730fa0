"""The chapters keep the book's rules, and the rules refuse notebooks that break them."""

import copy
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import book_rules
import build_book
import nbformat
import pytest
from book_rules import BOOK, CHAPTERS, SOURCES, source_notebook
from citations import cited, expand, read_bibliography
from crosslinks import chapter_number

from book.exercises import registry

STEMS = sorted({p.stem for p in SOURCES.glob("*.md")} | {p.stem for p in CHAPTERS.glob("*.ipynb")})
each = pytest.mark.parametrize("stem", STEMS)

SMALL = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
---

+++ {"name": "title"}

# 7 A small chapter

**Objectives.** You see a figure, as in [@ho2020ddpm].

**Prerequisites.** None. **Measured:** 2 s and 0.3 GB on one thread.

```{code-cell} ipython3
:name: sum

import sys
def check(id, answer): print(f"[todo] {id}")
print("two and two is", 2 + 2)
print("a warning", file=sys.stderr)
```

+++ {"name": "figure-comes"}

> **Misconception.** "A figure needs no text."

```{code-cell} ipython3
:name: figure
:tags: [nbval-ignore-output]

from matplotlib import pyplot as plt
from book.display import show
fig, ax = plt.subplots(figsize=(2, 2))
ax.plot([0, 1])
show(fig, alt="A straight line rises from 0 to 1.")
```

```{code-cell} ipython3
:name: exercises

first = ...   # YOUR CODE HERE
check("7-1", first); check("7-2", ...); check("7-3", ...)
```

+++ {"name": "end"}

## Summary

A figure says what it shows.

## References

[@*]
"""
STUBS = {f"7-{i}": SimpleNamespace(stub="first = ...   # YOUR CODE HERE") for i in (1, 2, 3)}


# --- the chapters ------------------------------------------------------------------------------


def test_each_source_has_its_notebook_and_each_notebook_its_source():
    assert book_rules.check_pairs() == []


@each
def test_chapter_keeps_the_rules(stem):
    notebook = nbformat.read(CHAPTERS / f"{stem}.ipynb", as_version=4)
    source = source_notebook(SOURCES / f"{stem}.md")
    assert book_rules.check_notebook(notebook, source) == []
    assert book_rules.check_size(CHAPTERS / f"{stem}.ipynb") == []


@each
def test_exercises_of_the_chapter_are_those_of_its_module(stem):
    module = f"book.{next((CHAPTERS / 'book').glob(f'ch{chapter_number(stem)}_[a-z]*')).name}"
    own = {id: e for id, e in registry().items() if e.check.__module__.startswith(f"{module}.")}
    assert book_rules.check_exercises(source_notebook(SOURCES / f"{stem}.md"), stem, own) == []


def test_every_registered_exercise_belongs_to_a_chapter():
    asked = {
        id
        for stem in STEMS
        for id in book_rules.exercise_ids(source_notebook(SOURCES / f"{stem}.md"))
    }
    assert set(registry()) == asked


def test_every_reference_has_what_a_reader_needs():
    for key, entry in read_bibliography(book_rules.BIBLIOGRAPHY).items():
        assert entry["year"].isdigit(), key
        assert all("," in person for person in entry["author"].split(" and ")), key


def test_every_reference_is_cited_and_its_arxiv_number_fits_its_year():
    used = set(cited("\n".join(p.read_text(encoding="utf-8") for p in SOURCES.glob("*.md"))))
    for key, entry in read_bibliography(book_rules.BIBLIOGRAPHY).items():
        assert key in used, f"{key} is cited nowhere"
        if number := entry.get("eprint"):
            assert re.fullmatch(r"\d{4}\.\d{4,5}", number), key
            first = 2000 + int(number[:2])  # a preprint comes before, or soon after, its journal
            assert first - 1 <= int(entry["year"]) <= first + 3, key


def test_no_work_is_in_the_bibliography_twice():
    entries = read_bibliography(book_rules.BIBLIOGRAPHY)
    titles = [re.sub(r"\W", "", entry["title"]).lower() for entry in entries.values()]
    assert len(set(titles)) == len(titles)
    places = [entry.get(f) for entry in entries.values() for f in ("eprint", "doi", "url")]
    places = [place for place in places if place]
    assert len(set(places)) == len(places)


# --- the rules, fed with broken notebooks ------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a small chapter, built by the builder with a real kernel."""
    folder = tmp_path_factory.mktemp("book")
    source = folder / "07_small.md"
    source.write_text(SMALL, encoding="utf-8")
    build_book.build(source, folder, threads=1)
    return folder


@pytest.fixture
def notebook(built):
    return nbformat.read(built / "07_small.ipynb", as_version=4)


@pytest.fixture
def source(built):
    return source_notebook(built / "07_small.md")


def cell(notebook, name):
    return next(c for c in notebook.cells if c.id == name)


def picture(notebook):
    """The output that holds the figure."""
    return next(o for o in cell(notebook, "figure").outputs if "image/png" in o.get("data", {}))


def test_a_built_chapter_keeps_the_rules(built, notebook, source):
    assert book_rules.check_notebook(notebook, source) == []
    assert book_rules.check_exercises(notebook, "07_small", STUBS) == []
    assert book_rules.check_pairs(built, built) == []
    assert [c.id for c in notebook.cells] == [
        "title", "install", "sum", "figure-comes", "figure", "exercises", "end",
    ]  # fmt: skip
    assert cell(notebook, "figure").metadata == {"tags": ["nbval-ignore-output"]}


def test_the_builder_leaves_only_what_belongs_on_a_page(notebook):
    [output] = cell(notebook, "sum").outputs  # the warning on stderr is gone
    assert output.text == "two and two is 4\n"
    data = picture(notebook).data
    assert set(data) == {"image/png", "text/plain"}, "the picture is stored once"
    assert data["text/plain"] == "A straight line rises from 0 to 1."
    assert notebook.metadata.language_info == {"name": "python", "pygments_lexer": "ipython3"}
    kept = {key for c in notebook.cells for key in c.metadata}
    assert kept == {"cellView", "jupyter", "tags"}, "no times of execution"


def test_building_twice_gives_the_same_bytes(built):
    before = (built / "07_small.ipynb").read_bytes()
    build_book.build(built / "07_small.md", built, threads=1)
    assert (built / "07_small.ipynb").read_bytes() == before


def test_new_text_keeps_outputs_but_new_code_does_not(built, tmp_path):
    for name in ("07_small.md", "07_small.ipynb"):
        (tmp_path / name).write_bytes((built / name).read_bytes())
    path = tmp_path / "07_small.md"
    path.write_text(SMALL.replace("You see a figure", "You look at a figure"), encoding="utf-8")
    build_book.build(path, tmp_path, keep=True)
    new = nbformat.read(tmp_path / "07_small.ipynb", as_version=4)
    assert "You look at a figure" in cell(new, "title").source
    assert "image/png" in picture(new).data
    path.write_text(SMALL.replace("2 + 2", "2 + 3"), encoding="utf-8")
    with pytest.raises(ValueError, match="the code changed"):
        build_book.build(path, tmp_path, keep=True)


def test_outputs_are_kept_when_only_the_first_cell_is_new(built, tmp_path, notebook):
    """It tells no results; the counts of the others follow, also within their outputs."""
    (tmp_path / "07_small.md").write_bytes((built / "07_small.md").read_bytes())
    result = nbformat.v4.new_output("execute_result", {"text/plain": "4"}, execution_count=1)
    cell(notebook, "sum").outputs.append(result)
    notebook.cells = [c for c in notebook.cells if c.id != "install"]
    for count, c in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        c.execution_count = count
    nbformat.write(notebook, tmp_path / "07_small.ipynb")
    build_book.build(tmp_path / "07_small.md", tmp_path, keep=True)
    new = nbformat.read(tmp_path / "07_small.ipynb", as_version=4)
    assert [c.execution_count for c in new.cells if c.cell_type == "code"] == [1, 2, 3, 4]
    assert cell(new, "sum").outputs[-1].execution_count == 2
    assert "image/png" in picture(new).data


def test_a_chapter_that_breaks_a_rule_is_not_written(built, tmp_path):
    path = tmp_path / "07_small.md"
    path.write_text(SMALL.replace("## Summary", "## The end"), encoding="utf-8")
    (tmp_path / "07_small.ipynb").write_bytes((built / "07_small.ipynb").read_bytes())
    before = (tmp_path / "07_small.ipynb").read_bytes()
    with pytest.raises(ValueError, match="Summary"):
        build_book.build(path, tmp_path, keep=True)
    assert (tmp_path / "07_small.ipynb").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"07_small.md", "07_small.ipynb"}


ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
STDERR = nbformat.v4.new_output("stream", name="stderr", text="w")
WIDGET = nbformat.v4.new_output("display_data", data={build_book.WIDGET: {"model_id": "1"}})
PICTURE = '<p><img src="data:image/png;base64,AAAA"></p>'
BROKEN = {  # what is done to the notebook `nb`, whose first cell with outputs is `sum`
    "sum.source += 'print(5)'": "differs from the source in source",
    "nb.cells[-1].source += ' More.'": "differs from the source in source",
    "del nb.cells[2]": "6 cells, but the source has 7",
    "nb.cells[0], nb.cells[2] = nb.cells[2], nb.cells[0]": "differs from the source in id",
    "del cell(nb, 'install').metadata['jupyter']": "differs from the source in folded",
    "del cell(nb, 'figure').metadata['tags']": "differs from the source in tags",
    "sum.id = 'a1b2c3d4'": "differs from the source in id",
    "sum.execution_count = None": "was never executed",
    "sum.execution_count = 9": "has execution count 9, expected 2",
    "sum.outputs.append(ERROR)": "ends in ValueError: no",
    "sum.outputs.append(STDERR)": "stores stderr",
    "sum.outputs.append(WIDGET)": "stores a widget",
    "nb.metadata['widgets'] = {}": "metadata.widgets",
    "sum.outputs[0].text = f'saved to {BOOK}/model'": "path of the author's machine",
    "sum.outputs[0]['output_type'] = 'noise'": "not a valid notebook",
    "picture(nb).metadata = {}": "alternative text ''",
    "picture(nb).metadata = {'image/png': {'alt': 'a line'}}": "alternative text 'a line'",
    "picture(nb).data['text/html'] = PICTURE": "alternative text ''",
    "nb.cells[-1].source += '![](../docs/images/digits.png)'": "alternative text ''",
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_notebook_is_refused(damage, notebook, source):
    nb = copy.deepcopy(notebook)
    exec(damage, globals() | {"nb": nb, "sum": cell(nb, "sum")})
    assert BROKEN[damage] in "\n".join(book_rules.check_notebook(nb, source))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (":name: sum\n", "", "a code cell has no name"),
        ('+++ {"name": "end"}', "+++", "a markdown cell has no name"),
        (":name: sum", ":name: figure", "the name 'figure' occurs 2 times"),
        (":name: sum", ":name: The_Sum", "'The_Sum' is not lower-case"),
        (":name: sum", ":name: install", "'install' is that of the cell which the build adds"),
        ("[@ho2020ddpm]", "[@nobody1900]", "cites [@nobody1900], not in references.bib"),
    ],
)
def test_a_broken_source_is_refused(old, new, problem, tmp_path):
    assert old in SMALL
    path = tmp_path / "07_small.md"
    path.write_text(SMALL.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        source_notebook(path)
    assert problem in str(caught.value)


@pytest.mark.parametrize("word", book_rules.SECTIONS)
def test_a_missing_section_is_named(word, notebook):
    for c in notebook.cells:
        c.source = c.source.replace(word, "Something else")
    assert [p for p in book_rules.check_sections(notebook) if repr(word) in p]


@pytest.mark.parametrize("part", ["2 s and", "0.3 GB", "Measured"])
def test_a_missing_measurement_is_named(part, notebook):
    title = cell(notebook, "title")
    assert part in title.source
    title.source = title.source.replace(part, "")
    assert any("measured" in problem for problem in book_rules.check_sections(notebook))


def test_exercises_and_registry_must_agree(notebook):
    fewer = {k: v for k, v in STUBS.items() if k != "7-2"}
    more = STUBS | {"7-4": STUBS["7-1"]}
    changed = STUBS | {"7-1": SimpleNamespace(stub="first = ...   # YOUR CODE HERE: a number")}

    def problems(registered, stem="07_small"):
        return "\n".join(book_rules.check_exercises(notebook, stem, registered))

    assert "'7-2' is not in chapters/book" in problems(fewer)
    assert "'7-4' is never asked" in problems(more)
    assert "stub of exercise '7-1' is in no cell" in problems(changed)
    assert "'7-1' should be called 7.1-N" in problems(STUBS, stem="07_1_small")
    exercises = cell(notebook, "exercises")
    exercises.source = exercises.source.replace('check("7-3", ...)', "")
    assert "2 exercises, fewer than 3" in problems({k: STUBS[k] for k in ("7-1", "7-2")})


def test_too_large_a_notebook_is_refused(tmp_path):
    path = tmp_path / "large.ipynb"
    path.write_bytes(b" " * book_rules.MAX_BYTES)
    assert book_rules.check_size(path) == []
    path.write_bytes(b" " * (book_rules.MAX_BYTES + 1))
    assert "400,001 bytes" in book_rules.check_size(path)[0]


def test_orphans_are_named(tmp_path):
    (tmp_path / "01_new.md").touch()
    (tmp_path / "02_old.ipynb").touch()
    assert book_rules.check_pairs(tmp_path, tmp_path) == [
        "01_new.md was never built: run make book",
        "02_old.ipynb has no source",
    ]


# --- citations ---------------------------------------------------------------------------------

BIB = """\
@article{solo,
  author = {Núñez, Ana},
  title = {On {Noise}},
  journal = {A Journal},
  year = {2001},
  doi = {10.1/x},
}

@misc{pair,
  author = {Ho, J. and Salimans, T.},
  title = {Guidance},
  year = {2022},
  eprint = {2207.12598},
}
"""


def test_citations_become_links_and_a_list(tmp_path):
    path = tmp_path / "references.bib"
    path.write_text(BIB, encoding="utf-8")
    entries = read_bibliography(path)
    text = "See [@pair; @solo] and [@solo]; not x[@2].\n\n[@*]\n"
    assert cited(text) == ["pair", "solo"]
    out = expand(text, entries, cited(text))
    assert "[Ho and Salimans (2022)](https://arxiv.org/abs/2207.12598); [Núñez (2001)](" in out
    assert "- Ho, J.; Salimans, T. (2022). [Guidance](https://arxiv.org/abs/2207.12598).\n" in out
    assert "- Núñez, Ana (2001). [On {Noise}](https://doi.org/10.1/x). A Journal." in out


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("{pair,", "{solo,", "occurs twice"),
        ("  year = {2022},\n", "", "'pair' has no year"),
        ("  eprint = {2207.12598},\n", "", "'pair' has no url, doi or eprint"),
        ("@misc{pair,\n", "@misc{pair, ", "1 of 2 entries can be read"),
    ],
)
def test_a_broken_bibliography_is_refused(old, new, problem, tmp_path):
    path = tmp_path / "references.bib"
    path.write_text(BIB.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=problem):
        read_bibliography(path)


# --- nbval, as make test calls it --------------------------------------------------------------


def test_nbval_compares_outputs_and_overlooks_the_live_copy(built, notebook, tmp_path):
    cell(notebook, "sum").outputs[0].text = "two and two is 5\n"
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "conftest", "-q"]
    command += ["-c", "pyproject.toml", f"--rootdir={BOOK}", "--nbval", "--nbval-current-env"]
    command += ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    command += [str(built / "07_small.ipynb"), str(tmp_path / "wrong.ipynb")]
    path = os.pathsep.join([str(BOOK), os.environ["PYTHONPATH"]])  # conftest.py is in the first
    result = subprocess.run(
        command, cwd=BOOK, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert "1 failed, 7 passed" in result.stdout, "the stored copy agrees, the changed one differs"
    assert "two and two is 5" in result.stdout


# --- what a run costs ----------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path):
    """A chapter that takes time and memory, and breaks rules; costs of another one."""
    path = tmp_path / "07_page.md"
    head = SMALL.split("**Objectives")[0]
    code = "import time; held = bytearray(3 * 10**8); time.sleep(0.8)"
    text = f"{head}```{{code-cell}} ipython3\n:name: wait\n\n{code}\n```\n"
    path.write_text(text, encoding="utf-8")
    (tmp_path / "costs.json").write_text('{"08_other": {"seconds": 5.0}, "07_page": {"old": 1}}')
    return path


def noted(page):
    return json.loads((page.parent / "costs.json").read_text(encoding="utf-8"))


def test_a_run_is_noted_with_time_memory_and_threads(page):
    """Also of a page that breaks rules of the book: --costs writes no notebook."""
    said = build_book.measure(page, page.parent, threads=1)
    cost = noted(page)["07_page"]
    assert noted(page)["08_other"] == {"seconds": 5.0}, "the others stay"
    assert set(cost) == {"seconds", "peak_gb", "threads"} and cost["threads"] == 1
    assert cost["seconds"] > 0.8 and 0.3 < cost["peak_gb"] < 3
    assert said == f"{cost['seconds']:.0f} s, {cost['peak_gb']:.1f} GB"
    assert {path.name for path in page.parent.iterdir()} == {"07_page.md", "costs.json"}


def test_only_a_whole_run_is_noted(page, monkeypatch):
    """Not one that fails, and not outputs that are kept."""
    page.write_text(page.read_text().replace("import time", "1 / 0"), encoding="utf-8")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        build_book.measure(page, page.parent, threads=1)
    assert noted(page)["07_page"] == {"old": 1}
    cost = {"seconds": 3.4, "peak_gb": 0.52, "threads": 2}
    monkeypatch.setattr(build_book, "timed", lambda *given, **options: cost)
    monkeypatch.setattr(build_book, "check_notebook", lambda *given: [])
    assert build_book.build(page, page.parent).startswith("3 s, 0.5 GB, ")
    assert noted(page)["07_page"] == cost
    monkeypatch.setattr(build_book, "timed", None)
    assert build_book.build(page, page.parent, keep=True).startswith("outputs kept, ")


def test_costs_are_of_chapters_that_exist():
    text = (CHAPTERS / "costs.json").read_text(encoding="utf-8")
    assert set(json.loads(text)) <= set(STEMS)
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n", "as it is written"
