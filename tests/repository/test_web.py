"""The web edition: how pages are staged, and, once `make web` has built it, whether the site holds.

The site's own tests are skipped where it is not built; tests/browser/test_site.py opens it.
"""

import json
import os
import re
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import web_pages
from book_rules import BOOK, CHAPTERS, SOURCES
from crosslinks import Chapter, chapters
from web_terms import glossary_terms, term_id, terms_in

from book.exercises import registry

SITE = BOOK / "outputs" / "web"
COST = {"seconds": 12.4, "threads": 2, "peak_gb": 0.44}
NOTEBOOKS = sorted(CHAPTERS.glob("*.ipynb"))


def code(source, outputs=(), id="a-cell"):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), id=id)


# --- staging -----------------------------------------------------------------------------------


def test_links_to_headings_are_named_as_sphinx_names_them():
    text = "[a](#4.2.1-Two-Gaussians) [b](09_faq.ipynb#Why-not-0.18215%3F) [c](x.md#Kept)"
    expected = "[a](#421-two-gaussians) [b](09_faq.ipynb#why-not-018215) [c](x.md#Kept)"
    assert web_pages.with_slugs(text) == expected


@pytest.mark.parametrize(
    ("source", "id", "tag"),
    [
        ("import torch", "imports", "hide-input"),
        ('hint("4.2-3")', "h", "hide-output"),
        ("show(\n    figures.lines(t),\n    alt='A line.',\n)", "f", "hide-input"),
        ("show(fig, alt='A line.')\nx = 1", "f", None),
        ("x = show(fig)", "f", None),
        ("def f(x):\n    return x", "f", None),
    ],
)
def test_what_a_reader_may_skip_is_folded(source, id, tag):
    cell = code(source, id=id)
    web_pages.fold(cell)
    assert cell.metadata.tags == ([tag] if tag else [])
    assert ("mystnb" in cell.metadata) == bool(tag)


def test_a_widget_gives_its_place_to_its_twin():
    def twin(text):
        [output] = [nbformat.v4.new_output("execute_result", {"text/plain": text})]
        cell = code("w", [output])
        web_pages.put_widgets(cell)
        return cell.outputs[0].data

    assert 'data-widget="latent-walk"' in twin("LatentWalk(repair=True)")["text/html"]
    assert "&quot;repair&quot;: true" in twin("LatentWalk(repair=True)")["text/html"]
    assert "&quot;T&quot;: 1000" in twin("ScheduleExplorer(linear, T = 1000)")["text/html"]
    for plain in ("ScheduleExplorer(your own, T = 201)", "3.14"):
        assert twin(plain) == {"text/plain": plain}  # what the page has no numbers for


def test_the_notebooks_widgets_are_found():
    """If a widget's repr changes, its twin would be missing."""
    found = []
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                web_pages.put_widgets(cell)
                found += re.findall(r'data-widget="([\w-]+)"', str(cell.outputs))
    assert sorted(found) == ["latent-walk", "latent-walk", "schedule-explorer"]


def test_an_exercise_has_its_hint_and_solution_folded_beside_it():
    exercise = SimpleNamespace(hint="Think of a < b.", solution="x = 1 < 2")
    [cell] = web_pages.help_cells(code('x = ...\ncheck("4.2-1", x)'), {"4.2-1": exercise})
    assert cell.source.count("<details") == cell.source.count("</details>") == 2
    assert "Think of a &lt; b." in cell.source and "\nx = 1 < 2\n" in cell.source
    assert list(web_pages.help_cells(code("x = 1"), {"4.2-1": exercise})) == []


def test_every_exercise_of_the_book_gets_its_help():
    asked = set()
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if help := list(web_pages.help_cells(cell, registry())):
                asked |= set(web_pages.ANSWERED.findall(cell.source))
                assert all(len(part.source) > 100 for part in help)
    assert asked == set(registry())


def test_a_page_keeps_the_texts_of_its_notebook_word_for_word():
    """A translation is keyed to a paragraph: staging must not change one."""
    notebook = nbformat.read(CHAPTERS / "04_2_derivations.ipynb", as_version=4)
    chapter = Chapter("4.2", "04_2_derivations", "4.2 Derivations")
    page = web_pages.notebook_page(notebook, chapter, COST, registry())
    staged = {cell.id: cell.source for cell in page.cells}
    assert page.cells[1].id == "run-this-chapter"
    assert "about 12 s on 2 threads, 0.4 GB" in page.cells[1].source
    assert "install" not in staged, "nothing runs on the page"
    for cell in (cell for cell in notebook.cells if cell.id != "install"):
        kept = staged[cell.id].endswith(web_pages.with_slugs(cell.source))
        assert kept if cell.cell_type == "markdown" else staged[cell.id] == cell.source


