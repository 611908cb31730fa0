"""One quantity, many dialects: the book, the papers, diffusers, k-diffusion, flow matching.

    QUANTITIES   time, noise level, guidance, randomness, latent scale: each with both directions
    convert      a value of a quantity from one dialect to another
    table        all of them as Markdown, drawn from the same entries
    rescaled     the noisy latent itself: z, z / signal, or z / (signal + noise)
    shifted      the shift of a flow's times; 1 / shift undoes it
    spaced       a time grid by the names of diffusers: leading, linspace, trailing
    schedule_from_config, PREDICTIONS, VARIANCES   other things that go by several names
    zero_based   a network that was trained with t = 0..T-1, for our samplers

Values are floats or float64 tensors. Every pair of directions is tested by round trips, and against
the tables of diffusers where it is installed.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minildm import checks
from minildm.predict import EPS, FLOW, Z0, V
from minildm.schedule import (
    DiscreteSchedule,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
    sigmoid_betas,
    zero_terminal_snr,
)


def _same(value):
    return value


class Dialect(NamedTuple):
    """How one dialect writes a quantity: ``symbol``, and both directions to and from the book."""

    symbol: str
    from_book: Callable = _same
    to_book: Callable = _same


class Quantity(NamedTuple):
    """One quantity: the book's symbol, values to try, and the dialects that have it."""

    book: str
    examples: tuple[float, ...]
    dialects: dict[str, Dialect]


def sigma_of(alpha_bar):
    """noise / signal = sqrt((1 - alpha_bar) / alpha_bar), what k-diffusion and EDM call sigma."""
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


def alpha_bar_of(sigma):
    """The alpha_bar of a sigma = noise / signal: 1 / (1 + sigma^2)."""
    return 1 / (1 + sigma**2)


def _log(value):
    return torch.as_tensor(value, dtype=torch.float64).log()


def _exp(value):
    return torch.as_tensor(value, dtype=torch.float64).exp()


_TIME = {
    "DDPM paper": Dialect("t = 1..T"),
    "diffusers": Dialect("timestep = t - 1", lambda t: t - 1, lambda k: k + 1),
    "k-diffusion": Dialect("t - 1", lambda t: t - 1, lambda k: k + 1),
}
_NOISE = {
    "DDPM paper": Dialect("ᾱ_t"),
    "DDIM paper": Dialect("α_t, without a bar"),
    "diffusers": Dialect("alphas_cumprod[t - 1]"),
    "k-diffusion": Dialect("σ = √((1 - ᾱ)/ᾱ)", sigma_of, alpha_bar_of),
    "DPM-Solver": Dialect(
        "λ = -log σ", lambda a: -_log(sigma_of(a)), lambda lam: alpha_bar_of(_exp(-lam))
    ),
    "log SNR": Dialect(
        "log SNR = -2 log σ", lambda a: -2 * _log(sigma_of(a)), lambda x: alpha_bar_of(_exp(-x / 2))
    ),
    "flow (SD3)": Dialect(
        "time = σ/(1 + σ)",
        lambda a: sigma_of(a) / (1 + sigma_of(a)),
        lambda tau: alpha_bar_of(tau / (1 - tau)),
    ),
}
_GUIDANCE = {
    "guidance paper": Dialect("w - 1, also called w", lambda w: w - 1, lambda w: w + 1),
    "LDM code": Dialect("unconditional_guidance_scale"),
    "diffusers": Dialect("guidance_scale"),
    "ComfyUI": Dialect("cfg"),
}
_ETA = {
    "DDIM paper": Dialect("η, factor of the standard deviation"),
    "diffusers": Dialect("eta"),
    "k-diffusion": Dialect("eta of the ancestral samplers"),
    "as a variance": Dialect("η²", lambda eta: eta**2, lambda share: share**0.5),
}
_SCALE = {
    "LDM code": Dialect("scale_factor"),
    "diffusers": Dialect("scaling_factor"),
    "as a std": Dialect("std of E(x) = 1/scale", lambda s: 1 / s, lambda std: 1 / std),
}
QUANTITIES = {
    "time": Quantity("t = 1..T, 0 is clean", (1, 500, 1000), _TIME),
    "noise level": Quantity("ᾱ_t", (0.99915, 0.5, 0.1, 0.00466), _NOISE),
    "guidance": Quantity("w: 0 without, 1 plain", (0.0, 1.0, 7.5), _GUIDANCE),
    "randomness": Quantity("η: 0 is DDIM, 1 is DDPM", (0.0, 0.5, 1.0), _ETA),
    "latent scale": Quantity("scale: z_0 = scale E(x)", (0.18215, 1.0, 3.0), _SCALE),
}


