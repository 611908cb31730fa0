"""Chapter 5.1 writes the autoencoder: its cells are the library's, and the shipped weights fit."""

import ast
import json
import re

import jupytext
import pytest
import torch
from book_rules import SOURCES

from book.ch05_1_autoencoder import figures, measure
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.latent import LatentDiffusion
from minildm.losses import kl_loss, reconstruction_loss
from minildm.process import Gaussian
from minildm.train import encode_all

WRITTEN = ("block", "encoder", "decoder", "autoencoder", "sample", "losses")
CONFIGS = (
    ((3, 4, 4, [64, 128]), AutoencoderConfig(3, 4, factor=8, patch=4, width=64, max_width=128)),
    ((1, 2, 4, [48]), AutoencoderConfig(1, 2, factor=4, patch=4, width=48)),
    ((3, 4, 2, [8, 16, 16]), AutoencoderConfig(3, 4, factor=8, patch=2, width=8, max_width=16)),
)
EXACT = {"rtol": 1e-9, "atol": 1e-9}  # float64; a wrong eps of a norm shows at 1e-6


@pytest.fixture(scope="module")
def chapter():
    """The names that the chapter's cells define; what they assert is asserted on the way."""
    cells = {c.metadata.get("name"): c.source for c in jupytext.read(PAGE).cells}
    namespace = {"x_hat": torch.rand(2, 3, 8, 8), "x": torch.rand(2, 3, 8, 8)}
    exec(
        "import torch\nimport minildm\nfrom itertools import pairwise\nfrom torch import nn",
        namespace,
    )
    exec("from minildm import Gaussian, kl_loss, reconstruction_loss", namespace)
    for part in WRITTEN:
        exec(compile(cells[f"write-{part}"], f"<cell write-{part}>", "exec"), namespace)
    return namespace


PAGE = SOURCES / "05_1_autoencoder.md"


def randomised(net):
    """Every weight drawn anew, in float64: norms of 1 and biases of 0 would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    net = net.double()
    for parameter in net.parameters():
        parameter.data.normal_(0, 0.1, generator=generator)
    return net


def test_the_shipped_weights_load_strictly_and_draw_the_same(chapter):
    theirs = LatentDiffusion.load("shapes").autoencoder
    mine = chapter["Autoencoder"](C=3, c=4, patch=4, widths=[64, 128])
    mine.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        (mean, log_var), q = mine.encode(x), theirs.encode(x)
        for ours, wanted in (
            (mean, q.mean),
            (log_var.exp(), q.var),
            (mine.decode(mean), theirs.decode(q.mean)),
        ):
            torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)  # float32, other sums
    assert float(mine.scale) == float(theirs.scale)


@pytest.mark.parametrize(("sizes", "config"), CONFIGS)
def test_the_classes_are_the_librarys_for_any_size(chapter, sizes, config):
    theirs = randomised(Autoencoder(config))
    mine = chapter["Autoencoder"](*sizes).double()
    assert list(mine.state_dict()) == ["scale", *(k for k in theirs.state_dict() if k != "scale")]
    mine.load_state_dict(theirs.state_dict(), strict=True)
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(2, sizes[0], 32, 32, generator=generator, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        (mean, log_var), q = mine.encode(x), theirs.encode(x)
        torch.testing.assert_close(mean, q.mean, **EXACT)
        torch.testing.assert_close(log_var.clamp(-20, 10).exp(), q.var, **EXACT)
        torch.testing.assert_close(mine.decode(mean), theirs.decode(mean), **EXACT)


def test_the_block_alone_keeps_shape_and_names(chapter):
    theirs = randomised(Autoencoder().encoder[2])
    mine = chapter["Block"](32).double()
    mine.load_state_dict(theirs.state_dict(), strict=True)
    h = torch.randn(2, 32, 5, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(mine(h), theirs(h), **EXACT)


def test_the_sample_and_both_losses_are_the_librarys_with_their_gradients(chapter):
    generator = torch.Generator().manual_seed(4)
    mean, log_var, eps, x_hat, x = (
        torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64) for _ in range(5)
    )
    inputs = [v.requires_grad_() for v in (mean, log_var, x_hat)]
    q = Gaussian(mean, log_var.exp())
    pairs = (
        (chapter["sample"](mean, log_var, eps), q.sample(eps)),
        (chapter["pull"](mean, log_var), kl_loss(q)),
        (chapter["reconstruction"](x_hat, x), reconstruction_loss(x_hat, x)),
    )
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, **EXACT)
        weights = torch.linspace(1, 2, mine.numel(), dtype=torch.float64).reshape(mine.shape)
        grads = [
            torch.autograd.grad(
                (loss * weights).sum(), inputs, allow_unused=True, retain_graph=True
            )
            for loss in (mine, theirs)
        ]
        for a, b in zip(*grads, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, **EXACT)


def test_the_loop_is_the_loss_of_the_library(chapter):
    """The line of the loop that makes the loss, on one batch, against the library's two losses."""
    source = {c.metadata.get("name"): c.source for c in jupytext.read(PAGE).cells}["write-loop"]
    body = source.split("for step in range(1, 251):\n")[1].split("    optimizer.zero_grad()")[0]
    torch.manual_seed(0)
    space = {**chapter, "split": type("Split", (), {"x": torch.rand(70, 1, 28, 28) * 2 - 1})}
    space["small"] = chapter["Autoencoder"](1, 2, 4, [48])
    exec("\n".join(line[4:] for line in body.splitlines()), space)
    mean, log_var, back, batch = (space[k] for k in ("mean", "log_var", "back", "batch"))
    assert batch.shape == (64, 1, 28, 28) and mean.shape == (64, 2, 7, 7)
    assert not torch.allclose(space["z_drawn"], mean), "the decoder is given a sample"
    kl = kl_loss(Gaussian(mean, log_var.exp()))
    wanted = (reconstruction_loss(back, batch) + 1e-3 * kl).mean()
    torch.testing.assert_close(space["loss"], wanted, rtol=1e-5, atol=0)  # float32 sums


