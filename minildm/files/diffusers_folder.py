"""What the library diffusers can read: our models, written as a folder in its format.

    a UNet of ours              unet/ and scheduler/; not if it reads texts (diffusers_unet.py)
    a StableDiffusion           what it was loaded from, with LoRAs that were merged
    one of its networks         vae/, unet/, transformer/ or text_encoder/

An ``Autoencoder`` of ours has no twin there: it folds pixels into channels, where an
``AutoencoderKL`` convolves at full resolution.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from minildm.checks import model as checks
from minildm.files.checkpoint import replace_files
from minildm.files.diffusers_configs import CONFIGS
from minildm.files.diffusers_unet import FLOW_T, unet_config, unet_tensors
from minildm.interfaces import Schedule
from minildm.predict import Parameterization
from minildm.schedule import DiscreteSchedule, FlowSchedule
from minildm.stable_diffusion.lora import pending
from minildm.stable_diffusion.mmdit import MMDiT
from minildm.stable_diffusion.model import StableDiffusion
from minildm.stable_diffusion.text import TextEncoder
from minildm.stable_diffusion.tokenizer import BEGIN, END, LENGTH, Tokenizer
from minildm.unet import UNet

WEIGHTS = "diffusion_pytorch_model.safetensors"
PREDICTIONS = {"EPS": "epsilon", "Z0": "sample", "V": "v_prediction"}
PIPELINES = {  # (transformer?, two text encoders?, inpainting?) -> what runs it
    (False, False, False): "StableDiffusionPipeline",
    (False, False, True): "StableDiffusionInpaintPipeline",
    (False, True, False): "StableDiffusionXLPipeline",
    (False, True, True): "StableDiffusionXLInpaintPipeline",
    (True, True, False): "StableDiffusion3Pipeline",
}


def export(
    model: nn.Module, folder: str | Path, schedule: Schedule | None = None,
    parameterization: Parameterization | None = None,
) -> None:  # fmt: skip
    """Write a model, or a network, for diffusers: what it is there, and where, see above.

        DiffusionPipeline.from_pretrained(folder)                  a StableDiffusion (3: with
                                                                   text_encoder_3=tokenizer_3=None)
        UNet2DModel.from_pretrained(folder, subfolder="unet")      a UNet of ours

    ``schedule``, ``parameterization``: what a UNet was trained with, where it does not say. Its
    times there are t - 1, as diffusers counts them, or 1000 t of a ``FlowSchedule``; h and w are
    halved without a rest. DDIM's steps are those of ``times(n)`` if n divides T; a flow's, with
    set_timesteps(sigmas=times(n)[:-1]). Raises ValueError, naming the field, for what has no twin.
    """
    folder = Path(folder)
    if pending(model):
        raise ValueError("model has a LoRA beside its weights: merge_lora, or remove_lora, first")
    if isinstance(model, StableDiffusion):
        write_model(model, folder, scheduler_config(model.schedule, model.parameterization))
    elif type(model) in CONFIGS:
        write_network(model, folder)
    elif isinstance(model, UNet):
        schedule = checks.agreed_schedule(model, schedule)
        target = checks.agreed_parameterization(model, parameterization, schedule)
        scheduler = scheduler_config(schedule, target)
        config = unet_config(model.config, schedule)
        write_part(folder / "unet", config, unet_tensors(model, schedule))
        write_json(folder / "scheduler", "scheduler_config.json", scheduler)
    else:
        made = "has no twin in diffusers: its UNet may have, export(model.network, folder)"
        raise ValueError(f"model: a {type(model).__name__} {made}")


def scheduler_config(schedule: Schedule, parameterization: Parameterization) -> dict[str, Any]:
    """scheduler_config.json: DDIM for betas, Euler for a flow. ValueError for anything else."""
    name = parameterization.name
    if isinstance(schedule, DiscreteSchedule) and name in PREDICTIONS:
        return {
            "_class_name": "DDIMScheduler", "num_train_timesteps": schedule.T,
            "trained_betas": schedule.beta[1:].tolist(), "prediction_type": PREDICTIONS[name],
            "timestep_spacing": "trailing", "set_alpha_to_one": True, "clip_sample": False,
            "steps_offset": 1,  # of other spacings, as Stable Diffusion's pipelines want it
        }  # fmt: skip
    if isinstance(schedule, FlowSchedule) and name == "FLOW":
        shift = getattr(schedule, "shift", 1.0)
        kind = "FlowMatchEulerDiscreteScheduler"
        return {"_class_name": kind, "num_train_timesteps": FLOW_T, "shift": shift}
    kind = type(schedule).__name__
    raise ValueError(
        f"schedule and parameterization must be a DiscreteSchedule with {', '.join(PREDICTIONS)}, "
        f"or a FlowSchedule with FLOW, for diffusers to have a scheduler; got {kind} with {name}"
    )


def write_network(network: nn.Module, folder: Path, name: str | None = None) -> list[str]:
    """Write one network to ``folder``/``name``; ["its library", "its class there"]."""
    usual, described = CONFIGS[type(network)]
    config, tensors = described(network.config), network.state_dict()
    if isinstance(network, TextEncoder):  # as older transformers want it
        begin = {key: "" if key.startswith("text_projection") else "text_model." for key in tensors}
        tensors = {begin[key] + key.removeprefix("text_model."): x for key, x in tensors.items()}
        write_part(folder / (name or usual), config, tensors, "model.safetensors")
        return ["transformers", config["architectures"][0]]
    write_part(folder / (name or usual), config, tensors)
    return ["diffusers", config["_class_name"]]


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> list[str]:
    """Write vocab.json and merges.txt, and what the special tokens are."""
    special = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": tokenizer.pad}
    write_json(folder, "vocab.json", tokenizer.vocab)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in tokenizer.rank)]
    replace_files(folder, {"merges.txt": ("\n".join(lines) + "\n").encode()})
    write_json(folder, "special_tokens_map.json", special)
    about = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, **special}
    write_json(folder, "tokenizer_config.json", about)
    return ["transformers", "CLIPTokenizer"]


def write_model(model: StableDiffusion, folder: Path, scheduler: dict[str, Any]) -> None:
    """Write all parts of a model, and model_index.json, which says what they are."""
    network = model.network
    net, readers = network.net, [*network.text_encoders]
    inpaints = getattr(net.config, "concat_channels", 0) > 0
    kind = PIPELINES[isinstance(net, MMDiT), len(readers) > 1, inpaints]
    index: dict[str, Any] = {"_class_name": kind, "_diffusers_version": "0.42.1"}  # as tested
    if kind == "StableDiffusion3Pipeline":  # its third text encoder is left out
        index |= {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    elif len(readers) > 1:
        index |= {"force_zeros_for_empty_prompt": network.zero_null}
    else:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
        index |= {"requires_safety_checker": False}
    if len(readers) != len(network.tokenizers):
        raise ValueError("model has no tokenizer: load it with load(..., tokenizer=FOLDER)")
    for one in (net, model.autoencoder):
        index[CONFIGS[type(one)][0]] = write_network(one, folder)
    for i, (reader, tokenizer) in enumerate(zip(readers, network.tokenizers, strict=True)):
        end = f"_{i + 1}" * (i > 0)
        index[f"text_encoder{end}"] = write_network(reader, folder, f"text_encoder{end}")
        index[f"tokenizer{end}"] = write_tokenizer(tokenizer, folder / f"tokenizer{end}")
    index["scheduler"] = ["diffusers", scheduler["_class_name"]]
    write_json(folder / "scheduler", "scheduler_config.json", scheduler)
    write_json(folder, "model_index.json", index)


def write_part(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str = WEIGHTS
) -> None:
    """Write config.json and the weights of one network; a broken file is never left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, folder / f"{name}.part", {"format": "pt"})
    os.replace(folder / f"{name}.part", folder / name)
    write_json(folder, "config.json", config)


def write_json(folder: Path, name: str, config: Mapping[str, Any]) -> None:
    """Write a config as diffusers does: without what is None."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in config.items() if value is not None}
    replace_files(folder, {name: (json.dumps(config, indent=2) + "\n").encode()})
