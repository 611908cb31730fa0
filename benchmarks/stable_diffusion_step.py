"""Stable Diffusion's networks, ours and the reference's, on the same random weights."""

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import torch
from torch import nn

from benchmarks import rivals
from benchmarks.measure import Options, Row, interleaved
from book.ch07_6_stable_diffusion.live import peak
from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

NAME = "stable_diffusion_step"
QUESTION = "What do a denoising step and the decoder of Stable Diffusion need, beside diffusers'?"
KINDS: dict[str, dict[str, Any]] = {
    "1": {"attention_head_dim": 8},
    "2": {"attention_head_dim": [2, 4, 8, 8], "use_linear_projection": True},
}  # as published, but for the sizes
CONTEXT = 768, 77  # numbers for each token, tokens


def calls(options: Options) -> tuple[dict[str, Callable[[], object]], str]:
    """Ours and, where diffusers is there, theirs: {"ours, step, 1": ..}; a note if it is not."""
    side = max(options.sizes) // 8  # of the latents
    width = 4 * side  # 128 for pictures of 256 x 256: a mid-size network
    z, t = torch.randn(2, 4, side, side), torch.tensor(500)
    context = torch.randn(2, CONTEXT[1], CONTEXT[0])
    note = rivals.why_not("diffusers")
    found: dict[str, Callable[[], object]] = {}
    for kind, change in KINDS.items():
        published = {
            "block_out_channels": [width, 2 * width, 4 * width, 4 * width],
            "cross_attention_dim": CONTEXT[0], "norm_num_groups": min(32, width), **change,
        }  # fmt: skip
        ours: Any = ConditionalUNet(ConditionalUNetConfig.of(published)).eval()
        found[f"ours, step, {kind}"] = partial(ours, z, t, context)
        if not note:
            theirs = _alike(rivals.package("diffusers").UNet2DConditionModel(**published), ours)
            found[f"diffusers, step, {kind}"] = partial(theirs, z, t, context)
    published = {
        "block_out_channels": [width // 2, width, 2 * width, 2 * width], "layers_per_block": 2,
        "norm_num_groups": min(32, width // 2), "up_block_types": ["UpDecoderBlock2D"] * 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
    }  # fmt: skip
    ours = KLAutoencoder(KLAutoencoderConfig.of(published)).eval()
    found["ours, decoder"] = partial(ours.decode, z[:1])
    if not note:
        theirs = _alike(rivals.package("diffusers").AutoencoderKL(**published), ours)
        found["diffusers, decoder"] = partial(theirs.decode, z[:1])
    return found, note


def _alike(theirs: Any, ours: nn.Module) -> Any:
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval()


@torch.inference_mode()
def run(options: Options) -> dict:
    found, note = calls(options)
    seconds = interleaved(found, options, process_time)
    memory = {name: peak(call) for name, call in found.items()}
    side = max(options.sizes)
    return {"side": side, "seconds": seconds, "live_bytes": memory, "notes": [note] * bool(note)}


def rows(result: dict) -> list[Row]:
    table, seconds, memory = [], result["seconds"], result["live_bytes"]
    for name in (name for name in seconds if name.startswith("ours, ")):
        theirs = name.replace("ours", "diffusers")
        part = name.removeprefix("ours, ").replace("step, ", "a step of both branches, version ")
        what = f"{part}, {result['side']} px"
        against = "diffusers" * (theirs in seconds)
        rival = seconds.get(theirs, ())
        table.append(Row(f"{what}: processor", "s", seconds[name], rival, against))
        other = [memory[theirs] / 1e6] if against else ()
        table.append(Row(f"{what}: memory", "MB", [memory[name] / 1e6], other, against))
    return table
