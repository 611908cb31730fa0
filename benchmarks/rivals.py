"""Networks of other libraries for the same latents, as large as ours.

Each is told only what ours is told: diffusers' reads the same vectors by cross-attention; the two
others know no such condition, and are compared with our UNet without one. What a size does not
decide is as their authors set it.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from book.ch05_2_unet.cost import parameters
from minildm.shapes.training import ShapesTraining
from minildm.text import TextUNetConfig
from minildm.unet import UNet, UNetConfig

INSTALL = "pip install --no-deps -r benchmarks/requirements.txt"
LATENT, WORDS = (4, 8, 8), 14  # a picture of captioned shapes, and the length of its caption


class Rival(NamedTuple):
    """A network ``make(*size)`` for each of ``sizes``, and how it is called: z_t, t, context."""

    make: Callable[..., nn.Module]
    sizes: Sequence[tuple[int, ...]]
    call: Callable[[Any, Tensor, Tensor, Tensor | None], Tensor]
    told: bool = False  # whether it reads a context


def ours(context: bool = True) -> UNetConfig:
    """The UNet of the text-to-image model, or the same without a condition."""
    model = ShapesTraining().denoiser.model
    assert isinstance(model, TextUNetConfig)
    return model.conditioned_unet if context else model.unet


@cache
def package(name: str) -> Any:
    """The package of a rival, imported. Raises ImportError where it, or what it needs, is missing.

    denoising_diffusion_pytorch and smalldiffusion import torchvision for data sets that nobody
    asks for here; it does not import beside every PyTorch. While they are imported something else
    stands in its place. diffusers asks whether it is installed, and must not see that.
    """
    if name == "diffusers" or "torchvision" in sys.modules:
        return importlib.import_module(name)
    sys.modules["torchvision"] = MagicMock()
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules["torchvision"]


def why_not(name: str) -> str:
    """Why a rival is left out, in a sentence; "" if it is there."""
    try:
        package(name)
    except ImportError as error:
        return f"{name} is left out: {error} ({INSTALL})"
    return ""


def of_diffusers(
    fine: int, coarse: int = 0, latent: Sequence[int] = LATENT, context_dim: int = 0
) -> nn.Module:
    """Its text-to-image UNet, with levels, blocks, heads and groups like ours.

    For latents (c, h, w) and words of ``context_dim`` numbers, both ours if they are not given; its
    coarse level is as wide as the fine one unless ``coarse`` is given.
    """
    return package("diffusers").UNet2DConditionModel(
        sample_size=latent[1], in_channels=latent[0], out_channels=latent[0],
        down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(fine, coarse or fine), layers_per_block=1,
        norm_num_groups=8,  # 32, its default, divide no width near enough
        attention_head_dim=4,  # by an old mistake of names, the number of heads
        cross_attention_dim=context_dim or ours().context_dim,
    )  # fmt: skip


def of_lucidrains(width: int) -> nn.Module:
    """Two levels of two blocks; linear attention at the finer one, as is its default."""
    return package("denoising_diffusion_pytorch").Unet(width, dim_mults=(1, 1), channels=LATENT[0])


def of_smalldiffusion(width: int, embedding: int) -> nn.Module:
    """Two levels of one block, attention at both, no dropout; widths are multiples of 32."""
    return package("smalldiffusion").Unet(
        LATENT[1], LATENT[0], LATENT[0], ch=width, ch_mult=(1, 1), embed_ch_mult=embedding,
        num_res_blocks=1, attn_resolutions=(8, 4), dropout=0.0,
    )  # fmt: skip


WIDTHS = [(width,) for width in range(32, 257, 8)]
RIVALS = {
    "diffusers": Rival(of_diffusers, WIDTHS, lambda net, z, t, c: net(z, t, c).sample, told=True),
    "denoising_diffusion_pytorch": Rival(of_lucidrains, WIDTHS, lambda net, z, t, c: net(z, t)),
    "smalldiffusion": Rival(
        of_smalldiffusion, [(32 * k, e) for k in range(1, 9) for e in range(1, 9)],
        lambda net, z, t, c: net(z, t / 1000),  # it takes a noise level
    ),
}  # fmt: skip


def best_size(rival: Rival, wanted: int) -> tuple[int, ...]:
    """The size with the number of parameters nearest to ``wanted``; nothing is allocated."""
    with torch.device("meta"):
        return min(rival.sizes, key=lambda size: abs(parameters(rival.make(*size)) - wanted))


def network(name: str) -> nn.Module:
    """A rival's network, with about as many parameters as ours that is told as much."""
    rival = RIVALS[name]
    with torch.device("meta"):
        wanted = parameters(UNet(ours(rival.told)))
    return rival.make(*best_size(rival, wanted))


def inputs(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents (B, 4, 8, 8), times 1..1000 (B,), context (B, 14, dim): the same for all."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(batch, *LATENT, generator=generator)
    t = torch.randint(1, 1000, (batch,), generator=generator)
    return z, t, torch.randn(batch, WORDS, ours().context_dim, generator=generator)
