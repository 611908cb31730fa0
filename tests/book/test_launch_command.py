"""Exercise 5.6-5: one command has many spellings, and all right ones are accepted."""

import pytest

from book.ch05_6_gpu.exercises import COMMAND
from book.exercises import verdict

SETTINGS = "denoiser.fit.batch=256 denoiser.fit.accumulate=2 denoiser.fit.precision=bf16"


@pytest.mark.parametrize(
    "launch",
    [
        "--nproc_per_node 4", "--nproc-per-node=4", "--nnodes 1 --nproc_per_node=4",
        "--standalone --nproc-per-node 4 --nnodes=1", "--nproc_per_node 4 \\\n   ",
    ],
)  # fmt: skip
def test_every_spelling_of_the_launch_is_accepted(launch):
    text = f"torchrun {launch} -m minildm train shapes --set {SETTINGS}"
    assert verdict(COMMAND, text).startswith("[ok]"), verdict(COMMAND, text)


@pytest.mark.parametrize(
    ("launch", "piece"),
    [
        ("--nnodes=4 --nproc-per-node=1", "one machine"), ("--nproc-per-node=gpu", "the number, 4"),
        ("--nnodes 1", "number of processes"), ("--nproc_per_node 4 --max_restarts 3", "leave out"),
    ],
)  # fmt: skip
def test_a_wrong_launch_gets_its_own_hint(launch, piece):
    text = f"torchrun {launch} -m minildm train shapes --set {SETTINGS}"
    assert piece in verdict(COMMAND, text)
