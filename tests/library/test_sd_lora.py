"""A LoRA in a model is the change of its weights that the file says; what does not fit is told."""

import copy
import json

import pytest
import torch
from safetensors.torch import save_file
from sd_reference import CONTEXT, error, randomise, reference_unet
from torch import nn

from minildm.files.checkpoint import CheckpointError
from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig
from minildm.stable_diffusion.lora import load_lora, loras, merge_lora, remove_lora, unmerge_lora
from minildm.stable_diffusion.mmdit import MMDiT, MMDiTConfig
from minildm.stable_diffusion.text import TextConfig, TextEncoder
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

UNET = ConditionalUNetConfig(
    widths=(16, 32), blocks=1, depths=(1, 0), heads=(2, 4), context_dim=CONTEXT, groups=8
)
TEXT = TextConfig(vocabulary=50, dim=CONTEXT, hidden=32, layers=1, heads=2, length=7, end=49)
ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0"
LAYERS = [  # linear layers, convolutions of 1 x 1 and 3 x 3, one of those with stride 2
    f"{ATTENTION}.attn1.to_q", f"{ATTENTION}.attn2.to_k", f"{ATTENTION}.attn1.to_out.0",
    f"{ATTENTION}.ff.net.0.proj", f"{ATTENTION}.ff.net.2", "down_blocks.0.attentions.0.proj_in",
    "down_blocks.0.resnets.0.conv1", "down_blocks.0.downsamplers.0.conv", "time_embedding.linear_1",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_v",
]  # fmt: skip
WORDS = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.0.mlp.fc1"]


ENCODERS = ["text_encoder", "text_encoder_2"]
VAE = KLAutoencoderConfig(widths=(8, 8), blocks=1, groups=4)


BLOCK = "input_blocks.1.1.transformer_blocks.0"
ORIGINAL = [  # the same layers, as the original files call them
    f"{BLOCK}.attn1.to_q", f"{BLOCK}.attn2.to_k", f"{BLOCK}.attn1.to_out.0",
    f"{BLOCK}.ff.net.0.proj", f"{BLOCK}.ff.net.2", "input_blocks.1.1.proj_in",
    "input_blocks.1.0.in_layers.2", "input_blocks.2.0.op", "time_embed.0",
    "middle_block.1.transformer_blocks.0.attn2.to_v",
]  # fmt: skip


