"""Each erratum points to cells and checks that exist; the generated pages are up to date."""

import re
from pathlib import Path

import pytest
from errata import ERRATA
from pages import PAGES, chapter_file, readme
from registry import cells, registered

ROOT = Path(__file__).parents[2]
EQUATIONS = {equation.id for equation in registered()}


def test_errata_are_numbered_without_gaps():
    assert [erratum.number for erratum in ERRATA] == list(range(1, len(ERRATA) + 1))


@pytest.mark.parametrize("erratum", ERRATA, ids=lambda e: str(e.number))
def test_its_cells_and_its_checks_exist(erratum):
    for chapter, cell in erratum.cells:
        assert cell in cells(chapter_file(chapter)), f"no cell {cell} in {chapter}"
    assert erratum.checks
    for check in erratum.checks:
        if "::" in check:
            file, function = check.split("::")
            assert re.search(rf"^def {function}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
        else:
            assert check in EQUATIONS, f"equation ({check}) is not registered"


def test_all_are_shown_by_a_cell():
    assert all(erratum.cells for erratum in ERRATA)


@pytest.mark.parametrize("name", PAGES)
def test_the_generated_pages_are_up_to_date(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == PAGES[name](), f"docs/{name} is not what tools/pages.py makes: make pages"


def test_the_figures_of_the_readme_are_those_of_the_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme(text), "README.md is not what tools/pages.py makes: make pages"
