"""What makes a printed relation true: the signs between the sides of a statement."""

from typing import Any, NamedTuple

import torch


class Normal(NamedTuple):
    """What N(mean, cov) evaluates to; ``at`` is what stands before the semicolon."""

    mean: Any
    cov: Any
    at: Any = None


def same(a: Any, b: Any, tolerance: float = 1e-8) -> bool:
    """Equal within a relative tolerance; distributions and tuples part by part."""
    if a is None or b is None:
        return a is b
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, tuple) or isinstance(b, tuple):
        a, b = (torch.cat([_row(y) for y in x], -1) if isinstance(x, tuple) else x for x in (a, b))
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    try:
        gap, size = (a - b).abs().max(), torch.cat([a.flatten(), b.flatten()]).abs().max()
        return bool(size.isfinite() and gap <= tolerance * size.clamp(min=1e-6))
    except RuntimeError:  # of shapes that do not go together
        return False


def _row(x: Any) -> torch.Tensor:
    return torch.atleast_1d(torch.as_tensor(x, dtype=torch.float64))


def drawn_from(values: Any, law: Normal) -> bool:
    """Do samples (n,) or (n, d), or a law, have the moments of a normal law?"""
    if isinstance(values, Normal):
        return same(tuple(values[:2]), tuple(law[:2]))
    rest = (values if values.ndim > 1 else values[:, None]) - law.mean
    cov = torch.atleast_2d(torch.cov(rest.mT, correction=0))
    if len(cov) > 1 and torch.as_tensor(law.cov).ndim < 2:
        return False  # a number is no covariance
    return bool(rest.mean(0).abs().max() < 1e-8) and same(
        cov, law.cov * torch.eye(len(cov), dtype=torch.float64)
    )


def relation(sign: str, a: Any, b: Any, value: Any) -> bool:
    """A function of the two sides among the symbols replaces the usual meaning of a sign."""
    if callable(value.symbols.get(sign)):
        return bool(value.symbols[sign](a, b))
    if sign in ("=", "\\leftarrow"):
        return same(a, b, value.tolerance)
    if sign == "\\approx":
        return same(a, b, value.look_up("\\approx"))
    if sign == "\\propto":
        return same(a / a.sum(), b / b.sum(), value.tolerance)
    if sign == "\\in":
        return isinstance(b, tuple) and tuple(a.shape[1:]) == b  # the space of a sample's numbers
    if sign == "\\sim":
        return drawn_from(a, b)
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    if sign in ("\\ge", "\\le"):
        low, high = (a, b) if sign == "\\le" else (b, a)
        slack = 1e-12 * torch.maximum(a.abs(), b.abs())
        return bool((low <= high + slack).all()) and not same(
            a, b, value.tolerance
        )  # that would be an equation
    return bool((a < b if sign == "<" else a > b).all())
