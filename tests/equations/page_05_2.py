"""What the letters of chapter 5.2 stand for: weights and outputs of the package's layers."""

import math

import torch
from chapter_05_2 import awake, normed, silu
from latexbuiltin import MATRICES
from pageforms import shows
from registry import points

from book.ch05_2_unet.cost import flops
from minildm.layers import Attention, ResidualBlock, time_embedding


@shows("5.2.1")
@torch.no_grad()
def residual_block():
    block, f, e = awake(ResidualBlock(24, 16, 5)), points(2, 24, 4, 3), points(2, 5)
    norms = {24: block.norm1, 16: block.norm2}  # GN is that of as many channels as it gets
    modulation = block.modulate(e)
    gamma, delta = (part[:, :, None, None] for part in modulation.split(16, 1))

    def same(left, right):
        left = torch.cat(left, 1)[:, :, 0, 0] if isinstance(left, tuple) else left
        return left.shape == right.shape and (left - right).abs().max() < 1e-8

    yield {
        "y": block(f, e), "f": f, "e": e, r"\gamma": gamma, r"\delta": delta, "S": block.skip,
        "W_1": block.conv1, "W_2": block.conv2, "*": lambda weight, h: weight(h),
        r"\mathrm{silu}": silu, r"\mathrm{GN}": lambda h: normed(h, norms[h.shape[1]]), "=": same,
        "U": lambda e: e @ block.modulate.weight.T, "u": block.modulate.bias,
    }  # fmt: skip


@shows("5.2.2")
def embedding_of_time():
    m = 4
    for t in (1, 37, 1000):
        phi = time_embedding(torch.tensor([t]), m)[0].double()
        for i in (1, 2):
            omega = {1: 1.0, 2: 0.01}  # 10,000 ** (-2 (i - 1) / m)
            yield {
                r"\phi(t)": phi, "t": t, "m": m, "i": i, "tolerance": 1e-4,
                r"\omega_": lambda n, omega=omega: omega[round(float(n))],
            }  # fmt: skip


@shows("5.2.3")
def similarity_of_times():
    m = 16
    for t, other in ((3, 40), (500, 480)):
        yield {
            r"\phi": lambda t: time_embedding(torch.tensor([t]), m)[0].double(), "t": t,
            "t'": other,
            r"\cdot": torch.dot, r"\omega_": lambda i: 10_000 ** (-2 * (i - 1) / m), "m": m,
            "tolerance": 1e-4,
        }  # fmt: skip


@shows("5.2.4")
@torch.no_grad()
def attention():
    """Two heads of four numbers each."""
    layer, f, context = awake(Attention(8, 2, 5)), points(1, 8, 2, 3), points(1, 4, 5)
    tokens = normed(f, layer.norm).reshape(8, 6).T
    q = (tokens @ layer.query.weight.T).split(4, 1)
    k, v = ((context[0] @ w.T).split(4, 1) for w in layer.key_value.weight.split(8))
    each = [(a @ b.T / math.sqrt(4)).exp() for a, b in zip(q, k, strict=True)]
    each = [a / a.sum(1, keepdim=True) for a in each]

    def merge(*heads):
        return layer.out(torch.cat(heads, 1)).T.reshape(1, 8, 2, 3)

    for head in (0, 1):
        yield MATRICES | {
            "A": each[head], "Q": q[head], "K": k[head], "d": 4, "f": f, "y": layer(f, context),
            r"\mathrm{softmax}": lambda scores: torch.softmax(scores, -1), "W_o": merge,
            "A_1": each[0], "A_4": each[1], "V_1": v[0], "V_4": v[1],
        }  # fmt: skip


@shows("5.2.5")
def cost_of_attention():
    for C, side, heads in ((96, 8, 4), (16, 5, 2)):
        yield {
            r"\text{operations}": flops(Attention(C, heads), torch.zeros(1, C, side, side)),
            "N": side**2, "C": C,
        }  # fmt: skip
