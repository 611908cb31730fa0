"""One training loop for every network of the book.

``fit`` trains any network on any per-sample loss and yields its progress. With a folder it leaves
checkpoints, from which it goes on bit for bit (resume.py); on several processes it gives what one
would give. It stops at the first number that is not finite, and between two steps when Ctrl-C is
pressed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.checks.inputs import NotFinite
from minildm.engine.devices import (
    Interrupt,
    Randomness,
    accelerated,
    check_device,
    postponed,
    processes,
    unprepare,
)
from minildm.engine.identity import name_of
from minildm.engine.optim import EMA, make_optimizer
from minildm.engine.records import Log, Progress, summary
from minildm.engine.resume import Keeper, checkpoints
from minildm.engine.settings import FitConfig
from minildm.noise import Batch, batch_indices

N = TypeVar("N", bound=nn.Module)
Loss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor | None]]


class Diverged(ValueError):
    """A loss, a gradient or a weight is not finite; the message says where, and what to try."""


def fit(
    net: nn.Module, loss: Loss, n: int, config: FitConfig, ema: EMA | None = None,
    folder: str | Path | None = None, resume: bool | str = False,
    settings: Mapping | None = None, every_save: Callable[[nn.Module, int], None] | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Train ``net`` on n samples; yields Progress every ``log_every`` steps and after the last.

    ``loss(net, batch) -> (losses, level)``: losses (B,), level (B,) in (0, 1] or None.
    The network is trained in place; ``ema.net`` follows it. Nothing happens until iterated.

    folder      where checkpoints and metrics.jsonl go (resume.py); None: nowhere. No other process
                can train there at the same time
    resume      True: go on from the newest checkpoint, if there is one; "last-good": pass over
                damaged ones; "longer": config.steps may be more than it was. The records up to
                there are yielded again, from the file
    settings    what else (JSON-able) must be the same when the training goes on
    every_save  called as ``every_save(net, step)`` with the average, or the network itself, in
                evaluation mode, each ``save_every`` steps; its random numbers do not matter

    A training that goes on with "longer" has at each step the learning rate of one that was planned
    for the new length: after a finished cosine it rises again, to lr / 2 where the steps are
    doubled. It is another training than the one planned for that length, and as reproducible.

    Ctrl-C ends the step, saves a checkpoint if there is a folder, and raises KeyboardInterrupt with
    a note (``__notes__``) on how to go on; the second Ctrl-C interrupts at once. Several processes
    are interrupted at once, and go on from their last checkpoint.

    Raises Diverged, a ValueError, at the first loss, gradient or weight that is not finite: the
    network and the average are then as before that step, and no checkpoint has such a number.
    Raises ValueError and CheckpointError as ``check_run``, ``Keeper`` and ``Keeper.begin`` do.
    """
    check_run(config, n)
    with accelerated(config.precision, config.device) as accelerator, ExitStack() as at_the_end:
        at_the_end.callback(unprepare, net)
        run = _Training(accelerator, net, loss, config, ema)
        if folder is not None:
            run.keeper = Keeper(folder, run.settings(n, settings), accelerator.is_main_process)
            at_the_end.callback(run.keeper.close)
            yield from run.keeper.begin(run, resume)
        while run.step < config.steps:
            with postponed(wanted=run.world == 1) as interrupt:
                run.one_step(n)
                record = run.record() if run.due(config.log_every) else None
                run.keep(record, interrupt)
            if interrupt.asked:
                raise run.interrupted()
            if every_save and run.due(config.save_every):
                run.show(every_save)
            if record:
                yield record


def check_run(config: FitConfig, n: int) -> None:
    """Raise ValueError if a training on n samples cannot begin with this config, on this machine:
    for too large a batch, one that cannot be split, and a precision that needs a GPU.
    """
    check_device(config.precision, config.device)
    batch_indices(inputs.whole("n", n, 1), config.batch, 0, config.seed)
    if config.batch < processes() * config.accumulate:
        raise ValueError(
            f"batch = {config.batch} cannot be split over {processes()} processes with "
            f"accumulate = {config.accumulate}; each part needs a sample"
        )


