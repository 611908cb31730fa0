"""Links between chapters: "chapter 5.4" in a text becomes a link; each chapter ends with a way on.

A link is a file name beside the notebook, so that it works in JupyterLab and on the web alike.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

NUMBER = re.compile(r"\d+(?:_\d+)?(?=_|$)")
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
CODE_CELL = re.compile(r"^```\{code-cell\}.*?^```$", re.MULTILINE | re.DOTALL)
# What stays as it is: code, formulas, links and pictures, addresses, headings.
KEPT = re.compile(
    r"(^```.*?^```$|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|!?\[[^\]\n]*\]\([^)\n]*\)|https?://\S+|^#.*?$)",
    re.MULTILINE | re.DOTALL,
)
ONE = re.compile(r"\b[Cc]hapter (\d(?:\.\d+)*)")
SEVERAL = re.compile(r"\b[Cc]hapters (?:\d(?:\.\d+)*(?:, | and | to | or )?)+")
# In Chinese each number has its word: 第 4.2 章, 第 3、4 章, 第 5 至 7 章.
CHINESE = re.compile(r"第 ?\d(?:\.\d+)*(?: ?(?:、|，|和|与|或|到|至|~|–) ?\d(?:\.\d+)*)* ?章")
WAY_ON = ("Before", "All chapters", "Next")


class Chapter(NamedTuple):
    """A chapter: its number as readers know it, the stem of its file, its title with the number."""

    number: str
    stem: str
    title: str

    @property
    def link(self) -> str:
        """Its title as a link for a page in the same folder."""
        return f"[{self.title}]({self.stem}.ipynb)"


def chapter_number(stem: str) -> str:
    """`04_3` of the chapter `04_3_gaussian_case`, `03` of `03_algorithm`."""
    match = NUMBER.match(stem)
    if match is None:
        raise ValueError(f"{stem!r} does not start with a chapter number like 03_ or 04_3_")
    return match.group(0)


def number_of(stem: str) -> str:
    """ "4.3" of the chapter 04_3_gaussian_case. Raises ValueError where a name has no number."""
    return ".".join(str(int(part)) for part in chapter_number(stem).split("_"))


def chapters(folder: Path) -> dict[str, Chapter]:
    """All chapters of a folder of sources by number, in the order of reading: 4.4, 5.1, 9, 9.1."""
    found = []
    for path in folder.glob("[0-9]*.md"):
        title = TITLE.search(CODE_CELL.sub("", path.read_text(encoding="utf-8")))
        found.append(Chapter(number_of(path.stem), path.stem, title[1] if title else path.stem))
    found.sort(key=lambda chapter: [int(part) for part in chapter.number.split(".")])
    return {chapter.number: chapter for chapter in found}


def link_mentions(text: str, book: Mapping[str, Chapter], own: str) -> str:
    """Make "chapter 5.4" and each number of "chapters 3 and 4.2" a link to that chapter's file.

    A section's number leads to its chapter. A chapter does not link to itself (``own``, a number),
    and nothing changes inside code, formulas, links and headings.
    """

    def target(number: str) -> Chapter | None:
        parts = number.split(".")
        names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        return next((book[name] for name in names if name in book), None)

    def linked(words: str, number: str) -> str:
        chapter = target(number)
        if chapter is None or chapter.number == own:
            return words
        return f"[{words}]({chapter.stem}.ipynb)"

    def several(match: re.Match[str]) -> str:
        numbers = re.findall(r"\d(?:\.\d+)*", match[0])
        if len(numbers) == 1 and match[0].startswith("第"):
            return linked(match[0], numbers[0])
        return re.sub(r"\d(?:\.\d+)*", lambda m: linked(m[0], m[0]), match[0])

    parts = KEPT.split(text)
    for i in range(0, len(parts), 2):  # the odd ones are kept as they are
        parts[i] = SEVERAL.sub(several, ONE.sub(lambda m: linked(m[0], m[1]), parts[i]))
        parts[i] = CHINESE.sub(several, parts[i])
    return "".join(parts)


def way_on(book: Mapping[str, Chapter], own: str, words: Sequence[str] = WAY_ON) -> str:
    """A line with links to the chapter before, the first page and the next chapter; "" if alone."""
    order = list(book)
    if own not in order or len(order) < 2:
        return ""
    place, parts = order.index(own), []
    before, all_chapters, after = words
    if place > 0:
        parts.append(f"{before}: {book[order[place - 1]].link}")
    if place > 1:
        parts.append(f"{all_chapters}: {book[order[0]].link}")
    if place + 1 < len(order):
        parts.append(f"{after}: {book[order[place + 1]].link}")
    return "\n\n---\n\n" + " · ".join(parts)
