"""What a sampler's own arithmetic costs: walks whose network is free."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import rivals
from benchmarks.measure import Options, Row, interleaved, scaled
from minildm.denoise import Denoised, network_denoiser
from minildm.interfaces import Denoiser
from minildm.predict import V
from minildm.samplers import ddim, dpmpp_2m, sample
from minildm.shapes.training import SCHEDULE

NAME = "loops"
QUESTION = "What does a step cost besides the network? One picture's latent, set-up included."
STEPS = {"ddim": ddim, "dpmpp_2m": dpmpp_2m}
SCHEDULERS = {"ddim": "DDIMScheduler", "dpmpp_2m": "DPMSolverMultistepScheduler"}


def our_walk(step: Callable, denoise: Denoiser, z_T: Tensor, steps: int) -> Callable[[], None]:
    """A whole walk, with its grid of times."""

    def walk() -> None:
        for _ in sample(denoise, SCHEDULE, z_T, SCHEDULE.times(steps), step):
            pass

    return walk


def walk_of_diffusers(name: str, output: Tensor, z_T: Tensor, steps: int) -> Callable[[], None]:
    """The same by its scheduler, given the output of a network."""
    options = {"clip_sample": False} if name == "DDIMScheduler" else {}
    scheduler = getattr(rivals.package("diffusers"), name)(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", **options
    )

    def walk() -> None:
        scheduler.set_timesteps(steps)
        z = z_T
        for t in scheduler.timesteps:
            z = scheduler.step(output, t, z).prev_sample

    return torch.no_grad()(walk)


def run(options: Options) -> dict:
    z_T, output = torch.randn(2, 1, *rivals.LATENT)
    known = Denoised(output, z_T)
    free: dict[str, Denoiser] = {
        "a free denoiser": lambda z, t: known,
        "a free network": network_denoiser(lambda z, t, c: output, SCHEDULE, V),
    }
    calls = {
        f"{name}, {kind}": our_walk(step, denoise, z_T, options.steps)
        for name, step in STEPS.items()
        for kind, denoise in free.items()
    }
    note = rivals.why_not("diffusers")
    if not note:
        for scheduler in SCHEDULERS.values():
            calls[scheduler] = walk_of_diffusers(scheduler, output, z_T, options.steps)
    seconds = interleaved(calls, options)
    return {
        "seconds_per_step": {k: scaled(v, 1 / options.steps) for k, v in seconds.items()},
        "notes": [note] if note else [],
    }


def rows(result: dict) -> list[Row]:
    seconds, table = result["seconds_per_step"], []
    for what, mine in seconds.items():
        if what not in SCHEDULERS.values():
            rival = SCHEDULERS[what.split(",")[0]]
            theirs, against = seconds.get(rival, ()), rival * (rival in seconds)
            table.append(Row(what, "µs/step", scaled(mine, 1e6), scaled(theirs, 1e6), against))
    return table
