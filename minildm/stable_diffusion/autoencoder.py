"""Stable Diffusion's autoencoder: picture to latent and back, eight times smaller.

Rombach et al. 2022 (arXiv 2112.10752), section 3.1; diffusers calls it ``AutoencoderKL``.
"""

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
from minildm.layers import MOST_BLOCKS, MOST_LEVELS, WIDEST
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
    """Sizes of a ``KLAutoencoder``; as they stand, those of Stable Diffusion 1.

    image_channels   C of the pictures
    latent_channels  c of the latents
    widths           channels at each resolution, from the picture's on; each halves the next
    blocks           residual blocks per resolution of the encoder; the decoder has one more
    groups           of every group norm
    attention        whether the pixels of the coarsest resolution attend to each other
    quant_conv       a 1 x 1 convolution after the encoder
    post_quant_conv  one before the decoder
    scaling_factor   scaled latents are scaling_factor (z - shift_factor)
    shift_factor     about the mean of z; Stable Diffusion 3 has one
    force_upcast     its numbers leave the range of float16: keep it in float32 or bfloat16
    """

    image_channels: int = 3
    latent_channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    blocks: int = 2
    groups: int = 32
    attention: bool = True
    quant_conv: bool = True
    post_quant_conv: bool = True
    scaling_factor: float = 0.18215
    shift_factor: float = 0.0
    force_upcast: bool = False

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, "image_channels", "latent_channels", "groups")
        inputs.whole_fields(self, 1, MOST_BLOCKS, "blocks")
        inputs.flag_fields(self, "attention", "quant_conv", "post_quant_conv", "force_upcast")
        inputs.real_fields(self, 0, 1e9, "scaling_factor", open=True)
        inputs.real_fields(self, -1e9, 1e9, "shift_factor")
        widths = inputs.whole_tuple("widths", self.widths, 1, WIDEST)
        object.__setattr__(self, "widths", widths)
        if not 1 <= len(widths) <= MOST_LEVELS or any(width % self.groups for width in widths):
            wanted = f"1 to {MOST_LEVELS} multiples of groups = {self.groups}"
            raise ValueError(f"widths must be {wanted}; got {widths}")

    @property
    def factor(self) -> int:
        """Height and width shrink by this."""
        return 2 ** (len(self.widths) - 1)

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> "KLAutoencoderConfig":
        """The config of a published config.json; ValueError for what is not built here."""
        blocks.supported(json, ONLY)
        widths = tuple(json.get("block_out_channels", (64,)))
        kinds = {"down_block_types": "DownEncoderBlock2D", "up_block_types": "UpDecoderBlock2D"}
        for field, kind in kinds.items():
            found, wanted = tuple(json.get(field, (kind,))), (kind,) * len(widths)
            blocks.supported({field: found}, {field: [wanted]})
        channels = json.get("in_channels", 3)
        blocks.supported(json, {"out_channels": (channels,)})
        return cls(
            channels, json.get("latent_channels", 4), widths, json.get("layers_per_block", 1),
            json.get("norm_num_groups", 32), json.get("mid_block_add_attention", True),
            json.get("use_quant_conv", True), json.get("use_post_quant_conv", True),
            json.get("scaling_factor", 0.18215), json.get("shift_factor") or 0.0,
            json.get("force_upcast", True),
        )  # fmt: skip


class Level(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, c_in: int, c_out: int, blocks: int, cfg: KLAutoencoderConfig) -> None:
        super().__init__()
        widths = pairwise([c_in] + [c_out] * blocks)
        self.resnets = nn.ModuleList(ResnetBlock(a, b, cfg.groups, EPS) for a, b in widths)


class Coder(nn.Module):
    """Encoder, (B, C, H, W) -> (B, 2c, H / factor, W / factor), or, with ``up``, the way back.

    The encoder ends in the middle, at the coarsest resolution, and the decoder begins there.
    """

    def __init__(self, c_in: int, c_out: int, cfg: KLAutoencoderConfig, up: bool = False) -> None:
        super().__init__()
        widths = cfg.widths[::-1] if up else cfg.widths
        self.conv_in = nn.Conv2d(c_in, widths[0], 3, padding=1)
        self.up, levels = up, nn.ModuleList()
        for i, (before, width) in enumerate(pairwise([widths[0], *widths])):
            level = Level(before, width, cfg.blocks + up, cfg)
            step = blocks.Upsample(width) if up else blocks.Downsample(width, padding=0)
            if i < len(widths) - 1:
                level.add_module("upsamplers" if up else "downsamplers", nn.ModuleList([step]))
            levels.append(level)
        self.add_module("up_blocks" if up else "down_blocks", levels)
        self.mid_block = Level(cfg.widths[-1], cfg.widths[-1], 2, cfg)
        if cfg.attention:
            attend = blocks.PictureAttention(cfg.widths[-1], cfg.groups, EPS)
            self.mid_block.attentions = nn.ModuleList([attend])
        self.conv_norm_out = nn.GroupNorm(cfg.groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], c_out, 3, padding=1)

    def layers(self) -> list[nn.Module]:
        """One after another, so that what a level began with is not kept to its end."""
        first, last = self.mid_block.resnets
        middle = [first, *getattr(self.mid_block, "attentions", ()), last]
        levels = self.get_submodule("up_blocks" if self.up else "down_blocks").children()
        parts = [part for level in levels for part in level.children()]  # resnets, then a step
        layers = [layer for part in parts for layer in part.children()]
        return [self.conv_in, *(middle + layers if self.up else layers + middle)]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers():
            x = layer(x)
        return self.conv_out(F.silu(self.conv_norm_out(x), inplace=True))


