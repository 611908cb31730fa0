"""What we write for diffusers gives the same numbers there."""

import pytest
import torch
from safetensors.torch import save_file
from sd_pipelines import KINDS as PIPELINES
from sd_pipelines import pipeline, saved
from sd_reference import error, randomise

from minildm import (
    EPS,
    FLOW,
    Z0,
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    LatentDiffusion,
    UNet,
    UNetConfig,
    V,
    linear_betas,
    network_denoiser,
    ramp_betas,
    sample,
)
from minildm.files.diffusers_folder import export
from minildm.stable_diffusion import load
from minildm.stable_diffusion.lora import load_lora, merge_lora

diffusers = pytest.importorskip("diffusers")

BETAS = DiscreteSchedule(linear_betas(T=1000))
SHORT = DiscreteSchedule(ramp_betas(T=40))
SIZES = {"channels": 3, "width": 16, "heads": 2}
KINDS = {  # (config, schedule, parameterization)
    "middle only": (UNetConfig(**SIZES, blocks=2), BETAS, EPS),
    "classes": (UNetConfig(**SIZES, multipliers=(1, 2, 4), attention=(2,), classes=5), BETAS, V),
    "maps": (
        UNetConfig(**SIZES, multipliers=(1, 1), attention=(0, 1), concat_channels=2), SHORT, V,
    ),
    "one level": (UNetConfig(**SIZES, multipliers=(1,), blocks=2), SHORT, Z0),
    "flow": (UNetConfig(**SIZES, multipliers=(1, 3), attention=(1,)), FlowSchedule(), FLOW),
}  # fmt: skip


def exported(kind: str, folder, dtype):
    """(our network, theirs, its scheduler) of one of ``KINDS``, by way of the disk."""
    config, schedule, parameterization = KINDS[kind]
    ours = randomise(UNet(config).to(dtype), seed=1)
    export(ours, folder, schedule, parameterization)
    theirs = diffusers.UNet2DModel.from_pretrained(folder, subfolder="unet", torch_dtype=dtype)
    return ours, theirs.eval(), schedule


def asked(ours, theirs, z_t, t, schedule):
    """Both outputs for z_t at our times t, with a condition where the network takes one."""
    draw = torch.Generator().manual_seed(4)
    B, (kind, size) = len(z_t), ours.config.condition
    condition, extra, there = None, {}, z_t
    if kind == "labels":
        condition = torch.randint(size + 1, (B,), generator=draw)
        extra = {"class_labels": condition}
    if kind == "maps":
        condition = torch.randn(B, size, *z_t.shape[2:], generator=draw).to(z_t)
        there = torch.cat([z_t, condition], dim=1)
    their_t = t - 1 if isinstance(schedule, DiscreteSchedule) else 1000 * t
    with torch.no_grad():
        return ours(z_t, t, condition), theirs(there, their_t, **extra).sample


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_the_network_gives_the_same_numbers(kind, dtype, tmp_path):
    ours, theirs, schedule = exported(kind, tmp_path, dtype)
    z_t = torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(2)).to(dtype)
    for t in schedule.times(4)[:-1]:
        a, b = asked(ours, theirs, z_t, t.float() if t.is_floating_point() else t, schedule)
        assert error(a, b) <= {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]


@pytest.mark.parametrize("kind", ["middle only", "one level", "flow"])
def test_the_scheduler_takes_the_same_steps(kind, tmp_path):
    ours, theirs, schedule = exported(kind, tmp_path, torch.float32)
    z_T = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    _, _, parameterization = KINDS[kind]
    denoise = network_denoiser(ours, schedule, parameterization)
    *_, last = sample(denoise, schedule, z_T, schedule.times(10))
    z = theirs_walk(theirs, scheduler_in(tmp_path), z_T, 10)
    assert error(last.z, z) <= 1e-4  # its tables are float32


def scheduler_in(folder):
    kind = "FlowMatchEulerDiscreteScheduler"
    if kind not in (folder / "scheduler" / "scheduler_config.json").read_text("utf-8"):
        kind = "DDIMScheduler"
    return getattr(diffusers, kind).from_pretrained(folder, subfolder="scheduler")


