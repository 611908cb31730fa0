"""Room 5: latents, and pictures that are edited."""

import torch
from torch import Tensor

from book.ch09_1_museum import figures, scene
from book.ch09_1_museum.exhibit import Exhibit, Sighting
from book.ch09_1_museum.planted import Package

LATENT = ("tests/library/test_latent.py",)


# --- The latent scale, forgotten ------------------------------------------------------------------


def there_and_back(package: Package) -> None:
    """Encode and decode: the same picture again, by latents of standard deviation about 1."""
    model, x = scene.stretched_digits(package), real_digits(package)
    z0 = model.encode(x)
    quality = float(package.metrics.psnr(model.decode(z0), x).mean())
    assert quality > 20, f"the picture comes back with {quality:.1f} dB"
    assert 0.7 < z0.std() < 1.4, f"the latents have a standard deviation of {z0.std():.2f}"


def real_digits(package: Package) -> Tensor:
    """One real digit of each class: (10, 1, 28, 28)."""
    grey = torch.tensor(package.data._read_mnist()[250::500, :784]).reshape(-1, 1, 28, 28)
    return package.data.to_unit_range(grey, 255)


def drawn_by_stretched(package: Package) -> Tensor:
    """The digits 0 to 9, by the model with stretched latents: (10, 1, 28, 28)."""
    model, sampler = scene.stretched_digits(package), package.samplers.dpmpp_2m
    return model.generate(scene.LABELS, steps=10, sampler=sampler, seed=3)


SCALE_FORGOTTEN = Exhibit(
    name="scale-forgotten",
    title="The latent scale, forgotten",
    file="latent.py",
    right="unscaled = z0 / self.autoencoder.scale",
    wrong="unscaled = z0",
    story="Latents were multiplied by 1/std for the network, and are decoded as they are.",
    symptom=drawn_by_stretched,
    draw=figures.rows(),
    alt="Above, ten clear white digits on black. Below, the same ten as faint grey outlines.",
    detector=there_and_back,
    tests=LATENT,
    seen=(
        Sighting(
            "Open-Sora, issue 493: the scale of another autoencoder, hard-coded",
            "https://github.com/hpcaitech/Open-Sora/issues/493",
        ),
        Sighting(
            "StableDiffusion-PyTorch, issue 33: left out, and harmless as long as std is 1",
            "https://github.com/explainingai-code/StableDiffusion-PyTorch/issues/33",
        ),
        Sighting(
            "diffusers, issue 437: a question, where does 0.18215 come from?",
            "https://github.com/huggingface/diffusers/issues/437",
        ),
    ),
    eye="yes, if std is far from 1",
)

# --- The mask, turned over ------------------------------------------------------------------------


def only_the_hole_changes(package: Package) -> None:
    """Two seeds: inside the mask the pictures must differ, outside they must not."""
    a, b = (half_drawn_anew(package, seed)["drawn"] for seed in (0, 1))
    hole, rest = ((a - b)[..., columns].abs().mean() for columns in (slice(14, 28), slice(0, 14)))
    assert rest == 0, f"outside the mask two seeds differ by {rest:.3f}"
    assert hole > 0.1, f"inside the mask two seeds differ by {hole:.3f} only: nothing was drawn"


def half_drawn_anew(package: Package, seed: int = 0) -> dict[str, Tensor]:
    """Digits whose right half is to be drawn anew."""
    model, x = package.latent.LatentDiffusion.load("digits"), real_digits(package)
    mask = torch.zeros(10, 1, 28, 28)
    mask[..., 14:] = 1
    drawn = model.inpaint(x, mask, scene.LABELS, steps=12, seed=seed)
    return {"given": x * (1 - mask) + 0.2 * mask, "drawn": drawn}


MASK_TURNED_OVER = Exhibit(
    name="mask-turned-over",
    title="The mask, turned over",
    file="latent.py",
    right="return draw * z + (1 - draw) * kept, z0_hat, memory",
    wrong="return (1 - draw) * z + draw * kept, z0_hat, memory",
    story="White means draw anew in one place and keep in another.",
    symptom=half_drawn_anew,
    draw=figures.rows(),
    alt="Above, digits of which the right half is hidden. In the middle, complete digits with "
    "a new right half. Below, complete digits whose old right half has come back.",
    detector=only_the_hole_changes,
    tests=LATENT,
    seen=(
        Sighting(
            "diffusers, pull request 4207: black was the hole in Kandinsky's pipeline, white "
            "in all others",
            "https://github.com/huggingface/diffusers/pull/4207",
        ),
        Sighting(
            "onnx-web, issue 188: one tab keeps what the other replaces",
            "https://github.com/ssube/onnx-web/issues/188",
        ),
    ),
    eye="hardly: the pictures are perfect, too perfect",
)

# --- Noised to one time, denoised from another ----------------------------------------------------


def first_latent_fits_its_time(package: Package) -> None:
    """A step that only takes notes: the noise in the first latent must be that of its time."""
    model, x = package.latent.LatentDiffusion.load("digits"), real_digits(package)
    notes = []

    def step(z, t, s, *_):
        notes.append((z, t))
        return z, z, None

    model.image_to_image(x, scene.LABELS, strength=0.3, steps=10, sampler=step, seed=0)
    (z, t), *_ = notes
    signal, noise = model.schedule(t)
    there = float((z - signal * model.encode(x)).std() / noise)
    assert abs(there - 1) < 0.1, f"{there:.2f} times the noise that t = {int(t)} stands for"


def edited_in_few_steps(package: Package) -> dict[str, Tensor]:
    """Real digits, and what an edit in few steps makes of them."""
    model, x = package.latent.LatentDiffusion.load("digits"), real_digits(package)
    edited = model.image_to_image(x, scene.LABELS, strength=0.5, steps=4, seed=0)
    return {"given": x, "edited": edited}


NOISED_TOO_FAR = Exhibit(
    name="noised-too-far",
    title="Noised to one time, denoised from another",
    file="latent.py",
    right="z_t = diffuse(self.schedule, self.encode(x), times[0], self.noise(len(x), seed))",
    wrong="z_t = diffuse(self.schedule, self.encode(x), (times[0] + self.schedule.T // steps)"
    ".clamp(max=self.schedule.T), self.noise(len(x), seed))",
    story="The picture gets the noise of one stop earlier than the sampler starts from.",
    symptom=edited_in_few_steps,
    draw=figures.rows(),
    alt="Ten digits as given; edited, nearly the same; edited by the planted package: the 0 and "
    "the 8 fall apart, the 2 has become another 2, the 4 and the 9 are smeared.",
    detector=first_latent_fits_its_time,
    tests=("tests/library/test_latent.py",),
    seen=(
        Sighting(
            "stable-diffusion, pull request 533: noise of t + 1, denoising from t; closed "
            "for inactivity",
            "https://github.com/CompVis/stable-diffusion/pull/533",
        ),
        Sighting(
            "InvokeAI, pull request 1946: the same, repaired",
            "https://github.com/invoke-ai/InvokeAI/pull/1946",
        ),
    ),
    eye="with few steps",
)

EXHIBITS = [SCALE_FORGOTTEN, MASK_TURNED_OVER, NOISED_TOO_FAR]