class KLAutoencoder(Autoencoder):
    """x (B, C, H, W) in [-1, 1] <-> z (B, c, H / factor, W / factor), without ``shift_factor``.

    The book's ``Autoencoder`` with Stable Diffusion's networks: latents are unscaled, and what
    diffuses is ``scale`` z. The ``state_dict`` has the keys of its file.
    """

    config: KLAutoencoderConfig  # type: ignore[assignment]

    def __init__(self, config: KLAutoencoderConfig | None = None) -> None:
        nn.Module.__init__(self)  # an Autoencoder's networks are not wanted
        self.config = cfg = config or KLAutoencoderConfig()
        c = cfg.latent_channels
        self.encoder = Coder(cfg.image_channels, 2 * c, cfg)
        self.decoder = Coder(c, cfg.image_channels, cfg, up=True)
        self.quant_conv = nn.Conv2d(2 * c, 2 * c, 1) if cfg.quant_conv else nn.Identity()
        self.post_quant_conv = nn.Conv2d(c, c, 1) if cfg.post_quant_conv else nn.Identity()

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """``config.scaling_factor``, 0-dim, in the dtype of the weights and on their device."""
        like = next(self.parameters())
        return torch.tensor(self.config.scaling_factor, dtype=like.dtype, device=like.device)

    def encode(self, x: Tensor) -> Gaussian:
        """q(z | x) = N(mean, var), each (B, c, h, w), unscaled; ValueError as ``check_images``."""
        moments = self.quant_conv(self.encoder(self.check_images(x)))
        mean, log_var = moments.chunk(2, dim=1)  # (B, 2c, h, w) -> 2 x (B, c, h, w)
        return Gaussian(mean - self.config.shift_factor, log_var.clamp(-30, 20).exp())

    def decode(self, z: Tensor, tile: int | None = None) -> Tensor:
        """z (B, c, h, w), unscaled -> x_hat (B, C, H, W); may leave [-1, 1] a little.

        ``tile``: decode squares of tile x tile latents, one after another, and blend them where
        they overlap, a quarter of their side. It needs the memory of one of them. Norms and
        attention then see one tile only, so that brightness may differ a little between tiles.
        """
        z = self._checked("z", z, self.config.latent_channels, "h, w") + self.config.shift_factor
        if tile is None or max(z.shape[2:]) <= inputs.whole("tile", tile, 4):
            return self.decoder(self.post_quant_conv(z))
        return self._decode_tiles(z, tile)

    def _decode_tiles(self, z: Tensor, tile: int) -> Tensor:
        (B, _, h, w), cfg = z.shape, self.config
        x = z.new_zeros(B, cfg.image_channels, cfg.factor * h, cfg.factor * w)
        down, across = _tiles(h, tile, cfg.factor), _tiles(w, tile, cfg.factor)
        for rows, H, of_rows in down:
            for columns, W, of_columns in across:
                picture = self.decoder(self.post_quant_conv(z[:, :, rows, columns]))
                share = of_rows[:, None] * of_columns  # (tile H, tile W), 1 in all over the tiles
                x[:, :, H, W] += picture * share.to(picture)
        return x

    def measure_scale(self, x: Tensor, batch: int = 500) -> float:
        """As ``Autoencoder.measure_scale``; the number is kept in ``config.scaling_factor``."""
        found = super().measure_scale(x, batch)
        self.config = replace(self.config, scaling_factor=found)
        return found


def _tiles(size: int, tile: int, factor: int) -> list[tuple[slice, slice, Tensor]]:
    """Where ``size`` latents are cut: latents, their pixels, and each pixel's share (tile·factor,).

    Neighbours overlap by a quarter of a tile or more; there one fades out as the other fades in.
    """
    tile, overlap = min(tile, size), tile // 4
    count = max(1, math.ceil((size - overlap) / (tile - overlap)))
    starts = [round(i * (size - tile) / max(1, count - 1)) for i in range(count)]
    pixels = torch.arange(tile * factor, dtype=torch.float64) + 0.5
    fade = torch.minimum(pixels, tile * factor - pixels).clamp(max=overlap * factor)
    total = torch.zeros(size * factor, dtype=torch.float64)
    places = [slice(factor * start, factor * (start + tile)) for start in starts]
    for place in places:
        total[place] += fade
    return [
        (slice(start, start + tile), place, fade / total[place])
        for start, place in zip(starts, places, strict=True)
    ]
