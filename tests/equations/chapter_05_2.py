"""The numbered equations of chapter 5.2, the network, each checked against the package."""

import math

import torch
import torch.nn.functional as F
from registry import Equation, close, points
from torch import nn

from book.ch05_2_unet.cost import flops
from minildm.layers import GROUPS, Attention, ResidualBlock, time_embedding

CHAPTER = "05_2_unet"


def awake(layer: nn.Module) -> nn.Module:
    """In float64, and no weight zero: zeros hide what does not arrive."""
    layer = layer.double()
    for i, parameter in enumerate(layer.parameters()):
        parameter.data += 0.3 * points(*parameter.shape, seed=i)
    return layer


def normed(h, norm):
    """Group norm by hand: each of GROUPS groups of channels to mean 0 and variance 1."""
    groups = h.reshape(len(h), GROUPS, -1)
    groups = (groups - groups.mean(2, keepdim=True)) / (
        groups.var(2, correction=0, keepdim=True) + norm.eps
    ).sqrt()
    return groups.reshape(h.shape) * norm.weight[:, None, None] + norm.bias[:, None, None]


def silu(h):
    return h / (1 + (-h).exp())


@torch.no_grad()
def residual_block() -> None:
    for c_in, c_out in ((16, 16), (24, 16)):
        block, f, e = awake(ResidualBlock(c_in, c_out, 5)), points(2, c_in, 4, 3), points(2, 5)
        both = (e @ block.modulate.weight.T + block.modulate.bias)[:, :, None, None]
        gamma, delta = both[:, :c_out], both[:, c_out:]
        inner = F.conv2d(silu(normed(f, block.norm1)), block.conv1.weight, block.conv1.bias, 1, 1)
        inner = (1 + gamma) * normed(inner, block.norm2) + delta
        inner = F.conv2d(silu(inner), block.conv2.weight, block.conv2.bias, 1, 1)
        carried = f
        if c_in != c_out:
            carried = torch.einsum("oi,bihw->bohw", block.skip.weight[:, :, 0, 0], f)
            carried = carried + block.skip.bias[:, None, None]
        close(block(f, e), carried + inner)


def embedding_of_time() -> None:
    d = 12
    for t in (1, 37, 1000):
        got = time_embedding(torch.tensor([t]), d)[0]
        omega = [10_000 ** (-2 * i / d) for i in range(d // 2)]
        by_hand = [math.cos(w * t) for w in omega] + [math.sin(w * t) for w in omega]
        close(got, by_hand, 1e-4)  # float32 angles


def similarity_of_times() -> None:
    d, t = 96, torch.arange(0, 1001, 50)
    phi = time_embedding(t, d).double()
    omega = 10_000 ** (-2 * torch.arange(d // 2, dtype=torch.float64) / d)
    difference = (t[:, None] - t[None]).double()
    close(phi @ phi.T, torch.cos(omega * difference[..., None]).sum(-1), 2e-3)
    close(phi.square().sum(1), torch.full((len(t),), d / 2), 1e-3)


@torch.no_grad()
def attention() -> None:
    layer, f, context = awake(Attention(8, 2, 5)), points(2, 8, 2, 3), points(2, 4, 5)
    tokens = normed(f, layer.norm).reshape(2, 8, 6).transpose(1, 2)
    q = tokens @ layer.query.weight.T
    k, v = (context @ layer.key_value.weight.T).split(8, dim=2)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = (q[:, :, part] @ k[:, :, part].transpose(1, 2)) / math.sqrt(4)
        a = scores.exp() / scores.exp().sum(2, keepdim=True)
        heads.append(a @ v[:, :, part])
    h = torch.cat(heads, 2) @ layer.out.weight.T + layer.out.bias
    close(layer(f, context), f + h.transpose(1, 2).reshape(f.shape))


def cost_of_attention() -> None:
    for C, side, heads in ((96, 8, 4), (16, 5, 2), (32, 16, 1)):
        N = side * side
        by_formula = 8 * N * C**2 + 4 * N**2 * C
        assert flops(Attention(C, heads), torch.zeros(1, C, side, side)) == by_formula


EQUATIONS = [
    Equation(
        "5.2.1", CHAPTER, "the residual block", "minildm.layers.ResidualBlock", residual_block
    ),
    Equation(
        "5.2.2", CHAPTER, "the embedding of time", "minildm.layers.time_embedding",
        embedding_of_time,
    ),
    Equation(
        "5.2.3", CHAPTER, "how alike two times look", "minildm.layers.time_embedding",
        similarity_of_times,
    ),
    Equation("5.2.4", CHAPTER, "attention", "minildm.layers.Attention", attention),
    Equation(
        "5.2.5", CHAPTER, "what self-attention costs",
        "book.ch05_2_unet.cost.flops", cost_of_attention
    ),
]  # fmt: skip
