"""What a training says about itself: records, their file, the bar."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from minildm.checks import inputs
from minildm.engine.devices import is_main_process, postponed, processes, surroundings
from minildm.files.checkpoint import CheckpointError, replace_files, write_figures

LEVELS = 10  # the loss is logged for each tenth of the time range


class Progress(NamedTuple):
    """Means over the steps since the last record.

    ``by_level[i]`` is the loss for times in the i-th tenth of (0, T]; NaN where none was drawn,
    empty for a loss that knows no time. ``grad_norm``: before clipping. ``seconds``: of the whole
    training up to here, resumed parts included, without what the caller does between the steps.
    """

    step: int
    loss: float
    lr: float
    by_level: tuple[float, ...] = ()
    grad_norm: float = math.nan
    seconds: float = math.nan
    samples_per_second: float = math.nan


class Log:
    """The steps since the last record: losses (k,), their levels (k,) or none, gradient norms."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.levels: list[Tensor] = []
        self.norms: list[Tensor] = []

    def add(self, losses: Tensor, level: Tensor | None) -> None:
        """Note one (micro-)batch."""
        self.losses.append(losses.detach().float())
        if level is not None:
            self.levels.append(level.detach())

    def tensors(self) -> dict[str, Tensor]:
        """Everything noted, on the CPU; a kind without entries is left out."""
        return {k: torch.cat([p.cpu() for p in parts]) for k, parts in vars(self).items() if parts}


def summary(log: dict[str, Tensor], step: int, lr: float, seconds: float, rate: float) -> Progress:
    """The record of what a ``Log`` noted."""
    losses, norms = log["losses"], log.get("norms")  # none: fp16 has skipped all these steps
    by_level: tuple[float, ...] = ()
    if "levels" in log:
        place = ((log["levels"] * LEVELS).ceil().long() - 1).clamp(0, LEVELS - 1)
        by_level = tuple(float(losses[place == i].mean()) for i in range(LEVELS))
    norm = math.nan if norms is None else float(norms.mean())
    return Progress(step, float(losses.mean()), lr, by_level, norm, seconds, rate)


def collect(run: Iterator[Progress], config: Any, name: str, show: bool) -> list[Progress]:
    """Run ``fit`` to its end; returns its records, with a bar that tells the time left if ``show``.

    ``config``: the FitConfig of the run. Ctrl-C waits for the end of a step of ``fit``.
    """
    history = []
    shape = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps{postfix}"
    hidden = not (show and is_main_process())
    bar = tqdm(total=config.steps, desc=name, disable=hidden, bar_format=shape)
    with bar, postponed(wanted=processes() == 1):
        for record in run:
            history.append(record)
            bar.set_postfix_str(f"loss {record.loss:.4f}, {time_left(record, config.steps)} left")
            bar.update(record.step - bar.n)
    return history


def time_left(record: Progress, steps: int) -> str:
    """Hours:minutes:seconds to the last step, at the mean speed so far."""
    return tqdm.format_interval(record.seconds / record.step * (steps - record.step))


def write_history(history: Iterable[Progress], path: str | Path) -> None:
    """Write one JSON object per line and record; NaN (no sample at that level) becomes null."""
    path = Path(path)
    text = "".join(to_line(record) for record in history)
    replace_files(path.parent, {path.name: text.encode()})


def to_line(record: Progress) -> str:
    """One record as a line of JSON."""
    return json.dumps({name: _known(value) for name, value in record._asdict().items()}) + "\n"


def _known(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_known(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_history(path: str | Path, last: int | None = None) -> list[Progress]:
    """The records of a file of ``write_history``, up to step ``last``.

    A line that a crash has cut off ends the file. Raises FileNotFoundError if there is no file, and
    CheckpointError, naming file, line and field, for what is no record.
    """
    path, history = Path(path), []
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; a training writes it into its folder")
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (ValueError, IsADirectoryError, PermissionError) as error:
        raise CheckpointError(
            f"{path} is no file of a training's records ({error}); move it out of the way"
        ) from error
    for i, line in enumerate(lines):
        if not line.endswith("\n"):
            break
        try:
            record = _from_line(line)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{path}, line {i + 1} is no record of a training: {error}; take the line out, or "
                "put a copy of the file back"
            ) from error
        if last is None or record.step <= last:
            history.append(record)
    return history


def _from_line(line: str) -> Progress:
    values = json.loads(line)
    if not isinstance(values, dict) or set(values) != set(Progress._fields):
        raise ValueError(f"its fields must be {', '.join(Progress._fields)}")
    step, levels = inputs.whole("step", values.pop("step"), 1), values.pop("by_level")
    if not isinstance(levels, list):
        raise ValueError(f"by_level must be a list; got {levels!r}")
    numbers = {name: _number(name, value) for name, value in values.items()}
    return Progress(step, by_level=tuple(_number("by_level", v) for v in levels), **numbers)


def _number(name: str, value: Any) -> float:
    return math.nan if value is None else inputs.real(name, value)


def write_record(
    folder: str | Path, stages: Mapping[str, Sequence[Progress]], command: str, config: Any,
    wall: float, **more: Any,
) -> float:  # fmt: skip
    """Write what a training was, beside its model; returns the seconds of its stages' steps.

    Each stage's records go to STAGE.jsonl; ``command``, what it cost, its settings and ``more`` to
    metrics.json. ``wall``: seconds of the whole command.
    """
    for stage, history in stages.items():
        write_history(history, Path(folder) / f"{stage}.jsonl")
    seconds = {stage: history[-1].seconds for stage, history in stages.items()}
    cost = {
        "command": command,
        "config": asdict(config),
        "seconds": {
            **{stage: round(value) for stage, value in seconds.items()},
            "in_all_since_last_start": round(wall),
        },
    }
    write_figures({"training": {**cost, **surroundings(), **more}}, folder)
    return sum(seconds.values())
