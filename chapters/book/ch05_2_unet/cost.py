"""What a network costs: its parameters, and the floating-point operations of one call.

A multiplication and an addition count as two operations. Counted are convolutions and matrix
products (attention included), which are nearly all; norms, activations and sums are not.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minildm.latent import LatentDiffusion
from minildm.text import TextUNet
from minildm.words import NULL


class Cost(NamedTuple):
    """``parameters``: numbers that are learned; ``flops``: operations of one call, one sample."""

    parameters: int
    flops: int


def parameters(net: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in net.parameters())


def flops(call: Callable, *inputs: Tensor) -> int:
    """Operations of ``call(*inputs)``, those of gradients included where it computes them."""
    # MATH: attention as matrix products, which the counter knows
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call(*inputs)
    return counter.get_total_flops()


@torch.no_grad()
def costs(model: LatentDiffusion) -> dict[str, Cost]:
    """The parts of a latent diffusion model, and what each costs for one image.

    The denoiser's is one network evaluation; guidance needs two per step. Its text encoder runs
    once per prompt, whatever the number of steps.
    """
    autoencoder, network = model.autoencoder, model.network
    side = autoencoder.config.factor
    h, w = (side * n for n in model.latent_shape[1:])
    x = torch.zeros(1, autoencoder.config.image_channels, h, w, device=model.device)
    z = torch.zeros(1, *model.latent_shape, device=model.device)
    table = {
        "encoder": Cost(parameters(autoencoder.encoder), flops(autoencoder.encode, x)),
        "decoder": Cost(parameters(autoencoder.decoder), flops(autoencoder.decode, z)),
    }
    t, condition, read = torch.ones(1, dtype=torch.int64, device=model.device), None, 0
    if isinstance(network, TextUNet):
        shape = 1, network.config.text.length
        tokens = torch.full(shape, NULL, dtype=torch.int64, device=model.device)
        condition, read = network.encode(tokens), parameters(network.text)
        table["text encoder"] = Cost(read, flops(network.encode, tokens))
    denoiser = flops(network, z, t, condition)
    table["denoiser"] = Cost(parameters(network) - read, denoiser)
    return table


def cost_lines(model: LatentDiffusion, steps: int = 25) -> list[str]:
    """The table of ``costs`` as text, and the cost of an image made with ``steps`` evaluations."""
    table = costs(model)
    lines = [f"{'':14}{'parameters':>12}{'MFLOP, one image':>18}"]
    lines += [f"{name:14}{c.parameters:12,}{c.flops / 1e6:18,.1f}" for name, c in table.items()]
    once = sum(c.flops for name, c in table.items() if name in ("text encoder", "decoder"))
    for name, calls in (("no guidance", 1), ("guidance", 2)):
        total = once + steps * calls * table["denoiser"].flops
        lines.append(f"{steps} steps, {name}: {total / 1e9:.2f} GFLOP per image")
    return lines
