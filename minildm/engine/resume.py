"""A training on disk: what is needed to go on as if nothing had happened.

    FOLDER/state-00000400/   model.safetensors and config.json: weights, average, optimiser, ..
    FOLDER/state-00000200/   the one before, kept until there is a newer one
    FOLDER/metrics.jsonl     one line per progress record
    FOLDER/training.lock     while a process trains here: which one

A checkpoint is written under another name, forced to the disk, and gets its name last: at any
moment, also one at which the power fails, the newest name belongs to a complete checkpoint.
"""

import itertools
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minildm.checks import inputs
from minildm.engine.devices import FolderLock
from minildm.engine.identity import change, flat
from minildm.engine.optim import restore_optimizer
from minildm.engine.records import Progress, read_history, to_line, write_history
from minildm.files.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    not_written,
    remove,
    save_checkpoint,
    sync_folder,
)

FORMAT = "minildm training state 2"
METRICS = "metrics.jsonl"
KEPT = 2  # checkpoints
FIELDS = {
    "settings": dict, "randomness": list, "logged": list, "seconds": float,
    "ema_updates": int | None, "scaler": dict | None,
}  # fmt: skip
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
        self.folder, self.settings, self.writes = Path(folder), flat(settings), writes
        if writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = FolderLock(self.folder)

    def close(self) -> None:
        """Let others train here."""
        if self.writes:
            self.lock.release()

    def begin(self, training: Any, resume: bool | str) -> list[Progress]:
        """Put ``training`` (fit.py) where it stopped; returns the records up to there.

        ``resume``: True (from the newest checkpoint, if there is one), "last-good" (passing over
        those that cannot be used), "longer" (the newest; ``fit.steps`` may be more than it was) or
        False (there must be none).
        Raises ValueError if there are checkpoints and resume is False; CheckpointError, naming the
        file and the last good checkpoint, if the newest one is damaged or of another training.
        """
        found, refused = self._find(resume)
        training.accelerator.wait_for_everyone()  # nobody tidies up while another process reads
        if found is not None:
            try:
                restore(training, *found)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise _unusable(found[0], error) from error
        return self._tidy(training.step, refused)

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

    def save(self, training: Any) -> None:
        """Write a checkpoint of ``training``; then remove all but the last two.

        Raises CheckpointError for tensors that are not finite, OSError where the disk is full.
        """
        tensors, info = state(training)  # all processes take part
        if not self.writes:
            return
        self.lock.check()
        place = self.folder / f"state-{training.step:08d}"
        part = place.with_name(place.name + ".part")
        remove(part)
        about = {"format": FORMAT, "step": training.step, "settings": self.settings}
        try:
            save_checkpoint(part, tensors, {**about, "build": _build(), **info})
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

    def _tidy(self, step: int, refused: list[Path]) -> list[Progress]:
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

    def _find(self, resume: bool | str) -> tuple[tuple | None, list[Path]]:
        """What to go on from, as ``_read`` gives it, or None; and the newer ones passed over."""
        if resume is not True and resume is not False and resume not in RESUMES:
            raise ValueError(f"resume must be True, False or one of {RESUMES}; got {resume!r}")
        if not resume:
            must_be_new(self.folder)
        found, refused = None, dict[Path, Exception]()
        for place in checkpoints(self.folder):
            try:
                found = self._read(place, longer=resume == LONGER)
                break
            except (CheckpointError, FileNotFoundError) as error:
                refused[place] = error
        for newest, reason in refused.items():
            if found is None and isinstance(reason, OtherTraining):
                raise reason
            if found is None:
                raise CheckpointError(
                    f"{reason}\nThere is no other checkpoint in {self.folder}: put back a copy of "
                    f"{newest.name}, or train anew in another folder"
                ) from reason
            if resume != LAST_GOOD:
                raise CheckpointError(
                    f"{reason}\nThe last good checkpoint is {found[0]} (step {_step(found[0])}). "
                    f"To go on from it, resume with {LAST_GOOD!r} (--resume {LAST_GOOD}): "
                    f"{newest.name} is then kept under another name"
                ) from reason
            warnings.warn(f"passing over a checkpoint: {reason}\nGoing on from {found[0]}")
        return found, list(refused)

    def _read(self, place: Path, longer: bool) -> tuple[Path, dict[str, Tensor], dict]:
        """(place, tensors, info) of a good checkpoint of this very training."""
        tensors, info = load_checkpoint(place)
        form = info.get("format")
        if form != FORMAT and str(form).startswith(FORMAT[:-1]):
            raise CheckpointError(
                f"{place} was written by another version of this package ({form}, not {FORMAT}); "
                "finish it with that version, or train anew in another folder"
            )
        if form != FORMAT or info.get("step") != _step(place):
            raise CheckpointError(f"{place} is not a checkpoint of a training at that step")
        _check_fields(place, info)
        reasons = []
        if info.get("build") != _build():
            reasons.append(f"{place} was written with {info.get('build')}, this is {_build()}")
        if not self._compare(place, info["settings"], longer):
            reasons.append(f"the data of {place} differs in its last digits")
        if reasons:
            warnings.warn(
                f"{'; '.join(reasons)}: the training goes on, but not bit for bit as it would have"
            )
        return place, tensors, info

    def _compare(self, place: Path, then: dict, longer: bool) -> bool:
        """Whether all data is the same to the last digit; OtherTraining if it is not the same
        training."""
        now, steps = self.settings, then.get("fit.steps")
        fewer = type(steps) is int and steps < now["fit.steps"]
        if longer and fewer:
            then = {**then, "fit.steps": now["fit.steps"]}
        names = sorted({*then, *now} - {*HARMLESS})
        changes = {name: change(then.get(name), now.get(name)) for name in names}
        differ = [f"{name} {said}" for name, said in changes.items() if said]
        if differ:
            hint = ""
            if fewer and not longer:
                hint = f"; to train longer on purpose, resume with {LONGER!r} (--resume {LONGER})"
            raise OtherTraining(
                f"{place} is of a training with other settings: {'; '.join(differ)}. Go on with "
                f"the same settings, or train in another folder{hint}"
            )
        return all(then.get(name) == now.get(name) for name in names)


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


