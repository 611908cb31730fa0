"""The numbered equations of chapter 5.5, text to image, each checked against the package."""

import math

import torch
from registry import Equation

from book.ch05_5_text_to_image.contrastive import contrastive_loss
from minildm.denoise import Denoised, guided
from minildm.layers import Attention

CHAPTER = "05_5_text_to_image"


def cross_attention() -> None:
    """One head, written out place by place and word by word; the layer adds it to its input."""
    torch.manual_seed(0)
    layer = Attention(8, heads=1, context_dim=6)
    with torch.no_grad():
        layer.out.weight.copy_(torch.eye(8))
    x, words = torch.randn(1, 8, 2, 3), torch.randn(1, 5, 6)
    mask = torch.tensor([[True, True, True, False, False]])
    places = layer.norm(x).flatten(2).transpose(1, 2)[0]  # (6, 8)
    with torch.no_grad():
        q, (k, v) = layer.query(places), layer.key_value(words[0]).chunk(2, dim=1)
    for i in range(6):
        scores = [math.exp(float(q[i] @ k[j]) / math.sqrt(8)) for j in range(3)]
        read = sum(s / sum(scores) * v[j] for j, s in enumerate(scores))
        got = (layer(x, words, mask) - x).flatten(2)[0, :, i]
        torch.testing.assert_close(got, read, rtol=1e-4, atol=1e-5)


def _two(value_c: float, value_n: float):
    return [
        lambda z, t, v=v: Denoised(torch.full_like(z, -v), torch.full_like(z, v))
        for v in (value_c, value_n)
    ]


def guidance() -> None:
    z = torch.zeros(2, 3)
    for w in (0.0, 0.5, 1.0, 2.5):
        got = guided(*_two(0.5, 0.2), w)(z, torch.tensor(1)).eps
        torch.testing.assert_close(got, torch.full_like(z, 0.2 + w * (0.5 - 0.2)))


def negative_prompt() -> None:
    z = torch.zeros(2, 3)
    for w in (2.0, 3.0):
        got = guided(*_two(0.5, -0.7), w)(z, torch.tensor(1)).eps
        torch.testing.assert_close(got, torch.full_like(z, -0.7 + w * (0.5 + 0.7)))


def matching() -> None:
    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(2)).double()
    e = similarity.exp()
    wanted = sum(
        -math.log(e[i, i] / e[i].sum()) - math.log(e[i, i] / e[:, i].sum()) for i in range(4)
    ) / (2 * 4)
    torch.testing.assert_close(float(contrastive_loss(similarity).mean()), wanted)


EQUATIONS = [
    Equation(
        "5.5.1", CHAPTER, "attention over words, padding left out", "minildm.layers.Attention",
        cross_attention,
    ),
    Equation("5.5.2", CHAPTER, "guidance", "minildm.denoise.guided", guidance),
    Equation("5.5.3", CHAPTER, "a negative prompt", "minildm.denoise.guided", negative_prompt),
    Equation(
        "5.5.4", CHAPTER, "the contrastive loss",
        "book.ch05_5_text_to_image.contrastive.contrastive_loss", matching
    ),
]  # fmt: skip