def convert(quantity: str, value, source: str, target: str):
    """A value of a quantity of dialect ``source``, in dialect ``target``; "book" is one of them.

    Raises ValueError naming the quantities, or the dialects that know this one.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}; got {quantity!r}")
    dialects = {"book": Dialect(QUANTITIES[quantity].book)} | QUANTITIES[quantity].dialects
    for name, dialect in (("source", source), ("target", target)):
        if dialect not in dialects:
            raise ValueError(
                f"{name} must be one of {', '.join(dialects)} for {quantity!r}; got {dialect!r}"
            )
    return dialects[target].from_book(dialects[source].to_book(value))


def table(*quantities: str) -> str:
    """The dictionary as Markdown: for each quantity its dialects, what they write, and examples.

    Without names: of all quantities. The numbers are computed by ``convert``.
    """
    lines = ["| quantity | dialect | written | examples |", "|---|---|---|---|"]
    for quantity in quantities or QUANTITIES:
        entry = QUANTITIES[quantity]
        rows = {"book": entry.book} | {name: d.symbol for name, d in entry.dialects.items()}
        for name, symbol in rows.items():
            values = [float(convert(quantity, v, "book", name)) for v in entry.examples]
            shown = ", ".join(f"{v + 0.0:.4g}" for v in values)  # + 0.0: no -0
            first = f"**{quantity}**" if name == "book" else ""
            lines.append(f"| {first} | {name} | {symbol} | {shown} |")
    return "\n".join(lines)


# --- the latent, the flow ------------------------------------------------------------------------

# What z_t = signal z0 + noise eps is divided by.
VARIABLES = {
    "book": lambda signal, noise: torch.ones_like(signal),
    "k-diffusion": lambda signal, noise: signal,  # z0 + sigma eps
    "flow (SD3)": lambda signal, noise: signal + noise,  # (1 - time) z0 + time eps
}


def rescaled(z: Tensor, alpha_bar, source: str, target: str) -> Tensor:
    """The noisy latent of one dialect in another: only its scale differs, at one noise level.

    Raises ValueError for a dialect that is not in VARIABLES.
    """
    for name, dialect in (("source", source), ("target", target)):
        if dialect not in VARIABLES:
            raise ValueError(f"{name} must be one of {', '.join(VARIABLES)}; got {dialect!r}")
    alpha_bar = torch.as_tensor(alpha_bar, dtype=torch.float64)
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    factor = VARIABLES[source](signal, noise) / VARIABLES[target](signal, noise)
    return z * factor.to(z.dtype)


def shifted(time, shift: float):
    """SD3's shift of a flow's time, shift time / (1 + (shift - 1) time): sigma becomes shift sigma.

    Esser et al. 2024 (arXiv 2403.03206), for larger pictures. Raises ValueError unless shift > 0.
    """
    if not shift > 0:
        raise ValueError(f"shift must be above 0; got {shift}: 1 changes nothing")
    return shift * time / (1 + (shift - 1) * time)


# --- names ---------------------------------------------------------------------------------------

PREDICTIONS = {"epsilon": EPS, "sample": Z0, "v_prediction": V, "flow_prediction": FLOW}
VARIANCES = {  # the variance of a DDPM step, as tables over t = 0..T
    "fixed_small": lambda schedule: schedule.posterior_variance,
    "fixed_large": lambda schedule: schedule.beta,
}
BETAS = {
    "linear": linear_betas,
    "scaled_linear": scaled_linear_betas,  # in the LDM and Stable Diffusion code: "linear"
    "squaredcos_cap_v2": cosine_betas,
    "sigmoid": sigmoid_betas,
}


def schedule_from_config(config: dict) -> DiscreteSchedule:
    """Our schedule from a scheduler_config.json of diffusers; what is missing has their default.

    Read are beta_schedule, beta_start, beta_end, num_train_timesteps, rescale_betas_zero_snr.
    Raises ValueError for an unknown beta_schedule.
    """
    name, T = config.get("beta_schedule", "linear"), config.get("num_train_timesteps", 1000)
    if name not in BETAS:
        raise ValueError(f"beta_schedule must be one of {', '.join(BETAS)}; got {name!r}")
    ends = (config.get("beta_start", 1e-4), config.get("beta_end", 0.02))
    betas = BETAS[name](T) if name == "squaredcos_cap_v2" else BETAS[name](T, *ends)
    return DiscreteSchedule(
        zero_terminal_snr(betas) if config.get("rescale_betas_zero_snr") else betas
    )


def spaced(T: int, steps: int, spacing: str, offset: int = 0) -> Tensor:
    """Our grid (steps+1,) for a timestep_spacing of diffusers' DDIM and DDPM: t + 1, then 0.

    "trailing" is our uniform grid up to the rounding of halves; "leading" starts below T and moves
    up by ``offset``; "linspace" has both ends of their table. Raises ValueError for another name,
    for 0 steps or more than T.
    """
    checks.count("steps", steps, T)
    if spacing == "leading":
        stops = np.arange(steps)[::-1] * (T // steps) + offset
    elif spacing == "linspace":
        stops = np.linspace(0, T - 1, steps).round()[::-1]
    elif spacing == "trailing":
        stops = np.round(T - np.arange(steps) * (T / steps)) - 1
    else:
        raise ValueError(f'spacing must be "leading", "linspace" or "trailing"; got {spacing!r}')
    return torch.tensor([*(int(stop) + 1 for stop in stops), 0])


def zero_based(net: Callable) -> Callable:
    """A network trained with t = 0..T-1, for ``network_denoiser``: it gets our t minus 1."""
    return lambda z_t, t, condition: net(z_t, t - 1, condition)
