"""Stable Diffusion's denoising network, a UNet whose transformers read a text.

Rombach et al. 2022 (arXiv 2112.10752), section 3.3; for SDXL Podell et al. 2023 (arXiv 2307.01952);
``UNet2DConditionModel`` in diffusers.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.layers import check_latents, time_embedding
from minildm.stable_diffusion import blocks
from minildm.stable_diffusion.blocks import Attention, ResnetBlock, per_level, supported

TRANSFORMER_EPS = 1e-6  # of the group norm before a transformer; its layer norms have 1e-5
OFF = (  # of a published config: what is not built here must be None, False or 0
    "center_input_sample", "class_embed_type", "class_embeddings_concat", "cross_attention_norm",
    "dual_cross_attention", "encoder_hid_dim", "encoder_hid_dim_type", "freq_shift",
    "mid_block_only_cross_attention", "num_attention_heads", "num_class_embeds",
    "only_cross_attention", "resnet_skip_time_act", "reverse_transformer_layers_per_block",
    "time_cond_proj_dim", "time_embedding_act_fn", "time_embedding_dim", "timestep_post_act",
)  # fmt: skip
ONLY = {
    **dict.fromkeys(OFF, (None, False)), "_class_name": ("UNet2DConditionModel",),
    "act_fn": ("silu", "swish"), "addition_embed_type": (None, "text_time"),
    "attention_type": ("default",), "conv_in_kernel": (3,), "conv_out_kernel": (3,),
    "downsample_padding": (1,), "flip_sin_to_cos": (True,), "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",), "resnet_out_scale_factor": (1,),
    "resnet_time_scale_shift": ("default",), "time_embedding_type": ("positional",),
}  # fmt: skip


@dataclass(frozen=True)
class ConditionalUNetConfig:
    """Sizes of a ``ConditionalUNet``; as they stand, those of Stable Diffusion 1. See ``of``."""

    channels: int = 4  # c of the latents, and of the output
    concat_channels: int = 0  # beside them in the input; 5 for inpainting: mask, masked latents
    widths: tuple[int, ...] = (320, 640, 1280, 1280)  # of each level, which halves height and width
    blocks: int = 2  # residual blocks per level on the way down; one more on the way up
    depths: tuple[int, ...] = (1, 1, 1, 0)  # transformer blocks after each of them, for each level
    middle: int = 1  # and in the middle
    heads: tuple[int, ...] = (8, 8, 8, 8)  # of each level's attention; the middle has the last's
    context_dim: int = 768  # numbers of each of the text encoder's vectors
    linear: bool = False  # tokens enter a transformer through a matrix, not a 1 x 1 convolution
    groups: int = 32  # of every group norm
    eps: float = 1e-5  # of those of residual blocks
    added_dim: int = 0  # > 0: numbers of SDXL's extra condition; see ``forward``
    size_dim: int = 256  # of these, for each of the six numbers on size and crop
    latent_size: tuple[int, ...] = (64, 64)  # (h, w) that it was trained on

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, 2**14, "channels", "blocks", "middle", "context_dim")
        inputs.whole_fields(self, 1, 2**14, "groups", "size_dim")
        inputs.whole_fields(self, 0, 2**14, "concat_channels", "added_dim")
        inputs.real_fields(self, 0, 1, "eps", open=True)
        inputs.flag_fields(self, "linear")
        levels = {"widths": 1, "depths": 0, "heads": 1}  # name, least
        for name, least in levels.items():
            values = per_level(name, getattr(self, name), len(self.widths), least)
            object.__setattr__(self, name, values)
        object.__setattr__(self, "latent_size", per_level("latent_size", self.latent_size, 2))
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % self.groups or width % heads:
                wanted = f"groups = {self.groups} and of its heads = {heads}"
                raise ValueError(f"widths must be multiples of {wanted}; got {width}")

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> "ConditionalUNetConfig":
        """The config of a published config.json; ValueError for what is not built here.

        ``attention_head_dim`` is, by an old mistake of names, the number of heads.
        """
        supported(json, ONLY)
        read, c = json.get, json.get("out_channels", 4)
        widths = tuple(read("block_out_channels", (320, 640, 1280, 1280)))

        def each(field: str, default: int) -> tuple[int, ...]:
            return per_level(field, read(field, default), len(widths))

        attends, extra = _attends(json, len(widths)), read("addition_embed_type") is not None
        layers, depths = each("layers_per_block", 2), each("transformer_layers_per_block", 1)
        supported({"layers_per_block": layers}, {"layers_per_block": [layers[:1] * len(widths)]})
        return cls(
            c, read("in_channels", 4) - c, widths, layers[0],
            tuple(a * depth for a, depth in zip(attends, depths, strict=True)), depths[-1],
            each("attention_head_dim", 8), read("cross_attention_dim", 1280),
            read("use_linear_projection", False), read("norm_num_groups", 32),
            read("norm_eps", 1e-5), extra * (read("projection_class_embeddings_input_dim") or 0),
            read("addition_time_embed_dim") or 256,
            per_level("sample_size", read("sample_size") or 64, 2),
        )  # fmt: skip


def _attends(json: Mapping[str, Any], levels: int) -> list[bool]:
    """Which levels have attention; ValueError for other kinds of levels, and unequal ways."""
    down = json.get("down_block_types", ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",))
    attends = [str(kind).startswith("Cross") for kind in down]
    wanted = {
        "down_block_types": ["CrossAttn" * each + "DownBlock2D" for each in attends],
        "up_block_types": ["CrossAttn" * each + "UpBlock2D" for each in attends[::-1]],
    }
    for field, kinds in wanted.items():
        supported({field: list(json.get(field, kinds))}, {field: [kinds]})
    if len(down) != levels:
        raise ValueError(f"down_block_types must have {levels} entries, one per level; got {down}")
    return attends


def perceptron(n: int, m: int) -> nn.Sequential:
    """Two matrices with a silu between, (B, n) -> (B, m), for the time and SDXL's condition."""
    layers = ("linear_1", nn.Linear(n, m)), ("act", nn.SiLU()), ("linear_2", nn.Linear(m, m))
    return nn.Sequential(OrderedDict(layers))


