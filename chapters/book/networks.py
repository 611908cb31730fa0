"""A network of one class as a folder: the book's judges. A latent diffusion model saves itself."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from minildm.files.checkpoint import (
    CheckpointError,
    build_for,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    write_figures,
)


def save_network(net: nn.Module, config: Any, metrics: Mapping, folder: str | Path) -> None:
    """Write a network of one class: weights, its dataclass ``config``, and measured figures."""
    save_checkpoint(folder, net.state_dict(), {"model": type(net).__name__, **asdict(config)})
    write_figures(metrics, folder)


def load_network(kind: type[nn.Module], folder: str | Path) -> nn.Module:
    """``kind(width)`` as ``save_network`` wrote it, in evaluation mode.

    Raises FileNotFoundError if it is missing, CheckpointError if it is damaged or something else.
    """
    tensors, config = load_checkpoint(folder)
    width = config.get("width")
    if config.get("model") != kind.__name__ or type(width) is not int or not 0 < width < 2**16:
        raise CheckpointError(f"{folder} does not hold a {kind.__name__}; give another folder")
    net = build_for(lambda: kind(width), tensors, folder)
    load_weights(net, tensors, folder)
    return net.eval()
