"""The book in Chinese: catalogues lose nothing, nothing stale is shown, links still arrive."""

import re

import build_web
import jupytext
import pytest
import translation
import web_pages
from book_rules import BOOK, SOURCES
from edition import MARK, Edition, Place, elsewhere, headings, readable
from translation import (
    DOCUMENTS,
    differences,
    paragraphs,
    split,
    split_document,
    stems,
    take,
    todo,
)

from book.exercises import registry
from book.language import Messages

CHAPTERS = [path.stem for path in sorted(SOURCES.glob("[0-9]*.md"))]
ZH = {stem: translation.read(stem, "zh") for stem in stems()}
STALE = 20  # entries of paragraphs that have changed since: `renew` drops them
FLOOR = 0.99  # the share of paragraphs that are translated, in all catalogues together


def cells(stem):
    return [c for c in jupytext.read(SOURCES / f"{stem}.md").cells if c.cell_type == "markdown"]


# --- paragraphs ----------------------------------------------------------------------------------


def test_the_parts_of_a_text_are_the_text():
    for stem in CHAPTERS:
        for cell in cells(stem):
            assert "".join(text for _, text in split(cell.source)) == cell.source
    for stem, name in DOCUMENTS.items():
        text = (BOOK / name).read_text(encoding="utf-8")
        assert "".join(part for _, part in split_document(stem, text)) == text


def test_a_translator_sees_text_and_no_code():
    text = "One\ntwo.\n\n\n```python\na = 1\n\nb = 2\n```\n\n$$\nx\n\ny\n$$\n\nThree $z$.\n"
    assert [part for seen, part in split(text) if seen] == ["One\ntwo.", "Three $z$.\n"]
    table = "| what | $x$ |\n|---|---|\n| one thing | `a` |\n| `code` | LoRA |\n\n:::{x} y\n:::"
    seen = [part for seen, part in split_document("README", table) if seen]
    assert seen == ["| what | $x$ |", "| one thing | `a` |"]


@pytest.mark.parametrize(
    ("translated", "what"),
    [
        ("式 $x_t$ 见 [这里](a.md)，`f` [@ho2020ddpm]", None),
        ("式 $x_s$ 见 [这里](a.md)，`f` [@ho2020ddpm]", "formulas"),
        ("式 $x_t$ 见 [这里](b.md)，`f` [@ho2020ddpm]", "links"),
        ("式 $x_t$ 见 [这里](a.md)，`g` [@ho2020ddpm]", "code"),
        ("式 $x_t$ 见 [这里](a.md)，`f` [@ho2021ddpm]", "citations"),
        ("# 式 $x_t$ 见 [这里](a.md)，`f` [@ho2020ddpm]", "heading"),
        ("- 式 $x_t$ 见 [这里](a.md)，`f` [@ho2020ddpm]", "list"),
        ("| 式 $x_t$ 见 [这里](a.md)，`f` [@ho2020ddpm]", "cells of a table"),
    ],
)
def test_a_translation_keeps_formulas_code_and_links(translated, what):
    found = differences("Formula $x_t$, see [here](a.md), `f` [@ho2020ddpm]", translated)
    assert [problem.split(":")[0] for problem in found] == ([what] if what else [])


