"""The training of the text-to-image model, from one command, at a size that takes seconds."""

import json
from dataclasses import replace

import pytest
import torch

from minildm import losses
from minildm.autoencoder import AutoencoderConfig
from minildm.engine.records import read_history
from minildm.engine.resume import checkpoints
from minildm.engine.settings import override
from minildm.latent import LatentDiffusion
from minildm.recipes import RECIPES
from minildm.shapes.captions import VOCABULARY, agree, read, request_rows
from minildm.shapes.scenes import Pictures, splits
from minildm.shapes.training import ShapesTraining, gate, train_shapes, training_pictures

PROMPT = "a small striped red circle above a large solid blue star on grey"
TINY = override(
    ShapesTraining(gate=0.0, gate_pictures=4),
    [
        "pictures=40", "autoencoder.model.width=8", "autoencoder.model.max_width=8",
        "autoencoder.fit.steps=4", "autoencoder.fit.batch=4", "autoencoder.fit.save_every=2",
        "denoiser.model.unet.width=8", "denoiser.model.text.dim=8", "denoiser.model.unet.heads=2",
        "denoiser.fit.steps=4", "denoiser.fit.batch=4", "denoiser.fit.save_every=2",
    ],
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("shapes")
    train_shapes(TINY, out, progress=False)
    return out


def weights(out):
    return LatentDiffusion.load(out).state_dict()


def test_the_folder_holds_the_model_and_its_records(trained):
    model = LatentDiffusion.load(trained)
    assert model.text_to_image(PROMPT, steps=2, seed=0).shape == (1, 3, 64, 64)
    cost = json.loads((trained / "metrics.json").read_text())["training"]
    assert cost["command"] == "python -m minildm train shapes"
    assert cost["config"]["denoiser"]["fit"]["steps"] == 4
    assert cost["gate"]["pictures"] == 4
    for name in ("autoencoder", "denoiser"):
        assert read_history(trained / f"{name}.jsonl")[-1].step == 4
    assert (trained / "training" / "samples-00004.png").stat().st_size > 1000


class Stop(Exception):
    """Stands for whatever ends a training early."""


@pytest.mark.parametrize("step", [1, 3])
def test_an_interrupted_training_ends_with_the_same_model(trained, tmp_path, monkeypatch, step):
    """Broken off in the second stage: before its first checkpoint, and after it."""
    calls, original = iter(range(100)), losses.diffusion_loss

    def breaks_off(*arguments, **options):
        if next(calls) == step:
            raise Stop
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(losses, "diffusion_loss", breaks_off)
        with pytest.raises(Stop):
            train_shapes(TINY, tmp_path, progress=False)
    train_shapes(TINY, tmp_path, progress=False, resume=True)
    gone_on = weights(tmp_path)
    for name, value in weights(trained).items():
        assert torch.equal(gone_on[name], value), name


def test_what_fails_the_gate_gets_no_denoiser_but_is_kept(tmp_path):
    with pytest.raises(ValueError, match=r"reconstructions read: 0.00%.*the gate is 99%"):
        train_shapes(replace(TINY, gate=0.99), tmp_path, progress=False)
    assert checkpoints(tmp_path / "training" / "autoencoder")
    assert not (tmp_path / "training" / "denoiser").exists()
    assert not (tmp_path / "model.safetensors").exists()


def test_each_picture_has_a_true_caption():
    pictures, tokens = training_pictures(replace(TINY, pictures=300))
    texts = [" ".join(VOCABULARY[n] for n in line if n) for line in tokens.tolist()]
    wanted = request_rows([read(text) for text in texts])
    assert agree(pictures.rows, wanted).all()
    turned = sum(" below " in text or " right of " in text for text in texts)
    assert 50 < turned < 100  # a quarter of them


def test_the_gate_reads_what_comes_out_of_the_decoder():
    """An autoencoder that keeps everything passes with a high PSNR; a grey one reads nothing."""
    pictures = Pictures(splits().validation, 6, 0)

    class Kept(torch.nn.Module):
        scale = torch.ones(())

        def __init__(self, blank):
            super().__init__()
            self.blank = blank

        def encode(self, x):
            return type("q", (), {"mean": x})

        def decode(self, z):
            return torch.zeros_like(z) if self.blank else z + 0.01

    assert gate(Kept(blank=False), pictures).accuracy.joint == 1.0
    assert gate(Kept(blank=False), pictures).psnr > 40
    assert gate(Kept(blank=True), pictures).accuracy.joint == 0.0


def test_the_shipped_settings_are_what_the_command_trains():
    recipe = RECIPES["shapes"]
    assert recipe.config == ShapesTraining()
    assert recipe.train is train_shapes
    model = recipe.config.autoencoder.model
    assert isinstance(model, AutoencoderConfig)
    assert (model.factor, model.latent_channels) == (8, 4)
