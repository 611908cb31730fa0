"""The command line: train models, draw with them, fetch data sets.

At the top only the standard library is imported: help comes at once. Each verb imports what it
needs. The tables say what there is; a test compares them with what is really there.
tools/experiments.py adds the book's own verbs.
"""

from __future__ import annotations

import argparse
import functools
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minildm.files import models
from minildm.verbs import SEED, add_verb, whole

OUTPUTS = Path("outputs")  # in the working directory; git does not look into it
FOLDER = "a folder (of diffusers, too), or the name of a model of the book: shapes, digits, pixels"
SAMPLERS = ("ddim", "ddpm", "dpmpp_2m", "heun")
RESUMES = ("last-good", "longer")
GUIDANCE = 2.5
SIDE = 192  # pixels that a small picture is enlarged to, at most, so that it can be looked at

# Times: on two cores of the machine that trained the models of the book, see their metrics.json.
TRAININGS = {
    "digits": "a model of handwritten digits, which draws what class is asked; 2 minutes",
    "emoji": "the text-to-image model of real drawings; two hours (needs the extra emoji)",
    "shapes": "the text-to-image model of captioned shapes; an hour",
}
DATA_SETS = ("mnist", "fashion-mnist", "cifar-10")


# --- train ----------------------------------------------------------------------------------------


def train(args: Any, recipes: dict | None = None) -> None:
    """Train a model from nothing, by its name.

    It goes to outputs/NAME (or to --out), and what is needed to go on to outputs/NAME/training.
    When it was stopped, or broke off, --resume goes on. A finished model is never written over, and
    nothing is written into the book's own data, unless --overwrite says so.
    """
    from minildm.engine.devices import is_main_process
    from minildm.engine.settings import override, reseeded
    from minildm.recipes import RECIPES, check_fit

    recipe, out = (recipes or RECIPES)[args.name], args.out or OUTPUTS / args.name
    config = recipe.config if args.seed is None else reseeded(recipe.config, args.seed)
    config = override(config, args.set)
    check_fit(config)
    check_place(out, bool(args.resume), args.overwrite)
    out.mkdir(parents=True, exist_ok=True)
    recipe.train(config, out, True, args.resume)
    if recipe.example and is_main_process():
        print(f"next: python -m minildm sample {recipe.example} --model {out}")


def check_place(out: Path, resume: bool, overwrite: bool) -> None:
    """Raise ValueError where a training must not write, saying how to ask for it by name.

    That is: in the book's own data; over a model, unless this very training is to go on; and where
    another training has stopped. Nothing is written here.
    """
    from minildm.files.places import SHIPPED, homes

    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; --out takes a folder")
    place = out.resolve()
    data = [path for path in (SHIPPED.parent, *homes()) if path.exists()]
    inside = [p for p in (place, *place.parents) if p.exists()]
    if not overwrite and any(p.samefile(path) for p in inside for path in data):
        raise ValueError(
            f"{out} lies in the book's own data, which its chapters read. Give another --out, or "
            "add --overwrite if that is what you want"
        )
    begun = checkpoints(out)
    if begun and not resume:
        step = int(begun[-1].name.removeprefix("state-"))
        raise ValueError(
            f"{out} holds a training at step {step}: go on with --resume, or give another --out"
        )
    if (out / "model.safetensors").exists() and not begun and not overwrite:
        raise ValueError(
            f"{out} holds a model already. Give another --out, or add --overwrite to write over it"
        )


def checkpoints(out: Path) -> list[Path]:
    """What trainings have left in a model's folder, the latest last."""
    found = (out / "training").rglob("state-" + "[0-9]" * 8)
    return sorted(found, key=lambda place: (place.stat().st_mtime, place.name))


def stopped(args: Any, words: list[str]) -> str:
    """What to say where the reader has stopped a command."""
    if args.verb == "download-model":
        return "stopped; what has come is kept, and the same command goes on"
    if args.verb != "train":
        return "stopped"
    begun = checkpoints(args.out or OUTPUTS / args.name)
    if not begun:
        return "stopped before the first checkpoint; nothing is kept, begin again"
    step, stage = int(begun[-1].name.removeprefix("state-")), begun[-1].parent.name
    said = "" if stage == "training" else f" of the {stage}"
    again = shlex.join([*words, *["--resume"] * (not args.resume)])
    return f"stopped at step {step}{said}; go on with: {args.prog} {again}"


