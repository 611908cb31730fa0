"""The course kit: nothing is given away, nothing has drifted, every question is complete."""

import html
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import course_assignments as assignments
import course_grade as grading
import course_questions as questions
import course_slides as slides
import nbformat
import pytest
from book_rules import BOOK, SOURCES
from crosslinks import chapters

import course
from book import exercises
from book.ch00_start.book_map import CHAPTERS as MAP
from book.ch00_start.course import SIX_WEEKS
from book.exercises import judged, registry

STEMS = [stem for session in SIX_WEEKS for stem in assignments.with_exercises(session)]
BANKS = questions.banks()
DECKS = slides.decks()


# --- assignments -------------------------------------------------------------------------------


def test_every_exercise_is_in_one_assignment():
    ids = [e.id for stem in STEMS for e in assignments.exercises_of(stem)]
    assert sorted(ids) == sorted(registry())


@pytest.fixture(scope="module", params=STEMS)
def pair(request):
    source = assignments.source_notebook(request.param)
    return request.param, source, assignments.student(source)


def test_students_get_no_solution(pair):
    """Of a solution's lines only those of the stub and the setup are in what students get."""
    stem, source, student = pair
    text = "\n".join(cell.source for cell in student.cells if cell.cell_type == "code")
    assert not any(mark in text for mark in (*assignments.SOLUTION, *assignments.HIDDEN))
    assert "judged" not in text and "judged" in "\n".join(cell.source for cell in source.cells)
    own = assignments.exercises_of(stem)
    given = "\n".join([assignments.BEGIN, *(e.stub + e.setup for e in own)])
    lines = {line.strip() for e in own for line in e.solution.splitlines()}
    secret = {line for line in lines if len(line) > 12 and line not in given}
    assert len(secret) >= 3
    assert {line for line in secret if line in text} == set()


def test_what_students_get_is_what_the_chapter_asks(pair):
    stem, _, student = pair
    cells = {cell.id: cell for cell in student.cells}
    assert len(cells) == len(student.cells)
    for exercise in assignments.exercises_of(stem):
        name = exercise.id.replace(".", "-")
        assert cells[f"exercise-{name}"].source.startswith(f"**Exercise {exercise.id}.**")
        assert cells[f"answer-{name}"].source.strip() == exercise.stub.strip()
        assert cells[f"check-{name}"].source == f'check("{exercise.id}", {exercise.answer})'
    assert nbformat.validate(student) is None
    assert not any(re.search(r"\]\((?!https?:)", c.source) for c in student.cells), "a dead link"


def test_nbgrader_knows_every_cell(pair):
    stem, source, _ = pair
    marks = [cell.metadata["nbgrader"] for cell in source.cells]
    count = len(assignments.exercises_of(stem))
    assert sum(mark["solution"] for mark in marks) == sum(mark["grade"] for mark in marks) == count
    assert all(mark["locked"] != mark["solution"] for mark in marks)
    assert len({mark["grade_id"] for mark in marks}) == len(marks)


def test_the_hidden_test_is_the_check():
    """None for a right answer, the hint for a wrong one, and no point for a blank."""
    exercise = registry()["4.1-2"]
    names = {}
    exec(exercise.setup + "\n" + exercise.solution, names)
    assert judged(exercise.id, names[exercise.answer]) is None
    assert judged(exercise.id, ...) == f"not answered: {exercise.title}"
    for which in range(2):
        code, piece = assignments.wrong_code(exercise, which)
        exec(exercise.setup + "\n" + code, names)
        assert piece in judged(exercise.id, names[exercise.answer])


def test_solutions_can_be_switched_off(monkeypatch, capsys):
    exercises.reveal("4.3-2")
    assert "alpha_bar_now" in capsys.readouterr().out
    monkeypatch.setenv(exercises.NO_SOLUTIONS, "1")
    exercises.reveal("4.3-2")
    said = capsys.readouterr().out
    assert "alpha_bar_now" not in said and exercises.NO_SOLUTIONS in said


