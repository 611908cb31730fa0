"""The book's command line: train models, draw with them, measure them."""

import argparse
import sys
import textwrap
from pathlib import Path

from minildm import environment_check

if __name__ == "__main__" and sys.argv[1:2] == ["check"]:
    sys.exit(environment_check.main())  # before the imports: what they need may be what is missing

from minildm import classifier as judge
from minildm import (
    editing_results,
    guidance_results,
    recipes,
    samplers,
    sampling_results,
    shapes_results,
)
from minildm.ablations import run_plan, section_name
from minildm.ablations.plans import PLANS
from minildm.checkpoint import CheckpointError
from minildm.cost import cost_lines
from minildm.data import digits
from minildm.download import SOURCES, download
from minildm.latent import LatentDiffusion
from minildm.pictures import mosaic
from minildm.recipes import RESULTS, write_results
from minildm.registry import RECIPES
from minildm.relatives import results as relatives
from minildm.settings import override, reseeded
from minildm.shapes_training import GUIDANCE
from minildm.state import LAST_GOOD

SAMPLERS = {name: getattr(samplers, name) for name in ("ddim", "ddpm", "dpmpp_2m", "heun")}


def train(args: argparse.Namespace) -> None:
    """Train a model by its name; --resume goes on after an interruption."""
    recipe = RECIPES[args.name]
    config = recipe.config if args.seed is None else reseeded(recipe.config, args.seed)
    out = recipe.out if args.out is None else args.out
    out.mkdir(parents=True, exist_ok=True)
    recipe.train(override(config, args.set), out, True, args.resume)


def sample(args: argparse.Namespace) -> None:
    """Draw images of texts, one row per text, into a picture file."""
    model = LatentDiffusion.load(args.model)
    prompts = [prompt for prompt in args.prompt for _ in range(args.count)]
    options = {name: getattr(args, name) for name in ("steps", "guidance", "seed")}
    if args.negative is not None:
        options["negative"] = [args.negative] * len(prompts)
    x = model.text_to_image(prompts, sampler=SAMPLERS[args.sampler], **options)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [textwrap.fill(prompt, 24) for prompt in args.prompt]
    mosaic(x, args.count, rows, width=2.2 + 1.2 * args.count).savefig(args.out, dpi=150)
    print(f"{args.out}: {len(x)} images; from top to bottom: {'; '.join(args.prompt)}")


def show_cost(args: argparse.Namespace) -> None:
    """Print parameters and operations of each part of a model."""
    print("\n".join(cost_lines(LatentDiffusion.load(args.model), args.steps)))


def fetch(args: argparse.Namespace) -> None:
    """Fetch a full data set: the only command that uses the network."""
    print(f"{args.name}: {download(args.name, args.folder)}")


def measure_digits(seeds: list[int]) -> dict:
    """Train the model of chapter 3 once per seed and judge it."""
    return recipes.measure_digits(judge.load_classifier(), digits(), seeds)


def measure_shipped_digits(seeds: list[int]) -> dict:
    """Judge the digits model that comes with the book."""
    model = LatentDiffusion.load("digits")
    return recipes.measure_shipped_digits(model, judge.load_classifier(), seeds)


def measure_shapes(seeds: list[int]) -> dict:
    """Judge the text-to-image model: captions, combinations, steps, copies, time."""
    return shapes_results.measure_shapes(LatentDiffusion.load("shapes"), seeds)


def measure_pixels(seeds: list[int]) -> dict:
    """Diffusion on latents against diffusion on pixels: accuracy and cost."""
    return shapes_results.compare_spaces(seeds=seeds)


def measure_samplers(seeds: list[int]) -> dict:
    """Four samplers on the same noise: accuracy against network evaluations."""
    return sampling_results.measure_samplers(LatentDiffusion.load("shapes"), seeds)


def measure_editing(seeds: list[int]) -> dict:
    """Edit pictures: inpainting, strength, tilings, interpolation, attributes, restoration."""
    return editing_results.measure_editing(LatentDiffusion.load("shapes"), seeds)


def measure_guidance(seeds: list[int]) -> dict:
    """What guidance does to accuracy, variety and colour."""
    return guidance_results.measure_guidance(LatentDiffusion.load("shapes"), seeds)


def measure_background(seeds: list[int]) -> dict:
    """VAE, GAN and diffusion model of chapter 1, trained once per seed (try 0 to 7)."""
    return relatives.measure_background(seeds)


