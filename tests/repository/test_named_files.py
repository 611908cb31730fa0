"""Files, modules and commands that the chapters and the documents name are there."""

import re
import subprocess
from pathlib import Path

import pytest
from registry import resolve

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "chapters" / "source").glob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "course/README.md")
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in PAGES)]
BOOK = sorted((ROOT / "chapters" / "book").rglob("*.py"))
ROOMS = "minildm|chapters|data|docs|tools|benchmarks|tests"
ELSEWHERE = {  # of other projects, and what stands for a name
    "train_text_to_image.py", "train_autoencoderkl.py", "fashion_mnist_dit_cond.py",
}  # fmt: skip
HERE = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True,
                      capture_output=True, check=True).stdout.split()  # fmt: skip


def named(text: str) -> list[str]:
    """What stands in backticks, outside of code cells."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def is_here(file: str) -> bool:
    return any(path == file or path.endswith(f"/{file}") for path in HERE)


@pytest.mark.parametrize("page", [*SOURCES, *DOCUMENTS], ids=lambda path: path.name)
def test_what_a_page_names_is_there(page):
    for text in named(page.read_text(encoding="utf-8")):
        for file in re.findall(r"[\w./]+\.py\b", text):
            assert file in ELSEWHERE or is_here(file), f"`{text}`"
        for path in re.findall(rf"(?<![\w./-])(?:{ROOMS})/[^\s]*", text):
            assert "NAME" in path or list(ROOT.glob(path.rstrip("/.,:"))), f"`{text}`"
        for dotted in re.findall(r"(?<![\w./-])(?:minildm|book)(?:\.[A-Za-z_]\w*)+", text):
            assert dotted.endswith(".py") or resolve(dotted) is not None, f"`{text}`"


@pytest.mark.parametrize("page", SOURCES, ids=lambda path: path.stem)
def test_commands_that_a_chapter_names_are_understood(page):
    """``python tools/experiments.py VERB NAME``: the verb and the name exist."""
    import experiments

    names = {"measure": experiments.MEASURES, "ablate": experiments.PLANS,
             "train": experiments.JUDGES, "cost": {"shapes", "digits", "pixels"}}  # fmt: skip
    text = page.read_text(encoding="utf-8")
    for verb, name in re.findall(r"python tools/experiments\.py (\w+) ([\w-]+)", text):
        assert name in names[verb] or name == "NAME", f"{verb} {name}"


def test_files_that_the_books_own_code_names_are_there():
    for path in BOOK:
        for file in re.findall(r"(?<![\w/.*])\w+\.py\b", path.read_text(encoding="utf-8")):
            assert is_here(file), f"{path.name}: {file}"
