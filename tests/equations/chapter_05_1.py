"""The numbered equations of chapter 5.1, the autoencoder, each checked against the package."""

import math

import torch
from registry import Equation

from book.ablations.autoencoder_lab import lost_detail
from book.ablations.digits_lab import absolute_loss
from minildm.losses import reconstruction_loss
from minildm.process import diffuse
from minildm.schedule import DiscreteSchedule, cosine_betas

CHAPTER = "05_1_autoencoder"
SCHEDULE = DiscreteSchedule(cosine_betas(200))


def _best_guess(loss) -> tuple[float, torch.Tensor]:
    """The constant that minimises a loss over skewed values, by trying all of a fine grid."""
    values = torch.randn(999, 1, generator=torch.Generator().manual_seed(0)).double().exp()
    guesses = torch.linspace(0, 5, 5001, dtype=torch.float64)
    risks = torch.stack([loss(torch.full_like(values, g), values).mean() for g in guesses])
    return float(guesses[risks.argmin()]), values


def mean_minimises_squares() -> None:
    guess, values = _best_guess(reconstruction_loss)
    assert math.isclose(guess, float(values.mean()), abs_tol=2e-3)
    assert abs(guess - float(values.median())) > 0.3  # the two differ for these values


def median_minimises_absolutes() -> None:
    guess, values = _best_guess(absolute_loss)
    assert math.isclose(guess, float(values.median()), abs_tol=5e-3)


def lost_by_band() -> None:
    """A wave that is halved loses a quarter of its power, in its own band and in no other."""
    column = torch.arange(32, dtype=torch.float64)
    low, high = (torch.cos(2 * torch.pi * k * column / 32) for k in (3, 13))
    x = (low + high).expand(2, 1, 32, 32)
    x_hat = (low + 0.5 * high).expand(2, 1, 32, 32)
    lost = lost_detail(x_hat, x)  # bands of 1/16: 3/32 is in the second, 13/32 in the seventh
    assert math.isclose(float(lost[6]), 0.25, rel_tol=1e-9)
    assert float(lost[1]) < 1e-20
    grey = lost_detail(torch.zeros_like(x), x)
    torch.testing.assert_close(grey[[1, 6]], torch.ones(2, dtype=torch.float64))


def snr_grows_with_the_square() -> None:
    """Signal and noise of ``diffuse``, apart: their powers, in the exact ratio."""
    z, eps, zero = torch.full((4, 1), 3.0).double(), torch.ones(4, 1).double(), torch.zeros(4, 1)
    for t in (1, 60, 150):
        signal = diffuse(SCHEDULE, z, t, zero.double())
        noise = diffuse(SCHEDULE, zero.double(), t, eps)
        snr = (signal / noise).square()
        torch.testing.assert_close(snr, 9 * SCHEDULE.snr[t].expand(4, 1), rtol=1e-12, atol=0)


def a_scale_is_a_schedule() -> None:
    s, generator = 5.5, torch.Generator().manual_seed(1)
    z, eps = (torch.randn(50, 3, generator=generator).double() for _ in range(2))
    for t in (1, 60, 150, 200):
        ab = float(SCHEDULE.alpha_bar[t])
        total = s * s * ab + 1 - ab
        new = s * s * ab / total
        left = diffuse(SCHEDULE, s * z, t, eps) / math.sqrt(total)
        torch.testing.assert_close(left, math.sqrt(new) * z + math.sqrt(1 - new) * eps)


EQUATIONS = [
    Equation(
        "5.1.1", CHAPTER, "the squared error's guess is the mean",
        "minildm.losses.reconstruction_loss", mean_minimises_squares,
    ),
    Equation(
        "5.1.2", CHAPTER, "the absolute error's guess is the median",
        "book.ablations.digits_lab.absolute_loss", median_minimises_absolutes,
    ),
    Equation(
        "5.1.3", CHAPTER, "detail lost, by spatial frequency",
        "book.ablations.autoencoder_lab.lost_detail", lost_by_band,
    ),
    Equation(
        "5.1.4", CHAPTER, "a scale multiplies the SNR by its square",
        "minildm.process.diffuse", snr_grows_with_the_square,
    ),
    Equation(
        "5.1.5", CHAPTER, "a wrong scale is another schedule",
        "cell scale-is-a-schedule", a_scale_is_a_schedule,
    ),
]  # fmt: skip
