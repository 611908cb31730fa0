"""The command line as a user starts it: killed and gone on, and on two processes, as docs/going_on
promises.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from minildm.__main__ import main
from minildm.engine.records import read_history
from minildm.files.checkpoint import load_checkpoint

PAGE = Path(__file__).resolve().parents[2] / "docs" / "going_on.md"
SETTINGS = [
    *(f"{part}.fit.{setting}" for part in ("autoencoder", "denoiser")
      for setting in ("batch=8", "device=cpu", "log_every=1", "save_every=4")),
    "autoencoder.fit.steps=4", "denoiser.fit.steps=12",
]  # fmt: skip
LOOPBACK = {"linux": "lo", "darwin": "lo0"}
DENOISER = Path("training", "denoiser")


def command(out, *more):
    """The words after "python -m minildm"."""
    return ["train", "digits", "--out", str(out), *more, "--set", *SETTINGS]


def environment():
    """For a process of its own, on this machine only."""
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    if sys.platform in LOOPBACK:
        own["GLOO_SOCKET_IFNAME"] = LOOPBACK[sys.platform]
    return own


def newest(folder):
    """The newest state of the denoiser's training: (tensors, info)."""
    return load_checkpoint(sorted((folder / DENOISER).glob("state-*"))[-1])


def history(folder):
    return [record[:3] for record in read_history(folder / DENOISER / "metrics.jsonl")]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A whole training in one process of its own: dropout and threads are not this one's."""
    folder = tmp_path_factory.mktemp("launched") / "one"
    words = [sys.executable, "-m", "minildm", *command(folder)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_command_goes_on_to_the_same_bits(one, tmp_path, capsys):
    words = [sys.executable, "-m", "minildm", *command(tmp_path / "killed")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    victim = subprocess.Popen(words, env=environment(), **quiet)
    log = tmp_path / "killed" / DENOISER / "metrics.jsonl"
    while victim.poll() is None:
        if log.exists() and "\n" in log.read_text() and read_history(log)[-1].step >= 5:
            victim.kill()
            break
        time.sleep(0.01)
    victim.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists(), "it was not killed in time"
    more = subprocess.run([*words[:7], "--resume", *words[7:]], env=environment(), **quiet)
    assert more.returncode == 0
    whole, resumed = (load_checkpoint(folder)[0] for folder in (one, tmp_path / "killed"))
    assert whole.keys() == resumed.keys()
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name
    assert history(one) == history(tmp_path / "killed")
    # and with another batch it does not go on
    other = [word.replace("denoiser.fit.batch=8", "denoiser.fit.batch=16") for word in words[3:]]
    assert main([*other[:4], "--resume", *other[4:]]) == 1
    assert "fit.batch was 8 and is 16 now" in capsys.readouterr().err


def test_two_processes_train_what_one_does(one, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = [sys.executable, *launcher, "-m", "minildm", *command(tmp_path / "two")]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert newest(one)[1]["settings"]["processes"] == 1
    assert newest(tmp_path / "two")[1]["settings"]["processes"] == 2
    whole, shared = (load_checkpoint(folder)[0] for folder in (one, tmp_path / "two"))
    a, b = (torch.cat([w[k].flatten().double() for k in whole]) for w in (whole, shared))
    assert (a - b).norm() < 1e-3 * a.norm()


def test_a_state_holds_what_the_page_lists(one):
    tensors, info = newest(one)
    text = PAGE.read_text(encoding="utf-8").split("## What is in a state")[1].split("\n## ")[0]
    told, beside = (
        {name for row in re.findall(r"^\| (`.*?) \|", table, re.M)
         for name in re.findall(r"`(\w+)`", row)}
        for table in text.split("Beside them")
    )  # fmt: skip
    assert {name.split(".")[0] for name in tensors} == told
    assert set(info) == beside