def _step(place: Path) -> int:
    return int(place.name.removeprefix("state-"))


def _build() -> dict:
    cpu = torch.backends.cpu.get_cpu_capability()  # another one rounds differently
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpu": cpu}


def _unused(path: Path) -> Path:
    """``path``, or the first of path-2, path-3, .. that does not exist."""
    names = itertools.chain([path.name], (f"{path.name}-{i}" for i in itertools.count(2)))
    return next(other for other in map(path.with_name, names) if not other.exists())


def _unusable(place: Path, error: Exception) -> CheckpointError:
    """What is raised where a checkpoint's digest is right, but its contents are not."""
    return CheckpointError(
        f"{place} cannot be gone on from: {error}. Put the original back, or train anew in another "
        "folder"
    )


def _check_fields(place: Path, info: Mapping) -> None:
    """Raise CheckpointError, naming the field, for what no training has written."""
    try:
        for name, kinds in FIELDS.items():
            if not isinstance(info.get(name, ...), kinds):
                raise ValueError(f"{name} is {info.get(name, 'missing')!r}")
        step, seconds = (*info["logged"], None, None)[:2]
        inputs.whole("the step of logged", step, 0, info["step"])
        inputs.real("the seconds of logged", seconds, 0)
        inputs.real("seconds", info["seconds"], 0)
        if info["settings"].get("averaged"):
            inputs.whole("ema_updates", info["ema_updates"], 0)
    except ValueError as error:
        raise _unusable(place, error) from error


# --- the state of a training ----------------------------------------------------------------------


def state(training: Any) -> tuple[dict[str, Tensor], dict]:
    """(tensors, JSON-able rest): all that the next steps of a training (fit.py) depend on."""
    ema, scaler = training.ema, training.accelerator.scaler
    tensors = {f"net.{name}": value for name, value in training.net.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema.{name}": value for name, value in ema.net.state_dict().items()}
    for i, values in training.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": torch.as_tensor(v) for name, v in values.items()}
    tensors |= {f"log.{name}": value for name, value in training.gathered_log().items()}
    return tensors, {
        "seconds": training.seconds,
        "logged": training.logged,
        "ema_updates": None if ema is None else ema.updates,
        "scaler": None if scaler is None else scaler.state_dict(),
        "randomness": training.gathered([training.randomness.state()]),
    }


def restore(training: Any, place: Path, tensors: Mapping[str, Tensor], info: Mapping) -> None:
    """Put a training where ``state`` found it; ``place``: what to name in an error."""
    load_weights(training.net, _under("net.", tensors), place)
    if training.ema is not None:
        load_weights(training.ema.net, _under("ema.", tensors), place)
        training.ema.updates = info["ema_updates"]
    restore_optimizer(training.optimizer, _under("optimizer.", tensors))
    training.randomness.continue_from(info["randomness"][training.rank])
    if info["scaler"] is not None:
        training.accelerator.scaler.load_state_dict(info["scaler"])
    training.step, training.seconds = info["step"], info["seconds"]
    training.logged = info["logged"]
    if training.accelerator.is_main_process:  # it holds what all processes have noted
        for name, values in _under("log.", tensors).items():
            getattr(training.log, name).append(values)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
