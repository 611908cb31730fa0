"""The model as a whole: scale, seeds, samplers, guidance, masks, and what is on disk."""

import json
from functools import partial

import pytest
import torch
from torch import nn

from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine.fit import build
from minildm.files.checkpoint import CheckpointError
from minildm.latent import LatentDiffusion
from minildm.noise import keyed_normal
from minildm.predict import EPS, V
from minildm.process import diffuse
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun
from minildm.schedule import CosineSchedule, DiscreteSchedule, FlowSchedule, cosine_betas
from minildm.unet import UNet, UNetConfig

SCHEDULE = DiscreteSchedule(cosine_betas(50))


def make(schedule=SCHEDULE, parameterization=V):
    def parts():
        network = UNet(UNetConfig(channels=2, width=8, heads=2, classes=3))
        for parameter in network.parameters():  # wake the zero-initialised layers
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        return Autoencoder(AutoencoderConfig(latent_channels=2, width=8)), network

    autoencoder, network = build(parts, 0)
    autoencoder.scale.fill_(2.5)
    return LatentDiffusion(autoencoder, network, schedule, (4, 4), parameterization)


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def x():
    return keyed_normal((0,), range(3), (1, 16, 16)).clamp(-1, 1)


class Known(nn.Module):
    """A network that knows its data: class k is the constant latent k - 1, null is 0.5."""

    def __init__(self):
        super().__init__()
        self.config = UNetConfig(channels=2, width=8, heads=2, classes=3)
        self.times = []

    def null(self, condition):
        return torch.full_like(condition, 3)

    def forward(self, z_t, t, condition=None, drop=None):
        self.times.append(t.clone())
        condition = torch.full((len(z_t),), 3) if condition is None else condition
        z0 = torch.tensor([-1.0, 0.0, 1.0, 0.5])[condition][:, None, None, None]
        signal, noise = (c.float()[:, None, None, None] for c in SCHEDULE(t))
        eps = (z_t - signal * z0) / noise
        return signal * eps - noise * z0


class Identity(Autoencoder):
    """Latents are averages of 4 x 4 pixels (twice), times 1 / scale; decoding repeats them."""

    def __init__(self, scale=1.0):
        super().__init__(AutoencoderConfig(latent_channels=2, width=8))
        self.scale.fill_(scale)

    def encode(self, x):
        mean = torch.nn.functional.avg_pool2d(x, 4).expand(-1, 2, -1, -1) / self.scale
        return type("q", (), {"mean": mean, "var": torch.ones(())})

    def decode(self, z):
        return z.mean(1, keepdim=True).repeat_interleave(4, 2).repeat_interleave(4, 3) * self.scale


def known(scale=4.0):
    return LatentDiffusion(Identity(scale), Known(), SCHEDULE, (4, 4), V)


@torch.no_grad()
def test_scale_is_applied_once_and_undone_once(model, x):
    mean = model.autoencoder.encode(x).mean
    torch.testing.assert_close(model.encode(x), 2.5 * mean)
    torch.testing.assert_close(
        model.decode(model.encode(x)), model.autoencoder.decode(mean).clamp(-1, 1)
    )
    torch.testing.assert_close(model.encode(x, batch=2), model.encode(x))
    z0 = model.encode(x)
    torch.testing.assert_close(model.decode(z0, batch=2), model.decode(z0))


def test_decoded_images_are_clamped():
    x = known().decode(torch.full((1, 2, 4, 4), 3.0))
    assert (x == 1).all()


@pytest.mark.parametrize("sampler", [ddim, heun, dpmpp_2m, ddpm, partial(ddim, eta=1.0)])
def test_generation_gives_each_label_its_own_answer(sampler):
    x = known().generate([2, 0, 1], steps=7, sampler=sampler, guidance=1.0, seed=0)
    torch.testing.assert_close(x.mean((1, 2, 3)), torch.tensor([1.0, -1.0, 0.0]), atol=1e-4, rtol=0)
    assert x.std((1, 2, 3)).max() < 1e-4


def test_guidance_moves_from_null_to_condition_and_beyond():
    """Known answer: null + w (condition - null), with null 0.5 and condition 0 (label 1)."""
    model = known(scale=1.0)
    for w, answer in ((0.0, 0.5), (1.0, 0.0), (2.0, -0.5), (-0.5, 0.75)):
        x = model.generate([1], steps=5, guidance=w, seed=0)
        assert x.mean().item() == pytest.approx(answer, abs=1e-4)
    x = model.generate([1], steps=5, guidance=1.5, negative=[0], seed=0)
    assert x.mean().item() == pytest.approx(0.5, abs=1e-4)  # -1 + 1.5 (0 + 1)
    assert model.generate(None, steps=5, count=2, seed=0).mean().item() == pytest.approx(
        0.5, abs=1e-4
    )


