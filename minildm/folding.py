"""Pixels in the place of latents: an "autoencoder" that learns nothing and loses nothing.

It folds squares of factor x factor pixels into channels. Folding only moves numbers, so Gaussian
noise on the folded pixels is Gaussian noise on the pixels: diffusion on them *is* diffusion in
pixel space, with the sampler, the network and the training of the latent model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minildm import inputs
from minildm.autoencoder import Autoencoder
from minildm.process import Gaussian


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
    """x (B, C, H, W) <-> z (B, C factor², H / factor, W / factor): the same numbers elsewhere."""

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


class Folded:
    """The scaled, folded pixels of a data set, made when asked for: ``folded[indices]``.

    ``x``: a tensor (n, C, H, W) or anything with a length n that gives one for int64 indices.
    """

    def __init__(self, x, folding: Folding) -> None:
        self.x, self.folding = x, folding

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.folding.encoder(self.x[indices]) * self.folding.scale.cpu()
