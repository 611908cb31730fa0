"""The command ``train``: settings from text, recipes by name, going on."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import experiments
import pytest
import torch

from book import recipes as trainings
from book.digit_judge import ClassifierConfig
from minildm import __main__ as command_line
from minildm import recipes as registry
from minildm.data import LabelledSplit
from minildm.engine.records import Progress, time_left
from minildm.engine.settings import FitConfig, keys, override, reseeded
from minildm.latent import LatentDiffusion
from minildm.recipes import RECIPES, Recipe
from minildm.train import DenoiserTraining


@dataclass(frozen=True)
class Config:
    flag: bool = False
    name: str = "a"
    sizes: tuple[int, ...] = (1, 2)
    maybe: float | None = None
    fit: FitConfig = field(default_factory=FitConfig)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("flag=true", True),
        ("name=none", "none"),
        ("sizes=3,4,5", (3, 4, 5)),
        ("sizes=(7,)", (7,)),
        ("sizes=", ()),
        ("maybe=0.5", 0.5),
        ("maybe=None", None),
        ("fit.steps=7", 7),
        ("fit.lr=1e-4", 1e-4),
        ("name=a=b", "a=b"),
    ],
)
def test_text_becomes_a_value_of_the_settings_type(change, value):
    start = replace(Config(), maybe=2.0)
    changed = override(start, [change])
    got = changed
    for part in change.split("=")[0].split("."):
        got = getattr(got, part)
    assert got == value
    assert type(got) is type(value)
    differ = [k for k in keys(start) if value_of(start, k) != value_of(changed, k)]
    assert differ == [change.split("=")[0]]  # nothing else moved


def value_of(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("fit.stepz=3", r"no setting 'fit.stepz'. Did you mean fit.steps.*There are: flag, name"),
        ("fit=3", "no setting 'fit'"),
        ("fit.steps.x=3", "no setting"),
        ("__class__=3", "no setting"),
        ("fit.steps=1.5", "fit.steps must be a whole number; got '1.5'"),
        ("fit.steps=none", "fit.steps must be a whole number"),
        ("fit.lr=fast", "fit.lr must be a number"),
        ("flag=1", "flag must be true or false"),
        ("sizes=1,x", "sizes must be a whole number"),
        ("fit.steps=0", "steps must be a whole number >= 1; got 0"),
        ("fit.steps", "key=value"),
        ("fit.steps=" + "9" * 5000, "fit.steps must be a whole number"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        override(Config(), [change])


@dataclass(frozen=True)
class Pair:
    low: int = 1
    high: int = 2

    def __post_init__(self):
        if self.low >= self.high:
            raise ValueError(f"low must be below high; got {self.low} and {self.high}")


@dataclass(frozen=True)
class Outer:
    pair: Pair = field(default_factory=Pair)


@pytest.mark.parametrize("changes", [["pair.low=5", "pair.high=9"], ["pair.high=9", "pair.low=5"]])
def test_settings_that_only_fit_together_are_changed_together(changes):
    assert override(Outer(), changes) == Outer(Pair(5, 9))


def test_what_a_part_refuses_is_said_with_its_name():
    with pytest.raises(ValueError, match="pair: low must be below high; got 5 and 2"):
        override(Outer(), ["pair.low=5"])


def test_a_setting_is_given_once():
    with pytest.raises(ValueError, match="fit.steps is given twice: '5' and '6'"):
        override(Config(), ["fit.steps=5", "fit.steps=6"])


def test_every_setting_of_every_recipe_can_be_set_to_itself():
    for name, recipe in RECIPES.items():
        for key in keys(recipe.config):
            value = value_of(recipe.config, key)
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            assert override(recipe.config, [f"{key}={text}"]) == recipe.config, (name, key)


def test_a_seed_reaches_every_part():
    changed = reseeded(RECIPES["digits"].config, 7)
    assert (changed.autoencoder.fit.seed, changed.denoiser.fit.seed) == (7, 7)
    assert reseeded(DenoiserTraining(), 7).fit.seed == 7


def test_the_command_gives_the_recipe_what_was_asked(monkeypatch, tmp_path, capsys):
    calls = []
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(ClassifierConfig(), lambda *given: calls.append(given))
    monkeypatch.setitem(RECIPES, "digits", recipe)
    main = command_line.main
    assert main(["train", "digits"]) == 0
    assert calls.pop() == (ClassifierConfig(), Path("outputs/digits"), True, False)
    out = str(tmp_path / "new")
    options = ["--set", "fit.steps=5", "width=16", "--set", "fit.lr=0.5", "--seed", "3"]
    assert main(["train", "digits", "--out", out, *options, "--resume"]) == 0
    config, where, _, resume = calls.pop()
    assert (config.fit.steps, config.width, config.fit.lr, config.fit.seed) == (5, 16, 0.5, 3)
    assert (where, resume) == (Path(out), True)
    assert main(["train", "digits", "--resume", "last-good"]) == 0
    assert calls.pop()[3] == "last-good"
    assert main(["train", "digits", "--set", "fit.step=5"]) == 1
    assert "Did you mean fit.steps" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "digitz"])
    assert "choose from" in capsys.readouterr().err
    assert not calls


@pytest.mark.parametrize("name", ["digits", "digit-classifier"])
def test_recipes_train_save_and_go_on(name, monkeypatch, tmp_path, capsys):
    x = torch.linspace(-1, 1, 40 * 784).sin().reshape(40, 1, 28, 28)  # (31360,) -> (B, ..)
    split = LabelledSplit(x, torch.arange(40) % 10, x[:5], torch.arange(5))
    monkeypatch.setattr(registry, "digits", lambda: split)
    monkeypatch.setattr(trainings, "digits", lambda: split)
    words = command_line.parser if name == "digits" else experiments.parser
    parts = ("autoencoder.", "denoiser.") if name == "digits" else ("",)
    quick = [
        f"{p}fit.{k}" for p in parts for k in ("steps=2", "batch=8", "save_every=1", "device=cpu")
    ]
    arguments = ["train", name, "--out", str(tmp_path), "--set", *quick]
    assert command_line.main(arguments, words) == 0
    first = (tmp_path / "model.safetensors").read_bytes()
    assert command_line.main(arguments, words) == 1
    assert "holds a training at step 2" in capsys.readouterr().err
    (tmp_path / "model.safetensors").unlink()
    assert command_line.main([*arguments, "--resume"], words) == 0
    assert (tmp_path / "model.safetensors").read_bytes() == first
    if name == "digits":
        model = LatentDiffusion.load(tmp_path)
        assert model.generate([3], steps=2, seed=0).shape == (1, 1, 28, 28)
        assert sorted(p.name for p in (tmp_path / "training").glob("*.png")) == [
            "samples-00001.png", "samples-00002.png",
        ]  # fmt: skip


def test_the_time_left_is_that_of_the_steps_left():
    assert time_left(Progress(50, 0.1, 0.1, seconds=100.0), 2000) == "1:05:00"
