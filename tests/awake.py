"""Inputs and networks for tests that compare what a chapter's cells write with the library."""

import torch
from torch import Tensor, nn


def points(*shape: int, seed: int = 1) -> Tensor:
    """Normal numbers in float64, the same ones each time."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def awake(net: nn.Module, seed: int = 0, spread: float = 0.2) -> nn.Module:
    """In float64, and no number zero: zeros hide what does not arrive."""
    random = torch.Generator().manual_seed(seed)
    net.double()
    for p in net.parameters():
        p.data += spread * torch.randn(p.shape, generator=random, dtype=torch.float64)
    return net
