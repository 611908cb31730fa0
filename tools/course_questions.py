"""The question bank of the course: course/questions/*.md, and its copies for learning platforms.

    read_bank(path)      the questions of one chapter
    moodle(bank)         Moodle's XML
    gift(bank)           GIFT, which most platforms read

A question, as it stands in its file (the right answer has the x, the pointer names a section):

    **3.** What is asked. (4.2.1)

    - [ ] a wrong answer
      - the misconception behind it
    - [x] the right answer
      - why it is right
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from book_rules import BOOK
from crosslinks import number_of
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

FOLDER = BOOK / "course" / "questions"
QUESTION = re.compile(r"^\*\*(\d+)\.\*\* (.*?)(?=^\*\*\d+\.\*\* |\Z)", re.M | re.S)
OPTION = re.compile(r"^- \[([ x])\] (.*?)\n  - (.*?)(?=^- \[|\Z)", re.M | re.S)
POINTER = re.compile(r"\s*\((Q?\d[\d.]*)\)\s*\Z")
SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\~=#{}:"})  # what GIFT reads as its own signs


class Option(NamedTuple):
    """One answer: whether it is right, its text, and what is said to who chose it (Markdown)."""

    right: bool
    text: str
    reply: str


class Question(NamedTuple):
    """A question of a chapter; ``section`` is where the chapter answers it."""

    chapter: str
    number: int
    text: str
    section: str
    options: tuple[Option, ...]

    @property
    def name(self) -> str:
        """As in "4.2 question 07": platforms sort by it."""
        return f"{self.chapter} question {self.number:02}"


def one_line(text: str) -> str:
    return " ".join(text.split())


def read_bank(path: Path) -> list[Question]:
    """All questions of a file. Raises ValueError, with its number, for one that is not complete."""
    chapter = number_of(path.stem)
    found = []
    for match in QUESTION.finditer(path.read_text(encoding="utf-8")):
        head, mark, rest = match[2].partition("\n- [")
        pointer = POINTER.search(head)
        options = tuple(
            Option(x == "x", one_line(text), one_line(reply))
            for x, text, reply in OPTION.findall(f"{mark[1:]}{rest}")
        )
        if pointer is None or sum(o.right for o in options) != 1 or len(options) < 3:
            raise ValueError(
                f"{path.name}, question {match[1]}: it needs three answers or more, one of them "
                "right, each with its reply, and (a section) at the end of what is asked"
            )
        text = one_line(head[: pointer.start()])
        found.append(Question(chapter, int(match[1]), text, pointer[1], options))
    return found


def banks(folder: Path = FOLDER) -> dict[str, list[Question]]:
    """File stem -> its questions, in the order of the book."""
    return {path.stem: read_bank(path) for path in sorted(folder.glob("[0-9]*.md"))}


# --- copies ------------------------------------------------------------------------------------

MARKDOWN = MarkdownIt("commonmark").use(dollarmath_plugin)
MARKDOWN.add_render_rule("math_inline", lambda self, tokens, i, *_: _inline(tokens[i].content))
MARKDOWN.add_render_rule("math_block", lambda self, tokens, i, *_: _inline(tokens[i].content))


def _inline(formula: str) -> str:
    r"""A formula as the filters of learning platforms know it: \( ... \)."""
    escaped = formula.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return rf"\({escaped}\)"


def as_html(text: str) -> str:
    return MARKDOWN.render(text).strip()


def replies(question: Question) -> Iterator[tuple[Option, str]]:
    """Each option with what is said to it, and where to read on."""
    for option in question.options:
        yield option, f"{option.reply} See section {question.section}."


def moodle(bank: list[Question], category: str) -> str:
    """A file that Moodle imports as "Moodle XML format": one category, all answers shuffled."""
    quiz = ElementTree.Element("quiz")
    first = ElementTree.SubElement(quiz, "question", type="category")
    _text(ElementTree.SubElement(first, "category"), f"$course$/top/{category}")
    for question in bank:
        item = ElementTree.SubElement(quiz, "question", type="multichoice")
        _text(ElementTree.SubElement(item, "name"), question.name)
        _text(ElementTree.SubElement(item, "questiontext", format="html"), as_html(question.text))
        _text(ElementTree.SubElement(item, "generalfeedback", format="html"), "")
        for tag, value in (("defaultgrade", "1"), ("penalty", "0.3333333"), ("hidden", "0"),
                           ("single", "true"), ("shuffleanswers", "true"),
                           ("answernumbering", "abc")):  # fmt: skip
            ElementTree.SubElement(item, tag).text = value
        for option, reply in replies(question):
            fraction = "100" if option.right else "0"
            answer = ElementTree.SubElement(item, "answer", fraction=fraction, format="html")
            ElementTree.SubElement(answer, "text").text = as_html(option.text)
            _text(ElementTree.SubElement(answer, "feedback", format="html"), as_html(reply))
    ElementTree.indent(quiz)
    return ElementTree.tostring(quiz, encoding="unicode", xml_declaration=True) + "\n"


def _text(parent: ElementTree.Element, text: str) -> None:
    ElementTree.SubElement(parent, "text").text = text


def gift(bank: list[Question], category: str) -> str:
    """A file in the GIFT format; formulas and the format's own signs are escaped."""
    parts = [f"$CATEGORY: $course$/top/{category}"]
    for question in bank:
        lines = [f"::{_safe(question.name)}::[html]{_safe(as_html(question.text))}{{"]
        for option, reply in replies(question):
            sign = "=" if option.right else "~"
            lines.append(f"  {sign}{_safe(as_html(option.text))}#{_safe(as_html(reply))}")
        parts.append("\n".join([*lines, "}"]))
    return "\n\n".join(parts) + "\n"


def _safe(text: str) -> str:
    return one_line(text).translate(SPECIAL)


def write(out: Path) -> int:
    """All chapters as `moodle/NAME.xml` and `gift/NAME.txt`; the number of questions."""
    count = 0
    for stem, bank in banks().items():
        category = f"Latent diffusion/Chapter {bank[0].chapter}"
        for folder, name, text in (("moodle", f"{stem}.xml", moodle(bank, category)),
                                   ("gift", f"{stem}.txt", gift(bank, category))):  # fmt: skip
            (out / folder).mkdir(parents=True, exist_ok=True)
            (out / folder / name).write_text(text, encoding="utf-8")
        count += len(bank)
    return count
