"""Two courses: every chapter, in an order that works, in the time there is; costs as measured."""

import json
import re

import build_book
import jupytext
import nbformat
import pytest
from book_rules import CHAPTERS as FOLDER
from book_rules import SOURCES

from book.ch00_start import course
from book.ch00_start import exercises as chapter_00
from book.ch00_start.book_map import CHAPTERS, before
from book.ch00_start.course import (
    SIX_WEEKS,
    TWO_DAYS,
    Session,
    about,
    hours,
    in_words,
    minutes,
    plan_table,
)
from book.exercises import find, registry, verdict
from minildm.shapes.captions import read
from minildm.shapes.scenes import Scene, splits, to_rows

# --- the plans ---------------------------------------------------------------------------------


def stems_of(plan):
    return [stem for session in plan for stem in session.chapters]


def test_the_six_weeks_hold_every_chapter_once():
    assert len(SIX_WEEKS) == 6
    assert sorted(stems_of(SIX_WEEKS)) == sorted(CHAPTERS)


@pytest.mark.parametrize("plan", [SIX_WEEKS, TWO_DAYS], ids=["six weeks", "two days"])
def test_what_a_chapter_builds_on_comes_before_it(plan):
    stems = stems_of(plan)
    for i, stem in enumerate(stems):
        assert set(before([stem])) <= set(stems[:i]), stem


def test_two_days_fit_into_twelve_hours():
    assert len(TWO_DAYS) == 4
    facts = course.read_words(), course.read_exercises(), course.read_costs()
    assert set(stems_of(TWO_DAYS)) <= set(facts[0]), "a chapter without text would cost nothing"
    assert hours(TWO_DAYS, *facts) <= 12


# --- the formula -------------------------------------------------------------------------------

WORDS, EXERCISES = {"03_algorithm": 2400, "05_2_unet": 1200}, {"03_algorithm": 4}
COSTS = {"03_algorithm": {"seconds": 90.0, "peak_gb": 0.6, "threads": 2}}


def test_minutes_by_hand():
    assert minutes("03_algorithm", WORDS, EXERCISES, COSTS) == 2400 / 120 + 4 * 5 + 1.5
    assert minutes("05_2_unet", WORDS, EXERCISES, COSTS) == 10
    assert minutes("07_tools", WORDS, EXERCISES, COSTS) == 0
    plan = [Session("", ("03_algorithm",), ""), Session("", ("05_2_unet",), "")]
    assert hours(plan, WORDS, EXERCISES, COSTS) == pytest.approx(51.5 / 60)


def test_a_table_names_what_is_not_measured():
    plan = [
        Session("monday", ("03_algorithm", "05_2_unet"), "see"),
        Session("tuesday", ("07_tools",), "use"),
    ]
    *_, first, second, total = plan_table(plan, WORDS, EXERCISES, COSTS).splitlines()
    link = "[3 The algorithm](03_algorithm.ipynb), [5.2 The network](05_2_unet.ipynb)"
    assert first == f"| monday | {link} | see | 4 | 90 s, and 1 not measured yet | 50 min |"
    assert second.endswith("| use | 0 | not measured yet | more than 0 min |")
    assert total == (
        "| **in all** | 3 chapters |  | 4 | 90 s, and 2 not measured yet | more than 50 min |"
    )
    assert in_words(["03_algorithm"], lambda stem: COSTS[stem]["seconds"]) == "90 s"


@pytest.mark.parametrize(
    ("total", "words"), [(44, "45 min"), (58, "1 h"), (87, "1 h 25 min"), (120, "2 h")]
)
def test_estimates_are_rounded(total, words):
    assert about(total) == words


