"""A model folder like Stable Diffusion 1.5's, but tiny: random weights, real structure, real names.

    write   the folder, in the layout of diffusers: about 2 MB, in a second
    files   what lies in such a folder, with sizes, as text

Every config is the published one with smaller numbers. The weights mean nothing: it draws nothing.
Biases and norms are random too, because 0 and 1 would hide mistakes. The file in vae/ names its
attention as the files of 2022 do, which a loader has to understand.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from book.ch07_6_stable_diffusion.published import SCHEDULE, part
from minildm.stable_diffusion.tokenizer import BEGIN, END, LETTERS, STOP

WORDS = [
    "a", "an", "the", "of", "on", "with", "red", "blue", "green", "grey", "circle", "square",
    "star", "cat", "photograph", "blurry",
]  # fmt: skip
UNET = {
    "_class_name": "UNet2DConditionModel", "sample_size": 16, "in_channels": 4, "out_channels": 4,
    "block_out_channels": [16, 32, 48, 48], "layers_per_block": 2, "norm_num_groups": 8,
    "attention_head_dim": 4, "cross_attention_dim": 32,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}  # fmt: skip
VAE = {
    "_class_name": "AutoencoderKL", "sample_size": 128, "in_channels": 3, "out_channels": 3,
    "block_out_channels": [8, 16, 24, 24], "layers_per_block": 2, "norm_num_groups": 4,
    "latent_channels": 4, "scaling_factor": 0.18215,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
TEXT = {
    "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 12, "num_attention_heads": 4,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "max_position_embeddings": 77,
}  # fmt: skip
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}  # in vae/, of 2022
INDEX = {
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0",
    "scheduler": ["diffusers", "DDIMScheduler"], "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "safety_checker": [None, None], "feature_extractor": [None, None],
}  # fmt: skip


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(pieces with their numbers, merges): all bytes, and WORDS as one piece each."""
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        first, *others = _joined([*word[:-1], word[-1] + STOP], merges)
        for piece in others:  # what the merges so far leave apart
            merges.append((first, piece))
            first += piece
    pieces = [*LETTERS, *(letter + STOP for letter in LETTERS), *map("".join, merges), BEGIN, END]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}, merges


def _joined(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    for pair in merges:
        for i in reversed(range(len(pieces) - 1)):
            if tuple(pieces[i : i + 2]) == pair:
                pieces[i : i + 2] = ["".join(pair)]
    return pieces


def random_weights(module: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights for a module on the meta device, such that numbers keep about their size in it."""
    found = {}
    for name, parameter in module.named_parameters():
        value = torch.randn(parameter.shape, generator=generator)
        if value.dim() > 1:
            value /= value[0].numel() ** 0.5
        else:
            value = 0.1 * value + ("norm" in name and name.endswith("weight"))
        found[name] = value
    return found


def write(folder: Path, seed: int = 0) -> Path:
    """Fill ``folder`` with a tiny model in diffusers' layout; it is returned."""
    vocab, merges = vocabulary()
    text = TEXT | {"vocab_size": len(vocab), "bos_token_id": vocab[BEGIN]}
    text |= {"eos_token_id": vocab[END], "pad_token_id": vocab[END]}
    schedule = {"_class_name": "DDIMScheduler", **SCHEDULE}
    _json(folder / "model_index.json", INDEX)
    _json(folder / "scheduler" / "scheduler_config.json", schedule)
    _json(folder / "tokenizer" / "vocab.json", vocab)
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    generator = torch.Generator().manual_seed(seed)
    for name, config in (("unet", UNET), ("vae", VAE), ("text_encoder", text)):
        _json(folder / name / "config.json", config)
        weights = random_weights(part(name, config), generator)
        file = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        file = folder / name / f"{file}.safetensors"
        save_file(as_published(name, weights), file, {"format": "pt"})
    return folder


def as_published(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of the published files, where those are older."""
    if name == "text_encoder":
        return {f"text_model.{key}": value for key, value in weights.items()}
    found = {}
    for key, value in weights.items():
        if name == "vae" and ".attentions." in key:
            for new, old in OLD.items():
                key = key.replace(f".{new}.", f".{old}.")
        found[key] = value
    return found


def files(folder: Path) -> str:
    """One line for each file, with its size."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return "\n".join(
        f"{path.relative_to(folder).as_posix():50s}{path.stat().st_size / 1e3:11,.0f} kB"
        for path in found
    )


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
