"""From nothing to pictures that do what their captions say: our recipe against diffusers' own.

    python benchmarks/time_to_quality.py ours
    python benchmarks/time_to_quality.py stock --rate 1e-3
    python benchmarks/time_to_quality.py table

Both learn from the same pictures, captions and autoencoder, whose minutes count for both, and draw
with 25 steps of 2M and the same guidance. Ours is what ``python -m minildm train shapes`` runs, and
takes the same ``--set``; the other is stock_recipe.py. Each takes hours. A run that was stopped
goes on when it is started again; the clocks count training alone (quality_record.py).
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # when this file itself is run
    sys.path[:0] = [str(ROOT / "chapters"), str(ROOT)]

from benchmarks import quality_table  # noqa: E402
from benchmarks.quality_record import FILE, Record, as_figures, read_run  # noqa: E402
from benchmarks.quality_table import LEVELS, lines, not_reached, result_of  # noqa: E402
from book.ch05_2_unet.cost import parameters  # noqa: E402
from book.ch05_5_text_to_image.measure_shapes import Task, draw  # noqa: E402
from minildm.autoencoder import Autoencoder  # noqa: E402
from minildm.engine.devices import surroundings  # noqa: E402
from minildm.engine.records import read_history  # noqa: E402
from minildm.engine.resume import METRICS, checkpoints  # noqa: E402
from minildm.engine.settings import override  # noqa: E402
from minildm.files.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from minildm.latent import LatentDiffusion  # noqa: E402
from minildm.shapes.captions import asked_texts  # noqa: E402
from minildm.shapes.judge import Accuracy, caption_accuracy, judge  # noqa: E402
from minildm.shapes.scenes import Pictures, splits  # noqa: E402
from minildm.shapes.training import (  # noqa: E402
    GUIDANCE,
    SCHEDULE,
    ShapesTraining,
    assemble,
    gate,
    training_pictures,
)
from minildm.text import build_network  # noqa: E402
from minildm.train import encode_all, train_autoencoder, train_denoiser  # noqa: E402
from minildm.words import tokenize  # noqa: E402

NAME = "time_to_quality"
QUESTION = "How many minutes from nothing until 90 % and 97 % of unseen captions are drawn right?"
FOLDER = Path("outputs") / "quality"
SWEPT = (1.5, 2.5, 4.0)  # guidance, tried when a run is over
POINTS = 14
Draw = Callable[[Tensor, float, int], Tensor]  # (scenes (n, 10), guidance, seed) -> pictures


# --- what both begin with -------------------------------------------------------------------------


class Common(NamedTuple):
    """The autoencoder, latents z0 (n, c, h, w) and tokens (n, L) to learn from; what it cost."""

    autoencoder: Autoencoder
    z0: Tensor
    tokens: Tensor
    cost: dict[str, float]


def common(
    config: ShapesTraining, place: Path, progress: bool = True, model: Path | None = None
) -> Common:
    """Train the autoencoder and encode all pictures, or read both from ``place``.

    ``model``: a text-to-image model whose autoencoder is taken, at the cost that it has noted.
    Raises ValueError where ``place`` or ``model`` holds an autoencoder of another recipe.
    """
    about = {"autoencoder": asdict(config.autoencoder), "pictures": config.pictures}
    record = Record(place, {**about, "seed": config.seed})
    if model is not None:
        return taken_from(model, config, record)
    forget_what_was_not_noted(place / "training", record)

    def note(_: nn.Module, step: int) -> None:
        record.note(step, record.stop())
        record.start()

    record.start()
    pictures, tokens = training_pictures(config)
    trained = train_autoencoder(
        config.autoencoder, pictures, progress, folder=place / "training", resume=True,
        every_save=note,
    )  # fmt: skip
    z0 = encode_all(trained.net, pictures, place / "latents")
    clocks = record.stop()
    if "cost" not in record.data:
        unseen = Pictures(splits().validation, config.gate_pictures, config.seed)
        record.data |= {"cost": clocks, "gate": gate(trained.net, unseen).figures()}
        record.data["surroundings"] = surroundings()
        record.write()
    return Common(trained.net, z0, tokens, record.data["cost"])


def taken_from(model: Path, config: ShapesTraining, record: Record) -> Common:
    """The autoencoder of a trained model. Its processor time: all its threads, all the time."""
    noted = json.loads((model / "metrics.json").read_text(encoding="utf-8"))["training"]
    for name in ("autoencoder", "pictures", "seed"):
        there, here = noted["config"][name], json.loads(json.dumps(record.data["about"][name]))
        if there != here:
            raise ValueError(f"{model} has {name} {there}, this run {here}: leave --model out")
    autoencoder = LatentDiffusion.load(model).autoencoder
    pictures, tokens = training_pictures(config)
    record.start()
    z0 = encode_all(autoencoder, pictures, record.folder / "latents")
    encoding = record.stop()
    if "cost" not in record.data:
        wall = noted["seconds"]["autoencoder"]
        trained = {"wall": wall, "cpu": wall * noted["threads"]}
        record.data["cost"] = {clock: trained[clock] + encoding[clock] for clock in trained}
        record.data |= {"gate": noted["gate"], "surroundings": surroundings()}
        record.write()
    return Common(autoencoder, z0, tokens, record.data["cost"])


def forget_what_was_not_noted(folder: Path, record: Record) -> None:
    """Remove checkpoints newer than the newest point: their time was lost with the process."""
    for place in checkpoints(folder):
        if int(place.name.removeprefix("state-")) > record.last["step"]:
            shutil.rmtree(place)


# --- judging --------------------------------------------------------------------------------------


def accuracy(draw_scenes: Draw, rows: Tensor, guidance: float = GUIDANCE) -> Accuracy:
    """How many of these scenes (n, 10) are drawn as their captions say."""
    return caption_accuracy(judge(draw_scenes(rows, guidance, 100)), rows)


def weights_at(record: Record, step: int) -> Path:
    """Where the averaged weights of a point are."""
    return record.folder / f"weights-{step:06d}"


def judge_point(record: Record, step: int, draw_scenes: Draw, captions: int) -> None:
    """Judge what the weights of a point draw of validation captions, and say so."""
    found = accuracy(draw_scenes, splits().validation[:captions])
    record.judged(step, found)
    point, cost = record.last, record.data["autoencoder"]
    minutes, cpu = ((cost[clock] + point[clock]) / 60 for clock in ("wall", "cpu"))
    print(
        f"{record.folder}: step {step}, {minutes:.1f} min ({cpu:.1f} of a processor), "
        f"loss {point['loss']:.4f}: {found.joint:.1%} of {captions} captions", flush=True,
    )  # fmt: skip


def finish(record: Record, draw_scenes: Draw, args: argparse.Namespace) -> None:
    """When a run is over: which guidance would have served it best, and its test captions."""
    few, test = splits().validation[: max(1, args.captions // 2)], splits().test[: args.test]
    sweep = {w: accuracy(draw_scenes, few, w).joint for w in SWEPT}
    best = max(sweep, key=lambda w: sweep[w])
    record.data["guidance_on_validation"] = {str(w): round(a, 4) for w, a in sweep.items()}
    for name, guidance in (("test", GUIDANCE), ("test_at_best_guidance", best)):
        figures = as_figures(accuracy(draw_scenes, test, guidance))
        record.data[name] = {"guidance": guidance, **figures}
        print(f"{record.folder}: {name}, guidance {guidance}: {figures['accuracy']:.1%}")
    record.data["surroundings"] = surroundings()
    record.write()


# --- ours -----------------------------------------------------------------------------------------


def run_ours(args: argparse.Namespace) -> None:
    """Our recipe: the library's own trainings, looked at every ``--every`` steps."""
    config = configured(args)
    start = common(config, args.autoencoder or args.folder / "autoencoder", model=args.model)
    denoiser = asdict(config.denoiser)
    del denoiser["fit"]["save_every"]  # how often it is looked at changes nothing
    about = {"recipe": "ours", "denoiser": denoiser, "guidance": GUIDANCE}
    record = Record(args.folder / args.name, about)
    training = record.folder / "training"
    forget_what_was_not_noted(training, record)
    network = build_network(config.denoiser.model)
    record.data |= {"autoencoder": start.cost, "parameters": sizes(network)}

    def artist(net: nn.Module) -> Draw:
        model = assemble(start.autoencoder, net, config.denoiser.parameterization)
        return lambda rows, guidance, seed: draw(model, Task(rows), guidance, seed)

    def look(net: nn.Module, step: int) -> None:
        clocks, loss = record.stop(), read_history(training / METRICS)[-1].loss
        save_checkpoint(weights_at(record, step), net.state_dict(), about)
        record.note(step, clocks, loss)
        judge_point(record, step, artist(net), args.captions)
        record.start()

    judge_waiting(record, network, artist, args)
    record.start()
    trained = train_denoiser(
        config.denoiser, SCHEDULE, start.z0, start.tokens, True, folder=training, resume=True,
        every_save=look,
    )  # fmt: skip
    if "test" not in record.data:
        finish(record, artist(trained.net), args)


