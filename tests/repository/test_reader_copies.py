"""The reader's copies of the chapters: made, renewed, and never written over."""

import json
import subprocess
import sys

import nbformat
import pytest
import reader_copies
from book_rules import BOOK, CHAPTERS
from first_cell import first_cell
from lab import first_page
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CHAPTER = "03_algorithm.ipynb"
ALT = 'A curve falls from 1 to "almost" 0.'
PICTURE = {"image/png": "aWs=\n", "text/plain": ALT}


def chapter(question="What is left?", answer="print(0.5, said(guess))"):
    picture = new_output("display_data", PICTURE, metadata={"image/png": {"alt": ALT}, "alt": ALT})
    printed = new_output("stream", text="0.5 no guess yet\n")
    return new_notebook(
        cells=[
            new_markdown_cell("# 3 The algorithm", id="title"),
            first_cell(None),
            new_markdown_cell(question, id="question"),
            new_code_cell("guess = ...", id="guess"),
            new_code_cell(answer, id="answer", outputs=[printed, picture]),
            new_code_cell("show(fig, alt)", id="picture", outputs=[picture]),
        ]
    )


@pytest.fixture
def book(tmp_path):
    (tmp_path / "chapters").mkdir()
    nbformat.write(chapter(), tmp_path / "chapters" / CHAPTER)
    return tmp_path


def copies(book):
    """Bring them up to date; what was said, and the copy of the chapter."""
    said = list(reader_copies.bring_up_to_date(book))
    return said, nbformat.read(book / "work" / CHAPTER, as_version=4)


def write_into(book, source):
    """What a reader does: another source in the cell of the guess, saved by Jupyter."""
    path = book / "work" / CHAPTER
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[3].source = source
    notebook.metadata.language_info = {"name": "python", "version": "3.13.1"}  # Jupyter's own
    nbformat.write(notebook, path)


def test_what_a_reader_wrote_is_never_written_over(book):
    said, copy = copies(book)
    assert said == [] and [c.id for c in copy.cells] == [c.id for c in chapter().cells]
    write_into(book, "guess = 0.4")
    assert copies(book)[0] == []
    nbformat.write(chapter("And now?"), book / "chapters" / CHAPTER)
    [told], copy = copies(book)
    assert copy.cells[3].source == "guess = 0.4" and copy.cells[2].source == "What is left?"
    assert told.endswith("newer: make fresh CHAPTER=03_algorithm") and "work/03_alg" in told


def test_a_copy_that_nobody_wrote_into_follows_the_book(book):
    copies(book)
    write_into(book, "guess = ...")  # only run, and saved
    assert copies(book)[1].metadata.language_info.version == "3.13.1"  # not copied for nothing
    nbformat.write(chapter("And now?"), book / "chapters" / CHAPTER)
    said, copy = copies(book)
    assert said == [] and copy.cells[2].source == "And now?"
    again = chapter("And now?")
    again.cells[4].outputs[0].text = "0.4 no guess yet\n"  # run again, by the book's authors
    nbformat.write(again, book / "chapters" / CHAPTER)
    assert copies(book)[1].cells[4].outputs[1].text == "0.4 no guess yet\n"


def test_new_results_alone_are_no_reason_to_start_afresh(book):
    copies(book)
    write_into(book, "guess = 0.4")
    again = chapter()
    again.cells[4].outputs[0].text = "0.4 no guess yet\n"
    nbformat.write(again, book / "chapters" / CHAPTER)
    said, copy = copies(book)
    assert said == [] and copy.cells[3].source == "guess = 0.4"


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": []}', json.dumps(chapter())])
def test_a_file_that_is_no_copy_is_the_readers(book, text):
    (book / "work").mkdir()
    (book / "work" / CHAPTER).write_text(text)
    [told] = reader_copies.bring_up_to_date(book)
    assert "stays as you have it" in told
    assert (book / "work" / CHAPTER).read_text() == text


def test_a_chapter_is_started_afresh_and_the_old_one_kept(book):
    copies(book)
    assert reader_copies.start_afresh(book, "03_algorithm") == f"work/{CHAPTER} is the book's"
    for kept in ("work/03_algorithm.yours-1.ipynb", "work/03_algorithm.yours-2.ipynb"):
        write_into(book, f"guess = {kept!r}")
        told = reader_copies.start_afresh(book, "03_algorithm")
        assert told == f"work/{CHAPTER} is the book's; yours is now {kept}"
        assert kept in (book / kept).read_text()
        assert copies(book)[1].cells[3].source == "guess = ..."


def test_the_copy_of_the_first_chapter_is_the_first_page(book):
    assert first_page(book).as_posix() == f"chapters/{CHAPTER}"
    copies(book)
    assert first_page(book).as_posix() == f"work/{CHAPTER}"
    (book / "work" / "00_notes.ipynb").touch()  # a notebook of the reader's own
    assert first_page(book).as_posix() == f"work/{CHAPTER}"


def test_pictures_speak_where_jupyterlab_listens(book):
    _, copy = copies(book)
    data = copy.cells[5].outputs[0].data
    assert data["text/html"] == (
        '<img alt="A curve falls from 1 to &quot;almost&quot; 0." src="data:image/png;base64,aWs=">'
    )
    assert data["image/png"].strip() == "aWs="


def test_an_answer_is_folded_until_the_cell_is_run(book):
    _, copy = copies(book)
    jupyter = {cell.id: cell.metadata.get("jupyter", {}) for cell in copy.cells}
    assert [id for id, settings in jupyter.items() if "outputs_hidden" in settings] == ["answer"]
    outputs = copy.cells[4].outputs
    assert outputs[0].text.startswith("Your guess first")  # what JupyterLab shows of them
    assert outputs[1].text == "0.5 no guess yet\n" and len(outputs) == 3


def test_a_copy_finds_the_books_code_from_any_program(book):
    """VS Code, or a JupyterLab that `make lab` did not start: the kernel's folder is the copy's."""
    _, copy = copies(book)
    code = copy.cells[1].source + "\nimport book\nprint(book.__file__)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=book / "work", env={}, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(CHAPTERS / "book" / "__init__.py"), done.stderr


def test_git_ignores_the_copies():
    assert "/work/" in (BOOK / ".gitignore").read_text().splitlines()


def test_the_names_of_chapters_are_asked_for(book, monkeypatch, capsys):
    monkeypatch.setattr(reader_copies, "BOOK", book)
    for words, code in (["fresh"], 1), (["fresh", "04"], 1), (["fresh", "03"], 0), ([], 0):
        monkeypatch.setattr(sys, "argv", ["reader_copies.py", *words])
        assert reader_copies.main() == code
        said = capsys.readouterr().out
        assert ("There are 03_algorithm" in said) == bool(code)
