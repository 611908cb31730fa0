"""What ``python -m minildm measure`` can measure: name -> what makes the figures, for given seeds.

At the top only the standard library is imported, as in commands.py; the first line of each function
is its help.
"""

from __future__ import annotations

from typing import Any


def measure_digits(seeds: list[int]) -> dict:
    """the model of chapter 3, trained once per seed and judged"""
    from minildm import classifier, recipes
    from minildm.data import digits

    return recipes.measure_digits(classifier.load_classifier(), digits(), seeds)


def measure_shipped_digits(seeds: list[int]) -> dict:
    """the digits model that comes with the book"""
    from minildm import classifier, recipes

    return recipes.measure_shipped_digits(_book("digits"), classifier.load_classifier(), seeds)


def measure_shapes(seeds: list[int]) -> dict:
    """the text-to-image model: captions, combinations, steps, copies, time"""
    from minildm.shapes_results import measure_shapes

    return measure_shapes(_book("shapes"), seeds)


def measure_pixels(seeds: list[int]) -> dict:
    """diffusion on latents against diffusion on pixels: accuracy and cost"""
    from minildm.shapes_results import compare_spaces

    return compare_spaces(seeds=seeds)


def measure_samplers(seeds: list[int]) -> dict:
    """four samplers on the same noise: accuracy against network evaluations"""
    from minildm.sampling_results import measure_samplers

    return measure_samplers(_book("shapes"), seeds)


def measure_editing(seeds: list[int]) -> dict:
    """inpainting, strength, tilings, interpolation, attributes, restoration"""
    from minildm.editing_results import measure_editing

    return measure_editing(_book("shapes"), seeds)


def measure_guidance(seeds: list[int]) -> dict:
    """what guidance does to accuracy, variety and colour"""
    from minildm.guidance_results import measure_guidance

    return measure_guidance(_book("shapes"), seeds)


def measure_background(seeds: list[int]) -> dict:
    """VAE, GAN and diffusion model of chapter 1, trained once per seed (try 0 to 7)"""
    from minildm.relatives.results import measure_background

    return measure_background(seeds)


def tune_background(seeds: list[int]) -> dict:
    """every setting that was tried for the models of chapter 1 (with seeds 100 and 101)"""
    from minildm.relatives.results import tune

    return tune(seeds)


def _book(name: str) -> Any:
    from minildm.latent import LatentDiffusion

    return LatentDiffusion.load(name)


MEASURES = {
    "digits": measure_digits,
    "shipped-digits": measure_shipped_digits,
    "shapes": measure_shapes,
    "pixels": measure_pixels,
    "samplers": measure_samplers,
    "editing": measure_editing,
    "guidance": measure_guidance,
    "background": measure_background,
    "background-tuning": tune_background,
}
