"""The networks of all relatives: the same kind of MLP, so that only the idea differs."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from minildm.layers import time_embedding

HIDDEN = 3  # hidden layers of each network
TIME = 32  # numbers that tell a network which time it is


def mlp(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """``HIDDEN`` hidden layers of ``width`` and SiLU: (B, inputs) -> (B, outputs).

    SiLU is smooth, so that the network has a divergence everywhere (likelihood.py). The weights
    start as He et al. 2015 (arXiv 1502.01852), eq. 10, propose: torch's own start is so small that
    a network of this depth first learns the coarse shape of the data alone, for thousands of steps.
    """
    sizes = [inputs] + [width] * HIDDEN + [outputs]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layer = nn.Linear(before, after)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class TimeMLP(nn.Module):
    """``mlp`` of a point and an embedding of the time: (z_t (B, d), t (B,)) -> (B, d)."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.body = mlp(d + TIME, d, width)

    def forward(self, z_t: Tensor, t: Tensor, condition: None = None) -> Tensor:
        """There is nothing to condition on: ``condition`` is what ``network_denoiser`` passes."""
        return self.body(torch.cat([z_t, time_embedding(t, TIME).to(z_t)], dim=1))  # (B, d + TIME)
