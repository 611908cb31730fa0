"""Our samplers beside diffusers': their schedulers, driven over our grids, with our denoisers.

    scheduler   one of their schedulers, as shipped (float32) or as a copy that computes in float64
    alpha_bar   their table in our form: float64 (T+1,), entry 0 is clean data
    grid        the times of a scheduler in our form; set_grid is the other direction
    walk        their scheduler from noise to data, asking our denoiser: every latent on the way
    our_walk    the same with our sampler

and three of their habits as a step or a denoiser of ours, to show that nothing else is different:

    recomputed        the next time is t - T // n, whatever the grid says   (their DDIM)
    heun_over_sigma   Heun's rule for z / signal over noise / signal         (their Heun)
    clipped_loosely   z0 is clipped, eps stays what it was                   (their DDIM)

The book runs without diffusers; some cells then say what they skip:

    available   True or False, after one line of explanation where the answer is no
    absence     that line: what is left out, and how to get the package
    version     the version that is installed, or None

Written against diffusers 0.42.1, which is imported only when a function needs it. Their time is
0-based: their t is ours minus 1, and clean data, our 0, is no row of their table.
"""

import importlib
import importlib.metadata
import importlib.util
import types
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from minildm.denoise import Denoised, Denoiser
from minildm.predict import EPS, Parameterization
from minildm.samplers import ddim, sample
from minildm.schedule import expand

# Package -> (what the book uses it for, how to get it).
USES = {
    "diffusers": (
        "the comparison with diffusers",
        'pip install -c constraints.txt -e ".[compare]"',
    ),
    "transformers": (
        "Stable Diffusion's text encoder",
        'pip install -c constraints.txt -e ".[compare]"',
    ),
}


def available(name: str, what: str = "", quiet: bool = False) -> bool:
    """Whether the package ``name`` can be imported; if not, print one line: what for, how to get.

    ``what`` says what a cell leaves out; without it the line says what the book uses ``name`` for.
    A package that is blocked (``sys.modules[name] = None``) counts as absent. Nothing is imported.
    Raises ValueError for a name that the book does not use.
    """
    if name not in USES:
        raise ValueError(f"name must be one of {', '.join(USES)}; got {name!r}")
    found = importlib.util.find_spec(name) is not None
    if not found and not quiet:
        print(absence(name, what))
    return found


def absence(name: str, what: str = "") -> str:
    """The line in a result's place where the package is absent; ``what`` names the result."""
    purpose, remedy = USES[name]
    return f"[skipped] {what or purpose}: needs {name}, which is not installed. To get it: {remedy}"


def version(name: str) -> str | None:
    """The installed version of a package, without importing it; None where it is absent."""
    if not available(name, quiet=True):
        return None
    return importlib.metadata.version(name)


# Our name -> their file (diffusers.schedulers.scheduling_...), their class.
SCHEDULERS = {
    "ddpm": ("ddpm", "DDPMScheduler"),
    "ddim": ("ddim", "DDIMScheduler"),
    "dpmpp_2m": ("dpmsolver_multistep", "DPMSolverMultistepScheduler"),
    "euler": ("euler_discrete", "EulerDiscreteScheduler"),
    "heun": ("heun_discrete", "HeunDiscreteScheduler"),
}
CLIP_BY_DEFAULT = ("ddpm", "ddim")
OVER_SIGMA = ("EulerDiscreteScheduler", "HeunDiscreteScheduler")  # their variable is z / signal


# --- their schedulers ----------------------------------------------------------------------------


def scheduler(name: str, double: bool = False, **options):
    """A diffusers scheduler by our name, without clipping unless ``options`` ask for it.

    ``double``: of a copy of their module in which every float32 is a float64. ``options`` are
    theirs (beta_schedule=, timestep_spacing=, ...). Raises ValueError for another name, ImportError
    with the way out where diffusers is absent.
    """
    if name not in SCHEDULERS:
        raise ValueError(f"name must be one of {', '.join(SCHEDULERS)}; got {name!r}")
    if not available("diffusers", quiet=True):
        raise ImportError(absence("diffusers"))
    file, kind = SCHEDULERS[name]
    path = f"diffusers.schedulers.scheduling_{file}"
    if name in CLIP_BY_DEFAULT:
        options = {"clip_sample": False} | options
    if not double:
        return getattr(importlib.import_module(path), kind)(**options)
    with _default_dtype(torch.float64):  # their sigmoid schedule names no dtype
        return getattr(_double(path), kind)(**options)


@cache
def _double(path: str) -> types.ModuleType:
    """A module of diffusers, run again from its source with float64 in the place of float32."""
    spec = importlib.util.find_spec(path)
    source = Path(spec.origin).read_text(encoding="utf-8").replace("float32", "float64")
    module = types.ModuleType(path + "_double")
    module.__package__ = spec.parent  # for their "from ..utils import ..."
    exec(compile(source, spec.origin, "exec"), module.__dict__)
    return module


@contextmanager
def _default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def alpha_bar(theirs) -> Tensor:
    """A scheduler's alphas_cumprod with clean data in front: float64 (T+1,), our 1-based table."""
    return torch.cat([torch.ones(1, dtype=torch.float64), theirs.alphas_cumprod.double()])


# --- grids ---------------------------------------------------------------------------------------