@torch.no_grad()
def theirs_walk(net, scheduler, z, steps, **extra):
    """The loop of a pipeline of theirs, over the times of our grid."""
    if isinstance(scheduler, diffusers.DDIMScheduler):
        scheduler.set_timesteps(steps)
    else:
        scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)])
    for t in scheduler.timesteps:
        z = scheduler.step(net(z, t, **extra).sample, t, z).prev_sample
    return z


def test_a_trained_network_draws_the_same_there(tmp_path):
    network = LatentDiffusion.load("digits").network
    export(network, tmp_path)  # what else it needs, its training has noted
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path, subfolder="unet").eval()
    labels, schedule = torch.arange(4), network.trained_with.schedule
    z_T = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(6))  # 7 x 7 it refuses
    *_, last = sample(network_denoiser(network, schedule, V, labels), schedule, z_T,
                      schedule.times(20))  # fmt: skip
    z = theirs_walk(theirs, scheduler_in(tmp_path), z_T, 20, class_labels=labels)
    assert error(last.z, z) <= 1e-3


@pytest.mark.parametrize(
    ("sizes", "field"),
    [
        ({"context_dim": 8}, "context_dim"), ({"multipliers": (2, 2)}, "multipliers"),
        ({"multipliers": (1, 2), "attention": (0,)}, "attention"),
    ],
)  # fmt: skip
def test_what_has_no_twin_is_told_by_its_field(sizes, field, tmp_path):
    with pytest.raises(ValueError, match=f"^{field} must be"):
        export(UNet(UNetConfig(**SIZES, **sizes)), tmp_path, BETAS, V)
    assert not list(tmp_path.iterdir())


