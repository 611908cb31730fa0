"""The experiments behind the book's figures: measurements, ablations, and trainings of its judges.

    python tools/experiments.py measure NAME    figures of a model, a section of results.json
    python tools/experiments.py ablate NAME     trainings that differ in one thing each
    python tools/experiments.py train NAME      the judges, and diffusion on pixels
    python tools/experiments.py cost MODEL      parameters and operations

At the top only the standard library is imported, beside the words of the command line: help comes
at once. The first line of each measuring function is its help.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "chapters"), str(ROOT)]

from minildm import __main__ as commands  # noqa: E402
from minildm.__main__ import SEED, add_train, add_verb, main, whole  # noqa: E402

RESULTS = commands.OUTPUTS / "results.json"
PLANS = {
    "digits-autoencoder": "What do the pull to N(0, I), the kind of loss and the size of the "
    "latents matter?",
    "digits-losses": "What does the kind of loss matter in 49 numbers, after a short and a long "
    "training?",
    "digits": "What do the target, the weights of the loss, averaging and the rate matter?",
    "targets": "Does epsilon reach what v reaches, with the remedies that are standard for it?",
    "relatives": "What do a VAE, a GAN and a diffusion model draw, when all else is equal?",
    "digits-scale": "Of what a wrong scale breaks, how much is due to noise levels, not to the "
    "input?",
    "autoencoder": "What detail is lost when pictures are compressed by 4, 8 or 16?",
    "contrastive": "What does a model learn that matches pictures with texts?",
    "text-to-image": "What are the network's parts, the number of pictures and the text encoder "
    "good for?",
    "dit": "What does a transformer do in the place of the UNet, with as many parameters?",
    "few-steps": "How much of 16 steps can a student learn to do in 8, 4, 2 or 1?",
    "brightness": "Do samples get as dark and as light as the data, and what does the schedule "
    "matter?",
    "flow": "Does flow matching need fewer steps than older schedules, at an equal budget?",
    "times": "At which times should a flow be trained, and at which should its walk stop?",
    "mean-flow": "How near does one step come without a teacher, by the average velocity?",
    "autoguidance": "Is it better to guide a model away from a worse one than from no text?",
}
JUDGES = {
    "digit-classifier": "the judge of digits; minutes",
    "shape-reader": "the network whose features the Fréchet distance is measured in; minutes",
    "pixels": "diffusion on the pixels of captioned shapes, for comparison; an hour",
}


# --- measure --------------------------------------------------------------------------------------


def measure_digits(seeds: list[int]) -> dict:
    """the model of chapter 3, trained once per seed and judged"""
    from book.ch03_algorithm import measure
    from book.digit_judge import load_classifier
    from minildm.data import digits

    return measure.measure_digits(load_classifier(), digits(), seeds)


def measure_shipped_digits(seeds: list[int]) -> dict:
    """the digits model that comes with the book"""
    from book.ch03_algorithm import measure
    from book.digit_judge import load_classifier

    return measure.measure_shipped_digits(_book("digits"), load_classifier(), seeds)


def measure_shapes(seeds: list[int]) -> dict:
    """the text-to-image model: captions, combinations, steps, copies, time"""
    from book.ch05_5_text_to_image.measure_shapes import measure_shapes

    return measure_shapes(_book("shapes"), seeds)


def measure_pixels(seeds: list[int]) -> dict:
    """diffusion on latents against diffusion on pixels: accuracy and cost"""
    from book.ch05_5_text_to_image.measure_shapes import compare_spaces

    return compare_spaces(seeds=seeds)


def measure_samplers(seeds: list[int]) -> dict:
    """four samplers on the same noise: accuracy against network evaluations"""
    from book.ch05_4_sampling.measure import measure_samplers

    return measure_samplers(_book("shapes"), seeds)


def measure_spacing(seeds: list[int]) -> dict:
    """where a walk stops: spacings of the times, at few evaluations (try seeds 0 to 4)"""
    from book.ch05_4_sampling.spacing import measure_spacing

    return measure_spacing(_book("shapes"), seeds)


def measure_editing(seeds: list[int]) -> dict:
    """inpainting, strength, tilings, interpolation, attributes, restoration"""
    from book.ch06_applications.measure import measure_editing

    return measure_editing(_book("shapes"), seeds)


def measure_guidance(seeds: list[int]) -> dict:
    """what guidance does to accuracy, variety and colour"""
    from book.ch05_5_text_to_image.measure_guidance import measure_guidance

    return measure_guidance(_book("shapes"), seeds)


def measure_ways(seeds: list[int]) -> dict:
    """guidance in a stretch of noise levels, and projected (try seeds 0 to 4)"""
    from book.ch08_outlook.guidance_ways import measure_ways

    return measure_ways(_book("shapes"), seeds)


def measure_distances(seeds: list[int]) -> dict:
    """an unbiased distance beside the Fréchet distance, for 100 to 1,000 pictures (0 to 4)"""
    from book.ch08_outlook.kernel_distance import measure_distances

    return measure_distances(_book("shapes"), seeds)


def measure_emoji_judge(seeds: list[int]) -> dict:
    """how often the judge of drawings knows real ones: moved, blurred, recoloured (extra emoji)"""
    from book.ch05_7_real_drawings.measure_judge import measure_judge

    return measure_judge(seeds)


def measure_emoji(seeds: list[int]) -> dict:
    """the model of real drawings: captions, combinations never shown, copies (extra emoji)"""
    from book.ch05_7_real_drawings.measure_model import measure_emoji

    return measure_emoji(_book("emoji"), seeds)


def measure_background(seeds: list[int]) -> dict:
    """VAE, GAN and diffusion model of chapter 1, trained once per seed (try 0 to 7)"""
    from book.ch01_background.measure import measure_background

    return measure_background(seeds)


def tune_background(seeds: list[int]) -> dict:
    """every setting that was tried for the models of chapter 1 (with seeds 100 and 101)"""
    from book.ch01_background.measure import tune

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
    "spacing": measure_spacing,
    "editing": measure_editing,
    "guidance": measure_guidance,
    "guidance-ways": measure_ways,
    "distances": measure_distances,
    "emoji-judge": measure_emoji_judge,
    "emoji": measure_emoji,
    "background": measure_background,
    "background-tuning": tune_background,
}


def measure(args: Any) -> None:
    """Measure a model of the book, and write the figures to a section of a JSON file.

    The file is outputs/results.json (or --out); the book's own is data/results.json. An interrupted
    measurement goes on where it stopped, if it is one of many parts.
    """
    from book.results import writable, write_results

    out = writable(args.out)
    figures = MEASURES[args.name](args.seeds)
    try:
        write_results(args.name, figures, out)
    except Exception:
        print(json.dumps(figures))  # hours of work: at least on the screen
        raise
    print(f"wrote section {args.name!r} of {out}")


# --- ablate, train, cost --------------------------------------------------------------------------


def ablate(args: Any) -> None:
    """Run what is missing of a plan: trainings that differ in one thing each.

    Figures go to a section of outputs/results.json (or --out), pictures to the folder ablations
    beside it. An interrupted plan goes on where it stopped.
    """
    from book.ablations.engine import run_plan, section_name
    from book.ablations.plans import NEXT as again
    from book.ablations.plans import PLANS as plans

    if args.next and args.name not in again:
        raise ValueError(f"--next is for {', '.join(again)}; got {args.name}")
    waits = args.next or args.name not in plans
    run_plan(args.name, (again if waits else plans)[args.name], args.only, args.out)
    print(f"section {section_name(args.name)!r} of {args.out} is complete")


def train(args: Any) -> None:
    """Train what only the book needs, by its name.

    It goes to outputs/NAME (or to --out); see also python -m minildm train --help.
    """
    from book.recipes import RECIPES

    commands.train(args, RECIPES)


def show_cost(args: Any) -> None:
    """Print parameters and operations of each part of a model."""
    from book.ch05_2_unet.cost import cost_lines
    from minildm.latent import LatentDiffusion

    print("\n".join(cost_lines(LatentDiffusion.load(args.model), args.steps)))


# --- words ----------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    about = (__doc__ or "").split("\n")[0]
    top = argparse.ArgumentParser(prog="python tools/experiments.py", description=about)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    measures = {name: run.__doc__ or "" for name, run in MEASURES.items()}
    figures = add_verb(verbs, "measure", "the figures of a model", measure, measures)
    figures.add_argument("--seeds", type=SEED, nargs="+", default=[0, 1, 2], help="(0 1 2)")
    plan = add_verb(verbs, "ablate", "trainings that differ in one thing", ablate, PLANS)
    plan.add_argument(
        "--only", nargs="+", default=[], metavar="VARIANT", help="these variants (all of them)"
    )
    plan.add_argument(
        "--next", action="store_true", help="the plan that is to take this one's place, not run yet"
    )
    for verb in (figures, plan):
        verb.add_argument("--out", type=Path, default=RESULTS, help=f"the file ({RESULTS})")
    add_train(add_verb(verbs, "train", "train a judge, or on pixels", train, JUDGES))
    cost = add_verb(verbs, "cost", "parameters and operations of a model", show_cost)
    cost.add_argument("model", help="a folder, or the name of a model of the book")
    cost.add_argument("--steps", type=whole(1), default=25, help="evaluations per image (25)")
    return top


if __name__ == "__main__":
    sys.exit(main(parser=parser))
