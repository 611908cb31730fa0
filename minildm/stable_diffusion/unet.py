"""Stable Diffusion's denoising network: a UNet whose transformer blocks read a text.

Rombach et al. 2022 (arXiv 2112.10752), section 3.3; for SDXL Podell et al. 2023 (arXiv 2307.01952);
diffusers calls it ``UNet2DConditionModel``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.layers import MOST_BLOCKS, MOST_LEVELS, WIDEST, check_latents, time_embedding
from minildm.stable_diffusion import blocks
from minildm.stable_diffusion.blocks import Attention, ResnetBlock, per_level, supported

TRANSFORMER_EPS = 1e-6  # of the group norm before a transformer; its layer norms have 1e-5
ONLY = {
    "_class_name": ("UNet2DConditionModel",), "act_fn": ("silu", "swish"),
    "addition_embed_type": (None, "text_time"), "attention_type": ("default",),
    "center_input_sample": (False,), "class_embed_type": (None,),
    "class_embeddings_concat": (False,), "conv_in_kernel": (3,), "conv_out_kernel": (3,),
    "cross_attention_norm": (None,), "downsample_padding": (1,), "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,), "encoder_hid_dim_type": (None,), "flip_sin_to_cos": (True,),
    "freq_shift": (0,), "mid_block_only_cross_attention": (None, False),
    "mid_block_scale_factor": (1,), "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "num_attention_heads": (None,), "num_class_embeds": (None,), "only_cross_attention": (False,),
    "resnet_out_scale_factor": (1,), "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",), "reverse_transformer_layers_per_block": (None,),
    "time_cond_proj_dim": (None,), "time_embedding_act_fn": (None,), "time_embedding_dim": (None,),
    "time_embedding_type": ("positional",), "timestep_post_act": (None,),
}  # fmt: skip


@dataclass(frozen=True)
class ConditionalUNetConfig:
    """Sizes of a ``ConditionalUNet``; as they stand, those of Stable Diffusion 1.

    channels         channels c of the latents, and of the output
    concat_channels  channels beside them in the input: 5 for inpainting (mask, masked latents)
    widths           channels of each level; each halves height and width
    blocks           residual blocks per level on the way down; one more on the way up
    depths           transformer blocks after each residual block of a level; 0: no attention
    middle           transformer blocks in the middle
    heads            attention heads of each level; the middle has those of the last
    context_dim      length of the vectors that the text encoder gives
    linear           the tokens enter a transformer through a matrix, not a 1 x 1 convolution
    groups, eps      of the group norms of residual blocks
    added_dim        > 0: SDXL's extra condition, that many numbers; see ``forward``
    size_dim         of those, for each of the six numbers on size and crop
    latent_size      (h, w) of the latents that it was trained on
    """

    channels: int = 4
    concat_channels: int = 0
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    blocks: int = 2
    depths: tuple[int, ...] = (1, 1, 1, 0)
    middle: int = 1
    heads: tuple[int, ...] = (8, 8, 8, 8)
    context_dim: int = 768
    linear: bool = False
    groups: int = 32
    eps: float = 1e-5
    added_dim: int = 0
    size_dim: int = 256
    latent_size: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, "channels", "context_dim", "groups", "size_dim")
        inputs.whole_fields(self, 0, WIDEST, "concat_channels", "added_dim")
        inputs.whole_fields(self, 1, MOST_BLOCKS, "blocks", "middle")
        inputs.real_fields(self, 0, 1, "eps", open=True)
        inputs.flag_fields(self, "linear")
        for name, least in ("widths", 1), ("depths", 0), ("heads", 1), ("latent_size", 1):
            values = inputs.whole_tuple(name, getattr(self, name), least, WIDEST)
            object.__setattr__(self, name, values)
        levels = len(self.widths)
        if not 1 <= levels <= MOST_LEVELS or {len(self.depths), len(self.heads)} != {levels}:
            counts = f"{levels}, {len(self.depths)}, {len(self.heads)}"
            raise ValueError(f"widths, depths and heads must have an entry per level; got {counts}")
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % self.groups or width % heads:
                wanted = f"groups = {self.groups} and of its heads = {heads}"
                raise ValueError(f"widths must be multiples of {wanted}; got {width}")

    @property
    def embedding_dim(self) -> int:
        """Length of the vector that carries the time to every residual block."""
        return 4 * self.widths[0]

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> "ConditionalUNetConfig":
        """The config of a published unet/config.json; ValueError for what is not built here.

        ``attention_head_dim`` is, by an old mistake of names, the number of heads.
        """
        supported(json, ONLY)
        widths = tuple(json.get("block_out_channels", (320, 640, 1280, 1280)))
        levels, channels = len(widths), json.get("out_channels", 4)
        down = tuple(json.get("down_block_types", ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)))
        attends = _attends(json, down, levels)
        depths = per_level(
            "transformer_layers_per_block", json.get("transformer_layers_per_block", 1), levels
        )
        blocks = per_level("layers_per_block", json.get("layers_per_block", 2), levels)
        supported({"layers_per_block": blocks}, {"layers_per_block": [(blocks[0],) * levels]})
        size = json.get("sample_size") or 64
        extra = json.get("addition_embed_type") is not None
        return cls(
            channels, json.get("in_channels", 4) - channels, widths, blocks[0],
            tuple(attend * depth for attend, depth in zip(attends, depths, strict=True)),
            depths[-1], per_level("attention_head_dim", json.get("attention_head_dim", 8), levels),
            json.get("cross_attention_dim", 1280), json.get("use_linear_projection", False),
            json.get("norm_num_groups", 32), json.get("norm_eps", 1e-5),
            json["projection_class_embeddings_input_dim"] if extra else 0,
            json["addition_time_embed_dim"] if extra else 256, per_level("sample_size", size, 2),
        )  # fmt: skip


def _attends(json: Mapping[str, Any], down: tuple[str, ...], levels: int) -> list[bool]:
    """Which levels have attention; ValueError for other kinds of levels, and unequal ways."""
    attends = [kind == "CrossAttnDownBlock2D" for kind in down]
    if len(down) != levels:
        raise ValueError(f"down_block_types must have {levels} entries, one per level; got {down}")
    kinds = tuple("CrossAttn" * each + "DownBlock2D" for each in attends)
    mirrored = tuple("CrossAttn" * each + "UpBlock2D" for each in reversed(attends))
    supported({"down_block_types": down}, {"down_block_types": [kinds]})
    up = tuple(json.get("up_block_types", mirrored))
    supported({"up_block_types": up}, {"up_block_types": [mirrored]})
    return attends


class Embedding(nn.Module):
    """Two matrices with a silu between: (B, n) -> (B, embedding_dim)."""

    def __init__(self, n: int, embedding_dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(n, embedding_dim)
        self.linear_2 = nn.Linear(embedding_dim, embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class GEGLU(nn.Module):
    """A matrix's first half, times the gelu of its second: (.., C) -> (.., 4C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 8 * channels)

    def forward(self, x: Tensor) -> Tensor:
        h, gate = self.proj(x).chunk(2, dim=-1)  # 2 x (.., 4C)
        return F.gelu(gate).mul_(h)


