"""Training the two networks of a latent diffusion model.

    train_autoencoder  image -> latent -> image, KL-regularised; then measures the latent scale
    train_denoiser     predicts v (or eps, z0, flow) from noisy latents

Both run the loop of fit.py and return the averaged weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn

from minildm import predict
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.ema import EMA
from minildm.fit import DROP, TIME, Batch, FitConfig, Progress, build, collect, fit
from minildm.losses import (
    diffusion_loss,
    kl_loss,
    min_snr_weight,
    random_times,
    reconstruction_loss,
)
from minildm.unet import UNet, UNetConfig


@dataclass(frozen=True)
class AutoencoderTraining:
    """An autoencoder, how to train it, and the weight of the KL term (mean per latent element)."""

    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    kl: float = 1e-3


@dataclass(frozen=True)
class DenoiserTraining:
    """A denoising network and how to train it.

    drop              share of samples that see the null condition (classifier-free guidance)
    parameterization  "V", "EPS", "Z0" or "FLOW"
    min_snr           gamma of the min-SNR weight; None weighs all times equally
    """

    model: UNetConfig = field(default_factory=UNetConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    drop: float = 0.1
    parameterization: str = "V"
    min_snr: float | None = None

    def __post_init__(self) -> None:
        if self.parameterization not in ("V", "EPS", "Z0", "FLOW"):
            raise ValueError(
                f"parameterization must be V, EPS, Z0 or FLOW; got {self.parameterization!r}"
            )
        if not 0 <= self.drop < 1:
            raise ValueError(f"drop must be in [0, 1); got {self.drop}: usual is 0.1")


class Trained(NamedTuple):
    """A network with its averaged (EMA) weights, in evaluation mode, and its training log."""

    net: nn.Module
    history: list[Progress]


def train_autoencoder(config: AutoencoderTraining, x: Tensor, progress: bool = False) -> Trained:
    """Minimise reconstruction + kl KL on images x (n, C, H, W) in [-1, 1]; measures the scale.

    LDM (arXiv 2112.10752), section 3.1, without the adversarial and perceptual terms.
    """
    if x.min() < -1 or x.max() > 1:
        raise ValueError(
            f"x must be in [-1, 1]; got {float(x.min()):.3g}..{float(x.max()):.3g}: use 2 x - 1 "
            "for images in [0, 1]"
        )
    net = build(lambda: Autoencoder(config.model), config.fit.seed)
    shape = net.latent_shape(x.shape[-2:])

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        part = x[batch.indices].to(net.scale.device)
        x_hat, q = model(part, batch.normal(shape).to(part))
        return reconstruction_loss(x_hat, part) + config.kl * kl_loss(q), None

    ema = EMA(net, config.fit.ema)
    history = collect(fit(net, loss, len(x), config.fit, ema), config.fit, "autoencoder", progress)
    ema.net.measure_scale(x)
    return Trained(ema.net, history)


def train_denoiser(
    config: DenoiserTraining,
    schedule: Callable,
    z0: Tensor,
    condition: Tensor | None = None,
    progress: bool = False,
) -> Trained:
    """Minimise the diffusion loss on scaled latents z0 (n, c, h, w), encoded once by the caller.

    ``condition``: one entry per sample, of the kind that ``config.model`` names; a share ``drop``
    of each batch sees the null condition instead. The history has the loss by noise level.
    """
    net = build(lambda: UNet(config.model), config.fit.seed)
    parameterization = getattr(predict, config.parameterization)

    def weight(*args) -> Tensor:
        return min_snr_weight(*args, gamma=config.min_snr)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        device = next(net.parameters()).device
        t = random_times(schedule, batch.uniform(TIME))
        losses = diffusion_loss(
            lambda z_t, t, c: model(z_t, t, c, batch.uniform(DROP) < config.drop),
            schedule,
            z0[batch.indices].to(device),
            None if condition is None else condition[batch.indices].to(device),
            parameterization=parameterization,
            t=t,
            eps=batch.normal(z0.shape[1:]).to(device, z0.dtype),
            weight=weight if config.min_snr else None,
        )
        return losses, t / schedule.T

    ema = EMA(net, config.fit.ema)
    history = collect(fit(net, loss, len(z0), config.fit, ema), config.fit, "denoiser", progress)
    return Trained(ema.net, history)
