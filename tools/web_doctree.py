"""What links the pages of the web edition to one another: a Sphinx extension.

It works on what Sphinx has read, not on the text: a paragraph stays word for word what it is in the
notebook, and a translation of it gets the same links.

    \\tag{4.2.7}     becomes an anchor, and each "(4.2.7)" in a text a link to it
    a citation      leads to the page's own list of references
    a glossary term gets its meaning, where a page uses it first
    a cell          gets its name as an anchor, its pictures their alternative texts
    what is not translated gets a class and its language
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import web_terms
from citations import link, names, read_bibliography
from docutils import nodes
from sphinx.search.zh import SearchChinese
from web_terms import CHINESE, chinese_terms, english_terms, glossary_terms, term_id, terms_in

NUMBERED = re.compile(r"\((\d\.\d+(?:\.\d+)?)\)")
TAG = re.compile(r"\\tag\{(\d\.\d+(?:\.\d+)?)\}")
KEPT = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.math,
        nodes.math_block, nodes.raw, nodes.caption, nodes.rubric)  # fmt: skip
GLOSSARY = "docs/glossary"


class Book:
    """What the pages know of one another: read once, from the staged pages."""

    def __init__(self, pages: Path, bibliography: Path, language: str = "en") -> None:
        self.equations: dict[str, str] = {}  # number: page
        self.cells: set[tuple[str, str]] = set()  # page, name
        for path in sorted(pages.glob("chapters/*.ipynb")):
            page = f"chapters/{path.stem}"
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                self.cells.add((page, cell["id"]))
                if cell["cell_type"] == "markdown":
                    text = "".join(cell["source"])
                    self.equations |= dict.fromkeys(TAG.findall(text), page)
        glossary = (pages / f"{GLOSSARY}.md").read_text(encoding="utf-8")
        self.terms = glossary_terms(glossary, chinese=language.startswith("zh"))
        self.works = read_bibliography(bibliography)
        self.key_of = {link(entry): key for key, entry in self.works.items()}

    def state(self) -> int:
        """Another number when what is known, or this program, is not what it was."""
        programs = [Path(file).read_bytes() for file in (__file__, str(web_terms.__file__))]
        known = (self.equations, sorted(self.cells), self.terms, self.works)
        return crc32(repr(known).encode(), crc32(b"".join(programs)))


def pages_to_read_again(app: Any, env: Any, added: set, changed: set, removed: set) -> set[str]:
    """All, when they would be read otherwise than last time; Sphinx looks at their files only."""
    before, env.book_state = getattr(env, "book_state", None), app.book.state()
    return set() if before == env.book_state else set(env.found_docs)


# --- as a page is read -------------------------------------------------------------------------


def page_read(app: Any, doctree: nodes.document) -> None:
    """Anchors, alternative texts, and formulas as MathJax wants them."""
    for block in list(doctree.findall(nodes.math_block)):
        number_block(block)
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code":
            describe_cell(cell)
    if app.env.docname == GLOSSARY:
        name_rows(doctree, app.book.terms)
    for comment in list(doctree.findall(nodes.comment)):
        if comment.astext() == "untranslated":
            mark_untranslated(comment)


def number_block(block: nodes.math_block) -> None:
    """An anchor for each number in a formula; the formula itself as it is, also with `\\\\`."""
    text = block.astext()
    block["ids"] += [f"eq-{tag}" for tag in TAG.findall(text)]
    block["no-wrap"] = block["nowrap"] = True
    block.clear()
    block += nodes.Text(f"\\[{text}\\]")


def describe_cell(cell: nodes.container) -> None:
    """The cell's name as its anchor; what `show` said of its pictures as their texts."""
    metadata = cell.get("cell_metadata", {})
    if name := metadata.get("book_cell"):
        cell["ids"].append(name)
    pictures = [image for image in cell.findall(nodes.image) if not image.get("alt")]
    for image, alt in zip(pictures, metadata.get("book_alts", []), strict=False):
        image["alt"] = alt


def name_rows(doctree: nodes.document, terms: Mapping[str, str]) -> None:
    """In the glossary, an anchor for each term; the first row that has one gets it."""
    left = dict(terms)
    for row in doctree.findall(nodes.row):
        english, usual = row.children[0].astext(), row.children[2].astext()
        words = english_terms(english) + chinese_terms(usual)
        row["ids"] += [term_id(word) for word in words if left.pop(word, None)]


def mark_untranslated(comment: nodes.comment) -> None:
    """What follows the comment is English on a page in another language; the comment goes."""
    following = comment.next_node(descend=False, siblings=True, ascend=True)
    if isinstance(following, nodes.section):
        following = following.next_node(nodes.title)
    if isinstance(following, nodes.Element):
        following["classes"] += ["untranslated", "language-en"]
    comment.parent.remove(comment)


# --- as a page is written ------------------------------------------------------------------------


