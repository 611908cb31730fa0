"""Which variants of plan "text-to-image" compare ways to read words, and what they measured."""

from collections.abc import Mapping
from pathlib import Path

from book.ablations.engine import outcomes, section_name
from book.ablations.plans import READS
from book.results import RESULTS, read_results

PLAN = "text-to-image"
WAYS = {
    "attention only": READS[False],
    "attention and mean": READS[True],
    "mean only": "words by mean only",
    "concatenation": "words by concatenation",
    "concatenation, wider": "words by concatenation, wider",
}
ENCODERS = {
    "learned with the UNet": "base",
    "contrastive, frozen": "contrastive text encoder",
    "contrastive with null, frozen": "contrastive text encoder, with null",
    "random, frozen": "random text encoder",
}


def measured(
    names: Mapping[str, str], *keys: str, path: str | Path = RESULTS
) -> dict[str, list]:
    """The figure at ``keys`` of each variant, seed by seed: label -> values; ``names``: its name.

    Variants that nobody has run yet are left out. The one of ``READS`` that is the base's recipe
    is stored as "base".
    """
    section = read_results(section_name(PLAN), path)
    recipe = READS[section["base"]["denoiser"]["model"]["pool"]]
    stored = {label: "base" if name == recipe else name for label, name in names.items()}
    have = {name for name, variant in section["variants"].items() if variant["runs"]}
    return {
        label: outcomes(PLAN, name, *keys, path=path)
        for label, name in stored.items() if name in have
    }  # fmt: skip
