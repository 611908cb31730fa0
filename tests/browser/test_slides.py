"""The decks of the course in a real browser: nothing leaves its slide, all can be read.

make slides browser-test
"""

import pytest
from book_rules import BOOK
from web_pdf import SETTLED, served

OUT = BOOK / "outputs" / "course" / "slides"
PAGES = sorted(path.name for path in OUT.glob("week*.html"))
SLOW = 240_000  # milliseconds: a busy machine is no bug
# What sticks out of a slide's body, letters below 17 pixels, figures below 0.6 of their own size.
FAULTS = """() => Array.from(document.querySelectorAll('section')).flatMap(slide => {
    const body = slide.querySelector('.body'), frame = body.getBoundingClientRect(), found = [];
    for (const part of body.querySelectorAll('*')) {
        if (part.closest('mjx-container') && part.tagName !== 'MJX-CONTAINER') continue;
        const box = part.getBoundingClientRect();
        if (box.bottom > frame.bottom + 2 || box.right > frame.right + 2)
            found.push(part.tagName.toLowerCase() + ' leaves the slide');
    }
    for (const formula of body.querySelectorAll('mjx-container'))
        if (parseFloat(getComputedStyle(formula).fontSize) < 17) found.push('a tiny formula');
    for (const img of body.querySelectorAll('img'))
        if (!img.naturalWidth || Math.min(img.offsetHeight / img.naturalHeight,
                                          img.offsetWidth / img.naturalWidth) < 0.6)
            found.push('a tiny or missing figure');
    if (body.querySelector('mjx-merror, [data-mjx-error]')) found.push('an unreadable formula');
    return found.map(what => `${slide.id}: ${what}`);
})"""
NOW = "() => document.querySelector('section.now').id"
SEEN = "() => getComputedStyle(document.querySelector('section.now figure')).visibility"
pytestmark = pytest.mark.skipif(not PAGES, reason="no decks: make slides builds them")


@pytest.fixture(scope="module")
def address():
    with served(OUT) as address:
        yield address


def test_nothing_leaves_its_slide(page, address):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.set_default_timeout(SLOW)
    errors, wrong = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in PAGES:
        page.goto(f"{address}/{name}", wait_until="load")
        page.evaluate(SETTLED)
        wrong += [f"{name}: {fault}" for fault in page.evaluate(FAULTS)]
    assert (errors, wrong) == ([], [])


def test_keys_turn_the_pages_and_a_guess_comes_first(page, address):
    page.set_default_timeout(SLOW)
    page.goto(f"{address}/week1.html", wait_until="load")
    assert page.evaluate(NOW) == "slide-1"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(NOW) == "slide-2"
    page.evaluate("() => turn(slides.findIndex(s => s.matches('.predict:has(figure)')))")
    asked = page.evaluate(NOW)
    assert page.evaluate(SEEN) == "hidden"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(NOW) == asked and page.evaluate(SEEN) == "visible"
    page.keyboard.press("n")
    assert page.locator("section.now aside").is_visible()
    page.keyboard.press("End")
    assert page.evaluate(NOW) == page.evaluate("() => slides.at(-1).id")
