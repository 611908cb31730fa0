"""A PDF of each chapter, printed by headless Chromium from the pages in outputs/web."""

import functools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SETTLED = (
    "window.MathJax?.startup?.promise.then(() => document.fonts.ready).then(() => true) ?? true"
)
# A link to another page would name this machine: its words stay.
OWN_LINKS = """() => document.querySelectorAll('a[href]').forEach(link => {
    if (!/^(#|https?:)/.test(link.getAttribute('href'))) link.removeAttribute('href');
})"""
MARGIN = {"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder on a port of this machine; yields its address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def print_chapters(site: Path, out: Path, chapters: str = "*") -> int:
    """Write OUT/NAME.pdf for each chapter; 1 if there is no page or no browser."""
    pages = sorted((site / "chapters").glob(f"{chapters}.html"))
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not pages or browser is None:
        print("no pages: run make web first" if not pages else "no Chromium on this machine")
        return 1
    from playwright.sync_api import sync_playwright

    out.mkdir(exist_ok=True)
    with served(site) as address, sync_playwright() as play:
        page = play.chromium.launch(executable_path=browser, args=FLAGS).new_page()
        for path in pages:
            page.goto(f"{address}/chapters/{path.name}", wait_until="load")
            page.evaluate(SETTLED)
            page.evaluate(OWN_LINKS)
            target = out / f"{path.stem}.pdf"
            page.pdf(path=target, format="A4", margin=MARGIN, print_background=True)
            print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")
    return 0