def page_resolved(app: Any, doctree: nodes.document, page: str) -> None:
    """Links to equations, references, glossary and cells."""
    book = app.book

    def to(other: str, anchor: str) -> str:
        place = "" if other == page else app.builder.get_relative_uri(page, other)
        return f"{place}#{anchor}"

    link_cells(doctree, page, book, to)
    cite_here(doctree, book)
    unseen = dict(book.terms) if page.startswith("chapters/") else {}
    for text in list(doctree.findall(nodes.Text)):
        if not inside(text, KEPT):
            link_text(text, book, unseen, to)


def inside(node: Any, kinds: tuple) -> bool:
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def link_text(text: nodes.Text, book: Book, unseen: dict[str, str], to: Any) -> None:
    """Equation numbers, and terms that the page has not used yet, in one piece of text."""
    found = [
        (m.start(), m.end(), to(book.equations[m[1]], f"eq-{m[1]}"), None, "equation")
        for m in NUMBERED.finditer(text)
        if m[1] in book.equations
    ]
    if inside(text, (nodes.paragraph,)) and not inside(text, (nodes.table, nodes.topic)):
        for start, end, term in terms_in(text, unseen):
            meaning = unseen.pop(term)
            found.append((start, end, to(GLOSSARY, term_id(term)), meaning, "term"))
    parts, last = [], 0
    for start, end, target, said, kind in sorted(found):
        parts += [nodes.Text(text[last:start]), reference(text[start:end], target, said, kind)]
        last = end
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(text[last:])])


def reference(text: str, target: str, said: str | None, kind: str) -> nodes.reference:
    node = nodes.reference("", "", nodes.Text(text), refuri=target, internal=True, classes=[kind])
    if said:
        node["reftitle"] = said
    return node


def cite_here(doctree: nodes.document, book: Book) -> None:
    """A citation leads to its line in the page's list, if there is one; there the link stays."""
    works = [n for n in doctree.findall(nodes.reference) if n.get("refuri") in book.key_of]
    listed = set()
    for node in works:
        key = book.key_of[node["refuri"]]
        if node.astext() == book.works[key]["title"] and isinstance(
            node.parent.parent, nodes.list_item
        ):
            node.parent.parent["ids"].append(f"ref-{key}")
            listed.add(key)
    for node in works:
        key = book.key_of[node["refuri"]]
        entry = book.works[key]
        if key in listed and node.astext() == f"{names(entry['author'])} ({entry['year']})":
            node["reftitle"] = entry["title"]
            node["refuri"], node["internal"] = f"#ref-{key}", True


def link_cells(doctree: nodes.document, page: str, book: Book, to: Any) -> None:
    """ "[4.2.2](…) `the-gap`" in a table of a document: both lead to the cell."""
    for literal in list(doctree.findall(nodes.literal)):
        before = [n for n in literal.parent.children[: literal.parent.index(literal)]
                  if isinstance(n, nodes.reference)]  # fmt: skip
        rows = [before[-1]] if before else chapter_above(literal)
        for other in (chapter_of(node, page) for node in rows):
            if (other, literal.astext()) in book.cells:
                uri = to(other, literal.astext())
                holder = nodes.reference("", "", literal.deepcopy(), refuri=uri, internal=True)
                literal.parent.replace(literal, holder)
                for link in before[-1:]:
                    link["refuri"] = uri
                break


def chapter_above(node: nodes.Node) -> list[nodes.reference]:
    """The link in the heading of the section that a node stands in, as in docs/figures.md."""
    while node is not None and not isinstance(node, nodes.section):
        node = node.parent
    title = node.next_node(nodes.title) if node is not None else None
    return list(title.findall(nodes.reference)) if title is not None else []


def chapter_of(node: nodes.reference, page: str) -> str:
    """The page that a resolved link leads to: `chapters/04_2_derivations`."""
    match = re.search(r"(\d\d_\w+)\.html", node.get("refuri", ""))
    return f"chapters/{match[1]}" if match else page


class Chinese(SearchChinese):
    """Words to search for in Chinese, without a dictionary: the pairs of characters.

    What is asked is taken apart in the same way, and a page must have all its pairs.
    """

    language_name = "English"  # the page's stemmer, which Sphinx calls by this name
    js_splitter_code = r"""
const chinese = /[\u4e00-\u9fff]{2,}/gu;
const pairs = (run) => Array.from({ length: run.length - 1 }, (_, i) => run.slice(i, i + 2));
var splitQuery = (query) => [
  ...(query.match(chinese) ?? []).flatMap(pairs),
  ...query.replace(chinese, " ").split(/[^\p{Letter}\p{Number}_]+/gu).filter((term) => term),
];
"""

    def split(self, input: str) -> list[str]:
        runs = CHINESE.findall(input)
        pairs = [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
        return [*pairs, *super().split(CHINESE.sub(" ", input))]


def setup(app: Any) -> dict[str, Any]:
    app.add_config_value("book_bibliography", "", "env", str)

    def begin(app: Any) -> None:
        bibliography = Path(app.config.book_bibliography)
        app.book = Book(Path(app.srcdir), bibliography, app.config.language)

    app.add_search_language(Chinese)
    app.connect("builder-inited", begin)
    app.connect("env-get-outdated", pages_to_read_again)
    app.connect("doctree-read", page_read)
    app.connect("doctree-resolved", page_resolved)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