def set_grid(theirs, times: Tensor) -> None:
    """Let a scheduler stand at the times of our grid (n+1,), which ends at 0: t - 1, without the 0.

    Their DDIM takes no grid: the times are put in its place, and its next time stays t - T // n.
    Raises ValueError for a grid that does not end at clean data.
    """
    times = torch.as_tensor(times)
    if times[-1] != 0:
        raise ValueError(f"times must end at 0, as their walks do; got {int(times[-1])} at the end")
    stops = (times[:-1] - 1).tolist()
    if type(theirs).__name__ == "DDIMScheduler":
        theirs.num_inference_steps, theirs.timesteps = len(stops), torch.tensor(stops)
    else:
        theirs.set_timesteps(timesteps=stops)


def grid(theirs) -> Tensor:
    """The times at which a scheduler stands in our form: t + 1, each once, then 0: (n+1,)."""
    stops = theirs.timesteps.unique_consecutive() + 1  # Heun lists most of them twice
    return torch.cat([stops, torch.zeros(1, dtype=stops.dtype)])


# --- walks ---------------------------------------------------------------------------------------


def walk(
    theirs, denoise: Denoiser, schedule, z_T: Tensor, times: Tensor | int,
    parameterization: Parameterization = EPS, **options,
) -> list[Tensor]:  # fmt: skip
    """Their scheduler from z_T (B, *d) to data, asking our denoiser: [z_T, ..., z_0], our variable.

    ``times``: our grid, or a number of steps, then spread as the scheduler was told to.
    ``parameterization``: what it believes to get; set its prediction_type to match. ``options`` go
    to its step (eta=, generator=, ...). Raises ValueError where it stands between two rows of our
    table (their Euler and Heun do, unless the spacing is "leading" or "trailing").
    """
    if isinstance(times, int):
        theirs.set_timesteps(times)
    else:
        set_grid(theirs, times)
    x, path = _from_ours(theirs, z_T), [z_T]
    for stop in theirs.timesteps:
        if stop != stop.round():
            raise ValueError(
                f"their time {float(stop):.2f} lies between two rows of the table: use "
                'timestep_spacing="trailing" or "leading", or give a grid of whole times'
            )
        z = theirs.scale_model_input(x, stop)
        t = stop.to(torch.int64) + 1
        guess = denoise(z, t)
        output = parameterization.target(*guess, *schedule(t))
        x = theirs.step(output, stop, x, return_dict=False, **options)[0]
        if getattr(theirs, "state_in_first_order", True):  # Heun: only after its second half
            path.append(_to_ours(theirs, x))
    if not getattr(theirs, "state_in_first_order", True):  # Heun's last step has no second half
        path.append(x)
    return path


def our_walk(denoise, schedule, z_T: Tensor, times: Tensor, step=ddim) -> list[Tensor]:
    """[z_T, ..., z_0] of ``sample``, to be compared with ``walk``."""
    return [z_T] + [snapshot.z for snapshot in sample(denoise, schedule, z_T, times, step)]


def deviation(a: list[Tensor], b: list[Tensor]) -> float:
    """The largest |a - b| over all latents of two walks. Raises ValueError for unequal lengths."""
    if len(a) != len(b):
        raise ValueError(f"the walks have {len(a)} and {len(b)} latents: give both one grid")
    return max(float((p.double() - q.double()).abs().max()) for p, q in zip(a, b, strict=True))


def _from_ours(theirs, z: Tensor) -> Tensor:
    """Our latent at the start in their variable: z, or z / signal = z sqrt(1 + sigma^2)."""
    over_sigma = type(theirs).__name__ in OVER_SIGMA
    return z * (1 + theirs.sigmas[0] ** 2).sqrt().to(z) if over_sigma else z


def _to_ours(theirs, x: Tensor) -> Tensor:
    """Their latent after a step in our variable: x, or x / sqrt(1 + sigma^2)."""
    over_sigma = type(theirs).__name__ in OVER_SIGMA
    return x / (1 + theirs.sigmas[theirs.step_index] ** 2).sqrt().to(x) if over_sigma else x


# --- their habits, in our code -------------------------------------------------------------------


def recomputed(z, t, s, denoise, schedule, memory=None, jump: int = 1, step=ddim):
    """Go to t - jump, or to clean data below 1, whatever time ``s`` the grid has next.

    With jump = T // n this is their DDIM: right only where n divides T and the grid is even.
    """
    return step(z, t, (t - jump).clamp(min=0), denoise, schedule, memory)


def heun_over_sigma(z, t, s, denoise, schedule, memory=None):
    """Heun's rule for x = z / signal over sigma = noise / signal, dx / dsigma = (x - z0) / sigma.

    Algorithm 1 of Karras et al. 2022 (arXiv 2206.00364) without churn. Infinite at zero SNR.
    """
    (signal_s, noise_s), (signal_t, noise_t) = schedule(s), schedule(t)
    guess = denoise(z, t).z0
    if noise_s == 0:
        return guess, guess, None
    start, end = noise_t / signal_t, noise_s / signal_s
    x = z / expand(signal_t, z)
    slope = (x - guess) / expand(start, z)
    there = x + expand(end - start, z) * slope
    z0 = denoise(expand(signal_s, z) * there, s).z0
    slope = (slope + (there - z0) / expand(end, z)) / 2
    return expand(signal_s, z) * (x + expand(end - start, z) * slope), z0, None


def clipped_loosely(denoise: Denoiser, low: float = -1, high: float = 1) -> Denoiser:
    """Clamp z0 to [low, high] and keep the old eps: the two no longer add up to z_t.

    Their DDIM with clip_sample=True. ``minildm.denoise.clipped`` computes eps again.
    """

    def denoise_and_clip(z_t: Tensor, t: Tensor) -> Denoised:
        plain = denoise(z_t, t)
        return Denoised(plain.z0.clamp(low, high), plain.eps)

    return denoise_and_clip
