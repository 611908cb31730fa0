"""What is said of latent diffusion in adjectives, as numbers from data/results.json.

A verdict is computed, not written: each row says what would have to be true, and asks the figures.
A claim about trainings needs ``ENOUGH`` of them, or the verdict is ``UNDECIDED``. That something
can be done, one model shows.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from book.results import read_results

GOOD = 0.15  # a distance to the data below which a training counts as good
ENOUGH = 5  # trainings with different seeds
HOLDS, PARTLY, FAILS = "holds", "holds with a but", "fails on this evidence"
UNDECIDED = "cannot tell"


class Row(NamedTuple):
    """An adjective, what was measured, what that stands on, the verdict, where it is shown."""

    adjective: str
    measured: str
    stands_on: str
    verdict: str
    shown: str


def verdict(claim: bool, qualified: bool = False, trainings: int = ENOUGH) -> str:
    """``FAILS`` unless the claim is true; ``PARTLY`` where something must be said beside it;
    ``UNDECIDED`` from fewer than ``ENOUGH`` trainings.
    """
    if trainings < ENOUGH:
        return UNDECIDED
    return (PARTLY if qualified else HOLDS) if claim else FAILS


def rows(read: Callable[[str], dict] = read_results) -> list[Row]:
    """All rows."""
    models = {name: m["runs"] for name, m in read("background")["models"].items()}
    tried = {
        name: [run for label, runs in options.items() for run in runs if "EPS" not in label]
        for name, options in read("background-tuning")["models"].items()
    }
    return [
        _stable(models, tried), _collapse(models, tried), _diverse(models), _sharp(models),
        _text(read("shapes")), _efficient(read("pixels")), _control(read("editing")["attributes"]),
        _slow(models), _detail(read("ablation autoencoder")["variants"]),
        _pairs(read("ablation text-to-image")["variants"]),
    ]  # fmt: skip


def _stable(models: dict, tried: dict) -> Row:
    """Stable at its best settings; qualified where a relative is, too."""
    worst = {name: max(run["distance"] for run in runs) for name, runs in models.items()}
    good = {name: sum(run["distance"] < GOOD for run in runs) for name, runs in tried.items()}
    text = "largest distance: " + _list(worst, ".2f")
    text += "; settings that work: " + ", ".join(
        f"{said} {good[name]} of {len(tried[name])}"
        for name, said in (("GAN, R1", "GAN + R1"), ("diffusion", "diffusion"))
    )
    calm = worst["diffusion"] < GOOD and max(r["largest fall"] for r in models["diffusion"]) < 1
    return Row("stable training", text, _seeds(models) + ", and the search (predicting v)",
               verdict(calm, worst["GAN, R1"] < GOOD, _count(models)), "1.6")  # fmt: skip


def _collapse(models: dict, tried: dict) -> Row:
    """Over seeds and settings. Qualified where a relative of one step does not collapse, either."""
    least = {name: min(run["effective modes"] for run in runs) for name, runs in models.items()}
    worst = {name: min(run["effective modes"] for run in runs) for name, runs in tried.items()}
    text = "fewest effective modes of 8: " + _list(worst, ".1f")
    holds = least["diffusion"] > 7.5 and worst["diffusion"] > 7 and worst["GAN"] < 4
    stands = f"the search, {sum(map(len, tried.values()))} trainings (predicting v)"
    return Row("not prone to mode collapse", text, stands,
               verdict(holds, worst["VAE"] > 7, _count(models)), "1.6")  # fmt: skip


def _diverse(models: dict) -> Row:
    """Qualified where the relatives are as even."""
    even = {name: mean(run["effective modes"] for run in runs) for name, runs in models.items()}
    text = "effective modes of 8: " + _list(even, ".2f")
    others = max(n for name, n in even.items() if name != "diffusion")
    return Row("diverse", text, _seeds(models),
               verdict(even["diffusion"] > 7.9, others > 7.5, _count(models)), "1.5")  # fmt: skip


def _sharp(models: dict) -> Row:
    """Sharper than the relatives; qualified where it falls short of the data."""
    near = {name: mean(run["near a mode"] for run in runs) for name, runs in models.items()}
    text = "samples near a mode: " + _list(near, ".0%")
    best = near["diffusion"] > max(near["VAE"], near["GAN"], near["GAN, R1"])
    return Row("sharp", text + " (data 99%)", _seeds(models),
               verdict(best, near["diffusion"] < 0.98, _count(models)), "1.5")  # fmt: skip


def _text(pictures: dict) -> Row:
    unseen = pictures["unseen_captions"]
    joint, drawn = unseen["joint"]["mean"], len(unseen["runs"]) * pictures["captions"]
    text = f"{joint:.0%} of pictures of unseen captions are right in everything asked for"
    return Row("can draw what a text says", text, f"1 model, {drawn:,} pictures",
               verdict(joint > 0.95), "5.5")  # fmt: skip


def _efficient(spaces: dict) -> Row:
    work, time = (
        spaces["pixels"][name] / spaces["latents"][name]
        if name == "gflop_per_image"
        else spaces["pixels"][name]["median"] / spaces["latents"][name]["median"]
        for name in ("gflop_per_image", "seconds_for_16_images")
    )
    text = f"latents against pixels: {work:.1f} times fewer operations, {time:.1f} times less time"
    return Row("efficient", text, "counted for one picture of 64 × 64",
               verdict(work > 1.5 and time > 1.2, work < 5), "1.9, 3.7")  # fmt: skip


def _control(attributes: dict) -> Row:
    by_text = attributes["colour"]["inversion"]["right"]
    along = max(kind["direction"]["right"] for kind in attributes.values())
    text = f"another colour, asked for in words: {by_text:.0%} right; by a direction: {along:.0%}"
    return Row("can be controlled", text, "1 model", verdict(by_text > 0.9, along < 0.5), "2.9, 6")


def _slow(models: dict) -> Row:
    """One evaluation draws nothing of use; qualified where ten are as good as the best relative."""
    walks = [run["by_steps"] for run in models["diffusion"]]
    near = {int(n): mean(walk[n]["near a mode"] for walk in walks) for n in walks[0]}
    rival = mean(run["near a mode"] for run in models["GAN, R1"])
    enough = min((n for n, share in near.items() if share >= rival), default=max(near))
    text = f"{near[1]:.0%} near a mode after one evaluation, {enough} to be as good as GAN + R1"
    return Row("slow", text, _seeds(models),
               verdict(near[1] < rival / 2, enough <= 10, _count(models)), "1.8, 5.4")  # fmt: skip


def _detail(variants: dict) -> Row:
    names = ("factor 4", "factor 8", "factor 16")
    read = {name: [run["read"] for run in variants[name]["runs"]] for name in names}
    text = "scenes readable after the round trip: " + ", ".join(
        f"{min(shares):.0%} to {max(shares):.0%} at {name}" for name, shares in read.items()
    )
    count = min(map(len, read.values()))
    clear = max(read["factor 16"]) < 0.5 * min(read["factor 8"])
    qualified = min(read["factor 4"]) > 0.99
    return Row("limited in detail", text, f"{count} trainings each",
               verdict(clear, qualified, count), "5.1")  # fmt: skip


def _pairs(variants: dict) -> Row:
    names = {"100": "100 pictures", "1,000": "1000 pictures", "5,000": "5000 pictures",
             "20,000": "base"}  # fmt: skip
    right = {n: [run["captions"]["joint"] for run in variants[v]["runs"]] for n, v in names.items()}
    text = "right with " + ", ".join(
        f"{n} pictures: {min(v):.0%} to {max(v):.0%}" for n, v in right.items()
    )
    count = min(map(len, right.values()))
    needed = mean(right["1,000"]) < mean(right["20,000"]) - 0.1
    return Row("needs many thousands of captioned pictures", text, f"{count} trainings each",
               verdict(needed, trainings=count), "5.3, 5.5")  # fmt: skip


def table(of: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = "| it is | measured | stands on | verdict | shown in |\n|---|---|---|---|---|\n"
    return head + "\n".join(
        f"| {r.adjective} | {r.measured} | {r.stands_on} | **{r.verdict}** | {r.shown} |"
        for r in of
    )


def mean(values) -> float:
    """The mean of any numbers."""
    return statistics.mean(values)


def _count(models: dict) -> int:
    """How often each model was trained, at least."""
    return min(map(len, models.values()))


def _list(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{name.replace(', ', ' + ')} {v:{form}}" for name, v in values.items())


def _seeds(models: dict) -> str:
    return f"{_count(models)} trainings each"
