"""Data on a line: there the end of a deterministic walk is known before anybody walks.

    Clusters     some normal distributions on a line, each with its share
    THREE        the data of chapter 5.4
    even_normal  points that stand for the whole of N(0, 1): no sample, no luck
    exact_end    where the exact walk takes each of them

On a line walks cannot pass each other: they never cross, because both would go on alike from there.
So the walk keeps the order of the points, and the quarter of them that starts lowest ends lowest.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.denoise import Denoiser, mixture_denoiser

HALVINGS = 60  # of an interval of length 100: below the last digit of float64


class Clusters(NamedTuple):
    """Data on a line: ``shares`` sum to 1, each cluster is N(mean, std^2)."""

    shares: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    def below(self, x: Tensor) -> Tensor:
        """F(x): the share of the data below each x, float64 shaped like x."""
        x, lines = inputs.numbers("x", x), self._tables()
        each = [w * torch.special.ndtr((x - m) / std) for w, m, std in zip(*lines, strict=True)]
        return torch.stack(each).sum(0)

    def denoiser(self, schedule, shift: float = 0.0) -> Denoiser:
        """The exact denoiser of these data, moved to the right by ``shift``.

        A moved one stands for a network that has learned something slightly wrong.
        """
        shares, means, stds = self._tables()
        means = means + inputs.real("shift", shift)
        return mixture_denoiser(schedule, shares, means[:, None], stds[:, None, None].square())

    def _tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Shares, means and stds, float64 (K,); ValueError unless these are a mixture on a line."""
        shares, means, stds = map(inputs.numbers, self._fields, self)
        if not shares.dim() == means.dim() == stds.dim() == 1 or not (stds > 0).all():
            raise ValueError(f"shares, means and stds are (K,), each std > 0; got {tuple(self)}")
        inputs.mixture(shares, means[:, None], stds[:, None, None].square())
        return shares, means, stds


THREE = Clusters((0.5, 0.3, 0.2), (-1.0, 0.35, 1.5), (0.12, 0.2, 0.08))


def even_normal(n: int) -> Tensor:
    """The n points of N(0, 1) with shares (i + 1/2) / n below them: float64 (n, 1), increasing.

    Raises ValueError unless n is an integer >= 1.
    """
    n = checks.count("n", n)
    share = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.special.ndtri(share)[:, None]


def exact_end(clusters: Clusters, z_T: Tensor) -> Tensor:
    """F^-1(Phi(z_T)): the point of the data with as much below it as z_T has in N(0, 1).

    Shaped like z_T, float64. F^-1 by halving an interval: F increases.
    Raises ValueError for clusters that reach beyond -50..50, and for NaN or infinity.
    """
    wanted = torch.special.ndtr(inputs.numbers("z_T", z_T))
    low, high = torch.full_like(wanted, -50.0), torch.full_like(wanted, 50.0)
    _, means, stds = clusters._tables()
    reach = float((means.abs() + 10 * stds).max())
    if reach >= 50:
        raise ValueError(f"the clusters reach out to {reach}: they must lie within -50..50")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_low = clusters.below(middle) < wanted
        low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
    return (low + high) / 2
