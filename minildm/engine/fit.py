"""One training loop for every network of the book.

``fit`` trains any network on any per-sample loss and yields its progress. With a folder it leaves
checkpoints, from which it goes on bit for bit; on several processes it gives what one would give.
It stops at the first number that is not finite, and between two steps when Ctrl-C is pressed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.checks.inputs import NotFinite
from minildm.engine.devices import accelerated, check_device, processes, unprepare
from minildm.engine.optim import EMA, make_optimizer, restore_optimizer
from minildm.engine.randomness import Randomness
from minildm.engine.records import Log, Progress, summary
from minildm.engine.resume import Keeper, checkpoints, unusable
from minildm.engine.settings import FitConfig
from minildm.engine.stopping import Diverged, postponed, what_is_wrong
from minildm.engine.training_data import name_of
from minildm.files.checkpoint import load_weights
from minildm.noise import Batch, batch_indices

Loss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor | None]]


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

    folder      where checkpoints and metrics.jsonl go (see state.py); None: nowhere. No other
                process can train there at the same time
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
    Raises ValueError and CheckpointError as ``check_run``, ``Keeper`` and ``Keeper.find`` do.
    """
    check_run(config, n)
    with accelerated(config.precision, config.device) as accelerator:
        training = _Training(accelerator, net, loss, n, config, ema)
        keeper = None
        try:
            if folder is not None:
                keeper = Keeper(folder, training.settings(settings), accelerator.is_main_process)
                yield from training.begin(keeper, resume)
            while training.step < config.steps:
                with postponed(wanted=training.world == 1) as interrupt:
                    training.advance()
                    last = training.step == config.steps
                    logs = last or not training.step % config.log_every
                    saves = last or not training.step % config.save_every
                    record = training.record() if logs else None
                    if saves or interrupt.asked:
                        training.check_weights()
                    if keeper and record:
                        keeper.log(record)
                    if keeper and (saves or interrupt.asked):
                        keeper.save(training.step, *training.state())
                if interrupt.asked:
                    raise training.interrupted()
                if saves and every_save:
                    training.show(every_save)
                if record:
                    yield record
        finally:
            unprepare(net)
            if keeper:
                keeper.close()


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


