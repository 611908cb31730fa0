"""The diffusion transformer: where it starts, what its tokens know, what reaches the output."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from book.ablations.digits_lab import SCHEDULE, DigitsLab, assemble, latents
from book.ablations.dit_lab import EQUAL, DiTLab, chosen, size, train
from book.ch05_2_unet.cost import parameters
from book.ch08_outlook.dit import DiT, DiTBlock, DiTConfig, patchify, positions, unpatchify
from minildm.denoise import guided, network_denoiser
from minildm.layers import time_embedding
from minildm.predict import V
from minildm.recipes import DIGITS_DENOISER
from minildm.unet import UNet

SMALL = DiTConfig(channels=2, width=16, depth=2, heads=2, patch=1, classes=3)


def opened(config=SMALL):
    """A network whose zeros are gone, as after some training."""
    torch.manual_seed(0)
    net = DiT(config)
    for p in net.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.3)
    return net


def batch(B=4, h=5, w=3):
    z = torch.randn(B, 2, h, w, generator=torch.Generator().manual_seed(1))
    return z, torch.full((B,), 400), torch.arange(B) % 3


# --- squares and tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize(("h", "w"), [(6, 6), (7, 4), (5, 9)])
def test_a_picture_is_cut_and_put_together_again(patch, h, w):
    z = torch.randn(2, 3, h, w)
    tokens = patchify(z, patch)
    assert tokens.shape == (2, -(-h // patch) * -(-w // patch), 3 * patch**2)
    assert torch.equal(unpatchify(tokens, patch, h, w), z)


def test_a_token_is_a_square_of_the_picture_counted_row_by_row():
    z = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    tokens = patchify(z, 2)
    for row in range(2):
        for column in range(3):
            square = z[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(tokens[0, 3 * row + column], square.flatten())


def test_what_is_missing_at_the_edge_is_zero():
    tokens = patchify(torch.ones(1, 1, 3, 3), 2)[0]
    assert tokens.tolist() == [[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]


def test_tokens_of_another_picture_are_refused():
    with pytest.raises(ValueError, match="3 x 5 picture"):
        unpatchify(torch.zeros(1, 4, 8), 2, 3, 5)


def test_a_place_is_its_row_and_its_column():
    places = positions(3, 4, 16)
    for row in range(3):
        for column in range(4):
            for half, n in (
                (places[4 * row + column, :8], row),
                (places[4 * row + column, 8:], column),
            ):
                torch.testing.assert_close(half, time_embedding(torch.tensor([n]), 8)[0])
    assert torch.cdist(places, places).fill_diagonal_(9).min() > 0.5  # no two are alike


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [1, 2])
def test_a_fresh_network_puts_out_zero_and_its_blocks_do_nothing(patch):
    net = DiT(replace(SMALL, patch=patch))
    assert not net(*batch()).any()
    x, embedding = torch.randn(2, 7, 16), torch.randn(2, 16)
    for block in net.blocks:
        assert torch.equal(block(x, embedding), x)


def test_only_the_last_layer_learns_from_the_first_step():
    """With every gate shut, nothing but what follows the blocks has a gradient."""
    net = DiT(SMALL)
    net(*batch()).sub(1).square().mean().backward()
    moved = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"leave.weight", "leave.bias"}


def test_a_block_is_two_gated_branches_with_their_own_vectors():
    """Written out, with the six vectors in the order of the paper's text."""
    torch.manual_seed(0)
    block = DiTBlock(8, heads=2)
    nn.init.normal_(block.modulate.weight)
    nn.init.normal_(block.modulate.bias)
    x, embedding = torch.randn(3, 5, 8), torch.randn(3, 8)
    six = (embedding @ block.modulate.weight.T + block.modulate.bias).reshape(3, 6, 1, 8)

    def norm(x):
        return (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, keepdim=True, correction=0) + 1e-6
        ).sqrt()

    def attention(x):
        qkv = x @ block.query_key_value.weight.T + block.query_key_value.bias  # (3, 5, 24)
        heads = []
        for i in (slice(0, 4), slice(4, 8)):
            q, k, v = (part[..., i] for part in qkv.split(8, dim=-1))
            heads.append((q @ k.transpose(1, 2) / 2).softmax(-1) @ v)  # sqrt(4) = 2
        return torch.cat(heads, -1) @ block.out.weight.T + block.out.bias

    wanted = x + six[:, 2] * attention((1 + six[:, 1]) * norm(x) + six[:, 0])
    wanted = wanted + six[:, 5] * block.mlp((1 + six[:, 4]) * norm(wanted) + six[:, 3])
    torch.testing.assert_close(block(x, embedding), wanted, atol=1e-4, rtol=1e-4)


