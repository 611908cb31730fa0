"""Slides of the course: course/slides/weekN.md becomes a deck in HTML, and that a PDF.

    read_deck(path)     the slides of a file, as they are written
    page(deck)          the deck as one HTML page; pictures lie beside it
    write(out)          all decks, with MathJax and the pictures that they show

In a deck, `![caption](03_algorithm.ipynb#film)` is the figure of that cell of the stored notebook,
and a line {eq}`4.2.13` the numbered equation as its chapter prints it: neither can drift. A slide
begins with `## `; `> **Notes.** ...` at its end is for who speaks.
"""

import base64
import html
import io
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
from book_rules import BOOK, CHAPTERS, SOURCES, picture_alts
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from PIL import Image

FOLDER = BOOK / "course" / "slides"
FIGURE = re.compile(r"!\[([^\]]*)\]\((\w+)\.ipynb#([\w-]+)\)")
EQUATION = re.compile(r"^\{eq\}`([\d.]+)`$", re.M)
DISPLAY = re.compile(r"\$\$.*?\$\$", re.S)
NOTES = re.compile(r"^> \*\*Notes\.\*\* (.*?)(?=\n\n|\Z)", re.M | re.S)
ASKS = re.compile(r"\*\*(Predict|Question|Discuss)\b")
LARGER = 1.7  # a figure is enlarged no more than this
WIDTH = 1152  # of a slide, between its margins, in pixels
TALL = 0.62  # height over width, from which on a figure stands beside the text
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table").use(dollarmath_plugin)
MARKDOWN.add_render_rule(
    "math_inline", lambda self, tokens, i, *_: rf"\({html.escape(tokens[i].content)}\)"
)
MARKDOWN.add_render_rule(
    "math_block", lambda self, tokens, i, *_: f"<div>\\[{html.escape(tokens[i].content)}\\]</div>"
)


class Slide(NamedTuple):
    """One slide: its title, its text and its notes, in Markdown."""

    title: str
    text: str
    notes: str

    @property
    def asks(self) -> bool:
        """Whether the class has something to predict, answer or discuss."""
        return bool(ASKS.search(self.text))


class Deck(NamedTuple):
    """A week's slides; the first is the title."""

    name: str
    title: str
    slides: list[Slide]


def read_deck(path: Path) -> Deck:
    """A deck as it is written: `# title` and a text, then a `## ` for each slide."""
    head, *parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.M)
    title, _, opening = head.strip().partition("\n")
    slides = [Slide(title.removeprefix("# "), *_split(opening))]
    for part in parts:
        name, _, text = part.partition("\n")
        slides.append(Slide(name.strip(), *_split(text)))
    return Deck(path.stem, slides[0].title, slides)


def _split(text: str) -> tuple[str, str]:
    """The text of a slide, and its notes."""
    found = NOTES.search(text)
    if found is None:
        return text.strip(), ""
    return text[: found.start()].strip(), found[1].replace("\n> ", "\n").strip()


def decks() -> list[Deck]:
    return [read_deck(path) for path in sorted(FOLDER.glob("week*.md"))]


# --- what a slide takes from the chapters --------------------------------------------------------


@cache
def notebook(stem: str) -> NotebookNode:
    """A stored notebook. Raises ValueError for a chapter that is not there."""
    path = CHAPTERS / f"{stem}.ipynb"
    if not path.is_file():
        raise ValueError(f"{stem}: no chapter of this name")
    return nbformat.read(path, as_version=4)


def figure(stem: str, name: str) -> tuple[bytes, str]:
    """The picture that a cell drew, and its alternative text; ValueError if it drew none."""
    for cell in notebook(stem).cells:
        for output in cell.get("outputs", []) if cell.id == name else []:
            for kind in (k for k in output.get("data", {}) if k in ("image/png", "image/gif")):
                return base64.b64decode(output.data[kind]), picture_alts(output)[0]
    raise ValueError(f"{stem}, cell {name}: no such figure is stored")


@cache
def printed_equations() -> dict[str, str]:
    """Number -> the display that has it, without its dollars."""
    found = {}
    for path in sorted(SOURCES.glob("[0-9]*.md")):
        for display in DISPLAY.findall(path.read_text(encoding="utf-8")):
            for number in re.findall(r"\\tag\{([^}]*)\}", display):
                found[number] = display[2:-2].strip()
    return found


