"""Kill a training with SIGKILL at random moments, go on each time, and compare the end bit for bit.

    python tools/kill_training.py               20 kills
    python tools/kill_training.py --kills 4

The network is tiny, but holds what is easily forgotten: dropout, batch norm, an average of the
weights, and a loss that draws from torch, Python and NumPy. It saves every other step, so that many
kills fall into the writing of a checkpoint. Exits with 1 if anything differs.
"""

import argparse
import contextlib
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from minildm.checkpoint import load_checkpoint
from minildm.ema import EMA
from minildm.fit import FitConfig, build, fit
from minildm.progress import read_history
from minildm.state import METRICS, checkpoints

SAMPLES = 24
IMPORTED = ["minildm.fit", "torch._dynamo"]  # the second: by the first step of an optimiser
CONFIG = FitConfig(
    steps=600, batch=8, lr=0.01, warmup=5, device="cpu", log_every=3, save_every=2, seed=3
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
    history = []
    for record in training:
        if started is not None and not history:
            started.send(record.step)
        history.append(record)
    return net, ema, history


def outcome(folder: Path) -> tuple[dict, list]:
    """What a finished training left: all its tensors, and its records without their times."""
    tensors, info = load_checkpoint(checkpoints(folder)[0])
    rest = {name: info[name] for name in ("step", "ema_updates", "randomness")}
    records = read_history(folder / METRICS)
    return tensors, [rest, *(repr(record[:5]) for record in records)]  # repr: NaN equals NaN


def kill_often(folder: Path, config: FitConfig, kills: int, seconds: float, report=print) -> int:
    """Start the training again and again; kill it ``kills`` times, each time at most ``seconds``
    after its first record, then let it end. Returns how many kills found it alive."""
    rng, found_alive = random.Random(0), 0
    context = multiprocessing.get_context("forkserver")  # imports torch once, not at each start
    context.set_forkserver_preload(IMPORTED)
    for i in range(kills + 1):
        ours, theirs = context.Pipe()
        process = context.Process(target=run, args=(str(folder), config, True, theirs))
        process.start()
        theirs.close()
        with contextlib.suppress(EOFError):
            ours.recv()
        if i < kills:
            delay = rng.uniform(0, seconds)
            time.sleep(delay)
            process.kill()
            process.join()
            found_alive += process.exitcode == -signal.SIGKILL
            saved = [int(place.name.removeprefix("state-")) for place in checkpoints(folder)]
            half = [place.name for place in folder.glob("*.part")]
            report(f"kill {i + 1:2d} after {delay:.3f} s: exit {process.exitcode}, "
                   f"checkpoints {saved}, half-written {half}")  # fmt: skip
    process.join()
    return found_alive


def differences(one: Path, other: Path) -> list[str]:
    """Names of what differs between two finished trainings; [] if they are equal bit for bit."""
    (tensors, records), (others, other_records) = outcome(one), outcome(other)
    differ = [name for name in tensors if not torch.equal(tensors[name], others[name])]
    return differ + ["metrics, counts or random numbers"] * (records != other_records)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        start = time.perf_counter()
        run(str(whole))
        seconds = time.perf_counter() - start
        print(f"uninterrupted: {CONFIG.steps} steps in {seconds:.1f} s", flush=True)
        alive = kill_often(killed, CONFIG, arguments.kills, seconds / arguments.kills)
        differ = differences(whole, killed)
    verdict = f"DIFFERENT: {', '.join(differ)}" if differ else "equal, bit for bit"
    print(f"{alive} kills; weights, average, optimiser, random numbers, metrics: {verdict}")
    return int(bool(differ) or alive < arguments.kills)


if __name__ == "__main__":
    sys.exit(main())
