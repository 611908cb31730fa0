"""Build the web edition of the book into outputs/web, from the stored notebooks, without network.

python tools/build_web.py             all pages (make web)
python tools/build_web.py --pdf       a PDF of each chapter that is built (make web-pdf)
python tools/build_web.py --gettext   the texts of the pages, for a translation

What is staged, and what Sphinx remembers, lies in outputs/web-build: a second build is shorter.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
SITE = BOOK / "outputs" / "web"
BUILD = BOOK / "outputs" / "web-build"
# Of MathJax, what a page loads: the program, its fonts, its menu and what it tells a screen reader.
MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts", "a11y", "sre", "ui")
WIDGETS = (
    "chapters/book/ch02_concepts/latent_walk.js",
    "chapters/book/ch04_4_schedule_lab/schedule_explorer.js",
)
# What the widgets' pictures depend on: they are computed again when one of these is newer.
DRAWN_FROM = (
    "tools/web_widgets.py", "chapters/book/ch02_concepts", "chapters/book/ch04_4_schedule_lab",
    "data/checkpoints/shapes/model.safetensors",
)  # fmt: skip


def copy_mathjax(out: Path) -> None:
    """MathJax from the package sphinx-mathjax-offline into the folder `out`."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise SystemExit('the web edition needs more packages: pip install -e ".[book,web]"')
    source = Path(spec.origin).parent / "static" / "mathjax"
    for name in MATHJAX:
        if (source / name).is_dir():
            shutil.copytree(source / name, out / name, dirs_exist_ok=True)
        else:
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, out / name)


def copy_widgets(out: Path) -> None:
    """The widgets' modules as they are, and the data of their twins if these are not up to date."""
    out.mkdir(parents=True, exist_ok=True)
    for name in WIDGETS:
        shutil.copy2(BOOK / name, out)
    sources = [path for name in DRAWN_FROM for path in [BOOK / name, *(BOOK / name).glob("*.py")]]
    newest, last = max(path.stat().st_mtime for path in sources), out / "latent_walk.json"
    if not last.exists() or last.stat().st_mtime < newest:
        from web_widgets import write_latent_walk, write_schedule_explorer

        write_schedule_explorer(out)
        write_latent_walk(out)


def sphinx(builder: str, out: Path, *more: str) -> int:
    """Run Sphinx on the staged pages; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-c", str(BOOK / "web")]
    command += ["-d", str(BUILD / "doctrees"), "-W", "--keep-going", "-q", *more]
    return subprocess.run([*command, str(BUILD / "pages"), str(out)], check=False).returncode


def build(builder: str, out: Path) -> int:
    """Stage everything, then let Sphinx build it; 0 if there was nothing to warn of."""
    sys.path.insert(0, str(BOOK / "chapters"))
    from web_pages import stage

    from book.exercises import registry

    start = time.perf_counter()
    stage(BUILD / "pages", BUILD / "extra" / "files", registry())
    copy_mathjax(BUILD / "static" / "mathjax")
    copy_widgets(BUILD / "static" / "widgets")
    failed = sphinx(builder, out)
    shutil.rmtree(out.parent / "jupyter_execute", ignore_errors=True)  # empty: nothing was run
    if not failed:
        (out / ".nojekyll").touch()  # when it was built; and GitHub serves _static, too
    print(f"{out.relative_to(BOOK)}: {time.perf_counter() - start:.0f} s")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the web edition into outputs/web.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pdf", action="store_true", help="a PDF of each chapter that is built")
    what.add_argument("--gettext", action="store_true", help="the texts that translations need")
    choice = parser.parse_args()
    if choice.pdf:
        from web_pdf import print_chapters

        return print_chapters(SITE, SITE / "pdf")
    if choice.gettext:
        return build("gettext", BUILD / "gettext")
    return build("html", SITE)


if __name__ == "__main__":
    sys.exit(main())
