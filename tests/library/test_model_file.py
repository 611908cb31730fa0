"""Models on disk: which one a name means, where it may be written, what a wrong config says."""

import json
import re
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_latent import make

from book import digit_judge as classifier
from book import shape_reader as features
from minildm.files import checkpoint, places
from minildm.files.checkpoint import CheckpointError, save_checkpoint
from minildm.files.places import find_model, shipped_models
from minildm.latent import LatentDiffusion
from minildm.schedule import CosineSchedule, FlowSchedule


@pytest.fixture
def book(monkeypatch, tmp_path):
    """A book whose one model is a tiny "digits", and a working directory of its own."""
    monkeypatch.setattr(places, "SHIPPED", tmp_path / "clone" / "data" / "checkpoints")
    monkeypatch.delenv(places.VARIABLE, raising=False)
    make().save(places.SHIPPED / "digits")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


# --- names ----------------------------------------------------------------------------------------


def test_a_folder_in_the_working_directory_never_hides_a_model_of_the_book(book):
    place = find_model("digits")
    assert place == places.SHIPPED / "digits"
    (book / "work" / "digits").mkdir()
    with pytest.warns(UserWarning, match="'digits' is the book's model, in .*write './digits'"):
        assert find_model("digits") == place
    with pytest.raises(FileNotFoundError, match=r"digits/config.json is missing"):
        LatentDiffusion.load("./digits")
    make(CosineSchedule()).save("./digits")
    assert type(LatentDiffusion.load("./digits").schedule).__name__ == "CosineSchedule"
    with pytest.warns(UserWarning, match="is the book's model"):
        assert type(LatentDiffusion.load("digits").schedule).__name__ == "DiscreteSchedule"


def test_other_bare_names_are_folders_first(book):
    make().save("mine")
    make(FlowSchedule()).save(places.SHIPPED / "mine")
    assert type(LatentDiffusion.load("mine").schedule).__name__ == "DiscreteSchedule"
    shutil.rmtree("mine")
    assert type(LatentDiffusion.load("mine").schedule).__name__ == "FlowSchedule"
    assert shipped_models() == ["digits", "mine"]


def test_a_folder_of_models_can_be_named_in_the_environment(book, monkeypatch):
    other = book / "other" / "checkpoints"
    make(FlowSchedule()).save(other / "digits")
    make().save(other / "shapes")
    monkeypatch.setenv(places.VARIABLE, str(other))
    assert find_model("digits") == other / "digits"  # it is looked at first
    assert find_model("shapes") == other / "shapes"
    assert shipped_models() == ["digits", "shapes"]


def test_what_is_missing_is_said_with_all_places(book, monkeypatch):
    with pytest.raises(FileNotFoundError) as error:
        LatentDiffusion.load("other")
    for part in (str(book / "work"), "$MINILDM_DATA (not set)", str(places.SHIPPED), "of digits"):
        assert part in str(error.value)
    monkeypatch.setattr(places, "SHIPPED", book / "site" / "data" / "checkpoints")
    monkeypatch.setenv(places.VARIABLE, "nowhere")
    for load in (
        lambda: LatentDiffusion.load("digits"),
        lambda: LatentDiffusion.load("shapes"),
        classifier.load_classifier,
        features.load_reader,
    ):
        with pytest.raises(FileNotFoundError) as error:
            load()
        for part in ("MINILDM_DATA = nowhere", "set MINILDM_DATA to the", "pip install -e"):
            assert part in str(error.value)
    (book / "work" / "digits").mkdir()
    with pytest.raises(FileNotFoundError, match="comes with the book, is missing"):
        LatentDiffusion.load("digits")  # not the folder that happens to have the name


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "shapes/nothing"])
def test_names_that_no_file_has_are_missing(book, name):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        LatentDiffusion.load(name)


# --- writing --------------------------------------------------------------------------------------


