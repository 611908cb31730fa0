"""Data and labels are looked at before the first step, and a training knows its data again."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from book.digit_judge import ClassifierConfig, train_classifier
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine import identity
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.files.checkpoint import CheckpointError
from minildm.noise import keyed_normal
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
)
from minildm.shapes.captions import LENGTH, VOCABULARY, text_config
from minildm.text import TextUNetConfig
from minildm.train import (
    AutoencoderTraining,
    DenoiserTraining,
    denoiser_loss,
    encode_all,
    train_autoencoder,
    train_both,
    train_denoiser,
)
from minildm.unet import UNetConfig
from minildm.words import tokenize

SCHEDULE = DiscreteSchedule(cosine_betas(100))
FIT = FitConfig(steps=1, batch=4, device="cpu")
AE = AutoencoderTraining(AutoencoderConfig(latent_channels=2, width=8), FIT)
PLAIN = UNetConfig(channels=2, width=8, heads=1, multipliers=(1,))
CLASSES = replace(PLAIN, classes=10)
TEXT = TextUNetConfig(text_config(dim=8, layers=1, heads=1), PLAIN)
N = 20


def absolute_loss(x_hat, x):
    return (x_hat - x).abs().flatten(1).mean(1)


def training(model, **options):
    return DenoiserTraining(model, FIT, **options)


def images(n=N, channels=1):
    return keyed_normal((1,), range(n), (channels, 8, 8)).clamp(-1, 1)


def latents(n=N):
    return keyed_normal((2,), range(n), (2, 2, 2))


LABELS = torch.arange(N) % 10


@pytest.fixture
def no_step(monkeypatch):
    """Whoever begins to train fails."""

    def begun(*_):
        raise AssertionError("a step was taken")

    monkeypatch.setattr("minildm.engine.fit._Training.backward", begun)


# --- pictures -------------------------------------------------------------------------------------


class Lazy:
    """Data that is made when it is asked for, with tensors of indices."""

    def __init__(self, x):
        self.x, self.asked = x, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, indices):
        self.asked.append(indices)
        return self.x[indices]


class Pairs:
    """A data set as torchvision's: one index, (picture, label)."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return images()[int(i)], 3


class Single(Pairs):
    def __getitem__(self, i):
        if not isinstance(i, int):
            raise TypeError("an index must be an int")
        return images()[i]


def broken(value, where=7):
    x = images()
    x[where, 0, 3, 3] = value
    return x


WRONG_PICTURES = {
    "0..255": ((images() + 1) * 127.5, r"x must be in \[-1, 1\].*x / 127.5 - 1"),
    "bytes": (((images() + 1) * 127.5).byte(), "x holds bytes"),
    "NaN": (broken(float("nan")), r"x has 1 entries that are NaN or infinite, in picture 7"),
    "infinite": (broken(float("-inf")), r"x has 1 entries that are NaN or infinite, in picture 7"),
    "one picture": (images()[0], r"x must be \(B, 1, H, W\)"),
    "colour": (images(channels=3), r"x must be \(B, 1, H, W\)"),
    "odd size": (images()[..., :7], "multiples of factor = 4"),
    "whole numbers": (images().long(), "must be real numbers"),
    "none": (images()[:0], "x holds no samples"),
    "text": ("digits", "x must be a tensor"),
    "nothing": (None, "x must be a tensor"),
    "list of pairs": ([(images()[0], 3)] * N, r"x gives tuples, such as \(picture, label\)"),
    "data set of pairs": (Pairs(), r"x gives tuples, such as \(picture, label\)"),
    "single indices": (Single(), r"TypeError: an index must be an int. Use torch.stack"),
    "lazy 0..255": (Lazy((images() + 1) * 127.5), r"x must be in \[-1, 1\]"),
    "lazy NaN": (Lazy(broken(float("nan"))), "x has 1 entries that are NaN"),
    "lazy, too few": (Lazy(images()[:, :, :, 0]), r"x must be \(B, 1, H, W\)"),
}


