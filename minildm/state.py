"""A training on disk: what is needed to go on as if nothing had happened.

    FOLDER/state-00000400/   model.safetensors and config.json: weights, average, optimiser, ..
    FOLDER/state-00000200/   the one before, kept until there is a newer one
    FOLDER/metrics.jsonl     one line per progress record

A checkpoint is written under another name, forced to the disk, and gets its name last: at any
moment, also one at which the power fails, the newest name belongs to a complete checkpoint.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from minildm.checkpoint import (
    CONFIG,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    sync_folder,
)
from minildm.progress import Progress, read_history, to_line, write_history

FORMAT = "minildm training state 1"
METRICS = "metrics.jsonl"
KEPT = 2  # checkpoints
HARMLESS = ("fit.log_every", "fit.save_every", "fit.device")  # may differ when a training goes on
LAST_GOOD = "last-good"


class OtherTraining(CheckpointError):
    """A good checkpoint, but of a training with other settings."""


class Keeper:
    """The folder of one training.

    ``settings``: JSON-able, nested; a training goes on only under the settings it began with.
    ``writes``: False in all processes but one.
    """

    def __init__(self, folder: str | Path, settings: Mapping, writes: bool = True) -> None:
        self.folder, self.settings, self.writes = Path(folder), _flat(settings), writes
        if writes:
            self.folder.mkdir(parents=True, exist_ok=True)

    def find(self, resume: bool | str) -> tuple[Path, dict[str, Tensor], dict] | None:
        """(place, tensors, info) of the checkpoint to go on from; None to begin.

        ``resume``: True (the newest checkpoint), "last-good" (passing over those that cannot be
        used) or False (there must be none).
        Raises ValueError if there are checkpoints and resume is False; CheckpointError, naming the
        file and the last good checkpoint, if the newest one is damaged or of another training.
        """
        if resume not in (True, False, LAST_GOOD):
            raise ValueError(f"resume must be True, False or {LAST_GOOD!r}; got {resume!r}")
        refused = {}
        for place in checkpoints(self.folder):
            if not resume:
                raise ValueError(
                    f"{self.folder} holds a training at step {_step(place)}; go on with it "
                    "(resume=True, --resume) or give another folder"
                )
            try:
                found = self._read(place)
            except (CheckpointError, FileNotFoundError) as error:
                refused[place] = error
                continue
            return self._go_on(found, refused, resume)
        if refused:
            newest, error = next(iter(refused.items()))
            if isinstance(error, OtherTraining):
                raise error
            raise CheckpointError(
                f"{error}\nThere is no other checkpoint in {self.folder}: put back a copy of "
                f"{newest.name}, or train anew in another folder"
            ) from error
        return None

    def tidy(self, step: int, refused: list[Path]) -> list[Progress]:
        """Make the folder fit a training at ``step``; returns the records up to there.

        Removes what an interrupted write has left, sets refused checkpoints aside (they are kept
        under another name), and cuts the metrics after ``step``.
        """
        history = read_history(self.folder / METRICS, step)
        if self.writes:
            for rest in self.folder.glob("state-*.part"):
                shutil.rmtree(rest)
            for place in refused:
                place.rename(_unused(place.with_name(place.name + ".refused")))
            self._drop_old()
            write_history(history, self.folder / METRICS)
        return history

    def log(self, record: Progress) -> None:
        """Append one record to the metrics."""
        if self.writes:
            with open(self.folder / METRICS, "a", encoding="utf-8") as file:
                file.write(to_line(record))
                file.flush()
                os.fsync(file.fileno())

    def save(self, step: int, tensors: Mapping[str, Tensor], info: Mapping) -> None:
        """Write the checkpoint of ``step``; then remove all but the last two."""
        if not self.writes:
            return
        place = self.folder / f"state-{step:08d}"
        part = place.with_name(place.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        about = {"format": FORMAT, "step": step, "settings": self.settings, "build": _build()}
        info = {**about, **info}
        save_checkpoint(part, tensors, {**info, "sha256_info": _digest(info)})
        part.rename(place)
        sync_folder(self.folder)
        self._drop_old()

    def _drop_old(self) -> None:
        for old in checkpoints(self.folder)[KEPT:]:
            part = old.rename(old.with_name(old.name + ".part"))  # half a checkpoint has no name
            shutil.rmtree(part)

    def _read(self, place: Path) -> tuple[Path, dict[str, Tensor], dict]:
        tensors, info = load_checkpoint(place)
        digest = info.pop("sha256_info", None)
        if digest is not None and digest != _digest(info):
            raise CheckpointError(f"{place / CONFIG} was changed after it was written")
        if digest is None or info.get("format") != FORMAT or info.get("step") != _step(place):
            raise CheckpointError(f"{place} is not a checkpoint of a training at that step")
        then, now = info["settings"], self.settings
        differ = [
            f"{name} was {then.get(name)!r} and is {now.get(name)!r} now"
            for name in sorted({*then, *now} - {*HARMLESS})
            if then.get(name) != now.get(name)
        ]
        if differ:
            raise OtherTraining(
                f"{place} is of a training with other settings: {'; '.join(differ)}. Go on with "
                "the same settings, or train in another folder"
            )
        return place, tensors, info

    def _go_on(self, found, refused: dict, resume: bool | str):
        place, tensors, info = found
        for name, error in refused.items():
            if resume is True:
                raise CheckpointError(
                    f"{error}\nThe last good checkpoint is {place} (step {_step(place)}). To go on "
                    f"from it, resume with {LAST_GOOD!r} (--resume {LAST_GOOD}): {name.name} is "
                    "then kept under another name"
                ) from error
            warnings.warn(f"passing over a checkpoint: {error}\nGoing on from {place}")
        if info["build"] != _build():
            warnings.warn(
                f"{place} was written with {info['build']}, this is {_build()}: the training goes "
                "on, but not bit for bit as it would have"
            )
        return place, tensors, {**info, "refused": list(refused)}


def checkpoints(folder: str | Path) -> list[Path]:
    """The complete checkpoints in ``folder``, the newest first."""
    return sorted(Path(folder).glob("state-" + "[0-9]" * 8), reverse=True)


def _step(place: Path) -> int:
    return int(place.name.removeprefix("state-"))


def _digest(info: Mapping) -> str:
    return hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()


def _build() -> dict:
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def _flat(settings: Mapping, prefix: str = "") -> dict:
    """{"fit": {"steps": 3}} -> {"fit.steps": 3}, with tuples as lists: what JSON gives back."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def _unused(path: Path) -> Path:
    """``path``, or the first of path-2, path-3, .. that does not exist."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
