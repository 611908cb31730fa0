"""LoRA: a small file that changes what a large model draws (Hu et al. 2021, arXiv 2106.09685).

    W x   becomes   W x + scale · alpha / r · up(down(x)),    down (r, in), up (out, r)

and the same for a convolution, whose ``up`` is then one of 1 x 1. Layers are found by their names:
those of diffusers or of the original files, with kohya's underscores or PEFT's dots.
"""

import json
import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.files.checkpoint import CheckpointError, check_finite
from minildm.stable_diffusion.names import spellings

Layer = nn.Linear | nn.Conv2d
Named = dict[str, tuple[str, Layer]]  # (name, layer) by each spelling of the name
Found = tuple[Layer, Tensor, Tensor, float]  # (layer, down, up, alpha / r)
END = re.compile(
    r"(?:\.lora_|[._]lora\.|\.lora_linear_layer\.)(A|B|down|up)(?:\.default)?\.weight$|\.(alpha)$"
)
OTHERS = ("use_rslora", "use_dora")  # settings under which the formula is another one
KINDS = {"A": "down", "B": "up"}  # PEFT's words
PARTS = {  # what stands before the name of a layer
    "network": ("unet.", "transformer.", ""),
    "text_encoder": ("text_encoder.", "te.", "te1."),
    "text_encoder_2": ("text_encoder_2.", "te2."),
}


class Branch:
    """What a LoRA adds to one layer, as a forward hook: scale · ratio · up(down(x))."""

    def __init__(self, lora: "Lora", layer: Layer, down: Tensor, up: Tensor, ratio: float) -> None:
        self.lora, self.layer, self.down, self.up, self.ratio = lora, layer, down, up, ratio
        self.hook = layer.register_forward_hook(self)

    def __call__(self, layer: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self.lora.merged or not self.lora.scale:
            return output
        x, down, up = args[0], self.down.to(args[0]), self.up.to(args[0])
        if down.dim() == 2:
            added = F.linear(F.linear(x, down), up)  # (*, in) -> (*, r) -> (*, out)
        else:  # (B, in, H, W) -> (B, r, h, w) -> (B, out, h, w)
            added = F.conv2d(F.conv2d(x, down, None, layer.stride, layer.padding), up)
        return torch.add(output, added, alpha=self.lora.scale * self.ratio)

    def weight(self) -> Tensor:
        """The same as a change of the layer's weight (out, in, *k), in float32 or float64."""
        wide = torch.promote_types(self.down.dtype, torch.float32)
        up, down = self.up.to(wide).flatten(1), self.down.to(wide)  # (out, r), (r, in, *k)
        return self.lora.scale * self.ratio * torch.tensordot(up, down, 1)


class Lora:
    """A LoRA in a model. Its ``scale`` may be changed at any time; if it is merged, merge again."""

    def __init__(self, scale: float) -> None:
        self.scale, self.merged = scale, False
        self.branches: list[Branch] = []


def load_lora(
    model: nn.Module, file: str | Path, scale: float = 1.0, name: str | None = None
) -> Lora:
    """Add the LoRA in ``file`` (.safetensors) to ``model``: a ``StableDiffusion``, or a network.

    Any number may be loaded; ``loras(model)`` has them by ``name``, else that of the file.
    Raises ValueError for a name that is taken, and CheckpointError with all that does not fit; the
    model is then as it was.
    """
    name = Path(file).stem if name is None else name
    lora = Lora(inputs.real("scale", scale))
    if name in loras(model):
        raise ValueError(f"name {name!r} is taken: remove_lora first, or give another name")
    found, wrong = _matched(_layers(model), *_read(Path(file)))
    if wrong or not found:
        said = "\n  ".join(wrong or ["there is no LoRA in it"])
        raise CheckpointError(f"{file} does not fit, and nothing of it was loaded:\n  {said}")
    lora.branches = [Branch(lora, *one) for one in found]
    vars(model).setdefault("_loras", {})[name] = lora
    return lora


def loras(model: nn.Module) -> dict[str, Lora]:
    """The LoRAs in ``model``, by name."""
    return vars(model).get("_loras", {})


def pending(model: nn.Module) -> bool:
    """Whether some layer has a LoRA that is not in its weights."""
    hooks = (hook for part in model.modules() for hook in part._forward_hooks.values())
    return any(isinstance(hook, Branch) and not hook.lora.merged for hook in hooks)


def remove_lora(model: nn.Module, name: str) -> None:
    """Take a LoRA out of ``model``; ValueError if there is no such one, or if it is merged."""
    lora = loras(model).get(name)
    if lora is None or lora.merged:
        wrong = "is merged: unmerge_lora first" if lora else f"is not one of {list(loras(model))}"
        raise ValueError(f"name {name!r} {wrong}")
    for branch in loras(model).pop(name).branches:
        branch.hook.remove()


@torch.no_grad()
def merge_lora(model: nn.Module, keep: bool = True) -> None:
    """Add all LoRAs to the weights of ``model``, which is then as fast as without them.

    ``keep``: the old weights stay in memory for ``unmerge_lora``. If not, the LoRAs are forgotten.
    """
    unmerge_lora(model)
    changes: dict[Layer, list[Branch]] = {}
    for branch in (branch for lora in loras(model).values() for branch in lora.branches):
        changes.setdefault(branch.layer, []).append(branch)
    for layer, branches in changes.items():
        old, change = layer.weight.data, torch.stack([b.weight() for b in branches]).sum(0)
        layer.weight.data = (old + change.to(old.device)).to(old.dtype)  # rounded once
        if keep:
            vars(model).setdefault("_unmerged", []).append((layer, old))
    for name, lora in [*loras(model).items()]:
        if keep:
            lora.merged = True
        else:
            remove_lora(model, name)


@torch.no_grad()
def unmerge_lora(model: nn.Module) -> None:
    """Undo ``merge_lora``: the weights are again what they were, bit for bit."""
    for layer, old in vars(model).pop("_unmerged", []):
        layer.weight.data = old.to(layer.weight)
    for lora in loras(model).values():
        lora.merged = False


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, the settings that diffusers writes beside them) of a .safetensors file."""
    if file.suffix != ".safetensors":
        raise CheckpointError(
            f"{file} is not a .safetensors file; a pickle (.pt, .bin, .ckpt) is never read: it "
            "can run any code: get the LoRA as safetensors"
        )
    try:
        with safe_open(file, "pt") as opened:
            settings = json.loads((opened.metadata() or {}).get("lora_adapter_metadata", "{}"))
            tensors = {key: opened.get_tensor(key) for key in sorted(opened.keys())}
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    check_finite(tensors, file)
    return tensors, settings


def _layers(model: nn.Module) -> Named:
    """All linear layers and convolutions.

    Spellings have underscores only: in kohya's names they cannot be told from dots.
    """
    network = getattr(model, "network", model)
    nets = (m for m in network.modules() if hasattr(m, "down_blocks") or hasattr(m, "pos_embed"))
    roots = [next(nets, None), *getattr(network, "text_encoders", ()), None]
    found: Named = {}
    for (part, prefixes), root in zip(PARTS.items(), roots, strict=False):
        for path, layer in root.named_modules() if root else ():
            if isinstance(layer, Layer):
                for name, prefix in product(spellings(root, f"{path}.weight"), prefixes):
                    spelled = _spelled(prefix + name.removesuffix(".weight"))
                    found[spelled] = f"{part}.{path.removeprefix('text_model.')}", layer
    return found


def _spelled(place: str) -> str:
    """A layer's name as in a file of LoRA, spelled as in ``_layers``."""
    place = place.removeprefix("base_model.model.").removeprefix("lora_").replace(".", "_")
    place = place.replace("_text_model_", "_").replace("_processor_", "_")
    return f"{place}_0" if place.endswith("_to_out") else place


