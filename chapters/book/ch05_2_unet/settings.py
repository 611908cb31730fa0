"""The settings of trainings as a table, read from their recipes: a column for each recipe."""

import dataclasses
from collections.abc import Mapping
from typing import Any

LINES = {
    "model.factor": "H / h, how often a side is divided",
    "model.patch": "of that, by space to depth",
    "model.latent_channels": "c, channels of the latent",
    "model.width": "channels of the first level",
    "model.multipliers": "channels of each level, in widths",
    "model.classes": "labels, beside \"no label\"",
    "kl": "weight of the pull (3.2)",
    "parameterization": "what is asked for",
    "min_snr": "limit of the min-SNR weight",
    "snr_floor": "floor of that weight",
    "drop": "share of labels that are hidden",
    "fit.optimizer": "the optimiser",
    "fit.lr": "highest learning rate",
    "fit.warmup": "steps until it is reached",
    "fit.schedule": "how it falls afterwards, to 0",
    "fit.weight_decay": "of the optimiser",
    "fit.clip": "largest norm of the gradient",
    "fit.batch": "samples of a step",
    "fit.steps": "steps",
    "fit.ema": "decay of the average of the weights",
}


def setting(recipe: Any, key: str) -> Any:
    """The value at "part.part.name" of a dataclass of dataclasses; None where there is none."""
    for name in key.split("."):
        if not any(field.name == name for field in dataclasses.fields(recipe)):
            return None
        recipe = getattr(recipe, name)
    return recipe


def settings_table(recipes: Mapping[str, Any]) -> str:
    """A line for each of LINES, a column for each recipe (title -> recipe), and what it means."""
    rows = [f"{'':16}" + "".join(f"{title:>13}" for title in recipes)]
    for key, meaning in LINES.items():
        values = [_text(setting(recipe, key)) for recipe in recipes.values()]
        rows.append(f"{key.split('.')[-1]:16}" + "".join(f"{v:>13}" for v in values)
                    + f"   {meaning}")  # fmt: skip
    return "\n".join(rows)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
