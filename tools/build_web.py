"""Build the web edition of the book into outputs/web, from the stored notebooks, without network.

python tools/build_web.py                 all pages (make web)
python tools/build_web.py --language zh   in Chinese, into outputs/web/zh (make web LANGUAGE=zh)
python tools/build_web.py --pdf           a PDF of each chapter that is built (make web-pdf)

What is staged, and what Sphinx remembers, lies in outputs/web-build: a second build is shorter.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
SITE = BOOK / "outputs" / "web"
BUILD = BOOK / "outputs" / "web-build"
SWITCH = re.compile(r'(<span class="book-language">).*?</span>')  # web/templates
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


def sphinx(language: str, out: Path) -> int:
    """Run Sphinx on the staged pages; a warning is an error."""
    staged = BUILD / language
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-c", str(BOOK / "web")]
    command += ["-d", str(staged / "doctrees"), "-W", "--keep-going", "-q"]
    environment = {**os.environ, "MINILDM_LANGUAGE": language}
    command += [str(staged / "pages"), str(out)]
    return subprocess.run(command, check=False, env=environment).returncode


def build(language: str = "") -> int:
    """Stage everything, then let Sphinx build it; 0 if there was nothing to warn of."""
    sys.path.insert(0, str(BOOK / "chapters"))
    from edition import Edition
    from web_pages import stage

    from book.exercises import registry

    start = time.perf_counter()
    out, staged = SITE / language, BUILD / language
    edition = Edition(language, marked=True)
    stage(staged / "pages", staged / "extra" / "files", registry(), edition)
    copy_mathjax(BUILD / "static" / "mathjax")
    copy_widgets(BUILD / "static" / "widgets")
    words = staged / "words"
    words.mkdir(exist_ok=True)
    said = edition.widget_texts()
    if said:  # and what the latent walk says, which Python composes
        walk = (BUILD / "static" / "widgets" / "latent_walk.json").read_text(encoding="utf-8")
        said |= {text: edition.say(text) for text in set(re.findall(r'"([^"]*: [^"]*)"', walk))}
    (words / "messages.json").write_text(json.dumps(said), encoding="utf-8")
    failed = sphinx(language, out)
    shutil.rmtree(out.parent / "jupyter_execute", ignore_errors=True)  # empty: nothing was run
    if not failed:
        (out / ".nojekyll").touch()  # when it was built; and GitHub serves _static, too
    switch_languages(SITE)
    print(f"{out.relative_to(BOOK)}: {time.perf_counter() - start:.0f} s")
    return failed


def switch_languages(site: Path) -> None:
    """On each page a link to the same page in the other language, where there is one."""
    for path in site.rglob("*.html"):
        page = path.relative_to(site)
        chinese = page.parts[0] == "zh"
        other = page.relative_to("zh") if chinese else Path("zh") / page
        text = path.read_text(encoding="utf-8")
        words = ("en", "English") if chinese else ("zh-CN", "中文")
        target = "/".join([*[".."] * (len(page.parts) - 1), other.as_posix()])
        link = '<a href="{0}" lang="{1}" hreflang="{1}">{2}</a>'.format(target, *words)
        new = SWITCH.sub(rf"\g<1>{link if (site / other).exists() else ''}</span>", text)
        if new != text:
            path.write_text(new, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the web edition into outputs/web.")
    parser.add_argument("--pdf", action="store_true", help="a PDF of each chapter that is built")
    parser.add_argument("--language", default="", help="zh: the Chinese edition")
    choice = parser.parse_args()
    if choice.pdf:
        from web_pdf import print_chapters

        site = SITE / choice.language
        return print_chapters(site, site / "pdf")
    return build(choice.language)


if __name__ == "__main__":
    sys.exit(main())