class FeedForward(nn.Module):
    """(.., C) -> (.., 4C) -> (.., C), for each token alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # the one between is dropout in a training of theirs; it has no weights
        self.net = nn.Sequential(GEGLU(channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Tokens (B, L, C) attend to each other, then to the context, then each thinks alone."""

    def __init__(self, channels: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(channels), Attention(channels, heads)
        self.norm2, self.attn2 = nn.LayerNorm(channels), Attention(channels, heads, context_dim)
        self.norm3, self.ff = nn.LayerNorm(channels), FeedForward(channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context) + x
        return self.ff(self.norm3(x)) + x


class Transformer(nn.Module):
    """x (B, C, H, W) + what its H·W pixels, as tokens, have read of each other and of a context."""

    def __init__(self, channels: int, heads: int, depth: int, cfg: ConditionalUNetConfig) -> None:
        super().__init__()
        self.linear = cfg.linear
        self.norm = nn.GroupNorm(cfg.groups, channels, TRANSFORMER_EPS)
        self.proj_in, self.proj_out = (
            nn.Linear(channels, channels) if cfg.linear else nn.Conv2d(channels, channels, 1)
            for _ in range(2)
        )
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, heads, cfg.context_dim) for _ in range(depth)
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.norm(x)
        tokens = self.proj_in(_tokens(h)) if self.linear else _tokens(self.proj_in(h))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        if self.linear:
            return _picture(self.proj_out(tokens), x) + x
        return self.proj_out(_picture(tokens, x)) + x


def _tokens(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, C, H, W) -> (B, H·W, C)


def _picture(tokens: Tensor, x: Tensor) -> Tensor:
    picture = tokens.unflatten(1, x.shape[2:])  # (B, H·W, C) -> (B, H, W, C)
    return picture.permute(0, 3, 1, 2).contiguous()  # (B, C, H, W)


class Level(nn.Module):
    """Level i of the UNet: residual blocks from ``channels`` to its width, and transformers.

    ``way`` "down" puts each result into ``kept``; "up" takes the last one out for each block, and
    concatenates it to what comes in; "middle", with one transformer, does neither.
    """

    def __init__(
        self, i: int, channels: Sequence[int], way: str, cfg: ConditionalUNetConfig
    ) -> None:
        super().__init__()
        self.way, width = way, cfg.widths[i]
        depth, count = cfg.depths[i], len(channels)
        if way == "middle":
            depth, count = cfg.middle, 1
        self.resnets = nn.ModuleList(
            ResnetBlock(c_in, width, cfg.groups, cfg.eps, cfg.embedding_dim) for c_in in channels
        )
        self.attentions = nn.ModuleList(
            Transformer(width, cfg.heads[i], depth, cfg) for _ in range(count if depth else 0)
        )
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()
        if way == "down" and i < len(cfg.widths) - 1:
            self.downsamplers.append(blocks.Downsample(width, padding=1))
        if way == "up" and i > 0:
            self.upsamplers.append(blocks.Upsample(width))

    def forward(
        self, x: Tensor, kept: list[Tensor], embedding: Tensor, context: Tensor
    ) -> Tensor:
        for i, resnet in enumerate(self.resnets):
            if self.way == "up":
                x = torch.cat([x, kept.pop()], dim=1)  # (B, c_in, H, W)
            x = resnet(x, embedding)  # (B, width, H, W)
            if len(self.attentions) > i:
                x = self.attentions[i](x, context)
            if self.way == "down":
                kept.append(x)
        for halve in self.downsamplers:
            x = halve(x)
            kept.append(x)
        for double in self.upsamplers:
            x = double(x, kept[-1].shape[2:])  # of odd sizes, too
        return x


