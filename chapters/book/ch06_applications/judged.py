"""Edited pictures, made in several ways, and what the judge says about them.

judge_edits  does an edited picture show exactly what was asked for, and what moved?
masks        four ways to say "this object"
tilings      the same noise with zeros at the border, and wrapped
ways         one attribute changed by a direction, by noise, by inversion
restored     a destroyed picture, drawn anew: plausible, and wrong
uncertain    the shares that a count leaves open
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from book.ch06_applications.editing import (
    MARGIN,
    Edits,
    circular,
    direction,
    edit_mask,
    edit_tasks,
    invert,
    object_mask,
    seam_error,
    whole_cells,
)
from minildm.latent import LatentDiffusion
from minildm.samplers import ddim, ddpm, dpmpp_2m
from minildm.shapes.judge import judge
from minildm.shapes.scenes import ATTRIBUTES, NAMES, Pictures, splits
from minildm.shapes.training import GUIDANCE

INPAINT = {"steps": 25, "sampler": ddpm, "guidance": GUIDANCE}  # chosen on validation scenes
QUICK = {"steps": 12, "sampler": dpmpp_2m, "guidance": GUIDANCE}
TWO_SIDED_95 = 1.96  # standard deviations
STAYED = 2  # pixels that an object may have moved and still stands where it was


class Outcome(NamedTuple):
    """What the judge says about n edited pictures; each (n,).

    right      bool: accepted, and exactly the scene that was asked for
    asked      bool: the attribute that shall change has the value asked for
    rest       bool: all nine other attributes are as they were
    unchanged  bool: accepted, and still the scene before the edit
    moved      pixels that the farther-moved of both objects stands away from where it was
    """

    right: Tensor
    asked: Tensor
    rest: Tensor
    unchanged: Tensor
    moved: Tensor

    def shares(self) -> dict[str, float]:
        """The mean of each, and how many stand where they were, as figures."""
        kept = self.right & (self.moved <= STAYED)
        means = {name: float(value.double().mean()) for name, value in self._asdict().items()}
        return {k: round(v, 4) for k, v in {**means, "right_and_in_place": mean(kept)}.items()}


def judge_edits(x: Tensor, edits: Edits) -> Outcome:
    """Let the judge read edited pictures x (n, 3, 64, 64).

    Raises ValueError unless there is one picture for each edit.
    """
    if len(x) != len(edits.rows):
        raise ValueError(f"give one picture for each of {len(edits.rows)} edits; got {len(x)}")
    verdict = judge(x)
    same = verdict.rows == edits.wanted  # (n, 10)
    changing = torch.arange(same.shape[1]) == edits.column[:, None]
    away = (verdict.places - edits.places).double().norm(dim=2).amax(1)  # (n,)
    before = (verdict.rows == edits.rows).all(1)
    return Outcome(
        same.all(1) & verdict.accepted,
        (same | ~changing).all(1),
        (same | changing).all(1),
        before & verdict.accepted,
        away,
    )


def masks(edits: Edits) -> dict[str, Tensor]:
    """Four ways to say "this object": name -> mask (n, 1, 64, 64)."""
    other = 1 - object_mask(edits.rows, edits.places, 1 - edits.which, margin=1)
    tight = object_mask(edits.rows, edits.places, edits.which)
    return {
        "its square": tight,
        f"{MARGIN} pixels more": object_mask(edits.rows, edits.places, edits.which, MARGIN) * other,
        "whole cells": whole_cells(tight) * other,
        f"whole cells of {MARGIN} pixels more": edit_mask(edits.rows, edits.places, edits.which),
    }


def tilings(model: LatentDiffusion, texts: Sequence[str], seed: int) -> dict[str, Tensor]:
    """The same noise and captions, with zeros at the border and with two kinds of wrapping."""
    draw = partial(model.text_to_image, texts, **QUICK, seed=seed)
    found = {"zeros": draw()}
    with circular(model.network):
        found["network wraps"] = draw()
    with circular(model.network, model.autoencoder.decoder):
        found["network and decoder wrap"] = draw()
    return found


def inner_jump(x: Tensor) -> Tensor:
    """``seam_error`` between neighbours, averaged over every place to cut the picture at: (n,)."""
    turned = [seam_error(x.roll((k, k), dims=(2, 3))) for k in range(1, x.shape[-1])]
    return torch.stack(turned).mean(0)


def turned(x: Tensor, stride: int = 4) -> Tensor:
    """Pictures x (n, C, H, W) on a torus, each rolled to where its border jumps least.

    There the border runs through background, and the judge can read what a picture shows.
    """
    places = [(i, j) for i in range(0, x.shape[2], stride) for j in range(0, x.shape[3], stride)]
    seams = torch.stack([_edges(x.roll(place, dims=(2, 3))) for place in places])  # (places, n)
    best = seams.argmin(0).tolist()
    return torch.stack(
        [image.roll(places[k], dims=(1, 2)) for image, k in zip(x, best, strict=True)]
    )


def _edges(x: Tensor) -> Tensor:
    """How much the border itself varies: its standard deviation, (n,)."""
    border = torch.cat([x[:, :, 0], x[:, :, -1], x[..., 0], x[..., -1]], dim=2)  # (n, C, 4·64)
    return border.std(2).mean(1)


def ways(
    model: LatentDiffusion,
    edits: Edits,
    scenes: int = 400,
    strength: float = 0.7,
    length: float = 1.0,
) -> dict[str, Tensor]:
    """Edited pictures, way -> x. All edits must ask for the same change, as CHANGES do.

    The directions are means over so many ``scenes`` of the training split, times ``length``.
    """
    column = int(edits.column[0])
    before, after = (ATTRIBUTES[column][int(r[0, column])] for r in (edits.rows, edits.wanted))
    names = (NAMES[column].split()[0],)
    shown = edit_tasks(splits().train, scenes, seed=8, names=names, only=(before, after))
    z, texts = model.encode(edits.x), edits.texts()
    touched = object_mask(edits.rows, edits.places, edits.which)
    touched = F.adaptive_max_pool2d(touched, z.shape[2:])
    if column == 0:
        touched = torch.ones_like(touched)  # the background is everywhere
    z_T = invert(model, edits.x, edits.texts(after=False))
    return {
        "direction": model.decode(z + length * direction(model, shown)),
        "direction in the object's cells": model.decode(
            z + length * touched * direction(model, shown, cells=True)
        ),
        "image to image": model.image_to_image(
            edits.x, texts, strength, **{**QUICK, "steps": 20}, seed=0
        ),
        "inversion": model.text_to_image(texts, z_T=z_T, steps=25, sampler=ddim, guidance=GUIDANCE),
    }


def restored(model: LatentDiffusion, pictures: Pictures, seed: int) -> tuple[Tensor, dict]:
    """The pictures, destroyed and drawn anew without a caption: (2, n, 3, 64, 64), and figures.

    invented: the share of accepted pictures that show another scene than the true one.
    """
    x = pictures[:]
    blurred = F.interpolate(F.avg_pool2d(x, 8), scale_factor=8, mode="bilinear")
    drawn = model.image_to_image(blurred, None, 0.5, steps=20, sampler=dpmpp_2m, seed=seed)
    verdict = judge(drawn)
    wrong = (verdict.rows != pictures.rows)[verdict.accepted]  # (accepted, 10)
    by_name = dict(zip(NAMES, (mean(column) for column in wrong.T), strict=True))
    figures = {
        "accepted": mean(verdict.accepted),
        "accepted_before": mean(judge(blurred).accepted),
        "invented": mean(wrong.any(1)),
        "wrong_by_name": by_name,
    }
    return torch.stack([blurred, drawn]), figures


def uncertain(share: float, tries: int) -> str:
    """The shares that ``share`` of so many tries leaves open: "71% to 92%" (Wilson, 95 %)."""
    p, z2 = share, TWO_SIDED_95**2
    middle = p + z2 / (2 * tries)
    half = TWO_SIDED_95 * (p * (1 - p) / tries + z2 / (4 * tries**2)) ** 0.5
    low, high = ((middle + sign * half) / (1 + z2 / tries) for sign in (-1, 1))
    return f"{max(0.0, low):.0%} to {min(1.0, high):.0%}"


def mean(values: Tensor) -> float:
    """The mean, as a figure."""
    return round(float(values.double().mean()), 4)
