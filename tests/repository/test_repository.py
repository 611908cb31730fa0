"""What the repository promises outside its code: installing, opening, licences, no network."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import lab
import nbformat
import pytest
import yaml
from build_book import execute
from lab import SETTINGS, first_page, lab_command, write_settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BOOK = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((BOOK / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MEASURE = "tools/experiments.py"
SEVEN = {"jupyterlab", "torch", "numpy", "matplotlib", "ipywidgets", "nbval", "jupytext"}


def read(name):
    return (BOOK / name).read_text(encoding="utf-8")


def requirements(*extras):
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pins():
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines if line.strip())


# --- installing --------------------------------------------------------------------------------


def test_the_conda_environment_is_the_one_of_pyproject():
    environment = yaml.safe_load(read("environment.yml"))
    *conda, nested = environment["dependencies"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert {f"python={oldest}", "pip"} == set(conda), "one version: Binder reads it no other way"
    options = {line for line in nested["pip"] if line.startswith("-")}
    named = {line for line in nested["pip"] if not line.startswith("-")}
    assert options == {"--constraint constraints.txt", "--editable .[book]"}
    assert named == SEVEN, "the book's seven packages, without versions: pyproject.toml has those"
    assert set(requirements("book")) >= SEVEN


def test_every_requirement_is_pinned_to_a_version_it_allows():
    tested = {canonicalize_name(name): version for name, version in pins().items()}
    for name, requirement in requirements(*PROJECT["optional-dependencies"]).items():
        assert name in tested, f"{name} is not in constraints.txt"
        assert requirement.specifier.contains(tested[name]), f"{requirement} excludes the pin"


def test_a_plain_install_brings_little_and_the_book_the_rest():
    plain = {"accelerate", "numpy", "pillow", "safetensors", "torch", "tqdm"}
    assert set(requirements()) == plain
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == {
        "book", "data", "hub", "tests", "browser", "compare", "web", "course", "emoji",
    }  # fmt: skip
    spec = {name: str(r.specifier) for name, r in requirements("book").items()}
    assert {name: spec[name] for name in map(_name, extras["data"])} == {
        name: str(r.specifier) for name, r in requirements("data").items() if name not in plain
    }
    for command in ('-e ".[book]"', '-e ".[book,tests,compare]"'):
        assert f"$(INSTALL) {command}\n" in read("Makefile")
    assert '\npip install -c constraints.txt -e ".[book]"\n' in read("README.md")


def _name(line):
    return canonicalize_name(Requirement(line).name)


def test_constraints_hold_for_every_machine():
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    for line in lines:  # no file, no address, no local build such as +cpu
        assert re.fullmatch(r"[A-Za-z0-9][\w.-]*==\d[\w.]*", line), line
    assert lines == sorted(lines, key=str.lower)
    assert len({canonicalize_name(name) for name in pins()}) == len(lines)
    assert pins()["torch"] == "2.13.0"


def test_the_oldest_python_is_the_same_everywhere():
    assert PROJECT["requires-python"] == ">=3.11"
    assert "if sys.version_info[:2] < (3, 11):" in read("tools/check_machine.py")
    assert "Python 3.11 or newer" in read("README.md")


def test_the_code_keeps_the_style():
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "."]
    result = subprocess.run(command, cwd=BOOK, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_the_library_keeps_its_types():
    pytest.importorskip("mypy", reason="the extra tests brings it")
    command = [sys.executable, "-m", "mypy"]
    result = subprocess.run(command, cwd=BOOK, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


# --- opening -----------------------------------------------------------------------------------


def test_lab_opens_the_notebook_that_sorts_first(tmp_path):
    assert first_page(tmp_path) is None
    assert not any("default_url" in word for word in lab_command(tmp_path))
    (tmp_path / "chapters").mkdir()
    for name in ("03_b.ipynb", "01_a.ipynb", "00_not_a_notebook.md"):
        (tmp_path / "chapters" / name).touch()
    assert first_page(tmp_path) == Path("chapters/01_a.ipynb")
    command = lab_command(tmp_path, ["--no-browser"])
    assert "--LabApp.default_url=/lab/tree/chapters/01_a.ipynb" in command
    assert command[-1] == "--no-browser"


def test_the_first_screen_is_the_book(tmp_path, capsys):
    path = write_settings(tmp_path)
    assert json.loads(path.read_text()) == SETTINGS
    assert write_settings(tmp_path) is None  # once is enough
    name = "@jupyterlab/apputils-extension:notification"
    mine = {name: {"fetchNews": "true"}, "other": {"a": 1}}
    path.write_text(json.dumps(mine))
    write_settings(tmp_path)
    assert json.loads(path.read_text()) == {**SETTINGS, **mine}  # what was chosen stays
    path.write_text("{")
    assert write_settings(tmp_path) is None and path.read_text() == "{"
    assert "stay as they are" in capsys.readouterr().err


def test_on_binder_the_first_screen_is_the_book_too(tmp_path, monkeypatch):
    assert read("postBuild").splitlines()[0] == "#!/bin/sh", "Binder starts it as a program"
    assert os.name == "nt" or os.access(BOOK / "postBuild", os.X_OK)
    [command] = [line for line in read("postBuild").splitlines() if not line.startswith("#")]
    program, *options = command.removeprefix("python ").split()
    assert Path(program) == Path("tools/lab.py")
    monkeypatch.setattr(sys, "argv", [program, *options])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(lab.os, "execv", None)
    assert lab.main() == 0
    [settings] = tmp_path.rglob("overrides.json")
    assert json.loads(settings.read_text()) == SETTINGS


def test_what_is_missing_is_said_before_jupyterlab_opens(monkeypatch, capsys):
    monkeypatch.setattr(lab, "write_settings", lambda folder: None)
    monkeypatch.setattr(lab.check_machine, "installed", lambda name: None)
    monkeypatch.setattr(lab.os, "execv", None)
    assert lab.main() == 1
    assert "missing: minildm, " in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no root user on this system")
@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_only_root_is_allowed_as_root(monkeypatch, user, allowed):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert ("--allow-root" in lab_command()) is allowed


# --- what the documents say --------------------------------------------------------------------


def test_the_readme_lists_every_chapter():
    for chapter in (BOOK / "chapters").glob("*.ipynb"):
        assert f"(chapters/{chapter.name})" in read("README.md")


def test_commands_in_the_documents_exist():
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))
    assert {"lab", "test", "book", "lint", "mutants", "browser-test", "web", "web-pdf",
            "slides", "assignments", "questions", "course-test"} <= targets  # fmt: skip
    workflows = [str(path.relative_to(BOOK)) for path in BOOK.glob(".github/workflows/*.yml")]
    assert len(workflows) == 2
    for name in ("README.md", "CONTRIBUTING.md", "course/README.md", ".ci/run", *workflows):
        asked = set(re.findall(r"^\s*(?:- run: )?make ([a-z-]+)", read(name), re.MULTILINE))
        assert asked <= targets, name


def test_programs_and_their_verbs_in_the_pages_exist():
    programs = {"-m minildm": "minildm/__main__.py", MEASURE: MEASURE}
    verbs = {p: re.findall(r'add_verb\(\w+, "(\w+)"', read(f)) for p, f in programs.items()}
    pages = ["README.md", "CONTRIBUTING.md", "data/README.md", "data/results.json"]
    pages += [str(path.relative_to(BOOK)) for path in (BOOK / "chapters" / "source").glob("*.md")]
    command = re.compile(r"python (-m minildm|tools/\w+\.py)(?: ([a-z]+))?")
    for name in pages:
        for program, verb in command.findall(read(name)):
            assert program in programs or (BOOK / program).is_file(), f"{name}: {program}"
            assert not verb or verb in verbs.get(program, [verb]), f"{name}: {program} {verb}"


def test_continuous_integration_runs_the_command_of_the_readme():
    assert read(".ci/run").rstrip().endswith("make test")
    assert os.name == "nt" or os.access(BOOK / ".ci" / "run", os.X_OK)
    jobs = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]
    systems = {"ubuntu-latest", "macos-latest", "windows-latest"}
    for job, command in (("pinned", "make test"), ("newest", "make test")):
        assert set(jobs[job]["strategy"]["matrix"]["os"]) == systems
        assert jobs[job]["steps"][-1]["run"].startswith(command)
    assert jobs["newest"]["steps"][-1]["run"].endswith("CONSTRAINTS=")


def test_forms_for_issues_are_what_github_reads():
    kinds = {"input", "textarea", "dropdown", "checkboxes", "markdown"}
    forms = sorted((BOOK / ".github" / "ISSUE_TEMPLATE").glob("[0-9]_*.yml"))
    assert len(forms) == 4
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert set(form) == {"name", "description", "title", "labels", "body"}
        for part in form["body"]:
            assert set(part) <= {"type", "id", "attributes", "validations"}
            assert part["type"] in kinds and part["attributes"]["label"]
            assert (part["type"] == "dropdown") == ("options" in part["attributes"])
        assert any(part.get("validations", {}).get("required") for part in form["body"])
        assert len({part["id"] for part in form["body"]}) == len(form["body"])


def test_the_changelog_begins_with_this_version():
    newest, *others = re.findall(r"^## (\S+)(?:, (\S+))?$", read("CHANGELOG.md"), re.MULTILINE)
    if newest[0] == "Unreleased":
        newest, *others = others
    date = str(yaml.safe_load(read("CITATION.cff"))["date-released"])
    assert newest == (PROJECT["version"], date)


def test_the_line_of_facts_is_true():
    [line] = [x for x in read("README.md").splitlines() if x.startswith("Version ")]
    jobs = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]
    systems = {"ubuntu-latest": "Linux", "macos-latest": "macOS", "windows-latest": "Windows"}
    assert set(jobs["pinned"]["strategy"]["matrix"]["os"]) == set(systems)
    facts = [f"Version {PROJECT['version']}", "Python 3.11 or newer", *systems.values()]
    facts += ["code: [MIT](LICENSE)", "[CC BY 4.0](LICENSE-TEXT)", "(.github/workflows/test.yml)"]
    assert [fact for fact in facts if fact not in line] == []


def test_version_and_licences_agree():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == PROJECT["version"]
    assert f"version = {{{PROJECT['version']}}}" in read("README.md")
    assert citation["license"] == ["MIT", "CC-BY-4.0"]
    assert read("LICENSE").startswith("MIT License")
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in read("LICENSE-TEXT")
    from minildm import __version__

    assert __version__ == PROJECT["version"]


# --- no network --------------------------------------------------------------------------------

TRY = """
import socket, sys
from contextlib import closing
server = socket.create_server(("127.0.0.1", 0))
with closing(socket.create_connection(server.getsockname(), timeout=5)):
    print("loopback works")
