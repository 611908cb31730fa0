"""The article's adjectives (sections 1 and 3.3) as numbers from data/results.json.

A verdict is computed, not written: each row says what would have to be true, and asks the figures.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from book.results import read_results

GOOD = 0.15  # a distance to the data below which a training counts as good
HOLDS, PARTLY, FAILS = "holds", "holds with a qualification", "fails on this evidence"


class Row(NamedTuple):
    """An adjective, the article's words, what was measured, the verdict, where it is shown."""

    adjective: str
    words: str
    measured: str
    verdict: str
    shown: str


def verdict(claim: bool, qualified: bool = False) -> str:
    """``FAILS`` unless the claim is true; ``PARTLY`` where something must be said beside it."""
    return (PARTLY if qualified else HOLDS) if claim else FAILS


def rows(read: Callable[[str], dict] = read_results) -> list[Row]:
    """All rows, in the article's order."""
    models = {name: m["runs"] for name, m in read("background")["models"].items()}
    tried = {
        name: [run for runs in options.values() for run in runs]
        for name, options in read("background-tuning")["models"].items()
    }
    pictures, spaces = read("shapes"), read("pixels")
    return [
        _stable(models, tried), _collapse(models, tried), _diverse(models),
        _quality(pictures, models),
        _text(pictures), _efficient(spaces), _control(read("editing")["attributes"]),
        _slow(read("samplers")["samplers"], models),
        _detail(read("ablation autoencoder")["variants"]),
        _pairs(read("ablation text-to-image")),
    ]  # fmt: skip


def _stable(models: dict, tried: dict) -> Row:
    """Stable at its best settings; qualified where a GAN is, too, or where many settings fail."""
    span = {n: [f([r["distance"] for r in runs]) for f in (min, max)] for n, runs in models.items()}
    fall = {name: max(run["largest fall"] for run in runs) for name, runs in models.items()}
    good = {name: sum(r["distance"] < GOOD for r in runs) for name, runs in tried.items()}
    text = "; ".join(
        f"{name}: distances {low:.2f} to {high:.2f} over {len(models[name])} seeds, coverage falls "
        f"by at most {fall[name]:.1f} clusters, {good[name]} of {len(tried[name])} trainings of "
        "the search are good"
        for name, (low, high) in span.items()
    )
    usable = good["diffusion"] / len(tried["diffusion"])
    calm = max(r["distance"] for r in models["diffusion"]) < GOOD and fall["diffusion"] < 1
    return Row("stable training", "训练稳定", text,
               verdict(calm, fall["GAN"] < 1 or usable < 0.75), "1.6")  # fmt: skip


def _collapse(models: dict, tried: dict) -> Row:
    """Of what lands in clusters at all: a training that explodes has not collapsed.

    Qualified where that leaves out more than a quarter of the search, or where a relative of one
    step does not collapse, either.
    """
    least = {name: min(run["effective modes"] for run in runs) for name, runs in models.items()}
    some = {
        name: [run["effective modes"] for run in runs if run["near a mode"] > 0.1]
        for name, runs in tried.items()
    }
    worst = {name: min(values) for name, values in some.items()}
    text = "; ".join(
        f"{name}: at least {least[name]:.1f} of 8 effective clusters over seeds, "
        f"{worst[name]:.1f} over the {len(some[name])} of {len(tried[name])} trainings of the "
        "search with more than a tenth of their samples in a cluster"
        for name in least
    )
    holds = least["diffusion"] > 7.5 and worst["diffusion"] > 7 and worst["GAN"] < 4
    counted = len(some["diffusion"]) / len(tried["diffusion"])
    return Row("not prone to mode collapse", "不易发生模式崩溃", text,
               verdict(holds, counted < 0.75 or worst["VAE"] > 7), "1.5, 1.6")  # fmt: skip


def _diverse(models: dict) -> Row:
    """Qualified where the relatives are as even."""
    even = {name: mean(run["effective modes"] for run in runs) for name, runs in models.items()}
    text = "; ".join(f"{name} {n:.2f}" for name, n in even.items()) + " effective clusters of 8"
    others = max(n for name, n in even.items() if name != "diffusion")
    return Row("diverse", "生成多样性好", text,
               verdict(even["diffusion"] > 7.9, others > 7.5), "1.5, 3.7")  # fmt: skip


