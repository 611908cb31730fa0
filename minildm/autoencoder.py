"""Image to latent and back: a small KL-regularised autoencoder (LDM, arXiv 2112.10752, sec. 3.1).

The first layer folds patch x patch pixels into channels (space to depth), the last one unfolds
them, so that no convolution runs at full resolution: on a CPU that is what makes it fast.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.layers import MOST_BLOCKS, WIDEST
from minildm.process import Gaussian


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of an ``Autoencoder``.

    image_channels   C: 1 (grey) or 3 (colour)
    latent_channels  c
    factor           height and width shrink by this: 2, 4, 8 or 16
    patch            of that, the part done at once by folding pixels into channels
    width            channels after folding; doubled (up to ``max_width``) at each halving
    blocks           residual blocks per resolution

    Raises ValueError for values that make no sense: each is named with its range.
    """

    image_channels: int = 1
    latent_channels: int = 4
    factor: int = 4
    patch: int = 2
    width: int = 32
    max_width: int = 128
    blocks: int = 1

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, "latent_channels", "width", "max_width")
        inputs.whole_fields(self, 1, MOST_BLOCKS, "blocks")
        inputs.whole_fields(self, 1, 16, "image_channels", "factor", "patch")
        if self.image_channels not in (1, 3):
            raise ValueError(f"image_channels must be 1 or 3; got {self.image_channels}")
        if self.factor not in (2, 4, 8, 16):
            raise ValueError(f"factor must be 2, 4, 8 or 16; got {self.factor}")
        if self.patch not in (2, 4, 8) or self.factor % self.patch:
            raise ValueError(
                f"patch must be 2, 4 or 8 and divide factor = {self.factor}; got {self.patch}"
            )
        width, widest = self.width, self.max_width
        if width % 8 or widest % 8:
            got = f"{width} and {widest}"
            raise ValueError(f"width and max_width must be multiples of 8 (group norm); got {got}")
        if widest < width:
            raise ValueError(f"max_width must be at least width = {width}; got {widest}")

    @property
    def widths(self) -> list[int]:
        """Channels at each resolution, from the folded image down to the latent's."""
        halvings = int(math.log2(self.factor // self.patch))
        return [min(self.width * 2**i, self.max_width) for i in range(halvings + 1)]


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))): (B, C, h, w) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _encoder(cfg: AutoencoderConfig) -> nn.Sequential:
    widths, folded = cfg.widths, cfg.image_channels * cfg.patch**2
    layers = [nn.PixelUnshuffle(cfg.patch), nn.Conv2d(folded, widths[0], 3, padding=1)]
    for i, width in enumerate(widths):
        if i > 0:
            layers.append(nn.Conv2d(widths[i - 1], width, 2, stride=2))
        layers += [Block(width) for _ in range(cfg.blocks)]
    end = nn.Conv2d(widths[-1], 2 * cfg.latent_channels, 3, padding=1)
    return nn.Sequential(*layers, nn.GroupNorm(8, widths[-1]), nn.SiLU(), end)


def _decoder(cfg: AutoencoderConfig) -> nn.Sequential:
    widths, folded = cfg.widths, cfg.image_channels * cfg.patch**2
    layers: list[nn.Module] = [nn.Conv2d(cfg.latent_channels, widths[-1], 3, padding=1)]
    for i, width in reversed(list(enumerate(widths))):
        layers += [Block(width) for _ in range(cfg.blocks)]
        if i > 0:
            layers += [nn.Conv2d(width, 4 * widths[i - 1], 1), nn.PixelShuffle(2)]
    end = nn.Conv2d(widths[0], folded, 3, padding=1)
    unfold = nn.PixelShuffle(cfg.patch)
    return nn.Sequential(*layers, nn.GroupNorm(8, widths[0]), nn.SiLU(), end, unfold)


