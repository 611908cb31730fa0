"""A folder of your own pictures becomes a latent diffusion model: trained, saved, loaded, used.

    python examples/own_pictures.py PICTURES OUT

Pictures of any size and kind. What a picture is called: the text in the file beside it (cat.txt
beside cat.jpg), else the name of its sub-folder, else nothing. Interrupted, the same command goes
on where it was. Copy this file and change the numbers: they suit some thousand small pictures.
"""

import sys
from pathlib import Path

import torch

import minildm as ldm

KINDS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def caption(picture: Path, folder: Path) -> str:
    beside = picture.with_suffix(".txt")
    if beside.is_file():
        return beside.read_text(encoding="utf-8").strip()
    return picture.parent.name if picture.parent != folder else ""


def train(folder: Path, out: Path, size: int = 64, steps: int = 6000, batch: int = 32) -> None:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    x, texts = ldm.to_tensor(files, size=size), [caption(path, folder) for path in files]
    pixels = ldm.AutoencoderConfig(image_channels=3, factor=8, patch=4, width=64)
    unet = ldm.UNetConfig(width=96, multipliers=(1, 1), attention=(0, 1))
    words = ldm.TextEncoderConfig.of(texts) if any(texts) else None
    network = ldm.TextUNetConfig(words, unet) if words else unet
    tokens = ldm.tokenize(texts, words) if words else None
    fit = ldm.FitConfig(steps=steps, batch=batch, lr=2e-3, ema=0.998, optimizer="muon")
    first, second = ldm.train_both(
        ldm.AutoencoderTraining(pixels, fit, kl=1e-5), ldm.DenoiserTraining(network, fit),
        ldm.DiscreteSchedule(ldm.cosine_betas()), x, tokens, progress=True,
        folder=out / "training", resume=True,
    )  # fmt: skip
    ldm.LatentDiffusion(first.net, second.net).save(out)


def use(out: Path, picture: Path, text: str | None) -> None:
    model = ldm.LatentDiffusion.load(out)
    x = ldm.to_tensor(picture, size=model.image_shape[1:])  # (1, 3, H, W) in [-1, 1]
    left = torch.zeros_like(x[:, :1])
    left[..., : x.shape[3] // 2] = 1  # 1: drawn anew
    ldm.save_png(model.generate(text, count=16, seed=0), out / "drawn.png")
    ldm.save_png(model.image_to_image(x, text, strength=0.6, seed=0), out / "varied.png")
    ldm.save_png(model.inpaint(x, left, text, seed=0), out / "left half anew.png")


if __name__ == "__main__":
    pictures, out = map(Path, sys.argv[1:])
    train(pictures, out)
    first = min(path for path in pictures.rglob("*") if path.suffix.lower() in KINDS)
    use(out, first, caption(first, pictures) or None)
