"""What is solved: read from saved notebooks, and from the replies of this kernel."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book import exercises, exercises_solved, progress
from book.exercises import registry

GREEN_OK = "\x1b[1;32m[ok]\x1b[0m"


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    monkeypatch.setattr(exercises_solved, "replied", {})


def save(path, *lines):
    cells = [
        new_code_cell("check(...)", outputs=[new_output("stream", text=f"{line}\n")])
        for line in lines
    ]
    nbformat.write(new_notebook(cells=cells), path)


def rows(capsys):
    """Chapter -> its line, split at spaces; "" is the sum."""
    *lines, total, _ = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines} | {"": total.split()}


def test_what_is_saved_is_read(tmp_path, capsys):
    save(tmp_path / "00_start_here.ipynb", f"{GREEN_OK} 0-1: fine", "[not yet] 0-2: no")
    save(tmp_path / "04_3.ipynb", "[todo] 4.3-2: do it", "says [ok] 4.3-1: no", "[ok] 4.3-2：好")
    (tmp_path / "05.ipynb").write_text("{")
    progress(tmp_path)
    found = rows(capsys)
    assert found["0"] == ["1", "/", "3", "✓", "–", "·"]
    assert found["4.3"][0] == "1" and found["4.3"][3:5] == ["·", "✓"]
    assert found[""] == ["2", "/", str(len(registry()))]
    numbers = [number for number in found if number]
    assert numbers[-3:] == ["8", "9", "9.1"] and numbers.index("7") < numbers.index("7.6")
    assert found.keys() - {""} == {id.rpartition("-")[0] for id in registry()}


def test_what_is_solved_in_one_notebook_is_solved(tmp_path, capsys):
    save(tmp_path / "00_start_here.ipynb", "[ok] 0-1: fine")
    save(tmp_path / "00_start_here.yours-1.ipynb", "[todo] 0-1: do it")
    progress(tmp_path)
    assert rows(capsys)["0"][0] == "1"


def test_what_this_kernel_replied_needs_no_saving(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exercises, "replied", exercises_solved.replied)
    for answer in "no caption", ...:
        exercises.check("0-1", answer)
        assert exercises_solved.replied["0-1"] == ("not yet" if answer != ... else "todo")
    save(tmp_path / "00_start_here.ipynb", "[ok] 0-1: fine", "[ok] 0-2: fine")
    exercises_solved.replied["0-2"] = "not yet"
    capsys.readouterr()
    progress(tmp_path)
    assert rows(capsys)["0"] == ["1", "/", "3", "✓", "–", "·"]  # a blank unsolves nothing
