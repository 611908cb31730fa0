"""Optional packages: absent means a sentence, never an import error."""

import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from book.ch07_tools import beside_diffusers as compare_diffusers
from book.ch07_tools import extras


def test_a_blocked_package_is_absent_and_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert extras.available("diffusers") is False
    said = capsys.readouterr().out
    assert said.startswith("[skipped]") and "needs diffusers" in said and ".[compare]" in said
    assert said.count("\n") == 1
    assert extras.available("diffusers", quiet=True) is False
    assert extras.version("diffusers") is None
    extras.available("diffusers", "the third picture", quiet=True)
    assert capsys.readouterr().out == ""
    extras.available("diffusers", "the third picture")
    assert capsys.readouterr().out.startswith("[skipped] the third picture: needs diffusers")
    with pytest.raises(ImportError, match=r"\[compare\]"):
        compare_diffusers.scheduler("ddim")


def test_a_package_that_is_there_says_nothing(capsys):
    pytest.importorskip("diffusers")
    assert extras.available("diffusers") is True
    assert capsys.readouterr().out == ""
    assert extras.version("diffusers").split(".")[0].isdigit()


def test_only_what_the_book_uses_can_be_asked_for():
    with pytest.raises(ValueError, match="diffusers"):
        extras.available("tensorflow")


@pytest.mark.slow
def test_chapter_7_runs_to_its_end_without_diffusers(tmp_path):
    """Its code cells in a process of their own, where diffusers and transformers are blocked."""
    source = Path(__file__).parents[2] / "chapters" / "source" / "07_tools.md"
    cells = [c.source for c in jupytext.read(source).cells if c.cell_type == "code"]
    script = tmp_path / "chapter.py"
    block = "import sys\nsys.modules.update(diffusers=None, transformers=None)\n"
    script.write_text(block + "\n\n".join([*cells, "print('the end')"]), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("the end\n")
    skipped = [line for line in done.stdout.splitlines() if line.startswith("[skipped]")]
    assert len(skipped) == sum("available(" in cell for cell in cells) >= 8
    assert len(set(skipped)) == len(skipped)  # each says what it is that is left out
