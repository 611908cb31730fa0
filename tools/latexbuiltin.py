"""What LaTeX means without being told: functions, numbers, and how two factors are joined."""

import math

import torch
from latexrelation import Normal
from torch import Tensor


def normal(*parts) -> Normal:
    return Normal(*parts) if len(parts) == 2 else Normal(parts[1], parts[2], parts[0])


def matmul(a, b):
    """Juxtaposition where letters are matrices."""
    numbers = (int, float)
    plain = isinstance(a, numbers) or isinstance(b, numbers) or not (a.ndim and b.ndim)
    return a * b if plain else a @ b


def power(base, exponent):
    """Of real numbers: a root of a negative one is none."""
    got = base**exponent
    return math.nan if isinstance(got, complex) else got


def matrix_power(base, exponent):
    if not isinstance(base, Tensor) or base.ndim < 2:
        return base**exponent
    if exponent == int(exponent):
        return torch.linalg.matrix_power(base, int(exponent))
    values, vectors = torch.linalg.eigh((base + base.mT) / 2)
    return vectors @ torch.diag(values**exponent) @ vectors.mT


def function(name: str):
    """torch's, of tensors and of numbers."""

    def of(x):
        got = getattr(torch, name)(torch.as_tensor(x, dtype=torch.float64))
        return got if isinstance(x, Tensor) else float(got)

    return of


BUILT_IN = {
    **{f"\\{name}": function(name) for name in ("log", "exp", "sin", "cos", "det")},
    "\\pi": math.pi,
    "e": math.e,
    "\\mathcal N": normal,
    "\\mathrm{tr}": torch.trace,
    "\\min": lambda *values: _extreme(torch.minimum, values),
    "\\max": lambda *values: _extreme(torch.maximum, values),
    "\\mathrm{round}": function("round"),
    "\\lVert": lambda x: x.square().sum().sqrt() if isinstance(x, Tensor) else abs(x),
    "|": abs,
    "\\langle": lambda a, b: (a * b).sum(-1),  # the inner product of each row
    "": lambda a, b: a * b,  # two factors side by side
    "\\cdot": lambda a, b: a * b,
    "\\odot": lambda a, b: a * b,
    "\\times": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": power,
    "\\approx": 1e-2,  # how far apart, relative to the larger
}
MATRICES = {"": matmul, "^": matrix_power}  # to be merged into the symbols of a formula of matrices


def _extreme(of, values):
    got = [torch.as_tensor(v, dtype=torch.float64) for v in values]
    return of(*got)
