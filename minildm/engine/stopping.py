"""What stops a training: numbers that are not finite any more, and Ctrl-C.

Ctrl-C waits for the end of the step, so that what is saved is consistent.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Diverged(ValueError):
    """A loss, a gradient or a weight is not finite; the message says where, and what to try."""


def what_is_wrong(norm: Tensor, parts: list[tuple]) -> str:
    """In words: which losses of a step are not finite, and where; or that its gradient is not.

    ``norm`` (): of the gradient. ``parts``: (indices, losses, levels or None), each (b,).
    """
    indices, losses = (torch.cat([part[i].cpu() for part in parts]) for i in (0, 1))  # (B,) each
    levels = None if parts[0][2] is None else torch.cat([part[2].cpu() for part in parts])

    def described(i: int) -> str:
        level = "" if levels is None else f" at noise level {float(levels[i]):.3g}"
        return f"sample {int(indices[i])}{level}"

    bad = (~torch.isfinite(losses)).nonzero()[:, 0].tolist()
    if not bad:
        i = int(losses.argmax())
        return (
            f"the norm of the gradient is {float(norm):g}, though all losses are finite (the "
            f"largest, {float(losses[i]):.3g}, is that of {described(i)})"
        )
    shown = ", ".join(map(described, bad[:4])) + ", .." * (len(bad) > 4)
    return f"{len(bad)} of {len(losses)} losses are NaN or infinite ({shown})"


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
