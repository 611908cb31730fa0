"""On Colab and Kaggle: install what the book needs and is not there yet, and put it on the path.

%run ../tools/online.py    in chapters/, as the first cell of each notebook does

PyTorch and what else is there stays as it is. On a machine of one's own nothing is installed
unasked: it says which Python to use, or what to type.
"""

import importlib
import os
import subprocess
import sys

import check_machine
from check_machine import BOOK

# Set by Colab and by Kaggle in the environment of every kernel.
HOSTS = ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")
# The book's own, and what only a machine of one's own needs: Colab has its own Jupyter.
LEFT_OUT = {"minildm", "jupyterlab", "jupyterlab_widgets", "jupytext", "nbval"}


def lacking() -> list[str]:
    """What pip is asked for: packages of the chapters that are not there, or too old."""
    needed, _ = check_machine.requirements()
    release, installed = check_machine.release, check_machine.installed
    return [
        f"{name}>={least}"
        for name, least in needed.items()
        if name not in LEFT_OUT and release(installed(name) or "0") < release(least)
    ]


def install() -> None:
    """The packages, then this folder as `minildm`; kernels that are started later find it, too."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if packages := lacking():
        subprocess.run([*pip, *packages], check=True)
    subprocess.run([*pip, "--no-deps", "-e", str(BOOK)], check=True)


def main() -> None:
    """Install on a host of notebooks, then make `book` and `minildm` importable in this kernel."""
    if not any(host in os.environ for host in HOSTS):
        sys.exit(f"minildm is missing in this Python. {check_machine.how_to_install()}")
    print("Fetching what the book needs ...", flush=True)
    install()
    sys.path[:0] = [str(BOOK / "chapters"), str(BOOK)]
    importlib.invalidate_caches()
    print("Ready.")


if __name__ == "__main__":
    main()