def test_a_model_of_the_book_is_replaced_only_if_it_is_asked_for(book):
    path = places.SHIPPED / "digits" / "config.json"
    before, model = path.read_bytes(), make(FlowSchedule())
    with pytest.raises(
        ValueError, match="'shapes' is the name of a model of the book; save to './"
    ):
        model.save("shapes")
    with pytest.raises(ValueError, match="name of a model of the book"):
        model.save("digits", overwrite=True)
    for folder in (places.SHIPPED / "digits", str(places.SHIPPED / "x" / ".." / "digits")):
        with pytest.raises(ValueError, match="overwrite=True replaces it"):
            model.save(folder)
    assert path.read_bytes() == before and not list((book / "work").iterdir())
    model.save(places.SHIPPED / "digits", overwrite=True)
    assert path.read_bytes() != before
    model.save(places.SHIPPED / "new")  # beside them there is room
    model.save("./digits"), model.save("./digits")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, "float16", torch.int64])
def test_weights_are_rounded_to_real_numbers_only(tmp_path, dtype):
    with pytest.raises(ValueError, match="dtype must be None, torch.float16, bfloat16, float32"):
        make().save(tmp_path / "m", dtype)
    assert not (tmp_path / "m").exists()


def test_weights_that_overflow_or_are_nan_are_not_saved(tmp_path):
    model = make()
    model.save(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    weight = model.network.enter.weight
    with torch.no_grad():
        weight[0, 0, 0, 0] = 1e5
    with pytest.raises(
        ValueError, match="network.enter.weight has 1 weights beyond .*dtype=None or"
    ):
        model.save(tmp_path, torch.float16)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    model.save(tmp_path, torch.bfloat16)
    assert float(LatentDiffusion.load(tmp_path).network.enter.weight[0, 0, 0, 0]) > 9e4
    with torch.no_grad():
        weight[0, 0, 0, 0] = torch.nan
    before = (tmp_path / "model.safetensors").read_bytes()
    for dtype in (None, torch.float16):
        with pytest.raises(CheckpointError, match="network.enter.weight has 1 entries"):
            model.save(tmp_path, dtype)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    class Own(CosineSchedule):
        """A schedule of one's own."""

    with pytest.raises(ValueError, match="schedule is a Own; a file of a model holds Discrete"):
        make(Own()).save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


# --- reading --------------------------------------------------------------------------------------


def rewritten(folder, **changes):
    """The model's files with another config, as if it had been saved so: all digests are right."""
    tensors, config = checkpoint.load_checkpoint(folder)
    for key, value in changes.items():
        place, *rest = key.split("__")
        if rest:
            config[place][rest[0]] = value
        else:
            config[place] = value
    shutil.rmtree(folder)
    save_checkpoint(folder, tensors, config)


HUGE = 10**30
FIELDS = {  # key of config.json -> values that cannot be right
    "model": ["DigitClassifier", None, 3],
    "autoencoder_kind": ["X", None, 3, [], "Path"],
    "autoencoder": [None, [], {}, "x", {"widht": 3}, 3],
    "autoencoder__width": [0, -8, 80_000, 16, "8", None, 12, 2.5, HUGE, True],
    "autoencoder__factor": [3, 0, 8, None],
    "autoencoder__latent_channels": [0, 4, -1],
    "network": [None, [], {}, "x", 3, {"text": {}}, {"text": 3}],
    "network__width": [0, 4096, 80_000, 16, HUGE],
    "network__blocks": [-1, 0, 2, 100_000, HUGE],
    "network__heads": [0, -1, 3, 2.5, None],
    "network__channels": [3, 0, -2],
    "network__multipliers": [[], [1, -2], [1] * 50, 3, None, "12", [[1]]],
    "network__attention": [[5], [-1], None, [0], "0"],
    "network__classes": [-1, 4, HUGE, 10**9],
    "network__context_dim": [8, -1],
    "network__time_scale": ["x", 0, None, 1e300],
    "schedule": ["X", None, "CosineSchedule", 3, []],
    "latent_size": ["ab", None, [7], [7, 7, 7], [-1, 7], [10**6] * 2, [2.5, 4], 7, [], [True, 4]],
    "parameterization": ["checks", "X", None, 3, "Tensor", []],
}  # fmt: skip


@pytest.mark.parametrize("key", FIELDS)
def test_every_wrong_config_ends_quickly_in_one_error_that_names_the_field(tmp_path, key):
    make().save(tmp_path / "good")
    for value in FIELDS[key]:
        shutil.copytree(tmp_path / "good", tmp_path / "bad")
        rewritten(tmp_path / "bad", **{key: value})
        begin = time.perf_counter()
        with pytest.raises(CheckpointError) as error:
            LatentDiffusion.load(tmp_path / "bad")
        assert time.perf_counter() - begin < 10, value
        names = {*key.split("__"), "does not fit", "do not fit", "denoises 3 channels"}
        assert any(re.search(name, str(error.value)) for name in names), (value, error.value)
        assert str(tmp_path / "bad") in str(error.value)
        shutil.rmtree(tmp_path / "bad")


@pytest.mark.parametrize("key", ["autoencoder", "network", "schedule", "latent_size", "model",
                                 "parameterization"])  # fmt: skip
def test_a_field_that_is_missing_is_named(tmp_path, key):
    make().save(tmp_path)
    tensors, config = checkpoint.load_checkpoint(tmp_path)
    del config[key]
    save_checkpoint(tmp_path, tensors, config)
    with pytest.raises(CheckpointError, match=key):
        LatentDiffusion.load(tmp_path)


def test_a_config_that_was_edited_by_hand_is_noticed(tmp_path):
    make().save(tmp_path)
    path = tmp_path / "config.json"
    text = path.read_text()
    for key, value in (
        ("parameterization", "FLOW"), ("schedule", "CosineSchedule"), ("latent_size", [8, 8]),
    ):  # fmt: skip
        path.write_text(json.dumps({**json.loads(text), key: value}))
        with pytest.raises(CheckpointError, match="was changed after it was written"):
            LatentDiffusion.load(tmp_path)
    config = json.loads(text)
    config["network"]["heads"] = 1  # the weights have the same shapes: no other test sees it
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="was changed after it was written"):
        LatentDiffusion.load(tmp_path)
    path.write_text(json.dumps(json.loads(text)))  # another layout of the same is the same
    LatentDiffusion.load(tmp_path)
    path.write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="is not a checkpoint's config"):
        LatentDiffusion.load(tmp_path)


