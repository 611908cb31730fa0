"""What the letters of chapter 5.1 stand for: values that the package computed."""

import torch
from chapter_05_1 import SCHEDULE
from latexvalue import Operator
from pageforms import shows
from registry import points
from symbols import golden, table

from book.ablations.autoencoder_lab import lost_detail
from book.ablations.digits_lab import moved
from minildm.process import diffuse
from minildm.schedule import DiscreteSchedule, cosine_betas


@shows("5.1.1", "5.1.2")
def best_guess():
    x = points(999).exp()
    yield {
        r"\arg\min_g": Operator(lambda rest: golden(lambda g: rest({"g": g}), -1.0, 6.0)),
        r"\mathbb E": torch.mean, r"\mathrm{median}": torch.median, "x": x,
        "tolerance": 1e-5,
    }  # fmt: skip


@shows("5.1.3")
def lost_by_band():
    x, x_hat = points(1, 1, 32, 32), points(1, 1, 32, 32, seed=1)
    frequency = torch.fft.fftfreq(32, dtype=torch.float64)
    radius = 16 * torch.hypot(frequency[:, None], frequency[None])
    for band, lost in enumerate(lost_detail(x_hat, x)):
        chosen = (radius >= band) & (radius < band + 1)
        chosen[0, 0] = False
        yield {
            r"\text{lost}(\Omega)": lost, r"\hat x": x_hat, "x": x,
            r"\mathcal F": lambda y: lambda omega: torch.fft.fft2(y)[0, 0, omega[0], omega[1]],
            r"\sum_{\omega \in \Omega}": Operator(
                lambda rest, chosen=chosen: sum(
                    rest({r"\omega": tuple(omega)}) for omega in chosen.nonzero()
                )
            ),
        }  # fmt: skip


@shows("5.1.4")
def snr_grows_with_the_square():
    """Signal and noise of ``diffuse``, apart."""
    s, zero = 3.0, torch.zeros(1, 1).double()
    for t in (1, 60, 150):
        snr = diffuse(SCHEDULE, zero + s, t, zero) / diffuse(SCHEDULE, zero, t, zero + 1)
        yield table(SCHEDULE) | {r"\mathrm{SNR}_t(s)": snr**2, "s": s, "t": t, "tolerance": 1e-7}


@shows("5.1.5")
def a_scale_is_a_schedule():
    s, z, eps = 5.5, points(50, 3), points(50, 3, seed=1)
    schedule = DiscreteSchedule(cosine_betas(1000))
    new = moved(schedule, s)
    for t in (1, 60, 150, 1000):
        yield table(schedule) | {
            r"\bar\alpha'_t": float(new.alpha_bar[t]), "z": s * z, "s": s, r"\epsilon": eps, "t": t,
            "z_t": diffuse(schedule, s * z, t, eps), "tolerance": 1e-6,
        }  # fmt: skip
