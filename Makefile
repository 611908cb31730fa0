# The book in one command each. `make lab` opens it, `make test` proves it.
#
#   make lab     JupyterLab on the first page     (LAB_ARGS="--no-browser --port 8899")
#   make fresh   a chapter as the book has it, in the place of yours (CHAPTER=03)
#   make test    everything the repository claims
#   make book    rebuild the notebooks from chapters/source/
#                (CHAPTER=04_3 for one; KEEP=1 if only text changed: nothing is run)
#   make web     the book as a site, from the stored notebooks
#   make slides  the decks of the course; make assignments, make questions: its other parts
#   LANGUAGE=zh  after lab, fresh, book, web or web-pdf: the Chinese edition
#
# Needed: make, and Python 3.11 or newer (PYTHON=python3.12 to choose one).

VENV        ?= .venv
# The pinned, tested set of packages. Empty (make test CONSTRAINTS=): the newest that pip finds.
CONSTRAINTS ?= constraints.txt
LAB_ARGS    ?=
PYTEST_ARGS ?=
ROUNDING_ARGS ?=
CHAPTER     ?=
KEEP        ?=
LANGUAGE    ?=

ifeq ($(OS),Windows_NT)
  PYTHON ?= python
  PY     := $(VENV)/Scripts/python.exe
else
  PYTHON ?= python3
  PY     := $(VENV)/bin/python
endif

INSTALL   = $(PY) -m pip install -q --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
SET      := $(if $(CONSTRAINTS),pinned,newest)
# A stamp says what is installed: the next run installs again only if one of these files is newer.
NEEDS    := pyproject.toml $(CONSTRAINTS)
BOOK     := $(VENV)/.installed-book-$(SET)
TESTS    := $(VENV)/.installed-tests-$(SET)
BROWSER  := $(VENV)/.installed-browser-$(SET)
WEB      := $(VENV)/.installed-web-$(SET)
COURSE   := $(VENV)/.installed-course-$(SET)

IN_LANGUAGE = $(if $(LANGUAGE),--language $(LANGUAGE))

.DEFAULT_GOAL := help
.PHONY: help lab fresh test book pages lint mutants mutants-changed rounding browser-test web web-pdf \
  slides assignments questions course-test

help:
	@echo "make lab           open the book in JupyterLab"
	@echo "make fresh         a chapter anew, CHAPTER=03; what you wrote is kept beside it"
	@echo "make test          run every test"
	@echo "make book          rebuild and execute the notebooks (CHAPTER=04_3 for one)"
	@echo "make pages         make equations, errata and figures of the documents anew"
	@echo "make lint          check the style and the types of the code"
	@echo "make mutants       plant known faults, and see each one caught (mutants-changed: those"
	@echo "                   in what a day's changes touched, and a part of the others)"
	@echo "make rounding      run all as other processors would round (hours; ROUNDING_ARGS=--quick)"
	@echo "make web           build the book as a site, into outputs/web (web-pdf: a PDF of each chapter)"
	@echo "make slides        the decks of the course, into outputs/course/slides (see course/README.md)"
	@echo "make assignments   the exercises without solutions, for students and for nbgrader"
	@echo "make questions     the question bank as Moodle XML and GIFT"
	@echo "make course-test   take a week's assignment through nbgrader: released, answered, graded"
	@echo "make browser-test  open and run a chapter in a real browser (needs Chromium)"

$(PY):
	@$(PYTHON) -c "" || { echo "No $(PYTHON) here: install Python 3.11 or newer, or name it: make lab PYTHON=..."; exit 1; }
	@$(PYTHON) tools/check_machine.py --python
	$(PYTHON) -m venv $(VENV)

$(BOOK): $(NEEDS) | $(PY)
	@echo "Installing the packages of the book: some minutes, 1.6 GB; on Linux 5.4 GB, with the libraries for NVIDIA cards"
	$(INSTALL) -e ".[book]"
	@touch $@

$(TESTS): $(NEEDS) | $(PY)
	$(INSTALL) -e ".[book,tests,compare]"
	@touch $@ $(BOOK)

$(BROWSER): $(NEEDS) | $(PY)
	$(INSTALL) -e ".[book,tests,compare,browser]"
	@touch $@ $(BOOK) $(TESTS)

$(WEB): $(NEEDS) | $(PY)
	$(INSTALL) -e ".[book,web]"
	@touch $@ $(BOOK)

$(COURSE): $(NEEDS) | $(PY)
	$(INSTALL) -e ".[book,tests,compare,course]"
	@touch $@ $(BOOK) $(TESTS)

lab fresh: export MINILDM_LANGUAGE = $(LANGUAGE)
lab: $(BOOK)
	@$(PY) tools/lab.py $(LAB_ARGS)

fresh: $(BOOK)
	@$(PY) tools/reader_copies.py fresh $(CHAPTER)

lint: $(TESTS)
	$(PY) -m ruff check .
	$(PY) -m mypy

# One thread per process: two torch processes that each want all cores slow one another down. What
# asks for two all the same does not burn a core while it waits.
test mutants mutants-changed: export OMP_NUM_THREADS = 1
test mutants mutants-changed: export OMP_WAIT_POLICY = passive

test: $(TESTS)
	$(PY) -m pytest tests chapters --ignore tests/browser --ignore tests/course --nbval --nbval-current-env \
	  --nbval-sanitize-with tests/nbval_sanitize.cfg -n 2 --dist loadfile --no-loadscope-reorder \
	  $(PYTEST_ARGS)

book: $(TESTS)
	$(PY) tools/build_book.py $(if $(KEEP),--keep-outputs) $(IN_LANGUAGE) $(CHAPTER)

pages: $(TESTS)
	$(PY) tools/pages.py

mutants: $(TESTS)
	$(PY) tools/mutants.py

mutants-changed: $(TESTS)
	$(PY) tools/mutants.py --changed

rounding: $(TESTS)
	$(PY) tools/rounding.py $(ROUNDING_ARGS)

browser-test: $(BROWSER)
	$(PY) -m pytest tests/browser $(PYTEST_ARGS)

# From the stored notebooks: nothing is run, and the network is not asked.
web: export OMP_NUM_THREADS = 1
web: $(WEB)
	$(PY) tools/build_web.py $(IN_LANGUAGE)

web-pdf: $(WEB) $(BROWSER)
	$(PY) tools/build_web.py --pdf $(IN_LANGUAGE)

slides: $(WEB) $(BROWSER)
	$(PY) tools/course.py slides

assignments: $(BOOK)
	$(PY) tools/course.py assignments

questions: $(BOOK)
	$(PY) tools/course.py questions

course-test: export OMP_NUM_THREADS = 1
course-test: export OMP_WAIT_POLICY = passive
course-test: $(COURSE)
	$(PY) -m pytest tests/course $(PYTEST_ARGS)