def test_what_has_no_scheduler_is_told(tmp_path):
    network = UNet(UNetConfig(**SIZES))
    for schedule, parameterization in (
        (CosineSchedule(), V), (FlowSchedule(), V), (BETAS, FLOW),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="schedule and parameterization must be"):
            export(network, tmp_path, schedule, parameterization)
    with pytest.raises(ValueError, match="^time_scale must be 1000"):
        export(UNet(UNetConfig(**SIZES, time_scale=100)), tmp_path, FlowSchedule(), FLOW)
    with pytest.raises(ValueError, match="schedule is missing"):
        export(network, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_whole_model_is_told_which_part_of_it_has_a_twin(tmp_path):
    with pytest.raises(ValueError, match=r"export\(model\.network, folder\)"):
        export(LatentDiffusion.load("digits"), tmp_path)


# --- Stable Diffusion -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=PIPELINES)
def written(request, tmp_path_factory):
    """(a small pipeline of theirs, it as our model, the folder that we have made of that)."""
    folder, theirs = tmp_path_factory.mktemp(request.param), pipeline(request.param, torch.float32)
    theirs.save_pretrained(folder / "theirs")
    model = load(folder / "theirs")
    export(model, folder / "ours")
    return theirs, model, folder / "ours"


def test_a_stable_diffusion_is_written_as_it_was_read(written):
    _, model, folder = written
    again = load(folder)
    for part in ("autoencoder", "network"):
        a, b = (getattr(m, part).state_dict() for m in (model, again))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert again.autoencoder.config == model.autoencoder.config
    assert again.network.net.config == model.network.net.config
    texts = ["a cat", "two dogs!"]
    assert torch.equal(again.network.tokens(texts), model.network.tokens(texts))
    times = model.schedule.times(7)
    assert torch.equal(again.schedule.times(7), times)
    assert again.network.zero_null == model.network.zero_null
    for a, b in zip(model.schedule(times), again.schedule(times), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert again.parameterization == model.parameterization
    assert again.latent_shape == model.latent_shape


def test_their_pipeline_reads_it_and_has_the_same_parts(written):
    theirs, _, folder = written
    read = read_by_theirs(folder)
    assert type(read) is type(theirs)
    for name, part in theirs.components.items():
        other = read.components[name]
        if isinstance(part, torch.nn.Module):
            assert type(other) is type(part)
            same, read_again = part.state_dict(), other.state_dict()
            assert same.keys() == read_again.keys()
            assert all(torch.equal(same[key], read_again[key]) for key in same)
            assert settings_that_differ(part.config, other.config) == set()
        if name.startswith("tokenizer") and part is not None:
            ids = [each(["a cat!"], padding="max_length", max_length=77) for each in (part, other)]
            assert ids[0]["input_ids"] == ids[1]["input_ids"]


def read_by_theirs(folder):
    """The pipeline that diffusers makes of a folder; it has to be told what version 3 lacks."""
    third = "text_encoder_3" in (folder / "model_index.json").read_text("utf-8")
    return diffusers.DiffusionPipeline.from_pretrained(
        folder, **(dict.fromkeys(("text_encoder_3", "tokenizer_3")) if third else {})
    )


def test_their_pipeline_draws_the_same_from_it(written):
    _, model, folder = written
    pipe, z_T, steps = read_by_theirs(folder), model.noise(1, seed=3), 5
    if "Inpaint" in type(pipe).__name__:
        return  # it wants a picture; its parts are compared above
    pipe.set_progress_bar_config(disable=True)
    flow = isinstance(pipe, diffusers.StableDiffusion3Pipeline)
    grid = {"sigmas": [1 - i / steps for i in range(steps)]} if flow else {}
    _, height, width = model.image_shape
    theirs = pipe(
        "two cats", height=height, width=width, num_inference_steps=steps, guidance_scale=5.0,
        latents=z_T.clone(), output_type="latent", **grid,
    ).images  # fmt: skip
    *_, last = model.walk(["two cats"], steps=steps, guidance=5.0, z_T=z_T)
    assert error(last.z, theirs) <= 1e-4  # its tables are float32


def settings_that_differ(one, other) -> set[str]:
    """Fields of two configs that say something else; not where they come from, nor unused ones."""
    one, other = (c.to_dict() if hasattr(c, "to_dict") else dict(c) for c in (one, other))
    unused = {"pad_token_id", "bos_token_id"}  # a tokenizer's
    unused |= {"projection_dim"} if one.get("architectures") == ["CLIPTextModel"] else set()
    names = {name for name in one.keys() | other.keys() if name[0] != "_"} - unused
    return {name for name in names if plain(one.get(name)) != plain(other.get(name))}


def plain(value):
    """A list of equal numbers is that number: one for each level."""
    value = list(value) if isinstance(value, list | tuple) else value
    return value[0] if isinstance(value, list) and len({*map(str, value)}) == 1 else value


def test_a_lora_is_written_only_when_it_is_merged(tmp_path):
    model = load(saved("sd1", tmp_path / "theirs"))
    place = "unet.down_blocks.0.attentions.0.proj_in"
    c_out, c_in = model.network.net.get_submodule(place[5:]).weight.shape[:2]
    tensors = {f"{place}.lora_A.weight": torch.ones(1, c_in),
               f"{place}.lora_B.weight": torch.ones(c_out, 1)}  # fmt: skip
    save_file(tensors, tmp_path / "style.safetensors")
    load_lora(model, tmp_path / "style.safetensors")
    for part in (model, model.network.net):
        with pytest.raises(ValueError, match="merge_lora, or remove_lora, first"):
            export(part, tmp_path / "ours")
    merge_lora(model)
    export(model, tmp_path / "ours")
    again, key = load(tmp_path / "ours"), f"{place[5:]}.weight"
    assert torch.equal(again.network.net.state_dict()[key], model.network.net.state_dict()[key])


def test_parts_are_written_alone(tmp_path):
    model = load(saved("sd1", tmp_path / "theirs"))
    for part in (model.autoencoder, model.network.net, model.text_encoder):
        export(part, tmp_path / "ours")
    diffusers.AutoencoderKL.from_pretrained(tmp_path / "ours", subfolder="vae")
    diffusers.UNet2DConditionModel.from_pretrained(tmp_path / "ours", subfolder="unet")
    assert (tmp_path / "ours" / "text_encoder" / "model.safetensors").is_file()
    model.network.tokenizers.clear()
    with pytest.raises(ValueError, match="no tokenizer"):
        export(model, tmp_path / "more")
