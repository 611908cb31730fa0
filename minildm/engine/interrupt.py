"""Ctrl-C in a training: it waits for the end of the step, so that what is saved is consistent."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
