"""The UNet2DModel of diffusers that computes what our ``UNet`` does: its config and its weights.

There is one unless the UNet reads texts or vectors: we follow a block by two attentions with group
norms, diffusers by a transformer with layer norms. What only diffusers has does nothing: the second
block in the middle adds 0, the convolution after each enlarging has a single 1.
"""

from typing import Any

import torch
from torch import Tensor, nn

from minildm.interfaces import Schedule
from minildm.layers import GROUPS, time_embedding
from minildm.schedule import DiscreteSchedule
from minildm.unet import Halve, UNet, UNetConfig

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


def unet_tensors(network: UNet, schedule: Schedule) -> dict[str, Tensor]:
    """The weights of that UNet2DModel, by its names."""
    tensors: dict[str, Tensor] = {}
    if isinstance(schedule, DiscreteSchedule):  # there t counts from 0
        t = torch.arange(1, schedule.T + 1)
        tensors["time_proj.weight"] = time_embedding(t, network.config.width)  # (T, width)
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
