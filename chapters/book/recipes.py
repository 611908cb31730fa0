"""The trainings that only the book needs, by name: ``python tools/experiments.py train NAME``."""

from pathlib import Path

from book import digit_judge
from book.networks import save_network
from book.pixel_space import PixelTraining, train_pixels
from book.shape_reader import ReaderTraining, held_out, train_reader
from minildm.data import digits
from minildm.engine.devices import is_main_process
from minildm.recipes import EXAMPLE, TRAINING, Recipe


def train_shape_reader(
    config: ReaderTraining, out: Path, progress: bool = True, resume: bool | str = False
) -> None:
    """The network whose features the Fréchet distance of captioned shapes is measured in."""
    net, _ = train_reader(config, progress, folder=out / TRAINING, resume=resume)
    if is_main_process():
        metrics = held_out(net)
        save_network(net, config, metrics, out)
        print(f"{out}: {metrics}")


def train_digit_classifier(
    config: digit_judge.ClassifierConfig,
    out: Path,
    progress: bool = True,
    resume: bool | str = False,
) -> None:
    """The judge of digits, with its held-out figures."""
    split = digits()
    keep = {"folder": out / TRAINING, "resume": resume}
    net, _ = digit_judge.train_classifier(config, split.x, split.labels, progress, **keep)
    if is_main_process():
        metrics = digit_judge.judge(net, split)
        save_network(net, config, metrics, out)
        print(f"{out}: {metrics}")


RECIPES = {
    "digit-classifier": Recipe(digit_judge.ClassifierConfig(), train_digit_classifier),
    "shape-reader": Recipe(ReaderTraining(), train_shape_reader),
    "pixels": Recipe(PixelTraining(), train_pixels, f'"{EXAMPLE}"'),
}
