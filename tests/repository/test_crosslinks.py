"""Mentions of chapters become links, every link leads somewhere, and words are spelled right."""

import ast
import itertools
import re
import urllib.parse

import nbformat
import pytest
from book_rules import BOOK, CHAPTERS, SOURCES, source_notebook
from crosslinks import Chapter, chapters, link_mentions, number_of, way_on
from spelling import PAGES, SENTENCE, listed, texts, unknown, words

BOOKLET = {
    number: Chapter(number, stem, f"{number} {stem}")
    for number, stem in (("3", "03_c"), ("4.2", "04_2_b"), ("9", "09_q"), ("9.1", "09_1_m"))
}
MARKDOWN_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


# --- links that are made ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see chapter 4.2.", "see [chapter 4.2](04_2_b.ipynb)."),
        ("Chapter 3's model", "[Chapter 3](03_c.ipynb)'s model"),
        ("chapter 3.4 says", "[chapter 3.4](03_c.ipynb) says"),  # a section leads to its chapter
        ("chapters 3 and 4.2", "chapters [3](03_c.ipynb) and [4.2](04_2_b.ipynb)"),
        ("chapter 9.1", "chapter 9.1"),  # itself
        ("chapter 9", "[chapter 9](09_q.ipynb)"),
        ("chapter 7", "chapter 7"),  # not in this book
        ("`chapter 3`", "`chapter 3`"),
        ("$x$ chapter 3 $y$", "$x$ [chapter 3](03_c.ipynb) $y$"),
        ("$$\nchapter 3\n$$", "$$\nchapter 3\n$$"),
        ("[in chapter 3](x.ipynb)", "[in chapter 3](x.ipynb)"),
        ("## As in chapter 3\n", "## As in chapter 3\n"),  # anchors stay what they are
        ("```\nchapter 3\n```", "```\nchapter 3\n```"),
        ("见第 4.2 章。", "见[第 4.2 章](04_2_b.ipynb)。"),
        ("第 3、4.2 章", "第 [3](03_c.ipynb)、[4.2](04_2_b.ipynb) 章"),
        ("第 3 章和第 9.1 章", "[第 3 章](03_c.ipynb)和第 9.1 章"),
        ("第 3 步", "第 3 步"),
    ],
)
def test_mentions_become_links(text, expected):
    assert link_mentions(text, BOOKLET, "9.1") == expected


def test_a_chapter_says_how_to_go_on():
    assert list(BOOKLET) == ["3", "4.2", "9", "9.1"]
    assert "Before" not in way_on(BOOKLET, "3")
    assert way_on(BOOKLET, "3").endswith("Next: [4.2 04_2_b](04_2_b.ipynb)")
    middle = way_on(BOOKLET, "9")
    assert "Before: [4.2 04_2_b](04_2_b.ipynb)" in middle
    assert "All chapters: [3 03_c](03_c.ipynb)" in middle
    assert middle.endswith("Next: [9.1 09_1_m](09_1_m.ipynb)")
    assert "Next" not in way_on(BOOKLET, "9.1")
    assert way_on({"3": BOOKLET["3"]}, "3") == ""


def test_chapters_are_in_the_order_of_reading(tmp_path):
    for name in ("09_q", "10_z", "09_1_m", "04_2_b"):
        code = "```{code-cell} ipython3\n# a comment\n```\n"
        (tmp_path / f"{name}.md").write_text(f"{code}\n# {name} title\n", encoding="utf-8")
    found = chapters(tmp_path)
    assert list(found) == ["4.2", "9", "9.1", "10"]
    assert found["9"] == Chapter("9", "09_q", "09_q title")
    with pytest.raises(ValueError, match="chapter number"):
        number_of("appendix")


def test_the_titles_carry_the_numbers_of_the_files():
    for number, chapter in chapters(SOURCES).items():
        assert re.match(rf"{re.escape(number)}[.: ]", chapter.title), chapter


# --- links that are there -----------------------------------------------------------------------


