"""Trainings that differ in one thing: what is written down before they are run, and what came out.

    plans.py             every plan: its question, its base, its variants, its seeds
    autoencoder_lab.py   one autoencoder of captioned shapes, trained and measured
    digits_lab.py        one denoiser of digits, trained and measured
    shapes_lab.py        one text-to-image denoiser, trained and measured
    surgery.py           networks with one part taken out
    brightness_lab.py    one denoiser of dark, grey and light pages
    flow_lab.py          one denoiser of digits on a schedule of its own
    dit_lab.py           a UNet or a transformer on the same latents
    few_steps_lab.py     students that walk in few steps

``python -m minildm ablate NAME`` runs a plan and writes section "ablation NAME" of
data/results.json, run by run, and pictures of each variant's first seed to data/ablations/. An
interrupted plan goes on where it stopped. A variant whose settings have changed is run again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from minildm.machine import surroundings
from minildm.pictures import pixels
from minildm.recipes import RESULTS, read_results, write_results
from minildm.settings import override, reseeded


class Outcome(NamedTuple):
    """What one training cost, in minutes of CPU, the figures of its result, and some pictures."""

    cpu_minutes: float
    figures: dict
    pictures: Tensor


@dataclass(frozen=True)
class Plan:
    """One question, and the trainings that are to answer it.

    question   what a reader would ask
    base       a frozen dataclass: the settings of the first variant
    variants   name -> what it changes, as ``--set`` takes it; the base itself has no changes
    run        trains one configuration and measures it
    seeds      each variant is trained once per seed; a seed decides weights, batches and noise
    minutes    the CPU time that one training may take
    """

    question: str
    base: Any
    variants: Mapping[str, Sequence[str]]
    run: Callable[[Any], Outcome]
    seeds: Sequence[int] = (0, 1)
    minutes: float = 10.0

    def config(self, variant: str, seed: int) -> Any:
        """The settings of one training. Raises ValueError for a variant that is not planned."""
        if variant not in self.variants:
            raise ValueError(f"no variant {variant!r}; there are {', '.join(self.variants)}")
        return override(reseeded(self.base, seed), self.variants[variant])


def outcomes(name: str, variant: str, *keys: str, path: str | Path = RESULTS) -> list:
    """What data/results.json says of a variant, seed by seed: figures[key][key].. of each run.

    Raises ValueError for a plan or variant without results, naming the command that makes them.
    """
    section = read_results(section_name(name), path)
    runs = section["variants"].get(variant, {}).get("runs", [])
    if not runs:
        raise ValueError(
            f"no results of {variant!r} in plan {name!r}; there are "
            f"{', '.join(v for v, found in section['variants'].items() if found['runs'])}; "
            f"python -m minildm ablate {name} makes them"
        )
    found = []
    for run in runs:
        for key in keys:
            run = run[key]
        found.append(run)
    return found


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What ``work`` returns, and the minutes of CPU time that it took, over all threads."""
    start = process_time()
    result = work()
    return result, (process_time() - start) / 60


def run_plan(
    name: str, plan: Plan, only: Sequence[str] = (), path: str | Path = RESULTS, report=print
) -> dict:
    """Run what is missing of a plan (``only`` these variants), and return its whole section."""
    for variant in only or plan.variants:
        for seed in plan.seeds:
            done = _section(name, plan, path)
            if any(run["seed"] == seed for run in done["variants"][variant]["runs"]):
                continue
            outcome = plan.run(plan.config(variant, seed))
            run = {"seed": seed, "cpu_minutes": round(outcome.cpu_minutes, 2), **outcome.figures}
            if outcome.cpu_minutes > plan.minutes:
                report(f"over its budget of {plan.minutes} minutes: {outcome.cpu_minutes:.1f}")
                run["over_budget"] = True
            done = _section(name, plan, path)  # again: others may have added runs
            done["variants"][variant]["runs"].append(run)
            done["variants"][variant]["runs"].sort(key=lambda run: plan.seeds.index(run["seed"]))
            if seed == plan.seeds[0]:
                _write_picture(outcome.pictures, picture(name, variant, Path(path).parent))
            write_results(section_name(name), {**done, **surroundings()}, path)
            report(f"{name}, {variant}, seed {seed}: {json.dumps(run)}")
    return _section(name, plan, path)


def picture(name: str, variant: str, folder: str | Path = RESULTS.parent) -> Path:
    """The file with pictures of a variant's first seed, beside data/results.json."""
    words = "".join(c if c.isalnum() or c == "." else "-" for c in f"{name} {variant}")
    return Path(folder) / "ablations" / f"{words}.png"


def _write_picture(x: Tensor, path: Path) -> None:
    """Images x (n, C, H, W) in [-1, 1] side by side, as one small PNG."""
    image = Image.fromarray(pixels(x, len(x)).numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def section_name(name: str) -> str:
    """The section of data/results.json that belongs to a plan."""
    return f"ablation {name}"


def _section(name: str, plan: Plan, path: str | Path) -> dict:
    """The section as it should be, with those runs of the file that still belong to the plan."""
    base = json.loads(json.dumps(asdict(plan.base)))
    try:
        found = read_results(section_name(name), path)
    except (ValueError, FileNotFoundError):
        found = {"base": base, "variants": {}}
    variants = {}
    for variant, changes in plan.variants.items():
        old = found["variants"].get(variant, {})
        same = found["base"] == base and old.get("changes") == list(changes)
        variants[variant] = {"changes": list(changes), "runs": old["runs"] if same else []}
    return {
        "command": f"python -m minildm ablate {name}",
        "question": plan.question,
        "minutes_allowed": plan.minutes,
        "seeds": list(plan.seeds),
        "base": base,
        "variants": variants,
    }