def tune_background(seeds: list[int]) -> dict:
    """Every setting that was tried for the models of chapter 1 (with seeds 100 and 101)."""
    return relatives.tune(seeds)


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


def measure(args: argparse.Namespace) -> None:
    """Measure a model and write its figures to a section of results.json."""
    figures = MEASURES[args.name](args.seeds)
    write_results(args.name, figures, args.out)
    print(f"wrote section {args.name!r} of {args.out}")


def ablate(args: argparse.Namespace) -> None:
    """Run what is missing of a plan of trainings that differ in one thing each."""
    run_plan(args.name, PLANS[args.name], args.only, args.out)
    print(f"section {section_name(args.name)!r} of {args.out} is complete")


def check(args: argparse.Namespace) -> int:
    """Check this machine: what is there, what is missing, and what to do; 1 for a problem."""
    return environment_check.main()


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m minildm", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("check", help="check this machine", description=check.__doc__).set_defaults(
        run=check
    )
    _add_train(verbs.add_parser("train", help="train a model", description=train.__doc__))
    _add_sample(verbs.add_parser("sample", help="draw images", description=sample.__doc__))
    cost = verbs.add_parser("cost", help="what a model costs", description=show_cost.__doc__)
    cost.set_defaults(run=show_cost)
    cost.add_argument("model", help="a folder, or the name of a model in data/checkpoints")
    cost.add_argument("--steps", type=int, default=25, help="evaluations per image (25)")
    get = verbs.add_parser("download", help="fetch a data set", description=fetch.__doc__)
    get.set_defaults(run=fetch)
    get.add_argument("name", choices=SOURCES)
    get.add_argument("--folder", type=Path, help="where to keep it (your cache)")
    _add_measure(verbs.add_parser("measure", help="measure", description=measure.__doc__))
    _add_ablate(verbs.add_parser("ablate", help="compare", description=ablate.__doc__))
    return top


def _add_ablate(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=ablate)
    names = "; ".join(f"{name}: {plan.question}" for name, plan in PLANS.items())
    command.add_argument("name", choices=PLANS, metavar="NAME", help=names)
    command.add_argument(
        "--only", nargs="+", default=[], metavar="VARIANT", help="these variants (all of them)"
    )
    command.add_argument("--out", type=Path, default=RESULTS, help="the file (data/results.json)")


def _add_train(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=train)
    names = "; ".join(f"{name}: {recipe.train.__doc__}" for name, recipe in RECIPES.items())
    command.add_argument("name", choices=RECIPES, metavar="NAME", help=names)
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change settings, such as fit.steps=100; a wrong key lists all",
    )  # fmt: skip
    command.add_argument("--out", type=Path, help="where to write the model (and its training)")
    command.add_argument("--seed", type=int, help="sets every seed of the training")
    command.add_argument(
        "--resume", nargs="?", const=True, default=False, choices=[LAST_GOOD],
        help="go on from the newest checkpoint; last-good: pass over damaged ones",
    )  # fmt: skip


def _add_measure(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=measure)
    names = "; ".join(f"{name}: {run.__doc__}" for name, run in MEASURES.items())
    command.add_argument("name", choices=MEASURES, metavar="NAME", help=names)
    command.add_argument("--out", type=Path, default=RESULTS, help="the file (data/results.json)")
    command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])


def _add_sample(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=sample)
    command.add_argument("prompt", nargs="+", help="what to draw; see minildm/captions.py")
    command.add_argument("--out", type=Path, default=Path("grid.png"), help="the file (grid.png)")
    command.add_argument(
        "--model", default="shapes", help="a folder, or a name in data/checkpoints"
    )
    command.add_argument("--count", type=_count, default=4, help="images per text (4)")
    command.add_argument("--steps", type=int, default=25, help="steps of the sampler (25)")
    command.add_argument("--sampler", choices=SAMPLERS, default="dpmpp_2m")
    command.add_argument(
        "--guidance", type=float, default=GUIDANCE, help=f"1: as trained ({GUIDANCE})"
    )
    command.add_argument("--negative", help="a text to move away from")
    command.add_argument("--seed", type=int, help="the same seed draws the same images")


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that the reader can mend are one line, without a traceback."""
    args = parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except (ValueError, OSError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
