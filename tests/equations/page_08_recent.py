"""What the letters of chapter 8's newer equations stand for: values that the package computed."""

import torch
from latexvalue import Operator
from pageforms import shows
from symbols import exact

from book.ch08_outlook.guidance_ways import projected
from book.ch08_outlook.kernel_distance import kernel, kernel_distance
from book.ch08_outlook.mean_flow import gaussian_average
from minildm.denoise import gaussian_denoiser
from minildm.samplers import heun, sample
from minildm.schedule import CosineSchedule, FlowSchedule


@shows("8.7")
def guided_across():
    schedule, cov = CosineSchedule(), torch.tensor([[0.6, 0.3], [0.3, 0.4]]).double()
    c, u = (
        gaussian_denoiser(schedule, torch.tensor(mean).double(), cov)
        for mean in ([0.5, -1.0], [-0.3, 0.2])
    )
    t = torch.tensor(0.6, dtype=torch.float64)
    for w, z_t in zip((0.5, 3.0, 7.0), exact(3, 2), strict=True):
        z_t = z_t[None]
        z_c, z_u = c(z_t, t).z0[0], u(z_t, t).z0[0]
        yield {
            r"\hat z_0": projected(c, u, schedule, w)(z_t, t).z0[0], r"\hat z_c": z_c,
            r"\hat z_u": z_u, "w": w, "g": z_c - z_u, r"\cdot": lambda a, b: (a * b).sum(),
        }  # fmt: skip


@shows("8.8")
def average_velocity():
    """By a fine walk of the sampler with the exact denoiser, and by the function."""
    schedule = FlowSchedule()
    for mean, std, t, r in ((1.5, 0.5, 0.9, 0.3), (-0.4, 1.7, 1.0, 0.1), (0.7, 0.2, 0.6, 0.5)):
        exact_ = gaussian_denoiser(
            schedule, torch.tensor([mean]).double(), torch.tensor([[std**2]]).double()
        )
        z, times = exact(6, 1), torch.linspace(t, r, 400, dtype=torch.float64)
        *_, last = sample(exact_, schedule, z, times, heun)
        r_, t_ = (torch.tensor(k, dtype=torch.float64) for k in (r, t))
        average = gaussian_average(mean, std, z, r_, t_)
        torch.testing.assert_close(average, (z - last.z) / (t - r), atol=1e-4, rtol=1e-4)
        S = {k: float(((1 - k) ** 2 * std**2 + k**2) ** 0.5) for k in (r, t)}
        yield {
            r"\bar v(z, r, t)": average, "z": z, "r": r, "t": t, r"\mu": mean, r"\sigma": std,
            "S_": lambda k, S=S: S[float(k)],
        }  # fmt: skip


@shows(
    "8.9",
    harmless={
        r"subscripts swapped: a(\phi_i,\phi_j)+\f": "the kernel is symmetric",
        r"subscripts swapped: a(\psi_k,\psi_l)-\f": "the same",
    },
)
def unbiased():
    for n, m in ((3, 4), (5, 2)):
        phi, psi = exact(n + 3, 2)[:n], exact(m + 4, 2, seed=1)[:m] + 0.3

        def pairs(first, second, apart):
            def of(rest):
                return sum(
                    rest({first[0]: i, second[0]: j})
                    for i in range(first[1])
                    for j in range(second[1])
                    if not (apart and i == j)
                )

            return Operator(of)

        yield {
            "D": kernel_distance(phi, psi), "n": n, "m": m,
            r"\kappa": lambda a, b: float(kernel(a[None], b[None])),
            r"\phi_": lambda i, phi=phi: phi[round(float(i))],
            r"\psi_": lambda k, psi=psi: psi[round(float(k))],
            r"\sum_{i \ne j}": pairs(("i", n), ("j", n), True),
            r"\sum_{k \ne l}": pairs(("k", m), ("l", m), True),
            r"\sum_{i k}": pairs(("i", n), ("k", m), False),
        }  # fmt: skip
