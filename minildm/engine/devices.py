"""What a training borrows of the machine that it runs on, and gives back as it was.

accelerated   Accelerate: device, mixed precision, several processes
Randomness    the random numbers of torch, Python and NumPy
postponed     Ctrl-C, which waits for the end of a step
FolderLock    its folder, in which no other process may train
"""

import errno
import json
import os
import platform
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from minildm.noise import mix

# --- Accelerate -----------------------------------------------------------------------------------

_running = 0  # trainings between their first and last step
_settings_are_ours = False


@contextmanager
def accelerated(precision: str, device: str) -> Iterator[Accelerator]:
    """An Accelerator for one training, with FitConfig's ``precision`` and ``device``.

    Accelerate keeps its settings once per Python process and refuses others, or silently keeps the
    first device; here a notebook may train in float32, and then in bf16.
    Raises ValueError for fp16 without a GPU; where another training with other settings is not
    finished; and where the processes that were started do not find one another.
    """
    global _running, _settings_are_ours
    cpu = check_device(precision, device)
    _forget_other_settings(precision, cpu)
    _settings_are_ours = _settings_are_ours or not AcceleratorState._shared_state
    accelerator = Accelerator(mixed_precision=precision, cpu=cpu)
    if accelerator.num_processes != processes():
        raise ValueError(
            f"WORLD_SIZE says {processes()} processes, but this one sees "
            f"{accelerator.num_processes}; start them with torchrun or accelerate "
            "launch, which also set RANK and LOCAL_RANK"
        )
    _running += 1
    try:
        yield accelerator
    finally:
        _running -= 1


def _forget_other_settings(precision: str, cpu: bool) -> None:
    global _settings_are_ours
    kept = AcceleratorState._shared_state
    if not kept:
        return
    same_device = (kept["device"].type == "cpu") == cpu
    if same_device and kept["_mixed_precision"] == precision:
        return
    now = f"precision {kept['_mixed_precision']!r} on {kept['device']}"
    if _running:
        raise ValueError(f"a training with {now} is not finished; finish or close it first")
    if not _settings_are_ours or (kept["num_processes"] > 1 and not same_device):
        raise ValueError(f"Accelerate is set to {now} in this process; restart Python to change it")
    AcceleratorState._reset_state(reset_partial_state=not same_device)
    _settings_are_ours = False


def unprepare(net: nn.Module) -> None:
    """Take off what ``Accelerator.prepare`` left on ``net``, so that it can be trained again."""
    for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
        net.__dict__.pop(name, None)


def check_device(precision: str, device: str) -> bool:
    """Whether this will be the CPU. Raises ValueError for fp16 without a GPU."""
    cpu = device == "cpu" or not torch.accelerator.is_available()
    if cpu and precision == "fp16":
        raise ValueError("precision 'fp16' needs a GPU; use 'no' or 'bf16'")
    return cpu


def processes() -> int:
    """How many processes were started to train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process that writes files and shows the progress bar."""
    return int(os.environ.get("RANK", "0")) == 0


def surroundings() -> dict:
    """Processor, torch, threads, and the load average (1, 5, 15 minutes) where there is one."""
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "load_average": load,
    }


# --- random numbers -------------------------------------------------------------------------------

STREAM = 30  # what a key is used for, beside the uses of noise.py


