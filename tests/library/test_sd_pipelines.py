"""Whole pipelines: our samplers on these weights end where the reference's pipelines end."""

import functools
import warnings

import pytest
import torch
from sd_pipelines import grid, pipeline, precise, saved

from minildm.process import diffuse
from minildm.stable_diffusion import load

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")
PROMPTS = ["a photo of an astronaut", "hello café, 8k"]
NEGATIVE = ["blue square", "ugly !!"]
STEPS, SEED = 20, 5
CLOSE = 1e-10  # of the scale, in float64; what is left is the order of sums
ROUND = 1e-4  # in float32; here it was 1.5e-6


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(reference, ours) of a kind, in float64; made once for all tests here."""

    @functools.cache
    def make(kind):
        folder = saved(kind, tmp_path_factory.mktemp(kind))
        pipe, model = pipeline(kind), load(folder, torch.float64)
        pipe.set_progress_bar_config(disable=True)
        if kind != "sd3":
            pipe.scheduler = precise(pipe.scheduler)
        return pipe, model

    return make


def error(ours, theirs):
    assert ours.shape == theirs.shape
    ours, theirs = ours.detach().double(), theirs.detach().double()
    return float((ours - theirs).abs().max() / theirs.abs().max())


def picture(size=(32, 32), batch=2):
    """Pictures in [-1, 1] that float32 holds exactly, and a mask of whole latents."""
    x = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(9)) * 2 - 1
    mask = torch.zeros(batch, 1, *size)
    mask[:, :, 8:24, 12:] = 1
    return x, mask


def fixed(monkeypatch, noise):
    """The same noise wherever either side draws any; the reference's encoder gives its mean."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Posterior
    from diffusers.pipelines.stable_diffusion import (
        pipeline_stable_diffusion_img2img as one,
    )
    from diffusers.pipelines.stable_diffusion import (
        pipeline_stable_diffusion_inpaint as other,
    )

    for module in (one, other):
        monkeypatch.setattr(module, "randn_tensor", lambda *a, **k: noise.clone())
    monkeypatch.setattr(Posterior, "sample", lambda self, generator=None: self.mode())


# --- from noise -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "negative"), [("sd1", None), ("sd2", NEGATIVE), ("sdxl", None)])
def test_text_to_image(pair, kind, negative):
    pipe, model = pair(kind)
    z_T = model.noise(2, SEED)
    options = {"guidance_scale": 5.0, "num_inference_steps": STEPS, "latents": z_T.clone()}
    theirs = pipe(PROMPTS, negative_prompt=negative, output_type="latent", **options).images
    times = grid(pipe.scheduler, STEPS)
    *_, last = model.walk(PROMPTS, negative=negative, guidance=5.0, z_T=z_T, times=times)
    assert error(last.z, theirs) < CLOSE
    with torch.no_grad():
        x = pipe.vae.decode(theirs / pipe.vae.config.scaling_factor).sample
    assert error(model.decode(last.z), x.clamp(-1, 1)) < CLOSE


def test_one_branch_of_guidance_after_the_other_is_the_same(pair):
    _, model = pair("sdxl")
    options = {"guidance": 5.0, "z_T": model.noise(2, SEED), "steps": 3}
    *_, both = model.walk(PROMPTS, **options)
    calls = []
    hook = model.network.net.register_forward_hook(lambda net, given, out: calls.append(len(out)))
    model.network.batched = False
    try:
        *_, one = model.walk(PROMPTS, **options)
    finally:
        model.network.batched = True
        hook.remove()
    assert calls == [2] * 6
    assert error(one.z, both.z) < CLOSE


def test_a_prompt_is_encoded_once(pair):
    _, model = pair("sd1")
    rows = []
    encoder = model.text_encoder
    hook = encoder.register_forward_hook(lambda net, given, out: rows.append(len(out)))
    model.text_to_image(["a cat", "a dog", "a cat"], steps=4, seed=0)
    hook.remove()
    assert rows == [2, 1]  # two texts, and no text; whatever the number of steps and pictures


