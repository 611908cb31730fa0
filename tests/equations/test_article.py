"""The article is covered item by item, and each term of the glossary is explained somewhere."""

import pytest
from pages import place
from registry import nowhere

from book.article.errata import ERRATA
from book.article.glossary import TERMS
from book.article.items import ITEMS, SECTIONS, VERDICTS

# How much of the article there is to cover: its displayed formulas, the concepts of section 2, the
# steps of 3.2, the points of 3.3, the fields of 3.4.
AT_LEAST = {
    ("4.1", "formula"): 6, ("4.2", "formula"): 4, ("4.3", "formula"): 2, ("2", "concept"): 5,
    ("3.2", "step"): 5, ("3.3", "claim"): 7, ("3.4", "application"): 4,
}  # fmt: skip


def test_every_section_of_the_article_is_covered():
    assert {item.section for item in ITEMS} == set(SECTIONS)
    assert {section.split(".")[0] for section in SECTIONS} == {str(n) for n in range(1, 10)}
    for (section, kind), count in AT_LEAST.items():
        found = [item for item in ITEMS if (item.section, item.kind) == (section, kind)]
        assert len(found) >= count, f"{len(found)} of kind {kind} in {section}"


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: f"{item.section} {item.says[:30]}")
def test_what_an_item_points_to_exists(item):
    assert item.verdict in VERDICTS
    assert item.cells, "nothing is run for it"
    assert item.note or item.verdict not in ("fails", "holds in part"), "say why"
    assert nowhere(item.cells, item.checks) == []


def test_every_erratum_is_on_the_map_and_no_other_item_claims_one():
    assert {item.erratum for item in ITEMS} - {0} == {erratum.number for erratum in ERRATA}
    right = [item.says for item in ITEMS if item.erratum and item.verdict == "holds"]
    assert len(right) == 1, right
    assert right[0].startswith("μ_θ"), "the mean of 4.2 is right, only its derivation is not"


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.english)
def test_a_term_is_explained_where_the_glossary_says(term):
    assert place(term)
    assert term.meaning.endswith(".")


def test_the_glossary_is_in_order_and_speaks_the_language_of_the_article():
    names = [term.english.lower() for term in TERMS]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    chinese = " ".join(term.article for term in TERMS)
    # the five concepts of the article's section 2, and its keywords
    for word in (
        "潜在空间",
        "正向扩散过程",
        "逆向去噪过程",
        "自编码器",
        "UNet",
        "潜在扩散模型",
        "生成模型",
    ):
        assert word in chinese, word
    # words of the article that mean something else, and words that it does not have
    for word in ("生成对抗网络", "变分自编码器", "方差"):
        assert word not in chinese, word
    usual = {term.english: term.usual for term in TERMS}
    assert all(usual.values())
    assert "图像编辑" not in usual["inpainting"]
    assert usual["sampler"] == "采样器" and usual["sampling"] == "采样"
