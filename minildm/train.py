"""Training the two networks of a latent diffusion model.

    train_autoencoder  image -> latent -> image, KL-regularised; then measures the latent scale
    encode_all         the latents of all images, computed once
    train_denoiser     predicts v (or eps, z0, flow) from noisy latents
    train_both         the three of them, one after another

The trainings run the loop of fit.py and return the averaged weights. Data is a tensor (n, ..) or
anything with a length n that gives a tensor for int64 indices: ``x[indices]``. ``keep`` stands for
the options ``folder``, ``resume`` and ``every_save`` of ``fit``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minildm import inputs, predict
from minildm.accelerator import is_main_process
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.batches import set_field, share
from minildm.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from minildm.ema import EMA
from minildm.fit import DROP, TIME, Batch, FitConfig, Progress, build, collect, fit
from minildm.losses import (
    diffusion_loss,
    kl_loss,
    min_snr_weight,
    random_times,
    reconstruction_loss,
)
from minildm.text import TextUNetConfig, build_network
from minildm.unet import TrainedWith, UNetConfig


@dataclass(frozen=True)
class AutoencoderTraining:
    """An autoencoder, how to train it, and the weight of the KL term (mean per latent element).

    Raises ValueError for a weight that is negative or not finite.
    """

    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    kl: float = 1e-3

    def __post_init__(self) -> None:
        set_field(self, "kl", inputs.real("kl", self.kl, 0))


@dataclass(frozen=True)
class DenoiserTraining:
    """A denoising network and how to train it.

    drop              share of samples that see the null condition (classifier-free guidance)
    parameterization  "V", "EPS", "Z0" or "FLOW"
    min_snr           gamma of the min-SNR weight; None weighs all times equally
    snr_floor         floor of the min-SNR weight

    Raises ValueError, naming the field, for a value out of range, and for a floor of no weight.
    """

    model: UNetConfig | TextUNetConfig = field(default_factory=UNetConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    drop: float = 0.1
    parameterization: str = "V"
    min_snr: float | None = None
    snr_floor: float = 0.0

    def __post_init__(self) -> None:
        if self.parameterization not in ("V", "EPS", "Z0", "FLOW"):
            raise ValueError(
                f"parameterization must be V, EPS, Z0 or FLOW; got {self.parameterization!r}"
            )
        set_field(self, "drop", share("drop", self.drop))
        if self.min_snr is not None:
            set_field(self, "min_snr", inputs.real("min_snr", self.min_snr, 0, open=True))
        set_field(self, "snr_floor", inputs.real("snr_floor", self.snr_floor, 0))
        if self.min_snr is None and self.snr_floor:
            raise ValueError(
                f"snr_floor = {self.snr_floor} is the floor of the min-SNR weight, but min_snr is "
                "None: give a min_snr, or set snr_floor to 0 (before min_snr)"
            )


class Trained(NamedTuple):
    """A network with its averaged (EMA) weights, in evaluation mode, and its training log."""

    net: nn.Module
    history: list[Progress]


def train_autoencoder(
    config: AutoencoderTraining,
    x: Tensor,
    progress: bool = False,
    reconstruction: Callable[[Tensor, Tensor], Tensor] = reconstruction_loss,
    **keep,
) -> Trained:
    """Minimise reconstruction + kl KL on images x (n, C, H, W) in [-1, 1]; measures the scale.

    ``reconstruction(x_hat, x) -> (B,)``: the squared error, or another loss per image.
    LDM (arXiv 2112.10752), section 3.1, without the adversarial and perceptual terms.
    """
    few = x if isinstance(x, Tensor) else x[torch.arange(min(len(x), 2000))]
    if few.min() < -1 or few.max() > 1:
        raise ValueError(
            f"x must be in [-1, 1]; got {float(few.min()):.3g}..{float(few.max()):.3g}: use "
            "2 x - 1 for images in [0, 1]"
        )
    net = build(lambda: Autoencoder(config.model), config.fit.seed)
    shape = net.latent_shape(few.shape[-2:])

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        part = x[batch.indices].to(net.scale.device)
        x_hat, q = model(part, batch.normal(shape).to(part))
        return reconstruction(x_hat, part) + config.kl * kl_loss(q), None

    trained = _train(net, loss, len(x), config, "autoencoder", progress, **keep)
    trained.net.measure_scale(few)
    return trained


def train_denoiser(
    config: DenoiserTraining,
    schedule: Callable,
    z0: Tensor,
    condition: Tensor | None = None,
    progress: bool = False,
    prepare: Callable[[nn.Module], nn.Module] = lambda net: net,
    **keep,
) -> Trained:
    """Minimise the diffusion loss on scaled latents z0 (n, c, h, w), encoded once by the caller.

    ``condition``: one entry per sample, of the kind that ``config.model`` names; a share ``drop``
    of each batch sees the null condition instead. The history has the loss by noise level.
    ``prepare(net)``: the network to train, made from the fresh one: given weights, a frozen part.
    """
    net = build(lambda: prepare(build_network(config.model)), config.fit.seed)
    latent_size = tuple(z0[torch.arange(1)].shape[2:])
    net.trained_with = TrainedWith(config.parameterization, schedule, latent_size)
    loss = denoiser_loss(config, schedule, z0, condition)
    more = {"schedule": _name_of(schedule)}
    return _train(net, loss, len(z0), config, "denoiser", progress, more, **keep)


def denoiser_loss(
    config: DenoiserTraining, schedule: Callable, z0: Tensor, condition: Tensor | None
) -> Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]:
    """The loss of ``train_denoiser``, as ``fit`` takes it: losses (B,) and levels t / T (B,)."""
    parameterization = getattr(predict, config.parameterization)
    weight = None
    if config.min_snr is not None:
        weight = partial(min_snr_weight, gamma=config.min_snr, floor=config.snr_floor)

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        device = next(model.parameters()).device
        t = random_times(schedule, batch.uniform(TIME))
        clean = z0[batch.indices].to(device)
        losses = diffusion_loss(
            lambda z_t, t, c: model(z_t, t, c, batch.uniform(DROP) < config.drop),
            schedule,
            clean,
            None if condition is None else condition[batch.indices].to(device),
            parameterization=parameterization,
            t=t,
            eps=batch.normal(clean.shape[1:]).to(clean),
            weight=weight,
        )
        return losses, t / schedule.T

    return loss


@torch.no_grad()
def encode_all(
    autoencoder: Autoencoder, x: Tensor, cache: str | Path | None = None, batch: int = 500
) -> Tensor:
    """Scaled mean latents (n, c, h, w) of all images x, on the CPU: what the denoiser learns from.

    ``cache``: a folder that keeps them; it is used again for the same weights and images.
    """
    device = autoencoder.scale.device
    made_from = {"n": len(x), "weights": _digest(*autoencoder.state_dict().values())}
    made_from["images"] = _digest(x[torch.arange(min(len(x), 16))])
    try:
        if cache is not None:
            tensors, kept = load_checkpoint(cache)
            if kept == made_from:
                return tensors["z0"]
    except (FileNotFoundError, CheckpointError):
        pass  # it can be computed again
    parts = [x[i].to(device) for i in torch.arange(len(x)).split(batch)]
    z0 = torch.cat([(autoencoder.encode(p).mean * autoencoder.scale).cpu() for p in parts])
    if cache is not None and is_main_process():
        save_checkpoint(cache, {"z0": z0}, made_from)
    return z0


def train_both(
    first: AutoencoderTraining,
    second: DenoiserTraining,
    schedule: Callable,
    x: Tensor,
    condition: Tensor | None = None,
    progress: bool = False,
    folder: str | Path | None = None,
    resume: bool | str = False,
    every_save: Callable[[Autoencoder, nn.Module, int], None] | None = None,
) -> tuple[Trained, Trained]:
    """The autoencoder, then the denoiser on its latents; each in its own part of ``folder``.

    ``every_save(autoencoder, net, step)`` is called while the denoiser learns.
    """
    places = {
        name: folder and Path(folder) / name for name in ("autoencoder", "latents", "denoiser")
    }
    keep = {"folder": places["autoencoder"], "resume": resume}
    autoencoder = train_autoencoder(first, x, progress, **keep)
    z0 = encode_all(autoencoder.net, x, places["latents"])
    keep["folder"] = places["denoiser"]
    keep["every_save"] = every_save and partial(every_save, autoencoder.net)
    return autoencoder, train_denoiser(second, schedule, z0, condition, progress, **keep)


def _train(
    net: nn.Module, loss: Callable, n: int, config: AutoencoderTraining | DenoiserTraining,
    name: str, progress: bool, more: dict | None = None, **keep,
) -> Trained:  # fmt: skip
    ema = EMA(net, config.fit.ema)
    settings = {**asdict(config), **(more or {})}
    run = fit(net, loss, n, config.fit, ema, settings=settings, **keep)
    return Trained(ema.net, collect(run, config.fit, name, progress))


def _name_of(schedule: Callable) -> str:
    """What tells one schedule from another: its kind, its length and its betas, if it has any."""
    betas = getattr(schedule, "beta", None)
    digest = "" if betas is None else f", betas {_digest(betas)[:12]}"
    return f"{type(schedule).__name__}, T = {schedule.T}{digest}"


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