def equation(number: str) -> str:
    """The equation as its chapter prints it; ValueError if there is none."""
    if number not in printed_equations():
        raise ValueError(f"equation ({number}): no chapter prints it")
    return printed_equations()[number]


# --- the page ------------------------------------------------------------------------------------


def drawn(slide: Slide, pictures: dict[str, bytes]) -> str:
    """A slide's text as HTML; the pictures that it shows are put into `pictures` by file name."""

    def picture(match: re.Match[str]) -> str:
        caption, stem, name = match.groups()
        data, alt = figure(stem, name)
        width, height = Image.open(io.BytesIO(data)).size
        file = f"{stem}-{name}.{'gif' if data.startswith(b'GIF') else 'png'}"
        pictures[file] = data
        scale = min(LARGER, WIDTH / width)
        size = f'style="--w: {scale * width:.0f}px; --h: {scale * height:.0f}px"'
        img = f'<img src="images/{file}" alt="{html.escape(alt, quote=True)}">'
        said = MARKDOWN.renderInline(caption) if caption else ""
        shape = "tall" if height > TALL * width else "wide"
        caption = f"<figcaption>{said}</figcaption>"
        return f'\n\n<figure class="{shape}" {size}>{img}{caption}</figure>\n\n'

    text = EQUATION.sub(lambda m: f"$$\n{equation(m[1])}\n$$", slide.text)
    return MARKDOWN.render(FIGURE.sub(picture, text))


def page(deck: Deck, pictures: dict[str, bytes]) -> str:
    """The deck as one HTML page. What it shows besides text: `pictures`, MathJax, deck.css/js."""
    sections = []
    for number, slide in enumerate(deck.slides, start=1):
        level = "h1" if number == 1 else "h2"
        body = drawn(slide, pictures)
        side = 'class="tall"' in body and body.count("<p>") + body.count("<li>") > 0
        kinds = " ".join(["title"] * (number == 1) + ["asks"] * slide.asks + ["side"] * side)
        kinds += " predict" * ("**Predict" in slide.text)
        notes = f"<aside>{MARKDOWN.render(slide.notes)}</aside>" if slide.notes else ""
        sections.append(
            f'<section id="slide-{number}" class="{kinds}">\n'
            f"<{level}>{MARKDOWN.renderInline(slide.title)}</{level}>\n"
            f'<div class="body">\n{body}</div>\n'
            f'<footer><span>Latent diffusion, week by week</span><span>{number}</span></footer>\n'
            f"{notes}</section>"
        )
    template = (FOLDER / "deck.html").read_text(encoding="utf-8")
    return template.replace("<!-- title -->", html.escape(deck.title)).replace(
        "<!-- slides -->", "\n".join(sections)
    )


def write(out: Path) -> list[Path]:
    """Write all decks with what they need; their pages."""
    from build_web import copy_mathjax

    (out / "images").mkdir(parents=True, exist_ok=True)
    pictures: dict[str, bytes] = {}
    pages = []
    for deck in decks():
        pages.append(out / f"{deck.name}.html")
        pages[-1].write_text(page(deck, pictures), encoding="utf-8")
    for name, data in pictures.items():
        (out / "images" / name).write_bytes(data)
    copy_mathjax(out / "mathjax")
    return pages


def write_pdf(out: Path) -> int:
    """Print each deck by headless Chromium; 1 if there is none."""
    import shutil

    from web_pdf import BROWSERS, FLAGS, SETTLED, served

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("no Chromium on this machine: HTML only")
        return 1
    from playwright.sync_api import sync_playwright

    with served(out) as address, sync_playwright() as play:
        tab = play.chromium.launch(executable_path=browser, args=FLAGS).new_page()
        for path in sorted(out.glob("week*.html")):
            tab.goto(f"{address}/{path.name}", wait_until="load")
            tab.evaluate(SETTLED)
            target = path.with_suffix(".pdf")
            tab.pdf(path=target, width="1280px", height="720px", print_background=True)
            print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")
    return 0
