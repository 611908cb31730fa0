"""Stable Diffusion's autoencoder, arXiv 2112.10752, section 3.1; ``AutoencoderKL`` in diffusers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.autoencoder import Autoencoder
from minildm.checks import inputs
from minildm.process import Gaussian
from minildm.stable_diffusion import blocks
from minildm.stable_diffusion.blocks import ResnetBlock

EPS = 1e-6  # of every norm here; the UNet's residual blocks have 1e-5
ONLY = {
    "_class_name": ("AutoencoderKL",), "act_fn": ("silu", "swish"),
    "latents_mean": (None,), "latents_std": (None,),
}  # fmt: skip


@dataclass(frozen=True)
class KLAutoencoderConfig:
    """Sizes of a ``KLAutoencoder``; as they stand, those of Stable Diffusion 1. See ``of``."""

    image_channels: int = 3
    latent_channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)  # of each resolution, from the picture's on
    blocks: int = 2  # residual blocks per resolution; the decoder has one more
    groups: int = 32  # of every group norm
    attention: bool = True  # whether the pixels of the coarsest resolution attend to each other
    quant_conv: bool = True  # a 1 x 1 convolution after the encoder
    post_quant_conv: bool = True  # and one before the decoder
    scaling_factor: float = 0.18215  # what diffuses is scaling_factor (z - shift_factor)
    shift_factor: float = 0.0
    force_upcast: bool = False  # its numbers leave float16's range: use float32 or bfloat16

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, 2**14, "image_channels", "latent_channels", "blocks", "groups")
        inputs.flag_fields(self, "attention", "quant_conv", "post_quant_conv", "force_upcast")
        inputs.real_fields(self, 0, 1e9, "scaling_factor", open=True)
        inputs.real_fields(self, -1e9, 1e9, "shift_factor")
        object.__setattr__(self, "widths", inputs.whole_tuple("widths", self.widths, 1, 2**14))
        if not self.widths or any(width % self.groups for width in self.widths):
            wanted = f"multiples of groups = {self.groups}"
            raise ValueError(f"widths must be {wanted}; got {self.widths}")

    @property
    def factor(self) -> int:
        """Height and width shrink by this."""
        return 2 ** (len(self.widths) - 1)

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> "KLAutoencoderConfig":
        """The config of a published config.json; ValueError for what is not built here."""
        read, widths = json.get, tuple(json.get("block_out_channels", (64,)))
        kinds = {"down_block_types": "DownEncoderBlock2D", "up_block_types": "UpDecoderBlock2D"}
        for field, kind in kinds.items():
            wanted = (kind,) * len(widths)
            blocks.supported({field: tuple(read(field, wanted))}, {field: [wanted]})
        blocks.supported(json, {**ONLY, "out_channels": (read("in_channels", 3),)})
        return cls(
            read("in_channels", 3), read("latent_channels", 4), widths, read("layers_per_block", 1),
            read("norm_num_groups", 32), read("mid_block_add_attention", True),
            read("use_quant_conv", True), read("use_post_quant_conv", True),
            read("scaling_factor", 0.18215), read("shift_factor") or 0.0,
            read("force_upcast", True),
        )  # fmt: skip


class Level(nn.Module):
    """Residual blocks of one resolution."""

    def __init__(self, c_in: int, c_out: int, count: int, groups: int) -> None:
        super().__init__()
        widths = pairwise([c_in] + [c_out] * count)
        self.resnets = nn.ModuleList(ResnetBlock(a, b, groups, EPS) for a, b in widths)


class Coder(nn.Module):
    """Encoder, (B, C, H, W) -> (B, 2c, H / factor, W / factor), or, with ``up``, the way back.

    The encoder ends in the middle, at the coarsest resolution, and the decoder begins there.
    """

    def __init__(self, c_in: int, c_out: int, cfg: KLAutoencoderConfig, up: bool = False) -> None:
        super().__init__()
        self.up, levels, coarse = up, nn.ModuleList(), cfg.widths[-1]
        widths = cfg.widths[::-1] if up else cfg.widths
        self.conv_in = nn.Conv2d(c_in, widths[0], 3, padding=1)
        self.add_module("up_blocks" if up else "down_blocks", levels)
        for before, width in pairwise([widths[0], *widths]):
            levels.append(Level(before, width, cfg.blocks + up, cfg.groups))
        for level, width in zip(levels[:-1], widths[:-1], strict=True):
            step = blocks.Upsample(width) if up else blocks.Downsample(width, padding=0)
            level.add_module("upsamplers" if up else "downsamplers", nn.ModuleList([step]))
        self.mid_block = Level(coarse, coarse, 2, cfg.groups)
        attend = [blocks.PictureAttention(coarse, cfg.groups, EPS)] if cfg.attention else []
        self.mid_block.attentions = nn.ModuleList(attend)
        self.conv_norm_out = nn.GroupNorm(cfg.groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], c_out, 3, padding=1)

    def layers(self) -> list[nn.Module]:
        """One after another, so that what a level began with is not kept to its end."""
        (first, last), (*attend,) = map(nn.Module.children, self.mid_block.children())
        levels = self.get_submodule("up_blocks" if self.up else "down_blocks").children()
        parts = [part for level in levels for part in level.children()]  # resnets, then a step
        way, middle = [layer for part in parts for layer in part.children()], [first, *attend, last]
        return [self.conv_in, *(middle + way if self.up else way + middle)]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers():
            x = layer(x)
        return self.conv_out(F.silu(self.conv_norm_out(x), inplace=True))


class KLAutoencoder(Autoencoder):
    """x (B, C, H, W) in [-1, 1] <-> z - shift_factor, (B, c, H / factor, W / factor), unscaled.

    The book's ``Autoencoder`` with other networks; ``state_dict`` has the keys of the files.
    """

    config: KLAutoencoderConfig  # type: ignore[assignment]

    def __init__(self, config: KLAutoencoderConfig | None = None) -> None:
        nn.Module.__init__(self)  # an Autoencoder's networks are not wanted
        self.config = cfg = config or KLAutoencoderConfig()
        c, C = cfg.latent_channels, cfg.image_channels
        self.encoder, self.decoder = Coder(C, 2 * c, cfg), Coder(c, C, cfg, up=True)
        self.quant_conv = nn.Conv2d(2 * c, 2 * c, 1) if cfg.quant_conv else nn.Identity()
        self.post_quant_conv = nn.Conv2d(c, c, 1) if cfg.post_quant_conv else nn.Identity()

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """``config.scaling_factor``, 0-dim, in the dtype of the weights and on their device."""
        like = next(self.parameters())
        return torch.tensor(self.config.scaling_factor, dtype=like.dtype, device=like.device)

    def measure_scale(self, x: Tensor, batch: int = 500) -> float:
        """As ``Autoencoder.measure_scale``; the number is kept in ``config.scaling_factor``."""
        found = super().measure_scale(x, batch)
        self.config = replace(self.config, scaling_factor=found)
        return found

    def encode(self, x: Tensor) -> Gaussian:
        """q(z | x) = N(mean, var), each (B, c, h, w), unscaled; ValueError as ``check_images``."""
        moments = self.quant_conv(self.encoder(self.check_images(x)))
        mean, log_var = moments.chunk(2, dim=1)  # (B, 2c, h, w) -> 2 x (B, c, h, w)
        return Gaussian(mean - self.config.shift_factor, log_var.clamp(-30, 20).exp())

    def decode(self, z: Tensor, tile: int | None = None) -> Tensor:
        """z (B, c, h, w), unscaled -> x_hat (B, C, H, W); may leave [-1, 1] a little.

        ``tile``: decode squares of tile x tile latents, one after another, and blend them where
        they overlap, by a quarter of their side or more. It needs the memory of one of them; norms
        and attention see one only, so that brightness may differ a little between tiles.
        """
        z = self._checked("z", z, self.config.latent_channels, "h, w") + self.config.shift_factor
        if tile is None or max(z.shape[2:]) <= inputs.whole("tile", tile, 4):
            return self.decoder(self.post_quant_conv(z))
        (B, _, h, w), cfg = z.shape, self.config
        x = z.new_zeros(B, cfg.image_channels, cfg.factor * h, cfg.factor * w)
        for rows, H, of_rows in _tiles(h, tile, cfg.factor):
            for columns, W, of_columns in _tiles(w, tile, cfg.factor):
                part = self.decoder(self.post_quant_conv(z[:, :, rows, columns]))
                x[:, :, H, W] += part * (of_rows[:, None] * of_columns).to(part)  # (H, W) of a tile
        return x


def _tiles(size: int, tile: int, factor: int) -> list[tuple[slice, slice, Tensor]]:
    """Where ``size`` latents are cut: latents, their pixels, and each pixel's share (tile·factor,).

    The shares of a pixel add up to 1: where neighbours overlap, one fades out, the other in.
    """
    tile, overlap = min(tile, size), min(tile, size) // 4
    count = math.ceil((size - overlap) / (tile - overlap))
    starts = [round(i * (size - tile) / max(1, count - 1)) for i in range(count)]
    pixels = torch.arange(tile * factor, dtype=torch.float64) + 0.5
    fade = torch.minimum(pixels, tile * factor - pixels).clamp(max=max(1, overlap) * factor)
    total = torch.zeros(size * factor, dtype=torch.float64)
    places = [slice(factor * start, factor * (start + tile)) for start in starts]
    for place in places:
        total[place] += fade
    cuts = [slice(start, start + tile) for start in starts]
    return [(cut, at, fade / total[at]) for cut, at in zip(cuts, places, strict=True)]
