"""Stop a training in every way there is, go on each time, and compare the end bit for bit.

    python tools/kill_training.py               20 times each
    python tools/kill_training.py --kills 4

    killed         SIGKILL at random moments
    interrupted    Ctrl-C (SIGINT) at random moments: the step it was pressed in is kept
    full disk      a file system of 2 MB with less and less room (root on Linux); elsewhere, and
                   then as well, a limit on the size of files
    read only      a folder that may not be written
    two at once    a second process in the folder of the first

The network is tiny, but holds what is easily forgotten: dropout, batch norm, an average of the
weights, and a loss that draws from torch, Python and NumPy. It saves every other step, so that many
stops fall into the writing of a checkpoint. Exits with 1 if anything is lost or differs.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from minildm.engine.devices import LOCK
from minildm.engine.fit import build, fit
from minildm.engine.optim import EMA
from minildm.engine.records import collect, read_history
from minildm.engine.resume import METRICS, checkpoints
from minildm.engine.settings import FitConfig
from minildm.files.checkpoint import load_checkpoint

SAMPLES = 24
IMPORTED = ["minildm.engine.fit", "torch._dynamo"]  # the second: by the first step of an optimiser
CONFIG = FitConfig(
    steps=240, batch=8, lr=0.01, warmup=5, device="cpu", log_every=3, save_every=2, seed=3
)


def network() -> nn.Module:
    """Convolutions, batch norm and dropout: (B, 1, 4, 4) -> the same."""

    def make() -> nn.Module:
        first = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.2)]
        return nn.Sequential(*first, nn.Conv2d(8, 1, 3, padding=1))

    return build(make, 0).to(memory_format=torch.channels_last)


def data() -> torch.Tensor:
    """Pictures (24, 1, 4, 4) that depend on nothing."""
    return torch.linspace(-1, 1, SAMPLES * 16).sin().reshape(SAMPLES, 1, 4, 4)  # (384,) -> (B, ..)


def loss(model: nn.Module, batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Denoise: with keyed noise, and with noise from torch, Python and NumPy."""
    x = data()[batch.indices]
    noisy = x + 0.1 * batch.normal(x.shape[1:]) + 0.1 * torch.randn(x.shape)
    noisy = noisy * random.uniform(0.9, 1.1) + 0.1 * float(np.random.normal())  # noqa: NPY002
    losses = (model(noisy) - x).square().flatten(1).mean(1)  # (B, 1, 4, 4) -> (B, 16) -> (B,)
    return losses, 1 - batch.uniform(1)


def run(folder: str, config: FitConfig = CONFIG, resume: bool | str = False, started=None):
    """Train in ``folder`` to the end, on one thread; returns (network, average, records)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(folder, config, resume, started)
    finally:
        torch.set_num_threads(threads)  # other trainings of this process keep theirs


def _run(folder: str, config: FitConfig, resume: bool | str, started):
    net = network()
    ema = EMA(net, 0.9)
    training = fit(net, loss, SAMPLES, config, ema, folder, resume)

    def telling():
        for record in training:
            if started is not None:
                started.send(record.step)
            yield record

    return net, ema, collect(telling(), config, "", show=False)


def outcome(folder: Path) -> tuple[dict, list]:
    """What a finished training left: all its tensors, and its records without their times."""
    tensors, info = load_checkpoint(checkpoints(folder)[0])
    rest = {name: info[name] for name in ("step", "ema_updates", "randomness")}
    records = read_history(folder / METRICS)
    return tensors, [rest, *(repr(record[:5]) for record in records)]  # repr: NaN equals NaN


def attempt(folder: str, config: FitConfig, said, limit: int = 0, as_nobody: bool = False) -> None:
    """What a process that is to be stopped runs: it tells of each record's step, and of its end.

    ``limit``: the largest file that it may write, in bytes.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background takes it away
    if as_nobody:
        os.setuid(65534)
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run(folder, config, True, said)
        said.send("finished")
    except KeyboardInterrupt as error:
        said.send(f"KeyboardInterrupt: {error}")
    except (ValueError, OSError) as error:
        said.send(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def process(folder: Path, config: FitConfig, **options) -> Iterator[tuple]:
    """(process, what it says) of an ``attempt``; it is killed if it lives on after the block."""
    context = multiprocessing.get_context("forkserver")  # imports torch once, not at each start
    context.set_forkserver_preload(IMPORTED)
    ours, theirs = context.Pipe()
    child = context.Process(target=attempt, args=(str(folder), config, theirs), kwargs=options)
    child.start()
    theirs.close()
    try:
        yield child, lambda: _next(ours)
    finally:
        child.kill()
        child.join()


def _next(pipe) -> object:
    """What comes next out of a pipe; "killed" where its other end is gone."""
    try:
        return pipe.recv()
    except EOFError:
        return "killed"


def stop_often(
    folder: Path, config: FitConfig, times: int, number: int = signal.SIGKILL, report=print
) -> int:
    """Send a training signal ``number`` so many times, at random steps, and go on after each; then
    let it end. Returns how often it was alive.

    After each stop every checkpoint must be whole; after Ctrl-C there must be one of that step.
    """
    rng, alive = random.Random(number), 0
    for target in [*sorted(rng.choices(range(1, config.steps - 30), k=times)), config.steps + 1]:
        with process(folder, config) as (child, said):
            last = said()
            while not isinstance(last, str) and last < target:
                last = said()
            if target > config.steps:
                break
            time.sleep(rng.uniform(0, 0.02))  # anywhere in a step or in the writing after it
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)
            while not isinstance(last, str):
                last = said()
        alive += last != "finished"
        steps, half = whole_steps(folder), [place.name for place in folder.glob("*.part")]
        report(f"step {target} and a little: {last}; checkpoints {steps}, half-written {half}")
        if "is kept in" in last:
            assert f"step {steps[0]} of" in last, f"{last}, but the last is {steps[:1]}"
    assert last == "finished", last
    return alive


