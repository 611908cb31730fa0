"""What is recorded inside a network is what really flows there, and recording changes nothing."""

import pytest
import torch
from torch import nn

from book.ch05_2_unet.cost import flops, parameters
from book.ch05_2_unet.inside import (
    attention_layers,
    attention_maps,
    attention_weights,
    influence,
    recorded,
    shapes_of,
    table,
)
from minildm.layers import Attention, ResidualBlock
from minildm.shapes.captions import text_config
from minildm.text import TextUNet, TextUNetConfig
from minildm.unet import UNetConfig
from minildm.words import tokenize

CAPTIONS = text_config(dim=16, layers=1)
TEXT = "a small striped red circle above a large solid blue star on grey"


def awake(net):
    """Without its zero-initialised layers: they hide what does not arrive."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return net.eval()


def reader(seed=0):
    torch.manual_seed(seed)
    unet = UNetConfig(channels=2, width=16, multipliers=(1, 2), attention=(0,), heads=2)
    return awake(TextUNet(TextUNetConfig(CAPTIONS, unet)))


def given(n=2):
    tokens = tokenize([TEXT, "a red star"][:n], CAPTIONS)
    return torch.randn(n, 2, 6, 6), torch.tensor([3, 700][:n]), tokens


# --- attention ------------------------------------------------------------------------------------


def through(layer, maps, x, context=None):
    """The layer's output, from its maps: out(maps @ V) + x."""
    tokens = layer.norm(x).flatten(2).transpose(1, 2)
    v = layer.key_value(tokens if context is None else context).chunk(2, dim=-1)[1]
    B, L, C = v.shape
    v = v.reshape(B, L, layer.heads, C // layer.heads).transpose(1, 2)  # (B, heads, L, d)
    h = (maps @ v).transpose(1, 2).reshape(B, -1, C)
    return x + layer.out(h).transpose(1, 2).reshape(x.shape)


@torch.no_grad()
@pytest.mark.parametrize("words", [False, True])
def test_the_layers_output_is_its_maps_times_its_values(words):
    layer = awake(Attention(16, heads=4, context_dim=6 if words else None))
    nn.init.normal_(layer.query.weight)  # sharp maps: a uniform one would hide a wrong scale
    x = torch.randn(3, 16, 4, 5)
    context = torch.randn(3, 7, 6) if words else None
    mask = torch.rand(3, 7) < 0.6 if words else None
    if words:
        mask[:, 0] = True
    maps = attention_weights(layer, x, context, mask)
    assert maps.shape == (3, 4, 20, 7 if words else 20)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 4, 20))
    assert maps.std() > 0.01
    torch.testing.assert_close(
        through(layer, maps, x, context), layer(x, context, mask), atol=1e-5, rtol=0
    )
    if words:
        assert not maps.transpose(1, 3)[~mask].any() and maps.transpose(1, 3)[mask].all()


@torch.no_grad()
def test_maps_of_a_whole_network_belong_to_their_layers():
    net, inputs = reader(), given()
    maps = attention_maps(net, inputs)
    layers = attention_layers(net)
    assert list(maps) == list(layers) and len(maps) == 2 * 4  # one level, one middle, two ways up
    words = inputs[2].shape[1]
    padded = words + -words % 16  # see TextUNet.forward
    mask = torch.nn.functional.pad(inputs[2], (0, padded - words)) != 0  # (B, padded)
    outputs = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
        for name, layer in layers.items()
    ]
    with recorded(layers) as seen:
        net(*inputs)
    for hook in hooks:
        hook.remove()
    for name, map_ in maps.items():
        side = seen[name][0].shape[-1]
        keys = padded if name.endswith("read") else side**2
        assert map_.shape == (2, 2, side**2, keys), name
        torch.testing.assert_close(map_.sum(-1), torch.ones(map_.shape[:3]))
        if name.endswith("read"):  # what is no word is not read
            assert not map_.transpose(1, 3)[~mask].any()
        context = seen[name][1] if name.endswith("read") else None
        torch.testing.assert_close(
            through(layers[name], map_, seen[name][0], context), outputs[name], atol=1e-5, rtol=0
        )


