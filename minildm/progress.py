"""What a training says about itself: records, their file, the bar."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from minildm.accelerator import is_main_process
from minildm.checkpoint import CheckpointError, replace_files

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
        kinds = {"losses": self.losses, "levels": self.levels, "norms": self.norms}
        return {name: torch.cat([p.cpu() for p in parts]) for name, parts in kinds.items() if parts}


def summary(log: dict[str, Tensor], step: int, lr: float, seconds: float, rate: float) -> Progress:
    """The record of what a ``Log`` noted."""
    losses = log["losses"]
    by_level = ()
    if "levels" in log:
        place = ((log["levels"] * LEVELS).ceil().long() - 1).clamp(0, LEVELS - 1)
        by_level = tuple(float(losses[place == i].mean()) for i in range(LEVELS))
    norm = float(log["norms"].mean())
    return Progress(step, float(losses.mean()), lr, by_level, norm, seconds, rate)


def collect(run: Iterator[Progress], config, name: str, show: bool) -> list[Progress]:
    """Run ``fit`` to its end; returns its records, with a bar that tells the time left if ``show``.

    ``config``: the FitConfig of the run.
    """
    history = []
    shape = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps{postfix}"
    hidden = not (show and is_main_process())
    with tqdm(total=config.steps, desc=name, disable=hidden, bar_format=shape) as bar:
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
    values = record._asdict()
    values["by_level"] = [_known(value) for value in record.by_level]
    return json.dumps({name: _known(value) for name, value in values.items()}) + "\n"


def read_history(path: str | Path, last: int | None = None) -> list[Progress]:
    """The records of a file of ``write_history``, up to step ``last``; [] if there is no file.

    A line that a crash has cut off ends the file. Raises CheckpointError for a line that is no
    record.
    """
    path, history = Path(path), []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    for i, line in enumerate(lines):
        if not line.endswith("\n"):
            break
        try:
            record = _from_line(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{path}, line {i + 1} is no record of a training: {error!r}"
            ) from error
        if last is None or record.step <= last:
            history.append(record)
    return history


def _from_line(line: str) -> Progress:
    values = {name: _number(value) for name, value in json.loads(line).items()}
    values["by_level"] = tuple(_number(value) for value in values["by_level"])
    return Progress(**values)


def _known(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value):
    return math.nan if value is None else value
