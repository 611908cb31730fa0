"""The optimiser of a training, and its moments put back where a training goes on."""

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from minildm.engine.batches import FitConfig
from minildm.engine.muon import Muon


def make_optimizer(
    net: nn.Module, config: FitConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW or Muon, as ``config`` says."""
    if config.optimizer == "muon":
        return Muon(net, config.lr, weight_decay=config.weight_decay)
    fused = device.type in ("cpu", "cuda")
    return torch.optim.AdamW(
        net.parameters(), config.lr, (0.9, 0.99), weight_decay=config.weight_decay, fused=fused
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back moments named "index.kind", in the memory layout of their parameters.

    The layout matters: sums run over memory, and another order rounds differently. Raises
    ValueError, IndexError or RuntimeError for moments that are not of these parameters.
    """
    parameters = list(itertools.chain(*(group["params"] for group in optimizer.param_groups)))
    state: dict[int, dict] = {}
    for name, value in tensors.items():
        index, kind = name.split(".", 1)
        like = parameters[int(index)]
        if value.dim() and value.shape != like.shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(like.shape)}")
        if value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[kind] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
