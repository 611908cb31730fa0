"""Nodes and weights of integrals and averages: the points of Gauss, from a tridiagonal matrix.

Its entries beside the diagonal are those of the recurrence of the orthogonal polynomials; its
eigenvalues are the nodes, the squared first entries of its eigenvectors the weights.
"""

import torch
from torch import Tensor


def legendre(n: int, low: float = -1.0, high: float = 1.0) -> tuple[list[float], list[float]]:
    """Of the integral from low to high: exact for polynomials up to the power 2n - 1."""
    k = torch.arange(1, n, dtype=torch.float64)
    nodes, shares = _gauss(k / (4 * k**2 - 1).sqrt())
    return (low + (high - low) / 2 * (1 + nodes)).tolist(), ((high - low) * shares).tolist()


def hermite(n: int) -> tuple[Tensor, Tensor]:
    """Of the average over a standard normal number, each (n, 1)."""
    nodes, shares = _gauss(torch.arange(1, n, dtype=torch.float64).sqrt())
    return nodes[:, None], shares[:, None]


def _gauss(beside: Tensor) -> tuple[Tensor, Tensor]:
    nodes, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return nodes, vectors[0] ** 2
