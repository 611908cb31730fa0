"""What chapter 5.1 reads from the stored trainings, and one fit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from book.ablations.engine import outcomes, picture
from book.ablations.verdict import verdict
from book.results import RESULTS

SIZES = (1 / 16, 1 / 4, 1 / 2, 1, 2, 4, 16)


def scale_series(figure: str, path: str | Path = RESULTS) -> dict[str, dict[float, list]]:
    """Series -> size of the latents -> what was measured, seed by seed, without guidance.

    "as they come", and the control "normalised", of plan digits-scale; size 1 is the same training
    in both.
    """

    def series(ending: str) -> dict[float, list]:
        names = {k: "base" if k == 1 else f"scale {k:g}{ending}" for k in SIZES}
        return {
            k: outcomes("digits-scale", name, "plain", figure, path=path)
            for k, name in names.items()
        }

    return {"as they come": series(""), "normalised": series(", normalised")}


def size_table(title: str, found: Mapping[str, Mapping[float, Sequence[float]]], form: str) -> str:
    """A line for each size: both series of ``scale_series``, and verdicts on each."""
    raw, control = found["as they come"], found["normalised"]
    head = "as they come    against 1     normalised      against 1     against as it comes"
    lines = [f"{title:17s}{head}"]
    for k, values in raw.items():
        line = f"{k:9g} times  {band(values, form):16s}"
        if k != 1:
            line += f"{verdict(values, raw[1]):14s}{band(control[k], form):16s}"
            line += f"{verdict(control[k], raw[1]):14s}{verdict(control[k], values)}"
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def band(values: Sequence[float], form: str = ".1%") -> str:
    """Smallest to largest, in words."""
    return f"{min(values):{form}} to {max(values):{form}}"


def stored_pictures(plan: str, variants: Sequence[str], count: int) -> Tensor:
    """The first pictures of each variant, as stored: (variants · count, 3, H, W) in [-1, 1]."""
    return torch.cat([_strip(plan, variant)[:count] for variant in variants])


def _strip(plan: str, variant: str) -> Tensor:
    """All stored pictures of a variant: tiles of H + 2 pixels in one row -> (n, 3, H, W)."""
    strip = torch.from_numpy(np.array(Image.open(picture(plan, variant)).convert("RGB")))
    side = strip.shape[0]
    tiles = strip.reshape(side, -1, side, 3).permute(1, 3, 0, 2)
    return tiles[:, :, 1:-1, 1:-1] / 127.5 - 1


def explained(y: Tensor, by: Tensor) -> Tensor:
    """Share of the variance of y (n, k) that a straight line in ``by`` (n, m) has: (k,)."""
    design = torch.cat([by, torch.ones(len(by), 1)], dim=1)  # with an offset
    fitted = design @ torch.linalg.lstsq(design, y).solution
    return 1 - (y - fitted).var(0) / y.var(0)
