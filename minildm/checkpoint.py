"""Weights on disk: a folder with ``model.safetensors`` and ``config.json``, never a pickle.

``config.json`` holds the SHA-256 of the weights, so that a damaged or mixed-up file is noticed.
Both files are written beside their place and then moved there: a crash leaves the old ones.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message names the file and what to do."""


def save_checkpoint(folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping) -> None:
    """Write tensors and a JSON-able config to ``folder`` (created if need be)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    text = json.dumps({**config, "sha256": hashlib.sha256(data).hexdigest()}, indent=2)
    _replace(folder / WEIGHTS, data)
    _replace(folder / CONFIG, (text + "\n").encode())


def load_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict]:
    """(tensors, config) from ``folder``.

    Raises FileNotFoundError for a missing file, CheckpointError for a damaged one.
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


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    os.replace(beside, path)
