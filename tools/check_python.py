"""Stop with a clear sentence when this Python cannot carry the book.

Written so that even Python 2 can read it: the oldest interpreter is the one that must get it.
"""

import sys

NEEDED = (3, 11)

if sys.version_info[:2] < NEEDED:
    sys.exit(
        "The book needs Python %d.%d or newer, and this is Python %d.%d (%s).\n"
        "Install a newer one, then say which: make lab PYTHON=python3.12"
        % (NEEDED + tuple(sys.version_info[:2]) + (sys.executable,))
    )
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit(
        "This Python (%s) cannot make virtual environments.\n"
        "On Debian and Ubuntu: sudo apt install python3-venv" % sys.executable
    )
