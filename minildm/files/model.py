"""A latent diffusion model as a folder: what ``LatentDiffusion.save`` and ``load`` read and write.

    model.safetensors   the weights of both networks, the latent scale, the betas
    config.json         what they are weights of, and the SHA-256 of the first file
    metrics.json        of a model of the book: what its training cost
    STAGE.jsonl         and how it went, one line per progress record

The models of the book are in data/checkpoints (places.py); their folder's name is enough to load
them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from minildm import schedule as schedules
from minildm.autoencoder import Autoencoder, AutoencoderConfig, Folding, FoldingConfig
from minildm.checks import inputs
from minildm.files.checkpoint import (
    CheckpointError,
    build_for,
    load_checkpoint,
    save_checkpoint,
)
from minildm.files.places import find_model
from minildm.interfaces import Schedule
from minildm.shapes import captions
from minildm.text import TextUNet, TextUNetConfig, build_network
from minildm.unet import TrainedWith, UNet, UNetConfig

if TYPE_CHECKING:
    from minildm.latent import LatentDiffusion

EXACT = ("autoencoder.scale", "betas")  # never rounded: every latent depends on them
AUTOENCODERS = {
    "Autoencoder": (Autoencoder, AutoencoderConfig),
    "Folding": (Folding, FoldingConfig),
}
SCHEDULES = ("DiscreteSchedule", "CosineSchedule", "FlowSchedule")
PARAMETERIZATIONS = ("EPS", "Z0", "V", "FLOW")
ROUNDED_TO = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write_model(folder: str | Path, model: "LatentDiffusion", dtype: torch.dtype | None) -> None:
    """Write a ``LatentDiffusion``; ``dtype``: what its weights are rounded to, None: not at all.

    Raises ValueError for what could not be read again: another dtype, weights that overflow in it,
    a network, schedule or parameterisation of one's own. CheckpointError for weights that are NaN.
    """
    _check_writable(model, dtype)
    tensors = dict(model.state_dict())
    if isinstance(model.schedule, schedules.DiscreteSchedule):
        tensors["betas"] = model.schedule.beta[1:]
    config = {
        "model": "LatentDiffusion",
        "autoencoder": asdict(model.autoencoder.config),
        "autoencoder_kind": type(model.autoencoder).__name__,
        "network": asdict(model.network.config),
        "schedule": type(model.schedule).__name__,
        "latent_size": model.latent_shape[1:],
        "parameterization": model.parameterization.name,
    }
    save_checkpoint(folder, {name: _rounded(name, t, dtype) for name, t in tensors.items()}, config)


def _check_writable(model: "LatentDiffusion", dtype: torch.dtype | None) -> None:
    if dtype not in (None, *ROUNDED_TO):
        names = "float16, bfloat16, float32 or float64"
        raise ValueError(f"dtype must be None, torch.{names}; got {dtype}")
    for name, made, known in (
        ("autoencoder", type(model.autoencoder).__name__, AUTOENCODERS),
        ("network", type(model.network).__name__, ("UNet", "TextUNet")),
        ("schedule", type(model.schedule).__name__, SCHEDULES),
        ("parameterization", model.parameterization.name, PARAMETERIZATIONS),
    ):
        if made not in known:
            raise ValueError(f"{name} is a {made}; a file of a model holds {' or '.join(known)}")


def read_model(
    folder: str | Path,
) -> tuple[Autoencoder, UNet | TextUNet, dict[str, Tensor], Path]:
    """(autoencoder, network with a note of its training, weights for both, where they were).

    ``folder``: see ``find_model``. Raises FileNotFoundError, naming the models there are, and
    CheckpointError, naming the field, for a damaged or foreign one.
    """
    place = find_model(folder)
    tensors, config = load_checkpoint(place)
    betas = tensors.pop("betas", None)
    if config.get("model") != "LatentDiffusion":
        said = f"model is {config.get('model')!r}, not LatentDiffusion; give another folder"
        raise CheckpointError(f"{place}/config.json: {said}")
    autoencoder = _autoencoder(config, tensors, place)
    with _field(place, "network"):
        network_config = _network(config["network"])
    network = build_for(lambda: build_network(network_config), _under("network.", tensors), place)
    with _field(place, "schedule"):
        schedule = _schedule(_known(config["schedule"], SCHEDULES), betas)
    with _field(place, "latent_size"):
        latent_size = inputs.whole_tuple("latent_size", config["latent_size"], 1, 4096)
        if len(latent_size) != 2:
            raise ValueError(f"it must be (h, w); got {latent_size}")
    with _field(place, "parameterization"):
        name = _known(config["parameterization"], PARAMETERIZATIONS)
    network.trained_with = TrainedWith(name, schedule, latent_size)
    return autoencoder, network, tensors, place


def _network(sizes: Mapping) -> UNetConfig | TextUNetConfig:
    if "text" not in sizes:
        return UNetConfig(**sizes)
    text = dict(sizes["text"])
    if "words" not in text:  # written while the words of captioned shapes were the only ones
        if text.pop("vocabulary") != len(captions.VOCABULARY):
            raise ValueError(f"vocabulary must be {len(captions.VOCABULARY)}, or words be given")
        text |= {"words": captions.WORDS, "grammar": "captions"}
    return TextUNetConfig(**{**sizes, "text": text})


def _autoencoder(config: Mapping, tensors: Mapping[str, Tensor], place: Path) -> Autoencoder:
    with _field(place, "autoencoder_kind"):
        name = _known(config.get("autoencoder_kind", "Autoencoder"), tuple(AUTOENCODERS))
    make, make_config = AUTOENCODERS[name]
    with _field(place, "autoencoder"):
        sizes = make_config(**config["autoencoder"])
    autoencoder = build_for(lambda: make(sizes), _under("autoencoder.", tensors), place)
    scale = tensors["autoencoder.scale"]
    if not (scale.is_floating_point() and scale > 0):
        said = f"must be positive and real; it is {scale.item()}, {scale.dtype}"
        raise CheckpointError(f"{place}: autoencoder.scale {said}")
    return autoencoder


def _schedule(name: str, betas: Tensor | None) -> Schedule:
    if (betas is None) == (name == "DiscreteSchedule"):
        raise ValueError(f"{name} with{'out' if betas is None else ''} betas beside its weights")
    return getattr(schedules, name)() if betas is None else schedules.DiscreteSchedule(betas)


@contextmanager
def _field(place: Path, name: str) -> Iterator[None]:
    """Errors inside become one CheckpointError that names the field of config.json."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = "is missing" if isinstance(error, KeyError) else f"cannot be used: {error}"
        said = f"describes no LatentDiffusion: {name} {what}; save it again"
        raise CheckpointError(f"{place}/config.json {said}") from error


def _known(value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f"{value!r} is not one of {', '.join(known)}")
    return value


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _rounded(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or name in EXACT or not tensor.is_floating_point():
        return tensor
    rounded = tensor.to(dtype)
    lost = torch.isfinite(tensor) & ~torch.isfinite(rounded)
    if lost.any():
        raise ValueError(
            f"{name} has {int(lost.sum())} weights beyond the range of {dtype}, up to "
            f"{float(tensor[lost].abs().max()):.3g}: save with dtype=None or torch.bfloat16"
        )
    return rounded
