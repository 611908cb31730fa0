"""The training of the model of emoji, from one command, at a size that takes seconds."""

import json
from dataclasses import replace

import little_emoji
import pytest
import torch

from minildm.emoji import training
from minildm.emoji.splits import splits
from minildm.emoji.training import EmojiTraining, train_emoji, worded
from minildm.engine.records import read_history
from minildm.engine.settings import override
from minildm.files.checkpoint import load_checkpoint
from minildm.latent import LatentDiffusion
from minildm.recipes import RECIPES, check_fit

TINY = override(
    EmojiTraining(),
    [
        "autoencoder.model.width=8", "autoencoder.model.max_width=8", "autoencoder.fit.steps=4",
        "autoencoder.fit.batch=4", "autoencoder.fit.save_every=2", "denoiser.model.unet.width=8",
        "denoiser.model.text.dim=8", "denoiser.model.unet.heads=2", "denoiser.fit.steps=4",
        "denoiser.fit.batch=4", "denoiser.fit.save_every=2",
    ],
)  # fmt: skip


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_emoji.rendered(tmp_path_factory.mktemp("little"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, little):
    out = tmp_path_factory.mktemp("emoji")
    train_emoji(TINY, out, progress=False, source=little)
    return out


def test_the_folder_holds_a_model_that_knows_the_captions_words(trained, little):
    model = LatentDiffusion.load(trained)
    assert model.text_to_image("woman firefighter, dark skin tone", steps=2, seed=0).shape == (
        1, 3, 64, 64,
    )  # fmt: skip
    words = model.network.config.text.words
    assert {"woman", "firefighter", "medium", "turkey"} <= {*words} and "captions" not in words
    assert model.network.config.text.length == 16
    with pytest.raises(ValueError, match="unknown word 'firefigter'.*nearest: firefighter"):
        model.text_to_image("firefigter", steps=2)
    cost = json.loads((trained / "metrics.json").read_text())["training"]
    assert cost["command"] == "python -m minildm train emoji"
    assert cost["drawings"] == len(splits(little).train)
    assert cost["words"] == len(words)
    for name in ("autoencoder", "denoiser"):
        assert read_history(trained / f"{name}.jsonl")[-1].step == 4
    assert (trained / "training" / "samples-00004.png").stat().st_size > 1000


def test_neither_stage_sees_what_is_held_out(trained, little, monkeypatch):
    seen = {}
    for stage in ("autoencoder", "denoiser"):
        monkeypatch.setattr(training, f"train_{stage}", _looks_at(seen, stage))
    with pytest.raises(Seen):
        train_emoji(TINY, trained / "again", progress=False, source=little)
    assert torch.equal(seen["autoencoder"][1], little[splits(little).train])
    z0 = load_checkpoint(trained / "training" / "latents")[0]["z0"]
    assert len(z0) == len(splits(little).train)


class Seen(Exception):
    """Raised where a stage would begin."""


def _looks_at(seen, stage):
    def look(*given, **options):
        seen[stage] = given
        raise Seen

    return look


def test_a_stopped_training_goes_on_to_the_same_model(trained, little, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_denoiser", _looks_at({}, "denoiser"))
        with pytest.raises(Seen):
            train_emoji(TINY, tmp_path, progress=False, source=little)
    train_emoji(TINY, tmp_path, progress=False, resume=True, source=little)
    mine, theirs = (LatentDiffusion.load(place).state_dict() for place in (tmp_path, trained))
    for name, value in theirs.items():
        assert torch.equal(mine[name], value), name


def test_the_recipe_fits_and_its_words_are_told_later():
    recipe = RECIPES["emoji"]
    check_fit(recipe.config)
    assert recipe.example in training.EXAMPLES
    config, text = worded(recipe.config.denoiser, ["red apple", "green apple"])
    assert config.model.text == text and text.words == ("apple", "green", "red")
    assert config.fit == recipe.config.denoiser.fit


def test_a_network_that_reads_no_text_is_refused():
    config = replace(TINY.denoiser, model=TINY.denoiser.model.unet)
    with pytest.raises(ValueError, match="denoiser.model must be a TextUNetConfig; got UNetConfig"):
        worded(config, ["red apple"])