@torch.no_grad()
def test_recording_changes_nothing_and_leaves_nothing_behind():
    net, inputs = reader(), given()
    before = net(*inputs)
    attention_maps(net, inputs)
    shapes_of(net, inputs)
    with pytest.raises(ValueError, match="z_t must be"):
        attention_maps(net, (torch.randn(2, 3, 6, 6), *inputs[1:]))
    torch.testing.assert_close(net(*inputs), before, atol=0, rtol=0)
    parts = list(net.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


def test_chosen_layers_and_unknown_ones():
    net, inputs = reader(), given()
    assert list(attention_maps(net, inputs, ["unet.middle.read"])) == ["unet.middle.read"]
    with pytest.raises(ValueError, match=r"no attention layer 'middle'; there are unet\.down\.0"):
        attention_maps(net, inputs, ["middle"])


# --- shapes and costs -----------------------------------------------------------------------------


def test_each_part_has_its_line_and_the_lines_add_up():
    net, inputs = reader(), given()
    lines = {line.name: line for line in shapes_of(net, inputs, "unet")}
    assert list(lines) == [
        "embed_time", "embed_pooled", "enter", "down.0", "down.1", "down.2", "middle",
        "up.0", "up.1", "up.2", "up.3", "leave",
    ]  # fmt: skip
    assert lines["down.1"].kind == "Halve"
    assert (lines["down.1"].input, lines["down.1"].output) == ((2, 16, 6, 6), (2, 16, 3, 3))
    assert lines["up.0"].input == (2, 64, 3, 3)  # 32 from below, 32 from the skip
    assert sum(line.parameters for line in lines.values()) == parameters(net.unet)
    whole = shapes_of(net, inputs)
    assert [line.name for line in whole] == ["text", "unet"]
    mean = 2 * 2 * 16 * 16  # of 14 words and 2 PAD, which is no part: (B, 1, L) (B, L, dim)
    assert sum(line.flops for line in lines.values()) + mean == whole[1].flops
    assert sum(line.flops for line in whole) == flops(net, *inputs)
    inner = shapes_of(net, inputs, "unet.up.0")
    assert sum(line.flops for line in inner) == lines["up.0"].flops
    text = table(list(lines.values()))
    assert "2 x 64 x 3 x 3" in text and len({len(row) for row in text.splitlines()}) == 1


def test_a_part_that_is_called_twice_has_two_lines():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Linear(3, 3)

        def forward(self, x):
            return self.step(self.step(x))

    lines = shapes_of(Twice(), (torch.randn(1, 3),))
    assert [line.flops for line in lines] == [18, 18]


def test_a_part_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"no part 'unet.bottom' in TextUNet; .* text, unet"):
        shapes_of(reader(), given(), "unet.bottom")


# --- who hears whom -------------------------------------------------------------------------------


def test_influence_of_a_convolution_is_its_kernel():
    conv = nn.Conv2d(2, 3, 3, padding=1)
    heard = influence(conv, torch.randn(1, 2, 7, 7), (2, 4))
    kernel = conv.weight.detach().square().sum((0, 1)).sqrt()
    torch.testing.assert_close(heard[1:4, 3:6], kernel)
    assert int((heard > 0).sum()) == 9


def test_group_norm_lets_every_place_be_heard():
    block = awake(ResidualBlock(8, 8, 4))
    x, embedding = torch.randn(1, 8, 9, 9), torch.randn(1, 4)
    heard = influence(lambda x: block(x, embedding), x, (4, 4))
    assert (heard > 0).all()
    block.norm1, block.norm2 = nn.Identity(), nn.Identity()
    heard = influence(lambda x: block(x, embedding), x, (4, 4))
    assert (heard[2:7, 2:7] > 0).all() and int((heard > 0).sum()) == 25


def test_influence_is_of_one_picture():
    with pytest.raises(ValueError, match=r"batch of one; got 2"):
        influence(nn.Conv2d(2, 2, 1), torch.randn(2, 2, 3, 3), (0, 0))
