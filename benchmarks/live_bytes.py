"""How much memory a computation needs at once, counted instead of measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of all tensors that operations made and that are still there; ``most``: their peak.

    What a kernel needs inside does not count. Unlike a process's memory, it is the same each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.live.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.live = {key: pair for key, pair in self.live.items() if not pair[0].expired()}
        self.most = max(self.most, sum(size for _, size in self.live.values()))
        return out


def live_bytes(call: Callable[[], object]) -> int:
    """The most that is alive at once while ``call`` runs, of what it makes, its result included."""
    with LiveBytes() as mode:
        call()
    return mode.most