@pytest.mark.parametrize("kind", WRONG_PICTURES)
def test_pictures_that_cannot_be_right(kind, no_step):
    x, message = WRONG_PICTURES[kind]
    net = build(lambda: Autoencoder(AE.model), 0)
    for call in (
        lambda: train_autoencoder(AE, x),
        lambda: encode_all(net, x),
        lambda: train_both(AE, training(PLAIN), SCHEDULE, x),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_lazy_pictures_are_looked_at_when_they_come():
    """Of 500 a spread of 64 is looked at first; the wrong one is met in its batch."""
    x = Lazy(images(500))
    x.x[201] = 200.0
    config = replace(AE, fit=replace(FIT, steps=10, batch=50))
    with pytest.raises(ValueError, match=r"a batch of x \(.*\) must be in \[-1, 1\]; got -1..200"):
        train_autoencoder(config, x)
    first = x.asked[0]
    assert (len(first), int(first[0]), int(first[-1])) == (64, 0, 499)
    with pytest.raises(ValueError, match="a batch of x"):
        encode_all(build(lambda: Autoencoder(AE.model), 0), x)


def test_other_forms_of_the_same_pictures_give_the_same_training():
    x = images()
    expected = train_autoencoder(AE, x).net.state_dict()
    for same in (x.double(), x.numpy(), x.double().numpy(), x.tolist(), Lazy(x)):
        found = train_autoencoder(AE, same).net.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


# --- conditions -----------------------------------------------------------------------------------


def test_labels_that_cannot_be_right(no_step):
    wrong = {
        "1..10": (LABELS + 1, r"0..9; got 1..10: labels begin at 0, subtract 1"),
        "the null label": (torch.full((N,), 10), r"0..9; got 10..10"),
        "negative": (LABELS - 1, r"0..9; got -1..8"),
        "forgotten": (None, r"condition is missing: this network wants labels 0..9"),
        "too many": (torch.arange(2 * N) % 10, "condition has 40 entries for 20 samples"),
        "too few": (LABELS[:5], "condition has 5 entries for 20 samples"),
        "real": (LABELS.float(), "must be whole numbers"),
        "one hot": (torch.eye(10)[LABELS].long(), r"must be \(20,\)"),
        "text": (["a"] * N, "must be a tensor"),
    }
    for labels, message in wrong.values():
        for call in (
            lambda labels: train_denoiser(training(CLASSES), SCHEDULE, latents(), labels),
            lambda labels: denoiser_loss(training(CLASSES), SCHEDULE, latents(), labels),
            lambda labels: train_both(AE, training(CLASSES), SCHEDULE, images(), labels),
        ):
            with pytest.raises(ValueError, match=message):
                call(labels)
    config, x = ClassifierConfig(width=8, fit=FIT), torch.zeros(N, 1, 28, 28)
    x[:, :, 5] = -1
    for name in ("1..10", "negative", "too many", "too few", "real", "text"):
        with pytest.raises(ValueError, match="labels must be"):
            train_classifier(config, x, wrong[name][0])
    for bad in (x[:, :, :27], x * 255, x * float("nan"), x[:, 0]):
        with pytest.raises(ValueError, match=r"x (must be|has)"):
            train_classifier(config, bad, LABELS)


def test_labels_in_other_forms_are_the_same_labels():
    expected = train_denoiser(training(CLASSES), SCHEDULE, latents(), LABELS).net.state_dict()
    for same in (LABELS.int(), LABELS.numpy(), LABELS.numpy().astype(np.uint8), LABELS.tolist()):
        found = train_denoiser(training(CLASSES), SCHEDULE, latents(), same).net.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_conditions_of_other_kinds(no_step):
    tokens = tokenize(["a small solid red circle"] * N, TEXT.text)
    maps, vectors = torch.zeros(N, 3, 2, 2), torch.zeros(N, 4, 6)
    with_map, with_vectors = replace(PLAIN, concat_channels=3), replace(PLAIN, context_dim=6)
    nan = torch.full_like(maps, torch.nan)
    for model, wrong, message in (
        (PLAIN, LABELS, "condition is given, but this network has none"),
        (TEXT, None, r"condition is missing: this network wants int64 tokens"),
        (TEXT, LABELS, r"must be int64 tokens \(n, L\), L <= "),
        (TEXT, tokens.float(), "use tokenize"),
        (TEXT, tokens[:3], "3 entries for 20 samples"),
        (TEXT, tokens * 0 + len(VOCABULARY), f"must be tokens 0..{len(VOCABULARY) - 1}"),
        (TEXT, tokens - 2, r"got -2"),
        (TEXT, torch.zeros(N, LENGTH + 1, dtype=torch.int64), "use tokenize"),
        (with_map, None, r"wants maps \(n, 3, h, w\)"),
        (with_map, maps[:, :2], r"must be maps \(n, 3, h, w\); got \(20, 2, 2, 2\)"),
        (with_map, torch.zeros(N, 3, 4, 4), r"\(h, w\) = \(2, 2\); got \(20, 3, 4, 4\)"),
        (with_map, nan, "has NaN or infinite numbers in sample 0, 1, 2, 3, 4, .."),
        (with_vectors, vectors[0], "6 entries|4 entries"),
        (with_vectors, vectors[..., :5], r"must be vectors \(n, L, 6\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train_denoiser(training(model), SCHEDULE, latents(), wrong)
        with pytest.raises(ValueError, match=message):
            train_both(AE, training(model), SCHEDULE, images(), wrong)


def test_good_conditions_are_taken():
    tokens = tokenize(["a small solid red circle", ""] * (N // 2), TEXT.text)
    maps = keyed_normal((3,), range(N), (3, 2, 2))
    for model, good in (
        (PLAIN, None),
        (TEXT, tokens),
        (TEXT, tokens.int().numpy()),
        (TEXT, torch.randn(N, 4, 8)),
        (replace(PLAIN, concat_channels=3), maps),
        (replace(PLAIN, concat_channels=3), Lazy(maps.double().float())),
        (replace(PLAIN, context_dim=6), torch.randn(N, 4, 6)),
    ):
        train_denoiser(training(model), SCHEDULE, latents(), good)


# --- latents, schedule, the two together ----------------------------------------------------------


def test_latents_and_schedules_that_cannot_be_right(no_step):
    def call(z0=None, schedule=SCHEDULE):
        z0 = latents() if z0 is None else z0
        for train in (train_denoiser, denoiser_loss):
            with pytest.raises(ValueError) as error:
                train(training(PLAIN), schedule, z0, None)
        return str(error.value)

    assert "z0 must be (n, 2, ..)" in call(latents()[:, :1])
    assert "z0 must be (n, 2, ..)" in call(latents()[:, 0, 0, 0])
    bad = latents()
    bad[3] = torch.nan
    assert "z0 has NaN or infinite numbers in sample 3;" in call(bad)
    assert "z0 has NaN or infinite numbers in sample 3;" in call(Lazy(bad))
    assert "z0 must be real numbers; got torch.int64" in call(latents().long())
    assert "give DiscreteSchedule(betas)" in call(schedule=cosine_betas(100))
    assert "give DiscreteSchedule(betas)" in call(schedule=cosine_betas(100).numpy())
    assert "give DiscreteSchedule(betas)" in call(schedule=None)
    assert "give an instance: CosineSchedule(..)" in call(schedule=CosineSchedule)


def test_all_is_looked_at_before_the_autoencoder_is_trained(no_step, tmp_path):
    four = replace(PLAIN, channels=4)
    large, short = replace(FIT, batch=N + 1), replace(FIT, batch=2, accumulate=3)
    for second, options, message in (
        (training(four), {}, r"for latents of 4 channels, but the autoencoder makes 2"),
        (training(PLAIN), {"schedule": cosine_betas(100)}, "give DiscreteSchedule"),
        (replace(training(PLAIN), fit=large), {}, "batch = 21 is larger than the 20 samples"),
        (replace(training(PLAIN), fit=short), {}, "batch = 2 cannot be split"),
        (replace(training(PLAIN), fit=replace(FIT, precision="fp16", device="cpu")), {}, "GPU"),
    ):
        options = {"schedule": SCHEDULE, "x": images(), **options}
        with pytest.raises(ValueError, match=message):
            train_both(AE, second, **options)
    (tmp_path / "denoiser" / "state-00000004").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds a training at step 4"):
        train_both(AE, training(PLAIN), SCHEDULE, images(), folder=tmp_path)


def test_eps_where_no_signal_is_left_is_warned_of():
    lost, kept = DiscreteSchedule(cosine_betas(1000)), DiscreteSchedule(scaled_linear_betas(1000))
    with pytest.warns(UserWarning, match="eps-prediction divides by it"):
        train_denoiser(training(PLAIN, parameterization="EPS"), lost, latents())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_denoiser(training(PLAIN, parameterization="V"), lost, latents())
        train_denoiser(training(PLAIN, parameterization="EPS"), kept, latents())


# --- the same data, or other data -----------------------------------------------------------------


def changes(x):
    """The same data with small differences, each of which makes it another."""
    one, swapped, shifted = x.clone(), x.clone(), x.clone()
    one[-1, 0, 0, 0] += 0.2
    swapped[[3, 9]] = x[[9, 3]]
    shifted[16:] = -x[16:]
    return {"one number": one, "swapped": swapped, "tail": shifted, "fewer": x[:-1],
            "shape": x.transpose(1, 2), "turned": x.flip(3)}  # fmt: skip


def test_fingerprints_tell_data_apart_and_know_rounded_data_again():
    for x in (images(), latents(), images(300)):
        print_ = identity.fingerprint(x)
        assert not identity.change(print_, identity.fingerprint(x.clone()))
        for name, other in changes(x).items():
            assert identity.change(print_, identity.fingerprint(other)), name
        rounded = x * (1 + 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
        assert not torch.equal(rounded, x)
        assert not identity.change(print_, identity.fingerprint(rounded))
    labels = identity.fingerprint(LABELS)
    assert identity.change(labels, identity.fingerprint(LABELS.flip(0)))
    assert identity.change(labels, None)
    assert not identity.change(None, identity.fingerprint(None))


def test_a_sketch_is_the_sum_that_it_says():
    x = torch.tensor([[3.0, -1.0], [0.5, 2.0], [1.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    places = 2.0 * torch.randint(2, (2, 4), generator=generator) - 1
    samples = 2.0 * torch.randint(2, (3, 4), generator=generator) - 1
    expected = torch.stack([samples[:, k] @ x @ places[:, k] for k in range(4)]) / x.norm()
    assert identity.fingerprint(x)["sketch"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_training_does_not_go_on_with_other_data_or_functions(tmp_path):
    fit = replace(FIT, steps=2, save_every=1)
    first, second = replace(AE, fit=fit), replace(training(CLASSES), fit=fit)
    x, z0, labels = images(), latents(), LABELS
    of_images = {"folder": tmp_path / "a", "resume": True}
    of_latents = {"folder": tmp_path / "b", "resume": True}
    train_autoencoder(first, x, **of_images)
    train_denoiser(second, SCHEDULE, z0, labels, **of_latents)
    for other in (-x, changes(x)["tail"], x[:-1]):
        with pytest.raises(CheckpointError, match=r"x holds other data"):
            train_autoencoder(first, other, **of_images)
    with pytest.raises(CheckpointError, match="reconstruction was 'reconstruction_loss' and is"):
        train_autoencoder(first, x, reconstruction=absolute_loss, **of_images)
    with pytest.raises(CheckpointError, match="condition holds other data, of the same shape"):
        train_denoiser(second, SCHEDULE, z0, (labels + 1) % 10, **of_latents)
    with pytest.raises(CheckpointError, match="z0 holds other data, of the same shape"):
        train_denoiser(second, SCHEDULE, z0.flip(0), labels, **of_latents)
    with pytest.raises(CheckpointError, match="prepare was 'unchanged' and is"):
        train_denoiser(second, SCHEDULE, z0, labels, prepare=nn.Module.float, **of_latents)
    train_autoencoder(first, x.double().numpy(), **of_images)
    with pytest.warns(UserWarning, match="differs in its last digits: .* not bit for bit"):
        train_denoiser(second, SCHEDULE, z0 * (1 + 1e-7), labels, **of_latents)


def test_a_classifier_does_not_go_on_with_other_labels(tmp_path):
    config = ClassifierConfig(width=8, fit=FIT)
    x = keyed_normal((1,), range(N), (1, 28, 28)).clamp(-1, 1)
    train_classifier(config, x, LABELS, folder=tmp_path)
    with pytest.raises(CheckpointError, match="labels holds other data"):
        train_classifier(config, x, LABELS.flip(0), folder=tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="x holds other data"):
        train_classifier(config, x.flip(0), LABELS, folder=tmp_path, resume=True)


def test_kept_latents_are_those_of_all_images_and_of_the_encoder(tmp_path, monkeypatch):
    net, x = build(lambda: Autoencoder(AE.model), 0), images(40)
    net.measure_scale(x)
    z0 = encode_all(net, x, tmp_path)
    for other in (changes(x)["tail"], changes(x)["one number"], changes(x)["swapped"]):
        expected = encode_all(net, other)
        assert not torch.equal(expected, z0)
        assert torch.equal(encode_all(net, other, tmp_path), expected)
    encode_all(net, x, tmp_path)
    with torch.no_grad():
        net.encoder[1].weight.mul_(1.5)
    assert not torch.equal(encode_all(net, x, tmp_path), z0)
    encode_all(net, x, tmp_path)
    net.scale.mul_(1 + 1e-7)  # measured on another kind of processor
    monkeypatch.setattr(Autoencoder, "encode", None)  # so it is not asked again
    encode_all(net, x, tmp_path)
    net.scale.mul_(1.1)
    with pytest.raises(TypeError):
        encode_all(net, x, tmp_path)


def test_a_schedule_is_known_again_with_other_last_digits():
    name = identity.describe_schedule
    for betas in (linear_betas(), scaled_linear_betas(), cosine_betas()):
        generator = torch.Generator().manual_seed(0)
        moved = betas * (1 + 2e-16 * torch.randn(1000, generator=generator, dtype=torch.float64))
        assert not torch.equal(moved, betas)
        assert name(DiscreteSchedule(moved)) == name(DiscreteSchedule(betas))
        moved[500] *= 1 + 1e-8
        assert name(DiscreteSchedule(moved)) != name(DiscreteSchedule(betas))
    assert name(CosineSchedule()) == "CosineSchedule, T = 1.0"


def test_functions_have_names():
    assert identity.name_of(absolute_loss) == "absolute_loss"
    assert identity.name_of(partial(absolute_loss, x=1)) == "absolute_loss(x=1)"
    assert identity.name_of(nn.L1Loss()) == "L1Loss"
    assert identity.name_of(None) is None
