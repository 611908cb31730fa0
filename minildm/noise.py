"""Random numbers that depend on a key only: not on batch size, process or resume.

A generator that runs through a whole training is hard to resume, and two processes that share
a batch draw different numbers than one.  Here every sample has its own small generator, seeded
by a key such as (seed, step, sample index).

The same key gives the same integers, generators and uniform numbers everywhere. Normal numbers
are functions of them (logarithms, sines), which differ in their last bits between kinds of
processor: they are equal bit for bit on one kind, and to about 1e-6 on all.
"""

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_MASK = 2**64 - 1


def mix(*key: int) -> int:
    """Hash a key of integers to one well-mixed 64-bit integer.

    SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators",
    figure 17), applied once per entry.  Keys of different order or length differ. Entries are
    integers, NumPy's too. Raises ValueError for anything else.
    """
    state = 0
    for part in key:
        state = (state + _integer(part) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def seeded(*key: int) -> torch.Generator:
    """A CPU generator whose numbers depend on `key` only."""
    return torch.Generator().manual_seed(mix(*key))


def keyed_normal(
    key: Sequence[int], indices: Sequence[int] | Tensor, shape: Sequence[int]
) -> Tensor:
    """Standard normal noise, one independent row per index: float32 (len(indices), *shape).

    Row i depends on (*key, indices[i]) only, so a batch of one and a batch of a thousand agree.
    """
    key = _listed("key", key)
    numbers, sizes = _integers(indices), [_integer(n) for n in _listed("shape", shape)]
    if min(sizes, default=0) < 0 or max(sizes, default=0) > 2**31:
        raise ValueError(f"shape must be whole numbers >= 0; got {shape}")
    rows = torch.empty(len(numbers), *sizes)
    generator = torch.Generator()
    for row, index in zip(rows, numbers, strict=True):
        row.normal_(generator=generator.manual_seed(mix(*key, index)))
    return rows


def keyed_uniform(key: Sequence[int], indices: Sequence[int] | Tensor) -> Tensor:
    """Uniform numbers in [0, 1), one per index: float64 (len(indices),), keyed like above."""
    # The upper 53 bits of a well-mixed hash are a uniform double.
    key = _listed("key", key)
    values = [(mix(*key, index) >> 11) * 2.0**-53 for index in _integers(indices)]
    return torch.tensor(values, dtype=torch.float64)


def _integer(part: int) -> int:
    try:
        if isinstance(part, bool):
            raise TypeError
        return operator.index(part)
    except (TypeError, RuntimeError):  # the second: a tensor of several numbers, or without values
        raise ValueError(
            f"a seed, like every entry of a key of noise, must be an integer; got {part!r}"
        ) from None


def _integers(indices: Sequence[int] | Tensor) -> list[int]:
    if not isinstance(indices, Tensor):
        return list(_listed("indices", indices))
    if indices.dim() != 1 or indices.is_meta:
        raise ValueError(f"indices must be (n,), with values; got {tuple(indices.shape)}")
    return indices.tolist()


def _listed(name: str, values: Sequence[int]) -> Sequence[int]:
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str):
        raise ValueError(f"{name} must be a list of whole numbers; got {values!r}")
    return values


ORDER, TIME, NOISE, DROP = range(4)  # what a key is used for: no two uses share numbers


class Batch(NamedTuple):
    """The samples of one step. Seed, step and sample index are the key of all its noise."""

    seed: int
    step: int
    indices: Tensor

    def uniform(self, purpose: int) -> Tensor:
        """Uniform numbers in [0, 1): float64 (B,)."""
        return keyed_uniform((self.seed, purpose, self.step), self.indices)

    def normal(self, shape: Sequence[int], purpose: int = NOISE) -> Tensor:
        """Standard normal noise: float32 (B, *shape)."""
        return keyed_normal((self.seed, purpose, self.step), self.indices, shape)


def batch_indices(n: int, batch: int, step: int, seed: int) -> Tensor:
    """The samples of one step, int64 (batch,): each epoch is another shuffle of 0..n-1.

    Depends on its arguments only. The n mod batch samples left at an epoch's end are skipped.
    Raises ValueError if a batch is larger than the data.
    """
    per_epoch = n // batch
    if per_epoch < 1:
        raise ValueError(f"batch = {batch} is larger than the {n} samples there are; lower it")
    epoch, place = divmod(step, per_epoch)
    return _shuffled(n, seed, epoch)[place * batch : (place + 1) * batch].clone()


@functools.lru_cache(maxsize=2)
def _shuffled(n: int, seed: int, epoch: int) -> Tensor:
    """The order of one epoch: drawn once, not at each of its steps."""
    return torch.randperm(n, generator=seeded(seed, ORDER, epoch))