class Autoencoder(nn.Module):
    """x (B, C, H, W) in [-1, 1] <-> z (B, c, H / factor, W / factor).

    ``encode`` and ``decode`` speak *unscaled* latents; ``scale`` = 1 / std of the latents is
    measured once by ``measure_scale``, stored with the weights, and used by LatentDiffusion.
    """

    config: "AutoencoderConfig | FoldingConfig"
    encoder: nn.Module
    decoder: nn.Module
    scale: Tensor

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or AutoencoderConfig()
        self.encoder, self.decoder = _encoder(cfg), _decoder(cfg)
        self.register_buffer("scale", torch.ones(()))
        # about a quarter faster on a CPU; PyTorch's own types do not know this form
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, x: Tensor) -> Gaussian:
        """q(z | x) = N(mean, var), each (B, c, h, w), unscaled; ValueError as ``check_images``."""
        x = self.check_images(x)
        mean, log_var = self.encoder(x).chunk(2, dim=1)  # (B, 2c, h, w) -> 2 x (B, c, h, w)
        return Gaussian(mean, log_var.clamp(-20, 10).exp())

    def check_images(self, x: Tensor) -> Tensor:
        """x in the dtype of the weights; its values are looked at where they come in, not here.

        Raises ValueError unless x is real, (B, C, H, W), with H and W multiples of ``factor``.
        """
        factor, x = self.config.factor, self._checked("x", x, self.config.image_channels, "H, W")
        if x.shape[2] % factor or x.shape[3] % factor:
            wanted = f"multiples of factor = {factor}: pad the images"
            raise ValueError(f"height and width must be {wanted}; got {tuple(x.shape)}")
        return x

    def _checked(self, name: str, x: Tensor, channels: int, size: str) -> Tensor:
        x = inputs.tensor(name, x, self.scale)
        if x.dim() != 4 or x.shape[1] != channels or 0 in x.shape:
            raise ValueError(f"{name} must be (B, {channels}, {size}); got {tuple(x.shape)}")
        if not x.is_floating_point():
            hint = f"use {name} / 127.5 - 1" if x.dtype == torch.uint8 else "use .float()"
            raise ValueError(f"{name} must be real numbers; got {x.dtype}: {hint}")
        return x.to(self.scale.dtype)

    def latent_shape(self, size: Sequence[int]) -> tuple[int, int, int]:
        """(c, h, w) of the latents of images of size (H, W).

        Raises ValueError unless both are multiples of ``factor``.
        """
        pair, factor = inputs.whole_tuple("size", size, 1), self.config.factor
        if len(pair) != 2 or pair[0] % factor or pair[1] % factor:
            raise ValueError(f"size must be (H, W), multiples of factor = {factor}; got {pair}")
        return self.config.latent_channels, pair[0] // factor, pair[1] // factor

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Gaussian]:
        """What training needs in one call: (x_hat, q), x_hat decoded from q.sample(eps)."""
        q = self.encode(x)
        return self.decode(q.sample(eps)), q

    def decode(self, z: Tensor) -> Tensor:
        """z (B, c, h, w), unscaled -> x_hat (B, C, H, W); may leave [-1, 1] a little."""
        return self.decoder(self._checked("z", z, self.config.latent_channels, "h, w"))

    @torch.no_grad()
    def measure_scale(self, x: Tensor, batch: int = 500) -> float:
        """Set and return ``scale`` = 1 / std of the latent means of x: one number for all channels.

        Stable Diffusion's 0.18215 is this number for its autoencoder (arXiv 2112.10752, app. G).
        """
        x = inputs.images("x", x, self.config.image_channels)
        device, batch = self.scale.device, inputs.whole("batch", batch, 1)
        means = torch.cat([self.encode(part.to(device)).mean for part in x.split(batch)])
        std = float(means.double().std())
        if not 0 < std < math.inf:
            raise ValueError(f"the latents have standard deviation {std}: train the autoencoder")
        self.scale.fill_(1 / std)
        return 1 / std


@dataclass(frozen=True)
class FoldingConfig:
    """``image_channels`` C and ``factor``: (C, H, W) becomes (C factor², H/factor, W/factor)."""

    image_channels: int = 3
    factor: int = 4

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, 1024, "image_channels", "factor")
        if self.image_channels not in (1, 3):
            raise ValueError(f"image_channels must be 1 or 3; got {self.image_channels}")

    @property
    def latent_channels(self) -> int:
        """Channels c of the folded pixels."""
        return self.image_channels * self.factor**2


class Folding(Autoencoder):
    """x (B, C, H, W) <-> z (B, C factor², H / factor, W / factor): pixels in the place of latents.

    It only moves numbers, so Gaussian noise on folded pixels is Gaussian noise on pixels: diffusion
    on them *is* diffusion in pixel space, with all else as in the latent model.
    """

    def __init__(self, config: FoldingConfig | None = None) -> None:
        nn.Module.__init__(self)  # an Autoencoder's networks are not wanted
        self.config = config or FoldingConfig()
        self.encoder = nn.PixelUnshuffle(self.config.factor)
        self.decoder = nn.PixelShuffle(self.config.factor)
        self.register_buffer("scale", torch.ones(()))

    def encode(self, x: Tensor) -> Gaussian:
        """q(z | x), which is certain: N(folded x, 0). Raises ValueError as ``Autoencoder`` does."""
        x = self.check_images(x)
        return Gaussian(self.encoder(x), x.new_zeros(()))
