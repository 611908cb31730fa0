"""Room 5, latents, and pictures that are edited: detectors and symptoms."""

import torch
from torch import Tensor

from book.ch09_1_museum import scene
from book.ch09_1_museum.planted import Package

# --- detectors ------------------------------------------------------------------------------------


def there_and_back(package: Package) -> None:
    """Encode and decode: the same picture again, by latents of standard deviation about 1."""
    model, x = scene.stretched_digits(package), real_digits(package)
    z0 = model.encode(x)
    quality = float(package.metrics.psnr(model.decode(z0), x).mean())
    assert quality > 20, f"the picture comes back with {quality:.1f} dB"
    assert 0.7 < z0.std() < 1.4, f"the latents have a standard deviation of {z0.std():.2f}"


def only_the_hole_changes(package: Package) -> None:
    """Two seeds: inside the mask the pictures must differ, outside they must not."""
    a, b = (half_drawn_anew(package, seed)["drawn"] for seed in (0, 1))
    hole, rest = ((a - b)[..., columns].abs().mean() for columns in (slice(14, 28), slice(0, 14)))
    assert rest == 0, f"outside the mask two seeds differ by {rest:.3f}"
    assert hole > 0.1, f"inside the mask two seeds differ by {hole:.3f} only: nothing was drawn"


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


# --- symptoms -------------------------------------------------------------------------------------


def real_digits(package: Package) -> Tensor:
    """One real digit of each class: (10, 1, 28, 28)."""
    grey = torch.tensor(package.data._read_mnist()[250::500, :784]).reshape(-1, 1, 28, 28)
    return package.data.to_unit_range(grey, 255)


def half_drawn_anew(package: Package, seed: int = 0) -> dict[str, Tensor]:
    """Digits whose right half is to be drawn anew."""
    model, x = package.latent.LatentDiffusion.load("digits"), real_digits(package)
    mask = torch.zeros(10, 1, 28, 28)
    mask[..., 14:] = 1
    drawn = model.inpaint(x, mask, scene.LABELS, steps=12, seed=seed)
    return {"given": x * (1 - mask) + 0.2 * mask, "drawn": drawn}


def drawn_by_stretched(package: Package) -> Tensor:
    """The digits 0 to 9, by the model with stretched latents: (10, 1, 28, 28)."""
    model, sampler = scene.stretched_digits(package), package.samplers.dpmpp_2m
    return model.generate(scene.LABELS, steps=10, sampler=sampler, seed=3)


def lightly_edited(package: Package) -> dict[str, Tensor]:
    """Real digits, and what a light edit makes of them."""
    model, x = package.latent.LatentDiffusion.load("digits"), real_digits(package)
    edited = model.image_to_image(x, scene.LABELS, strength=0.25, steps=4, seed=0)
    return {"given": x, "edited": edited}
