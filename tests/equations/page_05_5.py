"""What the letters of chapters 5.5 and 5.6 stand for: values that the package computed."""

import math

import torch
from chapter_05_6 import FORMATS, MODEL
from latexvalue import Operator, Rule
from pageforms import shows
from registry import points
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from book.ch05_2_unet.cost import flops, parameters
from book.ch05_5_text_to_image.contrastive import contrastive_loss
from book.ch05_6_gpu.memory import estimate
from minildm.layers import Attention
from minildm.unet import UNet, UNetConfig


def _over(name: str, values) -> Operator:
    """A sum over a letter's values."""
    return Operator(lambda rest: sum(rest({name: value}) for value in values))


@shows("5.5.1")
@torch.no_grad()
def cross_attention():
    """One head over five words, the last two of them padding."""
    torch.manual_seed(0)
    layer = Attention(8, heads=1, context_dim=6).double()
    layer.out.weight.copy_(torch.eye(8))
    x, words = points(1, 8, 2, 3), points(1, 5, 6)
    mask = torch.tensor([[True, True, True, False, False]])
    q = layer.query(layer.norm(x).flatten(2).transpose(1, 2)[0])  # (6, 8)
    k, v = layer.key_value(words[0]).chunk(2, dim=1)
    a = torch.where(mask, q @ k.T / math.sqrt(8), -torch.inf).softmax(1)
    read = (layer(x, words, mask) - x).flatten(2)[0].T
    for i in (0, 4):
        for j in (1, 3):
            yield {
                r"\text{read}_i": read[i], "q_i": q[i], "d": 8, r"\sum_j": _over("j", range(5)),
                r"\sum_l": _over("l", range(5)), r"\cdot": torch.dot, "j": j,
                "a_{ij}": Rule(lambda values, i=i: a[i, values["j"]]),
                "k_": lambda n: k[n], "v_": lambda n: v[n], "m_": lambda n: float(mask[0, n]),
                "tolerance": 1e-6,
            }  # fmt: skip


@shows("5.5.4")
def matching():
    B, tau, p, c = 4, 1.7, points(4, 3), points(4, 3, seed=1)
    yield {
        r"\mathcal L": contrastive_loss(tau * p @ c.T).mean(), "B": B, r"\tau": tau,
        "p_": lambda i: p[int(i) - 1], "c_": lambda i: c[int(i) - 1], r"\cdot": torch.dot,
        r"\sum_j": _over("j", range(1, 5)),
    }  # fmt: skip


def _tight(a, b) -> bool:
    """The bound holds, and is reached: a bit more or less would not fit."""
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return bool((a <= b).all() and (a > 0.98 * b).any())


@shows("5.6.1")
def rounding():
    x = torch.rand(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    digits = {dtype: 1 - round(math.log2(torch.finfo(dtype).eps)) for dtype in FORMATS}
    for dtype, p in digits.items():
        yield {
            r"\mathrm{round}": lambda x, dtype=dtype: x.to(dtype).double(), "x": x, "p": p,
            r"\le": _tight, "=": lambda a, b, p=p: a is p and b == digits[torch.float32],
            "values": [digits[torch.float16], digits[torch.bfloat16]],
        }  # fmt: skip


@shows("5.6.2")
def loss_scaling():
    low, high, s = 2.0**-14, 65504.0, 2.0**10
    steps = torch.linspace(math.log(low), math.log(high), 20_000, dtype=torch.float64).exp()
    g = steps.clamp(low, high) / s
    yield {
        r"\hat g": (s * g).half().double() / s, "g": g, "s": s, r"\le": _tight,
        r"\mathrm{round}_{16}": lambda x: x.half().double(),
    }  # fmt: skip


@shows("5.6.3")
def accumulated_gradient():
    """A batch of seven in three uneven parts; any loss that depends on theta will do."""
    theta, x = points(4).requires_grad_(True), points(7, 4, seed=1)
    parts = {1: (1, 2), 2: (3, 4, 5, 6), 3: (7,)}
    yield {
        r"\nabla_\theta": Operator(lambda rest: torch.autograd.grad(rest({}), theta)[0]), "B": 7,
        r"\ell_": lambda i: torch.sin(x[int(i) - 1] @ theta) ** 2, "k": 3,
        r"\sum_{i \in P_j}": Rule(lambda values: _over("i", parts[values["j"]])),
    }  # fmt: skip


@shows("5.6.4")
def memory():
    net = UNet(MODEL)
    weights, gradients, moments, average, *_ = parts = estimate(net, activations=7 * 3)
    yield {
        "M": parts.total, "n": parameters(net), "A": 7, "B": 3, r"\text{weights}": weights,
        r"\text{gradients}": gradients, r"\text{two moments}": moments, r"\text{average}": average,
        r"\text{activations}": 21,
    }  # fmt: skip


@shows("5.6.5")
def training_operations():
    """The gradients of one step, counted, for a training of N = 10 such steps."""
    net = UNet(UNetConfig(channels=2, width=32, classes=3))
    z, t, c = torch.randn(4, 2, 7, 7), torch.ones(4, dtype=torch.int64), torch.zeros(4).long()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(z, t, c).square().mean().backward()
    yield {
        r"F_{\text{training}}": 10 * counter.get_total_flops(), "B": 4, "N": 10,
        r"F_{\text{forward}}": flops(net, z[:1], t[:1], c[:1]),
    }  # fmt: skip
