"""Accelerate (device, mixed precision, several processes), made usable more than once.

Accelerate keeps its settings once per Python process and refuses others, or silently keeps the
first device. A notebook that trains in bf16 after it trained in float32 would have to be restarted.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

_running = 0  # trainings between their first and last step
_settings_are_ours = False


@contextmanager
def accelerated(precision: str, device: str) -> Iterator[Accelerator]:
    """An Accelerator for one training, with FitConfig's ``precision`` and ``device``.

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


def unprepare(net: nn.Module) -> None:
    """Take off what ``Accelerator.prepare`` left on ``net``, so that it can be trained again."""
    for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
        net.__dict__.pop(name, None)


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


def surroundings() -> dict:
    """Processor, torch, threads, and the load average (1, 5, 15 minutes) where there is one."""
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "load_average": load,
    }