def with_tensor(folder, name, change):
    """The model's file with one tensor changed, and its digests put right."""
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = change(tensors[name])
    save_file(tensors, folder / "model.safetensors")
    data = (folder / "model.safetensors").read_bytes()
    config["sha256"] = checkpoint.hashlib.sha256(data).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("autoencoder.scale", lambda x: x * torch.nan, "autoencoder.scale has 1 entries .* NaN"),
        ("autoencoder.scale", lambda x: x * 0, "scale must be positive and real; it is 0"),
        ("autoencoder.scale", lambda x: -x, "scale must be positive and real; it is -2.5"),
        ("autoencoder.scale", lambda x: x.int(), "positive and real; it is 2, torch.int32"),
        ("network.enter.bias", lambda x: x + torch.inf, "network.enter.bias has 8 entries"),
        ("network.enter.bias", lambda x: x.int(), "network.enter.bias is torch.int32"),
        ("network.enter.bias", lambda x: x > 0, "network.enter.bias is torch.bool"),
        ("network.enter.bias", lambda x: x[:3].clone(), r"bias is \(3,\), and must be \(8,\)"),
        ("network.extra", None, "extra"),
        ("extra", None, "extra"),
        ("betas", lambda x: x.float(), "schedule cannot be used: betas must be float64"),
        ("betas", lambda x: x + 1, r"schedule cannot be used: betas\[0\]"),
        ("betas", lambda x: x[None], "schedule cannot be used: betas must"),
    ],
)  # fmt: skip
def test_wrong_weights_are_refused_though_every_digest_is_right(tmp_path, name, change, message):
    make().save(tmp_path)
    if change is None:
        config = json.loads((tmp_path / "config.json").read_text())
        tensors = load_file(tmp_path / "model.safetensors")
        config = {k: v for k, v in config.items() if not k.startswith("sha256")}
        save_checkpoint(tmp_path, {**tensors, name: torch.zeros(2)}, config)
    else:
        with_tensor(tmp_path, name, change)
    with pytest.raises(CheckpointError, match=message):
        LatentDiffusion.load(tmp_path)


def test_the_shipped_models_carry_both_digests():
    homes = sorted(places.SHIPPED.glob("*/config.json"))
    judges = {"digit_classifier", "shape_reader"}
    assert {path.parent.name for path in homes} == {*places.MODELS, *judges}
    for path in homes:
        assert {"sha256", "sha256_config"} <= set(json.loads(path.read_text()))
