"""LoRA: a trained network learns something new, and all of its own weights stay .

    W x   becomes   W x + alpha / r · B A x,        A (r, in), B (out, r), r small

B starts at zero, so the network begins as it was. A change of rank r has r (in + out) numbers,
where W has in · out. Hu et al. 2022 (arXiv 2106.09685), equation 3.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.layers import Attention

PROJECTIONS = ("query", "key_value", "out")  # of each attention layer


class LowRank(nn.Module):
    """A frozen linear layer, and beside it the change that is learned: W + alpha / r · B A."""

    def __init__(self, frozen: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.frozen, self.ratio = frozen.requires_grad_(False), alpha / rank
        W = frozen.weight  # (out, in)
        self.A = nn.Parameter(torch.randn(rank, W.shape[1]).to(W) / math.sqrt(W.shape[1]))
        self.B = nn.Parameter(W.new_zeros(W.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        change = F.linear(F.linear(x, self.A), self.B)  # (*, in) -> (*, r) -> (*, out)
        return self.frozen(x) + self.ratio * change

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One linear layer that does the same; the frozen one stays as it is."""
        bias = self.frozen.bias
        layer = nn.Linear(self.A.shape[1], self.B.shape[0], bias is not None).to(self.B)
        layer.weight.copy_(self.frozen.weight + self.ratio * self.B @ self.A)
        if bias is not None:
            layer.bias.copy_(bias)
        return layer.requires_grad_(False)


def add_lora(net: nn.Module, rank: int = 4, alpha: float = 4.0) -> nn.Module:
    """Freeze ``net``, and put a change of this rank beside its attention's projections.

    Self-attention and cross-attention alike; a text encoder, whose layers are others, is frozen as
    it is. Changes ``net`` in place and returns it. Raises ValueError for a rank below 1 or an alpha
    that is not above 0, for a network without attention, and for one that has a LoRA.
    """
    rank, alpha = inputs.whole("rank", rank, 1), inputs.real("alpha", alpha)
    if alpha <= 0:
        raise ValueError(f"alpha must be above 0; got {alpha}: at 0 nothing could be learned")
    layers = [part for part in net.modules() if isinstance(part, Attention)]
    if not layers:
        raise ValueError(f"net has no attention layer to change; got a {type(net).__name__}")
    if low_rank(net):
        raise ValueError("net has a LoRA: call remove_lora or merge_lora before you add another")
    net.requires_grad_(False)
    for layer in layers:
        for name in PROJECTIONS:
            setattr(layer, name, LowRank(getattr(layer, name), rank, alpha))
    return net


def merge_lora(net: nn.Module) -> nn.Module:
    """The changes go into the weights: the same outputs, and no layer more than before."""
    return _replace(net, LowRank.merged)


def remove_lora(net: nn.Module) -> nn.Module:
    """The changes are taken out: the network is again what it was, bit for bit."""
    return _replace(net, lambda layer: layer.frozen)


def low_rank(net: nn.Module) -> list[LowRank]:
    """The layers of ``net`` that have a change beside them."""
    return [part for part in net.modules() if isinstance(part, LowRank)]


def learned(net: nn.Module) -> int:
    """How many numbers a training of ``net`` would change."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def _replace(net: nn.Module, by: Callable[[LowRank], nn.Linear]) -> nn.Module:
    for layer in [part for part in net.modules() if isinstance(part, Attention)]:
        for name in PROJECTIONS:
            if isinstance(projection := getattr(layer, name), LowRank):
                setattr(layer, name, by(projection))
    return net
