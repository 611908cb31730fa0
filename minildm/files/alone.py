"""One process at a time in a folder, on every system."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time; others wait. A crash does not leave the lock behind."""
    handle = _locked(folder)
    try:
        yield
    finally:
        os.close(handle)  # which unlocks


def _locked(folder: Path) -> int:
    """An open file that no other process can lock until it is closed."""
    if sys.platform == "win32":
        import msvcrt

        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)  # the folder itself: nothing is left in it
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle
