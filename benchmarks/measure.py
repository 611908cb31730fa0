"""What the cases share: options, rounds, operations, the machine, and a line of the table."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch

PACKAGES = ("torch", "numpy", "diffusers", "denoising-diffusion-pytorch", "smalldiffusion")
SIDE, PRODUCTS = 1024, 4  # of the matrices whose product is the peak; products in a row
PRODUCT_FLOPS = PRODUCTS * 2 * SIDE**3


@dataclass(frozen=True)
class Options:
    """How large, and how often. The tests run every case at a tiny size.

    repeats   rounds; in each of them all that is compared runs once
    warmup    rounds before these, which do not count
    threads   of PyTorch, here and in the processes that are started
    batch     latents of a training step and of sampling
    steps     evaluations of a walk from noise to data
    sizes     sides of pictures, in pixels
    browser   open Chromium, where there is one
    chapters  run every chapter anew, instead of reading what its last build took
    tests     run `make test`, instead of reading what its files took when that was last noted
    """

    repeats: int = 15
    warmup: int = 2
    threads: int = 2
    batch: int = 64
    steps: int = 25
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256)
    browser: bool = True
    chapters: bool = False
    tests: bool = False


class Row(NamedTuple):
    """A line of the table: ``what`` was measured, in which ``unit``, once in each round.

    ``rival``: the same rounds of what it is compared with, ``against``; the table's ratio is
    rival / ours, so more than 1 means that ours needs less. Empty where nothing is compared.
    """

    what: str
    unit: str
    ours: Sequence[float]
    rival: Sequence[float] = ()
    against: str = ""


def interleaved(
    calls: Mapping[str, Callable[[], object]], options: Options,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:  # fmt: skip
    """Seconds of each call, once in every round.

    One after another in each round, so that whatever else the machine does meets all of them
    alike; every other round in reverse order, so that none always follows the same one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(-options.warmup, options.repeats):
        for name in list(calls)[:: -1 if round_ % 2 else 1]:
            start = clock()
            calls[name]()
            taken = clock() - start
            if round_ >= 0:
                seconds[name].append(round(taken, 8))
    return seconds


def scaled(seconds: Sequence[float], factor: float) -> list[float]:
    """The figures in another unit."""
    return [factor * each for each in seconds]


def product() -> Callable[[], object]:
    """Products of two 1024 x 1024 matrices in float32, 2 · 1024³ operations each: about all that
    the processor can do at these threads.
    """
    a, b = torch.randn(2, SIDE, SIDE)
    return lambda: [a @ b for _ in range(PRODUCTS)]


def gflops_of_product() -> float:
    """The most of five products, in 10⁹ operations per second: how fast the machine is now."""
    rounds = Options(repeats=5, warmup=1)
    return round(PRODUCT_FLOPS / min(interleaved({"": product()}, rounds)[""]) / 1e9, 1)


def load() -> float | None:
    """The load average of the last minute: how many processes wanted a core. None on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def machine() -> dict:
    """Processor, cores, threads, system and versions: what a figure belongs to."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "wait policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := installed(name))},
    }


def installed(package: str) -> str:
    """The version of a package; "" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
