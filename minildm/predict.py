"""What a network is asked to predict, and how its answer becomes (z0, eps).

Every target in use is a z0 + b eps. With the known z_t = signal z0 + noise eps that makes two
equations in two unknowns, so one 2x2 solve serves all parameterisations:

    name   output    a        b        determinant = signal b - noise a
    EPS    eps       0        1        signal
    Z0     z0        1        0        -noise
    V      v         -noise   signal   signal^2 + noise^2       (arXiv 2202.00512, section 4)
    FLOW   eps - z0  -1       1        signal + noise           (arXiv 2209.03003)
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, ones_like, zeros_like

from minildm import checks
from minildm.schedule import expand


@dataclass(frozen=True)
class Parameterization:
    """A target a z0 + b eps; ``weights(signal, noise)`` gives (a, b), float64 like signal."""

    name: str
    weights: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

    def __reduce__(self) -> str:
        return self.name  # pickled by name: the four below, which are themselves again

    def target(self, z0: Tensor, eps: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """a z0 + b eps, (B, *d), with (signal, noise) = schedule(t). Raises ValueError for NaN."""
        checks.alike(z0=z0, eps=eps)
        checks.coefficients(signal, noise)
        a, b = self.weights(signal, noise)
        return expand(a, z0) * z0 + expand(b, z0) * eps

    def solve(
        self, output: Tensor, z_t: Tensor, signal: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both unknowns (z0, eps), each (B, *d), by Cramer's rule:

            z0 = (b z_t - noise output) / det,   eps = (signal output - a z_t) / det

        Raises ValueError where shapes differ, something is not finite, or det = 0 in the data's
        precision: eps-prediction without signal, z0-prediction without noise.
        """
        checks.equations(output, z_t, signal, noise)
        a, b = self.weights(signal, noise)
        det = signal * b - noise * a
        checks.solvable(self.name, det, signal, noise, z_t)
        b_det, noise_det, signal_det, a_det = (expand(c / det, z_t) for c in (b, noise, signal, a))
        return b_det * z_t - noise_det * output, signal_det * output - a_det * z_t


EPS = Parameterization("EPS", lambda signal, noise: (zeros_like(signal), ones_like(signal)))
Z0 = Parameterization("Z0", lambda signal, noise: (ones_like(signal), zeros_like(signal)))
V = Parameterization("V", lambda signal, noise: (-noise, signal))
FLOW = Parameterization("FLOW", lambda signal, noise: (-ones_like(signal), ones_like(signal)))
