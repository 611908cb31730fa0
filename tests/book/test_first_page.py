"""The first page tells the truth: its map, its notation, its courses, its first caption."""

import importlib
import inspect
import json
import re
from graphlib import TopologicalSorter
from itertools import combinations

import jupytext
import nbformat
import pytest
import torch
from book_rules import CHAPTERS as FOLDER
from book_rules import SOURCES

from book.ch00_start import book_map, course, exercises, figures, notation
from book.ch00_start.book_map import CHAPTERS, Chapter, before, direct, levels
from book.ch00_start.course import SIX_WEEKS, TWO_DAYS, Session
from book.exercises import find, registry, verdict
from minildm.schedule import DiscreteSchedule, cosine_betas, linear_betas, ramp_betas
from minildm.shapes.captions import read
from minildm.shapes.scenes import Scene, splits, to_rows

each = pytest.mark.parametrize("stem", CHAPTERS)


def text_of(stem, kind="markdown"):
    cells = jupytext.read(SOURCES / f"{stem}.md").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == kind)


def table_after(head):
    """The rows, as lists of cells, of the table of chapter 0 that begins with ``head``."""
    lines = text_of("00_start_here").split(head)[1].split("\n\n")[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def stems_in(cell):
    return re.findall(r"\]\((\w+)\.ipynb\)", cell)


# --- the map and the chapters --------------------------------------------------------------------


def test_the_map_lists_exactly_the_chapters():
    assert sorted(CHAPTERS) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    numbers = [[int(n) for n in chapter.number.split(".")] for chapter in CHAPTERS.values()]
    assert numbers == sorted(numbers), "in the order in which they are read"


@each
def test_title_and_needs_are_those_of_the_page(stem):
    heading = re.search(r"^# (.+)$", text_of(stem), re.MULTILINE)[1]
    chapter = CHAPTERS[stem]
    assert f"{chapter.number} {chapter.name}" == re.split("[:,]", heading)[0]
    [paragraph] = [p for p in text_of(stem).split("\n\n") if p.startswith("**Prerequisites")]
    for need in chapter.needs:
        number = re.escape(CHAPTERS[need].number)
        assert re.search(rf"(?<![\d.]){number}(?!\d|\.\d)", paragraph), f"{need} is not named"


def test_needs_have_no_circle_and_come_first():
    graph = {stem: chapter.needs for stem, chapter in CHAPTERS.items()}
    order = list(CHAPTERS)
    assert set(TopologicalSorter(graph).static_order()) == set(order)  # raises for a circle
    for stem, needs in graph.items():
        assert all(order.index(need) < order.index(stem) for need in needs)


def test_the_tables_of_the_page_are_those_of_the_map():
    rows = table_after("| chapter | what it is for |")
    assert [row[0] for row in rows] == [c.link for c in CHAPTERS.values()][1:]
    reached = {"00_start_here"}
    for _, links, first in table_after("| you want to | read | before that |"):
        stems = stems_in(links)
        assert links == ", ".join(CHAPTERS[stem].link for stem in stems)
        assert first == (", ".join(CHAPTERS[stem].number for stem in before(stems)) or "–")
        reached |= {*stems, *before(stems)}
    assert reached == set(CHAPTERS), "every chapter is on the way to some goal"


def test_needs_on_a_small_map(monkeypatch):
    needs = {"a": "", "b": "a", "c": "", "d": "ab", "e": "dc"}
    small = {stem: Chapter(stem, str(i), stem, tuple(needs[stem])) for i, stem in enumerate(needs)}
    monkeypatch.setattr(book_map, "CHAPTERS", small)
    assert before(["e"]) == ["a", "b", "c", "d"], "all the way down"
    assert before(["d", "b"]) == ["a"], "what is asked for is not in front of itself"
    assert [direct("a"), direct("d"), direct("e")] == [(), ("b",), ("d", "c")], "a is below b"
    assert levels() == {"a": 0, "b": 1, "c": 0, "d": 2, "e": 3}
    assert book_map.in_words() == (
        "5 chapters, with arrows: 1 builds on 0; 3 builds on 1; 4 builds on 3 and 2. "
        "Nothing before 0, 2."
    )


# --- its pictures --------------------------------------------------------------------------------


def test_the_chart_has_every_chapter_and_every_arrow():
    places = figures.layout()
    fig = figures.chart()
    [ax] = fig.axes
    fig.canvas.draw()
    boxes = [patch for patch in ax.patches if hasattr(patch, "get_boxstyle")]
    assert len(boxes) == len(CHAPTERS)
    assert len(ax.patches) - len(boxes) == sum(len(direct(stem)) for stem in CHAPTERS)
    for stem in CHAPTERS:
        assert all(places[need][0] < places[stem][0] for need in direct(stem)), "to the right"
    width, height = figures.BOX
    for (x, y), (u, v) in combinations(places.values(), 2):
        assert abs(x - u) >= width or abs(y - v) >= height, "no box and no arrow on another box"
    inside = {" ".join(text.get_text().split()): text.get_window_extent() for text in ax.texts}
    outlines = [box.get_window_extent() for box in boxes]
    for words in (words for c in CHAPTERS.values() for words in (c.number, c.name)):
        corners = inside[words].corners()
        assert any(box.count_contains(corners) == 4 for box in outlines), f"{words} fits its box"


# --- notation ------------------------------------------------------------------------------------

SCHEDULES = {"linear": linear_betas(), "cosine": cosine_betas(), "ramp": ramp_betas()}


@pytest.mark.parametrize("symbol", notation.SYMBOLS, ids=lambda symbol: symbol.latex)
def test_each_name_lives_where_the_table_says(symbol):
    """As an attribute or a field of a module or a class, or as an argument of a function."""
    module, *path = symbol.where.split(".")
    place = importlib.import_module(f"minildm.{module}")
    for name in path:
        place = getattr(place, name)
    if place is DiscreteSchedule:
        place = DiscreteSchedule(linear_betas())
        if symbol.shape == notation.TABLE:
            value = getattr(place, symbol.code)
            assert value.shape == (place.T + 1,) and value.dtype == torch.float64
    names = inspect.signature(place).parameters if inspect.isfunction(place) else dir(place)
    assert symbol.code in names
    assert f"| ${symbol.latex}$ | `{symbol.code}` | {symbol.meaning} | " in notation.table()


@pytest.mark.parametrize("betas", SCHEDULES.values(), ids=SCHEDULES)
def test_tables_of_a_schedule_are_what_is_printed(betas):
    found = notation.deviations(DiscreteSchedule(betas))
    assert set(found) == {"alpha", "alpha_bar", "signal", "noise", "snr", "posterior_variance"}
    assert max(found.values()) < 1e-10, found


@pytest.mark.parametrize("name", ["alpha", "alpha_bar", "snr", "posterior_variance"])
def test_a_wrong_table_is_noticed(name):
    schedule = DiscreteSchedule(linear_betas())
    getattr(schedule, name)[300] *= 1 + 1e-6
    assert notation.deviations(schedule)[name] > 1e-7


def test_the_definitions_are_independent_of_the_tables():
    beta = torch.tensor([0, 0.5, 0.2], dtype=torch.float64)  # with a pencil
    assert notation.alpha_bar(beta).tolist() == pytest.approx([1, 0.5, 0.4])
    assert notation.snr(beta)[1:].tolist() == pytest.approx([1, 0.4 / 0.6])
    assert notation.posterior_variance(beta).tolist() == pytest.approx([0, 0, 0.2 * 0.5 / 0.6])


# --- courses -------------------------------------------------------------------------------------

WORDS, EXERCISES = {"03_algorithm": 2400, "05_2_unet": 1200}, {"03_algorithm": 4}
COSTS = {"03_algorithm": {"seconds": 90.0, "peak_gb": 0.6, "threads": 2}}


@pytest.mark.parametrize("plan", [SIX_WEEKS, TWO_DAYS], ids=["six weeks", "two days"])
def test_what_a_chapter_builds_on_comes_before_it(plan):
    stems = [stem for session in plan for stem in session.chapters]
    for i, stem in enumerate(stems):
        assert set(before([stem])) <= set(stems[:i]), stem
    if plan is SIX_WEEKS:
        assert len(plan) == 6 and sorted(stems) == sorted(CHAPTERS), "every chapter once"
    else:
        facts = course.read_words(), course.read_exercises(), course.read_costs()
        assert len(plan) == 4 and set(stems) <= set(facts[0])
        assert course.hours(plan, *facts) <= 12


def test_a_table_names_what_is_not_measured():
    """2,400 words at 120 a minute, 4 exercises of 5 minutes and 90 s are 41.5 minutes."""
    plan = [
        Session("monday", ("03_algorithm", "05_2_unet"), "see"),
        Session("tuesday", ("07_tools",), "use"),
    ]
    *_, first, second, total = course.plan_table(plan, WORDS, EXERCISES, COSTS).splitlines()
    link = "[3 The algorithm](03_algorithm.ipynb), [5.2 The network](05_2_unet.ipynb)"
    assert first == f"| monday | {link} | see | 4 | 90 s, and 1 not measured yet | 50 min |"
    assert second.endswith("| use | 0 | not measured yet | more than 0 min |")
    assert total.endswith("| 4 | 90 s, and 2 not measured yet | more than 50 min |")
    assert course.hours(plan, WORDS, EXERCISES, COSTS) == pytest.approx(51.5 / 60)
    assert [course.about(n) for n in (44, 58, 87)] == ["45 min", "1 h", "1 h 25 min"]


def test_facts_are_read_from_the_chapters(tmp_path):
    assert course.read_costs(tmp_path) == {} == course.read_words(tmp_path)
    text, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [text("four words of text"), code("print('code does not count')"), text("two more")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "03_algorithm.ipynb")
    assert course.read_words(tmp_path) == {"03_algorithm": 6}
    found = course.read_exercises()
    assert sum(found.values()) == len(registry())
    assert found["04_3_gaussian_case"] == sum(id.startswith("4.3-") for id in registry())
    said = r"(\d+) words of text a minute and (\d+) minutes for an exercise"
    said = re.search(said, text_of("00_start_here")).groups()
    assert [int(number) for number in said] == [course.SPEED, course.EXERCISE]


@each
def test_a_chapter_states_what_was_measured(stem):
    """Machines differ; a label that is off by more than a factor of 3 is an old one."""
    noted = json.loads((FOLDER / "costs.json").read_text(encoding="utf-8"))[stem]
    assert set(noted) == {"seconds", "peak_gb", "threads"}
    for part in text_of(stem).split("\n\n"):
        seconds, memory = re.findall(r"(\d+) s\b", part), re.search(r"([\d.]+) GB", part)
        if re.search(r"\bmeasured\b", part, re.IGNORECASE) and seconds and memory:
            break
    assert any(1 / 3 < float(value) / noted["seconds"] < 3 for value in seconds), noted
    assert 1 / 1.6 < float(memory[1]) / noted["peak_gb"] < 1.6, noted


# --- the first caption, and exercise 0-1 where the model fails -----------------------------------


def test_the_first_caption_is_new_to_the_model():
    assert f'caption = "{exercises.FIRST}"' in text_of("00_start_here", kind="code")
    row = to_rows([Scene(*read(exercises.FIRST))])
    assert (splits().test == row).all(1).any(), "the page says: nowhere in the training data"


def test_a_picture_that_is_not_as_asked_is_no_fault_of_the_reader(monkeypatch):
    mine = "a small solid green cross left of a large striped red circle on grey"
    whole = exercises.judge
    monkeypatch.setattr(exercises, "judge", lambda x: whole(x.flip(3)))  # left is right
    reply = verdict(find("0-1"), mine)
    assert "colour 1" in reply and "background" not in reply and "Your text is fine" in reply
    refused = lambda x: whole(x)._replace(accepted=whole(x).accepted & False)  # noqa: E731
    monkeypatch.setattr(exercises, "judge", refused)
    assert "no clear picture" in verdict(find("0-1"), mine)