def _matched(
    layers: Named, tensors: dict[str, Tensor], settings: dict[str, Any]
) -> tuple[list[Found], list[str]]:
    """([(layer, down, up, alpha / r)], [what does not fit])."""
    odd = [key for key, value in settings.items() if value and key.endswith(OTHERS)]
    places: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        end = END.search(key)
        place = _spelled(key[: end.start()]) if end else ""
        if end is None or place not in layers:
            odd.append(key)
        else:
            kind = end[1] or end[2]
            places.setdefault(place, {})[KINDS.get(kind, kind)] = tensor
    found, wrong = [], [f"{key}: no such layer, or another kind of LoRA" for key in odd]
    for place, given in places.items():
        try:
            found.append(_fitted(*layers[place], given, settings))
        except (ValueError, RuntimeError) as error:  # an alpha of several numbers
            wrong.append(f"{layers[place][0]}: {error}")
    return found, wrong


def _fitted(name: str, layer: Layer, given: dict[str, Tensor], settings: dict[str, Any]) -> Found:
    """ValueError if one is missing, or if shapes differ, but for ones at their ends."""
    got = {kind: tuple(tensor.shape) for kind, tensor in given.items() if kind != "alpha"}
    r, (out, *inside) = (*got.get("down", ()), 0)[0], layer.weight.shape
    wanted = {"down": (r, *inside), "up": (out, r, *[1] * (len(inside) - 1))}
    for kind, shape in wanted.items():
        if got.get(kind, ())[:2] != shape[:2] or not math.prod(got[kind]) == math.prod(shape) > 0:
            raise ValueError(f"the shapes must be {wanted}; got {got}")
    down, up = (given[kind].reshape(shape).to(layer.weight) for kind, shape in wanted.items())
    alpha = float(given["alpha"]) if "alpha" in given else _alpha(name, r, settings)
    return layer, down, up, alpha / r


def _alpha(name: str, rank: int, settings: dict[str, Any]) -> float:
    """What diffusers noted beside the tensors; else the rank, so that alpha / r is 1."""
    part, _, path = name.partition(".")
    for prefix in PARTS[part]:
        if f"{prefix}lora_alpha" in settings:
            own = settings.get(f"{prefix}alpha_pattern") or {}
            ends = [key for key in own if f".{path}".endswith("." + key.replace("text_model.", ""))]
            return own[ends[0]] if ends else settings[f"{prefix}lora_alpha"]
    return rank
