"""What guidance does: accuracy, variety and colour of pictures for each guidance scale.

measure_guidance   the figures of chapter 5.5, section "guidance" of data/results.json
table              these, beside the accuracy on many captions, as text
variety            how different pictures of one caption are
"""

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from book import results
from book.ch05_5_text_to_image.measure_shapes import STEPS, Task, draw
from minildm.engine.devices import surroundings
from minildm.latent import LatentDiffusion
from minildm.shapes.judge import caption_accuracy, judge
from minildm.shapes.scenes import splits

SCALES = (0.0, 0.5, 1.0, 1.5, 2.5, 4.0, 7.0, 12.0)
CAPTIONS, DRAWN = 20, 6  # captions, and pictures of each


def measure_guidance(
    model: LatentDiffusion,
    seeds: Sequence[int] = (0, 1, 2),
    scales: Sequence[float] = SCALES,
    report=print,
    folder: str | Path | None = None,
) -> dict:
    """All figures for each guidance and seed: other validation captions for each seed.

    ``folder``: where the runs that are done are kept, None: where ``Runs`` keeps them.
    """
    settings = {"captions": CAPTIONS, "pictures": DRAWN, "steps": STEPS}
    done = results.Runs("guidance", settings, model, folder)
    figures = {
        "command": results.command("guidance", seeds),
        "captions": CAPTIONS, "pictures_of_each": DRAWN, "steps": STEPS,
        **surroundings(), "by_guidance": {},
    }  # fmt: skip
    for guidance in scales:
        figures["by_guidance"][str(guidance)] = runs = []
        for seed in seeds:
            go = partial(_run, model, guidance, seed)
            runs.append({"seed": seed, **done.get(f"{guidance}, seed {seed}", go, list)})
        means = {k: statistics.mean(run[k] for run in runs) for k in runs[0] if k != "seed"}
        report(f"guidance {guidance}: { {k: round(v, 3) for k, v in means.items()} }")
    done.forget()
    return figures


def _run(model: LatentDiffusion, guidance: float, seed: int) -> dict:
    """One seed's figures; "off": RMS distance to the exact drawing of the scene that was read, so
    that shapes and places agree and colours, contrast and edges are left."""
    rows = splits().validation[seed * CAPTIONS : (seed + 1) * CAPTIONS]
    rows = rows.repeat_interleave(DRAWN, dim=0)  # (CAPTIONS · DRAWN, 10)
    x = draw(model, Task(rows), guidance, seed)
    verdict = judge(x)
    accuracy = caption_accuracy(verdict, rows)
    return {
        "right": round(accuracy.joint, 4),
        "accepted": round(accuracy.accepted, 4),
        "variety": round(float(variety(x, DRAWN)), 4),
        "off": round(float(verdict.residual[verdict.accepted].mean()), 4),
        "size": round(float(model.encode(x).std()), 4),
    }


def table() -> str:
    """What data/results.json says of each guidance scale: a line for each.

    ``right`` is of as many captions as section "shapes" has (one picture each); where that sweep
    has no figure, it is in brackets, and of the captions of section "guidance".
    """
    swept = results.read_results("shapes")["guidance_on_validation"]
    priced = results.read_results("guidance")["by_guidance"]
    lines = ["   w    right    a clean scene   variety   off the palette   size of latents"]
    for w in sorted({*map(float, swept), *map(float, priced)}):
        runs = priced.get(str(w), [])
        means = {key: statistics.mean(run[key] for run in runs) for key in (runs or [{}])[0]}
        right = f" {swept[str(w)]:6.1%} " if str(w) in swept else f"({means['right']:6.1%})"
        line = f"{w:5.1f}  {right}"
        if runs:
            line += (f"     {means['accepted']:6.1%}       {means['variety']:.3f}"
                     f"        {means['off']:.3f}            {means['size']:.3f}")  # fmt: skip
        lines.append(line.rstrip())
    return "\n".join(lines)


def variety(x: Tensor, drawn: int) -> Tensor:
    """Mean RMS distance of two pictures of the same caption: a scalar.

    ``x`` (captions · drawn, C, H, W): ``drawn`` pictures of one caption, then of the next.
    Raises ValueError unless there are at least two of each.
    """
    if drawn < 2 or len(x) % drawn:
        raise ValueError(f"need at least 2 pictures of each caption; got {len(x)} in {drawn}s")
    flat = x.reshape(-1, drawn, x[0].numel())  # (captions, drawn, C·H·W)
    distance = torch.cdist(flat, flat) / x[0].numel() ** 0.5
    return distance.sum((1, 2)).mean() / (drawn * (drawn - 1))