class Model(nn.Module):
    """A network and two text encoders, where a StableDiffusion has them."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Module()
        self.autoencoder = KLAutoencoder(VAE)  # its names are like a UNet's
        self.network.net = ConditionalUNet(UNET)
        self.network.text_encoders = nn.ModuleList([TextEncoder(TEXT), TextEncoder(TEXT)])
        randomise(self.double(), seed=1)

    @torch.no_grad()
    def forward(self):
        draw = torch.Generator().manual_seed(2)
        z_t = torch.randn(2, 4, 6, 6, generator=draw, dtype=torch.float64)
        ids = torch.tensor([[1, 7, 9, 49, 49, 49, 49]] * 2)
        context = sum(encoder(ids) for encoder in self.network.text_encoders)
        given = (z_t, torch.tensor([3, 500]), context)
        weight = next(self.parameters())
        given = [x.to(weight.dtype) if x.is_floating_point() else x for x in given]
        return self.network.net(*given)


def kohya(part: str, layer: str, kind: str) -> str:
    short = {"unet": "unet", "text_encoder": "te", "text_encoder_2": "te2"}[part]
    body = ("text_model." if part != "unet" else "") + layer
    return f"lora_{short}_{body.replace('.', '_')}.lora_{kind}.weight"


def original(part: str, layer: str, kind: str) -> str:
    """What kohya writes for SDXL."""
    named = kohya(part, dict(zip(LAYERS, ORIGINAL, strict=True)).get(layer, layer), kind)
    return named.replace("lora_te_", "lora_te1_")


def peft(part: str, layer: str, kind: str) -> str:
    body = ("text_model." if part != "unet" else "") + layer
    return f"{part}.{body}.lora_{'A' if kind == 'down' else 'B'}.weight"


def wrapped(part: str, layer: str, kind: str) -> str:
    return f"base_model.model.{part}.{layer}.lora_{'A' if kind == 'down' else 'B'}.default.weight"


def older(part: str, layer: str, kind: str) -> str:
    if part != "unet":
        return f"{part}.text_model.{layer}.lora_linear_layer.{kind}.weight"
    return f"{part}.{layer}.lora.{kind}.weight"


def processors(part: str, layer: str, kind: str) -> str:
    head, _, last = layer.removesuffix(".0").rpartition(".")
    if "attn" not in head.rpartition(".")[2]:
        return older(part, layer, kind)
    return f"{part}.{head}.processor.{last}_lora.{kind}.weight"


STYLES = {f.__name__: f for f in (kohya, original, peft, wrapped, older, processors)}


def places(model: Model):
    for layer in LAYERS:
        yield "unet", layer, model.network.net.get_submodule(layer)
    for part, encoder in zip(ENCODERS, model.network.text_encoders, strict=True):
        for layer in WORDS:
            yield part, layer, encoder.get_submodule(layer)


def draw_lora(model: Model, name=kohya, alpha: float | None = 6.0, seed: int = 3, r: int = 2):
    """(tensors of a file, {layer: its change of the weight}), the latter by the formula."""
    generator = torch.Generator().manual_seed(seed)
    tensors, changes = {}, {}
    for part, path, layer in places(model):
        out, inside, *size = layer.weight.shape
        down = torch.randn(r, inside, *size, generator=generator, dtype=torch.float64)
        up = torch.randn(out, r, *[1] * len(size), generator=generator, dtype=torch.float64) / 10
        tensors[name(part, path, "down")], tensors[name(part, path, "up")] = down, up
        if alpha is not None:
            tensors[name(part, path, "down").partition(".lora_")[0] + ".alpha"] = torch.tensor(
                alpha
            )
        product = torch.einsum("or,r...->o...", up.flatten(1), down)
        changes[layer] = product * ((r if alpha is None else alpha) / r)
    return tensors, changes


def file_of(tensors, path, metadata=None):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def summed(model: Model, *parts):
    """What a model gives whose weights are W + scale · change of each (changes, scale)."""
    other = copy.deepcopy(model)
    twins = dict(zip(model.modules(), other.modules(), strict=True))
    for changes, scale in parts:
        for layer, change in changes.items():
            twins[layer].weight.data += scale * change
    return other()


@pytest.fixture
def model():
    return Model()


@pytest.mark.parametrize("style", STYLES)
def test_a_network_with_a_lora_has_the_summed_weights(model, style, tmp_path):
    without = model()
    tensors, changes = draw_lora(
        model, STYLES[style], 6.0 if style in ("kohya", "original") else None
    )
    wanted = summed(model, (changes, 0.7))
    load_lora(model, file_of(tensors, tmp_path / "style.safetensors"), scale=0.7)
    assert error(model(), wanted) <= 1e-12
    assert error(without, wanted) > 0.01  # it does something
    loras(model)["style"].scale = 0
    assert torch.equal(model(), without)


def test_merged_it_gives_the_same_and_unmerged_the_old_weights(model, tmp_path):
    tensors, changes = draw_lora(model)
    wanted, before = summed(model, (changes, 0.7)), copy.deepcopy(model.state_dict())
    load_lora(model, file_of(tensors, tmp_path / "style.safetensors"), scale=0.7)
    merge_lora(model)
    merge_lora(model)  # nothing is added twice
    assert error(model(), wanted) <= 1e-12
    unmerge_lora(model)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert error(model(), wanted) <= 1e-12


def test_several_are_added_and_each_has_its_scale(model, tmp_path):
    one, more = (draw_lora(model, seed=seed, r=seed) for seed in (3, 4))
    without = model()
    load_lora(model, file_of(one[0], tmp_path / "one.safetensors"))
    second = load_lora(model, file_of(more[0], tmp_path / "more.safetensors"), name="second")
    assert list(loras(model)) == ["one", "second"]
    assert error(model(), summed_without(model, (one[1], 1.0), (more[1], 1.0))) <= 1e-12
    second.scale = -0.5
    wanted = summed_without(model, (one[1], 1.0), (more[1], -0.5))
    assert error(model(), wanted) <= 1e-12
    merge_lora(model)
    assert error(model(), wanted) <= 1e-12
    second.scale = 0.25
    merge_lora(model)
    assert error(model(), summed_without(model, (one[1], 1.0), (more[1], 0.25))) <= 1e-12
    with pytest.raises(ValueError, match="'one' is merged: unmerge_lora first"):
        remove_lora(model, "one")
    unmerge_lora(model)
    remove_lora(model, "one")
    remove_lora(model, "second")
    assert torch.equal(model(), without)


def summed_without(model: Model, *parts):
    """``summed``, from the weights alone: a fresh model, whose layers stand in the same order."""
    fresh = Model()
    twins = dict(zip(model.modules(), fresh.modules(), strict=True))
    moved = [({twins[layer]: c for layer, c in changes.items()}, scale) for changes, scale in parts]
    return summed(fresh, *moved)


def test_merged_for_good_it_is_forgotten(model, tmp_path):
    tensors, changes = draw_lora(model)
    wanted = summed(model, (changes, 1.0))
    load_lora(model, file_of(tensors, tmp_path / "style.safetensors"))
    merge_lora(model, keep=False)
    unmerge_lora(model)  # there is nothing to undo
    assert error(model(), wanted) <= 1e-12
    assert not loras(model)
    assert not any(layer._forward_hooks for layer in model.modules())


def test_weights_in_half_precision_are_rounded_once(model, tmp_path):
    tensors, _ = draw_lora(model, seed=3)
    more, _ = draw_lora(model, seed=4)
    model.to(torch.bfloat16)
    for name, file in ("one", tensors), ("two", more):
        load_lora(model, file_of(file, tmp_path / f"{name}.safetensors"))
    layer = model.network.net.get_submodule(LAYERS[0])
    added = [branch for lora in loras(model).values() for branch in lora.branches]
    change = sum(branch.weight() for branch in added if branch.layer is layer)
    assert change.dtype == torch.float32
    wanted = (layer.weight.float() + change).bfloat16()
    merge_lora(model)
    assert torch.equal(layer.weight, wanted)
    assert all(p.dtype == torch.bfloat16 for p in model.parameters())


def test_the_copy_of_a_model_has_its_own(model, tmp_path):
    tensors, _ = draw_lora(model)
    load_lora(model, file_of(tensors, tmp_path / "style.safetensors"))
    wanted, other = model(), copy.deepcopy(model)
    loras(model)["style"].scale = 0
    assert torch.equal(other(), wanted)
    merge_lora(other)
    assert not torch.equal(other.network.net.time_embedding.linear_1.weight,
                           model.network.net.time_embedding.linear_1.weight)  # fmt: skip


def test_a_network_alone_takes_what_is_for_it(model, tmp_path):
    tensors, changes = draw_lora(model, peft, None)
    own = {key.removeprefix("unet."): x for key, x in tensors.items() if key.startswith("unet.")}
    inside = set(model.network.net.modules())
    for_unet = {layer: change for layer, change in changes.items() if layer in inside}
    wanted = summed(model, (for_unet, 1.0))
    load_lora(model.network.net, file_of(own, tmp_path / "own.safetensors"))
    assert error(model(), wanted) <= 1e-12
    remove_lora(model.network.net, "own")
    with pytest.raises(CheckpointError, match=r"text_encoder\.text_model.*no such layer"):
        load_lora(model.network.net, file_of(tensors, tmp_path / "all.safetensors"))


def test_shapes_of_other_tools_fit_where_only_ones_differ(model, tmp_path):
    tensors, changes = draw_lora(model)
    for key, tensor in tensors.items():
        if tensor.dim() == 2:
            tensors[key] = tensor[:, :, None, None]  # (r, in) -> (r, in, 1, 1)
        elif tensor.dim() == 4 and tensor.shape[2] == 1:
            tensors[key] = tensor[:, :, 0, 0]
    wanted = summed(model, (changes, 1.0))
    load_lora(model, file_of(tensors, tmp_path / "style.safetensors"))
    assert error(model(), wanted) <= 1e-12


def test_alpha_is_read_where_diffusers_writes_it(model, tmp_path):
    tensors, changes = draw_lora(model, peft, None)
    settings = {
        "unet.r": 2, "unet.lora_alpha": 3, "text_encoder.lora_alpha": 1,
        "unet.alpha_pattern": {LAYERS[0]: 8, "attn2.to_k": 5}, "unet.use_rslora": False,
    }  # fmt: skip
    ratios = dict.fromkeys(changes, 1.0)
    for part, path, layer in places(model):
        if part != "text_encoder_2":
            ratios[layer] = {"unet": 3, "text_encoder": 1}[part] / 2
        if path in (LAYERS[0], LAYERS[1]):
            ratios[layer] = {LAYERS[0]: 8, LAYERS[1]: 5}[path] / 2
    wanted = summed(model, ({layer: ratios[layer] * c for layer, c in changes.items()}, 1.0))
    metadata = {"lora_adapter_metadata": json.dumps(settings)}
    load_lora(model, file_of(tensors, tmp_path / "style.safetensors", metadata))
    assert error(model(), wanted) <= 1e-12
    settings["unet.use_rslora"] = True
    other = file_of(
        tensors, tmp_path / "other.safetensors", {"lora_adapter_metadata": json.dumps(settings)}
    )
    with pytest.raises(CheckpointError, match=r"unet\.use_rslora"):
        load_lora(model, other)


def test_all_that_does_not_fit_is_told_at_once_and_nothing_is_loaded(model, tmp_path):
    tensors, _ = draw_lora(model)
    without, first = model(), kohya("unet", LAYERS[0], "down")
    tensors["lora_unet_nowhere.lora_down.weight"] = torch.zeros(2, 3)
    tensors[first.replace("lora_down.weight", "dora_scale")] = torch.zeros(3)
    tensors[kohya("unet", LAYERS[6], "down")] = torch.zeros(2, 16, 1, 1)  # a 3 x 3 convolution
    del tensors[kohya("text_encoder", WORDS[0], "up")]
    with pytest.raises(CheckpointError) as caught:
        load_lora(model, file_of(tensors, tmp_path / "style.safetensors"))
    said = str(caught.value).splitlines()
    assert "nothing of it was loaded" in said[0]
    assert len(said) == 5
    for words in ("lora_unet_nowhere", "dora_scale", LAYERS[6], "(2, 16, 3, 3)", WORDS[0]):
        assert sum(words in line for line in said) == 1, words
    assert not loras(model)
    assert torch.equal(model(), without)
    assert not any(layer._forward_hooks for layer in model.modules())


def test_what_is_no_lora_is_refused(model, tmp_path):
    (tmp_path / "style.pt").write_bytes(b"\x80\x02")
    with pytest.raises(CheckpointError, match="never read"):
        load_lora(model, tmp_path / "style.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_lora(model, tmp_path / "broken.safetensors")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_lora(model, tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match="no LoRA in it"):
        load_lora(model, file_of({}, tmp_path / "empty.safetensors"))
    tensors, _ = draw_lora(model)
    file = file_of(tensors, tmp_path / "style.safetensors")
    with pytest.raises(ValueError, match="scale"):
        load_lora(model, file, scale=float("nan"))
    load_lora(model, file)
    with pytest.raises(ValueError, match="'style' is taken"):
        load_lora(model, file)
    with pytest.raises(ValueError, match="'other' is not one of"):
        remove_lora(model, "other")
    tensors[kohya("unet", LAYERS[0], "up")][0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="NaN"):
        load_lora(model, file_of(tensors, tmp_path / "nan.safetensors"))


def test_names_of_sdxl_mean_what_they_mean_to_the_reference(tmp_path):
    """The numbers of the original's blocks, by which kohya calls the layers of SDXL."""
    pytest.importorskip("diffusers")
    from diffusers.loaders import lora_conversion_utils as theirs

    config = reference_unet("sdxl").config
    with torch.device("meta"):
        net = ConditionalUNet(ConditionalUNetConfig.of(config))
    places = [f"input_blocks_{i}_1" for i in (4, 5, 7, 8)] + ["middle_block_1"]
    places += [f"output_blocks_{i}_1" for i in range(6)]
    layers = ["proj_in", "transformer_blocks_0_attn1_to_q", "transformer_blocks_0_attn2_to_out_0"]
    seen = set()
    for name in (f"lora_unet_{place}_{layer}" for place in places for layer in layers):
        pair = {f"{name}.lora_{kind}.weight": torch.ones(1) for kind in ("down", "up")}
        known = theirs._maybe_map_sgm_blocks_to_diffusers(dict(pair), config)
        known, _ = theirs._convert_non_diffusers_lora_to_diffusers(dict(known))
        met = [layer_met(net, tensors, tmp_path / "style.safetensors") for tensors in (pair, known)]
        assert met[0] == met[1]
        seen.add(met[0])
    assert len(seen) == len(places) * len(layers)


