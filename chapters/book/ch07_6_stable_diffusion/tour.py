"""A tour of Stable Diffusion's networks: where numbers are, where time goes, how large they get.

    example   arguments of one call, on the meta device
    shares    parameters and operations of one call, by resolution and by kind of layer
    largest   the largest number that leaves each layer of a decoder

Shapes suffice for the first two: the network stands on the meta device, and nothing is computed.
"""

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minildm.stable_diffusion.blocks import Attention, Downsample, ResnetBlock, Upsample
from minildm.stable_diffusion.unet import ConditionalUNet

KINDS = ("residual", "self-attention", "cross-attention", "feed-forward", "the rest")


class Share(NamedTuple):
    """Numbers that are learned, and operations of one call with one latent."""

    parameters: int = 0
    flops: int = 0

    def plus(self, parameters: int, flops: int) -> "Share":
        return Share(self.parameters + parameters, self.flops + flops)


def example(net: ConditionalUNet, batch: int = 1) -> list:
    """Arguments of a call, on the meta device: z_t, t, context, and SDXL's added condition."""
    cfg = net.config
    with torch.device("meta"):
        z_t = torch.empty(batch, net.conv_in.in_channels, *cfg.latent_size)
        found = [z_t, torch.zeros(batch), torch.empty(batch, 77, cfg.context_dim)]
        if cfg.added_dim:
            pooled = torch.empty(batch, cfg.added_dim - 6 * cfg.size_dim)
            found.append((pooled, torch.empty(batch, 6)))
    return found


@torch.no_grad()
def shares(net: ConditionalUNet) -> dict[tuple[int, str], Share]:
    """(height of the latent there, kind) -> ``Share``, for a UNet on the meta device.

    They sum to the whole network. The rest, whatever its height, stands at the full one: time,
    norms, the layers at both ends and around each transformer.
    """
    heights: dict[str, int] = {}
    hooks = [
        module.register_forward_hook(_noting(heights, name, net.config.latent_size))
        for name, module in net.named_modules()
        if _kind(name, module)
    ]
    # MATH: attention as matrix products, which the counter knows
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(*example(net))
    for hook in hooks:
        hook.remove()
    counted, modules = counter.get_flop_counts(), dict(net.named_modules())
    found: dict[tuple[int, str], Share] = defaultdict(Share)
    for name, height in heights.items():
        module = modules[name]
        own = sum(p.numel() for p in module.parameters())
        flops = sum(counted[f"{type(net).__name__}.{name}"].values())
        key = height, _kind(name, module)
        found[key] = found[key].plus(own, flops)
    rest = sum(p.numel() for p in net.parameters()) - sum(s.parameters for s in found.values())
    rest_flops = counter.get_total_flops() - sum(s.flops for s in found.values())
    found[net.config.latent_size[0], KINDS[-1]] = Share(rest, rest_flops)
    return dict(found)


def _kind(name: str, module: nn.Module) -> str:
    """One of KINDS but the last; "" for what is no such layer."""
    if isinstance(module, ResnetBlock | Downsample | Upsample):
        return "residual"
    if isinstance(module, Attention):
        return "self-attention" if name.endswith("attn1") else "cross-attention"
    return "feed-forward" if name.endswith("ff.net") else ""


def _noting(heights: dict[str, int], name: str, size: tuple[int, ...]):
    """A hook that notes the height of what leaves a layer: a picture, or its pixels as tokens."""

    def note(module, args, output):
        if output.dim() == 4:
            heights[name] = output.shape[2]  # (B, C, h, w)
        else:  # (B, h·w, C)
            heights[name] = round((output.shape[1] * size[0] / size[1]) ** 0.5)

    return note


@torch.no_grad()
def largest(decoder: nn.Module, z: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """(the decoded z, {layer: the largest number that leaves it}), along the stream of a decoder.

    Layers that are named are those that write to the stream: the first convolution, residual
    blocks, the attention, and each doubling of the size.
    """
    found: dict[str, float] = {}
    hooks = []
    for name, layer in decoder.named_modules():
        if isinstance(layer, ResnetBlock | Attention | Upsample) or name == "conv_in":

            def note(module, args, output, name=name):
                found[name] = float(output.abs().max())

            hooks.append(layer.register_forward_hook(note))
    x = decoder(z)
    for hook in hooks:
        hook.remove()
    return x, found