def test_in_float32_as_the_shipped_pipeline_does(tmp_path):
    model = load(saved("sd1", tmp_path, torch.float32))
    pipe = pipeline("sd1", torch.float32)
    pipe.set_progress_bar_config(disable=True)
    z_T = model.noise(2, SEED)
    theirs = pipe(
        PROMPTS, negative_prompt=NEGATIVE, guidance_scale=5.0, num_inference_steps=10,
        latents=z_T.clone(), output_type="latent",
    ).images  # fmt: skip
    times = grid(pipe.scheduler, 10)
    *_, last = model.walk(PROMPTS, negative=NEGATIVE, guidance=5.0, z_T=z_T, times=times)
    assert last.z.dtype == torch.float32
    assert error(last.z, theirs) < ROUND


class PreciseEuler(diffusers.FlowMatchEulerDiscreteScheduler):
    """Euler's method on the flow in float64: the shipped one rounds to float32 at each step."""

    def set_timesteps(self, num_inference_steps=None, device=None, **kwargs):
        t = torch.linspace(1, 0, num_inference_steps + 1, dtype=torch.float64)
        self.sigmas = self.config.shift * t / (1 + (self.config.shift - 1) * t)
        self.timesteps, self.num_inference_steps = 1000 * self.sigmas[:-1], num_inference_steps
        self.at = iter(self.sigmas.diff())

    def step(self, model_output, timestep, sample, **kwargs):
        return (sample + next(self.at) * model_output,)


def test_stable_diffusion_3(pair):
    pipe, model = pair("sd3")
    z_T = model.noise(2, SEED)
    shipped = pipe.scheduler
    options = {"guidance_scale": 5.0, "num_inference_steps": STEPS, "output_type": "latent"}
    options["negative_prompt"] = NEGATIVE
    pipe.scheduler = PreciseEuler.from_config(shipped.config)
    theirs = pipe(PROMPTS, latents=z_T.clone(), **options).images
    *_, last = model.walk(PROMPTS, negative=NEGATIVE, guidance=5.0, z_T=z_T, steps=STEPS)
    assert error(last.z, theirs) < CLOSE
    with torch.no_grad():
        x = pipe.vae.decode(theirs / pipe.vae.config.scaling_factor + 0.0609).sample
    assert error(model.decode(last.z), x.clamp(-1, 1)) < CLOSE
    options["num_inference_steps"] = 5
    pipe.scheduler = shipped  # its grid ends at another time, shifted twice
    theirs = pipe(PROMPTS, latents=z_T.clone(), **options).images
    times = shipped.sigmas.double()
    *_, last = model.walk(PROMPTS, negative=NEGATIVE, guidance=5.0, z_T=z_T, times=times)
    assert error(last.z, theirs) < ROUND


# --- from a picture -------------------------------------------------------------------------------


def trailing(pipe):
    """The scheduler with the book's grid: 1000, 900, .., 100, and clean data."""
    return precise(
        diffusers.DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    )


