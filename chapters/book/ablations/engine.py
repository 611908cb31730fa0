"""Trainings that differ in one thing: what is written down before they are run, and what came out.

    plans.py             every plan: its question, its base, its variants, its seeds
    autoencoder_lab.py   one autoencoder of captioned shapes, trained and measured
    digits_lab.py        one denoiser of digits, trained and measured
    shapes_lab.py        one text-to-image denoiser, trained and measured
    surgery.py           networks with one part taken out
    brightness_lab.py    one denoiser of dark, grey and light pages
    flow_lab.py          one denoiser of digits on a schedule of its own
    dit_lab.py           a UNet or a transformer on the same latents
    relatives_lab.py     the VAE, the GAN and the diffusion model of chapter 1, on digits
    few_steps_lab.py     students that walk in few steps
    mean_flow_lab.py     one step without a teacher
    times_lab.py         a flow's times: where it is trained, and where its walk stops
    autoguidance_lab.py  a worse network that guides the shipped one

``python tools/experiments.py ablate NAME`` runs a plan and writes section "ablation NAME" of
outputs/results.json, run by run, and pictures of each variant's first seed to outputs/ablations/
(those of the book are in data/). An interrupted plan goes on where it stopped. A variant whose
settings have changed is run again, and so is all that was run with other models of the book.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from book.display import pixels
from book.results import OUT, RESULTS, change_results, read_results, writable
from minildm.engine.devices import surroundings
from minildm.engine.settings import override, reseeded
from minildm.files.checkpoint import replace_files
from minildm.files.places import homes

# The models of the book that plans start from, judge with or are compared with. No plan uses the
# one of emoji: it may be trained anew without a figure here being in doubt.
USED = ("digit_classifier", "digits", "pixels", "shape_reader", "shapes")


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
            f"python tools/experiments.py ablate {name} --out {path} makes them"
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
    name: str, plan: Plan, only: Sequence[str] = (), path: str | Path = OUT, report=print
) -> dict:
    """Run what is missing of a plan (``only`` these variants), and return its whole section.

    Raises ValueError, before anything is run, for a variant that is not planned and a ``path``
    where no figures can be written.
    """
    path = writable(path)
    for variant in only:
        plan.config(variant, plan.seeds[0])
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
            if seed == plan.seeds[0]:
                _write_picture(outcome.pictures, picture(name, variant, path.parent))
            _add(name, plan, variant, run, path)
            report(f"{name}, {variant}, seed {seed}: {json.dumps(run)}")
    return _section(name, plan, path)


def _add(name: str, plan: Plan, variant: str, run: dict, path: Path) -> None:
    """Put one run into the file, beside those that other processes have added meanwhile."""

    def change(found: dict | None) -> dict:
        done = _fitting(name, plan, found)
        runs = [r for r in done["variants"][variant]["runs"] if r["seed"] != run["seed"]]
        runs = sorted([*runs, run], key=lambda run: plan.seeds.index(run["seed"]))
        done["variants"][variant]["runs"] = runs
        return {**done, "models": models_digest(), **surroundings()}

    change_results(section_name(name), change, path)


def picture(name: str, variant: str, folder: str | Path = RESULTS.parent) -> Path:
    """The file with pictures of a variant's first seed, beside data/results.json."""
    words = "".join(c if c.isalnum() or c == "." else "-" for c in f"{name} {variant}")
    return Path(folder) / "ablations" / f"{words}.png"


def _write_picture(x: Tensor, path: Path) -> None:
    """Images x (n, C, H, W) in [-1, 1] side by side, as one small PNG."""
    image, data = Image.fromarray(pixels(x, len(x))), io.BytesIO()
    image.quantize(64, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_files(path.parent, {path.name: data.getvalue()})


def models_digest() -> str:
    """One short text for the weights of the models ``USED``, as they are now."""
    files = [homes()[0] / name / "model.safetensors" for name in USED]
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:16]


def section_name(name: str) -> str:
    """The section of data/results.json that belongs to a plan."""
    return f"ablation {name}"


def _section(name: str, plan: Plan, path: str | Path) -> dict:
    """The section as it should be, with those runs of the file that still belong to the plan."""
    try:
        found = read_results(section_name(name), path)
    except (ValueError, FileNotFoundError):
        found = None
    return _fitting(name, plan, found)


def _fitting(name: str, plan: Plan, found: dict | None) -> dict:
    """The section with those runs of ``found`` that still belong to the plan."""
    base, found = json.loads(json.dumps(asdict(plan.base))), found or {}
    models = found.get("models", models_digest())  # sections of before they were noted have none
    variants = {}
    for variant, changes in plan.variants.items():
        old = found.get("variants", {}).get(variant, {})
        same = found.get("base") == base and old.get("changes") == list(changes)
        same = same and models == models_digest()
        variants[variant] = {"changes": list(changes), "runs": old["runs"] if same else []}
    return {
        "command": f"python tools/experiments.py ablate {name}",
        "question": plan.question,
        "minutes_allowed": plan.minutes,
        "seeds": list(plan.seeds),
        "base": base,
        "variants": variants,
    }
