"""The map of the book says what the chapters say, and hangs together."""

import re
from graphlib import TopologicalSorter
from itertools import combinations

import jupytext
import pytest
from book_rules import CHAPTERS as FOLDER
from book_rules import SOURCES

from book.ch00_start import book_map
from book.ch00_start import figures as first_page
from book.ch00_start.book_map import CHAPTERS, GOALS, Chapter, before, direct, levels

each = pytest.mark.parametrize("stem", CHAPTERS)


def text_of(stem):
    cells = jupytext.read(SOURCES / f"{stem}.md").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


# --- the data and the chapters -----------------------------------------------------------------


def test_the_map_lists_exactly_the_chapters():
    assert sorted(CHAPTERS) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    numbers = [[int(n) for n in chapter.number.split(".")] for chapter in CHAPTERS.values()]
    assert numbers == sorted(numbers), "in the order in which they are read"


@each
def test_title_and_number_are_those_of_the_page(stem):
    heading = re.search(r"^# (.+)$", text_of(stem), re.MULTILINE)[1]
    assert CHAPTERS[stem].title == heading
    digits = re.match(r"\d+(_\d+)?(?=_)", stem)[0].split("_")
    assert CHAPTERS[stem].number == ".".join(str(int(part)) for part in digits)


@each
def test_what_a_chapter_needs_is_what_its_prerequisites_name(stem):
    [paragraph] = [p for p in text_of(stem).split("\n\n") if p.startswith("**Prerequisites")]
    for need in CHAPTERS[stem].needs:
        number = re.escape(CHAPTERS[need].number)
        assert re.search(rf"(?<![\d.]){number}(?!\d|\.\d)", paragraph), f"{need} is not named"


def test_needs_have_no_circle_and_come_first():
    graph = {stem: chapter.needs for stem, chapter in CHAPTERS.items()}
    order = list(CHAPTERS)
    assert set(TopologicalSorter(graph).static_order()) == set(order)  # raises for a circle
    for stem, needs in graph.items():
        assert len(set(needs)) == len(needs)
        assert all(order.index(need) < order.index(stem) for need in needs)


def test_every_chapter_is_on_the_way_to_some_goal():
    reached = {stem for stems in GOALS.values() for stem in (*stems, *before(stems))}
    assert reached | {"00_start_here"} == set(CHAPTERS), "where the reader is already"


# --- the functions, on a small map -------------------------------------------------------------

SMALL = {
    stem: Chapter(stem, f"{i} Title {stem}: more", "", tuple(needs))
    for i, (stem, needs) in enumerate({"a": "", "b": "a", "c": "", "d": "ab", "e": "dc"}.items())
}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(book_map, "CHAPTERS", SMALL)


def test_before_goes_all_the_way_down(small):
    assert before(["e"]) == ["a", "b", "c", "d"]
    assert before(["d", "b"]) == ["a"], "what is asked for is not in front of itself"
    assert before(["a", "c"]) == []
    with pytest.raises(ValueError, match="no chapter 'z'; there are a, b"):
        before(["z"])


def test_an_implied_need_gets_no_arrow(small):
    assert direct("d") == ("b",), "a is below b already"
    assert direct("e") == ("d", "c")
    assert direct("a") == ()


def test_arrows_in_words(small):
    assert book_map.in_words() == (
        "5 chapters, with arrows: 1 builds on 0; 3 builds on 1; 4 builds on 3 and 2. "
        "Nothing before 0, 2."
    )


def test_level_is_the_longest_chain(small):
    assert levels() == {"a": 0, "b": 1, "c": 0, "d": 2, "e": 3}


def test_links_lead_to_the_notebook_beside(small):
    assert SMALL["b"].link == "[1 Title b](b.ipynb)"
    assert book_map.links(["a", "b"]) == "[0 Title a](a.ipynb), [1 Title b](b.ipynb)"


# --- the picture and the page ------------------------------------------------------------------


def test_the_chart_has_every_chapter_and_every_arrow():
    places = first_page.layout()
    fig = first_page.chart()
    [ax] = fig.axes
    texts = [" ".join(text.get_text().split()) for text in ax.texts]
    for chapter in CHAPTERS.values():
        assert chapter.number in texts and chapter.name in texts
    boxes = [patch for patch in ax.patches if hasattr(patch, "get_boxstyle")]
    heads = [patch for patch in ax.patches if hasattr(patch, "get_arrowstyle")]
    heads = [patch for patch in heads if patch not in boxes]
    assert len(boxes) == len(CHAPTERS)
    assert len(heads) == sum(len(direct(stem)) for stem in CHAPTERS)
    for stem in CHAPTERS:
        assert all(places[need][0] < places[stem][0] for need in direct(stem)), "to the right"
    width, height = first_page.BOX
    for (x, y), (u, v) in combinations(places.values(), 2):
        assert abs(x - u) >= width or abs(y - v) >= height, "no box and no arrow on another box"


def test_words_fit_into_their_boxes():
    fig = first_page.chart()
    [ax] = fig.axes
    fig.canvas.draw()
    boxes = [p.get_window_extent() for p in ax.patches if hasattr(p, "get_boxstyle")]
    legend = len(dict(first_page.PARTS.values()))
    for text in ax.texts[:-legend]:
        inside = text.get_window_extent()
        assert any(
            box.x0 <= inside.x0
            and inside.x1 <= box.x1
            and box.y0 <= inside.y0 <= inside.y1 <= box.y1
            for box in boxes
        ), text.get_text()


def test_the_first_page_prints_the_tables_of_the_map():
    text = text_of("00_start_here")
    for table in (book_map.goal_table(), book_map.chapter_table()):
        assert table in text, f"the source of chapter 0 should contain:\n{table}"