def _quality(pictures: dict, models: dict) -> Row:
    near = {name: mean(run["near a mode"] for run in runs) for name, runs in models.items()}
    scene, far = pictures["unseen_captions"]["runs"], pictures["frechet"]
    accepted = mean(run["accepted"] for run in scene)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in near.items())
    text = (
        f"points in a cluster: {shares}, data 99%; pictures of shapes accepted by the judge: "
        f"{accepted:.1%}, Fréchet distance {far['generated']:.0f} (real: {far['real']:.0f})"
    )
    best = near["diffusion"] > max(near["VAE"], near["GAN"], near["GAN, R1"]) and accepted > 0.95
    return Row("high quality, sharp", "生成质量高,图像清晰逼真", text,
               verdict(best, near["diffusion"] < 0.98), "1.5, 5.5")  # fmt: skip


def _text(pictures: dict) -> Row:
    joint = pictures["unseen_captions"]["joint"]["mean"]
    text = f"{joint:.1%} of pictures of unseen captions are right in everything asked for"
    return Row("from text", "支持从文本描述生成", text, verdict(joint > 0.95), "5.5")


def _efficient(spaces: dict) -> Row:
    a, b = spaces["latents"], spaces["pixels"]
    work = b["gflop_per_image"] / a["gflop_per_image"]
    time = b["seconds_for_16_images"]["median"] / a["seconds_for_16_images"]["median"]
    text = (
        f"latents against pixels: {work:.1f} times fewer operations, {time:.1f} times less time "
        f"per picture, {a['joint']['mean']:.0%} against {b['joint']['mean']:.0%} right"
    )
    return Row("greatly improved efficiency", "大幅提升了生成效率", text,
               verdict(work > 1.5 and time > 1.2, work < 5), "1.9, 5.5")  # fmt: skip


def _control(attributes: dict) -> Row:
    by_text = attributes["colour"]["inversion"]["right"]
    along = max(kind["direction"]["right"] for kind in attributes.values())
    text = (
        f"another colour asked for in words: right in {by_text:.0%}; a step along a direction of "
        f"the latent space: in {along:.0%}"
    )
    return Row("controllable latents", "隐空间操作灵活,可控制", text,
               verdict(by_text > 0.9, along < 0.5), "6")  # fmt: skip


def _slow(samplers: dict, models: dict) -> Row:
    good = [row["evaluations"] for row in samplers["dpmpp_2m"] if row["joint"]["mean"] >= 0.97]
    once = samplers["heun"][0]["joint"]["mean"]
    work = {name: mean(run["cost"]["multiply-adds"] for run in models[name])
            for name in ("GAN", "diffusion")}  # fmt: skip
    text = (
        f"points: {work['diffusion'] / work['GAN']:.0f} times the operations of a GAN; pictures: "
        f"{min(good)} evaluations for 97% right, {once:.0%} with one"
    )
    return Row("slow inference", "推理速度慢,需要多步去噪", text,
               verdict(min(good) > 1, min(good) < 10), "1.8, 5.4")  # fmt: skip


def _detail(variants: dict) -> Row:
    names = ("factor 4", "factor 8", "factor 16", "factor 16, 16 channels")
    read = {name: mean(run["read"] for run in variants[name]["runs"]) for name in names}
    text = "scenes still readable after the round trip: " + ", ".join(
        f"{share:.0%} at {name}" for name, share in read.items()
    )
    clear = read["factor 16"] < 0.5 * read["factor 8"]
    return Row("limited detail", "难以生成高度复杂、细节丰富的图像", text,
               verdict(clear, read["factor 4"] > 0.99), "5.1")  # fmt: skip


def _pairs(ablation: dict) -> Row:
    variants, fit = ablation["variants"], ablation["base"]["denoiser"]["fit"]
    names = {"100": "100 pictures", "1,000": "1000 pictures", "5,000": "5000 pictures",
             "20,000": "base"}  # fmt: skip
    right = {n: [run["captions"]["joint"] for run in variants[v]["runs"]] for n, v in names.items()}
    text = "right with " + ", ".join(
        f"{n} pictures: {min(v):.0%} to {max(v):.0%}" for n, v in right.items()
    )
    text += f" (range over {len(right['20,000'])} seeds; {fit['steps']} steps each)"
    needed = mean(right["1,000"]) < mean(right["20,000"]) - 0.1
    return Row("needs large-scale paired data", "需要大规模高质量图文对数据", text,
               verdict(needed), "5.3, 5.5")  # fmt: skip


def table(of: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = "| the article says | measured here | verdict | shown in |\n|---|---|---|---|\n"
    return head + "\n".join(
        f"| {r.adjective} ({r.words}) | {r.measured} | **{r.verdict}** | {r.shown} |" for r in of
    )


def mean(values) -> float:
    """The mean of any numbers."""
    return statistics.mean(values)
