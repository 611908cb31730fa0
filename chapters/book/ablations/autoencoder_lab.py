"""One autoencoder of captioned shapes, trained for minutes, and what its latents are like."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from book.ablations.engine import Outcome, timed
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.checks import inputs
from minildm.engine.settings import FitConfig
from minildm.losses import kl_loss
from minildm.metrics import psnr
from minildm.shapes.judge import caption_accuracy, judge
from minildm.shapes.scenes import Pictures, splits
from minildm.train import AutoencoderTraining, train_autoencoder

EXAMPLES = 6  # reconstructions to look at


@dataclass(frozen=True)
class AutoencoderLab:
    """``judged``: unseen pictures that are reconstructed and read."""

    autoencoder: AutoencoderTraining = field(
        default_factory=lambda: AutoencoderTraining(
            model=AutoencoderConfig(
                image_channels=3, latent_channels=4, factor=8, patch=4, width=64, max_width=128
            ),
            fit=FitConfig(steps=1000, batch=16, lr=3e-3, warmup=50, ema=0.99, optimizer="muon"),
            kl=1e-5,
        )
    )
    pictures: int = 20_000
    judged: int = 500

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, None, "pictures")
        inputs.whole_fields(self, 2, None, "judged")


def run_autoencoder(config: AutoencoderLab) -> Outcome:
    """Train an autoencoder, then measure what it loses and how its latents lie."""
    pictures = Pictures(splits().train, config.pictures, config.autoencoder.fit.seed)
    trained, minutes = timed(lambda: train_autoencoder(config.autoencoder, pictures))
    unseen = Pictures(splits().validation, config.judged, seed=0)
    with torch.no_grad():
        few = trained.net.decode(trained.net.encode(unseen[:EXAMPLES]).mean)
    return Outcome(minutes, inspect_autoencoder(trained.net, unseen), few)


@torch.no_grad()
def inspect_autoencoder(autoencoder: Autoencoder, pictures: Pictures) -> dict:
    """``latent_figures``, and how the judge reads the reconstructions, attribute by attribute."""
    x = pictures[:]
    figures, x_hat = latent_figures(autoencoder, x)
    accuracy = caption_accuracy(judge(x_hat), pictures.rows)
    by_name = {name: round(share, 4) for name, share in accuracy.by_name.items()}
    lost = [round(share, 5) for share in lost_detail(x_hat, x).tolist()]
    return {**figures, "read": accuracy.joint, "by_name": by_name, "lost_detail": lost}


@torch.no_grad()
def latent_figures(autoencoder: Autoencoder, x: Tensor) -> tuple[dict, Tensor]:
    """What is lost on the way through the latents, and how these lie; and the reconstructions.

    psnr         in dB
    edges        steps between neighbouring pixels, as a share of the originals'
    std, noise   of the latent means; mean standard deviation of q(z | x); both unscaled
    nats         KL(q(z | x) || N(0, I)) per picture
    """
    q = autoencoder.encode(x)
    x_hat = autoencoder.decode(q.mean).clamp(-1, 1)
    figures = {
        "latent_shape": list(q.mean.shape[1:]),
        "psnr": round(float(psnr(x_hat, x).mean()), 2),
        "edges": round(float(edges(x_hat) / edges(x)), 4),
        "std": round(float(q.mean.double().std()), 4),
        "noise": round(float(q.var.sqrt().mean()), 5),
        "nats": round(float(kl_loss(q).mean()) * q.mean[0].numel(), 1),
    }
    return figures, x_hat


def edges(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, across and down: how sharp a picture is."""
    return (x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()) / 2


def lost_detail(x_hat: Tensor, x: Tensor, bands: int = 8) -> Tensor:
    """Power of the error over power of the picture, per band of spatial frequency: (bands,).

    Band k holds radial frequencies from k to k + 1, in units of 1 / (2 bands) cycles per pixel: the
    last one is the finest detail that pixels can show. 0: nothing is lost; 1: as good as grey.
    Images (n, C, H, W), H = W; the mean of each image is left out.
    Raises ValueError where a band would be empty.
    """
    if x.shape[-1] <= 2 * bands or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"images must be square, wider than {2 * bands}; got {tuple(x.shape)}")
    frequency = torch.fft.fftfreq(x.shape[-1], dtype=torch.float64)
    radius = torch.hypot(frequency[:, None], frequency[None])  # (H, W), cycles per pixel
    band = (radius * 2 * bands).long().clamp(max=bands)  # corners, beyond 1/2, are not used
    band[0, 0] = bands
    powers = [torch.fft.fft2(y.double()).abs().square().sum((0, 1)) for y in (x_hat - x, x)]
    error, signal = (
        torch.zeros(bands + 1, dtype=torch.float64).index_add(0, band.flatten(), p.flatten())
        for p in powers
    )
    return (error / signal)[:bands]
