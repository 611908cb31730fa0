"""Weights on disk: a folder with ``model.safetensors`` and ``config.json``, never a pickle.

``config.json`` holds the SHA-256 of the weights, so that a damaged or mixed-up file is noticed.
Both files are written beside their place, forced to the disk and then moved there; a crash between
the two moves is noticed when they are read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

WEIGHTS, CONFIG, FIGURES = "model.safetensors", "config.json", "metrics.json"
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save, pickle


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message names the file and what to do."""


def save_checkpoint(folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping) -> None:
    """Write tensors and a JSON-able config to ``folder`` (created if need be)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save({name: _plain(tensor) for name, tensor in tensors.items()})
    text = json.dumps({**config, "sha256": hashlib.sha256(data).hexdigest()}, indent=2)
    replace_files(folder, {WEIGHTS: data, CONFIG: (text + "\n").encode()})


def load_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict]:
    """(tensors, config) from ``folder``.

    Raises FileNotFoundError for a missing file, CheckpointError for a damaged one and for a pickle.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing; give a folder written by save()")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        expected = config.pop("sha256")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG} is not a checkpoint's config ({error!r}); fetch or save it again"
        ) from error
    data = (folder / WEIGHTS).read_bytes()
    if data.startswith(PICKLES):
        raise CheckpointError(
            f"{folder / WEIGHTS} is a pickle (torch.save writes one); it is never read, because "
            "reading a pickle can run any code: fetch or save the checkpoint as safetensors"
        )
    if hashlib.sha256(data).hexdigest() != expected:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not belong to its {CONFIG} (other SHA-256): it is damaged or "
            "from another run; fetch or save both files again"
        )
    try:
        return load(data), config
    except SafetensorError as error:
        raise CheckpointError(f"{folder / WEIGHTS} cannot be read: {error}") from error


def load_weights(net: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Put tensors into ``net``; CheckpointError where names or shapes do not fit."""
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: the weights do not fit the config: {error}") from error


def save_network(net: nn.Module, config: Any, metrics: Mapping, folder: str | Path) -> None:
    """Write a network of one class: weights, its dataclass ``config``, and measured figures."""
    save_checkpoint(folder, net.state_dict(), {"model": type(net).__name__, **asdict(config)})
    write_figures(metrics, folder)


def load_network(kind: type[nn.Module], folder: str | Path) -> nn.Module:
    """``kind(width)`` as ``save_network`` wrote it, in evaluation mode.

    Raises FileNotFoundError if it is missing, CheckpointError if it is damaged or something else.
    """
    tensors, config = load_checkpoint(folder)
    if config.get("model") != kind.__name__ or not isinstance(config.get("width"), int):
        raise CheckpointError(f"{folder} does not hold a {kind.__name__}; give another folder")
    net = kind(config["width"])
    load_weights(net, tensors, folder)
    return net.eval()


def write_figures(metrics: Mapping, folder: str | Path) -> None:
    """Write ``metrics.json``: what was measured of the checkpoint in ``folder``."""
    replace_files(Path(folder), {FIGURES: (json.dumps(metrics, indent=2) + "\n").encode()})


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of ``folder``: all beside their place and on the disk first, then moved there."""
    for name, data in files.items():
        with open(folder / f"{name}.part", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for name in files:
        os.replace(folder / f"{name}.part", folder / name)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to the disk, where the system can do that (not Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU: safetensors takes no tensors that share memory, such as tied weights."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
