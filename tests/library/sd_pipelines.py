"""Whole small pipelines of diffusers with random weights, as folders and as files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sd_reference import CONTEXT, POOLED, randomise, reference_autoencoder, reference_unet
from sd_reference_text import END, reference_tokenizer, vocabulary
from torch import Tensor

KINDS = ("sd1", "sd2", "inpainting", "sdxl", "sd3")
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def text_model(kind: str, dim: int, projection: int, seed: int) -> Any:
    """A CLIP of this width that knows the small vocabulary; with a projection if there is one."""
    transformers = pytest.importorskip("transformers")
    words = len(vocabulary()[0])
    config = transformers.CLIPTextConfig(
        vocab_size=words, hidden_size=dim, intermediate_size=40, num_attention_heads=4,
        num_hidden_layers=3, projection_dim=projection or 8, hidden_act=kind,
        bos_token_id=words - 2, eos_token_id=words - 1, pad_token_id=0,
    )  # fmt: skip
    model = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    config.architectures = [model.__name__]
    return randomise(model(config), seed)


def noise_schedule(kind: str) -> Any:
    """The scheduler that a kind's folder has: DDIM, or Euler's method on a flow."""
    diffusers = pytest.importorskip("diffusers")
    if kind == "sd3":
        return diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    target = "v_prediction" if kind == "sd2" else "epsilon"
    return diffusers.DDIMScheduler(
        **NOISE, prediction_type=target, clip_sample=False, steps_offset=1,
        rescale_betas_zero_snr=kind == "sd2", timestep_spacing="leading",
    )  # fmt: skip


def pipeline(kind: str, dtype: torch.dtype = torch.float64) -> Any:
    """A small pipeline of diffusers: all its parts random."""
    diffusers = pytest.importorskip("diffusers")
    diffusers.logging.set_verbosity_error()
    parts: dict[str, Any] = {"scheduler": noise_schedule(kind), "tokenizer": reference_tokenizer()}
    if kind == "sd3":
        transformer = diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
            attention_head_dim=8, num_attention_heads=3, caption_projection_dim=24,
            joint_attention_dim=32, pooled_projection_dim=20, pos_embed_max_size=12,
        )  # fmt: skip
        parts |= {
            "transformer": randomise(transformer, 6), "vae": reference_autoencoder("sd3"),
            "text_encoder": text_model("quick_gelu", 12, 10, 7), "text_encoder_3": None,
            "text_encoder_2": text_model("gelu", 12, 10, 8), "tokenizer_3": None,
            "tokenizer_2": reference_tokenizer("!"),
        }  # fmt: skip
        return diffusers.StableDiffusion3Pipeline(**parts).to(dtype)
    parts |= {"unet": reference_unet(kind), "vae": reference_autoencoder("sd1")}
    if kind == "sdxl":
        parts |= {
            "text_encoder": text_model("quick_gelu", CONTEXT // 2, 0, 7),
            "text_encoder_2": text_model("gelu", CONTEXT // 2, POOLED, 8),
            "tokenizer_2": reference_tokenizer("!"), "add_watermarker": False,
        }  # fmt: skip
        return diffusers.StableDiffusionXLPipeline(**parts).to(dtype)
    parts["tokenizer"] = reference_tokenizer("!" if kind == "sd2" else END)
    activation = "gelu" if kind == "sd2" else "quick_gelu"
    parts["text_encoder"] = text_model(activation, CONTEXT, 0, 7)
    maker = diffusers.StableDiffusionPipeline
    if kind == "inpainting":
        maker = diffusers.StableDiffusionInpaintPipeline
    none = dict.fromkeys(("safety_checker", "feature_extractor"))
    return maker(**parts, **none, requires_safety_checker=False).to(dtype)


def saved(kind: str, folder: Path, dtype: torch.dtype = torch.float64, **options: Any) -> Path:
    """The folder that diffusers writes of such a pipeline."""
    pipeline(kind, dtype).save_pretrained(folder, **options)
    return folder


def precise(scheduler: Any) -> Any:
    """A DDIM scheduler whose tables are float64: the shipped ones are rounded to float32."""
    config = scheduler.config
    root = torch.linspace(config.beta_start**0.5, config.beta_end**0.5, 1000, dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - root**2, 0)
    if config.rescale_betas_zero_snr:
        signal = alpha_bar.sqrt()
        alpha_bar = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    scheduler.alphas_cumprod = alpha_bar
    scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


def grid(scheduler: Any, steps: int) -> Tensor:
    """The times of a DDIM scheduler in the book's count: one more, and then clean data."""
    scheduler.set_timesteps(steps)
    return torch.cat([scheduler.timesteps + 1, torch.zeros(1, dtype=torch.int64)])
