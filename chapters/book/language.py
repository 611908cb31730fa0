"""What the book says while it runs, in another language: messages, labels, alternative texts.

Where the environment variable MINILDM_LANGUAGE names a language, `told` looks a text up in the
catalogue chapters/translations/LANGUAGE/messages.po; otherwise, and where there is no entry, a text
stays what it is. What can stand there is read from the code (tools/messages.py). An f-string is a
template, "at t = {0} your signal is {1}": what was printed is matched with it backwards.
"""

import functools
import os
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TRANSLATIONS = Path(__file__).resolve().parents[1] / "translations"
JOINTS = ("; ", " and ")  # of the items of a list
NUMBER = re.compile(r"-?\d+(?:\.\d+)*")
LINK = re.compile(r"(\[[\d.]* ?)([^\]]+)(\]\()")
ROW = re.compile(r"((?<!\\)\||\*\*)")
PLACE = re.compile(r"\{(\d+)\}")
# With fewer letters a template takes only what has a digit: "step {0}" is not "step by step".
FEW_LETTERS = 6
FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "SimHei",
    "Noto Sans CJK JP",
)  # fmt: skip


class Messages:
    """A catalogue: texts, and templates with places {0}, {1}, in English and in the language."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        self.exact = {text: said for text, said in entries.items() if not PLACE.search(text)}
        templates = {text: said for text, said in entries.items() if PLACE.search(text)}
        # A reply to an exercise first, whatever it says; then the one that says most by itself.
        self.templates = sorted(
            templates.items(),
            key=lambda item: (not item[0].startswith("["), -len(PLACE.sub("", item[0]))),
        )

    def told(self, text: str) -> str:
        """The text in the language; the text itself where the catalogue does not have it."""
        if text in self.exact:
            return self.exact[text]
        for template, said in self.templates:
            if match := _pattern(template).fullmatch(text):
                return self.filled(said, [self.value(part) for part in match.groups()])
        return text

    def value(self, text: str) -> str:
        """What stands at a place of a template: a text, or a list of texts and numbers."""
        if NUMBER.fullmatch(text):
            return text
        for joint in JOINTS:
            items = text.split(joint)
            if len(items) == 1:
                continue
            said = [self.value(item) for item in items]
            pairs = zip(items, said, strict=True)
            if all(NUMBER.fullmatch(old) or old != new for old, new in pairs):
                return self.told(joint).join(said)
        return self.told(text)

    def table(self, text: str) -> str:
        """A table in Markdown with the text of each cell told, and of each link by itself."""

        def cell(part: str) -> str:
            linked = LINK.sub(lambda m: m[1] + self.told(m[2]) + m[3], part)
            inner = linked.strip()
            return linked.replace(inner, self.told(inner)) if inner else linked

        return "".join(map(cell, ROW.split(text)))

    def say(self, text: str, *values: object) -> str:
        """The text in the language, with the values at its places; `told` where there is none."""
        return (
            self.filled(dict(self.templates).get(text, text), values) if values else self.told(text)
        )

    @staticmethod
    def filled(text: str, values: Any) -> str:
        """A template with its values."""
        return PLACE.sub(lambda m: str(values[int(m[1])]), text) if values else text


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    """What a template prints, with a group for each place."""
    literal = PLACE.split(template)[::2]
    few = sum(letter.isalpha() for part in literal for letter in part) < FEW_LETTERS
    return re.compile((r"(\S*\d\S*?)" if few else "(.*?)").join(map(re.escape, literal)), re.DOTALL)


def language() -> str:
    """The language that the reader wants: "" for English."""
    wanted = os.environ.get("MINILDM_LANGUAGE", "")
    return "" if wanted == "en" else wanted


@functools.cache
def messages(language: str) -> Messages:
    """The catalogue of a language; empty where there is none."""
    path = TRANSLATIONS / language / "messages.po"
    if not path.is_file():
        return Messages({})
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        entries = read_po(file, locale=language)
    return Messages({str(e.id): str(e.string) for e in entries if e.id and e.string})


def told(text: str) -> str:
    """A text as the reader wants it: unchanged, unless MINILDM_LANGUAGE names a language."""
    wanted = language()
    return messages(wanted).told(text) if wanted else text


def told_table(text: str) -> str:
    """`told` for a table in Markdown, cell by cell."""
    wanted = language()
    return messages(wanted).table(text) if wanted else text


def widget_texts(wanted: str | None = None) -> dict[str, str]:
    """What a widget's module may look up, as it cannot ask Python; {} for English."""
    found = messages(language() if wanted is None else wanted)
    return {text: said for text, said in [*found.exact.items(), *found.templates] if len(text) < 60}


# --- figures --------------------------------------------------------------------------------------


@functools.cache
def font() -> str | None:
    """A font of this machine that has Chinese letters; None where it has none."""
    from matplotlib import font_manager

    here = {entry.name for entry in font_manager.fontManager.ttflist}
    return next((name for name in FONTS if name in here), None)


def translate_figure(fig: Any) -> None:
    """Put the texts of a figure into the reader's language, if this machine can draw them.

    A formula in a text is drawn in a font of its own, and the words around it in the first of the
    text's fonts only: so that one has to have Chinese letters there.
    """
    if not language() or font() is None:
        return
    from matplotlib.text import Text

    for artist in fig.findobj(Text):
        text = artist.get_text()
        said = told_wrapped(text)
        if said != text:
            artist.set_text(said)
            own, fonts = artist.get_fontfamily(), font()
            artist.set_fontfamily([fonts, *own] if "$" in said else [*own, fonts])


def told_wrapped(text: str) -> str:
    """`told` for a label; one that was wrapped to fit is told whole, and wrapped again.

    Three Chinese letters are as wide as five others; two more do no harm.
    """
    said = told(text)
    if said != text or "\n" not in text:
        return said
    whole = text.replace("\n", " ")
    said = told(whole)
    width = max(len(line) for line in text.split("\n"))
    return text if said == whole else textwrap.fill(said, 3 * width // 5 + 2)
