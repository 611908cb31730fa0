"""One training per folder: a lock that ends with the process that holds it.

The lock is the operating system's (flock, or a locked byte on Windows), on a file that says who
holds it and since when. After a crash the file may be left, but nobody holds it any more.
"""

import contextlib
import errno
import json
import os
import platform
import warnings
from datetime import datetime
from pathlib import Path

LOCK = "training.lock"
BUSY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)  # how systems say that it is locked
_held: dict[Path, "FolderLock"] = {}  # by this process


class FolderLock:
    """Held from its making to ``release``; the folder must exist.

    Another process is refused with ValueError, which names the one that trains there. A second
    training in *this* process takes the folder over: in a notebook the first one has mostly ended
    with an error. Should it go on after all, ``check`` stops it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._file, self._process = folder.resolve(), None, os.getpid()
        before = _held.get(self.folder)
        if before is not None and before._process == self._process:  # not of one that forked us
            before.release()
        self._file = self._take()
        _held[self.folder] = self

    def check(self) -> None:
        """Raise ValueError if a later training in this process has taken the folder over."""
        if self._file is None:
            raise ValueError(
                f"{self.folder} was taken over by a later training in this process; this one stops"
            )

    def release(self) -> None:
        """Give the folder free; the lock's file goes."""
        if self._file is None:
            return
        handle, self._file = self._file, None
        del _held[self.folder]
        if os.name == "nt":  # which removes no file that is open
            os.close(handle)
            with contextlib.suppress(OSError):  # another one has taken it already
                (self.folder / LOCK).unlink()
        else:
            (self.folder / LOCK).unlink(missing_ok=True)
            os.close(handle)

    def _take(self) -> int:
        path = self.folder / LOCK
        while True:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:  # read-only, or full
                say = f"{error.strerror}; nothing can be written there, give another folder"
                raise type(error)(error.errno, say, str(path)) from None
            try:
                _lock(handle)
            except OSError as error:
                if error.errno in BUSY:
                    os.close(handle)
                    raise ValueError(_who(path, self.folder)) from None
                warnings.warn(
                    f"{self.folder}: this file system knows no locks ({error.strerror}); take care "
                    "that no other process trains there"
                )
            if os.name == "nt" or _is_still(path, handle):
                break
            os.close(handle)  # the one before has removed the file between our two calls
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        text = json.dumps({"process": os.getpid(), "host": platform.node(), "since": now})
        os.ftruncate(handle, 0)
        os.write(handle, text.encode())
        return handle


def _lock(handle: int) -> None:
    """Lock an open file at once, or raise OSError."""
    if os.name == "nt":
        import msvcrt

        os.lseek(handle, 2**30, os.SEEK_SET)  # a byte far behind the text, which others may read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _who(path: Path, folder: Path) -> str:
    try:
        by = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {by['process']} on {by['host']} since {by['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{folder} is being trained in by {who}: wait for its end, or stop it; or give another "
        "folder"
    )
