"""Open JupyterLab on the first page of the book: the notebook that sorts first in chapters/.

python tools/lab.py [options for jupyter lab]
"""

import os
import subprocess
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]


def first_page(book: Path = BOOK) -> Path | None:
    """The first chapter's notebook, relative to the book's folder; None where there is none."""
    pages = sorted((book / "chapters").glob("*.ipynb"))
    return pages[0].relative_to(book) if pages else None


def lab_command(book: Path = BOOK, extra: list[str] | None = None) -> list[str]:
    """The command that starts JupyterLab in the book's folder and shows its first page."""
    page = first_page(book)
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={book}"]
    if page is not None:
        command.append(f"--LabApp.default_url=/lab/tree/{page.as_posix()}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # Jupyter asks for it: usual in containers
    return command + (extra or [])


def main() -> int:
    """Start JupyterLab and stay until it ends."""
    print(f"Opening {first_page() or 'JupyterLab'}. Press Ctrl+C here to stop.", flush=True)
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
