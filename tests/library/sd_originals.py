"""Checkpoints of the original layout, small or of the real sizes: models as one file."""

from typing import Any

import torch
from sd_reference import randomise
from torch import Tensor, nn

from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig
from minildm.stable_diffusion.names import spellings
from minildm.stable_diffusion.text import TextConfig, TextEncoder
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

SMALL = {"widths": (64, 128), "depths": (1, 0), "latent_size": (64, 64)}
OPEN = {"activation": "gelu", "vocabulary": 634, "end": 633, "hidden": 80}
CLIP = {"vocabulary": 634, "end": 633, "hidden": 80, "layers": 2}
LITTLE: dict[str, tuple[dict, list[dict]]] = {
    "sd1": ({**SMALL, "heads": (8, 8), "context_dim": 64}, [{**CLIP, "dim": 64, "heads": 1}]),
    "inpainting": (
        {**SMALL, "heads": (8, 8), "context_dim": 64, "concat_channels": 5},
        [{**CLIP, "dim": 64, "heads": 1}],
    ),
    "sd2": (
        {**SMALL, "heads": (1, 2), "context_dim": 128, "linear": True, "latent_size": (96, 96)},
        [{**OPEN, "dim": 128, "heads": 2, "layers": 2}],
    ),
    "sdxl": (
        {**SMALL, "depths": (0, 2), "middle": 2, "heads": (1, 2), "context_dim": 192,
         "linear": True, "added_dim": 32 + 6 * 256, "latent_size": (128, 128)},
        [{**CLIP, "dim": 64, "heads": 1},
         {**OPEN, "dim": 128, "heads": 2, "layers": 2, "projection": 32}],
    ),
}  # fmt: skip
REAL: dict[str, tuple[dict, list[dict]]] = {
    "1.5": ({}, [{}]),
    "2.1": (
        {"heads": (5, 10, 20, 20), "context_dim": 1024, "linear": True},
        [{"activation": "gelu", "dim": 1024, "hidden": 4096, "layers": 23, "heads": 16}],
    ),
    "XL": (
        {"widths": (320, 640, 1280), "depths": (0, 2, 10), "middle": 10, "heads": (5, 10, 20),
         "context_dim": 2048, "linear": True, "added_dim": 2816},
        [{}, {"activation": "gelu", "dim": 1280, "hidden": 5120, "layers": 32, "heads": 20,
              "projection": 1280}],
    ),
}  # fmt: skip
PREFIXES = {
    1: ["cond_stage_model.transformer."], 2: ["cond_stage_model.model."],
    3: ["conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."],
}  # fmt: skip


def original_state(
    kind: str, sizes: dict[str, tuple[dict, list[dict]]] = LITTLE
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Our modules of a kind, and all their tensors under the names of the original file.

    Those of the real sizes are on the meta device.
    """
    unet, clips = sizes[kind]
    little = sizes is LITTLE
    vae = KLAutoencoderConfig(widths=(32, 64)) if little else KLAutoencoderConfig()
    with torch.device("cpu" if little else "meta"):
        modules: dict[str, nn.Module] = {"unet": ConditionalUNet(ConditionalUNetConfig(**unet))}
        modules["vae"] = KLAutoencoder(vae)
        for name, clip in zip(("text_encoder", "text_encoder_2"), clips, strict=False):
            modules[name] = TextEncoder(TextConfig(**clip))
    if little:
        modules = {name: randomise(module, i) for i, (name, module) in enumerate(modules.items())}
    opened = clips[0].get("activation") == "gelu"
    state = _named(modules["unet"], "model.diffusion_model.")
    state |= _named(modules["vae"], "first_stage_model.")
    names = PREFIXES[3 if len(clips) == 2 else 2 if opened else 1]
    for name, prefix in zip(("text_encoder", "text_encoder_2"), names, strict=False):
        clip = modules[name]
        if not prefix.endswith("model."):
            state |= {f"{prefix}text_model.{k}": v for k, v in clip.state_dict().items()}
            state[f"{prefix}text_model.embeddings.position_ids"] = torch.arange(77)[None]
            continue
        state |= _open_clip(clip, prefix)
        state[f"{prefix}logit_scale"] = torch.zeros(())
        if opened:  # the file has the last layer, which is not read
            last = f"{prefix}transformer.resblocks.{clip.config.layers}."
            first = f"{prefix}transformer.resblocks.0."
            firsts = {k: v.clone() for k, v in state.items() if k.startswith(first)}
            state |= {k.replace(first, last): v for k, v in firsts.items()}
            state[f"{prefix}text_projection"] = clip.final_layer_norm.weight.new_zeros(
                clip.config.dim, clip.config.dim
            )
    return modules, {name: tensor.contiguous() for name, tensor in state.items()}


def _named(module: Any, prefix: str) -> dict[str, Tensor]:
    levels = getattr(module, "up_blocks", ())
    state = {}
    for name, tensor in module.state_dict().items():
        place = 1
        if "upsamplers" in name and levels:  # after the attention, where there is one
            place = 2 if len(levels[int(name.split(".")[1])].attentions) else 1
        names = spellings(module, name)
        new = names[place] if len(names) > 2 and levels else names[-1]
        if "mid.attn_1" in new and tensor.dim() == 2:
            tensor = tensor[:, :, None, None]
        state[prefix + new] = tensor
    return state


def _open_clip(clip: Any, prefix: str) -> dict[str, Tensor]:
    state = clip.state_dict()
    together = {}
    for name, tensor in state.items():
        new = prefix + spellings(clip, name)[-1]
        if "q_proj" in name:
            three = [state[name.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            together[new] = torch.cat(three)
        elif "k_proj" not in name and "v_proj" not in name:
            together[new] = tensor.T if new.endswith("text_projection") else tensor
    return together
