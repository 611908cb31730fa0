"""The site in a real browser: every page at two widths, the widgets, and what axe-core finds.

make web browser-test
"""

import importlib.util
from pathlib import Path

import pytest
from book_rules import BOOK
from web_pdf import SETTLED, print_chapters, served

SITE = BOOK / "outputs" / "web"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if not {"_static", "_modules"} & set(path.parts) and path.name not in ("search.html",)
)
PANELS = "k => document.querySelectorAll('canvas.panels')[k].toDataURL()"
CANVAS = "k => document.querySelectorAll('.book-widget canvas')[k].toDataURL()"
BROKEN = """() => Array.from(document.images)
    .filter(img => img.complete && img.naturalWidth === 0 && img.offsetParent)
    .map(img => img.src)"""
ERRORS = "() => document.querySelectorAll('mjx-merror, [data-mjx-error]').length"
WIDE = "() => document.documentElement.scrollWidth - window.innerWidth"
AXE = ("index.html", "chapters/04_2_derivations.html", "chapters/02_core_concepts.html",
       "chapters/04_4_schedule_lab.html", "docs/glossary.html")  # fmt: skip
THEMES = [*((name, "light") for name in AXE), ("index.html", "dark"), (AXE[-1], "dark")]
CHINESE = [f"zh/{name}" for name in AXE if (SITE / "zh" / name).exists()]
THEMES += [(name, "light") for name in CHINESE] + [(name, "dark") for name in CHINESE[:1]]
pytestmark = pytest.mark.skipif(not PAGES, reason="no site: make web builds it")


@pytest.fixture(scope="module")
def address():
    with served(SITE) as address:
        yield address


@pytest.fixture
def complaints(page, address):
    """What the browser complains of, and what it asks of anybody else."""
    found = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((address, "data:", "blob:")) else found.append(asked.url)
        ),
    )
    return found


def test_every_page_opens_without_a_complaint(page, address, complaints):
    """On a screen, then in a telephone's width: the page itself never scrolls sideways."""
    wrong = []
    for name in PAGES:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{address}/{name}", wait_until="load")
        page.evaluate(SETTLED)
        found = [*complaints, *page.evaluate(BROKEN)]
        complaints.clear()
        if page.evaluate(ERRORS):
            found.append("a formula that MathJax cannot read")
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate(WIDE) > 0:
                found.append(f"scrolls sideways at {width} pixels")
        wrong += [f"{name}: {what}" for what in found]
    assert wrong == []


def test_the_schedule_explorer_moves(page, address, complaints):
    page.goto(f"{address}/chapters/04_4_schedule_lab.html")
    page.wait_for_selector(".book-widget canvas")
    before, said = page.evaluate(CANVAS, 0), page.locator(".gauges").text_content()
    page.locator("input[name=T]").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(200)
    by_keyboard = page.evaluate(CANVAS, 0)
    assert by_keyboard != before
    assert page.locator(".gauges").text_content() != said
    drag(page, page.locator("input[name=place]"))
    assert page.evaluate(CANVAS, 0) != by_keyboard
    assert complaints == []


def drag(page, slider):
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], middle, steps=10)
    page.mouse.up()
    page.wait_for_timeout(200)


def test_the_latent_walk_moves(page, address, complaints):
    page.goto(f"{address}/chapters/02_core_concepts.html")
    page.wait_for_function("document.querySelectorAll('.book-widget canvas.panels').length === 2")
    words, half_way = page.locator(".book-widget .words"), page.evaluate(PANELS, 0)
    assert "pixels mixed: no scene" in words.first.text_content()
    page.locator("input[name=u]").first.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    assert "pixels mixed: a scene" in words.first.text_content()
    at_the_start = page.evaluate(PANELS, 0)
    assert at_the_start != half_way
    drag(page, page.locator("input[name=u]").first)
    assert page.evaluate(PANELS, 0) != at_the_start

    before = page.evaluate(PANELS, 1)
    page.locator("input[name=back]").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    without = page.evaluate(PANELS, 1)
    assert without != before
    page.locator("select[name=pair]").nth(1).select_option("another colour")
    page.wait_for_timeout(500)
    assert page.evaluate(PANELS, 1) != without
    assert complaints == []


def test_the_search_finds_pages(page, address, complaints):
    page.goto(f"{address}/search.html?q=posterior")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").evaluate_all("links => links.map(a => a.href)")
    assert any("04_2_derivations" in target for target in found)
    assert complaints == []


def test_a_chapter_is_printed_without_a_trace_of_this_machine(tmp_path):
    if print_chapters(SITE, tmp_path / "pdf", "04_4_*"):
        pytest.skip("no Chromium on this machine")
    [file] = (tmp_path / "pdf").glob("*.pdf")
    written = file.read_bytes()
    assert written.startswith(b"%PDF") and len(written) > 100_000
    assert b"127.0.0.1" not in written


@pytest.mark.parametrize(("name", "theme"), THEMES)
def test_axe_finds_nothing_serious(page, address, name, theme):
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("axe-playwright-python is not installed")
    page.add_init_script(f"localStorage.setItem('mode', '{theme}')")
    page.goto(f"{address}/{name}")
    page.evaluate(SETTLED)
    page.add_script_tag(path=Path(spec.origin).parent / "axe.min.js")
    violations = page.evaluate("axe.run().then(found => found.violations)")
    serious = [
        f"{v['id']}: {v['help']} ({node['target']})"
        for v in violations
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"][:3]
    ]
    assert serious == []