class _Training:
    """The state of a training, and one step of it."""

    def __init__(
        self, accelerator: Accelerator, net: nn.Module, loss: Loss, n: int, config: FitConfig,
        ema: EMA | None,
    ) -> None:  # fmt: skip
        self.accelerator, self.net, self.loss, self.n = accelerator, net, loss, n
        self.config, self.ema = config, ema
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        if not any(p.requires_grad for p in net.parameters()):
            raise ValueError("net has no weights to train: all are frozen, or there are none")
        net.to(accelerator.device).train()
        if ema is not None:
            ema.net.to(accelerator.device)
        self.optimizer = make_optimizer(net, config, accelerator.device)
        self.model, self.prepared = accelerator.prepare(net, self.optimizer)
        self.randomness = Randomness(accelerator.device, config.seed, self.rank)
        self.step, self.seconds, self.log = 0, 0.0, Log()
        self.logged = (0, 0.0)  # step and seconds of the last record
        self.parts: list[tuple] = []  # (indices, losses, level) of the parts of this step
        self.keeper: Keeper | None = None

    def settings(self, more: Mapping | None) -> dict:
        """Everything that must be the same when the training goes on."""
        run = {"samples": self.n, "processes": self.world, "averaged": self.ema is not None}
        named = {"loss": name_of(self.loss)}
        return {**named, **(more or {}), "fit": asdict(self.config), **run}

    def advance(self) -> None:
        """One optimiser step."""
        start = perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr_at(self.step)
        indices = batch_indices(self.n, self.config.batch, self.step, self.config.seed)
        mine = indices[self.rank :: self.world]
        *parts, last = mine.tensor_split(self.config.accumulate)
        self.parts = []
        with self.randomness:
            with self.accelerator.no_sync(self.model):  # the last part exchanges all gradients
                for part in parts:
                    self._backward(part)
            self._backward(last)
        norm = self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self._note(norm.detach())
        self.prepared.step()
        self.prepared.zero_grad()
        if self.ema is not None:
            try:
                self.ema.update(self.net)
            except Diverged as error:
                raise self._diverged(str(error)) from error
        self.step += 1
        self.seconds += perf_counter() - start

    def _backward(self, indices: Tensor) -> None:
        """Add the gradient of this part's share of the mean over the whole batch."""
        batch = Batch(self.config.seed, self.step, indices)
        try:
            with self.accelerator.autocast():
                losses, level = self.loss(self.model, batch)
        except NotFinite as error:  # the losses of losses.py refuse an output with NaN
            self.prepared.zero_grad()
            raise self._diverged(str(error)) from error
        for name, values in (("one value", losses), ("one level", level)):
            if values is not None and values.shape != (len(indices),):
                raise ValueError(
                    f"the loss must return {name} per sample, ({len(indices)},); got "
                    f"{tuple(values.shape)}: take the mean over each sample's own elements"
                )
        # Gradients of several processes are averaged, so each one counts ``world`` times.
        self.accelerator.backward(losses.sum() / (self.config.batch / self.world))
        self.parts.append((indices, losses.detach(), level))

    # --- numbers that are not finite -------------------------------------------------------------

    def _note(self, norm: Tensor) -> None:
        """Log the step's losses and the norm of its gradient (); Diverged if one is not finite."""
        total = norm + sum(losses.sum() for _, losses, _ in self.parts)
        if torch.isfinite(total):  # one question to the device
            self.log.norms.append(norm.reshape(1))  # () -> (1,)
        elif not self._skipped():
            self.prepared.zero_grad()
            raise self._diverged(what_is_wrong(norm, self.parts))
        for _, losses, level in self.parts:
            self.log.add(losses, level)

    def _skipped(self) -> bool:
        """Whether only the gradient of a loss that fp16 has scaled up is too large: then the
        optimiser skips the step, and the scale is halved. It begins at 65,536."""
        scaler = self.accelerator.scaler
        finite = all(bool(torch.isfinite(losses).all()) for _, losses, _ in self.parts)
        return finite and scaler is not None and scaler.get_scale() >= 1

    def check_weights(self) -> None:
        """Raise Diverged if the last step has made a weight or a buffer that is not finite."""
        nets = {"network": self.net} | ({} if self.ema is None else {"average": self.ema.net})
        for kind, net in nets.items():
            for name, value in net.state_dict().items():
                if value.is_floating_point() and not torch.isfinite(value).all():
                    self.step -= 1  # it did not succeed
                    raise self._diverged(f"{name} of the {kind} is not finite any more")

    def _diverged(self, what: str) -> Diverged:
        kept = "No folder was given, so nothing is kept"
        if self.keeper is not None:
            kept = "There is no checkpoint yet"
            for place in checkpoints(self.keeper.folder)[:1]:
                kept = f"The last good checkpoint is {place}"
        return Diverged(
            f"stopped at step {self.step + 1} of {self.config.steps}, learning rate "
            f"{self.config.lr_at(self.step):.3g}: {what}. {kept}. Try a smaller lr, a longer "
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

    def record(self) -> Progress:
        """The means since the last record, over all processes."""
        start = perf_counter()
        log = self._gathered_log()  # waits for the device
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

    # --- to disk and back ------------------------------------------------------------------------

    def begin(self, keeper: Keeper, resume: bool | str) -> list[Progress]:
        """Go on from the keeper's checkpoint, if there is one; returns the records up to there."""
        self.keeper = keeper
        found = keeper.find(resume)
        self.accelerator.wait_for_everyone()  # nobody tidies up while another process reads
        if found is not None:
            try:
                self._restore(*found)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise unusable(found[0], error) from error
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
        restore_optimizer(self.optimizer, _under("optimizer.", tensors))
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


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def build(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """``make()`` with random weights that depend on ``seed`` only; torch's own state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