class GEGLU(nn.Module):
    """A matrix's first half, times the gelu of its second: (.., C) -> (.., 4C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 8 * channels)

    def forward(self, x: Tensor) -> Tensor:
        h, gate = self.proj(x).chunk(2, dim=-1)  # 2 x (.., 4C)
        return F.gelu(gate).mul_(h)


class TransformerBlock(nn.Module):
    """Tokens (B, L, C) attend to each other, then to the context; then each goes on alone."""

    def __init__(self, channels: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(channels), Attention(channels, heads)
        self.norm2, self.attn2 = nn.LayerNorm(channels), Attention(channels, heads, context_dim)
        back = nn.Linear(4 * channels, channels)
        # they drop out between the two, in training: a place without weights
        net = nn.Sequential(GEGLU(channels), nn.Identity(), back)
        self.norm3, self.ff = nn.LayerNorm(channels), nn.ModuleDict({"net": net})

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context) + x
        return self.ff["net"](self.norm3(x)) + x


class Transformer(nn.Module):
    """x (B, C, H, W) + what its H·W pixels, as tokens, have read of each other and of a context."""

    def __init__(self, channels: int, heads: int, depth: int, cfg: ConditionalUNetConfig) -> None:
        super().__init__()
        self.linear, self.norm = cfg.linear, nn.GroupNorm(cfg.groups, channels, TRANSFORMER_EPS)
        self.proj_in, self.proj_out = (
            nn.Linear(channels, channels) if cfg.linear else nn.Conv2d(channels, channels, 1)
            for _ in range(2)
        )
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, heads, cfg.context_dim) for _ in range(depth)
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.norm(x) if self.linear else self.proj_in(self.norm(x))
        tokens = h.permute(0, 2, 3, 1).flatten(1, 2)  # (B, C, H, W) -> (B, H·W, C)
        tokens = self.proj_in(tokens) if self.linear else tokens
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        tokens = self.proj_out(tokens) if self.linear else tokens
        h = tokens.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)  # (B, H·W, C) -> (B, C, H, W)
        return x + (h if self.linear else self.proj_out(torch.empty_like(x).copy_(h)))


class Level(nn.Module):
    """Level i of the UNet: residual blocks from ``channels`` to its width, and transformers.

    ``way`` "down" puts each result into ``kept``; "up" takes the last one out for each block, and
    concatenates it to what comes in; "middle", with one transformer, does neither.
    """

    def __init__(
        self, i: int, channels: Sequence[int], way: str, cfg: ConditionalUNetConfig
    ) -> None:
        super().__init__()
        self.way, width, depth, count = way, cfg.widths[i], cfg.depths[i], len(channels)
        if way == "middle":
            depth, count = cfg.middle, 1
        dim = 4 * cfg.widths[0]  # of the vector that carries the time
        self.resnets = nn.ModuleList(
            ResnetBlock(c_in, width, cfg.groups, cfg.eps, dim) for c_in in channels
        )
        self.attentions = nn.ModuleList(
            Transformer(width, cfg.heads[i], depth, cfg) for _ in range(count if depth else 0)
        )
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()
        if way == "down" and i < len(cfg.widths) - 1:
            self.downsamplers.append(blocks.Downsample(width, padding=1))
        if way == "up" and i > 0:
            self.upsamplers.append(blocks.Upsample(width))

    def forward(self, x: Tensor, kept: list[Tensor], embedding: Tensor, context: Tensor) -> Tensor:
        for i, resnet in enumerate(self.resnets):
            if self.way == "up":
                x = torch.cat([x, kept.pop()], dim=1)  # (B, c_in, H, W)
            x = resnet(x, embedding)  # (B, width, H, W)
            if i < len(self.attentions):
                x = self.attentions[i](x, context)
            if self.way == "down":
                kept.append(x)
        for halve in self.downsamplers:
            x = halve(x)
            kept.append(x)
        for double in self.upsamplers:
            x = double(x, kept[-1].shape[2:])  # odd sizes, too
        return x


class ConditionalUNet(nn.Module):
    """net(z_t, t, context) -> output (B, c, h, w); any h and w, odd ones too.

    ``t`` counts as the network was trained, 0..999; the book's t is one more. ``state_dict`` has
    the keys of the files.
    """

    def __init__(self, config: ConditionalUNetConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or ConditionalUNetConfig()
        first, last = cfg.widths[0], cfg.widths[-1]
        self.conv_in = nn.Conv2d(cfg.channels + cfg.concat_channels, first, 3, padding=1)
        self.time_embedding = perceptron(first, 4 * first)
        self.add_embedding = perceptron(cfg.added_dim, 4 * first) if cfg.added_dim else None
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        kept = [first]  # channels of everything that is kept for the way up
        for i, width in enumerate(cfg.widths):
            self.down_blocks.append(Level(i, [kept[-1], *[width] * (cfg.blocks - 1)], "down", cfg))
            kept += [width] * (cfg.blocks + (i < len(cfg.widths) - 1))
        self.mid_block = Level(-1, [last, last], "middle", cfg)
        for i, width in reversed(list(enumerate(cfg.widths))):
            channels = [c + kept.pop() for c in (last, *[width] * cfg.blocks)]
            self.up_blocks.append(Level(i, channels, "up", cfg))
            last = width
        self.conv_norm_out = nn.GroupNorm(cfg.groups, first, cfg.eps)
        self.conv_out = nn.Conv2d(first, cfg.channels, 3, padding=1)

    def forward(
        self, z_t: Tensor, t: Tensor, context: Tensor, added: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """The output for z_t (B, c + concat_channels, h, w) at t (B,), int or float.

        ``context`` (B, L, context_dim): what the text encoder made of the prompt.
        ``added``, for SDXL: the pooled text (B, d), and (B, 6) height and width of the original,
        top and left of the crop, height and width of the picture; d + 6 size_dim = added_dim.
        Raises ValueError for other shapes.
        """
        z_t, t = check_latents(z_t, t, self.conv_in.in_channels, self.conv_in.weight)
        n, dim = len(z_t), self.config.context_dim
        if context.dim() != 3 or len(context) != n or context.shape[2] != dim:
            raise ValueError(f"context must be ({n}, L, {dim}); got {tuple(context.shape)}")
        if (added is None) != (self.add_embedding is None):
            wanted = "given, as SDXL needs it" if added is None else "None for this network"
            raise ValueError(f"added must be {wanted}")
        waves = time_embedding(t.to(z_t.device), self.conv_in.out_channels, 1.0)  # (B, width)
        embedding = self.time_embedding(waves.to(z_t)).expand(n, -1)  # (B, 4 width)
        if self.add_embedding is not None and added is not None:
            embedding = embedding + self.add_embedding(self._join(z_t, *added))
        embedding, context = F.silu(embedding), context.to(z_t)
        x = self.conv_in(z_t)
        kept = [x]
        for level in (*self.down_blocks, self.mid_block, *self.up_blocks):
            x = level(x, kept, embedding, context)
        return self.conv_out(F.silu(self.conv_norm_out(x), inplace=True))

    def _join(self, z_t: Tensor, pooled: Tensor, numbers: Tensor) -> Tensor:
        """Pooled text (B, d) and six numbers (B, 6), each as waves: (B, d + 6 size_dim)."""
        n, cfg = len(z_t), self.config
        d = cfg.added_dim - numbers.shape[-1] * cfg.size_dim
        if pooled.shape != (n, d) or numbers.dim() != 2 or len(numbers) != n:
            got = f"{tuple(pooled.shape)} and {tuple(numbers.shape)}"
            raise ValueError(f"added must be ({n}, {d}) and ({n}, 6); got {got}")
        waves = time_embedding(numbers.float().to(z_t.device), cfg.size_dim, 1.0)  # (B·6, size_dim)
        return torch.cat([pooled.to(z_t), waves.reshape(n, -1).to(z_t)], dim=1)
