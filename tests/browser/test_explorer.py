"""The schedule lab in a real browser: sliders moved by keyboard and by pointer.

make browser-test
"""

import shutil
import statistics

from book_rules import BOOK
from in_browser import open_and_run, wait_for

MOVES = 100
PICTURE = "() => document.querySelectorAll('canvas')[0].toDataURL()"
LATENCIES = """() => Array.from(document.querySelectorAll('.jp-OutputArea-output *'))
    .find(part => part.explorer).explorer.latencies"""


def open_the_lab(lab, page, tmp_path):
    """Chapter 4.4 alone in a book: JupyterLab opens the first chapter there is."""
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    name = "04_4_schedule_lab.ipynb"
    shutil.copy(BOOK / "chapters" / name, tmp_path / "book" / "chapters" / name)
    open_and_run(page, lab(tmp_path / "book"), seconds=300)
    page.locator("canvas").first.scroll_into_view_if_needed()


def test_sliders_move_the_picture_and_fast(lab, page, tmp_path):
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_the_lab(lab, page, tmp_path)
    slider = page.locator("input[name=T]").first
    gauges = page.locator(".gauges").first
    before, said = page.evaluate(PICTURE), gauges.text_content()

    slider.focus()
    for _ in range(MOVES):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(20)  # a person is slower than this
    by_keyboard = page.evaluate(PICTURE)
    assert by_keyboard != before
    assert gauges.text_content() != said
    latencies = page.evaluate(LATENCIES)
    assert len(latencies) >= MOVES * 0.9  # two moves may share a frame
    median = statistics.median(latencies)
    print(f"{len(latencies)} paints: median {median:.1f} ms, slowest {max(latencies):.1f} ms")
    assert median <= 50

    pale, button = page.locator(".pale").first, page.locator("button[name=keep]").first
    assert "linear, T = 1000" in pale.text_content()  # where it started
    button.click()
    wait_for(lambda: pale.text_content() == "", 10, "the curves of now are kept")
    assert page.evaluate(PICTURE) != by_keyboard, "nothing pale beside them"
    page.locator("button[name=reset]").first.click()
    wait_for(lambda: gauges.text_content() == said, 10, "back to the start")
    assert page.evaluate(PICTURE) == before and slider.input_value() == "1000"

    box = page.locator("input[name=place]").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], middle, steps=10)
    page.mouse.up()
    assert page.evaluate(PICTURE) != by_keyboard
    label = page.locator("canvas").first.get_attribute("aria-label")
    assert "signal left at T" in label  # what a screen reader says
    assert complaints == []


def test_samples_come_from_python_with_the_settings_of_the_sliders(lab, page, tmp_path):
    open_the_lab(lab, page, tmp_path)
    figures, button = page.locator(".figures").first, page.locator("button", has_text="draw").first

    def pressed():
        button.click()
        wait_for(lambda: "sliced" in (figures.text_content() or ""), 60, "samples arrive")
        return float(figures.text_content().split("data ")[1].split(" ")[0])

    good = pressed()
    page.locator("input[name=T]").first.evaluate(
        "slider => { slider.value = 500; slider.dispatchEvent(new Event('input'));"
        " slider.dispatchEvent(new Event('change')); }"
    )  # T = 100 with 1,000-step betas: most of the signal is left
    assert "T: 0.60" in page.locator(".gauges").first.text_content() or wait_for(
        lambda: "T: 0.60" in page.locator(".gauges").first.text_content(), 10, "the gauge follows"
    )
    assert "another schedule (linear, T = 1000" in figures.text_content()  # as long as it is so
    bad = pressed()
    assert "another schedule" not in figures.text_content()
    assert bad > 2 * good
    assert (
        page.locator("canvas").nth(1).get_attribute("aria-label").startswith("1000 samples: ddim")
    )
    own = page.locator("select[name=kind]").nth(1)
    assert own.input_value() == "your own"
