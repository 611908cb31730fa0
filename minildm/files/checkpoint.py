"""Weights on disk: a folder with ``model.safetensors`` and ``config.json``, never a pickle.

``config.json`` holds the SHA-256 of the weights and its own, so that a damaged, edited or mixed-up
file is noticed. Both files are written beside their place, forced to the disk and then moved there.
After a crash between the two moves the new config is still beside its place, and is found there: at
any moment the folder holds the old pair or the new one. Numbers that are NaN or infinite are
neither written nor read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)

WEIGHTS, CONFIG, FIGURES = "model.safetensors", "config.json", "metrics.json"
AGAIN = "fetch or save both files again"
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save, pickle


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message names the file and what to do."""


def save_checkpoint(folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping) -> None:
    """Write tensors and a JSON-able config to ``folder`` (created if need be).

    Raises CheckpointError for tensors that are not finite, ValueError for a config that JSON cannot
    hold, and OSError where the disk is full; then what was in the folder is still there.
    """
    folder = Path(folder)
    check_finite(tensors, folder)
    try:
        config = json.loads(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} cannot hold this config: {error}") from None
    data = save({name: _plain(tensor) for name, tensor in tensors.items()})
    digests = {"sha256": hashlib.sha256(data).hexdigest(), "sha256_config": _digest(config)}
    text = json.dumps({**config, **digests}, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _beside(CONFIG)).is_file() and (folder / WEIGHTS).is_file():
        place, _ = _find_config(folder, (folder / WEIGHTS).read_bytes())
        os.replace(place, folder / CONFIG)  # what an earlier crash has left to be done
    replace_files(folder, {WEIGHTS: data, CONFIG: text.encode()})


def load_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict]:
    """(tensors, config) from ``folder``; a config of before it had its own digest is read as well.

    Raises FileNotFoundError for a missing file, and CheckpointError for a damaged or edited one,
    for a pickle, and for weights that are NaN or infinite.
    """
    folder = Path(folder)
    for name, other in ((CONFIG, _beside(CONFIG)), (WEIGHTS, WEIGHTS)):
        if not (folder / name).is_file() and not (folder / other).is_file():
            raise FileNotFoundError(f"{folder / name} is missing; give a folder written by save()")
    data = (folder / WEIGHTS).read_bytes()
    place, config = _find_config(folder, data)
    if data.startswith(PICKLES):
        raise CheckpointError(
            f"{folder / WEIGHTS} is a pickle (torch.save writes one); it is never read, because "
            "reading a pickle can run any code: fetch or save the checkpoint as safetensors"
        )
    if hashlib.sha256(data).hexdigest() != config.pop("sha256"):
        said = f"does not belong to its {CONFIG} (other SHA-256): it is damaged or from another run"
        raise CheckpointError(f"{folder / WEIGHTS} {said}; {AGAIN}")
    digest = config.pop("sha256_config", None)
    if digest is not None and digest != _digest(config):
        said = "was changed after it was written (other SHA-256): put the original back, or"
        raise CheckpointError(f"{place} {said} {AGAIN}")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    check_finite(tensors, folder / WEIGHTS)
    return tensors, config


def check_finite(tensors: Mapping[str, Tensor], where: str | Path) -> None:
    """Raise CheckpointError, naming the tensor, if an entry of one is NaN or infinite.

    ``where``: the file or folder that they come from or are meant for.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        wide = tensor.float() if tensor.dtype.itemsize == 1 else tensor  # torch has no isfinite
        bad = int((~torch.isfinite(wide)).sum())
        if bad:
            raise CheckpointError(
                f"{where}: {name} has {bad} entries (of {tensor.numel()}) that are NaN or "
                "infinite; go back to a checkpoint from before, and use a smaller learning rate, "
                "or a wider dtype if the numbers were rounded"
            )


def _find_config(folder: Path, data: bytes) -> tuple[Path, dict]:
    """(its place, the config with its digests) of the weights ``data``.

    That is config.json, or what lies beside it if only that belongs to the weights.
    """
    usual, beside = folder / CONFIG, folder / _beside(CONFIG)
    if beside.is_file():
        digest = hashlib.sha256(data).hexdigest()
        for place in filter(Path.is_file, (usual, beside)):
            try:
                config = _read_config(place)
            except CheckpointError:
                continue
            if config["sha256"] == digest:
                return place, config
    if not usual.is_file():
        raise FileNotFoundError(f"{usual} is missing; give a folder written by save()")
    return usual, _read_config(usual)


def _read_config(place: Path) -> dict:
    try:
        config = json.loads(place.read_text(encoding="utf-8"))
        if isinstance(config["sha256"], str):
            return dict(config)
        raise TypeError("its sha256 is no text")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        said = f"is not a checkpoint's config ({error!r})"
        raise CheckpointError(f"{place} {said}; {AGAIN}") from error


def _digest(config: Mapping) -> str:
    """SHA-256 of a config without its digests, whatever the order and layout of its file."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def load_weights(net: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Put tensors into ``net``; CheckpointError where names, shapes or kinds of number differ."""
    for name, own in net.state_dict().items():
        given = tensors.get(name)
        if given is not None and given.is_floating_point() != own.is_floating_point():
            raise CheckpointError(f"{source}: {name} is {given.dtype}, and must be {own.dtype}")
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: the weights do not fit the config: {error}") from error


def build_for(
    make: Callable[[], N], tensors: Mapping[str, Tensor], source: str | Path
) -> N:
    """``make()``, after it was made without memory to see whether ``tensors`` fit into it.

    Raises CheckpointError if names or shapes differ, or if it cannot be made: a wrong size in a
    config costs neither gigabytes nor minutes.
    """
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in make().state_dict().items()}
    except (ValueError, TypeError, RuntimeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"{source}: its config describes no network ({error})") from error
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted({*wanted, *given}):
        if wanted.get(name) != given.get(name):
            raise CheckpointError(
                f"{source}: the weights do not fit the config: {name} is {given.get(name)}, and "
                f"must be {wanted.get(name)}"
            )
    return make()


def write_figures(metrics: Mapping, folder: str | Path) -> None:
    """Write ``metrics.json``: what was measured of the checkpoint in ``folder``."""
    replace_files(Path(folder), {FIGURES: (json.dumps(metrics, indent=2) + "\n").encode()})


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of ``folder``: all beside their place and on the disk first, then moved there.

    Raises OSError, naming the file, if that fails; the files that were there are then unchanged.
    """
    try:
        for name, data in files.items():
            remove(folder / _beside(name))  # a rest of an earlier write, or a link to somewhere
            with open(folder / _beside(name), "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    except BaseException as error:
        for rest in files:
            remove(folder / _beside(rest))
        if isinstance(error, OSError):
            raise not_written(error, folder / name) from error
        raise
    for name in files:
        os.replace(folder / _beside(name), folder / name)
    sync_folder(folder)


def not_written(error: OSError, path: Path) -> OSError:
    """The same error, saying which file could not be written, and that the old one is there."""
    reason = error.strerror or type(error).__name__
    return OSError(error.errno, f"{reason} (what was there before is unchanged)", str(path))


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder with all its contents, if there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _beside(name: str) -> str:
    """The name that a file has until it is complete."""
    return f"{name}.part"


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
