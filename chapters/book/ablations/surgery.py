"""Networks with one part taken out: what was it for?

Skips and time are silenced by hooks, so that sizes, parameters and cost stay the same, and only
what flows is missing. A hook is part of the experiment, not of the weights: it is not saved.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minildm.text import TextUNet
from minildm.unet import Stage, UNet


def without_skips(net: UNet | TextUNet) -> None:
    """Zeros in the place of what the way down hands to the way up."""
    unet = _unet(net)
    channels = unet.middle.block.norm1.num_channels  # of what comes from below
    for stage in unet.up:
        stage.register_forward_pre_hook(_KeepFirst(channels))
        channels = stage.block.conv1.out_channels


def without_time(net: UNet | TextUNet) -> None:
    """The network is told t = 0, always: its embedding, before any layer sees it."""
    _unet(net).embed_time.register_forward_pre_hook(_first_input_zero)


def without_self_attention(net: UNet | TextUNet) -> None:
    """Positions no longer look at one another; reading the words stays."""
    for part in _unet(net).modules():
        if isinstance(part, Stage):
            part.attend = None


def without_cross_attention(net: UNet | TextUNet) -> None:
    """No place reads the words any more; their mean in the time embedding, if any, stays."""
    for part in _unet(net).modules():
        if isinstance(part, Stage):
            part.read = None


SURGERY: dict[str, Callable[[UNet | TextUNet], None]] = {
    "skips": without_skips,
    "self-attention": without_self_attention,
    "time": without_time,
}
PARTS = {**SURGERY, "cross-attention": without_cross_attention}  # of networks that read, too


def remove(net: UNet | TextUNet, part: str) -> UNet | TextUNet:
    """``net`` without one of its ``PARTS``; "" takes nothing out. ValueError for others."""
    if part:
        if part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}; got {part!r}")
        PARTS[part](net)
    return net


class _KeepFirst:
    """A hook: of the input's channels, only the first ``channels`` keep their values."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, _: nn.Module, inputs: tuple) -> tuple:
        x, *others = inputs
        h, skip = x.split([self.channels, x.shape[1] - self.channels], dim=1)
        return torch.cat([h, torch.zeros_like(skip)], dim=1), *others


def _first_input_zero(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """A hook. cos(0) = 1 and sin(0) = 0: the embedding of t = 0."""
    (embedding,) = inputs
    half = embedding.shape[1] // 2
    zero = torch.zeros_like(embedding)
    zero[:, :half] = 1
    return (zero,)


def _unet(net: UNet | TextUNet) -> UNet:
    return net.unet if isinstance(net, TextUNet) else net
