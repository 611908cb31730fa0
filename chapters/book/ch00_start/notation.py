"""The notation of the book: each symbol, its name in the code, where that lives, what it means.

    SYMBOLS      one entry per symbol, in the order in which they are met
    FIRST        those that the first page needs
    deviations   how far the tables of a schedule are from the definitions written here
    table        symbols as Markdown: all of them are docs/notation.md, made by tools/pages.py

The definitions are computed anew from the betas, as plainly as they are printed, and not by
schedule.py, whose tables they check.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from minildm.schedule import DiscreteSchedule


class Symbol(NamedTuple):
    """``where``: "module.thing" in minildm that has ``code`` as attribute, field or argument.

    ``defined``: betas with beta_0 = 0 in front (T+1,) -> the table of this symbol (T+1,).
    """

    latex: str
    code: str
    where: str
    meaning: str
    shape: str
    defined: Callable[[Tensor], Tensor] | None = None


def alpha_bar(beta: Tensor) -> Tensor:
    """The product of the 1 - beta_i, i <= t."""
    return (1 - beta).cumprod(0)


def snr(beta: Tensor) -> Tensor:
    """signal^2 / noise^2; infinite for clean data."""
    return alpha_bar(beta) / (1 - alpha_bar(beta))


def posterior_variance(beta: Tensor) -> Tensor:
    """beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t); 0 where there is no noise to take away."""
    left = 1 - alpha_bar(beta)  # noise^2
    return torch.cat([torch.zeros_like(beta[:1]), beta[1:] * left[:-1] / left[1:]])


SCHEDULE = "schedule.DiscreteSchedule"
TABLE = "(T+1,), float64"

SYMBOLS = (
    Symbol(
        "x", "x", "latent.LatentDiffusion.encode",
        "an image, with values from −1 to 1; in chapter 1 a point of the data", "(B, C, H, W)",
    ),
    Symbol(
        "z_0", "z0", "process.diffuse",
        "a clean latent, scaled to standard deviation 1; in 2-D chapters a point",
        "(B, c, h, w) or (B, d)",
    ),
    Symbol("z_t", "z_t", "process.posterior", "a noisy latent, at time t", "like z0"),
    Symbol(
        r"\epsilon", "eps", "process.diffuse",
        "noise from the standard normal distribution", "like z0",
    ),
    Symbol("T", "T", SCHEDULE, "the last time: (almost) nothing but noise", "integer, often 1000"),
    Symbol(
        "t", "t", "process.diffuse", "the time, 1 to T; 0 is clean data", "int64, one or (B,)"
    ),
    Symbol(
        "s", "s", "process.posterior", "an earlier time, s < t: closer to the data", "like t"
    ),
    Symbol(
        r"\beta_t", "beta", SCHEDULE,
        "variance of the noise that step t adds; β₀ = 0", TABLE,
    ),
    Symbol(r"\alpha_t = 1 - \beta_t", "alpha", SCHEDULE,
        "share of the signal's power that step t keeps", TABLE, lambda beta: 1 - beta,
    ),
    Symbol(r"\bar\alpha_t = \prod_{i \le t} \alpha_i", "alpha_bar", SCHEDULE,
        "share of the signal's power that is left; ᾱ₀ = 1", TABLE, alpha_bar,
    ),
    Symbol(r"\sqrt{\bar\alpha_t}", "signal", "predict.Parameterization.solve",
        "factor of the signal, also a or aₜ: z_t = signal · z0 + noise · eps", "float64, like t",
        lambda beta: alpha_bar(beta).sqrt(),
    ),
    Symbol(r"\sqrt{1 - \bar\alpha_t}", "noise", "predict.Parameterization.solve",
        "factor of the noise, also b or bₜ; signal² + noise² = 1", "float64, like t",
        lambda beta: (1 - alpha_bar(beta)).sqrt(),
    ),
    Symbol(r"\mathrm{SNR}_t = \bar\alpha_t / (1 - \bar\alpha_t)", "snr", SCHEDULE,
        "signal-to-noise ratio, of powers", TABLE, snr,
    ),
    Symbol(r"\sigma_t^2 = \beta_t \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}",
        "posterior_variance", SCHEDULE,
        "variance of z at t−1, given z_t and z0; exactly 0 at t = 1", TABLE, posterior_variance,
    ),
    Symbol(r"\hat z_0", "z0", "denoise.Denoised", "the clean latent, as a denoiser estimates it",
        "like z0",
    ),
    Symbol(r"\hat\epsilon", "eps", "denoise.Denoised",
        "all the noise in z_t, as a denoiser estimates it", "like z0",
    ),
    Symbol(r"v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1-\bar\alpha_t}\,z_0", "V", "predict",
        "what most of our networks predict; ẑ₀ and ε̂ follow from it", "like z0",
    ),
    Symbol("w", "guidance", "denoise.guided",
        "guidance scale: 0 ignores the text, 1 follows it, more exaggerates", "number",
    ),
    Symbol(r"\eta", "eta", "samplers.ddim",
        "fresh noise of a sampler: 0 none, 1 as much as DDPM", "number",
    ),
)  # fmt: skip


def deviations(schedule: DiscreteSchedule) -> dict[str, float]:
    """Code name -> largest relative difference from its definition, over t = 0..T.

    0 where the two agree in every digit; where both are infinite, or both 0, they agree.
    """
    times = torch.arange(schedule.T + 1)
    signal, noise = schedule(times)
    found = {}
    for symbol in SYMBOLS:
        if symbol.defined is None:
            continue
        ours = {"signal": signal, "noise": noise}.get(symbol.code)
        ours = getattr(schedule, symbol.code) if ours is None else ours
        wanted = symbol.defined(schedule.beta)
        off = (ours - wanted).abs() / wanted.abs().clamp(min=1e-300)
        found[symbol.code] = float(torch.where(ours == wanted, 0.0, off).max())
    return found


FIRST = tuple(
    symbol
    for symbol in SYMBOLS
    if symbol.latex in ("x", "z_0", "z_t", r"\epsilon", "t", r"\hat z_0")
    or symbol.code in ("signal", "noise")
)


def table(symbols: Sequence[Symbol] = SYMBOLS) -> str:
    """Symbols as a Markdown table."""
    head = ["| symbol | in code | meaning | shape | lives in |", "|---|---|---|---|---|"]
    row = "| ${0.latex}$ | `{0.code}` | {0.meaning} | {0.shape} | `{0.where}` |"
    return "\n".join([*head, *map(row.format, symbols)])
