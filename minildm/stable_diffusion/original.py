"""What one file of the original layout holds, told from the names and shapes of its tensors."""

from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path

from minildm.files.checkpoint import CheckpointError
from minildm.predict import EPS, Parameterization
from minildm.stable_diffusion.autoencoder import KLAutoencoderConfig
from minildm.stable_diffusion.text import TextConfig
from minildm.stable_diffusion.unet import ConditionalUNetConfig

Shapes = Mapping[str, tuple[int, ...]]
UNET, VAE = "model.diffusion_model.", "first_stage_model."
READERS = {  # of each model: the prefixes of its text encoders, and latents of how many at a side
    "1": (("cond_stage_model.transformer.",), 64),
    "2": (("cond_stage_model.model.",), 96),
    "XL": (("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."), 128),
}


def described(
    shapes: Shapes, path: Path, target: Parameterization | None
) -> tuple[Parameterization, dict[str, tuple]]:
    """What the network predicts, and (config, prefix) of each part.

    Raises CheckpointError for another kind of file, ValueError where ``target`` must be given.
    """
    has = lambda prefix: any(name.startswith(prefix) for name in shapes)  # noqa: E731
    kind = next((kind for kind, (names, _) in READERS.items() if all(map(has, names))), "")
    if not kind or not has(VAE) or f"{UNET}input_blocks.0.0.weight" not in shapes:
        wanted = f"{UNET}*, {VAE}* and the text encoder of Stable Diffusion 1, 2 or XL (base)"
        raise CheckpointError(f"{path} is not in the original layout: it must hold {wanted}")
    if kind == "2" and target is None:
        what = "EPS (512 x 512), or V (768 x 768)"
        raise ValueError(f"{path} does not say what it predicts: give parameterization, {what}")
    prefixes, side = READERS[kind]
    side = 64 if kind == "2" and target is EPS else side
    parts: dict[str, tuple] = {"unet": (_unet(shapes, kind, side), UNET)}
    parts["vae"] = (_autoencoder(shapes, kind == "XL"), VAE)
    for name, prefix in zip(("text_encoder", "text_encoder_2"), prefixes, strict=False):
        read = _open_clip if prefix.endswith("model.") else _clip
        parts[name] = (read(shapes, prefix, kind), prefix)
    return target or EPS, parts


def _number(shapes: Shapes, form: str) -> int:
    """How many of form.format(0), form.format(1), .. there are, without a gap."""
    return sum(1 for _ in takewhile(lambda i: form.format(i) in shapes, count()))


def _unet(shapes: Shapes, kind: str, side: int) -> ConditionalUNetConfig:
    block, c = UNET + "input_blocks.{}.", shapes[f"{UNET}out.2.weight"][0]
    in_conv = block + "0.in_layers.2.weight"
    firsts = [block.format(i) for i in range(1, 30, 3) if in_conv.format(i) in shapes]  # of levels
    widths = tuple(shapes[f"{first}0.in_layers.2.weight"][0] for first in firsts)
    read = "transformer_blocks.{}.attn2.to_k.weight"
    depths = tuple(_number(shapes, f"{first}1.{read}") for first in firsts)
    middle = f"{UNET}middle_block.1."
    return ConditionalUNetConfig(
        c, shapes[f"{UNET}input_blocks.0.0.weight"][1] - c, widths, 2, depths,
        _number(shapes, middle + read),
        tuple(8 if kind == "1" else max(1, width // 64) for width in widths),
        shapes[middle + read.format(0)][1], len(shapes[f"{middle}proj_in.weight"]) == 2,
        added_dim=shapes[f"{UNET}label_emb.0.0.weight"][1] if kind == "XL" else 0,
        latent_size=(side, side),
    )  # fmt: skip


def _autoencoder(shapes: Shapes, xl: bool) -> KLAutoencoderConfig:
    form = VAE + "encoder.down.{}.block.0.conv1.weight"
    widths = tuple(shapes[form.format(i)][0] for i in range(_number(shapes, form)))
    c = shapes[f"{VAE}post_quant_conv.weight"][0]
    colours, scale = shapes[f"{VAE}encoder.conv_in.weight"][1], 0.13025 if xl else 0.18215
    return KLAutoencoderConfig(colours, c, widths, scaling_factor=scale, force_upcast=xl)


def _clip(shapes: Shapes, prefix: str, _kind: str) -> TextConfig:
    named = any(name.startswith(f"{prefix}text_model.") for name in shapes)
    inner = f"{prefix}text_model." if named else prefix
    vocabulary, dim = shapes[f"{inner}embeddings.token_embedding.weight"]
    layer = inner + "encoder.layers.{}.mlp.fc1.weight"
    return TextConfig(
        vocabulary, dim, shapes[layer.format(0)][0], _number(shapes, layer), max(1, dim // 64),
        end=vocabulary - 1,
    )  # fmt: skip


def _open_clip(shapes: Shapes, prefix: str, kind: str) -> TextConfig:
    vocabulary, dim = shapes[f"{prefix}token_embedding.weight"]
    layer = prefix + "transformer.resblocks.{}.mlp.c_fc.weight"
    layers = _number(shapes, layer) - (kind == "2")  # it reads what goes into the last layer
    projection = shapes[f"{prefix}text_projection"][1] if kind == "XL" else 0
    return TextConfig(
        vocabulary, dim, shapes[layer.format(0)][0], layers, max(1, dim // 64), activation="gelu",
        projection=projection, end=vocabulary - 1,
    )  # fmt: skip
