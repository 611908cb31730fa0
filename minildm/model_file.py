"""A latent diffusion model as a folder: what ``LatentDiffusion.save`` and ``load`` read and write.

    model.safetensors   the weights of both networks, the latent scale, the betas
    config.json         what they are weights of, and the SHA-256 of the first file
    metrics.json        of a model of the book: what its training cost
    STAGE.jsonl         and how it went, one line per progress record

The models of the book are in data/checkpoints; their folder's name is enough to load them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minildm import predict
from minildm import schedule as schedules
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, write_figures
from minildm.folding import Folding, FoldingConfig
from minildm.machine import surroundings
from minildm.progress import Progress, write_history
from minildm.text import TextUNetConfig, build_network
from minildm.unet import UNetConfig

SHIPPED = Path(__file__).parents[1] / "data" / "checkpoints"
EXACT = ("autoencoder.scale", "betas")  # never rounded: every latent depends on them


def write_model(folder: str | Path, model: nn.Module, dtype: torch.dtype | None) -> None:
    """Write a ``LatentDiffusion``; ``dtype``: what its weights are rounded to, None: not at all."""
    tensors = dict(model.state_dict())
    schedule = type(model.schedule).__name__
    if schedule == "DiscreteSchedule":
        tensors["betas"] = model.schedule.beta[1:]
    config = {
        "model": "LatentDiffusion",
        "autoencoder": asdict(model.autoencoder.config),
        "autoencoder_kind": type(model.autoencoder).__name__,
        "network": asdict(model.network.config),
        "schedule": schedule,
        "latent_size": model.latent_shape[1:],
        "parameterization": model.parameterization.name,
    }
    save_checkpoint(folder, {name: _rounded(name, t, dtype) for name, t in tensors.items()}, config)


def write_trained(
    folder: str | Path, model: nn.Module, stages: Mapping[str, Sequence[Progress]], name: str,
    config: Any, wall: float, **more: Any,
) -> float:  # fmt: skip
    """Write a freshly trained model as it is shipped; returns the seconds of its stages' steps.

    Its weights in half precision, each stage's records in STAGE.jsonl, and what it cost, with its
    settings and ``more``, in metrics.json. ``wall``: seconds of the whole command.
    """
    write_model(folder, model, torch.float16)
    for stage, history in stages.items():
        write_history(history, Path(folder) / f"{stage}.jsonl")
    seconds = {stage: history[-1].seconds for stage, history in stages.items()}
    cost = {
        "command": f"python -m minildm train {name}",
        "config": asdict(config),
        "seconds": {
            **{stage: round(value) for stage, value in seconds.items()},
            "in_all_since_last_start": round(wall),
        },
    }
    write_figures({"training": {**cost, **surroundings(), **more}}, folder)
    return sum(seconds.values())


def read_model(folder: str | Path) -> tuple[tuple, dict[str, Tensor], Path]:
    """(arguments of ``LatentDiffusion``, its weights, the folder they were found in).

    ``folder``: a path, or the name of a model in data/checkpoints. Raises FileNotFoundError,
    naming the models there are, and CheckpointError for a damaged or foreign one.
    """
    place = find_model(folder)
    tensors, config = load_checkpoint(place)
    betas = tensors.pop("betas", None)
    try:
        make_schedule = {
            "DiscreteSchedule": lambda: schedules.DiscreteSchedule(betas),
            "CosineSchedule": schedules.CosineSchedule,
            "FlowSchedule": schedules.FlowSchedule,
        }[config["schedule"]]
        make_autoencoder = {
            "Autoencoder": lambda sizes: Autoencoder(AutoencoderConfig(**sizes)),
            "Folding": lambda sizes: Folding(FoldingConfig(**sizes)),
        }[config.get("autoencoder_kind", "Autoencoder")]
        network = config["network"]
        kind = TextUNetConfig if "text" in network else UNetConfig
        arguments = (
            make_autoencoder(config["autoencoder"]),
            build_network(kind(**network)),
            make_schedule(),
            config["latent_size"],
            getattr(predict, config["parameterization"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{place}/config.json describes no LatentDiffusion ({error!r}); save it again"
        ) from error
    return arguments, tensors, place


def find_model(name: str | Path) -> Path:
    """The folder of a model: ``name`` itself if there is such a folder, else in data/checkpoints.

    Raises FileNotFoundError if there is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    if (SHIPPED / name).is_dir():
        return SHIPPED / name
    raise FileNotFoundError(
        f"there is no folder {name}, and no model of that name in {SHIPPED}: give a folder written "
        f"by save(), or one of {', '.join(shipped_models()) or 'none so far'}"
    )


def shipped_models() -> list[str]:
    """Names of the latent diffusion models in data/checkpoints."""
    places = SHIPPED.glob("*/config.json")
    return sorted(p.parent.name for p in places if '"LatentDiffusion"' in p.read_text("utf-8"))


def _rounded(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or name in EXACT or not tensor.is_floating_point():
        return tensor
    return tensor.to(dtype)
