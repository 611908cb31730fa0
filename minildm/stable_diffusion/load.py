"""Stable Diffusion from its files: a diffusers folder, or one file of the original layout.

The networks are built without memory (on the meta device) and filled with one tensor at a time,
which is cast and put in its place: what is needed is the model's own size, and one tensor.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from minildm import schedule as schedules
from minildm.files.checkpoint import CheckpointError
from minildm.interfaces import Schedule
from minildm.predict import EPS, FLOW, Z0, Parameterization, V
from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig
from minildm.stable_diffusion.mmdit import MMDiT, MMDiTConfig
from minildm.stable_diffusion.model import Prompted, ShiftedFlowSchedule, StableDiffusion
from minildm.stable_diffusion.names import NEEDLESS, adapted, spellings
from minildm.stable_diffusion.original import described
from minildm.stable_diffusion.text import TextConfig, TextEncoder
from minildm.stable_diffusion.tokenizer import Tokenizer
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

KINDS: dict[str, tuple[Any, Any]] = {
    "unet": (ConditionalUNet, ConditionalUNetConfig), "transformer": (MMDiT, MMDiTConfig),
    "vae": (KLAutoencoder, KLAutoencoderConfig),
    "text_encoder": (TextEncoder, TextConfig), "text_encoder_2": (TextEncoder, TextConfig),
}  # fmt: skip
TARGETS = {"epsilon": EPS, "v_prediction": V, "sample": Z0}
CONVERT = (
    "a pickle, and never read: reading one can run any code. Where you trust it, convert it: "
    "StableDiffusionPipeline.{how}.save_pretrained('NEW FOLDER') of diffusers writes safetensors"
)
SHOWN = 20  # names in an error, of each kind


class Part(NamedTuple):
    """A network without memory, the files with its weights, and what their names begin with."""

    module: nn.Module
    files: Sequence[Path]
    prefix: str = ""


def load(
    path: str | Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", *,
    image_size: Sequence[int] | None = None, tokenizer: str | Path | None = None,
    parameterization: Parameterization | None = None,
) -> StableDiffusion:  # fmt: skip
    """A model from a folder of diffusers, or from one .safetensors file of the original layout.

    dtype             of the weights; an autoencoder that leaves the range of float16 (SDXL's) is
                      then float32, and so are the latents
    image_size        (H, W) of the pictures, multiples of 8; None: as in its training
    tokenizer         a folder with vocab.json and merges.txt, or tokenizer.json, which one file
                      lacks; None: a folder "tokenizer" beside the file, if there is one
    parameterization  EPS or V, where a single file of Stable Diffusion 2 does not say

    Raises CheckpointError that lists every missing, unknown and misshapen tensor of all parts,
    FileNotFoundError for a missing file, ValueError for a configuration that is not built here.
    """
    path = Path(path)
    if path.is_dir():
        parts, tokenizers, (schedule, target), zero_null = _folder(path)
    else:
        parts, tokenizers, (schedule, target), zero_null = _single(
            path, tokenizer, parameterization
        )
    _fill(parts, path, dtype, torch.device(device))
    modules: dict[str, Any] = {name: part.module.eval() for name, part in parts.items()}
    net = modules.get("unet") or modules["transformer"]
    readers = [modules[name] for name in ("text_encoder", "text_encoder_2") if name in modules]
    vae = modules["vae"]
    network = Prompted(net, tokenizers, readers, zero_null, vae.config.factor)
    if image_size is None:
        cfg = net.config
        sides = cfg.latent_size if isinstance(net, ConditionalUNet) else (cfg.size, cfg.size)
        image_size = [vae.config.factor * side for side in sides]
    said = target if parameterization is None else parameterization
    return StableDiffusion(vae, network, schedule, parameterization=said, image_size=image_size)


# --- a folder -------------------------------------------------------------------------------------


def _folder(path: Path) -> tuple:
    index = read_json(path / "model_index.json")
    there = {part for part, kind in index.items() if isinstance(kind, list) and kind[0]}
    if "text_encoder" not in there:
        raise ValueError(f"{path} has no text_encoder, like SDXL's refiner: load the base model")
    wanted = [part for part in KINDS if part in there]
    if "text_encoder_3" in there:
        warnings.warn("text_encoder_3 (T5) is left out: zeros take its place", stacklevel=4)
    missing = {"vae", "scheduler"} - there
    if missing or not {"unet", "transformer"} & there:
        said = ", ".join(sorted(missing)) or "unet or transformer"
        raise ValueError(f"{path}/model_index.json names no {said}: it is another kind of model")
    parts = {}
    for part in wanted:
        kind, config = KINDS[part]
        try:
            sizes = read_json(path / part / "config.json")
            built = config.of({"force_upcast": False, **sizes})  # where older files say nothing
            with torch.device("meta"):
                parts[part] = Part(kind(built), _weights(path / part))
        except ValueError as error:
            raise ValueError(f"{path / part / 'config.json'}: {error}") from None
    names = [f"tokenizer{part[12:]}" for part in wanted if part.startswith("text_encoder")]
    tokenizers = [Tokenizer.read(path / name) for name in names]
    try:
        noise = read_schedule(read_json(path / "scheduler" / "scheduler_config.json"))
    except ValueError as error:
        raise ValueError(f"{path}/scheduler/scheduler_config.json: {error}") from None
    return parts, tokenizers, noise, bool(index.get("force_zeros_for_empty_prompt", False))


def read_json(path: Path) -> dict:
    """A JSON file's object; FileNotFoundError or CheckpointError, naming it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give a folder in the layout of diffusers")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): fetch it again") from error


def _weights(folder: Path) -> list[Path]:
    """The .safetensors files of one part: one, or its shards; of half precision if only those."""
    stems = ("diffusion_pytorch_model", "model")
    for half, stem in product(("", ".fp16"), stems):
        if (file := folder / f"{stem}{half}.safetensors").is_file():
            return [file]
        if (index := folder / f"{stem}.safetensors.index{half}.json").is_file():
            return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    for pickle in sorted(folder.glob("*.bin")):
        raise CheckpointError(f"{pickle} is {CONVERT.format(how='from_pretrained(FOLDER)')}")
    raise FileNotFoundError(f"{folder} holds no .safetensors file: fetch the weights again")


def read_schedule(said: Mapping[str, Any]) -> tuple[Schedule, Parameterization]:
    """The schedule of a scheduler_config.json, as the book's, and what the network predicts."""
    if str(said.get("_class_name")).startswith("FlowMatch"):
        if said.get("use_dynamic_shifting"):
            raise ValueError("use_dynamic_shifting is not supported; set shift")
        return ShiftedFlowSchedule(said.get("shift", 1.0)), FLOW
    kind, target = said.get("beta_schedule", "linear"), said.get("prediction_type", "epsilon")
    ends = said.get("beta_start", 1e-4), said.get("beta_end", 0.02)
    T = said.get("num_train_timesteps", 1000)
    makers = {
        "linear": lambda: schedules.linear_betas(T, *ends),
        "scaled_linear": lambda: schedules.scaled_linear_betas(T, *ends),
        "sigmoid": lambda: schedules.sigmoid_betas(T, *ends),
        "squaredcos_cap_v2": lambda: schedules.cosine_betas(T),
    }
    if target not in TARGETS:
        raise ValueError(f"prediction_type must be one of {', '.join(TARGETS)}; got {target!r}")
    if said.get("trained_betas") is not None:
        betas = torch.tensor(said["trained_betas"], dtype=torch.float64)
    elif kind in makers:
        betas = makers[kind]()
    else:
        raise ValueError(f"beta_schedule must be one of {', '.join(makers)}; got {kind!r}")
    if said.get("rescale_betas_zero_snr"):
        betas = schedules.zero_terminal_snr(betas)
    return schedules.DiscreteSchedule(betas), TARGETS[target]


# --- one file -------------------------------------------------------------------------------------


def _single(
    path: Path, tokenizer: str | Path | None, parameterization: Parameterization | None
) -> tuple:
    """The same of one file; its sizes are told from the shapes of its tensors."""
    if path.suffix in (".ckpt", ".pt", ".pth", ".bin"):
        raise CheckpointError(f"{path} is {CONVERT.format(how='from_single_file(FILE)')}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: give a folder, or a .safetensors file")
    with ExitStack() as stack:
        file = _opened(stack, path)
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    try:
        target, found = described(shapes, path, parameterization)
    except KeyError as error:
        raise CheckpointError(f"{path} has no tensor {error}: fetch it again") from None
    parts = {}
    for part, (config, prefix) in found.items():
        with torch.device("meta"):
            parts[part] = Part(KINDS[part][0](config), [path], prefix)
    beside = path.parent / "tokenizer"
    place = Path(tokenizer) if tokenizer else beside if beside.is_dir() else None
    readers = [part for part in found if part.startswith("text_encoder")]
    tokenizers = []
    if place is not None:
        one = Tokenizer.read(place)
        open_clip = [found[part][0].activation == "gelu" for part in readers]
        pads = ["!" if gelu else one.pad for gelu in open_clip]  # OpenCLIP fills up with number 0
        tokenizers = [Tokenizer(one.vocab, list(one.rank), pad) for pad in pads]
    schedule = schedules.DiscreteSchedule(schedules.scaled_linear_betas())
    return parts, tokenizers, (schedule, target), len(readers) == 2


# --- weights --------------------------------------------------------------------------------------


class Found(NamedTuple):
    """One tensor's place in a module, and its name in an open file."""

    module: nn.Module
    name: str
    file: Any
    spelling: str


def _fill(parts: Mapping[str, Part], path: Path, dtype: torch.dtype, device: torch.device) -> None:
    """Read all tensors into the modules; first a CheckpointError for all that does not fit."""
    with ExitStack() as stack:
        files: dict[Path, Any] = {}
        found, wrong = [], []
        for name, part in parts.items():
            for file in part.files:
                files[file] = files.get(file) or _opened(stack, file)
            opened = [files[file] for file in part.files]
            given = {key: file for file in opened for key in file.keys()}  # noqa: SIM118
            here, problems = match(part.module, part.prefix, given)
            found += here
            wrong += [f"{name}: {problem}" for problem in problems]
        if wrong:
            lines = "\n  ".join(wrong)
            raise CheckpointError(f"{path}: these tensors do not fit the configuration:\n  {lines}")
        for each in found:
            upcast = dtype == torch.float16 and getattr(each.module.config, "force_upcast", False)
            _put(each, torch.float32 if upcast else dtype, device)


def _opened(stack: ExitStack, path: Path) -> Any:
    try:
        return stack.enter_context(safe_open(path, "pt"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: fetch the model again") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): fetch it again") from error


def match(
    module: nn.Module, prefix: str, given: Mapping[str, Any]
) -> tuple[list[Found], list[str]]:
    """Where each tensor of the module stands in the open files ``given``, and what does not fit.

    The files are told from each other by ``prefix``; what begins otherwise is another part's.
    """
    found, missing, misshapen, used = [], [], [], set()
    for name, own in module.state_dict().items():
        keys = (prefix + spelling for spelling in spellings(module, name))
        key = next((key for key in keys if key in given), None)
        if key is None:
            missing.append(name)
            continue
        used.add(key)
        shape = tuple(given[key].get_slice(key).get_shape())
        fits = adapted(torch.empty(shape, device="meta"), name, key, tuple(own.shape))
        if fits.shape != own.shape:
            misshapen.append(f"{key} is {shape}, and must be {tuple(own.shape)}")
        found.append(Found(module, name, given[key], key))
    rest = (key for key in given if key.startswith(prefix) and key not in used)
    unknown = [key for key in rest if not NEEDLESS.search(key) and not _last_layer(module, key)]
    lists = {"missing": missing, "unknown": unknown, "misshapen": misshapen}
    return found, [f"{what}: {_some(names)}" for what, names in lists.items() if names]


def _last_layer(module: nn.Module, key: str) -> bool:
    """Stable Diffusion 2 reads what OpenCLIP says before its last layer: that one is left out."""
    return isinstance(module, TextEncoder) and f"resblocks.{module.config.layers}." in key


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _put(found: Found, dtype: torch.dtype, device: torch.device) -> None:
    owner_name, _, leaf = found.name.rpartition(".")
    owner = found.module.get_submodule(owner_name)
    own: Tensor = getattr(owner, leaf)
    stored = found.file.get_tensor(found.spelling)
    tensor = adapted(stored, found.name, found.spelling, tuple(own.shape)).to(device, dtype)
    if leaf in owner._buffers:
        owner._buffers[leaf] = tensor
    else:
        setattr(owner, leaf, nn.Parameter(tensor.contiguous(), requires_grad=False))
