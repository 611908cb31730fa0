"""The first code cell: silent where the book is installed; on Colab and Kaggle it fetches it."""

import os
import subprocess
import sys

import first_cell
import nbformat
import online
import pytest
from book_rules import BOOK, CHAPTERS

SILENT = first_cell.first_cell("https://example.org/b")
# A kernel without the package and the book, in which nothing is installed in earnest.
RUN = """
import importlib.util, os, sys
from IPython.core.interactiveshell import InteractiveShell

real, there = importlib.util.find_spec, set(sys.argv[1].split())
missing = {"book", "minildm"} - there
def find_spec(name, package=None):
    return None if name in missing else (real(name, package) or name in there)
importlib.util.find_spec = find_spec
shell = InteractiveShell.instance()
result = shell.run_cell(sys.stdin.read())
print("at", os.path.basename(os.getcwd()), "ok" if result.success else "stopped")
"""
ONLINE = "import sys; print('online', sys.path[0][-6:])"


def run(cell, folder, there="", **environment):
    """What a fresh shell prints that runs the cell in `folder`, where the modules `there` are."""
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-c", RUN, there], input=cell.source, cwd=folder, text=True,
        capture_output=True, env={**os.environ, "PATH": path, **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def place(tmp_path):
    """An empty folder, and a `git` that makes a book of two files where it is told to."""
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(
        '#!/bin/sh\necho git "$@"\nfor last; do :; done\n'
        f'mkdir -p $last/chapters $last/tools; echo "{ONLINE}" > $last/tools/online.py\n'
    )
    git.chmod(0o755)
    return tmp_path


def test_it_is_silent_where_the_book_is(place):
    assert run(SILENT, place, "book minildm") == f"at {place.name} ok\n"


@pytest.mark.skipif(os.name == "nt", reason="Colab and Kaggle are Linux")
def test_it_fetches_the_book_once(place):
    said = run(SILENT, place)
    address = "git clone -q --depth 1 https://example.org/b latent-diffusion"
    assert address in said and "online /tools" in said and "at chapters ok" in said
    again = run(SILENT, place, "minildm")  # the kernel was started anew: it stands outside again
    assert "git" not in again and "at chapters ok" in again


def test_in_a_copy_of_the_book_nothing_is_fetched(place):
    (place / "tools").mkdir()
    (place / "tools" / "online.py").write_text(ONLINE)
    (place / "chapters").mkdir()
    said = run(SILENT, place / "chapters", "book", PATH=str(place / "bin"))
    assert "git" not in said and "online" in said and "at chapters ok" in said


def test_without_an_address_a_copy_has_to_be_there(place):
    said = run(first_cell.first_cell(None), place)
    assert "git" not in said and "latent-diffusion/chapters" in said and "stopped" in said


def test_the_address_is_that_of_pyproject(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "x"\n')
    assert first_cell.address(project) is None
    project.write_text(
        '[project]\nname = "x"\n[project.urls]\nRepository = "https://a.example/b"\n'
    )
    assert first_cell.address(project) == "https://a.example/b"


@pytest.mark.parametrize("path", sorted(CHAPTERS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_has_it_after_the_title(path):
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].source.startswith("# ") and cells[0].cell_type == "markdown"
    expected = first_cell.first_cell(first_cell.address())
    assert (cells[1].source, cells[1].metadata) == (expected.source, expected.metadata)
    assert cells[1].outputs == [] and cells[1].execution_count == 1
    hidden = {c.id for c in cells if c.metadata.get("jupyter", {}).get("source_hidden")}
    assert hidden == {"install", "imports"} & {c.id for c in cells}


# --- what it runs there --------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """The commands that would be run."""
    commands = []
    monkeypatch.setattr(online.subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr(online.sys, "path", ["first"])
    for host in online.HOSTS:
        monkeypatch.delenv(host, raising=False)
    return commands


@pytest.mark.parametrize("host", online.HOSTS)
def test_on_a_host_it_installs_what_is_lacking(asked, monkeypatch, host, capsys):
    here = {"torch": "2.5.1", "numpy": "2.4.0", "sympy": None, "jupyterlab": None}
    monkeypatch.setenv(host, "1")
    monkeypatch.setattr(online.check_machine, "installed", lambda name: here.get(name, "99"))
    online.main()
    packages, book = asked
    assert packages[4:] == ["-q", "--disable-pip-version-check", "torch>=2.6", "sympy>=1.13"]
    assert book[-3:] == ["--no-deps", "-e", str(BOOK)]
    assert online.sys.path == [str(CHAPTERS), str(BOOK), "first"]
    assert capsys.readouterr().out.endswith("Ready.\n")


def test_where_all_is_there_only_the_book_is_installed(asked, monkeypatch):
    monkeypatch.setenv(online.HOSTS[0], "1")
    monkeypatch.setattr(online.check_machine, "installed", lambda name: "99")
    online.main()
    assert len(asked) == 1 and asked[0][-1] == str(BOOK)


def test_on_a_machine_of_ones_own_nothing_is_installed(asked):
    with pytest.raises(SystemExit, match="minildm is missing in this Python"):
        online.main()
    assert asked == [] and online.sys.path == ["first"]
