"""The network uses everything it is given: latent, time, condition, and each position."""

import pytest
import torch
from torch import nn

from minildm.layers import Attention, time_embedding
from minildm.unet import Halve, UNet, UNetConfig


def awake(seed=0, **sizes):
    """A small network without its zero-initialised layers: they hide what does not arrive."""
    torch.manual_seed(seed)
    net = UNet(UNetConfig(channels=2, width=16, heads=2, **sizes)).eval()
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def given(n=3, size=7):
    return torch.randn(n, 2, size, size), torch.tensor([1, 40, 1000][:n])


def change(a, b):
    return float((a - b).abs().amax(dim=(1, 2, 3)).min())  # the least changed sample


@pytest.mark.parametrize("size", [4, 5, 7, 8])
@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 2, 2)])
def test_any_size_comes_back_as_it_went_in(size, multipliers):
    z_t, t = given(size=size)
    assert awake(multipliers=multipliers)(z_t, t).shape == z_t.shape


def test_a_fresh_network_says_zero():
    z_t, t = given()
    assert not UNet(UNetConfig(channels=2, width=16, heads=2))(z_t, t).any()


@torch.no_grad()
def test_neighbouring_times_differ_and_every_block_hears_the_time():
    net = awake()
    z_t, t = given()
    assert change(net(z_t, t), net(z_t, t + 1)) > 1e-4
    stages = [s for s in [*net.down, net.middle, *net.up] if hasattr(s, "block")]
    for stage in stages:
        h = torch.randn(1, stage.block.conv1.in_channels, 7, 7)
        one, other = torch.randn(2, 1, net.config.embedding_dim)
        assert change(stage.block(h, one), stage.block(h, other)) > 1e-3


def test_time_embedding_is_the_formula_for_steps_and_for_shares():
    t = torch.tensor([1, 500, 1000])
    embedding = time_embedding(t, 8)
    omega = torch.tensor([1.0, 0.1, 0.01, 0.001])
    angle = t[:, None] * omega
    torch.testing.assert_close(
        embedding, torch.cat([angle.cos(), angle.sin()], 1), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(time_embedding(t.double() / 1000, 8), embedding)
    # all 1,000 steps stay apart
    every = time_embedding(torch.arange(1, 1001), 32)
    apart = torch.cdist(every, every) + 10 * torch.eye(1000)
    assert apart.min() > 0.1


@torch.no_grad()
def test_labels_matter_each_for_its_own_sample_and_none_is_null():
    net = awake(classes=4)
    z_t, t = given()
    zero, mixed = torch.tensor([0, 0, 0]), torch.tensor([0, 3, 0])
    a, b = net(z_t, t, zero), net(z_t, t, mixed)
    torch.testing.assert_close(a[[0, 2]], b[[0, 2]])
    assert change(a[1:2], b[1:2]) > 1e-3
    null = net(z_t, t, torch.tensor([4, 4, 4]))
    torch.testing.assert_close(net(z_t, t), null)
    torch.testing.assert_close(net(z_t, t, net.null(zero)), null)
    assert change(null, a) > 1e-3
    dropped = net(z_t, t, zero, torch.tensor([True, False, True]))
    torch.testing.assert_close(dropped, torch.stack([null[0], a[1], null[2]]))


@torch.no_grad()
def test_cross_attention_reads_the_words_as_a_set():
    net = awake(context_dim=6, attention=(0,))
    z_t, t = given()
    words = torch.randn(3, 5, 6)
    a = net(z_t, t, words)
    for word in range(5):
        other = words.clone()
        other[:, word] = torch.randn(3, 6)
        assert change(a, net(z_t, t, other)) > 1e-5
    torch.testing.assert_close(net(z_t, t, words.flip(1)), a, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net(z_t, t, net.null(words)), net(z_t, t), atol=1e-5, rtol=1e-4)
    dropped = net(z_t, t, words, torch.tensor([False, True, False]))
    torch.testing.assert_close(dropped[[0, 2]], a[[0, 2]])
    torch.testing.assert_close(dropped[1], net(z_t, t)[1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_concatenated_map_matters_and_none_is_zeros():
    net = awake(concat_channels=3)
    z_t, t = given()
    maps = torch.randn(3, 3, 7, 7)
    assert change(net(z_t, t, maps), net(z_t, t, -maps)) > 1e-3
    torch.testing.assert_close(net(z_t, t), net(z_t, t, torch.zeros_like(maps)))


@torch.no_grad()
def test_attention_is_the_formula():
    torch.manual_seed(0)
    layer = Attention(8, heads=2)
    torch.nn.init.normal_(layer.out.weight, std=0.3)
    x = torch.randn(1, 8, 2, 3)
    tokens = layer.norm(x)[0].reshape(8, 6).T  # (6, 8)
    q = tokens @ layer.query.weight.T
    k, v = (tokens @ layer.key_value.weight.T).chunk(2, dim=1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        share = torch.softmax(q[:, part] @ k[:, part].T / 2, dim=1)  # sqrt(4) = 2
        heads.append(share @ v[:, part])
    expected = x[0] + layer.out(torch.cat(heads, 1)).T.reshape(8, 2, 3)
    torch.testing.assert_close(layer(x)[0], expected)


@torch.no_grad()
def test_samples_of_a_batch_do_not_mix():
    net = awake(classes=3, multipliers=(1, 2), attention=(0,))
    z_t, t = given()
    labels = torch.tensor([0, 1, 2])
    together = net(z_t, t, labels)
    alone = torch.cat([net(z_t[i : i + 1], t[i : i + 1], labels[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_fine_detail_passes_around_the_coarse_levels():
    """With the way down cut, the output still follows every pixel of z_t: through the skips."""
    net = awake(multipliers=(1, 1))
    halve = next(layer for layer in net.down if isinstance(layer, Halve))
    nn.init.zeros_(halve.conv.weight)
    z_t, t = given(n=1, size=8)
    for row, column in ((0, 0), (3, 4), (7, 6)):
        other = z_t.clone()
        other[..., row, column] += 1.0
        change = (net(other, t) - net(z_t, t)).abs().sum(1)[0]
        assert (
            change.max() == change[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].max()
        )
        assert change.max() > 1e-2


@pytest.mark.parametrize(
    ("sizes", "condition", "message"),
    [
        ({"classes": 3}, torch.tensor([0, 1]), "int64"),
        ({"classes": 3}, torch.tensor([0.0, 1, 2]), "int64"),
        ({"classes": 3}, torch.tensor([0, 1, 4]), "labels must be in 0..2"),
        ({"context_dim": 4}, torch.zeros(3, 4), "L, 4"),
        ({"concat_channels": 2}, torch.zeros(3, 2, 4, 4), "condition must be"),
        ({}, torch.tensor([0, 1, 2]), "has no condition"),
    ],
)
def test_a_wrong_condition_is_named(sizes, condition, message):
    z_t, t = given()
    with pytest.raises(ValueError, match=message):
        awake(**sizes)(z_t, t, condition)


@pytest.mark.parametrize("t", [torch.ones(2), torch.ones(3, 1), torch.ones(3) * 1j])
def test_a_wrong_time_is_named(t):
    """Of three latents: two times, a column, and numbers that are no times."""
    z_t, _ = given()
    with pytest.raises(ValueError, match=r"t must be \(3,\), one time per latent"):
        awake()(z_t, t)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="one kind"):
        UNetConfig(classes=3, context_dim=4)
    with pytest.raises(ValueError, match="multiple of 8"):
        UNetConfig(width=12)
    with pytest.raises(ValueError, match="heads"):
        UNetConfig(width=16, heads=3)
