"""Small networks of diffusers with random weights: what ours must compute, number for number."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

CONTEXT, POOLED, SIZE_DIM = 24, 16, 8  # sizes of the small networks' conditions
UNETS: dict[str, dict[str, Any]] = {
    "sd1": {"attention_head_dim": 4},
    "sd2": {"attention_head_dim": [1, 2, 4, 4], "use_linear_projection": True},
    "inpainting": {"attention_head_dim": 4, "in_channels": 9},
    "sdxl": {
        "block_out_channels": [16, 32, 32],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [1, 2, 4], "transformer_layers_per_block": [1, 2, 3],
        "use_linear_projection": True, "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZE_DIM,
        "projection_class_embeddings_input_dim": POOLED + 6 * SIZE_DIM,
    },
}  # fmt: skip
VAES: dict[str, dict[str, Any]] = {
    "sd1": {}, "sd3": {
        "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False,
        "scaling_factor": 1.5305, "shift_factor": 0.0609,
    },
}  # fmt: skip


def randomise(module: nn.Module, seed: int) -> nn.Module:
    """Every parameter random, biases and norms too: as they begin, 0 and 1, they hide mistakes.

    Parameters that are drawn in float64, sorted by name, so that two modules with the same names
    get the same numbers. Norms' weights lie around 1, all else around 0.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() > 1:
                value = draw / parameter[0].numel() ** 0.5  # keeps the size of what passes through
            else:
                value = 0.3 * draw + ("norm" in name and name.endswith("weight"))
            parameter.copy_(value)
    return module.eval()


def reference_unet(kind: str = "sd1", dtype: torch.dtype = torch.float64, seed: int = 1) -> Any:
    """A ``UNet2DConditionModel`` of one of ``UNETS``."""
    diffusers = pytest.importorskip("diffusers")
    config = {
        "sample_size": 8, "block_out_channels": [16, 32, 32, 32], "layers_per_block": 2,
        "norm_num_groups": 8, "cross_attention_dim": CONTEXT, **UNETS[kind],
    }  # fmt: skip
    return nn.Module.to(randomise(diffusers.UNet2DConditionModel(**config), seed), dtype)


def reference_autoencoder(
    kind: str = "sd1", dtype: torch.dtype = torch.float64, seed: int = 2
) -> Any:
    """An ``AutoencoderKL`` of one of ``VAES``, whose latents are four times smaller."""
    diffusers = pytest.importorskip("diffusers")
    config = {
        "block_out_channels": [8, 16, 16], "layers_per_block": 2, "norm_num_groups": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "up_block_types": ["UpDecoderBlock2D"] * 3, **VAES[kind],
    }  # fmt: skip
    return nn.Module.to(randomise(diffusers.AutoencoderKL(**config), seed), dtype)


def unet_inputs(
    kind: str, dtype: torch.dtype = torch.float64, size: tuple[int, int] = (8, 8), batch: int = 2
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """(z_t, t, context, added) for one of ``UNETS``; t is the network's own, 0..999."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    z_t = draw(batch, UNETS[kind].get("in_channels", 4), *size)
    t = torch.randint(1000, (batch,), generator=generator)
    added = None
    if kind == "sdxl":
        sizes = torch.randint(1024, (batch, 6), generator=generator).to(dtype)
        added = draw(batch, POOLED), sizes
    return z_t, t, draw(batch, 7, CONTEXT), added


def call_unet(
    reference: Any, z_t: Tensor, t: Tensor, context: Tensor, added: tuple[Tensor, Tensor] | None
) -> Tensor:
    """The reference's output for our arguments."""
    extra = None if added is None else {"text_embeds": added[0], "time_ids": added[1]}
    with torch.no_grad():
        return reference(z_t, t, context, added_cond_kwargs=extra).sample


def error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, in units of the largest output."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    return float((ours - theirs).abs().max() / theirs.abs().max())
