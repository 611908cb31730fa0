"""The walk between two pictures (chapter 2) in a real browser, its sliders moved by keyboard.

A notebook with the two widgets alone is run: the chapter itself is run by test_lab.py.
"""

import nbformat
from in_browser import open_and_run, wait_for

CELLS = (
    "from minildm.latent import LatentDiffusion\n"
    "from book.ch02_concepts.walk_widget import LatentWalk\n"
    "model = LatentDiffusion.load('shapes')\nLatentWalk(model)",
    "LatentWalk(model, repair=True)",
)
PICTURE = "k => document.querySelectorAll('canvas.panels')[k].toDataURL()"


def open_the_walk(lab, page, tmp_path):
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    nbformat.write(notebook, tmp_path / "book" / "chapters" / "00_walk.ipynb")
    open_and_run(page, lab(tmp_path / "book"), seconds=300)
    page.wait_for_selector("canvas", timeout=60_000)
    page.locator("canvas").first.scroll_into_view_if_needed()


def test_sliders_walk_and_lead_back(lab, page, tmp_path):
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_the_walk(lab, page, tmp_path)
    words, second = page.locator(".words").first, page.locator(".words").nth(1)
    assert "pixels mixed: no scene" in words.text_content()  # it starts half way
    assert "noise and back" not in words.text_content()
    half_way = page.evaluate(PICTURE, 0)

    page.locator("input[name=u]").first.focus()
    for _ in range(60):  # one hundredth each: to the first picture, and against the end
        page.keyboard.press("ArrowLeft")
    wait_for(lambda: "pixels mixed: a scene" in words.text_content(), 60, "the walk arrives")
    assert "decoded picture: a scene" in words.text_content()
    assert page.evaluate(PICTURE, 0) != half_way
    label = page.locator("canvas.panels").first.get_attribute("aria-label")
    assert label.startswith("u = 0.")  # what a screen reader says
    assert "a scene" in label

    before = page.evaluate(PICTURE, 1)
    assert "noise and back" in second.text_content()
    page.locator("input[name=back]").focus()
    page.keyboard.press("Home")
    wait_for(lambda: page.evaluate(PICTURE, 1) != before, 60, "no noise, another picture")
    end = "k => document.querySelectorAll('figure canvas')[k].toDataURL()"
    ends = [page.evaluate(end, k) for k in range(4)]
    assert ends[0] == ends[2] != ends[1] == ends[3], "two pictures, beside each slider"
    page.locator("select[name=pair]").nth(1).select_option("another colour")
    without = page.evaluate(PICTURE, 1)
    wait_for(lambda: page.evaluate(PICTURE, 1) != without, 60, "the other pair arrives")
    assert page.evaluate(end, 2) == ends[2] and page.evaluate(end, 3) != ends[3]
    page.screenshot(path=tmp_path / "walk.png")
    assert complaints == []