def test_behind_the_blocks_tokens_are_shifted_and_scaled_once_more():
    net, (z, t, labels) = opened(), batch()
    for block in net.blocks:  # each is the identity again
        nn.init.zeros_(block.modulate.weight)
        nn.init.zeros_(block.modulate.bias)
    tokens, places, embedding = patchify(z, 1), positions(5, 3, 16), net.embed(z, t, labels)
    x = net.enter(tokens) + places
    x = (x - x.mean(-1, keepdim=True)) / x.var(-1, keepdim=True, correction=0).sqrt()
    shift, scale = net.modulate(embedding)[:, None].split(16, dim=-1)
    wanted = net.leave((1 + scale) * x + shift)
    torch.testing.assert_close(net.read(tokens, places, embedding), wanted, atol=1e-3, rtol=1e-3)


# --- what the tokens know -------------------------------------------------------------------------


def test_tokens_may_change_their_order_if_they_take_their_places_along():
    net, (z, t, labels) = opened(), batch()
    tokens, places, embedding = patchify(z, 1), positions(5, 3, 16), net.embed(z, t, labels)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(2))
    out = net.read(tokens, places, embedding)
    moved = net.read(tokens[:, order], places[order], embedding)
    torch.testing.assert_close(moved, out[:, order], atol=1e-5, rtol=1e-5)
    # and without their places it is another picture
    assert (net.read(tokens[:, order], places, embedding) - out[:, order]).abs().max() > 0.01


def test_every_token_reads_every_other_one():
    net, (z, t, labels) = opened(), batch(B=1)
    for place in ((0, 0), (4, 2)):
        other = z.clone()
        other[0, :, *place] += 1
        change = (net(other, t[:1], labels[:1]) - net(z, t[:1], labels[:1])).abs().sum(1)
        assert (change > 1e-5).all()


