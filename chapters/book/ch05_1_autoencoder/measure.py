"""What chapter 5.1 reads from the stored trainings, and one fit."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from book.ablations.engine import outcomes, picture


def over_seeds(plan: str, variants: Mapping[str, str], *keys: str) -> dict[str, list]:
    """The figure of each variant, seed by seed: label -> values; ``variants``: label -> name."""
    return {label: outcomes(plan, name, *keys) for label, name in variants.items()}


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
