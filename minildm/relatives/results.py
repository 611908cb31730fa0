"""All figures of chapter 1 over seeds: sections "background" and "background-tuning".

Each training is kept in a file as soon as it is done: an interrupted measurement goes on there.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import process_time

from minildm.machine import surroundings
from minildm.relatives.comparison import (
    CHOSEN,
    MODES,
    NOTED,
    RADIUS,
    SAMPLES,
    STD,
    candidates,
    chosen,
    cost,
    held_out,
    judge,
    largest_fall,
    nats,
    noted,
    rounded,
    run,
    samples,
)

TUNING_SEEDS = (100, 101)  # never used again
STEPS = (1, 2, 3, 5, 10, 25, 50)  # of the diffusion model's sampler
KEPT = Path(tempfile.gettempdir())


def tune(seeds: Sequence[int] = TUNING_SEEDS, report=print, kept: Path = KEPT) -> dict:
    """Every candidate of each model, once per seed: how good it is, and which is chosen."""
    done, table = _Kept(kept / "minildm-tuning.jsonl"), {}
    for name, options in candidates().items():
        for label, candidate in options.items():
            for seed in seeds:
                key = f"{name}, {label}, seed {seed}"
                if key not in done.found:
                    figures = rounded(judge(samples(run(candidate, seed).model)))
                    done.add(key, figures)
                    report(f"{key}: {json.dumps(figures)}")
            runs = [done.found[f"{name}, {label}, seed {seed}"] for seed in seeds]
            table.setdefault(name, {})[label] = runs
    return {
        "command": f"python -m minildm measure background-tuning --seeds {_words(seeds)}",
        "rule": "smallest mean sliced Wasserstein distance",
        "best": {name: best(rows) for name, rows in table.items()},
        "models": table,
        **surroundings(),
    }


def best(rows: dict[str, list[dict]]) -> str:
    """The label whose runs have the smallest mean distance."""
    return min(rows, key=lambda label: sum(run["distance"] for run in rows[label]))


def measure_background(seeds: Sequence[int], report=print, kept: Path = KEPT) -> dict:
    """The chosen candidate of each model, trained once per seed, with other points each time."""
    done, models = _Kept(kept / "minildm-background.jsonl"), {}
    for name in CHOSEN:
        for seed in seeds:
            if f"{name}, seed {seed}" not in done.found:
                done.add(f"{name}, seed {seed}", measure_one(name, seed))
                report(f"{name}, seed {seed}: {done.found[f'{name}, seed {seed}']}")
        models[name] = {
            "settings": CHOSEN[name],
            "runs": [{"seed": seed, **done.found[f"{name}, seed {seed}"]} for seed in seeds],
        }
    return {
        "command": f"python -m minildm measure background --seeds {_words(seeds)}",
        "data": {"modes": MODES, "radius": RADIUS, "std": STD},
        "samples": SAMPLES, "samples_on_the_way": NOTED,
        **surroundings(), "models": models,
    }  # fmt: skip


def measure_one(name: str, seed: int) -> dict:
    """One training and all its figures."""
    start = process_time()
    trained = run(chosen()[name], seed, noted)
    figures = {
        "cpu_seconds": round(process_time() - start, 1),
        **rounded(judge(samples(trained.model, seed=seed))),
        "steps": trained.steps,
        "curve": [round(value, 3) for value in trained.curve],
        "largest fall": round(largest_fall(trained.curve), 3),
        "nats": rounded(nats(trained.model, held_out())),
    }
    if name == "diffusion":
        figures["by_steps"] = {
            str(n): rounded(judge(samples(trained.model, seed=seed, steps=n))) for n in STEPS
        }
    return {**figures, "cost": rounded(cost(trained.model), 3)}


class _Kept:
    """Runs that are done, in a file of one line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.found = dict(json.loads(line) for line in lines)

    def add(self, key: str, figures: dict) -> None:
        self.found[key] = figures
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, figures]) + "\n")


def _words(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))
