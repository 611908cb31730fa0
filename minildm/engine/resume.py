"""A training on disk: what is needed to go on as if nothing had happened.

    FOLDER/state-00000400/   model.safetensors and config.json: weights, average, optimiser, ..
    FOLDER/state-00000200/   the one before, kept until there is a newer one
    FOLDER/metrics.jsonl     one line per progress record
    FOLDER/training.lock     while a process trains here: which one (lock.py)

A checkpoint is written under another name, forced to the disk, and gets its name last: at any
moment, also one at which the power fails, the newest name belongs to a complete checkpoint.
"""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from minildm.checks import inputs
from minildm.engine.lock import FolderLock
from minildm.engine.records import Progress, read_history, to_line, write_history
from minildm.engine.training_data import other_data
from minildm.files.checkpoint import (
    CONFIG,
    CheckpointError,
    load_checkpoint,
    not_written,
    remove,
    save_checkpoint,
    sync_folder,
)

FORMAT = "minildm training state 2"
METRICS = "metrics.jsonl"
KEPT = 2  # checkpoints
HARMLESS = ("fit.log_every", "fit.save_every", "fit.device")  # may differ when a training goes on
LAST_GOOD, LONGER = RESUMES = ("last-good", "longer")  # ways to go on, beside plain True


class OtherTraining(CheckpointError):
    """A good checkpoint, but of a training with other settings."""


class Keeper:
    """The folder of one training, locked against other processes until ``close``.

    ``settings``: JSON-able, nested; a training goes on only under the settings it began with.
    ``writes``: False in all processes but one.
    Raises ValueError, naming it, if another process trains in the folder.
    """

    def __init__(self, folder: str | Path, settings: Mapping, writes: bool = True) -> None:
        self.folder, self.settings, self.writes = Path(folder), _flat(settings), writes
        self.lock = None
        if writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = FolderLock(self.folder)

    def close(self) -> None:
        """Let others train here."""
        if self.lock is not None:
            self.lock.release()

    def find(self, resume: bool | str) -> tuple[Path, dict[str, Tensor], dict] | None:
        """(place, tensors, info) of the checkpoint to go on from; None to begin.

        ``resume``: True (the newest checkpoint), "last-good" (passing over those that cannot be
        used), "longer" (the newest; ``fit.steps`` may be more than it was) or False (there must be
        none).
        Raises ValueError if there are checkpoints and resume is False; CheckpointError, naming the
        file and the last good checkpoint, if the newest one is damaged or of another training.
        """
        if resume is not True and resume is not False and resume not in RESUMES:
            raise ValueError(f"resume must be True, False or one of {RESUMES}; got {resume!r}")
        if not resume:
            must_be_new(self.folder)
        refused = {}
        for place in checkpoints(self.folder):
            try:
                found = self._read(place, longer=resume == LONGER)
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
        metrics = self.folder / METRICS
        history = read_history(metrics, step) if os.path.lexists(metrics) else []
        if self.writes:
            for rest in self.folder.glob("*.part"):
                remove(rest)
            for place in refused:
                place.rename(_unused(place.with_name(place.name + ".refused")))
            self._drop_old()
            write_history(history, metrics)
        return history

    def log(self, record: Progress) -> None:
        """Append one record to the metrics."""
        if self.writes:
            self.lock.check()
            try:
                with open(self.folder / METRICS, "a", encoding="utf-8") as file:
                    file.write(to_line(record))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise not_written(error, self.folder / METRICS) from error

    def save(self, step: int, tensors: Mapping[str, Tensor], info: Mapping) -> None:
        """Write the checkpoint of ``step``; then remove all but the last two.

        Raises CheckpointError for tensors that are not finite, OSError where the disk is full.
        """
        if not self.writes:
            return
        self.lock.check()
        place = self.folder / f"state-{step:08d}"
        part = place.with_name(place.name + ".part")
        remove(part)
        about = {"format": FORMAT, "step": step, "settings": self.settings, "build": _build()}
        info = {**about, **info}
        try:
            save_checkpoint(part, tensors, {**info, "sha256_info": _digest(info)})
        except BaseException:
            remove(part)
            raise
        part.rename(place)
        sync_folder(self.folder)
        self._drop_old()

    def _drop_old(self) -> None:
        for old in checkpoints(self.folder)[KEPT:]:
            part = old.with_name(old.name + ".part")  # half a checkpoint has no name
            remove(part)
            remove(old.rename(part))

    def _read(self, place: Path, longer: bool) -> tuple[Path, dict[str, Tensor], dict]:
        tensors, info = load_checkpoint(place)
        digest, form = info.pop("sha256_info", None), info.get("format")
        if digest is not None and digest != _digest(info):
            raise CheckpointError(f"{place / CONFIG} was changed after it was written")
        if digest is not None and form != FORMAT and str(form).startswith(FORMAT[:-1]):
            raise CheckpointError(
                f"{place} was written by another version of this package ({form}, not {FORMAT}); "
                "finish it with that version, or train anew in another folder"
            )
        if digest is None or form != FORMAT or info.get("step") != _step(place):
            raise CheckpointError(f"{place} is not a checkpoint of a training at that step")
        _check_fields(place, info)
        return place, tensors, {**info, **self._compared(place, info["settings"], longer)}

    def _compared(self, place: Path, then: dict, longer: bool) -> dict:
        """{"exact": whether all data is the same to the last digit}; OtherTraining if it is not
        the same training."""
        now = self.settings
        if longer and _number(then.get("fit.steps")) <= now["fit.steps"]:
            then = {**then, "fit.steps": now["fit.steps"]}
        names = sorted({*then, *now} - {*HARMLESS})
        differ = [
            f"{name} {_change(then.get(name), now.get(name))}"
            for name in names
            if other_data(then.get(name), now.get(name))
        ]
        if differ:
            raise OtherTraining(
                f"{place} is of a training with other settings: {'; '.join(differ)}. Go on with "
                "the same settings, or train in another folder" + _hint(then, now)
            )
        return {"exact": all(then.get(name) == now.get(name) for name in names)}

    def _go_on(self, found, refused: dict, resume: bool | str):
        place, tensors, info = found
        for name, error in refused.items():
            if resume != LAST_GOOD:
                raise CheckpointError(
                    f"{error}\nThe last good checkpoint is {place} (step {_step(place)}). To go on "
                    f"from it, resume with {LAST_GOOD!r} (--resume {LAST_GOOD}): {name.name} is "
                    "then kept under another name"
                ) from error
            warnings.warn(f"passing over a checkpoint: {error}\nGoing on from {place}")
        reasons = []
        if info.get("build") != _build():
            reasons.append(f"{place} was written with {info.get('build')}, this is {_build()}")
        if not info["exact"]:
            reasons.append(f"the data of {place} differs in its last digits")
        if reasons:
            warnings.warn(
                f"{'; '.join(reasons)}: the training goes on, but not bit for bit as it would have"
            )
        return place, tensors, {**info, "refused": list(refused)}


