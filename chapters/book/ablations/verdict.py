"""What the seeds of an ablation can tell, by a rule that was written before they were run.

    band       the range in which the mean over seeds lies, with a confidence of 95 %
    verdict    "higher", "lower" or "cannot tell"
    table      a line for each variant: its seeds, its band, and the verdict against one of them

Two bands that just touch differ by more than chance in about 1 of 200 comparisons of equals: less
than 1 of 20, since a chapter makes many comparisons.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

FEWEST = 5  # seeds of each of two variants, below which nothing is said
# 97.5 % quantiles of Student's distribution with 1, 2, .. degrees of freedom
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179,
           2.160, 2.145, 2.131)  # fmt: skip
CANNOT_TELL = "cannot tell"


class Band(NamedTuple):
    """The mean over ``seeds`` runs, and the ends of its interval."""

    low: float
    mean: float
    high: float
    seeds: int


def band(values: Sequence[float]) -> Band:
    """mean ± q s / √n, with the standard deviation s over n seeds and Student's q.

    Raises ValueError for fewer than two values, and for what is not finite.
    """
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"values must be at least two finite numbers; got {list(values)}")
    mean, n = statistics.fmean(values), len(values)
    reach = STUDENT[min(n - 1, len(STUDENT)) - 1] * statistics.stdev(values) / math.sqrt(n)
    return Band(mean - reach, mean, mean + reach, n)


def verdict(values: Sequence[float], reference: Sequence[float]) -> str:
    """Whether the mean of ``values`` is "higher" or "lower" than that of ``reference``.

    "cannot tell" where the two bands overlap, or where either has fewer than ``FEWEST`` seeds.
    """
    one, other = band(values), band(reference)
    if min(one.seeds, other.seeds) < FEWEST:
        return CANNOT_TELL
    if one.low > other.high:
        return "higher"
    return "lower" if one.high < other.low else CANNOT_TELL


def table(found: Mapping[str, Sequence[float]], reference: str) -> str:
    """A line for each variant of shares ``found`` (label -> seed by seed), all against one."""
    wide = max(map(len, found))
    lines = [f"{'':{wide}s}   seeds   mean   its band       all seeds     against {reference}"]
    for label, values in found.items():
        low, mean, high, seeds = band(values)
        against = "" if label == reference else verdict(values, found[reference])
        inside = f"{max(low, 0):4.0%} to {min(high, 1):4.0%}"
        lines.append(f"{label:{wide}s}   {seeds:5d}   {mean:4.0%}   {inside}   "
                     f"{min(values):4.0%} to {max(values):4.0%}   {against}".rstrip())  # fmt: skip
    return "\n".join(lines)
