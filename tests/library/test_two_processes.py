"""Two processes that share a batch learn what one process learns from the whole batch."""

import contextlib
import io
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from kill_training import data
from torch import nn
from torch.multiprocessing import start_processes

from minildm.engine.devices import accelerated
from minildm.engine.fit import build, fit
from minildm.engine.optim import EMA
from minildm.engine.records import collect, read_history
from minildm.engine.resume import METRICS, checkpoints
from minildm.engine.settings import FitConfig

LOOPBACK = {"linux": "lo", "darwin": "lo0"}
CONFIG = FitConfig(steps=8, batch=8, lr=0.01, warmup=2, device="cpu", log_every=3, save_every=3)
CONFIGS = {
    "even": CONFIG,
    "uneven": replace(CONFIG, batch=7),  # 4 samples and 3
    "in parts": replace(CONFIG, batch=7, accumulate=3),  # 2 + 1 + 1 and 1 + 1 + 1
    "muon": replace(CONFIG, batch=7, optimizer="muon"),
}


def network(dropout=0.0):
    def make():
        layers = [nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Dropout(dropout)]
        return nn.Sequential(*layers, nn.Conv2d(4, 1, 3, padding=1))

    return build(make, 0)


def loss(model, batch):
    """Denoise with keyed noise. The level belongs to the sample, and so does the loss's size."""
    x, level = data()[batch.indices], batch.uniform(1)
    noise = batch.normal(x.shape[1:])
    losses = (model(x + 0.3 * noise) - x).square().flatten(1).mean(1)  # (B, 1, 4, 4) -> (B,)
    return losses * (1 + batch.indices % 3), 1 - level


def train(config, folder=None, dropout=0.0, stop=None, seen=None):
    net = network(dropout)
    ema = EMA(net, 0.9)
    every_save = None if seen is None else lambda net, step: seen.append(step)
    run = fit(net, loss, 24, config, ema, folder, resume=True, every_save=every_save)
    history = []
    for record in run:
        history.append(record)
        if record.step == stop:
            run.close()
            break
    return {"history": [tuple(r[:5]) for r in history], "net": net.state_dict(),
            "ema": ema.net.state_dict()}  # fmt: skip


def one_of_two(rank, meeting_point, out):
    """What each of the two processes runs; its results go to a file."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.platform in LOOPBACK:
        os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK[sys.platform]
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=Path(meeting_point).as_uri(), rank=rank, world_size=2,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    out = Path(out)
    device = "cpu" if torch.accelerator.is_available() else "auto"
    with accelerated("no", device) as accelerator:  # the first time that Accelerate is asked
        processes = accelerator.num_processes
    results = {name: train(config) for name, config in CONFIGS.items()}
    results["processes"] = processes
    results["drawn"] = draws()
    results["batches"] = batches_of(CONFIGS["in parts"])
    seen = []
    results["whole"] = train(CONFIG, out / "whole", dropout=0.5, seen=seen)
    results["seen"] = seen
    train(CONFIG, out / "resumed", dropout=0.5, stop=6)
    results["resumed"] = train(CONFIG, out / "resumed", dropout=0.5)
    try:
        next(fit(network(), loss, 24, replace(CONFIG, batch=1)))
    except ValueError as error:
        results["too small"] = str(error)
    results["shown"] = shown_by(
        lambda: collect(fit(network(), loss, 24, CONFIG), CONFIG, "x", True)
    )
    torch.save(results, out / f"rank{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def batches_of(config):
    """The samples of the first step that this process sees, part by part."""
    parts = []

    def spy(model, batch):
        if batch.step == 0:
            parts.append(batch.indices.tolist())
        return loss(model, batch)

    list(fit(network(), spy, 24, config))
    return parts


def draws():
    """A number that dropout might have drawn, at each step."""
    numbers = []

    def spy(model, batch):
        numbers.append(torch.rand(()).item())
        return loss(model, batch)

    list(fit(network(), spy, 24, CONFIG))
    return numbers


def shown_by(call):
    """How much this process writes to stderr."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        call()
    return len(stderr.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    arguments = (str(folder / "meeting-point"), str(folder))
    start_processes(one_of_two, arguments, nprocs=2, start_method="spawn")
    return folder


@pytest.fixture(scope="module")
def two(folder):
    """The results of both processes."""
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_there_are_two_processes_and_they_share_the_batch(two):
    assert [results["processes"] for results in two] == [2, 2]
    (alone,) = batches_of(replace(CONFIG, batch=7))
    first, second = (results["batches"] for results in two)
    assert [len(part) for part in first] == [2, 1, 1]
    assert [len(part) for part in second] == [1, 1, 1]
    assert sorted(index for part in first + second for index in part) == sorted(alone)


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_learn_what_one_learns(two, name):
    expected = train(CONFIGS[name])
    for results in two:
        for one, other in zip(expected["history"], results[name]["history"], strict=True):
            assert one[:3] == pytest.approx(other[:3], rel=1e-5)  # step, loss, learning rate
            assert one[3] == pytest.approx(other[3], rel=1e-5, nan_ok=True)  # loss by level
            assert one[4] == pytest.approx(other[4], rel=1e-4)  # norm of the gradient
        for kind in ("net", "ema"):
            for key, value in expected[kind].items():
                torch.testing.assert_close(value, results[name][kind][key], rtol=1e-3, atol=1e-5)


def test_both_processes_hold_the_same_weights(two):
    for name in CONFIGS:
        for key, value in two[0][name]["net"].items():
            assert torch.equal(value, two[1][name]["net"][key]), (name, key)


def test_two_processes_go_on_bit_for_bit(two):
    """With dropout: each process goes on with its own random numbers."""
    for results in two:
        assert results["whole"]["history"][-1][0] == 8
        assert repr(results["whole"]["history"][-1]) == repr(results["resumed"]["history"][-1])
        for kind in ("net", "ema"):
            for key, value in results["whole"][kind].items():
                assert torch.equal(value, results["resumed"][kind][key]), (kind, key)


def test_each_process_has_its_own_dropout(two):
    """With equal numbers on both, the halves of a batch would be masked alike."""
    one, other = (results["drawn"] for results in two)
    assert len(one) == len(other) == 8
    assert not set(one) & set(other)
    assert draws() == one  # the first process draws what one process alone would


def test_only_the_main_process_writes_and_shows(two, folder):
    assert [results["seen"] for results in two] == [[3, 6, 8], []]
    assert two[0]["shown"] > 0
    assert two[1]["shown"] == 0
    assert [place.name for place in checkpoints(folder / "whole")] == [
        "state-00000008", "state-00000006",
    ]  # fmt: skip
    assert [record.step for record in read_history(folder / "whole" / METRICS)] == [3, 6, 8]


def test_a_batch_that_is_too_small_for_two_is_refused(two):
    for results in two:
        assert "batch = 1 cannot be split over 2 processes" in results["too small"]


def test_a_training_of_two_does_not_go_on_as_one(folder, two):
    with pytest.raises(Exception, match="processes was 2 and is 1 now"):
        train(CONFIG, folder / "whole", dropout=0.5)