def must_be_new(folder: str | Path) -> None:
    """Raise ValueError if ``folder`` holds a training already."""
    for place in checkpoints(folder):
        raise ValueError(
            f"{folder} holds a training at step {_step(place)}; go on with it (resume=True, "
            "--resume) or give another folder"
        )


def checkpoints(folder: str | Path) -> list[Path]:
    """The complete checkpoints in ``folder``, the newest first."""
    return sorted(Path(folder).glob("state-" + "[0-9]" * 8), reverse=True)


def unusable(place: Path, error: Exception) -> CheckpointError:
    """What is raised where a checkpoint's digest is right, but its contents are not."""
    return CheckpointError(
        f"{place} cannot be gone on from: {error}. Put the original back, or train anew in another "
        "folder"
    )


def _check_fields(place: Path, info: Mapping) -> None:
    """Raise CheckpointError, naming the field, for what no training has written."""
    try:
        for name, kind in (("settings", dict), ("randomness", list), ("logged", list)):
            if not isinstance(info.get(name), kind):
                raise ValueError(f"{name} must be a {kind.__name__}; got {info.get(name)!r}")
        if len(info["logged"]) != 2:
            raise ValueError(f"logged must be a step and its seconds; got {info['logged']!r}")
        step, seconds = info["logged"]
        inputs.whole("the step of logged", step, 0, info["step"])
        inputs.real("the seconds of logged", seconds, 0)
        inputs.real("seconds", info.get("seconds"), 0)
        if info["settings"].get("averaged"):
            inputs.whole("ema_updates", info.get("ema_updates"), 0)
        if not isinstance(info.get("scaler", 0), dict | None):
            raise ValueError(f"scaler must be a dict or null; got {info.get('scaler')!r}")
    except ValueError as error:
        raise unusable(place, error) from error


def _step(place: Path) -> int:
    return int(place.name.removeprefix("state-"))


def _digest(info: Mapping) -> str:
    return hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()


def _build() -> dict:
    cpu = torch.backends.cpu.get_cpu_capability()  # another one rounds differently
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpu": cpu}


def _number(value: object) -> float:
    return value if type(value) in (int, float) else math.inf


def _change(then: object, now: object) -> str:
    """A difference in words; of data, what can be said about it."""
    fingerprints = [value for value in (then, now) if isinstance(value, Mapping)]
    if not fingerprints:
        return f"was {then!r} and is {now!r} now"
    if len(fingerprints) == 1:
        return "was not there and is now" if then is None else "was there and is not now"
    for name in ("n", "shape"):
        if then.get(name) != now.get(name):
            return f"holds other data ({name} was {then.get(name)} and is {now.get(name)} now)"
    return "holds other data, of the same shape"


def _hint(then: Mapping, now: Mapping) -> str:
    if _number(then.get("fit.steps")) < now.get("fit.steps", 0):
        return f"; to train longer on purpose, resume with {LONGER!r} (--resume {LONGER})"
    return ""


def _flat(settings: Mapping, prefix: str = "") -> dict:
    """{"fit": {"steps": 3}} -> {"fit.steps": 3}, with tuples as lists: what JSON gives back."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and "sha256" not in value:  # else: a fingerprint of data
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
