"""config.json of Stable Diffusion's networks, as diffusers and transformers read it.

Each is the inverse of what reads it, such as ``ConditionalUNetConfig.of``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from minildm.stable_diffusion import mmdit, text
from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig
from minildm.stable_diffusion.mmdit import MMDiT, MMDiTConfig
from minildm.stable_diffusion.text import TextConfig, TextEncoder
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig


def autoencoder_config(cfg: KLAutoencoderConfig) -> dict[str, Any]:
    """vae/config.json of an AutoencoderKL."""
    levels = len(cfg.widths)
    return {
        "_class_name": "AutoencoderKL", "in_channels": cfg.image_channels,
        "out_channels": cfg.image_channels, "latent_channels": cfg.latent_channels,
        "block_out_channels": cfg.widths, "layers_per_block": cfg.blocks, "act_fn": "silu",
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels, "norm_num_groups": cfg.groups,
        "mid_block_add_attention": cfg.attention, "use_quant_conv": cfg.quant_conv,
        "use_post_quant_conv": cfg.post_quant_conv, "scaling_factor": cfg.scaling_factor,
        "shift_factor": cfg.shift_factor or None, "force_upcast": cfg.force_upcast,
    }  # fmt: skip


def unet_config(cfg: ConditionalUNetConfig) -> dict[str, Any]:
    """unet/config.json of a UNet2DConditionModel; ValueError if its middle is as in none there."""
    if cfg.depths[-1] not in (0, cfg.middle):
        both = f"middle must be that of the last level, {cfg.depths[-1]}, or that be 0"
        raise ValueError(f"{both}, for diffusers; got {cfg.middle}")
    kinds = ["CrossAttn" * (depth > 0) for depth in cfg.depths]
    added, (h, w) = cfg.added_dim > 0, cfg.latent_size
    return {
        "_class_name": "UNet2DConditionModel", "sample_size": h if h == w else (h, w),
        "in_channels": cfg.channels + cfg.concat_channels, "out_channels": cfg.channels,
        "block_out_channels": cfg.widths, "layers_per_block": cfg.blocks,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "transformer_layers_per_block": [*(depth or 1 for depth in cfg.depths[:-1]), cfg.middle],
        "attention_head_dim": cfg.heads,  # their name for the number of heads
        "cross_attention_dim": cfg.context_dim, "use_linear_projection": cfg.linear,
        "norm_num_groups": cfg.groups, "norm_eps": cfg.eps, "act_fn": "silu",
        "flip_sin_to_cos": True, "freq_shift": 0,
        "addition_embed_type": "text_time" if added else None,
        "addition_time_embed_dim": cfg.size_dim if added else None,
        "projection_class_embeddings_input_dim": cfg.added_dim if added else None,
    }  # fmt: skip


def transformer_config(cfg: MMDiTConfig) -> dict[str, Any]:
    """transformer/config.json of an SD3Transformer2DModel."""
    return {
        "_class_name": "SD3Transformer2DModel", "out_channels": cfg.channels,
        "caption_projection_dim": cfg.dim, "qk_norm": "rms_norm" if cfg.qk_norm else None,
        **{name: getattr(cfg, here) for name, here in mmdit.FIELDS.items()},
    }  # fmt: skip


def text_config(cfg: TextConfig) -> dict[str, Any]:
    """text_encoder/config.json of a CLIPTextModel, or of one with a projection."""
    kind = "CLIPTextModelWithProjection" if cfg.projection else "CLIPTextModel"
    return {
        "architectures": [kind], "model_type": "clip_text_model",
        "projection_dim": cfg.projection or cfg.dim,
        **{name: getattr(cfg, here) for name, here in text.FIELDS.items()},
    }  # fmt: skip


CONFIGS: Mapping[type[nn.Module], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    KLAutoencoder: ("vae", autoencoder_config), ConditionalUNet: ("unet", unet_config),
    MMDiT: ("transformer", transformer_config), TextEncoder: ("text_encoder", text_config),
}  # fmt: skip
