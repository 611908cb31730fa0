"""Open JupyterLab on the first page of the book: the reader's copy of the chapter that sorts first.

python tools/lab.py [options for jupyter lab]
python tools/lab.py --settings    only the settings of the first screen; for Binder

With the environment variable MINILDM_LANGUAGE=zh: on that of the Chinese edition, in outputs/zh,
which is built first if it is not there.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import check_machine

BOOK = Path(__file__).resolve().parents[1]
# So that the first screen is the book: no news over it, and names of files that can be read.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
    "@jupyterlab/filebrowser-extension:browser": {"showLastModifiedColumn": False},
}


LANGUAGE = os.environ.get("MINILDM_LANGUAGE", "").replace("en", "")
# Beside chapters/, so that links and paths lead where they lead there. Made by reader_copies.py.
COPIES = "work"


def edition_folder(book: Path, language: str = LANGUAGE) -> Path:
    """The folder above chapters/ and work/, of the book in a language."""
    return book / "outputs" / language if language else book


def first_page(book: Path = BOOK, language: str = LANGUAGE) -> Path | None:
    """The first chapter, relative to the book's folder: the reader's copy, or the book's own.

    None where there is none.
    """
    folder = edition_folder(book, language)
    names = sorted(path.name for path in (folder / "chapters").glob("*.ipynb"))
    if not names:
        return None
    copy = folder / COPIES / names[0]
    page = copy if copy.exists() else folder / "chapters" / names[0]
    return page.relative_to(book)


def lab_command(book: Path = BOOK, extra: list[str] | None = None) -> list[str]:
    """The command that starts JupyterLab in the book's folder and shows its first page."""
    page = first_page(book)
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={book}"]
    if page is not None:
        command.append(f"--LabApp.default_url=/lab/tree/{page.as_posix()}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # Jupyter asks for it: usual in containers
    return command + (extra or [])


def write_settings(environment: Path) -> Path | None:
    """Put SETTINGS into the defaults of this environment's JupyterLab; None if they are there.

    What a person has chosen, in its menus or in that file, stays.
    """
    path = environment / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        wanted = {name: {**ours, **found.get(name, {})} for name, ours in SETTINGS.items()}
        if {**found, **wanted} == found:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps({**found, **wanted}, indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        print(f"the settings of JupyterLab stay as they are: {error}", file=sys.stderr)
        return None
    return path


def main() -> int:
    """Say what is missing, start JupyterLab and stay until it ends."""
    if sys.argv[1:] == ["--settings"]:
        write_settings(Path(sys.prefix))
        return 0
    check_machine.main(["--problems"])
    if not check_machine.installed("jupyterlab"):
        return 1
    if LANGUAGE and first_page() is None:
        build = [sys.executable, str(BOOK / "tools" / "build_book.py"), "--keep-outputs"]
        subprocess.call([*build, "--language", LANGUAGE])
    subprocess.call([sys.executable, str(BOOK / "tools" / "reader_copies.py")])
    # The copies lie elsewhere, and find the book's code all the same.
    found = [str(BOOK / "chapters"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, found))
    if sys.prefix != sys.base_prefix:  # an environment of the book's own, as `make lab` makes it
        write_settings(Path(sys.prefix))
    page = first_page() or "JupyterLab"
    print(f"Opening {page}. Press Ctrl+C twice here to stop.", flush=True)
    command = lab_command(extra=sys.argv[1:])
    os.chdir(BOOK)
    if os.name == "posix":
        os.execv(command[0], command)  # becomes JupyterLab: ending one process ends all
    try:
        return subprocess.call(command)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
