"""From noise to latents with guidance, each library by its own loop and network."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks import rivals
from benchmarks.measure import Options, Row, interleaved
from minildm.denoise import guided, network_denoiser
from minildm.predict import V
from minildm.samplers import ddim, sample
from minildm.shapes.training import GUIDANCE, SCHEDULE
from minildm.unet import UNet

NAME = "sampling"
QUESTION = "How long does it take to draw a batch of latents with guidance?"


def our_walk(options: Options) -> Callable[[], Tensor]:
    """25 steps of ddim; ``guided`` asks the network for both branches in one call."""
    z_T, _, context = rivals.inputs(options.batch)
    net = UNet(rivals.ours()).eval()
    read = partial(network_denoiser, net, SCHEDULE, V)

    def walk() -> Tensor:
        denoise = guided(read(context), read(net.null(context)), GUIDANCE)
        *_, last = sample(denoise, SCHEDULE, z_T, SCHEDULE.times(options.steps), ddim)
        return last.z

    return torch.no_grad()(walk)


def walk_of_diffusers(options: Options) -> Callable[[], Tensor]:
    """The loop of its pipelines: both branches in one batch, then a step of its scheduler."""
    z_T, _, context = rivals.inputs(options.batch)
    net = rivals.network("diffusers").eval()
    scheduler = rivals.package("diffusers").DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )

    def walk() -> Tensor:
        scheduler.set_timesteps(options.steps)
        z, words = z_T * scheduler.init_noise_sigma, torch.cat([torch.zeros_like(context), context])
        for t in scheduler.timesteps:
            both = scheduler.scale_model_input(torch.cat([z] * 2), t)
            away, towards = net(both, t, encoder_hidden_states=words).sample.chunk(2)
            z = scheduler.step(away + GUIDANCE * (towards - away), t, z).prev_sample
        return z

    return torch.no_grad()(walk)


def run(options: Options) -> dict:
    calls, note = {"ours": our_walk(options)}, rivals.why_not("diffusers")
    if not note:
        calls["diffusers"] = walk_of_diffusers(options)
    return {
        "seconds": interleaved(calls, options),
        "what": f"{options.batch} latents, {options.steps} evaluations of both branches",
        "notes": [note] if note else [],
    }


def rows(result: dict) -> list[Row]:
    seconds = result["seconds"]
    theirs, against = seconds.get("diffusers", ()), "diffusers" * ("diffusers" in seconds)
    return [Row(result["what"], "s", seconds["ours"], theirs, against)]
