"""One tensor has many names: diffusers' of today, diffusers' of yesterday, the original files'.

The modules here are called as diffusers and transformers call them today; ``spellings`` says under
which names a file may hold a tensor of them, and ``adapted`` makes it what the module wants.
"""

import re
from collections.abc import Iterable

from torch import Tensor, nn

from minildm.stable_diffusion.autoencoder import KLAutoencoder
from minildm.stable_diffusion.text import TextEncoder
from minildm.stable_diffusion.unet import ConditionalUNet

# in no module, and not missed: numbers of positions, CLIP's temperature, a projection nobody reads
NEEDLESS = re.compile(r"position_ids$|logit_scale$|text_projection(\.weight)?$")
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
AUTOENCODER = [
    (r"mid_block\.resnets\.0", "mid.block_1"), (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0", "mid.attn_1"), ("group_norm", "norm"), ("to_out.0", "proj_out"),
    (r"\.to_([qkv])\b", r".\1"), (r"down_blocks\.(\d+)", r"down.\1"), ("resnets", "block"),
    (r"(down|up)samplers\.0", r"\1sample"), ("conv_shortcut", "nin_shortcut"),
    ("conv_norm_out", "norm_out"),
]  # fmt: skip
RESIDUAL = [
    ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"),
]  # fmt: skip
UNET = [
    ("^conv_in", "input_blocks.0.0"), ("^conv_norm_out", "out.0"), ("^conv_out", "out.2"),
    (r"^time_embedding\.linear_1", "time_embed.0"), (r"^time_embedding\.linear_2", "time_embed.2"),
    (r"^add_embedding\.linear_1", "label_emb.0.0"), (r"^add_embedding\.linear_2", "label_emb.0.2"),
    (r"^mid_block\.resnets\.0", "middle_block.0"), (r"^mid_block\.resnets\.1", "middle_block.2"),
    (r"^mid_block\.attentions\.0", "middle_block.1"),
]  # fmt: skip
OPEN_CLIP = [
    (r"^embeddings\.token_embedding", "token_embedding"), ("layer_norm", "ln_"),
    (r"^encoder\.layers", "transformer.resblocks"),
    (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"self_attn\.[qkv]_proj\.", "attn.in_proj_"), ("self_attn", "attn"), ("fc1", "c_fc"),
    ("fc2", "c_proj"), ("final_ln_", "ln_final"), (r"^text_projection\.weight", "text_projection"),
]  # fmt: skip


def spellings(module: nn.Module, name: str) -> list[str]:
    """The names that a file may have for ``name`` of a module's ``state_dict``: today's first."""
    if isinstance(module, KLAutoencoder):
        old = re.sub(r"\bto_[qkv]|to_out\.0", lambda m: OLD_ATTENTION[m[0]], name)
        top = len(module.config.widths) - 1  # the original counts levels from the picture's on
        up = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{top - int(m[1])}", name)
        return [name, old, _renamed(up, AUTOENCODER)]
    if isinstance(module, ConditionalUNet):
        return [name, *_original_unet(name, module.config.blocks)]
    if isinstance(module, TextEncoder):
        bare = name.removeprefix("text_model.")
        return [name, bare, f"text_model.{bare}", _renamed(bare, OPEN_CLIP)]
    return [name]


def _original_unet(name: str, blocks: int) -> list[str]:
    """The original counts blocks and steps of resolution through, and what each is made of."""
    found = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name)
    if found is None:
        middle = _renamed(name, UNET)
        return [_renamed(middle, RESIDUAL) if "resnets" in name else middle]
    way, level, kind, j, rest = found.groups()
    at = (blocks + 1) * int(level) + (blocks if "samplers" in kind else int(j))
    block = f"input_blocks.{at + 1}" if way == "down" else f"output_blocks.{at}"
    if kind == "upsamplers":  # after the attention, where there is one
        return [f"{block}.1.{rest}", f"{block}.2.{rest}"]
    if kind == "attentions":
        return [f"{block}.1.{rest}"]
    return [f"{block}.0.{_renamed(rest, RESIDUAL) if kind == 'resnets' else 'op' + rest[4:]}"]


def _renamed(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        name = re.sub(old, new, name)
    return name


def adapted(tensor: Tensor, name: str, spelling: str, shape: tuple[int, ...]) -> Tensor:
    """What stands in a file under ``spelling``, as the module's ``name`` of this shape, if it can.

    OpenCLIP keeps queries, keys and values in one matrix, and projects with x W in the place of
    W x; old autoencoders have 1 x 1 convolutions for matrices.
    """
    if "in_proj_" in spelling:
        which = "qkv".index(name.rpartition("_proj.")[0][-1])
        return tensor.chunk(3)[which]  # (3 d, ..) -> (d, ..)
    if spelling.endswith("text_projection"):
        return tensor.T
    return tensor[:, :, 0, 0] if tensor.shape == (*shape, 1, 1) else tensor  # (C, C)