def test_the_network_gets_one_based_times_from_T_down_never_0():
    model = known()
    model.generate([0], steps=5, guidance=1.0, seed=0)
    assert [int(t[0]) for t in model.network.times] == SCHEDULE.times(5)[:-1].tolist()
    assert int(model.network.times[0][0]) == SCHEDULE.T


@pytest.mark.parametrize("sampler", [ddim, ddpm, partial(ddim, eta=0.5), dpmpp_2m])
def test_image_i_depends_on_the_seed_and_i_not_on_the_batch(model, sampler):
    options = {"steps": 4, "sampler": sampler, "seed": 11}
    five = model.generate([0, 1, 2, 0, 0], **options)
    two = model.generate([0, 1], **options)
    # a batch of 5 and one of 2 may sum in another order; other noise is 1e-3 and more away
    torch.testing.assert_close(five[:2], two, atol=2e-4, rtol=1e-4)
    assert (five[0] - five[3]).abs().max() > 1e-3  # same label, other noise
    other = model.generate([0, 1], **{**options, "seed": 12})
    assert (other - two).abs().amax((1, 2, 3)).min() > 1e-3
    assert not torch.equal(model.generate([0], steps=2), model.generate([0], steps=2))


def test_noise_of_odd_sizes_is_keyed_too():
    """torch fills tensors in blocks of 16: only separate generators agree for 18 numbers a row."""
    model = LatentDiffusion(Identity(), Known(), SCHEDULE, (3, 3))
    assert torch.equal(model.noise(5, seed=1)[:2], model.noise(2, seed=1))


def test_stochastic_steps_draw_anew_each_time(model):
    """ddpm with its noise repeated at each step would be another sampler."""
    drawn, normal = [], model._normal
    model._normal = lambda *key: drawn.append(normal(*key)) or drawn[-1]
    try:
        model.generate([0, 1], steps=4, sampler=ddpm, seed=3)
    finally:
        del model._normal
    assert len(drawn) == 4  # the start and three draws; none at the last step
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert not torch.isclose(a, b).any()


def test_a_start_of_ones_own_is_used(model):
    z_T = model.noise(2, seed=5)
    a = model.generate([0, 1], steps=3, z_T=z_T, seed=0)
    torch.testing.assert_close(a, model.generate([0, 1], steps=3, z_T=z_T, seed=99))
    torch.testing.assert_close(a, model.generate([0, 1], steps=3, seed=5))
    states = list(model.walk([0, 1], steps=3, z_T=z_T))
    assert [int(s.t) for s in states] == SCHEDULE.times(3)[1:].tolist()
    torch.testing.assert_close(model.decode(states[-1].z), a)


def test_unknown_and_miscounted_conditions_are_named(model):
    with pytest.raises(ValueError, match="labels must be in"):
        model.generate([7], seed=0)
    with pytest.raises(ValueError, match="2 entries for 3 images"):
        model.generate([0, 1], z_T=model.noise(3, 0))


def test_image_to_image_keeps_less_the_stronger_it_is(model, x):
    kept = model.decode(model.encode(x))
    options = {"steps": 10, "guidance": 1.0, "seed": 0}
    changes = [
        (model.image_to_image(x, [0, 1, 2], s, **options) - kept).abs().mean().item()
        for s in (0.1, 0.5, 1.0)
    ]
    assert changes[0] < changes[1] < changes[2]
    changed = known().image_to_image(x, [2, 0, 1], 0.3, guidance=1.0, seed=0)
    torch.testing.assert_close(
        changed.mean((1, 2, 3)), torch.tensor([1.0, -1.0, 0.0]), atol=1e-4, rtol=0
    )
    for strength in (0.0, 1.2):
        with pytest.raises(ValueError, match="strength"):
            model.image_to_image(x, [0, 1, 2], strength)


def test_image_to_image_runs_its_share_of_the_steps(x):
    model = known()
    model.image_to_image(x, [0, 0, 0], 0.4, steps=10, guidance=1.0)
    assert [int(t[0]) for t in model.network.times] == SCHEDULE.times(10)[6:-1].tolist()


@pytest.mark.parametrize(("strength", "steps"), [(0.05, 20), (0.3, 10), (0.5, 3), (1.0, 10)])
def test_an_edit_starts_with_the_noise_of_its_first_time(model, x, strength, steps):
    """Written for the bug museum, whose exhibit `noised-too-far` no test had noticed."""
    notes = []

    def step(z, t, s, *_):
        notes.append((z, int(t), int(s)))
        return z, z, None

    model.image_to_image(x, torch.arange(3), strength, steps=steps, sampler=step, seed=5)
    (z, t, _), end = notes[0], notes[-1][2]
    torch.testing.assert_close(z, diffuse(model.schedule, model.encode(x), t, model.noise(3, 5)))
    assert end == 0 and len(notes) == max(1, round(strength * steps))
    assert t == model.schedule.times(steps)[steps - len(notes)]