def test_the_contents_list_every_chapter_once_and_every_document():
    lines = "\n".join(web_pages.contents(chapters(SOURCES)).values()).split()
    assert [x for x in lines if x.startswith("chapters/")] == [
        f"chapters/{chapter.stem}" for chapter in chapters(SOURCES).values()
    ]
    documents = {f"docs/{path.stem}" for path in (BOOK / "docs").glob("*.md")}
    assert documents | {"docs/references", "README"} == {x for x in lines if x[:3] != "cha"}


def test_the_first_page_shows_figures_that_are_there(tmp_path):
    items = web_pages.gallery_items(CHAPTERS, tmp_path)
    assert len(items) == len(web_pages.GALLERY) == len(list(tmp_path.glob("*.png")))
    assert all(re.search(r":alt: .{20}", item) for item in items)


def test_what_did_not_change_is_not_written_again(tmp_path):
    path = tmp_path / "a" / "page.md"
    web_pages.write(path, "one")
    before = path.stat().st_mtime_ns
    web_pages.write(path, "one")
    assert path.stat().st_mtime_ns == before
    web_pages.write(path, "two")
    assert path.read_text() == "two"


def test_a_link_to_a_cell_is_one_to_its_chapter_until_the_name_beside_it_is_read():
    said = "| [4.2.2](../chapters/04_2_a.ipynb#cell-id=the-gap) `the-gap` |"
    staged = web_pages.document_page(said)
    assert staged == "| [4.2.2](../chapters/04_2_a.ipynb) `the-gap` |"


def test_the_glossarys_terms_are_found_in_a_text():
    terms = glossary_terms((BOOK / "docs" / "glossary.md").read_text(encoding="utf-8"))
    assert len(terms) > 70
    assert terms["bound"] == terms["ELBO"]
    assert terms["posterior"].startswith("q(z_s | z_t, z_0)")
    text = "Latents and a latent diffusion model; the UNet is a network, unet is not listed."
    found = [text[start:end] for start, end, _ in terms_in(text, terms)]
    assert sorted(found) == ["Latents", "UNet", "latent diffusion model"]


def test_chinese_terms_are_found_in_a_text_without_blanks():
    text = "| t | a | u | m |\n|---|---|---|---|\n| latent |  | 隐变量 (z) | A z. | [3](x) |\n"
    text += "| v |  | v 预测 | A v. | [3](x) |\n| latent |  | 隐变量 | Again. | [3](x) |\n"
    terms = glossary_terms(text, chinese=True)
    assert terms == {"隐变量": "A z."}
    assert terms_in("每个隐变量都有噪声", terms) == [(2, 5, "隐变量")]


@pytest.mark.parametrize("chinese", [False, True])
def test_every_term_of_the_glossary_has_an_anchor_in_its_row(chinese):
    """What a chapter's first use of a term leads to; in both editions."""
    nodes = pytest.importorskip("docutils.nodes", reason="the extra web brings it")
    from web_doctree import name_rows

    text = (BOOK / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = glossary_terms(text, chinese)
    table = nodes.document(None, None)
    for line in text.split("\n|---", 1)[-1].splitlines()[1:]:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            entries = [nodes.entry("", nodes.paragraph("", cell.strip())) for cell in cells]
            table += nodes.row("", *entries)
    name_rows(table, terms)
    anchors = [name for row in table.findall(nodes.row) for name in row["ids"]]
    assert sorted(anchors) == sorted(term_id(term) for term in terms)
    assert len(anchors) > 40


def test_all_pages_are_read_again_when_what_they_know_of_one_another_changes(tmp_path):
    """Sphinx keeps what it has read of a page until the page's own file changes."""
    pytest.importorskip("sphinx", reason="the extra web brings it")
    from web_doctree import GLOSSARY, Book, pages_to_read_again

    works = tmp_path / "references.bib"
    works.write_text("")
    env = SimpleNamespace(found_docs={GLOSSARY, "chapters/01"})

    def again(meaning):
        web_pages.write(
            tmp_path / f"{GLOSSARY}.md",
            f"| t | a | u | m |\n|---|---|---|---|\n| latent |  | 隐变量 | {meaning} | [3](x) |\n",
        )
        app = SimpleNamespace(book=Book(tmp_path, works))
        return pages_to_read_again(app, env, set(), set(), set())

    assert again("A z.") == env.found_docs  # the first time
    assert again("A z.") == set()
    assert again("A code.") == env.found_docs


# --- the site ------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page of the site holds: ids, links, what it loads, pictures, headings."""

    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.links, self.loads = path, {""}, [], []
        self.alts, self.headings, self.attributes = [], [], {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if "id" in a:
            self.ids.add(a["id"])
        if tag == "html":
            self.attributes = a
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if tag == "link" and a.get("rel") not in ("next", "prev", "index", "search", "canonical"):
            self.loads.append(a["href"])
        if tag in ("script", "img", "iframe", "source") and a.get("src"):
            self.loads.append(a["src"])
        if tag == "img":
            self.alts.append(a.get("alt"))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))