def test_a_table_of_students_and_exercises(tmp_path):
    def notebook(path: Path, *lines: str) -> None:
        cells = [nbformat.v4.new_code_cell("check(...)") for _ in lines]
        for cell, line in zip(cells, lines, strict=True):
            cell.outputs = [nbformat.v4.new_output("stream", text=line + "\n")]
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

    notebook(tmp_path / "ada" / "a.ipynb", "[ok] 4.3-10: fine", "[todo] 4.3-2: do it")
    notebook(tmp_path / "ada" / "b.ipynb", "[not yet] 4.3-2: no", "says [ok] 4.3-2: nothing")
    notebook(tmp_path / "bob.ipynb", "[todo] 4.3-2: do it", "[ok] 4.3-2: fine")
    found = grading.students(tmp_path)
    assert found == {"ada": {"4.3-10": "ok", "4.3-2": "not yet"}, "bob": {"4.3-2": "ok"}}
    lines = [line.split() for line in grading.table(found).splitlines()]
    assert lines == [["solved", "4.3-2", "4.3-10"], ["ada", "1/2", "-", "x"], ["bob", "1/2", "x"]]


# --- slides ------------------------------------------------------------------------------------


def test_each_week_has_a_deck():
    assert [deck.name for deck in DECKS] == [f"week{n}" for n in range(1, len(SIX_WEEKS) + 1)]


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.name)
def test_a_deck_shows_what_the_chapters_show(deck):
    """Every figure and equation that it names is there; all have notes, every third asks."""
    pictures = {}
    page = slides.page(deck, pictures)  # raises ValueError for what no chapter has
    assert 15 <= len(deck.slides) <= 25
    assert sum(slide.asks for slide in deck.slides) >= len(deck.slides) / 3
    assert all(slide.notes for slide in deck.slides)
    assert len(pictures) >= 5 and "{eq}" not in page and ".ipynb#" not in page
    week = SIX_WEEKS[int(deck.name[-1]) - 1]
    shown = {name.split("-")[0] for name in pictures}
    assert shown <= set(week.chapters), "a figure of another week"
    assert all(alt.strip() for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))


def test_a_slide_cannot_name_what_is_not_there():
    with pytest.raises(ValueError, match="no such figure"):
        slides.figure("03_algorithm", "no-such-cell")
    with pytest.raises(ValueError, match="no chapter prints it"):
        slides.equation("4.2.999")
    assert r"\tag{4.2.13}" in slides.equation("4.2.13")


def test_the_parts_of_a_slide(tmp_path):
    path = tmp_path / "week1.md"
    path.write_text("# A week\n\nWords.\n\n> **Notes.** One.\n\n## Two\n\n**Predict.** So?\n")
    deck = slides.read_deck(path)
    assert [tuple(slide) for slide in deck.slides] == [
        ("A week", "Words.", "One."), ("Two", "**Predict.** So?", ""),
    ]  # fmt: skip
    assert [slide.asks for slide in deck.slides] == [False, True]


# --- questions ---------------------------------------------------------------------------------


def test_each_chapter_has_ten_questions():
    assert set(BANKS) == set(MAP)
    for stem, bank in BANKS.items():
        assert [q.number for q in bank] == list(range(1, len(bank) + 1)), stem
        assert len(bank) >= 10, stem


@pytest.mark.parametrize("stem", BANKS)
def test_questions_are_complete(stem):
    """Each names a section of its chapter; each wrong answer a misconception; no two are alike."""
    text = (SOURCES / f"{stem}.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^#+ (Q?\d[\d.]*)\s", text, re.MULTILINE))
    for question in BANKS[stem]:
        place = f"{stem}, question {question.number}"
        assert question.section in sections, f"{place}: no section {question.section}"
        texts = [option.text for option in question.options]
        assert len(set(texts)) == len(texts) >= 4, place
        assert not re.search(r"(?i)(all|none|both) of (the above|these)", " ".join(texts)), place
        for option in question.options:
            assert len(option.reply) > 8, place
            misconception = option.reply.startswith("Misconception: ")
            assert misconception != option.right, f"{place}: {option.text}"


def test_nobody_passes_by_a_habit():
    """The right answer has no favourite place, and is not usually the longest one."""
    every = [question for bank in BANKS.values() for question in bank]
    places = Counter([o.right for o in q.options].index(True) for q in every)
    assert max(places.values()) < 0.4 * len(every), places
    longest = sum(max(q.options, key=lambda o: len(o.text)).right for q in every)
    assert longest < 0.5 * len(every), longest