def whole_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, the newest first; all must be whole."""
    places = checkpoints(folder)
    for place in places:
        load_checkpoint(place)
    return [int(place.name.removeprefix("state-")) for place in places]


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int = 2) -> Iterator[bool]:
    """A file system of its own at ``place``, if this user may mount one: whether that is so."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def fill_often(folder: Path, config: FitConfig, times: int, report=print) -> int:
    """Train on a disk with little room, so many times, then with room; returns how often it was
    full. The rest of the disk is taken by a file beside the folder."""
    rng, full, filler = random.Random(0), 0, folder.with_name("filler")
    for _ in range(times):
        free = shutil.disk_usage(folder.parent).free
        filler.write_bytes(b"\0" * max(0, free - rng.randrange(4096, 100_000)))
        full += _stops_full(folder, config, report)
        filler.unlink()
    return full + _ends(folder, config, report)


def limit_often(folder: Path, config: FitConfig, times: int, report=print) -> int:
    """Train with a limit on the size of files, so many times, then without one."""
    rng, full = random.Random(1), 0
    for _ in range(times):
        full += _stops_full(folder, config, report, limit=rng.randrange(500, 30_000))
    return full + _ends(folder, config, report)


def _stops_full(folder: Path, config: FitConfig, report: Callable, **options) -> int:
    before = whole_steps(folder) if folder.exists() else []
    with process(folder, config, **options) as (_, said):
        last = said()
        while not isinstance(last, str):
            last = said()
    after = whole_steps(folder) if folder.exists() else []
    report(f"{last}; checkpoints {after}")
    assert (after or [0])[0] >= (before or [0])[0], f"checkpoint {before[0]} is gone"
    return int(str(last).startswith("OSError"))


def _ends(folder: Path, config: FitConfig, report: Callable) -> int:
    with process(folder, config) as (_, said):
        last = said()
        while not isinstance(last, str):
            last = said()
    assert last == "finished", last
    return 0


def refuse(folder: Path, config: FitConfig, report=print) -> bool:
    """Whether a folder that may not be written is refused before the first step."""
    folder.mkdir(mode=0o555)
    with process(folder, config, as_nobody=os.geteuid() == 0) as (_, said):
        last = said()
    report(last)
    return str(last).startswith("PermissionError") and not list(folder.iterdir())


def two_at_once(folder: Path, config: FitConfig, report=print) -> bool:
    """Whether a second process is told who trains there, and the first is not disturbed."""
    with process(folder, config) as (first, said):
        said()
        with process(folder, config) as (_, said_by_the_second):
            last = said_by_the_second()
        report(last)
        told = f"is being trained in by process {first.pid} on " in str(last)
        end = said()
        while not isinstance(end, str):
            end = said()
    return told and end == "finished" and not (folder / LOCK).exists()


def differences(one: Path, other: Path) -> list[str]:
    """Names of what differs between two finished trainings; [] if they are equal bit for bit."""
    (tensors, records), (others, other_records) = outcome(one), outcome(other)
    differ = [name for name in tensors if not torch.equal(tensors[name], others[name])]
    return differ + ["metrics, counts or random numbers"] * (records != other_records)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    times = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        start = time.perf_counter()
        run(str(scratch / "whole"))
        seconds = time.perf_counter() - start
        print(f"uninterrupted: {CONFIG.steps} steps in {seconds:.1f} s", flush=True)
        lost = []

        def show(what: str, count: int, wanted: int, folder: Path) -> None:
            differ = differences(scratch / "whole", folder)
            verdict = f"DIFFERENT: {', '.join(differ)}" if differ else "equal, bit for bit"
            print(f"{what}: {count} times; at the end {verdict}\n", flush=True)
            lost.extend(differ or ([what] if count < wanted else []))

        for what, number in (("killed", signal.SIGKILL), ("interrupted", signal.SIGINT)):
            folder = scratch / what
            show(what, stop_often(folder, CONFIG, times, number), times, folder)
        with small_disk(scratch / "disk") as mounted:
            folder = scratch / "disk" / "training"
            if mounted:
                show("full disk", fill_often(folder, CONFIG, times), 1, folder)
            else:
                print("full disk: no file system may be mounted here\n")
        folder = scratch / "limited"
        show("files too large", limit_often(folder, CONFIG, times), 1, folder)
        print(f"read only, refused: {refuse(scratch / 'read-only', CONFIG)}")
        folder = scratch / "two"
        show("two at once", int(two_at_once(folder, CONFIG)), 1, folder)
    print(f"lost: {', '.join(lost) if lost else 'nothing'}")
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
