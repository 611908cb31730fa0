"""What the model of real drawings can do: figures of data/results.json, section "emoji".

Shares are of pictures that the judge (judge.py) takes for the drawing that was asked for, beside
what chance and the autoencoder alone reach, and three controls that know the right answer and can
only use drawings of the training:

    copier     shows the one that is nearest to the right one
    blender    the mean of the same person in the two neighbouring skin tones (or in one)
    repainter  the same person in another skin tone, with the skin painted over
"""

import statistics
from collections.abc import Mapping, Sequence
from time import perf_counter

import torch
from torch import Tensor

from book import results
from book.ch05_7_real_drawings.judge import Gallery, latents_of, rates
from minildm.emoji.drawings import Drawings, drawings
from minildm.emoji.names import TONES
from minildm.emoji.splits import splits
from minildm.emoji.training import EXAMPLES, GUIDANCE
from minildm.engine.devices import surroundings
from minildm.latent import LatentDiffusion
from minildm.samplers import dpmpp_2m

CAPTIONS = 500  # of the training's, spread evenly; combinations are asked for all
STEPS = 10
SWEPT = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # guidance, on the combinations for validation
BATCH = 100  # pictures at a time
SKIN = dict(zip(TONES.values(), ("fadcbc", "debb90", "c19a65", "a57939", "6a462f"), strict=True))
REACH = 0.3  # of the repainter: colours so far from the skin's, of 2, are not skin
TIMED = 16


def measure_emoji(
    model: LatentDiffusion,
    seeds: Sequence[int] = (0, 1, 2),
    source: Drawings | None = None,
    count: int = CAPTIONS,
    report=print,
) -> dict:
    """All figures of the model, over sampling seeds; ``count`` of the captions it has learned."""
    source = source or drawings()
    parts, gallery = splits(source), Gallery(source)
    features = Gallery(source, latents_of(model.autoencoder), shift=0)
    asked = {
        "training_captions": spread(parts.train, count),
        "held_out_combinations": parts.composition,
    }
    sweep = {}
    for guidance in SWEPT:
        x = draw(model, source, parts.validation, guidance, seed=100)
        sweep[str(guidance)] = judged(gallery, x, parts.validation, parts.train)
        report(f"guidance {guidance}: {sweep[str(guidance)]['top_1']:.1%} of the validation")
    figures = {
        "command": results.command("emoji", seeds),
        "steps": STEPS,
        "guidance": GUIDANCE,
        "guidance_on_validation": sweep,
        "reconstructions": _reconstructions(model, gallery, features),
        **controls(gallery, parts.composition, parts.train),
    }
    for name, numbers in asked.items():
        runs = []
        for seed in seeds:
            x = draw(model, source, numbers, GUIDANCE, seed)
            seen = judged(gallery, x, numbers, parts.train)
            among = features.distances(x)
            seen["in_features"] = rates(features.ranks(among, numbers), len(features))
            runs.append({"seed": seed, **seen})
            report(f"{name}, seed {seed}: {seen['top_1']:.1%} first, {seen['top_5']:.1%} of five")
        figures[name] = {**band(runs), "runs": runs}
    figures["seconds_for_16_images"] = seconds_for(model)
    return {**figures, **surroundings()}