def test_facts_are_read_from_the_chapters(tmp_path):
    assert course.read_costs(tmp_path) == {} == course.read_words(tmp_path)
    cells = [
        nbformat.v4.new_markdown_cell("four words of text"),
        nbformat.v4.new_code_cell("print('code does not count')"),
        nbformat.v4.new_markdown_cell("two more"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "03_algorithm.ipynb")
    assert course.read_words(tmp_path) == {"03_algorithm": 6}
    exercises = course.read_exercises()
    assert sum(exercises.values()) == len(registry())
    assert exercises["00_start_here"] == len(chapter_00.EXERCISES)
    assert exercises["04_3_gaussian_case"] == sum(id.startswith("4.3-") for id in registry())


def test_the_page_states_the_speeds_of_the_formula():
    cells = jupytext.read(SOURCES / "00_start_here.md").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    said = re.search(r"(\d+) words of text a minute and (\d+) minutes for an exercise", text)
    assert [int(number) for number in said.groups()] == [course.SPEED, course.EXERCISE]


# --- costs.json --------------------------------------------------------------------------------


def stated_cost(path):
    """All seconds and the first memory in the paragraph of a chapter that says *measured*."""
    cells = jupytext.read(path).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for part in text.split("\n\n"):
        seconds, memory = re.findall(r"(\d+) s\b", part), re.search(r"([\d.]+) GB", part)
        if re.search(r"\bmeasured\b", part, re.IGNORECASE) and seconds and memory:
            return [float(value) for value in seconds], float(memory[1])
    raise AssertionError(f"{path.name} does not say what it costs")


@pytest.mark.parametrize("stem", list(CHAPTERS))
def test_a_chapter_states_what_was_measured(stem):
    """Machines differ; a label that is off by more than a factor of 3 is an old one."""
    noted = json.loads((FOLDER / "costs.json").read_text(encoding="utf-8"))[stem]
    seconds, memory = stated_cost(SOURCES / f"{stem}.md")
    assert any(1 / 3 < value / noted["seconds"] < 3 for value in seconds), noted
    assert 1 / 1.6 < memory / noted["peak_gb"] < 1.6, noted


def test_costs_are_of_chapters_that_exist():
    text = (FOLDER / "costs.json").read_text(encoding="utf-8")
    costs = json.loads(text)
    assert set(costs) <= {path.stem for path in SOURCES.glob("*.md")}
    assert text == json.dumps(costs, indent=1, sort_keys=True) + "\n", "as the program writes it"
    for stem, cost in costs.items():
        assert set(cost) == {"seconds", "peak_gb", "threads"}, stem
        assert cost["seconds"] > 0 and cost["peak_gb"] > 0.05 and cost["threads"] >= 1, stem


SOURCE = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
---

+++ {"name": "title"}

# 7 A page

```{code-cell} ipython3
:name: wait

import time
time.sleep(1.2)
held = bytearray(300_000_000)
time.sleep(0.5)
```
"""


def test_a_run_is_noted_with_time_memory_and_threads(tmp_path):
    """Also for a page that breaks rules of the book: --costs writes no notebook."""
    source = tmp_path / "07_page.md"
    source.write_text(SOURCE, encoding="utf-8")
    (tmp_path / "costs.json").write_text('{"08_other": {"seconds": 5.0}, "07_page": {"old": 1}}')
    said = build_book.measure(source, tmp_path, threads=1)
    costs = course.read_costs(tmp_path)
    assert costs["08_other"] == {"seconds": 5.0}, "the others stay"
    cost = costs["07_page"]
    assert set(cost) == {"seconds", "peak_gb", "threads"} and cost["threads"] == 1
    assert cost["seconds"] > 1.7
    assert 0.3 < cost["peak_gb"] < 3
    assert said == f"{cost['seconds']:.0f} s, {cost['peak_gb']:.1f} GB"
    assert {path.name for path in tmp_path.iterdir()} == {"07_page.md", "costs.json"}


def test_a_failing_cell_is_no_measurement(tmp_path):
    source = tmp_path / "07_page.md"
    source.write_text(SOURCE.replace("time.sleep(1.2)", "1 / 0"), encoding="utf-8")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        build_book.measure(source, tmp_path, threads=1)
    assert not (tmp_path / "costs.json").exists()


def test_building_notes_the_cost_and_keeping_outputs_does_not(tmp_path, monkeypatch):
    cost = {"seconds": 3.4, "peak_gb": 0.52, "threads": 2}
    monkeypatch.setattr(build_book, "timed", lambda *given, **options: cost)
    monkeypatch.setattr(build_book, "check_notebook", lambda *given: [])
    source = tmp_path / "07_page.md"
    source.write_text(SOURCE, encoding="utf-8")
    assert build_book.build(source, tmp_path).startswith("3 s, 0.5 GB, ")
    assert course.read_costs(tmp_path) == {"07_page": cost}
    (tmp_path / "costs.json").unlink()
    assert build_book.build(source, tmp_path, keep=True).startswith("outputs kept, ")
    assert not (tmp_path / "costs.json").exists()


# --- the first caption, and exercise 0-1 where the model fails --------------------------------


def test_the_first_caption_is_new_to_the_model():
    code = (SOURCES / "00_start_here.md").read_text(encoding="utf-8")
    assert f'caption = "{chapter_00.FIRST}"' in code
    row = to_rows([Scene(*read(chapter_00.FIRST))])
    assert (splits().test == row).all(1).any(), "the page says: nowhere in the training data"


def test_a_picture_that_is_not_as_asked_is_no_fault_of_the_reader(monkeypatch):
    exercise = find("0-1")
    mine = "a small solid green cross left of a large striped red circle on grey"
    whole = chapter_00.judge
    monkeypatch.setattr(chapter_00, "judge", lambda x: whole(x.flip(3)))  # left is right
    reply = verdict(exercise, mine)
    assert "colour 1" in reply and "background" not in reply and "Your text is fine" in reply
    monkeypatch.setattr(
        chapter_00, "judge", lambda x: whole(x)._replace(accepted=whole(x).accepted & False)
    )
    assert "no clear picture" in verdict(exercise, mine)
