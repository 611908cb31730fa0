"""What a reader's affine step does to a Gaussian, however often it draws: exercise 4.3-3."""

import torch
from torch import Tensor

from book.ch04_3_gaussian.gaussian_case import Normal
from minildm.metrics import root


def points(z: Tensor) -> Tensor:
    """One point (2,) as the rows that a step takes: (1, 2)."""
    return z.double()[None]  # (1, 2)


def pushed(step, start: Normal, t: int, s: int, denoise, schedule) -> Normal:
    """Mean and covariance after an affine step that may draw any number of times.

    One call without noise counts the draws; one call for each unit of each draw, and one for each
    axis, give the columns of the map.
    """

    def call(z: Tensor, which: int = -1, unit: int = 0) -> tuple[Tensor, int]:
        drawn = 0

        def draw(z: Tensor) -> Tensor:
            nonlocal drawn
            noise = torch.zeros_like(z)
            if drawn == which:
                noise[..., unit] = 1
            drawn += 1
            return noise

        arguments = (points(z), torch.tensor(t), torch.tensor(s), denoise, schedule, None)
        moved = torch.as_tensor(step(*arguments, draw=draw)[0]).double()
        return moved.reshape(2), drawn

    mean, draws = call(start.mean)
    half = root(start.cov)
    columns = [call(start.mean + half[i])[0] - mean for i in range(2)]
    columns += [call(start.mean, k, i)[0] - mean for k in range(draws) for i in range(2)]
    spread = torch.stack(columns)  # (2 + 2 draws, 2)
    return Normal(mean, spread.T @ spread)