def configured(args: argparse.Namespace) -> ShapesTraining:
    """Our recipe with ``--set``, ``--steps`` and ``--every``."""
    steps = [] if args.steps is None else [f"denoiser.fit.steps={args.steps}"]
    config = override(ShapesTraining(), [*args.set, *steps])
    every = args.every or every_so_often(config.denoiser.fit.steps)
    return override(config, [f"denoiser.fit.save_every={every}"])


def every_so_often(steps: int) -> int:
    """Steps from one point to the next: about ``POINTS`` of them, a multiple of 50 where it can."""
    return max(50 * round(steps / POINTS / 50), 1) if steps >= 25 * POINTS else -(-steps // POINTS)


def judge_waiting(record: Record, net: Any, artist: Callable[[Any], Draw], args: Any) -> None:
    """Judge the points that a kill has left without."""
    for step in record.waiting():
        net.load_state_dict(load_checkpoint(weights_at(record, step))[0])
        judge_point(record, step, artist(net.eval()), args.captions)


def sizes(net: Any) -> dict[str, int]:
    """Of a text-to-image network: how many numbers it learns, and how many of them in its UNet."""
    return {"all": parameters(net), "unet": parameters(net.unet)}


# --- theirs ---------------------------------------------------------------------------------------


def run_stock(args: argparse.Namespace) -> None:
    """diffusers' recipe, on the latents of our autoencoder."""
    from benchmarks import stock_recipe as stock

    config = configured(args)
    start = common(config, args.autoencoder or args.folder / "autoencoder", model=args.model)
    text = config.denoiser.model.text  # type: ignore[union-attr]  # the model of a TextUNet
    with torch.device("meta"):
        wanted = parameters(build_network(config.denoiser.model))
    settings = stock.StockSettings(
        config.denoiser.fit.steps, rate=args.rate, warmup=args.warmup,
        seed=config.denoiser.fit.seed, text=text, widths=stock.widths_like(wanted, text),
    )  # fmt: skip
    about = {"recipe": "stock", "sampler": args.sampler, "guidance": GUIDANCE, **asdict(settings)}
    record = Record(args.folder / args.name, about, free=("steps",))  # its rate is constant
    training, state = stock.StockTraining(settings, start.z0, start.tokens), record.folder / "state"
    if state.exists():
        training.restore(state)
    record.cut(training.step)
    net = stock.StockNetwork(settings, *start.z0.shape[1:3])
    record.data |= {"autoencoder": start.cost, "parameters": sizes(net)}

    def artist(net: stock.StockNetwork) -> Draw:
        def draw_scenes(rows: Tensor, guidance: float, seed: int) -> Tensor:
            tokens, shape = tokenize(asked_texts(rows), text), tuple(start.z0.shape[1:])
            z = stock.draw_latents(net, tokens, shape, args.sampler, guidance, seed=seed)
            model, parts = start.autoencoder, z.split(250)
            with torch.no_grad():
                x = torch.cat([model.decode(part / model.scale) for part in parts])
            return x.clamp(-1, 1)

        return draw_scenes

    judge_waiting(record, net, artist, args)
    every = config.denoiser.fit.save_every

    def look() -> None:
        net.load_state_dict(training.averaged())
        judge_point(record, training.step, artist(net.eval()), args.captions)

    stock_loop(record, training, settings.steps, every, look)
    if "test" not in record.data:
        finish(record, artist(net.eval()), args)


def stock_loop(
    record: Record, training: Any, steps: int, every: int, look: Callable[[], object]
) -> None:
    """Train to ``steps``; note, save and look at it ``every`` so many."""
    losses: list[float] = []
    record.start()
    while training.step < steps:
        losses.append(training.one_step())
        if training.step % every == 0 or training.step == steps:
            clocks, mean = record.stop(), sum(losses[-50:]) / len(losses[-50:])
            save_checkpoint(weights_at(record, training.step), training.averaged(), {})
            record.note(training.step, clocks, mean)
            training.save(record.folder / "state")
            look()
            record.start()


# --- for run.py, and the command line -------------------------------------------------------------

rows = quality_table.rows


def run(options: Any) -> dict:
    """What the runs in ``FOLDER`` have reached so far: none is started here, they take hours."""
    missing = [name for name in ("ours", "stock") if not (FOLDER / name / FILE).exists()]
    if missing:
        said = f"no run of {' and '.join(missing)} in {FOLDER}; start it with {Path(__file__).name}"
        return {"runs": {}, "levels": list(LEVELS), "notes": [said]}
    found = result_of(FOLDER)
    return {**found, "notes": [settings_of(found["runs"]), *not_reached(found)]}


def settings_of(runs: Mapping) -> str:
    """In which settings our run was not the library's own recipe, and what the other's rate was."""
    usual = json.loads(json.dumps(asdict(ShapesTraining())))
    first = read_run(FOLDER / "autoencoder")["about"]
    told = {"autoencoder": first["autoencoder"], "denoiser": runs["ours"]["about"]["denoiser"]}
    ours = ", ".join(quality_table.changed(told, usual)) or "as the library has it"
    return f"our recipe: {ours}; the stock recipe: rate {runs['stock']['about']['rate']:g}"


def run_table(args: argparse.Namespace) -> None:
    """Print accuracy against minutes, write it as JSON and, with --figure, draw it."""
    result = result_of(args.folder, args.names)
    print("\n".join(lines(result)))
    (args.folder / f"{NAME}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if args.figure:
        from book.ch05_3_training.figures import quality_against_minutes

        quality_against_minutes(result, args.clock).savefig(args.figure, dpi=150)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description=QUESTION)
    verbs = top.add_subparsers(dest="verb", required=True)
    for name, act in (("ours", run_ours), ("stock", run_stock)):
        verb = verbs.add_parser(name, help=act.__doc__)
        verb.set_defaults(run=act)
        add = verb.add_argument
        add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
            help="settings of our recipe; stock takes its autoencoder, steps and size")  # fmt: skip
        add("--folder", type=Path, default=FOLDER, help=f"where all runs are ({FOLDER})")
        add("--name", default=name, help=f"of this run in the folder ({name})")
        add("--autoencoder", type=Path, help="where it is, or will be (FOLDER/autoencoder)")
        add("--model", type=Path, help="take it, and its cost, from this trained model")
        add("--steps", type=int, help="of the denoiser")
        add("--every", type=int, help=f"steps from point to point (so that there are {POINTS})")
        add("--captions", type=int, default=500, help="of the validation split, at each point")
        add("--test", type=int, default=1000, help="of the test split, when it is over")
        add("--threads", type=int, default=2)
    add("--rate", type=float, default=1e-4, help="its script's is 1e-4")
    add("--warmup", type=int, default=500)
    add("--sampler", choices=("dpm", "ddim"), default="dpm")
    table = verbs.add_parser("table", help=run_table.__doc__)
    table.set_defaults(run=run_table, threads=1)
    table.add_argument("--folder", type=Path, default=FOLDER)
    table.add_argument("--names", nargs="+", default=["ours", "stock"], help="of runs, ours first")
    table.add_argument("--figure", type=Path, help="draw it into this file")
    table.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of the figure")
    return top


def main(words: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    args = parser().parse_args(words)
    torch.set_num_threads(args.threads)
    args.run(args)


if __name__ == "__main__":
    main()