def test_a_message_keeps_its_places_and_a_cost_its_numbers():
    assert differences("{0} of {1}", "{1} 中的 {0}", translation.PLACES) == []
    assert differences("{0} of {1}", "{0} 个", translation.PLACES) != []
    cost = "Measured on 2 cores: 4 s and 0.4 GB of memory."
    assert differences(cost, "在 2 个核上实测：4 秒，0.4 GB 内存。") == []
    assert "numbers" in differences(cost, "在 2 个核上实测：5 秒，0.4 GB 内存。")[0]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A book of one chapter, with catalogues of its own."""
    monkeypatch.setattr(translation, "SOURCES", tmp_path)
    monkeypatch.setattr(translation, "CATALOGUES", tmp_path)
    path = tmp_path / "07_small.md"
    head = (SOURCES / "03_algorithm.md").read_text(encoding="utf-8").split("+++")[0]

    def write(text):
        path.write_text(f'{head}+++ {{"name": "title"}}\n\n{text}\n', encoding="utf-8")

    return write


def test_what_take_is_given_is_no_longer_to_do(small):
    small("# A title\n\nSee `f` and $x$.")
    keys = re.findall(r"^%% (\w+)", todo("07_small", "zh"), re.MULTILINE)
    assert take("07_small", "zh", f"%% {keys[0]}\n# 题目\n\n%% {keys[1]}\n看 `g` 和 $x$。\n") != []
    assert re.findall(r"^%% (\w+)", todo("07_small", "zh"), re.MULTILINE) == keys[1:]
    assert take("07_small", "zh", f"%% {keys[1]}\n看 `f` 和 $x$。\n\n%% 0000\nx") != []
    assert todo("07_small", "zh") == ""
    small("# A title\n\nSee `f` and $x$ again.")
    assert "again" in todo("07_small", "zh") and "title" not in todo("07_small", "zh")
    translation.write("07_small", "zh", translation.read("07_small", "zh"))
    assert list(translation.read("07_small", "zh").values()) == ["# 题目"]  # the stale one went


def test_a_new_measurement_makes_no_translation_stale(small):
    small("Measured on 2 cores: 4 s (up to 18 s when busy), 0.4 GB of memory.")
    [key] = re.findall(r"^%% (\w+)", todo("07_small", "zh"), re.MULTILINE)
    take("07_small", "zh", f"%% {key}\n2 个核上实测：0.4 GB 内存，4 秒（忙时可达 18 秒）。")
    small("Measured on 2 cores: 5 s (up to 4 s when busy), 0.6 GB of memory.")
    [place] = paragraphs("07_small")
    known = translation.read("07_small", "zh")
    expected = "2 个核上实测：0.6 GB 内存，5 秒（忙时可达 4 秒）。"
    assert translation.translation(place, known) == expected
    small("Measured on 2 cores: 5 s (rarely 4 s when busy), 0.6 GB of memory.")
    [place] = paragraphs("07_small")
    assert translation.translation(place, known) is None  # a word changed, too


# --- no stale Chinese ----------------------------------------------------------------------------


def an_edition(stem, entries, marked=False):
    """An edition that knows of one chapter a few paragraphs, and nothing else."""
    edition = Edition("zh", marked)
    edition.catalogues = {name: {} for name in stems()} | {stem: entries}
    edition.messages = Messages({})
    return edition


PLACE = next(p for p in paragraphs("03_algorithm") if p.text[0].isalpha() and len(p.text) > 100)


def page_text(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


@pytest.mark.parametrize("drifted", [False, True])
def test_a_changed_paragraph_is_shown_in_english(drifted):
    """Planted drift: the catalogue knows the sentence as it was before."""
    before = PLACE._replace(text=PLACE.text.replace(" ", "  ", 1)) if drifted else PLACE
    entries = {before: "这里是译文。"}
    notebook = an_edition("03_algorithm", entries).source("03_algorithm")
    assert ("这里是译文。" in page_text(notebook)) is not drifted
    first = PLACE.text.split(".")[0]
    assert (first in page_text(notebook)) is drifted
    marked = an_edition("03_algorithm", entries, marked=True)
    chapter = marked.chapters["3"]
    cost = {"seconds": 1, "threads": 2, "peak_gb": 0.1}
    text = page_text(
        web_pages.notebook_page(marked.notebook("03_algorithm"), chapter, cost, registry())
    )
    assert ("这里是译文。" in text) is not drifted
    assert (f"{MARK}{first}" in text) is drifted


def test_a_document_shows_what_is_not_translated():
    place = next(p for p in paragraphs("going_on") if p.text.startswith("A checkpoint"))
    edition = an_edition("going_on", {place: "检查点。"}, marked=True)
    text = edition.document("docs/going_on.md")
    assert "检查点。" in text and place.text not in text
    assert f"{MARK}# Going on" in text


def test_an_edition_has_the_code_and_the_outputs_of_the_book():
    english, chinese = Edition().notebook("03_algorithm"), Edition("zh").notebook("03_algorithm")
    for old, new in zip(english.cells, chinese.cells, strict=True):
        assert (old.id, old.cell_type) == (new.id, new.cell_type)
        if old.cell_type == "code":
            assert old.source == new.source
            assert len(old.outputs) == len(new.outputs)


# --- anchors -------------------------------------------------------------------------------------


def test_a_link_to_a_heading_arrives_though_the_heading_is_chinese():
    heading = next(p for p in paragraphs("04_2_derivations") if re.match("#+ 4.2.1 ", p.text))
    signs = heading.text.split(" ")[0]
    edition = an_edition("04_2_derivations", {heading: f"{signs} 4.2.1 两个高斯（与 `z`）"})
    old = "4.2.1-" + heading.text.split(" ", 2)[2].replace(" ", "-")
    text = f"[a](04_2_derivations.ipynb#{old}) [b](04_2_derivations.ipynb#Else) [c](x.ipynb#{old})"
    new = edition.with_anchors(Place("chapters/03_algorithm.ipynb", text))
    assert new == text.replace(f"04_2_derivations.ipynb#{old}",
                               "04_2_derivations.ipynb#4.2.1-两个高斯（与-z）")  # fmt: skip
    inside = edition.with_anchors(Place("chapters/04_2_derivations.ipynb", f"[a](#{old})"))
    assert inside == "[a](#4.2.1-两个高斯（与-z）)"
    outside = f"[a](chapters/04_2_derivations.ipynb#{old})"
    assert "两个高斯" in edition.with_anchors(Place("README.md", outside))
    assert web_pages.with_slugs(inside) == "[a](#421-两个高斯与-z)"
    assert readable("a (b)?") == "a %28b%29%3F"


def test_every_link_to_a_heading_arrives_in_the_chinese_book():
    edition = Edition("zh")
    notebooks = {f"chapters/{s}.ipynb": edition.source(s) for s in CHAPTERS}
    cells = {page: {f"cell-id={c.id}" for c in book.cells} for page, book in notebooks.items()}
    texts = {page: page_text(notebook) for page, notebook in notebooks.items()}
    texts |= {name: edition.document(name) for name in DOCUMENTS.values()}
    lost = []
    for page, text in texts.items():
        links = re.findall(r"\]\(([\w./-]*)#([^)\s]+)\)", text)
        for file, anchor in links:
            page = page.removeprefix("web/")  # the first page stands at the site's root
            place = (BOOK / page).parent / file if file else BOOK / page
            target = place.resolve().relative_to(BOOK).as_posix()
            there = {readable(a) for a in headings(target, texts.get(target, ""))}
            if target in texts and anchor not in there | cells.get(target, set()):
                lost.append(f"{page}: {file}#{anchor}")
    assert lost == []


def test_what_lies_only_in_the_book_is_linked_to_there():
    folder = BOOK / "outputs" / "zh"
    text = "[a](03_algorithm.ipynb) [b](../minildm/process.py) [c](../docs/errata.md#x) [d](../no)"
    expected = text.replace("../minildm/process.py", "../../../minildm/process.py")
    assert elsewhere(Place("chapters/04_2_derivations.ipynb", text), folder) == expected


# --- the catalogues ------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", [stem for stem, known in ZH.items() if known])
def test_a_catalogue_keeps_what_must_be_kept(stem):
    more = translation.PLACES if stem == "messages" else None
    wrong = {place.key: problems for place, text in ZH[stem].items()
             if (problems := differences(place.text, text, more))}  # fmt: skip
    assert wrong == {}


def test_few_entries_are_stale():
    """Of a paragraph that was changed or dropped: python tools/translation.py renew."""
    stale = []
    for stem, known in ZH.items():
        used = {translation.translation(place, known) for place in paragraphs(stem)}
        stale += [f"{stem}: {place.text}" for place, text in known.items() if text not in used]
    print(*stale, sep="\n\n")
    assert len(stale) <= STALE


def test_the_share_that_is_translated():
    shares = translation.shares("zh")
    for stem, (done, number) in shares.items():
        print(f"{stem:26s}{done:5d} of {number:4d}")
    done, number = (sum(column) for column in zip(*shares.values(), strict=True))
    print(f"translated: {done} of {number} paragraphs, {done / number:.1%}")
    assert done / number >= FLOOR


# --- the site ------------------------------------------------------------------------------------


def test_pages_lead_to_one_another_where_both_are_there(tmp_path):
    page = '<p><span class="book-language"></span></p>'
    for name in ("a.html", "chapters/b.html", "zh/chapters/b.html", "zh/c.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(page, encoding="utf-8")
    for _ in range(2):  # again, and again the same
        build_web.switch_languages(tmp_path)
        assert (tmp_path / "a.html").read_text(encoding="utf-8") == page
        assert (tmp_path / "zh" / "c.html").read_text(encoding="utf-8") == page
        english = (tmp_path / "chapters" / "b.html").read_text(encoding="utf-8")
        chinese = (tmp_path / "zh" / "chapters" / "b.html").read_text(encoding="utf-8")
        assert 'href="../zh/chapters/b.html"' in english and "中文" in english
        assert 'href="../../chapters/b.html"' in chinese and "English" in chinese
    (tmp_path / "zh" / "chapters" / "b.html").unlink()
    build_web.switch_languages(tmp_path)
    assert (tmp_path / "chapters" / "b.html").read_text(encoding="utf-8") == page


# --- terms ---------------------------------------------------------------------------------------

# English terms whose rendering does not depend on the sentence, and what stands there in Chinese.
RENDERED = {
    "autoencoder": "自编码器", "encoder": "编码器", "decoder": "解码器", "denoiser": "去噪",
    "sampler": "采样", "latent space": "潜在空间|隐空间", "latent diffusion": "潜在扩散",
    "latent": "隐变量|潜在|隐空间|latent", "schedule": "调度", "posterior": "后验",
    "prior": "先验", "marginal": "边缘", "covariance": "协方差", "variance": "方差",
    "signal-to-noise ratio": "信噪比", "guidance": "引导", "negative prompt": "负面提示词",
    "null token": "空标记", "tokenizer": "分词器", "cross-attention": "交叉注意力",
    "self-attention": "自注意力", "attention": "注意力", "flow matching": "流匹配",
    "distillation": "蒸馏", "probability-flow ODE": "概率流", "Markov chain": "马尔可夫链",
    "image-to-image": "图生图", "reconstruction": "重建", "receptive field": "感受野",
    "residual block": "残差块", "checkpoint": "检查点", "Gaussian": "高斯",
    "likelihood": "似然", "gradient": "梯度", "learning rate": "学习率", "exercise": "练习",
}  # fmt: skip
NO_PROSE = re.compile(r"`[^`]*`|\$\$.*?\$\$|\$[^$]+\$|\]\([^)]*\)|\[@[^\]]*\]", re.DOTALL)
EXCEPTIONS = 0.02  # a table's row of names, a sentence that says it with a verb


@pytest.mark.parametrize(("term", "rendering"), RENDERED.items())
def test_a_term_has_one_rendering(term, rendering):
    english = re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", re.IGNORECASE)
    with_term, other = 0, []
    for stem in CHAPTERS:
        for place, text in ZH[stem].items():
            if english.search(NO_PROSE.sub(" ", place.text)):
                with_term += 1
                if not re.search(rendering, text, re.IGNORECASE):
                    other.append(f"{stem}, {place.cell}: {text}")
    print(f"{term}: {with_term} paragraphs;", *other, sep="\n")
    assert len(other) <= EXCEPTIONS * with_term