tries = [
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=30),
    lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
    lambda: socket.socket(socket.AF_INET6).connect(("::ffff:192.0.2.1", 80)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)),
    lambda: socket.getaddrinfo("example.invalid", 80),
    lambda: socket.gethostbyname("example.invalid"),
]
for attempt in tries:
    try:
        attempt()
    except OSError as error:
        print(type(error).__name__, "network blocked" in str(error))
"""
REFUSED = ["loopback works", *["NetworkBlocked True"] * 6]  # refused, not timed out


def offline_environment(*more):
    path = [*map(str, more), os.environ["PYTHONPATH"]]  # set for all tests by conftest.py
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def test_processes_started_by_tests_are_offline():
    result = subprocess.run(
        [sys.executable, "-c", TRY], env=offline_environment(), capture_output=True, text=True
    )
    assert result.stdout.splitlines() == REFUSED, result.stderr


def test_kernels_of_the_book_are_offline(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TRY)])
    execute(notebook, tmp_path, threads=1)
    assert notebook.cells[0].outputs[0].text.splitlines() == REFUSED


def test_the_tests_themselves_are_offline():
    import socket

    with pytest.raises(OSError, match="network blocked"):
        socket.create_connection(("192.0.2.1", 80), timeout=30)


def test_another_sitecustomize_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.other = 'ran'")
    path = os.pathsep.join([str(BOOK / "tools" / "offline"), str(tmp_path)])
    code = "import sys; print(sys.other, sys._minildm_offline)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "ran True\n", result.stderr
