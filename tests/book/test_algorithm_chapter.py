"""What chapter 3 writes in its cells is the library's: both losses, the step and the walk.

The functions are run as they stand in the source, in float64.
"""

import ast
from itertools import pairwise

import jupytext
import pytest
import torch
from awake import points
from book_rules import SOURCES

from minildm import (
    Autoencoder,
    DiscreteSchedule,
    UNet,
    V,
    cosine_betas,
    ddim,
    diffusion_loss,
    kl_loss,
    min_snr_weight,
    network_denoiser,
    reconstruction_loss,
    sample,
)
from minildm.recipes import DIGITS_AUTOENCODER, DIGITS_DENOISER

CELLS = {
    cell.metadata["name"]: cell.source
    for cell in jupytext.read(SOURCES / "03_algorithm.md").cells
    if cell.cell_type == "code"
}
WRITTEN = ("autoencoder-loss", "denoiser-loss", "walk")
SCHEDULE = DiscreteSchedule(cosine_betas(1000))


def functions(cell):
    return [node for node in ast.parse(CELLS[cell]).body if isinstance(node, ast.FunctionDef)]


@pytest.fixture(scope="module")
def written():
    """The functions of the cells, with an awake network: no number of it is zero."""
    torch.manual_seed(0)
    network = UNet(DIGITS_DENOISER.model).double().eval()
    for p in network.parameters():
        p.data += 0.1 * points(*p.shape)
    names = {"torch": torch, "pairwise": pairwise, "schedule": SCHEDULE, "network": network}
    for name in WRITTEN:
        code = ast.Module(functions(name), [])
        exec(compile(code, f"<cell {name}>", "exec"), names)
    return names


def test_the_loss_of_the_autoencoder(written):
    net = Autoencoder(DIGITS_AUTOENCODER.model).double()
    x, eps = points(6, 1, 28, 28).clamp(-1, 1), points(6, 2, 7, 7, seed=2)
    x_hat, q = net(x, eps)
    wanted = (reconstruction_loss(x_hat, x) + 0.5 * kl_loss(q)).mean()
    got = written["autoencoder_loss"](net, x, eps, kl=0.5)
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=0)


@torch.no_grad()
def test_the_loss_of_the_denoiser(written):
    z0, eps, label = points(40, 2, 7, 7), points(40, 2, 7, 7, seed=2), torch.arange(40) % 11
    t = torch.linspace(1, 1000, 40).long()
    net = written["network"]
    wanted = diffusion_loss(net, SCHEDULE, z0, label, t=t, eps=eps, weight=min_snr_weight).mean()
    got = written["denoiser_loss"](net, z0, label, t, eps)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=0)  # its factors are float32


def test_the_walk(written):
    z, label, times = points(5, 2, 7, 7), torch.arange(5), SCHEDULE.times(7)
    denoise = network_denoiser(written["network"], SCHEDULE, V, condition=label)
    *_, last = sample(denoise, SCHEDULE, z, times, ddim)
    assert (last.z - z).std() > 0.1
    torch.testing.assert_close(written["walk"](z, label, times), last.z, rtol=1e-9, atol=1e-9)


def test_it_is_short():
    lines = [node.end_lineno - node.lineno + 1 for name in WRITTEN for node in functions(name)]
    loop = CELLS["training-step"].splitlines()
    assert sum(lines) + len([line for line in loop if "print" not in line]) <= 32
    for name in (*WRITTEN, "training-step", "steps-are-a-jump"):
        assert "assert" in CELLS[name] or name == "training-step"
