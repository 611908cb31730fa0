"""What we write for diffusers gives the same numbers there."""

import pytest
import torch
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