def test_inpainting_draws_where_the_mask_is_1_and_only_there():
    model, x = known(), torch.full((2, 1, 16, 16), 0.25)
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., :8] = 1.0
    out = model.inpaint(x, mask, [2, 0], guidance=1.0, seed=0)
    assert torch.equal(out[..., 8:], x[..., 8:])
    torch.testing.assert_close(
        out[..., :8].mean((1, 2, 3)), torch.tensor([1.0, -1.0]), atol=1e-4, rtol=0
    )
    with pytest.raises(ValueError, match="mask must hold"):
        model.inpaint(x, mask * 0.5, [2, 0])
    with pytest.raises(ValueError, match="mask must be"):
        model.inpaint(x, mask[:, :, :8], [2, 0])


def test_inpainting_shows_the_network_the_kept_part_at_its_noise_level(monkeypatch):
    """At each time the kept latents are signal z0 + noise eps: their mean over samples is known."""
    model, seen = known(scale=1.0), []
    forward = model.network.forward

    def spy(z_t, t, condition=None, drop=None):
        seen.append((t[0], z_t.clone()))
        return forward(z_t, t, condition)

    monkeypatch.setattr(model.network, "forward", spy)
    n = 200
    x, mask = torch.full((n, 1, 16, 16), 0.8), torch.zeros(n, 1, 16, 16)
    mask[..., :8] = 1.0
    model.inpaint(x, mask, [0] * n, guidance=1.0, steps=5, seed=0)
    for t, z_t in seen[1:]:
        kept = z_t[..., 2:]
        signal, noise = (float(c) for c in SCHEDULE(t))
        error = noise / kept.numel() ** 0.5
        assert abs(kept.mean().item() - signal * 0.8) < 4 * error
        assert kept.std().item() == pytest.approx(noise, rel=0.05)


def test_interpolation_starts_and_ends_at_its_seeds(model):
    path = model.interpolate(3, 8, 5, condition=1, steps=3)
    assert path.shape == (5, 1, 16, 16)
    for i, seed in ((0, 3), (-1, 8)):
        end = model.generate([1], steps=3, seed=seed)[0]
        torch.testing.assert_close(path[i], end, atol=1e-4, rtol=0)
    steps = (path[1:] - path[:-1]).abs().mean((1, 2, 3))
    assert steps.max() < (path[-1] - path[0]).abs().mean()
    with pytest.raises(ValueError, match="n must be a whole number in 2.."):
        model.interpolate(3, 8, 1)


@pytest.mark.parametrize(
    ("schedule", "parameterization"), [(SCHEDULE, EPS), (CosineSchedule(), V), (FlowSchedule(), V)]
)
def test_a_saved_model_draws_the_same_bits(tmp_path, schedule, parameterization):
    saved = make(schedule, parameterization)
    saved.save(tmp_path / "a")
    loaded = LatentDiffusion.load(tmp_path / "a")
    for name, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert loaded.parameterization is parameterization
    assert type(loaded.schedule) is type(schedule)
    if schedule is SCHEDULE:
        assert torch.equal(loaded.schedule.beta, SCHEDULE.beta)
    options = {"steps": 3, "seed": 1}
    if parameterization is V:
        assert torch.equal(loaded.generate([0, 2], **options), saved.generate([0, 2], **options))


def without_digest(config):
    """As before a config had one: what is edited below would be refused for that alone."""
    return json.dumps({k: v for k, v in json.loads(config).items() if k != "sha256_config"})


def test_damaged_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        LatentDiffusion.load(tmp_path)
    make().save(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    good, text = weights.read_bytes(), without_digest(config.read_text())
    flipped = bytearray(good)
    flipped[-5] ^= 1  # one bit of one weight
    for damaged in (good[:-100], b"", bytes(flipped)):
        weights.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="SHA-256"):
            LatentDiffusion.load(tmp_path)
    weights.write_bytes(good)
    for damaged in (text[:-40], "[]", "{}"):
        config.write_text(damaged)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            LatentDiffusion.load(tmp_path)
    for key, value in (("schedule", "X"), ("parameterization", "X"), ("network", {"widht": 3})):
        config.write_text(json.dumps({**json.loads(text), key: value}))
        with pytest.raises(CheckpointError, match="describes no LatentDiffusion"):
            LatentDiffusion.load(tmp_path)
    other = json.loads(text)
    other["network"]["width"] = 16
    config.write_text(json.dumps(other))
    with pytest.raises(CheckpointError, match="do not fit"):
        LatentDiffusion.load(tmp_path)
    config.write_text(text)
    LatentDiffusion.load(tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        LatentDiffusion.load(tmp_path)


def test_parts_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="4 channels"):
        LatentDiffusion(Identity(), UNet(UNetConfig(channels=4)), SCHEDULE, (4, 4))
