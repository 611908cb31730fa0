"""All figures of chapter 1 over seeds: sections "background" and "background-tuning".

Each training is kept as soon as it is done: an interrupted measurement goes on there.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import process_time

from book import results
from book.ch01_background.comparison import (
    CHOSEN,
    MODES,
    NOTED,
    RADIUS,
    SAMPLES,
    STD,
    WIDTH,
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
from minildm.engine.devices import surroundings

TUNING_SEEDS = (100, 101)  # never used again
STEPS = (1, 2, 3, 5, 10, 25, 50)  # of the diffusion model's sampler


def tune(
    seeds: Sequence[int] = TUNING_SEEDS, report=print, folder: str | Path | None = None
) -> dict:
    """Every candidate of each model, once per seed: how good it is, and which is chosen.

    ``folder``: where the runs that are done are kept, None: where ``Runs`` keeps them.
    """
    done, table = results.Runs("tuning", _settings(), folder=folder), {}
    for name, options in candidates().items():
        for label, candidate in options.items():
            table.setdefault(name, {})[label] = [
                done.get(f"{name}, {label}, seed {s}", partial(_tried, candidate, s), report)
                for s in seeds
            ]
    done.forget()
    return {
        "command": results.command("background-tuning", seeds),
        "rule": "smallest mean sliced Wasserstein distance",
        "best": {name: best(rows) for name, rows in table.items()},
        "models": table,
        **surroundings(),
    }


def best(rows: dict[str, list[dict]]) -> str:
    """The label whose runs have the smallest mean distance."""
    return min(rows, key=lambda label: sum(run["distance"] for run in rows[label]))


def measure_background(
    seeds: Sequence[int], report=print, folder: str | Path | None = None
) -> dict:
    """The chosen candidate of each model, trained once per seed, with other points each time.

    ``folder``: where the runs that are done are kept, None: where ``Runs`` keeps them.
    """
    done, models = results.Runs("background", [CHOSEN, _settings()], folder=folder), {}
    for name in CHOSEN:
        runs = [
            {"seed": s, **done.get(f"{name}, seed {s}", partial(measure_one, name, s), report)}
            for s in seeds
        ]
        models[name] = {"settings": CHOSEN[name], "runs": runs}
    done.forget()
    return {
        "command": results.command("background", seeds),
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


def _settings() -> list:
    """Everything that the figures depend on, but the seed."""
    tried = {
        name: {label: repr(candidate.settings) for label, candidate in options.items()}
        for name, options in candidates().items()
    }
    return [MODES, RADIUS, STD, SAMPLES, NOTED, WIDTH, STEPS, tried]


def _tried(candidate, seed: int) -> dict:
    return rounded(judge(samples(run(candidate, seed).model)))