class ConditionalUNet(nn.Module):
    """net(z_t, t, context) -> output (B, c, h, w); any h and w, odd ones too.

    ``t`` counts as the network was trained, 0..999; the book's t is one more. The ``state_dict``
    has the keys of its file.
    """

    def __init__(self, config: ConditionalUNetConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or ConditionalUNetConfig()
        first, last, n = cfg.widths[0], cfg.widths[-1], cfg.embedding_dim
        self.conv_in = nn.Conv2d(cfg.channels + cfg.concat_channels, first, 3, padding=1)
        self.time_embedding = Embedding(first, n)
        self.add_embedding = Embedding(cfg.added_dim, n) if cfg.added_dim else None
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        kept = [first]  # channels of everything that is kept for the way up
        for i, width in enumerate(cfg.widths):
            self.down_blocks.append(Level(i, [kept[-1], *[width] * (cfg.blocks - 1)], "down", cfg))
            kept += [width] * (cfg.blocks + (i < len(cfg.widths) - 1))
        self.mid_block = Level(-1, [last, last], "middle", cfg)
        for i, width in reversed(list(enumerate(cfg.widths))):
            before = [last, *[width] * cfg.blocks]
            self.up_blocks.append(Level(i, [c + kept.pop() for c in before], "up", cfg))
            last = width
        self.conv_norm_out = nn.GroupNorm(cfg.groups, first, cfg.eps)
        self.conv_out = nn.Conv2d(first, cfg.channels, 3, padding=1)

    def forward(
        self, z_t: Tensor, t: Tensor, context: Tensor, added: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """The output for z_t (B, c + concat_channels, h, w) at t (B,), int or float.

        ``context`` (B, L, context_dim): what the text encoder made of the prompt.
        ``added``, for SDXL: the pooled text (B, d), and (B, 6) heights and widths of the original,
        top and left of the crop, height and width of the picture; d + 6 size_dim = added_dim.
        Raises ValueError for another shape.
        """
        z_t, t = check_latents(z_t, t, self.conv_in.in_channels, self.conv_in.weight)
        context = self._checked_context(context, len(z_t)).to(z_t)
        embedding = F.silu(self._embed(z_t, t, added))  # (B, embedding_dim)
        x = self.conv_in(z_t)
        kept = [x]
        for level in (*self.down_blocks, self.mid_block, *self.up_blocks):
            x = level(x, kept, embedding, context)
        return self.conv_out(F.silu(self.conv_norm_out(x), inplace=True))

    def _checked_context(self, context: Tensor, n: int) -> Tensor:
        dim, context = self.config.context_dim, inputs.tensor("context", context)
        if context.dim() != 3 or len(context) != n or context.shape[2] != dim:
            raise ValueError(f"context must be ({n}, L, {dim}); got {tuple(context.shape)}")
        return context

    def _embed(self, z_t: Tensor, t: Tensor, added: tuple[Tensor, Tensor] | None) -> Tensor:
        """The time, and what SDXL adds to it, as one vector: (B, embedding_dim)."""
        waves = time_embedding(t.to(z_t.device), self.config.widths[0], 1.0)  # (B, width), float32
        embedding = self.time_embedding(waves.to(z_t.dtype)).expand(len(z_t), -1)
        if self.add_embedding is None and added is None:
            return embedding
        if self.add_embedding is None or added is None:
            wanted = "None: this network has no added_dim" if added else "given: see added_dim"
            raise ValueError(f"added must be {wanted}")
        return embedding + self.add_embedding(self._added(z_t, *added))

    def _added(self, z_t: Tensor, pooled: Tensor, numbers: Tensor) -> Tensor:
        """Pooled text (B, d) and six numbers (B, 6), each as waves: (B, d + 6 size_dim)."""
        n, cfg = len(z_t), self.config
        waves = time_embedding(numbers.float(), cfg.size_dim, 1.0)  # (B·6, size_dim)
        both = [pooled.to(z_t), waves.reshape(len(numbers), -1).to(z_t)]  # (B, d), (B, 6 size_dim)
        if len(pooled) != n or len(numbers) != n or sum(x.shape[1] for x in both) != cfg.added_dim:
            d = cfg.added_dim - 6 * cfg.size_dim
            got = f"{tuple(pooled.shape)} and {tuple(numbers.shape)}"
            raise ValueError(f"added must be ({n}, {d}) and ({n}, 6); got {got}")
        return torch.cat(both, dim=1)
