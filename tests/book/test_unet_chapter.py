"""The network that chapter 5.2 writes, cell by cell, is the library's: weights, outputs, size.

The cells are run as they stand in the source. Everything is compared in float64, where the same
sums in another order differ by about 1e-15 of their size, and any other formula by far more.
"""

import dataclasses
import itertools
import math
import re

import jupytext
import pytest
import torch
from awake import awake, points
from book_rules import SOURCES
from torch import nn

from book.ch05_2_unet import settings, stable
from book.ch05_2_unet.cost import parameters
from minildm import LatentDiffusion, layers
from minildm import unet as library
from minildm.recipes import DIGITS_DENOISER, LONG_AUTOENCODER

CELLS = {
    cell.metadata["name"]: cell.source
    for cell in jupytext.read(SOURCES / "05_2_unet.md").cells
    if cell.cell_type == "code"
}
WRITTEN = (
    "residual-block", "time-embedding", "softmax-attention", "attention", "stage", "halve",
    "down-and-up", "unet", "label-unet",
)  # fmt: skip
LONG = "a large solid yellow square left of a small solid purple cross on black"
LENGTH, E, WORDS = 6, 64, 12  # words of a text, and the lengths of e and of a word's vector


@pytest.fixture(scope="module")
def written():
    """What the cells define, without what they compare: that needs the shipped model."""
    names = {"torch": torch, "nn": nn, "F": nn.functional, "math": math}
    for name in WRITTEN:
        code = "\n".join(
            line for line in CELLS[name].splitlines() if not line.startswith(("same(", "assert "))
        )
        exec(compile(code, f"<cell {name}>", "exec"), names)
    return names


def a_text(n):
    """Words (n, LENGTH, WORDS) and a mask of 1, 2, .. words."""
    mask = torch.arange(LENGTH) < torch.arange(1, n + 1)[:, None]
    return points(n, LENGTH, WORDS, seed=7) * mask[..., None], mask


