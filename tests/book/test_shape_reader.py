"""The features that the Fréchet distance of captioned shapes is measured in."""

import json
from dataclasses import replace

import pytest
import torch

from book.digit_judge import DigitClassifier
from book.networks import save_network
from book.shape_reader import (
    CHOICES,
    HOME,
    ReaderTraining,
    ShapeReader,
    distance,
    held_out,
    load_reader,
    train_reader,
)
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.files.checkpoint import CheckpointError
from minildm.shapes.scenes import ATTRIBUTES, Pictures, splits


@pytest.fixture(scope="module")
def reader():
    return load_reader()


@pytest.fixture(scope="module")
def real():
    return Pictures(splits().test, 400, 5)


def test_the_shipped_reader_reads_as_well_as_its_metrics_say(reader):
    metrics = json.loads((HOME / "metrics.json").read_text())
    measured = held_out(reader, 500)
    assert metrics["joint"] > 0.95
    assert measured["joint"] == pytest.approx(metrics["joint"], abs=0.03)
    assert min(measured["by_name"].values()) > 0.97


def test_each_attribute_has_its_own_logits(reader, real):
    """Changing one attribute of the truth changes the reading of that one only."""
    rows = reader.read(real[:])
    assert (rows == real.rows).double().mean() > 0.99
    for column, known in enumerate(ATTRIBUTES):
        assert rows[:, column].max() == len(known) - 1
    assert sum(CHOICES) == sum(len(known) for known in ATTRIBUTES)


def test_the_distance_sees_blur_noise_lost_modes_and_not_another_sample(reader, real):
    x, reference = real[:], Pictures(splits().test, 1000, 6)[:]
    floor = distance(reader, x, reference)
    blurred = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    noisy = (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(
        -1, 1
    )
    red = x[(real.rows[:, 4] == 0) | (real.rows[:, 8] == 0)]  # only scenes with something red
    another = Pictures(splits().test, 400, 9)[:]
    assert distance(reader, another, reference) == pytest.approx(floor, rel=0.15)
    for worse in (blurred, noisy, red):
        assert distance(reader, worse, reference) > 1.4 * floor
    assert distance(reader, x, x) == pytest.approx(0, abs=1e-6 * floor + 1e-6)
    assert distance(reader, x, reference) == pytest.approx(distance(reader, reference, x))


def test_features_do_not_depend_on_the_batch(reader, real):
    x = real[:7]
    one, other = reader.features(x, batch=3), reader.features(x)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)  # float32, added in another order


def test_training_learns_and_what_is_saved_is_what_is_loaded(tmp_path):
    quick = FitConfig(
        steps=80, batch=32, lr=3e-3, warmup=5, ema=0.9, optimizer="muon", device="cpu"
    )
    config = replace(ReaderTraining(), width=8, pictures=2000, fit=quick)
    net, history = train_reader(config)
    untrained = held_out(build(lambda: ShapeReader(8), 0), 200)["by_name"]
    learned = held_out(net, 200)["by_name"]
    assert learned["background"] > untrained["background"] + 0.2
    assert history[-1].loss < history[0].loss
    save_network(net, config, {}, tmp_path)
    x = Pictures(splits().validation, 3, 0)[:]
    assert torch.equal(load_reader(tmp_path).features(x), net.features(x))
    save_network(DigitClassifier(8), config, {}, tmp_path)
    with pytest.raises(CheckpointError, match="does not hold a ShapeReader"):
        load_reader(tmp_path)