def test_moodle_gets_what_the_file_says():
    bank = BANKS["04_2_derivations"]
    quiz = ElementTree.fromstring(questions.moodle(bank, "Chapter 4.2").encode())
    items = [item for item in quiz if item.get("type") == "multichoice"]
    assert len(items) == len(bank) and quiz[0].get("type") == "category"
    order = ["name", "questiontext", "generalfeedback", "defaultgrade", "penalty", "hidden",
             "single", "shuffleanswers", "answernumbering"]  # fmt: skip
    for item, question in zip(items, bank, strict=True):
        assert [part.tag for part in item] == order + ["answer"] * len(question.options)
        answers = item.findall("answer")
        right = [answer.get("fraction") == "100" for answer in answers]
        assert right == [option.right for option in question.options]
        assert all(answer.find("feedback/text").text.startswith("<p>") for answer in answers)
    assert r"\(r^2 V + c^2\)" in ElementTree.tostring(quiz, encoding="unicode")


def test_a_formula_with_signs_of_html_survives():
    assert questions.as_html("$a < b$ & *c*") == r"<p>\(a &lt; b\) &amp; <em>c</em></p>"


def read_gift(text: str) -> list[tuple[str, list[tuple[bool, str]]]]:
    """GIFT as Moodle reads it: a backslash takes the meaning from the sign after it."""
    found = []
    for block in text.split("\n\n")[1:]:
        hidden = re.sub(r"\\([\\~=#{}:])", lambda m: chr(0xE000 + ord(m[1])), block)
        name, asked, inside = re.fullmatch(r"::(.*?)::(.*?)\{(.*)\}\s*", hidden, re.DOTALL).groups()
        assert not set(asked) & set("~={}"), name
        answers = re.findall(r"([=~])([^=~#]*)#([^=~#]*)", inside)
        assert "".join(map("".join, answers)).count("<p>") == inside.count("<p>"), name
        shown = [(sign == "=", _shown(answer)) for sign, answer, _ in answers]
        found.append((_shown(asked), shown))
    return found


def _shown(text: str) -> str:
    return re.sub(r"[\ue000-\ue0ff]", lambda m: chr(ord(m[0]) - 0xE000), text).strip()


@pytest.mark.parametrize("stem", BANKS)
def test_gift_can_be_read_back(stem):
    bank = BANKS[stem]
    read = read_gift(questions.gift(bank, "Chapter"))
    assert len(read) == len(bank)
    for (asked, answers), question in zip(read, bank, strict=True):
        assert asked == "[html]" + questions.one_line(questions.as_html(question.text))
        texts = [questions.one_line(questions.as_html(o.text)) for o in question.options]
        assert answers == [(o.right, t) for o, t in zip(question.options, texts, strict=True)]


def test_an_incomplete_question_is_named(tmp_path):
    path = tmp_path / "04_2_x.md"
    path.write_text("# Q\n\n**1.** Why? (4.2.1)\n\n- [x] so\n  - yes\n- [x] so\n  - no\n")
    with pytest.raises(ValueError, match="question 1: it needs three answers"):
        questions.read_bank(path)


# --- the syllabus ------------------------------------------------------------------------------


def test_the_tables_of_the_syllabus_are_up_to_date():
    """All but the last column, an estimate that changes with every few words of a chapter."""
    text = course.README.read_text(encoding="utf-8")
    now, then = (re.sub(r"\| [^|\n]*(?:min|h) \|$", "", t, flags=re.MULTILINE)
                 for t in (course.tables(text), text))  # fmt: skip
    assert now == then, "make pages"


def test_the_syllabus_names_what_there_is():
    text = course.README.read_text(encoding="utf-8")
    sources = {c.number: (SOURCES / f"{c.stem}.md").read_text("utf-8")
               for c in chapters(SOURCES).values()}  # fmt: skip
    for cell, section in re.findall(r"`(\w+-guess|guess-[\w-]+|blind-guess)` \(([\d.]+)\)", text):
        number = next(section[:n] for n in range(len(section), 0, -1) if section[:n] in sources)
        assert f":name: {cell}\n" in sources[number], cell
    ids = set(re.findall(r"(?<![\w.])(\d(?:\.\d)?-\d)(?![\d\w])", text.split("What to do")[1]))
    assert len(ids) > 5 and ids <= set(registry())
    assert text.count("\n| 1") >= 4 and len(re.findall(r"^\| \d+ [A-Z]", text, re.M)) >= 8
    for target in re.findall(r"\]\((\.\./chapters/[^)#]+)", text):
        assert (BOOK / "course" / target).exists(), target
    assert html.unescape(text) == text