# --- sample, download -----------------------------------------------------------------------------


def sample(args: Any) -> None:
    """Draw pictures into a PNG file: one row for each text (or class), --count in each row.

    A model of digits takes classes: sample 3 8 --model outputs/digits. With --from a picture is
    changed (--strength: how much) or, with --mask, drawn anew where the mask is white.
    """
    from minildm.files.images import save_png
    from minildm.latent import LatentDiffusion

    out = picture_file(args.out)
    if args.source is None and (args.mask is not None or args.strength is not None):
        raise ValueError("--mask and --strength change a picture: name it with --from FILE")
    if args.mask is not None and args.strength is not None:
        raise ValueError("give --strength or --mask, not both: a mask draws all of its area anew")
    model = LatentDiffusion.load(args.model)
    asked = conditions(model, args.prompt)
    x = _draw(args, model, asked)
    scale = max(1, SIDE // max(x.shape[2:]))
    x = x.cpu().repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_png(x, out, columns=args.count)
    rows = "; ".join(args.prompt)
    print(f"{out}: {len(x)} images" + (f"; from top to bottom: {rows}" if rows else ""))


def picture_file(path: Path) -> Path:
    """The file that a picture is written to: ``path``, as a PNG file where it has no suffix."""
    file = path if path.suffix or path.is_dir() else path.with_name(path.name + ".png")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; give the name of a file, such as {file / 'a.png'}")
    if file.suffix.lower() != ".png":
        raise ValueError(f"pictures are written as PNG: the file must end in .png; got {file}")
    return file


def conditions(model: Any, prompts: list[str]) -> list | None:
    """What to draw, as the model takes it: texts, classes, or None for a model without either."""
    from minildm.interfaces import ReadsText

    if isinstance(model.network, ReadsText):
        if not prompts:
            raise ValueError("say what to draw: sample TEXT; for shapes see shapes/captions.py")
        return list(prompts)
    classes = model.network.config.classes
    if not classes:
        if prompts:
            raise ValueError(f"this model draws without being asked; leave out {prompts[0]!r}")
        return None
    wrong = [p for p in prompts if not (p.isascii() and p.isdigit() and int(p) < classes)]
    if wrong or not prompts:
        got = f"; got {wrong[0]!r}" if wrong else ""
        raise ValueError(f"this model draws classes: say which of 0..{classes - 1}{got}")
    return [int(p) for p in prompts]


def _draw(args: Any, model: Any, asked: list | None) -> Any:
    """Pictures (rows · count, C, H, W), with a bar."""
    from tqdm import tqdm

    from minildm import samplers

    each = None if asked is None else [a for a in asked for _ in range(args.count)]
    count = args.count if each is None else len(each)
    guidance = max(GUIDANCE, model.usual_guidance) if args.guidance is None else args.guidance
    options = {"steps": args.steps, "guidance": guidance, "seed": args.seed}
    if args.negative is not None:
        if asked is None:
            raise ValueError("--negative needs a model that is asked for something")
        options["negative"] = (conditions(model, [args.negative]) or []) * count
    strength = 0.6 if args.strength is None else args.strength
    steps = args.steps if args.strength is None else max(1, round(strength * args.steps))
    sampler = getattr(samplers, args.sampler)
    with tqdm(total=steps, desc="drawing", leave=False, disable=None) as bar:

        @functools.wraps(sampler)
        def ticking(*given: Any, **more: Any) -> Any:
            bar.update()
            return sampler(*given, **more)

        options["sampler"] = ticking
        if args.source is None:
            return model.generate(each, **options, count=count)
        x = _picture(args.source, model).expand(count, -1, -1, -1)
        if args.mask is None:
            return model.image_to_image(x, each, strength, **options)
        mask = (_picture(args.mask, model, "L") > 0).float().expand(count, -1, -1, -1)
        return model.inpaint(x, mask, each, **options)


def _picture(path: Path, model: Any, mode: str | None = None) -> Any:
    """A picture as the model takes it (1, C, H, W): its middle, in the right size."""
    from minildm.files.images import to_tensor

    channels, *size = model.image_shape
    return to_tensor(path, size, mode or ("L" if channels == 1 else "RGB"))


def fetch(args: Any) -> None:
    """Fetch a full data set. Only the downloads use the network."""
    from minildm.files.download import download

    print(f"{args.name}: {download(args.name, args.folder)}")


def fetch_model(args: Any) -> None:
    """Fetch a published model, after saying how large it is and under which licence.

    The networks come as .safetensors, never as pickles. Where it was stopped, or broke off, the
    same command goes on.
    """
    offered = models.offer(args.name, args.half)
    print(
        f"{args.name}: {models.gigabytes(offered.size)} from huggingface.co/{offered.repository}, "
        f"licence: {offered.licence}",
        flush=True,
    )
    if not args.yes and not agreed():
        raise ValueError("nothing was fetched; to agree answer y, or add --yes")
    folder = models.download(args.name, offered, args.out)
    again = shlex.join(["sample", "a red fox", "--model", str(folder)])
    print(f"{args.name}: {folder}\nnext: {args.prog} {again}")


def agreed() -> bool:
    """Whether the reader answers yes; no answer, where nobody can be asked, is no."""
    try:
        return input("fetch it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


# --- words ----------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    about = (__doc__ or "").split("\n")[0]
    top = argparse.ArgumentParser(prog="python -m minildm", description=about)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_sample(add_verb(verbs, "sample", "draw pictures, or change one", sample))
    add_train(add_verb(verbs, "train", "train a model from nothing", train, TRAININGS))
    get = add_verb(verbs, "download", "fetch a full data set", fetch)
    get.add_argument("name", choices=DATA_SETS)
    get.add_argument("--folder", type=Path, help="where to keep it (your cache)")
    get = add_verb(verbs, "download-model", "fetch Stable Diffusion", fetch_model, models.ABOUT)
    get.add_argument("--out", type=Path, help="where to keep it (your cache)")
    get.add_argument("--half", action="store_true", help="half the bytes: float16")
    get.add_argument("--yes", action="store_true", help="do not ask")
    return top


def add_train(command: argparse.ArgumentParser) -> None:
    """The options of a training."""
    add = command.add_argument
    change = "change settings, such as fit.steps=100; a wrong key lists all"
    add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=change)
    add("--out", type=Path, help="where to write the model and its training (outputs/NAME)")
    add("--seed", type=SEED, help="sets every seed of the training")
    ways = "pass over damaged ones; longer: with more steps than it began with"
    ways = f"go on from the newest checkpoint; last-good: {ways}"
    add("--resume", nargs="?", const=True, default=False, choices=RESUMES, help=ways)
    over = "write over the model in --out, or into the book's own data"
    add("--overwrite", action="store_true", help=over)


def _add_sample(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("prompt", nargs="*", help="what to draw; see minildm/shapes/captions.py")
    add("--out", type=Path, default=Path("grid.png"), help="the file (grid.png)")
    add("--model", default="shapes", help=f"{FOLDER} (shapes)")
    add("--count", type=whole(1), default=4, help="pictures per text (4)")
    add("--steps", type=whole(1), default=25, help="steps of the sampler (25)")
    add("--sampler", choices=SAMPLERS, default="dpmpp_2m", help="(dpmpp_2m)")
    add("--guidance", type=_number, help=f"1: as trained ({GUIDANCE}; Stable Diffusion: 7.5)")
    add("--negative", help="a text to move away from")
    add("--seed", type=SEED, help="the same seed draws the same pictures")
    add("--from", dest="source", type=Path, metavar="FILE", help="a picture to change")
    add("--strength", type=_number, help="how much of it to change, up to 1 (0.6)")
    add("--mask", type=Path, metavar="FILE", help="draw it anew where this picture is white")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a number; got {text!r}")
    return number


def main(
    arguments: list[str] | None = None, parser: Callable[[], argparse.ArgumentParser] = parser
) -> int:
    """Run one command; errors that the reader can mend are one line, without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words:
        parser().print_help()
        return 2
    args = parser().parse_args(words)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print(f"\n{stopped(args, words)}", file=sys.stderr)
        return 130  # as shells have it
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "minildm":
            raise
        print(
            f"error: {error.name or error} is not installed in this Python ({sys.executable}): pip "
            "install minildm, or in a clone of the book make lab, and then use .venv/bin/python",
            file=sys.stderr,
        )
    except _expected() as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def _expected() -> tuple:
    """Errors that say what to do. Asked for after one was raised: what can raise it is imported."""
    module = sys.modules.get("minildm.files.checkpoint")
    return (ValueError, OSError, *([module.CheckpointError] if module else []))


if __name__ == "__main__":
    sys.exit(main())