@pytest.mark.parametrize("patch", [1, 2])
def test_the_output_lies_where_the_input_lay(patch):
    """With attention silenced, a token's output depends on its own square only."""
    net = opened(replace(SMALL, patch=patch))
    for block in net.blocks:
        nn.init.zeros_(block.out.weight)
    z, t, labels = batch(B=1, h=6, w=4)
    other = z.clone()
    other[0, :, 4, 1] += 1
    change = (net(other, t, labels) - net(z, t, labels)).abs().sum((0, 1)) > 1e-6
    rows, columns = change.nonzero().unbind(1)
    assert set((rows // patch).tolist()) == {4 // patch}
    assert set((columns // patch).tolist()) == {1 // patch}


# --- time and label -------------------------------------------------------------------------------


def test_time_and_label_reach_the_output_of_their_own_sample():
    net, (z, t, labels) = opened(), batch()
    out = net(z, t, labels)
    for changed in (
        net(z, t + torch.tensor([0, 50, 0, 0]), labels),
        net(z, t, torch.tensor([0, 2, 2, 0])),
    ):
        apart = (changed - out).abs().amax((1, 2, 3))
        assert apart[1] > 0.01 and not apart[[0, 2, 3]].any()


def test_each_block_hears_time_through_its_gates():
    for k in range(2):
        net, (z, t, labels) = opened(), batch()
        for i, block in enumerate(net.blocks):
            if i != k:
                nn.init.zeros_(block.modulate.weight)
        nn.init.zeros_(net.modulate.weight)
        assert (net(z, t, labels) - net(z, t + 300, labels)).abs().max() > 0.01


def test_no_condition_a_null_label_and_a_dropped_label_are_the_same():
    net, (z, t, labels) = opened(), batch()
    null = net(z, t)
    torch.testing.assert_close(net(z, t, net.null(labels)), null)
    torch.testing.assert_close(net(z, t, torch.full((4,), 3)), null)
    drop = torch.tensor([True, False, True, False])
    mixed = net(z, t, labels, drop)
    torch.testing.assert_close(mixed[drop], null[drop])
    torch.testing.assert_close(mixed[~drop], net(z, t, labels)[~drop])
    assert (mixed - null)[~drop].abs().amax((1, 2, 3)).min() > 0.01


def test_guidance_works_with_it_as_with_the_unet():
    net, (z, t, labels) = opened(), batch()
    c = network_denoiser(net, SCHEDULE, V, labels)
    u = network_denoiser(net, SCHEDULE, V)
    read = guided(c, network_denoiser(net, SCHEDULE, V, net.null(labels)), 3.0)(z, t)
    torch.testing.assert_close(
        read.z0, u(z, t).z0 + 3 * (c(z, t).z0 - u(z, t).z0), atol=1e-4, rtol=0
    )


def test_wrong_labels_are_refused():
    net, (z, t, labels) = opened(), batch()
    for wrong, words in (
        (labels.float(), "int64"), (labels[:2], r"labels \(4,\)"), (labels + 2, "0..2"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            net(z, t, wrong)
    with pytest.raises(ValueError, match="set classes"):
        DiT(replace(SMALL, classes=0))(z, t, labels)
    for sizes in ({"width": 18}, {"heads": 3}, {"patch": 0}):
        with pytest.raises(ValueError, match=next(iter(sizes))):
            replace(SMALL, **sizes)


# --- the comparison -------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [1, 2])
def test_both_networks_are_of_equal_size(patch):
    unet = parameters(UNet(DIGITS_DENOISER.model))
    dit = size(DiT(replace(EQUAL, patch=patch)))
    assert abs(dit["parameters"] / unet - 1) < 0.02
    # twice (multiply, add) the matrices of the blocks, the embedding and both ends, and attention
    tokens, w = {1: 49, 2: 16}[patch], EQUAL.width
    blocks = EQUAL.depth * (tokens * 12 * w**2 + 6 * w**2 + 2 * tokens**2 * w)
    ends = 2 * w**2 + 2 * w**2 + 2 * tokens * w * 2 * patch**2
    assert dit["flops"] == 2 * (blocks + ends)


def test_both_are_trained_on_the_same_noise():
    """The first loss of a network that puts out zero is that of the targets alone."""
    fit = replace(DIGITS_DENOISER.fit, steps=2, batch=8, log_every=1)
    config = DiTLab(denoiser=replace(DIGITS_DENOISER, fit=fit))
    assert isinstance(chosen(config, nn.Identity()), DiT)
    dit, unet = train(config), train(replace(config, network="unet"))
    assert isinstance(dit.net, DiT) and isinstance(unet.net, UNet)
    assert dit.history[0].loss == pytest.approx(unet.history[0].loss, rel=1e-6)
    model = assemble(DigitsLab(config.denoiser), dit.net)
    assert model.generate(torch.tensor([3]), steps=2, seed=0).shape == (1, 1, 28, 28)
    with pytest.raises(ValueError, match="unet, dit"):
        replace(config, network="transformer")


def test_it_learns_to_denoise():
    """Where the picture is one of two, a few steps suffice to tell which."""
    torch.manual_seed(0)
    net, t = DiT(replace(SMALL, classes=0)), torch.full((16,), 300)
    pair = latents()[0][:2]
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(150):
        z0 = pair[torch.randint(2, (16,))]
        loss = (net(z0 + 0.3 * torch.randn(z0.shape), t) - z0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * float(pair.var())
