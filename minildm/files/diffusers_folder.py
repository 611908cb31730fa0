"""What the library diffusers can read: our models, written as a folder in its format.

    UNet        unet/ and scheduler/: a UNet2DModel that gives the same numbers, and a scheduler
    its kin     the networks of minildm.stable_diffusion, each as one that its files are of

A UNet of ours has its twin there unless it reads texts or vectors: we follow a block by two
attentions with group norms, diffusers by a transformer with layer norms. Parts that only diffusers
has do nothing: the second block in the middle adds 0, the convolution after each enlarging has a
single 1. An ``Autoencoder`` has no twin: it folds pixels into channels, where an ``AutoencoderKL``
convolves at full resolution.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from minildm.checks import model as checks
from minildm.files.checkpoint import replace_files
from minildm.interfaces import Schedule
from minildm.layers import GROUPS, time_embedding
from minildm.predict import Parameterization
from minildm.schedule import DiscreteSchedule, FlowSchedule
from minildm.unet import Halve, UNet, UNetConfig

WEIGHTS = "diffusion_pytorch_model.safetensors"
PREDICTIONS = {"EPS": "epsilon", "Z0": "sample", "V": "v_prediction"}
FLOW_T = 1000
BLOCK = {  # of a ResidualBlock here -> of a ResnetBlock2D there
    "norm1": "norm1", "conv1": "conv1", "modulate": "time_emb_proj", "norm2": "norm2",
    "conv2": "conv2", "skip": "conv_shortcut",
}  # fmt: skip
EDGES = {
    "embed_time.0": "time_embedding.linear_1", "embed_time.2": "time_embedding.linear_2",
    "embed_label": "class_embedding", "enter": "conv_in", "leave.0": "conv_norm_out",
    "leave.2": "conv_out",
}  # fmt: skip


def export(
    network: UNet, folder: str | Path, schedule: Schedule | None = None,
    parameterization: Parameterization | None = None,
) -> None:  # fmt: skip
    """Write ``folder``/unet and ``folder``/scheduler, for diffusers to load.

        UNet2DModel.from_pretrained(folder, subfolder="unet")
        DDIMScheduler.from_pretrained(folder, subfolder="scheduler")

    ``schedule``, ``parameterization``: what the network was trained with, where it does not say.
    Its times there are t - 1, as diffusers counts them, or 1000 t of a ``FlowSchedule``; h and w
    are halved without a rest. DDIM's steps are those of ``times(n)`` if n divides T; a flow's, with
    set_timesteps(sigmas=times(n)[:-1]). Raises ValueError, naming the field, for what has no twin.
    """
    if not isinstance(network, UNet):
        made = "has no twin in diffusers: its UNet may have, export(model.network, folder)"
        raise ValueError(f"network must be a UNet; a {type(network).__name__} {made}")
    schedule = checks.agreed_schedule(network, schedule)
    parameterization = checks.agreed_parameterization(network, parameterization, schedule)
    scheduler = scheduler_config(schedule, parameterization)
    config = unet_config(network.config, schedule)
    tensors = unet_tensors(network)
    if isinstance(schedule, DiscreteSchedule):
        t = torch.arange(1, schedule.T + 1)
        tensors["time_proj.weight"] = time_embedding(t, network.config.width)  # (T, width)
    write_part(Path(folder) / "unet", config, tensors)
    write_json(Path(folder) / "scheduler", "scheduler_config.json", scheduler)


def scheduler_config(schedule: Schedule, parameterization: Parameterization) -> dict[str, Any]:
    """scheduler_config.json: DDIM for betas, Euler for a flow. ValueError for anything else."""
    name = parameterization.name
    if isinstance(schedule, DiscreteSchedule) and name in PREDICTIONS:
        return {
            "_class_name": "DDIMScheduler", "num_train_timesteps": schedule.T,
            "trained_betas": schedule.beta[1:].tolist(), "prediction_type": PREDICTIONS[name],
            "timestep_spacing": "trailing", "set_alpha_to_one": True, "clip_sample": False,
        }  # fmt: skip
    if isinstance(schedule, FlowSchedule) and name == "FLOW":
        return {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": FLOW_T}
    kind = type(schedule).__name__
    raise ValueError(
        f"schedule and parameterization must be a DiscreteSchedule with {', '.join(PREDICTIONS)}, "
        f"or a FlowSchedule with FLOW, for diffusers to have a scheduler; got {kind} with {name}"
    )


def unet_config(cfg: UNetConfig, schedule: Schedule) -> dict[str, Any]:
    """config.json of the UNet2DModel that computes the same; ValueError if there is none."""
    discrete = isinstance(schedule, DiscreteSchedule)
    widths = [cfg.width * multiplier for multiplier in cfg.multipliers]
    wide = widths[-1]  # the middle's, which always has attention
    for field, fits, wanted in (
        ("context_dim", not cfg.context_dim, "0: diffusers reads vectors by a transformer"),
        ("multipliers", cfg.multipliers[0] == 1, "led by 1: its first layer is as wide as a block"),
        ("attention", all(widths[level] == wide for level in cfg.attention),
         f"on levels {wide} wide, as the last: all of its heads have one size"),
        ("time_scale", discrete or cfg.time_scale == FLOW_T, f"{FLOW_T}, as its flow's scheduler"),
    ):  # fmt: skip
        if not fits:
            raise ValueError(f"{field} must be {wanted}; got {getattr(cfg, field)}")
    kinds = ["Attn" * (level in cfg.attention) for level in range(len(widths))]
    return {
        "_class_name": "UNet2DModel", "in_channels": cfg.channels + cfg.concat_channels,
        "out_channels": cfg.channels, "block_out_channels": widths, "layers_per_block": cfg.blocks,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "attention_head_dim": wide // cfg.heads, "norm_num_groups": GROUPS,
        "attn_norm_num_groups": GROUPS, "norm_eps": 1e-5, "act_fn": "silu",
        "resnet_time_scale_shift": "scale_shift", "flip_sin_to_cos": True, "freq_shift": 0,
        "time_embedding_type": "learned" if discrete else "positional",
        "num_train_timesteps": schedule.T if discrete else None,
        "num_class_embeds": cfg.classes + 1 if cfg.classes else None,
    }  # fmt: skip


def unet_tensors(network: UNet) -> dict[str, Tensor]:
    """The weights of that UNet2DModel, by its names; without a table of times."""
    tensors: dict[str, Tensor] = {}
    for name, layer in network.named_modules():
        if name in EDGES:
            _copy(tensors, EDGES[name], layer)
    level = i = 0
    for layer in network.down:
        if isinstance(layer, Halve):
            _copy(tensors, f"down_blocks.{level}.downsamplers.0.conv", layer.conv)
            level, i = level + 1, 0
        else:
            _copy_stage(tensors, f"down_blocks.{level}", i, layer)
            i += 1
    _copy_stage(tensors, "mid_block", 0, network.middle)
    for name in [name for name in tensors if name.startswith("mid_block.resnets.0.")]:
        tensors[name.replace("resnets.0", "resnets.1")] = torch.zeros_like(tensors[name])  # x + 0
    for j, stage in enumerate(network.up):
        level, i = divmod(j, network.config.blocks + 1)
        _copy_stage(tensors, f"up_blocks.{level}", i, stage)
        if i == network.config.blocks and j + 1 < len(network.up):
            place = f"up_blocks.{level}.upsamplers.0.conv"
            like = tensors[f"up_blocks.{level}.resnets.{i}.conv2.weight"]  # (C, C, 3, 3)
            one = nn.init.dirac_(torch.empty_like(like))
            tensors |= {f"{place}.weight": one, f"{place}.bias": torch.zeros_like(one[:, 0, 0, 0])}
    return tensors


def _copy(tensors: dict[str, Tensor], place: str, layer: nn.Module) -> None:
    tensors.update({f"{place}.{name}": x.detach() for name, x in layer.state_dict().items()})


def _copy_stage(tensors: dict[str, Tensor], place: str, i: int, stage: Any) -> None:
    """A stage's residual block, and its attention: keys and values are two matrices there."""
    for here, there in BLOCK.items():
        _copy(tensors, f"{place}.resnets.{i}.{there}", getattr(stage.block, here))
    if stage.attend is None:
        return
    place, own = f"{place}.attentions.{i}", stage.attend
    _copy(tensors, f"{place}.group_norm", own.norm)
    _copy(tensors, f"{place}.to_out.0", own.out)
    keys, values = own.key_value.weight.detach().chunk(2)  # (2C, C) -> 2 x (C, C)
    for name, weight in ("to_q", own.query.weight.detach()), ("to_k", keys), ("to_v", values):
        tensors[f"{place}.{name}.weight"] = weight
        tensors[f"{place}.{name}.bias"] = torch.zeros_like(weight[:, 0])


def write_part(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write config.json and the weights of one network; a broken file is never left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, folder / f"{WEIGHTS}.part", {"format": "pt"})
    os.replace(folder / f"{WEIGHTS}.part", folder / WEIGHTS)
    write_json(folder, "config.json", config)


def write_json(folder: Path, name: str, config: Mapping[str, Any]) -> None:
    """Write a config as diffusers does: without what is None."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in config.items() if value is not None}
    replace_files(folder, {name: (json.dumps(config, indent=2) + "\n").encode()})