@torch.no_grad()
def agree(mine, theirs, inputs, their_inputs=None):
    theirs = awake(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.double().load_state_dict(theirs.state_dict(), strict=True)
    wanted = theirs(*(inputs if their_inputs is None else their_inputs))
    assert wanted.std() > 0.1
    torch.testing.assert_close(mine(*inputs), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("c_in", [16, 24])
def test_the_residual_block(written, c_in):
    inputs = points(3, c_in, 5, 4), points(3, E, seed=2)
    agree(written["ResidualBlock"](c_in, 16, E), layers.ResidualBlock(c_in, 16, E), inputs)


@pytest.mark.parametrize("reads", [False, True])
def test_attention(written, reads):
    length = WORDS if reads else None
    inputs = (points(3, 16, 5, 4), *(a_text(3) if reads else ()))
    agree(written["Attention"](16, 4, length), layers.Attention(16, 4, length), inputs)


def test_attention_in_plain_operations(written):
    q, k, v = points(2, 3, 5, 4), points(2, 3, 7, 4, seed=2), points(2, 3, 7, 4, seed=3)
    wanted = nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(written["attend"](q, k, v), wanted)


def test_the_embedding_of_time(written):
    t = torch.tensor([1, 2, 37, 500, 1000])
    for d in (12, 96):
        got, wanted = written["time_embedding"](t, d), layers.time_embedding(t, d)
        torch.testing.assert_close(got, wanted, atol=1e-3, rtol=0)  # float32 angles up to 1000


def test_stage_and_halve(written):
    cfg = library.UNetConfig(width=16, heads=4, context_dim=WORDS)
    inputs = points(3, 32, 5, 4), points(3, E, seed=2), *a_text(3)
    mine = written["Stage"](32, 16, E, 4, WORDS)
    agree(mine, library.Stage(32, 16, cfg, attend=True), inputs)
    agree(written["Halve"](16), library.Halve(16), (points(3, 16, 5, 4),))


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_the_whole_network(written, size):
    cfg = library.UNetConfig(
        channels=3, width=16, multipliers=(1, 1), attention=(0, 1), heads=2, context_dim=WORDS,
        pool=True,
    )  # fmt: skip
    theirs = library.UNet(cfg)
    theirs.null_context = None  # as inside of a TextUNet: the encoded NULL takes its place
    (words, mask), z_t, t = a_text(3), points(3, 3, *size), torch.tensor([1, 300, 1000])
    mine = written["UNet"](3, 16, 2, WORDS)
    mine.embed_time.register_forward_pre_hook(lambda _, phi: phi[0].double())
    agree(mine, theirs, (z_t, t, words, mask), (z_t, t, words, None, mask))


@torch.no_grad()
@pytest.mark.parametrize("size", [(7, 7), (8, 5)])
def test_the_network_that_is_told_a_label(written, size):
    """Width, labels and channels that are not those of the cell; 4 is "none", as None is there."""
    theirs = library.UNet(library.UNetConfig(channels=3, width=16, multipliers=(1, 2), classes=4))
    mine = written["LabelUNet"](3, 16, 4)
    mine.embed_time.register_forward_pre_hook(lambda _, phi: phi[0].double())
    z_t, t, label = points(3, 3, *size), torch.tensor([1, 300, 1000]), torch.tensor([0, 3, 4])
    agree(mine, theirs, (z_t, t, label))
    nothing = torch.full((3,), 4)
    torch.testing.assert_close(mine(z_t, t, nothing), theirs(z_t, t, None), rtol=0, atol=1e-10)
    apart = (mine(z_t, t, label) - mine(z_t, t, nothing)).abs().amax((1, 2, 3))
    assert (apart[:2] > 0.01).all() and not apart[2], "the label is heard"


@torch.no_grad()
def test_the_digits_weights_fit_the_network_that_is_told_a_label(written):
    theirs, mine = LatentDiffusion.load("digits").network, written["LabelUNet"]()
    told = torch.randn(2, 2, 7, 7), torch.tensor([1, 999]), torch.tensor([3, 10])
    assert not mine(*told).any(), "born as zeros"
    mine.load_state_dict(theirs.state_dict(), strict=True)
    assert (mine(*told) - theirs(*told)).abs().max() < 1e-4 * theirs(*told).abs().max()


@torch.no_grad()
def test_it_loads_the_shipped_weights_and_says_what_the_shipped_model_says(written):
    network = LatentDiffusion.load("shapes").network
    mine = written["UNet"]()
    assert not mine(torch.randn(2, 4, 8, 8), torch.tensor([1, 999]), *shipped_text(network)).any()
    mine.load_state_dict(network.unet.state_dict(), strict=True)
    words, mask = shipped_text(network)
    z_t, t = points(2, 4, 8, 8).float(), torch.tensor([20, 900])
    wanted = network(z_t, t, words)
    # float32: another memory layout adds the same terms in another order
    assert (mine(z_t, t, words, mask) - wanted).abs().max() < 1e-4 * wanted.abs().max()


def shipped_text(network):
    words = network.encode(network.tokens(["a small striped red circle above a blue star", LONG]))
    return words, words.any(2)


def test_each_cell_fits_on_a_screen_and_each_class_is_compared():
    for name in WRITTEN:
        assert len(CELLS[name].splitlines()) <= 45, name
    code = "\n".join(CELLS.values())
    for name in ("ResidualBlock", "Attention", "Stage", "Halve"):
        assert f"same({name}(" in code, name
    assert "mine_of_digits = LabelUNet()" in code and "same(mine_of_digits, of_digits" in code
    assert "strict=True" in CELLS["same"] and "strict=True" in CELLS["whole-by-hand"]


# --- what stands beside it ------------------------------------------------------------------------


def test_the_trace_of_stable_diffusion_adds_up_and_hangs_together():
    parts = list(stable.trace())
    assert sum(part.parameters for part in parts) == 859_520_964  # of the published files
    for before, after in itertools.pairwise(parts[1:]):
        c, *side = before.output
        assert list(after.input[1:]) == side
        skip = after.input[0] - c
        assert (skip > 0) == after.name.startswith("up,"), after
    assert parts[-1].output == stable.LATENT


def test_the_trace_is_that_of_diffusers():
    models = pytest.importorskip("diffusers.models.unets.unet_2d_condition")
    with torch.device("meta"):
        net = models.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    sizes = []
    for block in (*net.down_blocks, net.mid_block, *net.up_blocks):
        for resnet, attention in itertools.zip_longest(
            block.resnets, getattr(block, "attentions", [])
        ):
            sizes.append(parameters(resnet) + (parameters(attention) if attention else 0))
        for name in ("downsamplers", "upsamplers"):
            sizes += [parameters(part) for part in getattr(block, name, None) or []]
    ours = [p.parameters for p in stable.trace() if p.name not in ("time", "enter", "leave")]
    assert sorted(ours) == sorted(sizes)


def test_the_table_of_settings_shows_each_of_them():
    recipe, long = DIGITS_DENOISER, LONG_AUTOENCODER
    one, *lines = settings.settings_table({"denoiser": recipe, "long": long}).splitlines()
    assert one.split() == ["denoiser", "long"] and len(lines) == len(settings.LINES)
    found = {line.split()[0]: re.split(r"  +", line)[1:3] for line in lines}
    assert found["multipliers"] == ["1, 2", "-"] and found["kl"] == ["-", str(long.kl)]
    assert found["steps"] == [str(recipe.fit.steps), f"{long.fit.steps:,}"]
    assert found["lr"] == [str(recipe.fit.lr), str(long.fit.lr)]
    assert settings.setting(recipe, "fit.ema") == recipe.fit.ema
    assert settings.setting(recipe, "fit.none") is None is settings.setting(recipe, "kl")


def test_no_setting_of_the_training_is_missing_from_the_table():
    """But what only says where and how often, and what these recipes leave as it is."""
    beside = {"seed", "precision", "device", "log_every", "save_every", "accumulate"}
    names = {field.name for field in dataclasses.fields(DIGITS_DENOISER.fit)}
    assert {f"fit.{name}" for name in names - beside} <= set(settings.LINES)
    for part in (DIGITS_DENOISER, LONG_AUTOENCODER):
        names = {field.name for field in dataclasses.fields(part)} - {"model", "fit"}
        assert names <= set(settings.LINES)


@torch.no_grad()
def test_parameters_of_the_shipped_unet_are_those_of_the_cells(written):
    assert parameters(written["UNet"]()) == parameters(LatentDiffusion.load("shapes").network.unet)
