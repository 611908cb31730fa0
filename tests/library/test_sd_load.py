"""Stable Diffusion's files: folders, single files, old names, what is missing, memory."""

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sd_originals import LITTLE, REAL, original_state
from sd_pipelines import KINDS, pipeline, saved
from torch import nn

from minildm import EPS, LatentDiffusion, V
from minildm.__main__ import main
from minildm.files.checkpoint import CheckpointError
from minildm.stable_diffusion.autoencoder import KLAutoencoderConfig
from minildm.stable_diffusion.load import load, match, read_schedule
from minildm.stable_diffusion.model import Prompted
from minildm.stable_diffusion.names import NEEDLESS, spellings
from minildm.stable_diffusion.original import described
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

diffusers = pytest.importorskip("diffusers")
LOADING = importlib.import_module("minildm.stable_diffusion.load")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind, float32; tests that change one change a copy."""
    return {kind: saved(kind, tmp_path_factory.mktemp(kind), torch.float32) for kind in KINDS}


def copied(folder, place):
    """A copy whose weights are rewritten by ``change(part, tensors) -> tensors``."""
    for file in folder.rglob("*"):
        target = place / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            target.write_bytes(file.read_bytes())
    return place


def rewritten(file, change):
    save_file(change(load_file(file)), file)


def same(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
TEXT, NOISE = "text_encoder/model.safetensors", "scheduler/scheduler_config.json"


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_is_the_file_s(folders, kind):
    model, pipe = load(folders[kind]), pipeline(kind, torch.float32)
    parts = {"vae": model.autoencoder, "unet": model.network.net, "transformer": model.network.net}
    for i, encoder in enumerate(model.network.text_encoders):
        parts[f"text_encoder{'_2' * i}"] = encoder
    for name, ours in parts.items():
        theirs = getattr(pipe, name, None)
        if theirs is not None:
            state = {k.removeprefix("text_model."): v for k, v in theirs.state_dict().items()}
            assert shapes(ours.state_dict()) == shapes(state)
            assert all(torch.equal(v, state[k]) for k, v in ours.state_dict().items())
    assert not any(t.is_meta for t in (*model.parameters(), *model.buffers()))
    assert not any(p.requires_grad for p in model.parameters())


def test_old_files_have_other_names(folders, tmp_path):
    folder = copied(folders["sd1"], tmp_path)
    new = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def old_vae(tensors):
        renamed = {}
        for name, tensor in tensors.items():
            if "attentions.0.to_" in name:
                name = re.sub(r"to_[qkv]|to_out\.0", lambda m: new[m[0]], name)
                tensor = tensor[:, :, None, None].contiguous() if tensor.dim() == 2 else tensor
            renamed[name] = tensor
        return renamed

    def old_text(tensors):
        positions = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
        bare = {f"text_model.{n.removeprefix('text_model.')}": t for n, t in tensors.items()}
        return {**bare, **positions}

    rewritten(folder / VAE, old_vae)
    rewritten(folder / TEXT, old_text)
    assert same(load(folder), load(folders["sd1"]))


def test_half_precision_and_shards(folders, tmp_path):
    half = saved("sd1", tmp_path / "half", torch.float16, variant="fp16")
    assert [f.name for f in (half / "vae").glob("*.safetensors")] == [
        "diffusion_pytorch_model.fp16.safetensors"
    ]
    model = load(half, torch.float16)
    assert {p.dtype for p in model.network.parameters()} == {torch.float16}
    shards = saved("sd1", tmp_path / "shards", torch.float32, max_shard_size="60KB")
    assert len(list((shards / "unet").glob("*.safetensors"))) > 3
    assert same(load(shards), load(folders["sd1"]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_draws_in_half_precision(folders, dtype):
    model = load(folders["sd2"], dtype)
    x = model.text_to_image("a cat", steps=2, seed=0)
    assert x.dtype == model.autoencoder.scale.dtype and x.isfinite().all()
    assert {p.dtype for p in model.network.parameters()} == {dtype}
    once = load(folders["sd2"]).text_to_image("a cat", steps=2, seed=0)
    assert (x.float() - once).abs().mean() < 0.2


def test_an_autoencoder_that_overflows_in_float16_stays_float32(folders, tmp_path):
    folder = copied(folders["sdxl"], tmp_path)
    place = folder / "vae" / "config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "force_upcast": True}))
    model = load(folder, torch.float16)
    assert model.autoencoder.scale.dtype == torch.float32
    assert {p.dtype for p in model.network.parameters()} == {torch.float16}
    assert model.text_to_image("a cat", steps=2, seed=0).dtype == torch.float32


def test_another_size_of_pictures(folders):
    model = load(folders["sdxl"], image_size=(24, 40))
    assert model.text_to_image("a cat", steps=1, seed=0).shape == (1, 3, 24, 40)
    with pytest.raises(ValueError, match="multiples"):
        load(folders["sd1"], image_size=(30, 32))


# --- one file of the original layout --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sd1", "sd2", "inpainting", "sdxl"])
def test_a_single_file_is_the_same_model(folders, kind, tmp_path):
    """Wide enough that the sizes can be told from the shapes: 64 channels are one head."""
    modules, state = original_state(kind)
    file = tmp_path / "model.safetensors"
    save_file({**state, "betas": torch.zeros(1000), "model_ema.decay": torch.zeros(())}, file)
    target = V if kind == "sd2" else None
    model = load(file, tokenizer=folders["sd1"] / "tokenizer", parameterization=target)
    assert same(model.autoencoder, modules["vae"])
    assert same(model.network.net, modules["unet"])
    readers = [modules[name] for name in ("text_encoder", "text_encoder_2") if name in modules]
    assert all(same(a, b) for a, b in zip(model.network.text_encoders, readers, strict=True))
    configs = [each.config for each in (*readers, modules["unet"], modules["vae"])]
    ours = [*model.network.text_encoders, model.network.net, model.autoencoder]
    assert [each.config for each in ours][:-2] == configs[:-2]
    assert model.network.net.config.heads == modules["unet"].config.heads
    assert model.parameterization is (V if kind == "sd2" else EPS)
    pads = [tokenizer.pad for tokenizer in model.network.tokenizers]
    assert pads == {"sd2": ["!"], "sdxl": ["<|endoftext|>", "!"]}.get(kind, ["<|endoftext|>"])


def test_a_single_file_that_lacks_what_tells_its_sizes(tmp_path):
    _, state = original_state("sd1")
    del state["model.diffusion_model.out.2.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"has no tensor 'model.diffusion_model.out.2.weight'"
    ):
        load(tmp_path / "model.safetensors")


def test_a_network_that_is_shown_something_else_is_refused():
    net = ConditionalUNet(ConditionalUNetConfig(**LITTLE["sd1"][0], concat_channels=1))
    with pytest.raises(ValueError, match="in_channels has 1 beside the latents'"):
        Prompted(net, [], [])


def test_a_single_file_of_stable_diffusion_2_does_not_say_what_it_predicts(tmp_path):
    _, state = original_state("sd2")
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="parameterization, EPS .512 x 512., or V"):
        load(tmp_path / "model.safetensors")
    model = load(tmp_path / "model.safetensors", parameterization=EPS)
    with pytest.raises(ValueError, match="came without its tokenizer"):
        model.text_to_image("a cat")


@pytest.mark.parametrize("kind", ["1.5", "2.1", "XL"])
def test_every_key_of_the_real_files_is_used_once(kind):
    """The real sizes, on the meta device; what diffusers converts them to is what we build."""
    modules, state = original_state(kind, REAL)
    left = {key: tensor.numel() for key, tensor in state.items()}
    given = {key: Sliced(tensor.shape) for key, tensor in state.items()}
    for part, prefix in prefixes(kind, modules).items():
        found, wrong = match(modules[part], prefix, given)
        assert wrong == []
        for each in found:
            left[each.spelling] -= modules[part].get_parameter(each.name).numel()
    last = "transformer.resblocks.23." if kind == "2.1" else "?"  # Stable Diffusion 2 reads 23
    unread = {key for key, n in left.items() if n}
    assert {key for key in unread if not NEEDLESS.search(key) and last not in key} == set()
    assert all(left[key] == state[key].numel() for key in unread)
    projection = "conditioner.embedders.1.model.text_projection"
    assert (projection in state) == (kind == "XL") and projection not in unread


@pytest.mark.parametrize("kind", ["1.5", "2.1", "XL"])
def test_the_sizes_of_the_real_files_are_told_from_their_shapes(kind):
    modules, state = original_state(kind, REAL)
    target, parts = described(shapes(state), Path("a.safetensors"), V if kind == "2.1" else None)
    configs = {part: config for part, (config, _) in parts.items()}
    assert target is (V if kind == "2.1" else EPS)
    assert configs["unet"].latent_size == {"1.5": (64, 64), "2.1": (96, 96), "XL": (128, 128)}[kind]
    assert configs["vae"].scaling_factor == (0.13025 if kind == "XL" else 0.18215)
    known = KLAutoencoderConfig().scaling_factor
    configs["vae"] = replace(configs["vae"], scaling_factor=known, force_upcast=False)
    configs["unet"] = replace(configs["unet"], latent_size=modules["unet"].config.latent_size)
    assert configs == {part: module.config for part, module in modules.items()}


class Sliced:
    """What match asks of an open file."""

    def __init__(self, shape):
        self.shape = shape

    def get_slice(self, key):
        return self

    def get_shape(self):
        return self.shape


def prefixes(kind, modules):
    readers = {
        "1.5": ["cond_stage_model.transformer."], "2.1": ["cond_stage_model.model."],
        "XL": ["conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."],
    }[kind]  # fmt: skip
    both = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}
    return {**both, **dict(zip(("text_encoder", "text_encoder_2"), readers, strict=False))}


@pytest.mark.parametrize("kind", ["1.5", "2.1", "XL"])
def test_the_names_are_those_that_diffusers_converts(kind):
    from diffusers.loaders import single_file_utils as theirs

    modules, state = original_state(kind, REAL)
    config = {"layers_per_block": 2, "addition_embed_type": "text_time" if kind == "XL" else None}
    unet = theirs.convert_ldm_unet_checkpoint(dict(state), config)
    assert shapes(unet) == shapes(modules["unet"].state_dict())
    four = {"down_block_types": [0] * 4, "up_block_types": [0] * 4}
    vae = theirs.convert_ldm_vae_checkpoint(dict(state), four)
    assert shapes(vae) == shapes(modules["vae"].state_dict())
    if kind != "2.1":
        clip = theirs.convert_ldm_clip_checkpoint(dict(state))
        del clip["text_model.embeddings.position_ids"]
        bare = {name.removeprefix("text_model."): tensor for name, tensor in clip.items()}
        assert shapes(bare) == shapes(modules["text_encoder"].state_dict())
    if kind != "1.5":
        name = "text_encoder_2" if kind == "XL" else "text_encoder"
        prefix = prefixes(kind, modules)[name]
        clip = theirs.convert_open_clip_checkpoint(nn.Module(), dict(state), prefix)
        bare = {name.removeprefix("text_model."): tensor for name, tensor in clip.items()}
        ours = shapes(modules[name].state_dict())
        assert {k: v for k, v in shapes(bare).items() if k in ours} == ours


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def test_some_names_of_the_real_files():
    modules, _ = original_state("1.5", REAL)
    for part, name, spelling in (
        ("unet", "up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        ("unet", "up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        ("unet", "down_blocks.0.downsamplers.0.conv.bias", "input_blocks.3.0.op.bias"),
        ("unet", "mid_block.resnets.1.time_emb_proj.bias", "middle_block.2.emb_layers.1.bias"),
        ("vae", "decoder.up_blocks.0.upsamplers.0.conv.bias", "decoder.up.3.upsample.conv.bias"),
        ("vae", "encoder.mid_block.attentions.0.to_out.0.bias", "encoder.mid.attn_1.proj_out.bias"),
    ):
        assert spelling in spellings(modules[part], name)


# --- what is wrong --------------------------------------------------------------------------------


def test_all_that_does_not_fit_is_named_at_once(folders, tmp_path):
    folder = copied(folders["sd1"], tmp_path)

    def spoilt(tensors):
        tensors["mystery.weight"] = torch.zeros(2)
        tensors["conv_in.weight"] = torch.zeros(16, 9, 3, 3)
        del tensors["conv_out.bias"]
        return tensors

    rewritten(folder / UNET, spoilt)
    rewritten(folder / VAE, lambda tensors: {**tensors, "encoder.more": torch.zeros(1)})
    rewritten(folder / TEXT, lambda tensors: dict(list(tensors.items())[1:]))
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    for part in (
        "unet: missing: conv_out.bias", "unet: unknown: mystery.weight", "text_encoder: missing: ",
        "unet: misshapen: conv_in.weight is (16, 9, 3, 3), and must be (16, 4, 3, 3)",
        "vae: unknown: encoder.more",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_pickles_are_refused_with_the_way_to_convert_them(folders, tmp_path):
    folder = copied(folders["sd1"], tmp_path / "pickled")
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"bin is a pickle.*from_pretrained.*save_pretrained"):
        load(folder)
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"\x80\x02")
    for reader in (load, LatentDiffusion.load):
        with pytest.raises(CheckpointError, match=r"pickle.*from_single_file\(FILE\)"):
            reader(file)


def test_what_is_missing_or_damaged_is_named(folders, tmp_path):
    folder = copied(folders["sd1"], tmp_path / "a")
    (folder / UNET).unlink()
    with pytest.raises(FileNotFoundError, match="unet holds no .safetensors file"):
        load(folder)
    (folder / UNET).write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(folder)
    (folder / "unet" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="config.json is damaged"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="model_index.json is missing"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no"):
        load(tmp_path / "nothing.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not in the original layout"):
        load(tmp_path / "other.safetensors")


def changed(folder, place, file, **fields):
    copied(folder, place)
    said = json.loads((place / file).read_text())
    (place / file).write_text(json.dumps({**said, **fields}))
    return place


@pytest.mark.parametrize(
    ("kind", "file", "fields", "said"),
    [
        ("sdxl", "model_index.json", {"text_encoder": [None, None]}, "no text_encoder.*refiner"),
        ("sd1", "model_index.json", {"unet": [None, None]}, "names no unet or transformer"),
        ("sd1", "unet/config.json", {"act_fn": "gelu"}, "unet/config.json: act_fn"),
        ("sd1", NOISE, {"beta_schedule": "laplace"}, "beta_schedule.*laplace"),
        ("sd1", NOISE, {"prediction_type": "flow"}, "prediction_type.*flow"),
        ("sd3", NOISE, {"use_dynamic_shifting": True}, "use_dynamic_shifting"),
    ],
)
def test_what_is_not_built_here_is_named(folders, tmp_path, kind, file, fields, said):
    with pytest.raises(ValueError, match=said):
        load(changed(folders[kind], tmp_path, file, **fields))


def test_the_third_text_encoder_is_left_out_loudly(folders, tmp_path):
    index = {"text_encoder_3": ["transformers", "T5EncoderModel"]}
    folder = changed(folders["sd3"], tmp_path, "model_index.json", **index)
    with pytest.warns(UserWarning, match="text_encoder_3 .T5. is left out"):
        load(folder)


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_the_schedule_is_the_reference_s(kind, zero):
    ends = {} if kind == "squaredcos_cap_v2" else {"beta_start": 0.001, "beta_end": 0.015}
    maker = diffusers.DDPMScheduler(beta_schedule=kind, rescale_betas_zero_snr=zero, **ends)
    schedule, target = read_schedule({**maker.config, "_class_name": "DDPMScheduler"})
    assert target is EPS
    ours = schedule.alpha_bar[1:].float()
    assert torch.allclose(ours, maker.alphas_cumprod, rtol=1e-4, atol=2e-6)
    assert float(schedule.alpha_bar[-1] == 0) == zero


def test_betas_that_are_listed():
    said = {"trained_betas": [0.1, 0.2, 0.999], "prediction_type": "v_prediction"}
    schedule, target = read_schedule(said)
    assert schedule.beta.tolist() == [0, 0.1, 0.2, 0.999] and target is V


# --- from outside ---------------------------------------------------------------------------------


def test_the_command_line_draws_with_such_a_folder(folders, tmp_path, capsys):
    out = tmp_path / "cat.png"
    words = ["sample", "a cat", "--model", str(folders["sd1"]), "--out", str(out), "--seed", "1"]
    assert main([*words, "--steps", "2", "--count", "1"]) == 0, capsys.readouterr().err
    assert out.stat().st_size > 100
    assert type(LatentDiffusion.load(folders["sd1"])) is type(load(folders["sd1"]))
    assert main(["sample", "a", "--model", str(tmp_path / "no.safetensors")]) == 1
    assert "there is no" in capsys.readouterr().err


def anonymous():
    """Bytes of memory of this process that no file backs."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", text)[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_loading_needs_the_model_s_own_memory(folders, tmp_path, monkeypatch):
    """While it reads, too: one tensor more, not a second model, nor random numbers first."""
    folder = changed(folders["sd1"], tmp_path, "text_encoder/config.json", num_hidden_layers=40,
                     intermediate_size=12_000)  # fmt: skip
    from minildm.stable_diffusion.text import TextConfig, TextEncoder

    config = TextConfig.of(json.loads((folder / "text_encoder" / "config.json").read_text()))
    with torch.device("meta"):
        empty = TextEncoder(config).state_dict()
    half = {name: torch.zeros(t.shape, dtype=torch.float16) for name, t in empty.items()}
    save_file(half, folder / TEXT)
    size = 4 * sum(t.numel() for t in half.values())
    del half
    peak, put = [anonymous()], LOADING._put

    def watched(*given):
        put(*given)
        peak.append(anonymous())

    monkeypatch.setattr(LOADING, "_put", watched)
    start = anonymous()
    model = load(folder, torch.float32)
    assert size > 80e6 and len(peak) > 800
    assert max(peak) - start < 1.2 * size + 10e6
    del model
