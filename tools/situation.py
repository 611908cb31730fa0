"""What there is on this machine: the facts that environment_check.py judges.

Only the standard library is imported at the top, nothing is newer than Python 3.8, and every look
survives what it does not find.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
CHECKPOINTS = ("digit_classifier", "digits", "pixels", "shape_reader", "shapes")
MODELS = Path("data") / "checkpoints"
SUMS = "SHA256SUMS"  # of every file of the book's models, as `sha256sum` writes them
OTHER = "not the book's own"
GROUP = Path("/sys/fs/cgroup")  # limits of a container, on Linux


@dataclass(frozen=True)
class Situation:
    """The facts. Versions are strings, None: not installed; sizes in GB, None: unknown.

    needed, tested   package -> least version ("2.6"), and the version that was tested
    exact            package -> version of the extra packages of chapter 7
    cuda             name of the device; ``driver``: NVIDIA's is there, usable or not
    broken           what PyTorch says if it is there and does not start; "": nothing
    checkpoints      name -> "" if it is the book's own, else what is wrong: missing, damaged, OTHER
    results          the same for data/results.json
    alone            the package is here, the rest of the repository is not
    venv             how to call the Python of the book's own environment, if this is another one
    load             processes that were busy in the last minute; None: unknown
    """

    python: tuple[int, ...]
    needed: Mapping[str, str] = field(default_factory=dict)
    installed: Mapping[str, str | None] = field(default_factory=dict)
    tested: Mapping[str, str] = field(default_factory=dict)
    exact: Mapping[str, str] = field(default_factory=dict)
    cuda: str | None = None
    mps: bool = False
    driver: bool = False
    cores: int = 1
    threads: int | None = None
    broken: str = ""
    memory: float | None = None
    disk: float | None = None
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    results: str = ""
    alone: bool = False
    venv: str = ""
    load: float | None = None


def look() -> Situation:
    """The situation here and now."""
    needed, exact = requirements()
    names = (*needed, *exact, "jupyterlab_widgets")
    cuda, mps, threads, broken = _torch()
    return Situation(
        python=tuple(sys.version_info[:3]),
        needed=needed,
        installed={name: _version(name) for name in names},
        tested=pins(BOOK / "constraints.txt"),
        exact=exact,
        cuda=cuda,
        mps=mps,
        driver=shutil.which("nvidia-smi") is not None,
        cores=_cores(),
        threads=threads,
        broken=broken,
        memory=_memory(),
        disk=shutil.disk_usage(BOOK).free / 1e9,
        checkpoints={name: _checkpoint(name) for name in CHECKPOINTS},
        results=_results(),
        alone=not models_folder().is_dir(),
        venv=venv_python(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def release(version: str) -> tuple[int, ...]:
    """(2, 13) of "2.13.0", "2.13.0+cpu" and "2.13rc1": what follows the numbers does not count."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match.group(0).split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def requirements() -> tuple[dict[str, str], dict[str, str]]:
    """(package -> least version, package -> exact version of the extra "compare")."""
    try:
        lines = importlib.metadata.requires("minildm") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    needed, exact = {}, {}
    for line in lines:
        match = re.match(r"([\w.-]+)\s*(?:>=|==)\s*([\w.]+)[^;]*(;.*)?$", line)
        if match and not match[3]:
            needed[match[1]] = match[2]
        elif match and "compare" in match[3]:
            exact[match[1]] = match[2]
    return needed, exact


def pins(path: Path) -> dict[str, str]:
    """Package, in lower case -> version, of a file like constraints.txt; empty without the file."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {name.strip().lower(): version.strip() for name, version in pairs}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> tuple[str | None, bool, int | None, str]:
    """(name of the CUDA device, whether there is MPS, threads, why it does not start)."""
    try:
        import torch
    except ModuleNotFoundError as error:  # torch, or something that it needs
        return None, False, None, "" if error.name == "torch" else str(error)
    except (ImportError, OSError) as error:  # OSError: a DLL, on Windows
        return None, False, None, str(error)
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return cuda, torch.backends.mps.is_available(), torch.get_num_threads(), ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # those that this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    """GB that can still be used: of the machine, or of the container if that allows less."""
    try:
        import psutil
    except ImportError:
        return None
    return min(psutil.virtual_memory().available, group_memory()) / 1e9


def group_memory(folder: Path = GROUP) -> float:
    """Bytes that a container's limit leaves; infinite where there is no container or no limit.

    Files that the system only keeps at hand (inactive_file) count as free: they give way.
    """
    try:
        limit, used, stat = (
            (folder / f"memory.{name}").read_text() for name in ("max", "current", "stat")
        )
        kept = re.search(r"^inactive_file (\d+)$", stat, re.MULTILINE)
        return int(limit) - int(used) + (int(kept[1]) if kept else 0)
    except (OSError, ValueError):  # no such file; or the limit is called "max": there is none
        return math.inf


def venv_python(book: Path | None = None) -> str:
    """How to call the Python of the book's own environment; "" without one, or if this is it."""
    venv = (BOOK if book is None else book) / ".venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file() or os.path.realpath(sys.prefix) == os.path.realpath(venv):
        return ""
    here = os.path.relpath(python)
    return str(python) if here.startswith("..") else here


def models_folder() -> Path:
    """Where the book's models are: in $MINILDM_DATA if that is set (places.py), or in the clone."""
    return Path(os.environ.get("MINILDM_DATA") or BOOK / MODELS)


def sums() -> dict[str, str]:
    """File of the book's models, such as "digits/config.json" -> its SHA-256; {} without a list."""
    path = models_folder() / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, name in (line.split() for line in lines if line.strip())}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return _sha(path.read_bytes())


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checkpoint(name: str) -> str:
    """What is wrong with a model of the book. The list of sums says what it should be."""
    folder = models_folder() / name
    known = {file: sha for file, sha in sums().items() if file.startswith(name + "/")}
    if not all((folder / file).is_file() for file in ("config.json", "model.safetensors")):
        return "missing"
    here = {file: models_folder() / file for file in known}
    if known and all(path.is_file() and digest(path) == known[f] for f, path in here.items()):
        return ""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights, own = config.pop("sha256"), config.pop("sha256_config")
        text = json.dumps(config, sort_keys=True).encode()  # as checkpoint.py makes its digest
        whole = (weights, own) == (digest(folder / "model.safetensors"), _sha(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    return OTHER if whole else "damaged"


def _results() -> str:
    path = models_folder().parent / "results.json"
    try:
        return "" if isinstance(json.loads(path.read_text(encoding="utf-8")), dict) else "damaged"
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError):
        return "damaged"