def reference(maker, pipe, **more):
    parts = {name: part for name, part in pipe.components.items() if name != "scheduler"}
    made = maker(**parts, scheduler=trailing(pipe), requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that pictures should be in [0, 1]: these are not
        x = made(
            PROMPTS, negative_prompt=NEGATIVE, guidance_scale=5.0, num_inference_steps=10,
            output_type="pt", **more,
        ).images  # fmt: skip
    return 2 * x - 1


OURS = {"steps": 10, "guidance": 5.0, "negative": NEGATIVE, "seed": SEED}


def test_image_to_image(pair, monkeypatch):
    pipe, model = pair("sd1")
    x, _ = picture()
    fixed(monkeypatch, model.noise(2, SEED))
    maker = diffusers.StableDiffusionImg2ImgPipeline
    theirs = reference(maker, pipe, image=x, strength=0.6)
    assert error(model.image_to_image(x, PROMPTS, 0.6, **OURS), theirs) < CLOSE


@pytest.mark.parametrize("kind", ["sd1", "inpainting"])
def test_inpaint(pair, monkeypatch, kind):
    pipe, model = pair(kind)
    (x, mask), noise = picture(), model.noise(2, SEED)
    fixed(monkeypatch, noise)
    monkeypatch.setattr(model, "_normal", lambda *key: noise)  # the reference replaces with one
    maker = diffusers.StableDiffusionInpaintPipeline
    theirs = reference(
        maker, pipe, image=x, mask_image=mask, strength=1.0, height=x.shape[2], width=x.shape[3]
    )
    rows = []
    hook = model.network.net.register_forward_hook(lambda net, given, out: rows.append(len(out)))
    monkeypatch.setattr(model.network, "batched", kind == "sd1")
    ours = model.inpaint(x, mask, PROMPTS, **OURS)
    hook.remove()
    assert set(rows) == ({4} if kind == "sd1" else {2})  # both branches of guidance, or one
    assert error(ours, mask * theirs + (1 - mask) * x) < CLOSE
    assert torch.equal(ours[:, :, :8], x[:, :, :8].double())


def test_a_network_that_inpaints_draws_nothing_else(pair):
    _, model = pair("inpainting")
    with pytest.raises(ValueError, match="inpaint"):
        model.text_to_image("a cat", steps=2)


# --- what else the model does ---------------------------------------------------------------------


def test_its_parts_can_be_used_alone(pair):
    pipe, model = pair("sd1")
    ids = model.tokenizer(PROMPTS)
    context = model.text_encoder(ids)
    assert ids.shape == (2, 77) and context.shape == (2, 77, 24)
    z_t, t = model.noise(2, 0), torch.tensor([1, 1000])
    with torch.no_grad():
        theirs = pipe.unet(z_t, t - 1, context).sample
    assert error(model.network(z_t, t, context), theirs) < 1e-12
    x, _ = picture()
    z = model.autoencoder.encode(x.double()).mean
    assert error(z, pipe.vae.encode(x.double()).latent_dist.mean) < 1e-12
    assert error(model.encode(x), z * 0.18215) < 1e-12
    z_t = diffuse(model.schedule, model.encode(x), torch.tensor(500), model.noise(2, 1))
    assert z_t.shape == (2, 4, 8, 8)


def test_no_condition_is_the_empty_text(pair):
    for kind in ("sd1", "sdxl"):
        _, model = pair(kind)
        z_T = model.noise(2, 0)
        *_, nothing = model.walk(None, z_T=z_T, steps=2)
        *_, empty = model.walk("", z_T=z_T, steps=2, guidance=1)
        assert torch.equal(nothing.z, empty.z)


def test_guidance_is_7_5_where_nobody_says(pair):
    _, model = pair("sd2")
    z_T = model.noise(1, 0)
    *_, said = model.walk("a cat", z_T=z_T, steps=2, guidance=7.5)
    *_, unsaid = model.walk("a cat", z_T=z_T, steps=2)
    assert torch.equal(said.z, unsaid.z)


def test_a_picture_does_not_depend_on_the_batch(pair):
    _, model = pair("sd2")
    two = model.text_to_image(PROMPTS, seed=3, steps=2)
    assert error(model.text_to_image(PROMPTS[:1], seed=3, steps=2), two[:1]) < 1e-9


def test_decoding_in_tiles(pair, monkeypatch):
    _, model = pair("sd1")
    z0, sizes = model.noise(1, 0), []
    whole = model.decode(z0)
    model.autoencoder.decoder.register_forward_hook(lambda net, z, x: sizes.append(z[0].shape[2]))
    monkeypatch.setattr(model, "tile", 4)
    assert model.decode(z0).shape == whole.shape
    assert set(sizes) == {4}
