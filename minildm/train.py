"""Training the two networks of a latent diffusion model.

    train_autoencoder  image -> latent -> image, KL-regularised; then measures the latent scale
    encode_all         the latents of all images, computed once
    train_denoiser     predicts v (or eps, z0, flow) from noisy latents
    train_both         the three of them, one after another

The trainings run the loop of engine/fit.py and return the averaged weights. Data is a tensor
(n, ..), or lazy: anything with a length n that gives a tensor for int64 indices, ``x[indices]``.
All of it is looked at before the first step (checks/training_data.py says how), and ValueError
names what cannot be right. A training that goes on must have the data and the functions that it
began with.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor, nn

from minildm import checks, losses, predict
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.checks import inputs, training_data
from minildm.engine import identity
from minildm.engine.devices import is_main_process
from minildm.engine.fit import build, check_run, fit
from minildm.engine.optim import EMA
from minildm.engine.records import Progress, collect
from minildm.engine.resume import must_be_new
from minildm.engine.settings import FitConfig
from minildm.files.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from minildm.interfaces import Schedule
from minildm.noise import DROP, TIME, Batch
from minildm.predict import Parameterization
from minildm.text import TextUNetConfig, build_network
from minildm.unet import TrainedWith, UNetConfig

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class AutoencoderTraining:
    """An autoencoder, how to train it, and the weight of the KL term (mean per latent element).

    Raises ValueError for a weight that is negative or not finite.
    """

    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    kl: float = 1e-3

    def __post_init__(self) -> None:
        inputs.real_fields(self, 0, math.inf, "kl")


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
        inputs.share_fields(self, "drop")
        if self.min_snr is not None:
            inputs.real_fields(self, 0, math.inf, "min_snr", open=True)
        inputs.real_fields(self, 0, math.inf, "snr_floor")
        if self.min_snr is None and self.snr_floor:
            raise ValueError(
                f"snr_floor = {self.snr_floor} is the floor of the min-SNR weight, but min_snr is "
                "None: give a min_snr, or set snr_floor to 0 (before min_snr)"
            )

    @property
    def predicts(self) -> Parameterization:
        """The parameterization itself."""
        return getattr(predict, self.parameterization)


class Trained(NamedTuple, Generic[N]):
    """A network with its averaged (EMA) weights, in evaluation mode, and its training log."""

    net: N
    history: list[Progress]


class Keep(TypedDict, total=False):
    """What a training leaves, and where: these options of ``fit``, by their names."""

    folder: str | Path | None
    resume: bool | str
    every_save: Callable[[Any, int], None] | None


def train_autoencoder(
    config: AutoencoderTraining, x: Any, progress: bool = False,
    reconstruction: Callable[[Tensor, Tensor], Tensor] = losses.reconstruction_loss,
    **keep: Unpack[Keep],
) -> Trained[Autoencoder]:  # fmt: skip
    """Minimise reconstruction + kl KL on images x (n, C, H, W) in [-1, 1]; measures the scale.

    ``reconstruction(x_hat, x) -> (B,)``: the squared error, or another loss per image.
    LDM (arXiv 2112.10752), section 3.1, without the adversarial and perceptual terms.
    """
    x = training_data.pictures("x", x, config.model.image_channels, config.model.factor)
    net = build(lambda: Autoencoder(config.model), config.fit.seed)
    few = x if isinstance(x, Tensor) else x[torch.arange(min(len(x), 2000))]
    shape = net.latent_shape(few.shape[-2:])

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, None]:
        part = training_data.pictures_of("x", x, batch.indices).to(net.scale.device)
        x_hat, q = model(part, batch.normal(shape).to(part))
        return reconstruction(x_hat, part) + config.kl * losses.kl_loss(q), None

    about = {"reconstruction": identity.name_of(reconstruction)}
    trained = train_network(net, loss, config, "autoencoder", progress, about, {"x": x}, **keep)
    trained.net.measure_scale(few)
    return trained


def unchanged(net: nn.Module) -> nn.Module:
    """The network itself."""
    return net


def train_denoiser(
    config: DenoiserTraining, schedule: Schedule, z0: Any, condition: Any = None,
    progress: bool = False, prepare: Callable[[nn.Module], nn.Module] = unchanged,
    **keep: Unpack[Keep],
) -> Trained[Any]:  # fmt: skip
    """Minimise the diffusion loss on scaled latents z0 (n, c, h, w), encoded once by the caller.

    ``condition``: one entry per sample, of the kind that ``config.model`` names; a share ``drop``
    of each batch sees the null condition instead. The history has the loss by noise level.
    ``prepare(net)``: the network to train, made from the fresh one: given weights, a frozen part.
    Warns where eps-prediction meets a schedule with almost no signal left at T.
    """
    net: Any = build(lambda: prepare(build_network(config.model)), config.fit.seed)
    loss, data = _denoising(config, getattr(net, "config", None), schedule, z0, condition)
    latent_size = tuple(training_data.some("z0", data["z0"], torch.arange(1)).shape[2:])
    net.trained_with = TrainedWith(config.parameterization, schedule, latent_size)
    checks.warn_of_signal_lost(config.predicts, schedule)
    described, prepared = identity.describe_schedule(schedule), identity.name_of(prepare)
    about = {"schedule": described, "prepare": prepared}
    return train_network(net, loss, config, "denoiser", progress, about, data, **keep)


def denoiser_loss(
    config: DenoiserTraining, schedule: Schedule, z0: Any, condition: Any
) -> Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]:
    """The loss of ``train_denoiser``, as ``fit`` takes it: losses (B,) and levels t / T (B,)."""
    return _denoising(config, config.model, schedule, z0, condition)[0]


def _denoising(
    config: DenoiserTraining, told: Any, schedule: Schedule, z0: Any, condition: Any
) -> tuple[Callable, dict]:
    """(loss, {"z0", "condition"}): what fits to a network whose config is ``told``."""
    schedule = training_data.schedule(schedule)
    z0 = training_data.latents("z0", z0, getattr(told, "channels", None))
    size = training_data.some("z0", z0, torch.arange(1)).shape[2:]
    condition = training_data.condition(told, condition, len(z0), size)
    options: dict[str, Any] = {"parameterization": config.predicts}
    if config.min_snr is not None:
        weight = partial(losses.min_snr_weight, gamma=config.min_snr, floor=config.snr_floor)
        options["weight"] = weight

    def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        device = next(model.parameters()).device
        t = losses.random_times(schedule, batch.uniform(TIME))
        clean = training_data.some("z0", z0, batch.indices).to(device)
        eps = batch.normal(clean.shape[1:]).to(clean)
        asked = None
        if condition is not None:
            asked = training_data.some("condition", condition, batch.indices).to(device)
        net = lambda z_t, t, c: model(z_t, t, c, batch.uniform(DROP) < config.drop)  # noqa: E731
        each = losses.diffusion_loss(net, schedule, clean, asked, t=t, eps=eps, **options)
        return each, t / schedule.T

    return loss, {"z0": z0, "condition": condition}


@torch.no_grad()
def encode_all(
    autoencoder: Autoencoder, x: Any, cache: str | Path | None = None, batch: int = 500
) -> Tensor:
    """Scaled mean latents (n, c, h, w) of all images x, on the CPU: what the denoiser learns from.

    ``cache``: a folder that keeps them; it is used again for the same weights and images. Raises
    ValueError for images as ``train_autoencoder`` does, and for latents that are not finite.
    """
    batch, settings = inputs.whole("batch", batch, 1), autoencoder.config
    x = training_data.pictures("x", x, settings.image_channels, settings.factor)
    if cache is not None:
        made_from: dict[str, Any] = {
            "images": identity.fingerprint(x),
            "weights": identity.weights_digest(autoencoder, but=("scale",)),
            "scale": float(autoencoder.scale),
        }
        with suppress(FileNotFoundError, CheckpointError, KeyError, TypeError):  # or made again
            tensors, then = load_checkpoint(cache)
            if (
                then["weights"] == made_from["weights"]
                and math.isclose(then["scale"], made_from["scale"], rel_tol=1e-5)
                and not identity.change(then["images"], made_from["images"])
            ):
                return tensors["z0"]
    parts = []
    for indices in torch.arange(len(x)).split(batch):
        part = training_data.pictures_of("x", x, indices).to(autoencoder.scale.device)
        parts.append((autoencoder.encode(part).mean * autoencoder.scale).cpu())
    z0 = training_data.latents("the latents of x", torch.cat(parts), None)
    if cache is not None and is_main_process():
        save_checkpoint(cache, {"z0": z0}, made_from)
    return z0


def train_both(
    first: AutoencoderTraining, second: DenoiserTraining, schedule: Schedule, x: Any,
    condition: Any = None, progress: bool = False, folder: str | Path | None = None,
    resume: bool | str = False,
    every_save: Callable[[Autoencoder, Any, int], None] | None = None,
) -> tuple[Trained[Autoencoder], Trained[Any]]:  # fmt: skip
    """The autoencoder, then the denoiser on its latents; each in its own part of ``folder``.

    ``every_save(autoencoder, net, step)`` is called while the denoiser learns. What the denoiser
    needs is looked at before the autoencoder is trained.
    """
    x = training_data.pictures("x", x, first.model.image_channels, first.model.factor)
    training_data.schedule(schedule)
    for config in (first.fit, second.fit):
        check_run(config, len(x))
    made, wanted = first.model.latent_channels, second.model.channels
    if made != wanted:
        raise ValueError(
            f"the denoiser's network is for latents of {wanted} channels, but the autoencoder "
            f"makes {made}: set the channels of the one or the latent_channels of the other"
        )
    sides = training_data.some("x", x, torch.arange(1)).shape[2:]
    size = [side // first.model.factor for side in sides]
    condition = training_data.condition(second.model, condition, len(x), size)
    home = None if folder is None else Path(folder)
    if home and not resume:
        must_be_new(home / "denoiser")
    keep: Keep = {"folder": home and home / "autoencoder", "resume": resume}
    autoencoder = train_autoencoder(first, x, progress, **keep)
    z0 = encode_all(autoencoder.net, x, home and home / "latents")
    keep["folder"] = home and home / "denoiser"
    if every_save:
        keep["every_save"] = partial(every_save, autoencoder.net)
    return autoencoder, train_denoiser(second, schedule, z0, condition, progress, **keep)


def train_network(
    net: N, loss: Callable, config: Any, name: str, progress: bool, about: Mapping, data: Mapping,
    **keep: Unpack[Keep],
) -> Trained[N]:  # fmt: skip
    """Run ``fit`` with an average, under the settings ``config``: what every training here does.

    ``about``, and the fingerprints of ``data``, must be the same when it goes on.
    """
    settings, n = {**asdict(config), **about}, len(next(iter(data.values())))
    if keep.get("folder") is not None:
        settings |= {key: identity.fingerprint(x) for key, x in data.items()}
    ema = EMA(net, config.fit.ema)
    run = fit(net, loss, n, config.fit, ema, settings=settings, **keep)
    return Trained(ema.net, collect(run, config.fit, name, progress))
