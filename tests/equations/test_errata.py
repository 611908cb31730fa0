"""Each erratum points to cells and checks that exist; the generated pages are up to date."""

from pathlib import Path

import pytest
from pages import PAGES, readme
from registry import nowhere

from book.article.errata import ERRATA

ROOT = Path(__file__).parents[2]


def test_errata_are_numbered_without_gaps():
    assert [erratum.number for erratum in ERRATA] == list(range(1, len(ERRATA) + 1))


@pytest.mark.parametrize("erratum", ERRATA, ids=lambda e: str(e.number))
def test_its_cells_and_its_checks_exist(erratum):
    assert erratum.checks
    assert nowhere(erratum.cells, erratum.checks) == []


def test_what_is_not_there_is_named():
    shown = [("03", "flow-chart"), ("03", "no-such-cell"), ("99", "flow-chart")]
    checks = ["3.1", "99.9", "tests/library/test_process.py::test_nothing"]
    assert nowhere(shown, checks) == [
        "no cell no-such-cell in 03",
        "no cell flow-chart in 99",
        "equation (99.9) is not registered",
        "no test tests/library/test_process.py::test_nothing",
    ]


def test_all_are_shown_by_a_cell():
    assert all(erratum.cells for erratum in ERRATA)


@pytest.mark.parametrize("name", PAGES)
def test_the_generated_pages_are_up_to_date(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == PAGES[name](), f"docs/{name} is not what tools/pages.py makes: make pages"


def test_the_figures_of_the_readme_are_those_of_the_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme(text), "README.md is not what tools/pages.py makes: make pages"
