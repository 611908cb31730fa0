"""One denoiser of pages that are dark, grey or light, trained for seconds: does it draw all three?

Section 8.1 of the book. A page is a handwritten digit on an even ground of any grey; the ink
is lighter than a dark ground and darker than a light one. So the mean brightness of a page says
little about its digit, and differs as much as it can.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from book.ablations.engine import Outcome, timed
from book.pixel_space import Folded
from minildm.autoencoder import Folding, FoldingConfig
from minildm.checks import inputs
from minildm.data import digits
from minildm.denoise import network_denoiser
from minildm.engine.settings import FitConfig
from minildm.metrics import sliced_wasserstein
from minildm.noise import keyed_normal, seeded
from minildm.process import diffuse
from minildm.samplers import ddim, sample
from minildm.schedule import DiscreteSchedule, scaled_linear_betas, zero_terminal_snr
from minildm.train import DenoiserTraining, train_denoiser
from minildm.unet import UNetConfig

INK = 0.5  # how far the ink is from the ground
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SCHEDULES = {
    "scaled linear": lambda: DiscreteSchedule(scaled_linear_betas()),
    "zero terminal SNR": lambda: DiscreteSchedule(zero_terminal_snr(scaled_linear_betas())),
}


@dataclass(frozen=True)
class BrightnessLab:
    """``schedule``: see ``SCHEDULES``; ``samples`` are drawn with ``steps`` steps of ddim."""

    denoiser: DenoiserTraining = field(
        default_factory=lambda: DenoiserTraining(
            model=UNetConfig(channels=16, width=32, multipliers=(1, 2)),
            fit=FitConfig(steps=400, batch=64, lr=3e-3, ema=0.99),
        )
    )
    schedule: str = "scaled linear"
    samples: int = 400
    steps: int = 32

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 2, None, "samples")
        inputs.whole_fields(self, 1, None, "steps")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; {self.schedule!r}")


def pages(seed: int = 0) -> Tensor:
    """4,000 pages (n, 1, 32, 32) in [-1, 1]: the training digits, each on a ground of its own grey.

    x = g + INK stroke where the ground g < 0, g - INK stroke where it is not; g is uniform in
    [-1, 1], the stroke of a digit is 0 to 1.
    """
    stroke = (digits(32).x + 1) / 2
    ground = 2 * torch.rand(len(stroke), 1, 1, 1, generator=seeded(seed)) - 1
    return ground - INK * ground.sign() * stroke


def brightness(x: Tensor) -> Tensor:
    """The mean of each image's values: (B, *d) -> (B,), float64."""
    return x.flatten(1).double().mean(1)


def folding(x: Tensor) -> Folding:
    """Squares of 4 pixels into channels, with the scale that gives the pages a spread of 1."""
    fold = Folding(FoldingConfig(image_channels=1, factor=4))
    fold.scale.fill_(1 / x.std())
    return fold


def run_brightness(config: BrightnessLab) -> Outcome:
    """Train one denoiser, then compare the brightness of its pages with that of the data.

    from noise         started from N(0, I), as everybody does
    from noised pages  started from noised data: what the network was trained on at T
    """
    schedule, x = SCHEDULES[config.schedule](), pages()
    fold = folding(x)
    z0 = Folded(x, fold)[torch.arange(len(x))]
    trained, minutes = timed(lambda: train_denoiser(config.denoiser, schedule, z0))
    noise = keyed_normal((config.denoiser.fit.seed, 1), range(config.samples), z0.shape[1:])
    starts = {
        "from noise": noise,
        "from noised pages": diffuse(schedule, z0[: config.samples], schedule.T, noise),
    }
    drawn = {name: draw(config, trained.net, schedule, z_T) for name, z_T in starts.items()}
    figures = {name: compare(fold.decode(z) / fold.scale, x) for name, z in drawn.items()}
    few = fold.decode(drawn["from noise"][:16]) / fold.scale
    return Outcome(minutes, figures, few.clamp(-1, 1))


def draw(config: BrightnessLab, net: nn.Module, schedule, z_T: Tensor) -> Tensor:
    """Where the walks from z_T end: (B, 16, 8, 8), scaled and folded."""
    denoise = network_denoiser(net, schedule, config.denoiser.predicts)
    *_, last = sample(denoise, schedule, z_T, schedule.times(config.steps), ddim)
    return last.z


def compare(drawn: Tensor, real: Tensor) -> dict:
    """The brightness of drawn images, their spread as a share of the real ones', and the distance.

    distance: 2-Wasserstein on a line, in units of brightness, where -1 is black and 1 is white.
    """
    ours, theirs = brightness(drawn), brightness(real)
    levels = torch.tensor(QUANTILES, dtype=torch.float64)
    return {
        "mean": round(float(ours.mean()), 4),
        "spread": round(float(ours.std() / theirs.std()), 4),
        "distance": round(sliced_wasserstein(ours[:, None], theirs[:, None], directions=1), 4),
        "quantiles": [round(q, 3) for q in ours.quantile(levels).tolist()],
    }
