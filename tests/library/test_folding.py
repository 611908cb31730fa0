"""Pixels in the place of latents: nothing is lost, and diffusion there is diffusion on pixels."""

import json

import pytest
import torch

from book.ch05_2_unet.cost import costs
from book.pixel_space import Folded, PixelTraining, train_pixels
from minildm.autoencoder import Folding, FoldingConfig
from minildm.engine.fit import build
from minildm.engine.records import read_history
from minildm.engine.settings import override
from minildm.latent import LatentDiffusion
from minildm.process import diffuse
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.captions import text_config
from minildm.shapes.scenes import Pictures, splits
from minildm.text import TextUNet, TextUNetConfig
from minildm.unet import UNetConfig

SCHEDULE = DiscreteSchedule(cosine_betas(50))
TINY = override(
    PixelTraining(),
    [
        "pictures=40", "denoiser.model.unet.width=8", "denoiser.model.text.dim=8",
        "denoiser.model.unet.heads=2", "denoiser.fit.steps=4", "denoiser.fit.batch=4",
        "denoiser.fit.save_every=2",
    ],
)  # fmt: skip


def images(n=3, size=8):
    return torch.linspace(-1, 1, n * 3 * size**2).sin().reshape(n, 3, size, size)  # (n·3·s²,) ->


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_folding_moves_each_pixel_and_loses_none(factor):
    folding, x = Folding(FoldingConfig(3, factor)), images()
    q = folding.encode(x)
    assert q.mean.shape == (3, *folding.latent_shape((8, 8)))
    assert torch.equal(folding.decode(q.mean), x)
    assert not q.var.any()
    assert torch.equal(q.mean.flatten().sort().values, x.flatten().sort().values)


def test_noise_on_folded_pixels_is_noise_on_pixels():
    folding, x = Folding(FoldingConfig(3, 4)), images()
    eps, t = torch.randn(3, 3, 8, 8), torch.tensor([1, 20, 50])
    folded = diffuse(SCHEDULE, folding.encode(x).mean, t, folding.encode(eps).mean)
    torch.testing.assert_close(folding.decode(folded), diffuse(SCHEDULE, x, t, eps))


def test_scaled_pixels_have_unit_deviation_and_come_when_asked_for():
    pictures = Pictures(splits().validation, 50, 0)
    folding = Folding(FoldingConfig(3, 4))
    folding.measure_scale(pictures[torch.arange(50)])
    folded = Folded(pictures, folding)
    assert len(folded) == 50
    assert folded[torch.arange(50)].std() == pytest.approx(1, rel=1e-5)
    one = folded[torch.tensor([7])]
    assert torch.equal(folding.decode(one / folding.scale).sub(pictures[[7]]).abs() < 1e-6,
                       torch.ones(1, 3, 64, 64, dtype=torch.bool))  # fmt: skip


def make_model():
    unet = UNetConfig(channels=48, width=8, multipliers=(1,), attention=(0,), heads=2)
    network = build(lambda: TextUNet(TextUNetConfig(text_config(), unet)), 0)
    return LatentDiffusion(Folding(), network, SCHEDULE, (16, 16))


def test_a_pixel_model_is_saved_loaded_and_counted(tmp_path):
    model = make_model()
    model.autoencoder.scale.fill_(1.7)
    model.save(tmp_path)
    again = LatentDiffusion.load(tmp_path)
    assert isinstance(again.autoencoder, Folding)
    prompt = "a red circle above a blue star"
    expected = model.text_to_image(prompt, steps=2, seed=0)
    assert torch.equal(again.text_to_image(prompt, steps=2, seed=0), expected)
    table = costs(model)
    for part in ("encoder", "decoder"):
        assert (table[part].parameters, table[part].flops) == (0, 0)


def test_wrong_images_and_settings_are_refused():
    with pytest.raises(ValueError, match="multiples of factor = 4"):
        Folding().encode(torch.zeros(1, 3, 10, 8))
    with pytest.raises(ValueError, match=r"x must be \(B, 3, H, W\)"):
        Folding().encode(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="image_channels must be 1 or 3"):
        FoldingConfig(2)
    with pytest.raises(ValueError, match="factor must be a whole number in 1..1024; got 0"):
        FoldingConfig(3, 0)


def test_the_training_writes_the_model_its_record_and_its_cost(tmp_path):
    train_pixels(TINY, tmp_path, progress=False)
    model = LatentDiffusion.load(tmp_path)
    pictures = Pictures(splits().train, 40, 0)[:]
    assert float(model.encode(pictures).std()) == pytest.approx(1, rel=1e-3)
    training = json.loads((tmp_path / "metrics.json").read_text())["training"]
    assert training["command"] == "python tools/experiments.py train pixels"
    assert training["config"]["denoiser"]["fit"]["steps"] == 4
    assert read_history(tmp_path / "denoiser.jsonl")[-1].step == 4
    assert (tmp_path / "training" / "samples-00004.png").stat().st_size > 1000
    first = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").unlink()
    train_pixels(TINY, tmp_path, progress=False, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == first
