"""What the checks of all chapters share: comparing numbers, and points to compare them on."""

import torch
from torch import Tensor


def close(a, b, tolerance: float = 1e-10) -> None:
    """Fail, showing both, unless all numbers agree within an absolute tolerance."""
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    assert (a - b).abs().max() <= tolerance, (a, b)


def points(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, float64, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)