def build(make: Callable[[], N], seed: int) -> N:
    """``make()`` with random weights that depend on ``seed`` only; torch's own state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


class _Training:
    """What a training consists of, and the parts of its step. resume.py takes it to the disk."""

    def __init__(
        self, accelerator: Accelerator, net: nn.Module, loss: Loss, config: FitConfig,
        ema: EMA | None,
    ) -> None:  # fmt: skip
        if not any(p.requires_grad for p in net.parameters()):
            raise ValueError("net has no weights to train: all are frozen, or there are none")
        self.accelerator, self.net, self.loss = accelerator, net, loss
        self.config, self.ema = config, ema
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        net.to(accelerator.device).train()
        if ema is not None:
            ema.net.to(accelerator.device)
        optimizer = make_optimizer(net, config, accelerator.device)
        self.model, self.optimizer = accelerator.prepare(net, optimizer)
        self.randomness = Randomness(accelerator.device, config.seed, self.rank)
        self.step, self.seconds, self.log = 0, 0.0, Log()
        self.logged = (0, 0.0)  # step and seconds of the last record
        self.keeper: Keeper | None = None

    def settings(self, n: int, more: Mapping | None) -> dict:
        """Everything that must be the same when the training goes on."""
        run = {"samples": n, "processes": self.world, "averaged": self.ema is not None}
        return {"loss": name_of(self.loss), **(more or {}), "fit": asdict(self.config), **run}

    def due(self, every: int) -> bool:
        """Whether something is to be done now that is done ``every`` so many steps, and at last."""
        return self.step == self.config.steps or self.step % every == 0

    def one_step(self, n: int) -> None:
        """Learn from this process's share of the step's batch, drawn from n samples."""
        with self.counted():
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.lr_at(self.step)
            indices = batch_indices(n, self.config.batch, self.step, self.config.seed)
            parts = self.backward(indices[self.rank :: self.world])
            norm = self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.clip)
            self.note(norm.detach(), parts)
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.ema is not None:
                self.ema.update(self.net)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Time what is in the block, and count it as a step; Diverged where it meets NotFinite."""
        start = perf_counter()
        try:
            yield
        except NotFinite as error:
            self.optimizer.zero_grad()
            raise self.diverged(self.step + 1, str(error)) from error
        self.step += 1
        self.seconds += perf_counter() - start

    def backward(self, indices: Tensor) -> list[tuple]:
        """The gradient of these samples' share of the mean over the whole batch, in parts.

        Returns (indices, losses, level) of each part.
        """
        *first, last = indices.tensor_split(self.config.accumulate)
        with self.randomness:
            with self.accelerator.no_sync(self.model):  # the last part exchanges all gradients
                parts = [self._backward(part) for part in first]
            return [*parts, self._backward(last)]

    def _backward(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        with self.accelerator.autocast():
            losses, level = self.loss(self.model, Batch(self.config.seed, self.step, indices))
        for name, values in (("one value", losses), ("one level", level)):
            if values is not None and values.shape != (len(indices),):
                raise ValueError(
                    f"the loss must return {name} per sample, ({len(indices)},); got "
                    f"{tuple(values.shape)}: take the mean over each sample's own elements"
                )
        # Gradients of several processes are averaged, so each one counts ``world`` times.
        self.accelerator.backward(losses.sum() / (self.config.batch / self.world))
        return indices, losses.detach(), level

    # --- numbers that are not finite, and Ctrl-C -------------------------------------------------

    def note(self, norm: Tensor, parts: list[tuple]) -> None:
        """Log the step's losses and the norm of its gradient (); NotFinite if one is not."""
        total = norm + sum(losses.sum() for _, losses, _ in parts)
        if torch.isfinite(total):  # one question to the device
            self.log.norms.append(norm.reshape(1))  # () -> (1,)
        elif not self._skipped(parts):
            raise NotFinite(what_is_wrong(norm, parts))
        for _, losses, level in parts:
            self.log.add(losses, level)

    def _skipped(self, parts: list[tuple]) -> bool:
        """Whether only the gradient of a loss that fp16 has scaled up is too large: then the
        optimiser skips the step, and the scale is halved. It begins at 65,536."""
        scaler = self.accelerator.scaler
        finite = all(bool(torch.isfinite(losses).all()) for _, losses, _ in parts)
        return finite and scaler is not None and scaler.get_scale() >= 1

    def check_weights(self) -> None:
        """Raise Diverged if the last step has made a weight or a buffer that is not finite."""
        nets = {"network": self.net} | ({} if self.ema is None else {"average": self.ema.net})
        for kind, net in nets.items():
            for name, value in net.state_dict().items():
                if value.is_floating_point() and not torch.isfinite(value).all():
                    what = f"{name} of the {kind} is not finite any more"
                    raise self.diverged(self.step, what)

    def diverged(self, step: int, what: str) -> Diverged:
        """What is raised where step 1, 2, .. has not succeeded."""
        kept = "No folder was given, so nothing is kept"
        if self.keeper is not None:
            kept = "There is no checkpoint yet"
            for place in checkpoints(self.keeper.folder)[:1]:
                kept = f"The last good checkpoint is {place}"
        return Diverged(
            f"stopped at step {step} of {self.config.steps}, learning rate "
            f"{self.config.lr_at(step - 1):.3g}: {what}. {kept}. Try a smaller lr, a longer "
            "warmup or precision 'no'; if it is the same samples again, look at them and at the "
            "loss"
        )

    def interrupted(self) -> KeyboardInterrupt:
        """What Ctrl-C raises: with a note on what is kept and how to go on."""
        note = f"stopped at step {self.step} of {self.config.steps}"
        if self.keeper is None:
            note += "; no folder was given, so nothing is kept"
        else:
            note += f", which is kept in {self.keeper.folder}; go on with resume=True (--resume)"
        error = KeyboardInterrupt(note)
        error.add_note(note)
        return error

    # --- what is seen of it, and kept -------------------------------------------------------------

    def keep(self, record: Progress | None, interrupt: Interrupt) -> None:
        """Log the record; save a checkpoint if one is due or Ctrl-C was pressed. Both in the
        folder, if there is one; weights that would be saved must be finite in any case.
        """
        if self.due(self.config.save_every) or interrupt.asked:
            self.check_weights()
        if self.keeper and record:
            self.keeper.log(record)
        if self.keeper and (self.due(self.config.save_every) or interrupt.asked):
            self.keeper.save(self)

    def record(self) -> Progress:
        """The means since the last record, over all processes."""
        start = perf_counter()
        log = self.gathered_log()  # waits for the device
        self.seconds += perf_counter() - start
        step, seconds = self.logged
        rate = (self.step - step) * self.config.batch / max(self.seconds - seconds, 1e-9)
        self.logged, self.log = (self.step, self.seconds), Log()
        return summary(log, self.step, self.config.lr_at(self.step - 1), self.seconds, rate)

    def show(self, every_save: Callable[[nn.Module, int], None]) -> None:
        """Let the main process look at the averaged network."""
        net = self.net if self.ema is None else self.ema.net
        if self.accelerator.is_main_process:
            every_save(net.eval(), self.step)
        self.net.train()
        self.accelerator.wait_for_everyone()

    def gathered_log(self) -> dict[str, Tensor]:
        """What all processes have noted since the last record."""
        logs = self.gathered([self.log.tensors()])
        names = {name: None for log in logs for name in log}  # a set that keeps the order
        return {name: torch.cat([log[name] for log in logs if name in log]) for name in names}

    def gathered(self, mine: list) -> list:
        """The entries of all processes, in their order."""
        return gather_object(mine) if self.world > 1 else mine


def what_is_wrong(norm: Tensor, parts: list[tuple]) -> str:
    """In words: which losses of a step are not finite, and where; or that its gradient is not.

    ``norm`` (): of the gradient. ``parts``: (indices, losses, levels or None), each (b,).
    """
    indices, losses = (torch.cat([part[i].cpu() for part in parts]) for i in (0, 1))  # (B,) each
    levels = None if parts[0][2] is None else torch.cat([part[2].cpu() for part in parts])

    def described(i: int) -> str:
        level = "" if levels is None else f" at noise level {float(levels[i]):.3g}"
        return f"sample {int(indices[i])}{level}"

    bad = (~torch.isfinite(losses)).nonzero()[:, 0].tolist()
    if not bad:
        i = int(losses.argmax())
        return (
            f"the norm of the gradient is {float(norm):g}, though all losses are finite (the "
            f"largest, {float(losses[i]):.3g}, is that of {described(i)})"
        )
    shown = ", ".join(map(described, bad[:4])) + ", .." * (len(bad) > 4)
    return f"{len(bad)} of {len(losses)} losses are NaN or infinite ({shown})"