def layer_met(net, tensors, path) -> str:
    """The layer that a pair of tensors is for, as the error on their shapes calls it."""
    with pytest.raises(CheckpointError, match="shapes must be") as caught:
        load_lora(net, file_of(tensors, path))
    line = str(caught.value).splitlines()[1]
    return line.partition(":")[0].strip()


def test_a_transformer_has_one_too(tmp_path):
    config = MMDiTConfig(
        channels=4, layers=2, heads=2, head_dim=8, context_dim=12, pooled_dim=10, size=8, places=8
    )
    net = randomise(MMDiT(config).double(), seed=1)
    draw = torch.Generator().manual_seed(2)
    z_t, context, pooled = (
        torch.randn(shape, generator=draw, dtype=torch.float64)
        for shape in ((1, 4, 8, 8), (1, 5, 12), (1, 10))
    )
    given = z_t, torch.tensor([500.0]), context, pooled
    block, tensors = "transformer_blocks.0", {}
    wanted = copy.deepcopy(net)
    layers = ["attn.to_q", "attn.add_k_proj", "attn.to_out.0", "ff.net.0.proj", "norm1.linear"]
    for path in [*(f"{block}.{layer}" for layer in layers), "context_embedder", "pos_embed.proj"]:
        layer = wanted.get_submodule(path)
        out, *inside = layer.weight.shape
        down = torch.randn(2, *inside, generator=draw, dtype=torch.float64)
        up = torch.randn(out, 2, generator=draw, dtype=torch.float64) / 10
        layer.weight.data += 0.7 * torch.einsum("or,r...->o...", up, down)
        place = f"transformer.{path}.lora"
        tensors |= {f"{place}_A.weight": down, f"{place}_B.weight": up}
    load_lora(net, file_of(tensors, tmp_path / "style.safetensors"), scale=0.7)
    with torch.no_grad():
        assert error(net(*given), wanted(*given)) <= 1e-12