def spread(numbers: Tensor, count: int) -> Tensor:
    """``count`` of the numbers, evenly from the first to the last; all, if there are no more."""
    count = min(count, len(numbers))
    return numbers[torch.arange(count) * len(numbers) // count]


def draw(
    model: LatentDiffusion, source: Drawings, numbers: Tensor, guidance: float, seed: int
) -> Tensor:
    """A picture for each caption: (n, 3, 64, 64); its noise hangs on its place in ``numbers``."""
    texts, noise = [source.captions[i] for i in numbers.tolist()], model.noise(len(numbers), seed)
    options = {"steps": STEPS, "sampler": dpmpp_2m, "guidance": guidance, "seed": seed}
    parts = [
        model.text_to_image(texts[i : i + BATCH], z_T=noise[i : i + BATCH], **options)
        for i in range(0, len(texts), BATCH)
    ]
    return torch.cat(parts).cpu()


def judged(gallery: Gallery, x: Tensor, asked: Tensor, train: Tensor) -> dict:
    """Pictures x (n, 3, 64, 64) against the drawings that were asked for, (n,).

    Beside the rates: ``copies``, how many are nearest to a drawing of the training; and of asked
    people, how often role, gender and skin tone are each right, whatever the others are.
    """
    distances = gallery.distances(x)
    nearest = gallery.nearest(distances)
    seen_in_training = torch.isin(nearest, gallery.drawings.picture[train])
    found = rates(gallery.ranks(distances, asked), len(gallery))
    found["copies"] = float(seen_in_training.double().mean())
    return {**found, **parts_right(gallery.drawings, asked, nearest)}


def parts_right(source: Drawings, asked: Tensor, drawn: Tensor) -> dict[str, float]:
    """Of the people among ``asked`` (n,), the shares whose ``drawn`` picture has each part right.

    A picture that shows several people (some men are drawn as the person is) has the parts of each.
    Empty where nobody is asked for.
    """
    shows: dict[int, list[int]] = {}
    for i, picture in enumerate(source.picture.tolist()):
        shows.setdefault(picture, []).append(i)
    right: dict[str, list[bool]] = {"role": [], "gender": [], "tones": []}
    for wanted, picture in zip(asked.tolist(), source.picture[drawn].tolist(), strict=True):
        who = source.spellings[wanted]
        if who.group == "person":
            there = [source.spellings[i] for i in shows[picture]]
            for part, of in right.items():
                of.append(any(getattr(s, part) == getattr(who, part) for s in there))
    return {f"{part}_right": statistics.fmean(of) for part, of in right.items() if of}


def band(runs: Sequence[Mapping]) -> dict:
    """Mean, smallest and largest of top-1 and top-5 over runs."""
    found = {}
    for kind in ("top_1", "top_5"):
        of = [run[kind] for run in runs]
        found[kind] = {"mean": statistics.fmean(of), "min": min(of), "max": max(of)}
    return found


def _reconstructions(model: LatentDiffusion, gallery: Gallery, features: Gallery) -> dict:
    """The most that any denoiser could reach: all drawings, through the autoencoder and back."""
    source = gallery.drawings
    numbers = torch.arange(len(source))
    x = torch.cat([model.decode(model.encode(source[k])).cpu() for k in numbers.split(BATCH)])
    kinds = {"in_pixels": gallery, "in_features": features}
    return {
        name: rates(kind.ranks(kind.distances(x), numbers), len(kind))
        for name, kind in kinds.items()
    }


def controls(gallery: Gallery, asked: Tensor, train: Tensor) -> dict[str, dict[str, float]]:
    """The rates of copier, blender and repainter for the held-out people ``asked``.

    The last two are judged on those of whom the training shows the same role and gender, seen from
    the same side, in another skin tone.
    """
    source = gallery.drawings
    copies = source[gallery.nearest(gallery.distances(source[asked]), train)]
    near = {i: neighbours(source, i, train) for i in asked.tolist()}
    known = [i for i, tones in near.items() if tones]
    blends = torch.stack([source[torch.tensor([*near[i].values()])].mean(0) for i in known])
    painted = torch.stack([_repainted(source, i, near[i]) for i in known])
    shown = {"copier": (copies, asked), "blender": (blends, known), "repainter": (painted, known)}
    return {
        name: rates(gallery.ranks(gallery.distances(x), numbers), len(gallery))
        for name, (x, numbers) in shown.items()
    }


def neighbours(source: Drawings, asked: int, train: Tensor) -> dict[str, int]:
    """The same person in the next lighter and the next darker tone of the training: {tone: number}.

    Empty for nobody, and where there is none; one where the other side has none.
    """
    who, order = source.spellings[asked], [*TONES.values()]
    if who.group != "person" or len(who.tones) != 1:
        return {}
    same = {
        source.spellings[i].tones[0]: i
        for i in train.tolist()
        if source.spellings[i]._replace(tones=who.tones) == who
        and len(source.spellings[i].tones) == 1
    }
    at = order.index(who.tones[0])
    lighter = [tone for tone in reversed(order[:at]) if tone in same]
    darker = [tone for tone in order[at + 1 :] if tone in same]
    return {tone: same[tone] for tone in (*lighter[:1], *darker[:1])}


def _repainted(source: Drawings, asked: int, near: Mapping[str, int]) -> Tensor:
    """One of the neighbours (3, 64, 64), with its skin in the colour of the tone asked for."""
    tone, i = next(iter(near.items()))
    x = source[torch.tensor([i])][0]
    old, new = (colour(SKIN[name]) for name in (tone, source.spellings[asked].tones[0]))
    share = (1 - (x - old).abs().amax(0) / REACH).clamp(0, 1)  # (64, 64): how much it is skin
    return x + share * (new - old)


def colour(rgb: str) -> Tensor:
    """ "fadcbc" as a picture of one pixel (3, 1, 1) in [-1, 1]."""
    levels = torch.tensor([*bytes.fromhex(rgb)]) / 127.5 - 1  # (3,)
    return levels[:, None, None]


def seconds_for(model: LatentDiffusion, runs: int = 5) -> dict[str, float]:
    """Wall time of 16 drawings, decoding included; after one to warm up: the median of ``runs``."""
    texts, times = [EXAMPLES[i % len(EXAMPLES)] for i in range(TIMED)], []
    for _ in range(runs + 1):
        start = perf_counter()
        model.text_to_image(texts, steps=STEPS, sampler=dpmpp_2m, guidance=GUIDANCE, seed=0)
        times.append(perf_counter() - start)
    return {"median": round(statistics.median(times[1:]), 2), "slowest": round(max(times[1:]), 2)}
