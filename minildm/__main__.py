"""The book's command line: train and measure its models."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from minildm import classifier as judge
from minildm.checkpoint import CheckpointError
from minildm.data import digits
from minildm.recipes import RESULTS, measure_digits, train_digits, write_results


def train_digit_classifier(args: argparse.Namespace) -> None:
    """Train the judge of digits and write it with its held-out figures."""
    config = judge.ClassifierConfig()
    config = replace(config, fit=replace(config.fit, seed=args.seed))
    split = digits()
    net, _ = judge.train_classifier(config, split.x, split.labels, progress=True)
    metrics = judge.judge(net, split)
    judge.save_classifier(net, config, metrics, args.out)
    print(f"{args.out}: {metrics}")


def train_digit_model(args: argparse.Namespace) -> None:
    """Train the latent diffusion model of chapter 3 and write it."""
    split = digits()
    trained = train_digits(split.x, split.labels, args.seed, progress=True)
    trained.model.save(args.out)
    print(
        f"{args.out}: autoencoder {trained.autoencoder_seconds:.0f} s, denoiser "
        f"{trained.denoiser_seconds:.0f} s"
    )


def measure_digit_model(args: argparse.Namespace) -> None:
    """Train the model of chapter 3 with each seed; write what the judge says of its samples."""
    figures = measure_digits(judge.load_classifier(), digits(), args.seeds)
    write_results("digits", figures, args.out)
    print(f"{args.out}: {figures['samples_over_seeds']}")


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m minildm", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train a model").add_subparsers(
        dest="what", required=True
    )
    measure = verbs.add_parser("measure", help="measure a model; writes data/results.json")
    measure = measure.add_subparsers(dest="what", required=True)
    commands = [
        (train, "digit-classifier", train_digit_classifier, judge.HOME),
        (train, "digits", train_digit_model, Path("outputs/digits")),
        (measure, "digits", measure_digit_model, RESULTS),
    ]
    for verb, name, run, out in commands:
        command = verb.add_parser(name, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("--out", type=Path, default=out, help=f"where to write ({out})")
        if verb is measure:
            command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        else:
            command.add_argument("--seed", type=int, default=0)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that the reader can mend are one line, without a traceback."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