def anchors(path):
    """The anchors that JupyterLab and nbconvert give to headings; in Markdown, GitHub's."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    heads = re.findall(r"^#{1,6} +(.+?) *$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    heads = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", head) for head in heads]
    if path.suffix == ".ipynb":  # JupyterLab also goes to a cell by its name
        return {head.replace(" ", "-") for head in heads} | {f"cell-id={c.id}" for c in cells}
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(path, text):
    """Relative links of a page that lead to no file, or to no heading of it."""
    dead = []
    for target in MARKDOWN_LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = urllib.parse.unquote(target).partition("#")
        place = (path.parent / file).resolve() if file else path
        inside = place.exists() and BOOK in (place, *place.parents)
        if not inside or (anchor and anchor not in anchors(place)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("path", sorted(CHAPTERS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_links_of_a_chapter_lead_somewhere(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    for cell in cells:  # tables that a cell makes may hold links too
        for output in cell.get("outputs", []):
            text += "\n\n" + "".join(output.get("data", {}).get("text/markdown", ""))
    assert dead_links(path, text) == []


@pytest.mark.parametrize(
    "path", sorted({*(BOOK / "docs").glob("*.md"), *(BOOK / name for name in PAGES)})
)
def test_links_of_a_document_lead_somewhere_and_pictures_have_words(path):
    text = path.read_text(encoding="utf-8")
    assert dead_links(path, text) == []
    assert [alt for alt in re.findall(r"!\[([^\]]*)\]\(", text) if len(alt) < 20] == []


def test_dead_links_are_found(tmp_path):
    page = BOOK / "chapters" / "03_algorithm.ipynb"
    text = (
        "[a](03_algorithm.ipynb) [b](none.ipynb) [c](https://example.org) [d](#Summary) "
        "[e](#no-such-heading) [f](04_4_schedule_lab.ipynb#Nowhere) [g](../../outside.md) "
        "[h](03_algorithm.ipynb#cell-id=judge) [i](#cell-id=none)"
    )
    assert dead_links(page, text) == [
        "none.ipynb", "#no-such-heading", "04_4_schedule_lab.ipynb#Nowhere", "../../outside.md",
        "#cell-id=none",
    ]  # fmt: skip


def test_every_chapter_links_to_its_neighbours():
    order = [chapter.stem for chapter in chapters(SOURCES).values()]
    for here, after in itertools.pairwise(order):
        assert f"({after}.ipynb)" in source_notebook(SOURCES / f"{here}.md").cells[-1].source
        assert f"({here}.ipynb)" in source_notebook(SOURCES / f"{after}.md").cells[-1].source


# --- words --------------------------------------------------------------------------------------


def test_every_word_is_in_the_dictionary_or_listed():
    known, refused = listed()
    wrong = {
        f"{word} ({place})" for place, text in texts() for word in unknown(text, known, refused)
    }
    assert not wrong, "misspelled, or to be added to tests/words.txt: python tools/spelling.py"


def test_mistakes_are_found_and_code_is_not_prose():
    known, refused = {"UNet", "denoiser"}, {"color"}

    def wrong(text):
        return unknown(text, known, refused)

    assert wrong("The nosie of a picture is recieved.") == ["nosie", "recieved"]
    assert wrong("Two UNets, the denoiser's and Denoisers.") == []
    assert wrong("unet") == ["unet"], "a name is written as it is listed"
    assert wrong("A color.") == ["color"]
    assert wrong("`nosie` $nosie$ [word](nosie.md) https://nosie.org\n```\nnosie\n```") == []
    assert list(words("the reader's cat, don’t")) == ["the", "reader", "cat", "don't"]
    assert SENTENCE.match("What is left is a product of all.")
    assert not SENTENCE.match("my_betas = torch.linspace(0, 1, 5)")


def test_the_list_holds_nothing_that_is_not_needed():
    known, _ = listed()
    used = {form for _, text in texts() for word in words(text) for form in (word, word.lower())}
    used |= {word.removesuffix("s") for word in used}
    assert known <= used, f"no longer used: {sorted(known - used)}"


# --- what a chapter reads -------------------------------------------------------------------------

RELATIVE = re.compile(r"\.\.?/|(data|chapters|docs|minildm)/\S*\.\w+$")


def relative_paths(notebook):
    """Texts in the code that are places of the book as seen from one working directory."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":  # a command of IPython may be all that a block holds
            tree = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", cell.source, flags=re.MULTILINE))
            texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
            found += [text for text in texts if isinstance(text, str) and RELATIVE.match(text)]
    return found


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.md")), ids=lambda p: p.stem)
def test_a_chapter_runs_from_any_working_directory(path):
    """Its code finds the book's data by the package (places.SHIPPED), wherever it stands."""
    assert relative_paths(source_notebook(path)) == []


def test_a_relative_path_is_seen():
    for text in ("../data/results.json", "./x", "data/results.json", "chapters/costs.json"):
        cells = [nbformat.v4.new_code_cell(f"%matplotlib inline\nx = read({text!r}, 'a/b')")]
        assert relative_paths(nbformat.v4.new_notebook(cells=cells)) == [text]