class Randomness:
    """A training's own stream of random numbers, apart from its caller's; seeded by ``key``.

    The noise of this package is keyed (noise.py), but a network may have dropout, and a reader's
    loss may call ``torch.randn``, ``random`` or NumPy. Inside ``with randomness:`` these draw from
    this stream: what the caller draws between two steps does not change it, the caller's own
    numbers are not changed either, and it can be saved and continued.
    """

    def __init__(self, device: torch.device, *key: int) -> None:
        self._device = None if device.type == "cpu" else torch.get_device_module(device)
        self._own, seed = self._now(), mix(STREAM, *key)
        with self:
            torch.default_generator.manual_seed(seed)
            if self._device is not None:
                self._device.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - the global stream is what is kept apart

    def __enter__(self) -> None:
        self._caller = self._now()
        self._set(self._own)

    def __exit__(self, *error: object) -> None:
        self._own = self._now()
        self._set(self._caller)

    def state(self) -> dict:
        """Where the stream stands, as JSON-able values."""
        name, numbers, *rest = self._own["numpy"]
        return {
            "torch": _to_text(self._own["torch"]),
            "device": _to_text(self._own["device"]),
            "python": list(self._own["python"]),
            "numpy": [name, numbers.tolist(), *rest],
        }

    def continue_from(self, state: dict) -> None:
        """Go on where ``state()`` was; ValueError if that is of another device, or damaged."""
        if (state.get("device") is None) != (self._device is None):
            raise ValueError(
                "the random numbers were drawn on another kind of device; train on the same one"
            )
        try:
            version, numbers, spare = state["python"]
            with self:
                self._set({
                    "torch": _from_text(state["torch"]),
                    "device": _from_text(state["device"]),
                    "python": (version, tuple(numbers), spare),
                    "numpy": tuple(state["numpy"]),
                })  # fmt: skip
        except (LookupError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"the random numbers are damaged ({error!r})") from error

    def _now(self) -> dict:
        return {
            "torch": torch.get_rng_state(),
            "device": None if self._device is None else self._device.get_rng_state(),
            "python": random.getstate(),
            "numpy": np.random.get_state(),  # noqa: NPY002
        }

    def _set(self, state: dict) -> None:
        torch.set_rng_state(state["torch"])
        if self._device is not None:
            self._device.set_rng_state(state["device"])
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])  # noqa: NPY002


def _to_text(state: Tensor | None) -> str | None:
    return None if state is None else state.cpu().numpy().tobytes().hex()


def _from_text(text: str | None) -> Tensor | None:
    return None if text is None else torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)


# --- Ctrl-C ---------------------------------------------------------------------------------------


class Interrupt:
    """``asked``: whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: object) -> None:
        """The signal's handler; the second time it interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr)


@contextmanager
def postponed(wanted: bool = True) -> Iterator[Interrupt]:
    """Inside the block Ctrl-C is only noted, unless it is pressed twice.

    A block inside of another one shares what that has noted. Nothing is changed unless ``wanted``;
    outside the main thread, where Python handles no signals; and where Ctrl-C does something else
    than Python's KeyboardInterrupt.
    """
    usual = signal.getsignal(signal.SIGINT)
    interrupt = usual if isinstance(usual, Interrupt) and wanted else Interrupt()
    in_main = threading.current_thread() is threading.main_thread()
    if not (wanted and in_main and usual is signal.default_int_handler):
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, usual)


# --- the folder -----------------------------------------------------------------------------------

LOCK = "training.lock"
BUSY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)  # how systems say that it is locked
_held: dict[Path, "FolderLock"] = {}  # by this process


class FolderLock:
    """One training per folder: held from its making to ``release``; the folder must exist.

    The lock is the operating system's (flock, or a locked byte on Windows), on a file that says who
    holds it and since when. After a crash the file may be left, but nobody holds it any more.
    Another process is refused with ValueError, which names the one that trains there. A second
    training in *this* process takes the folder over: in a notebook the first one has mostly ended
    with an error. Should it go on after all, ``check`` stops it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._file, self._process = folder.resolve(), None, os.getpid()
        before = _held.get(self.folder)
        if before is not None and before._process == self._process:  # not of one that forked us
            before.release()
        self._file = self._take(self.folder / LOCK)
        _held[self.folder] = self
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        text = json.dumps({"process": os.getpid(), "host": platform.node(), "since": now})
        os.ftruncate(self._file, 0)
        os.write(self._file, text.encode())

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
            with suppress(OSError):  # another one has taken it already
                (self.folder / LOCK).unlink()
        else:
            (self.folder / LOCK).unlink(missing_ok=True)
            os.close(handle)

    def _take(self, path: Path) -> int:
        """The open file, locked, or as good as that where there are no locks."""
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
                    raise ValueError(_who(path)) from None
                warnings.warn(
                    f"{path.parent}: this file system knows no locks ({error.strerror}); take care "
                    "that no other process trains there"
                )
            with suppress(FileNotFoundError):
                if os.name == "nt" or os.path.samestat(os.stat(path), os.fstat(handle)):
                    return handle
            os.close(handle)  # the one before has removed the file between our two calls


def _lock(handle: int) -> None:
    """Lock an open file at once, or raise OSError."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 2**30, os.SEEK_SET)  # a byte far behind the text, which others may read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _who(path: Path) -> str:
    try:
        by = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {by['process']} on {by['host']} since {by['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{path.parent} is being trained in by {who}: wait for its end, or stop it; or give "
        "another folder"
    )
