"""The book in a real browser: JupyterLab as `make lab` starts it, opened and run in Chromium.

make browser-test
"""

import shutil

import nbformat
import pytest
from book_rules import BOOK, KERNELSPEC
from in_browser import PICTURES, open_and_run
from lab import first_page
from reader_copies import bring_up_to_date

ALT = "A straight line rises from 0 to 1."
FOLDED = ".jp-OutputPlaceholder"
SMALL = f"""
from matplotlib import pyplot as plt
from book.display import show
fig, ax = plt.subplots(figsize=(3, 2))
ax.plot([0, 1])
show(fig, alt="{ALT}")
"""


def test_a_figure_shows_its_alternative_text_while_you_work(lab, page, tmp_path):
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SMALL)])
    notebook.metadata.kernelspec = KERNELSPEC  # or JupyterLab would ask which kernel to use
    nbformat.write(notebook, tmp_path / "book" / "chapters" / "00_small.ipynb")
    [picture] = open_and_run(page, lab(tmp_path / "book"), seconds=60)
    assert picture["alt"] == ALT
    assert picture["width"] > 100, "the picture itself is there"


@pytest.mark.skipif(first_page() is None, reason="no chapter yet")
def test_the_first_chapter_opens_and_runs(lab, page, tmp_path):
    for folder in ("chapters", "data", "tools"):
        shutil.copytree(BOOK / folder, tmp_path / "book" / folder)
    for file in ("pyproject.toml", "constraints.txt"):  # what the check of the machine reads
        shutil.copy2(BOOK / file, tmp_path / "book")
    assert list(bring_up_to_date(tmp_path / "book")) == []  # the reader's copies, which open
    url = lab(tmp_path / "book")
    page.goto(url)
    page.wait_for_selector(FOLDED, timeout=60_000)
    check_pictures(page.evaluate(PICTURES))  # before anything is run
    answers = page.locator(FOLDED).filter(has_text="Your guess first").count()
    assert answers == 2
    check_pictures(open_and_run(page, url, seconds=600))
    assert page.locator(FOLDED).count() == 0, "what is run is shown"


def check_pictures(pictures):
    assert pictures, "a chapter has figures"
    for picture in pictures:
        assert len(picture["alt"] or "") >= 20
        assert picture["width"] > 100
