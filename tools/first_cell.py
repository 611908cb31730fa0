"""The first code cell of every notebook: on Colab or Kaggle it fetches the book, else does nothing.

It stands in no source: `book_rules.source_notebook` puts it after the title. What it runs there is
tools/online.py. Where the repository is public, pyproject.toml says so, and `git clone` asks there.
"""

import tomllib
from pathlib import Path

import nbformat
from nbformat import NotebookNode

BOOK = Path(__file__).resolve().parents[1]
NAME = "install"
FOLDER = "latent-diffusion"  # not minildm: an empty package of that name would be found there
FETCH = "!test -d {folder} || git clone -q --depth 1 {address} {folder}"
PLACE = "# put a copy of the book's folder here, and call it {folder}"
CELL = """\
# @title On Colab or Kaggle this fetches the book; where it is installed, it does nothing
from importlib.util import find_spec

if not (find_spec("book") and find_spec("minildm")):
    if not find_spec("book"):
        {fetch}
        %cd -q {folder}/chapters
    %run ../tools/online.py"""


def address(project: Path = BOOK / "pyproject.toml") -> str | None:
    """Where the repository is public: `Repository` of pyproject's `[project.urls]`, or None."""
    urls = tomllib.loads(project.read_text(encoding="utf-8"))["project"].get("urls", {})
    return urls.get("Repository")


def first_cell(repository: str | None) -> NotebookNode:
    """The cell, folded in JupyterLab and on Colab. None: a copy of the folder has to be there."""
    fetch = (FETCH if repository else PLACE).format(address=repository, folder=FOLDER)
    cell = nbformat.v4.new_code_cell(CELL.format(fetch=fetch, folder=FOLDER), id=NAME)
    cell.metadata = NotebookNode({"cellView": "form", "jupyter": {"source_hidden": True}})
    return cell