def test_the_scale_is_multiplied_on_the_way_in_and_divided_on_the_way_out(chapter):
    """The two functions of the cell write-scale, for a scale that is far from 1."""
    cells = {c.metadata.get("name"): c.source for c in jupytext.read(PAGE).cells}
    functions = [n for n in ast.parse(cells["write-scale"]).body if isinstance(n, ast.FunctionDef)]
    space = {"torch": torch}
    exec(compile(ast.Module(functions, []), "<cell write-scale>", "exec"), space)
    config = AutoencoderConfig(1, 2, factor=4, patch=4, width=8)
    theirs, mine = randomised(Autoencoder(config)), chapter["Autoencoder"](1, 2, 4, [8]).double()
    theirs.scale.fill_(0.2)
    mine.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(5)).double() * 2 - 1
    z0 = space["to_latent"](mine, x)
    with torch.no_grad():
        wanted = theirs.decode(theirs.encode(x).mean).clamp(-1, 1)
    torch.testing.assert_close(z0.float(), encode_all(theirs, x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(z0, 0.2 * mine.encode(x)[0].detach(), **EXACT)
    torch.testing.assert_close(space["to_picture"](mine, z0), wanted, **EXACT)
    assert space["to_picture"](mine, 1e3 * z0).abs().max() <= 1


# --- what the chapter measures with ---------------------------------------------------------------


def test_a_straight_line_explains_what_it_made_and_no_noise():
    generator = torch.Generator().manual_seed(5)
    by = torch.randn(4000, 3, generator=generator)
    line = by @ torch.tensor([1.0, -2.0, 0.5]) + 7
    noise = torch.randn(4000, generator=generator)
    half = line + noise * line.std()
    shares = measure.explained(torch.stack([line, noise, half], 1), by)
    assert float(shares[0]) == pytest.approx(1, abs=1e-5)
    assert float(shares[1]) == pytest.approx(0, abs=0.01)  # 3 of 4,000 directions
    assert float(shares[2]) == pytest.approx(0.5, abs=0.04)


def test_a_band_and_stored_pictures():
    assert measure.band([0.5, 0.25, 0.75]) == "25.0% to 75.0%"
    x = measure.stored_pictures("digits-scale", ["base", "scale 0.5"], 3)
    assert x.shape == (6, 3, 28, 28) and -1 <= x.min() < x.max() <= 1
    assert not torch.equal(x[:3], x[3:])


def made_up(**plans):
    """A file of results: plan -> variant -> the shares of its seeds."""
    return {
        f"ablation {name.replace('_', '-')}": {
            "variants": {
                variant: {"runs": [{"seed": i, "plain": {"as_asked": v}} for i, v in enumerate(of)]}
                for variant, of in variants.items()
            }
        }
        for name, variants in plans.items()
    }


def test_the_series_of_sizes_share_their_base_and_keep_apart(tmp_path):
    names = {k: f"scale {k:g}" for k in measure.SIZES if k != 1}
    plain = {"base": [0.9], **{name: [2 * k] for k, name in names.items()}}
    control = {f"{name}, normalised": [3 * k] for k, name in names.items()}
    path = tmp_path / "results.json"
    path.write_text(json.dumps(made_up(digits_scale=plain)))
    with pytest.raises(ValueError, match="ablate digits-scale"):
        measure.scale_series("as_asked", path)  # half a plan is none
    path.write_text(json.dumps(made_up(digits_scale=plain | control)))
    found = measure.scale_series("as_asked", path)
    assert found["as they come"] == {k: [0.9 if k == 1 else 2 * k] for k in measure.SIZES}
    assert found["normalised"] == {k: [0.9 if k == 1 else 3 * k] for k in measure.SIZES}


def test_the_table_of_sizes_says_which_is_better_than_what():
    spread = (-0.02, -0.01, 0, 0.01, 0.02)
    raw = {k: [v + d for d in spread] for k, v in {1 / 4: 0.8, 1: 0.8, 4: 0.3}.items()}
    control = {**raw, 4: [0.5 + d for d in spread]}
    both = {"as they come": raw, "normalised": control}
    head, quarter, one, four = measure.size_table("share", both, ".0%").splitlines()
    assert re.split(r" {2,}", head) == [
        "share", "as they come", "against 1", "normalised", "against 1", "against as it comes"
    ]  # fmt: skip
    assert re.split(r" {2,}", quarter.strip()) == [
        "0.25 times", "78% to 82%", "cannot tell", "78% to 82%", "cannot tell", "cannot tell"
    ]  # fmt: skip
    assert re.split(r" {2,}", one.strip()) == ["1 times", "78% to 82%"]
    assert re.split(r" {2,}", four.strip()) == [
        "4 times", "28% to 32%", "lower", "48% to 52%", "lower", "higher"
    ]  # fmt: skip


def test_the_frame_stands_at_the_nudged_place():
    fig = figures.reach(torch.rand(64, 64) + 0.01, place=(1, 2))
    [frame] = fig.axes[0].patches
    assert (frame.get_x(), frame.get_y(), frame.get_width()) == (15.5, 7.5, 8)
    assert fig.axes[0].get_title()
