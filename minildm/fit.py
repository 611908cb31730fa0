"""One training loop for every network of the book.

``fit`` trains any network on any per-sample loss and yields its progress. With a folder it leaves
checkpoints, from which it goes on bit for bit; on several processes it gives what one would give.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from minildm.accelerator import accelerated, unprepare
from minildm.batches import DROP, NOISE, TIME, Batch, FitConfig, Loss, batch_indices
from minildm.checkpoint import load_weights
from minildm.ema import EMA
from minildm.muon import Muon
from minildm.progress import Log, Progress, collect, summary, write_history
from minildm.randomness import Randomness
from minildm.state import Keeper

__all__ = [
    "DROP", "NOISE", "TIME", "Batch", "FitConfig", "Loss", "Progress", "batch_indices", "build",
    "collect", "fit", "write_history",
]  # fmt: skip


def fit(
    net: nn.Module,
    loss: Loss,
    n: int,
    config: FitConfig,
    ema: EMA | None = None,
    folder: str | Path | None = None,
    resume: bool | str = False,
    settings: Mapping | None = None,
    every_save: Callable[[nn.Module, int], None] | None = None,
) -> Iterator[Progress]:
    """Train ``net`` on n samples; yields Progress every ``log_every`` steps and after the last.

    ``loss(net, batch) -> (losses, level)``: losses (B,), level (B,) in (0, 1] or None.
    The network is trained in place; ``ema.net`` follows it. Nothing happens until iterated.

    folder      where checkpoints and metrics.jsonl go (see state.py); None: nowhere
    resume      True: go on from the newest checkpoint, if there is one; "last-good": pass over
                damaged ones. The records up to there are yielded again, from the file
    settings    what else (JSON-able) must be the same when the training goes on
    every_save  called as ``every_save(net, step)`` with the average, or the network itself, in
                evaluation mode, each ``save_every`` steps; its random numbers do not matter

    Raises ValueError and CheckpointError as ``Keeper.find`` does.
    """
    with accelerated(config.precision, config.device) as accelerator:
        training = _Training(accelerator, net, loss, n, config, ema)
        keeper = None
        try:
            if folder is not None:
                keeper = Keeper(folder, training.settings(settings), accelerator.is_main_process)
                yield from training.begin(keeper, resume)
            while training.step < config.steps:
                training.advance()
                last = training.step == config.steps
                record = training.record() if last or not training.step % config.log_every else None
                if keeper and record:
                    keeper.log(record)
                if last or not training.step % config.save_every:
                    if keeper:
                        keeper.save(training.step, *training.state())
                    if every_save:
                        training.show(every_save)
                if record:
                    yield record
        finally:
            unprepare(net)


class _Training:
    """The state of a training, and one step of it."""

    def __init__(
        self, accelerator: Accelerator, net: nn.Module, loss: Loss, n: int, config: FitConfig,
        ema: EMA | None,
    ) -> None:  # fmt: skip
        self.accelerator, self.net, self.loss, self.n = accelerator, net, loss, n
        self.config, self.ema = config, ema
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        if config.batch < self.world * config.accumulate:
            raise ValueError(
                f"batch = {config.batch} cannot be split over {self.world} processes with "
                f"accumulate = {config.accumulate}; each part needs a sample"
            )
        net.to(accelerator.device).train()
        if ema is not None:
            ema.net.to(accelerator.device)
        self.optimizer = _optimizer(net, config, accelerator.device)
        self.model, self.prepared = accelerator.prepare(net, self.optimizer)
        self.randomness = Randomness(accelerator.device, config.seed, self.rank)
        self.step, self.seconds, self.log = 0, 0.0, Log()
        self.logged = (0, 0.0)  # step and seconds of the last record

    def settings(self, more: Mapping | None) -> dict:
        """Everything that must be the same when the training goes on."""
        run = {"samples": self.n, "processes": self.world, "averaged": self.ema is not None}
        return {**(more or {}), "fit": asdict(self.config), **run}

    def advance(self) -> None:
        """One optimiser step."""
        start = perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr_at(self.step)
        indices = batch_indices(self.n, self.config.batch, self.step, self.config.seed)
        mine = indices[self.rank :: self.world]
        *parts, last = mine.tensor_split(self.config.accumulate)
        with self.randomness:
            with self.accelerator.no_sync(self.model):  # the last part exchanges all gradients
                for part in parts:
                    self._backward(part)
            self._backward(last)
        norm = self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.log.norms.append(norm.detach().reshape(1))  # () -> (1,)
        self.prepared.step()
        self.prepared.zero_grad()
        if self.ema is not None:
            self.ema.update(self.net)
        self.step += 1
        self.seconds += perf_counter() - start

    def _backward(self, indices: Tensor) -> None:
        """Add the gradient of this part's share of the mean over the whole batch."""
        with self.accelerator.autocast():
            batch = Batch(self.config.seed, self.step, indices)
            losses, level = self.loss(self.model, batch)
        if losses.shape != (len(indices),):
            raise ValueError(
                f"the loss must return one value per sample, ({len(indices)},); got "
                f"{tuple(losses.shape)}: take the mean over each sample's own elements"
            )
        # Gradients of several processes are averaged, so each one counts ``world`` times.
        self.accelerator.backward(losses.sum() / (self.config.batch / self.world))
        self.log.add(losses, level)

    def record(self) -> Progress:
        """The means since the last record, over all processes."""
        start = perf_counter()
        log = self._gathered_log()  # waits for the device
        self.seconds += perf_counter() - start
        step, seconds = self.logged
        rate = (self.step - step) * self.config.batch / (self.seconds - seconds)
        self.logged, self.log = (self.step, self.seconds), Log()
        return summary(log, self.step, self.config.lr_at(self.step - 1), self.seconds, rate)

    def show(self, every_save: Callable[[nn.Module, int], None]) -> None:
        """Let the main process look at the averaged network."""
        net = self.net if self.ema is None else self.ema.net
        if self.accelerator.is_main_process:
            every_save(net.eval(), self.step)
        self.net.train()
        self.accelerator.wait_for_everyone()

    # --- to disk and back ------------------------------------------------------------------------

    def begin(self, keeper: Keeper, resume: bool | str) -> list[Progress]:
        """Go on from the keeper's checkpoint, if there is one; returns the records up to there."""
        found = keeper.find(resume)
        self.accelerator.wait_for_everyone()  # nobody tidies up while another process reads
        if found is not None:
            self._restore(*found)
        return keeper.tidy(self.step, found[2]["refused"] if found else [])

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """(tensors, JSON-able rest): all that the next steps depend on."""
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"ema.{name}": v for name, v in self.ema.net.state_dict().items()}
        for i, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": torch.as_tensor(v) for name, v in values.items()}
        tensors |= {f"log.{name}": value for name, value in self._gathered_log().items()}
        scaler = self.accelerator.scaler
        return tensors, {
            "seconds": self.seconds,
            "logged": self.logged,
            "ema_updates": None if self.ema is None else self.ema.updates,
            "scaler": None if scaler is None else scaler.state_dict(),
            "randomness": self._gathered([self.randomness.state()]),
        }

    def _restore(self, place: Path, tensors: Mapping[str, Tensor], info: Mapping) -> None:
        load_weights(self.net, _under("net.", tensors), place)
        if self.ema is not None:
            load_weights(self.ema.net, _under("ema.", tensors), place)
            self.ema.updates = info["ema_updates"]
        _restore_optimizer(self.optimizer, _under("optimizer.", tensors))
        self.randomness.continue_from(info["randomness"][self.rank])
        if info["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(info["scaler"])
        self.step, self.seconds, self.logged = info["step"], info["seconds"], info["logged"]
        if self.accelerator.is_main_process:  # it holds what all processes have noted
            for name, values in _under("log.", tensors).items():
                getattr(self.log, name).append(values)

    def _gathered_log(self) -> dict[str, Tensor]:
        logs = self._gathered([self.log.tensors()])
        names = {name: None for log in logs for name in log}  # a set that keeps the order
        return {name: torch.cat([log[name] for log in logs if name in log]) for name in names}

    def _gathered(self, mine: list) -> list:
        return gather_object(mine) if self.world > 1 else mine


def _optimizer(net: nn.Module, config: FitConfig, device: torch.device) -> torch.optim.Optimizer:
    if config.optimizer == "muon":
        return Muon(net, config.lr, weight_decay=config.weight_decay)
    fused = device.type in ("cpu", "cuda")
    return torch.optim.AdamW(
        net.parameters(), config.lr, (0.9, 0.99), weight_decay=config.weight_decay, fused=fused
    )


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back moments named "index.kind", in the memory layout of their parameters.

    The layout matters: sums run over memory, and another order rounds differently.
    """
    parameters = list(itertools.chain(*(group["params"] for group in optimizer.param_groups)))
    state: dict[int, dict] = {}
    for name, value in tensors.items():
        index, kind = name.split(".", 1)
        like = parameters[int(index)]
        if value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[kind] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def build(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """``make()`` with random weights that depend on ``seed`` only; torch's own state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