def problems(site):
    """What is wrong with the pages of a site, in sentences."""
    pages = {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        for target in [*page.links, *page.loads]:
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loads and parts.scheme != "data":
                    found.append(f"{name} loads {target}")
                continue
            place = (
                (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            )
            if not place.exists():
                found.append(f"{name} leads to {target}, which is not there")
            elif place in pages and urllib.parse.unquote(parts.fragment) not in pages[place].ids:
                found.append(f"{name} leads to {target}, an anchor that is not there")
        found += [f"{name}: a picture without words"] * sum(not alt for alt in page.alts)
        steps = zip([1, *page.headings], page.headings, strict=False)
        found += [f"{name}: h{b} after h{a}" for a, b in steps if b > a + 1]
        if not page.attributes.get("lang"):
            found.append(f"{name} does not say its language")
    for path in site.rglob("*.css"):
        for address in re.findall(r"url\(\s*[\"']?(https?:[^)\"']+)", path.read_text("utf-8")):
            found.append(f"{path.relative_to(site)} loads {address}")
    return found


def test_what_is_wrong_with_a_site_is_seen(tmp_path):
    (tmp_path / "b.html").write_text('<html lang="en"><h1 id="x">B</h1></html>')
    (tmp_path / "s.css").write_text("@font-face {src: url('https://fonts.example/f.woff')}")
    (tmp_path / "a.html").write_text(
        '<html><h1>A</h1><h3>deep</h3><a href="b.html#x">good</a><a href="b.html#y">no</a>'
        '<a href="c.html">no</a><img src="p.png"><script src="https://cdn.example/x.js"></script>'
    )
    assert sorted(problems(tmp_path)) == [
        "a.html does not say its language",
        "a.html leads to b.html#y, an anchor that is not there",
        "a.html leads to c.html, which is not there",
        "a.html leads to p.png, which is not there",
        "a.html loads https://cdn.example/x.js",
        "a.html: a picture without words",
        "a.html: h3 after h1",
        "s.css loads https://fonts.example/f.woff",
    ]


def is_built(site=SITE):
    """Whether `make web` built a site, and nothing that it is made from has changed since."""
    sources = [*NOTEBOOKS, *(BOOK / "docs").glob("*.md"), *(BOOK / "web").rglob("*.*")]
    sources += [*(BOOK / "tools").glob("*web*.py"), *CHAPTERS.glob("book/*/*.js")]
    stamp = site / ".nojekyll"
    return stamp.exists() and stamp.stat().st_mtime > max(p.stat().st_mtime for p in sources)


def test_a_site_that_is_not_there_is_not_built(tmp_path):
    assert not is_built(tmp_path)
    (tmp_path / ".nojekyll").touch()
    assert is_built(tmp_path)
    os.utime(tmp_path / ".nojekyll", (0, 0))
    assert not is_built(tmp_path)


@pytest.mark.skipif(not is_built(), reason="no site, or an old one: make web builds it")
class TestTheSite:
    def test_links_anchors_and_pictures_are_there_and_nothing_comes_from_elsewhere(self):
        assert problems(SITE) == []

    def test_every_chapter_has_its_page_and_its_notebook(self):
        for path in NOTEBOOKS:
            assert (SITE / "chapters" / f"{path.stem}.html").exists()
            assert (SITE / "files" / path.name).exists()

    def test_every_numbered_equation_can_be_linked_to(self):
        registered = re.findall(
            r"^\| \(([\d.]+)\) \|", (BOOK / "docs/equations.md").read_text(), re.M
        )
        ids = set()
        for path in (SITE / "chapters").glob("*.html"):
            ids |= Page(path).ids
        assert len(registered) > 100
        assert {f"eq-{number}" for number in registered} <= ids

    def test_no_directive_is_left_raw(self):
        for path in SITE.rglob("*.html"):
            text = re.sub(r"<(pre|script|code).*?</\1>", "", path.read_text("utf-8"), flags=re.S)
            assert not re.search(r":::|\{(?:ref|cite|eq|abbr)\}|\[@\w+", text), path.name

    def test_the_twins_have_the_modules_of_the_widgets(self):
        import build_web

        for name in build_web.WIDGETS:
            copy = SITE / "_static" / "widgets" / Path(name).name
            assert copy.read_bytes() == (BOOK / name).read_bytes()
        told = json.loads((SITE / "_static" / "widgets" / "latent_walk.json").read_text())
        for kind in ("plain", "repair"):
            for name in told["names"]:
                assert (SITE / "_static" / "widgets" / told[kind]["files"][name]).exists()
                assert len(told[kind]["words"][name]) == len(told[kind]["u"])
