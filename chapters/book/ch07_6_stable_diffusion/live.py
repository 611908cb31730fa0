"""How much memory the numbers between the layers take, counted tensor by tensor.

    peak   the most bytes of tensors that were alive at once, made while something ran

Counted are storages, not what a kernel needs inside, so that the number is the same on every
machine; on the meta device too, where nothing is computed and nothing is stored.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Watch(TorchDispatchMode):
    """Inside the block every storage that is made counts until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = {id(t.untyped_storage()) for t in _tensors((args, kwargs))}
        output = func(*args, **(kwargs or {}))
        for tensor in _tensors(output):
            storage = tensor.untyped_storage()
            if id(storage) not in self._known | before:
                self._add(storage)
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        self._known.add(id(storage))
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, id(storage), storage.nbytes())

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@torch.no_grad()
def peak(call: Callable, *inputs: Any) -> int:
    """The most bytes alive at once of what ``call(*inputs)`` makes; what it is given is not."""
    with Watch() as watch:
        call(*inputs)
    return watch.peak


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
