"""What a training must hold in memory: estimated from the network, and measured.

    estimate         weights, gradients, moments and average, from the sizes of the parameters
    saved_bytes      activations: what autograd keeps from the forward pass to the backward pass
    fused_attention  no maps of attention among them
    peak_bytes       how far the memory in use rises while something runs, as the device tells

All in bytes; a megabyte is 1e6 of them. Activations grow with the batch, the other parts do not.
"""

import contextlib
import ctypes
import gc
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from minildm.engine.settings import CHOICES

LAYERS = (nn.Linear, nn.Conv2d)  # whose weights Muon treats as matrices, with one moment each
WATCH = 1e-3  # seconds between two looks at the memory of the process


class Memory(NamedTuple):
    """The parts of a training, in bytes."""

    weights: int
    gradients: int
    moments: int
    average: int
    activations: int = 0

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self)


def estimate(
    net: nn.Module, optimizer: str = "adamw", averaged: bool = True, activations: int = 0
) -> Memory:
    """weights + gradients + moments + average (+ activations), of which none but the last grows
    with the batch.

    For n float32 parameters, all learned: 4 n + 4 n + 8 n + 4 n = 20 n bytes with AdamW (Loshchilov
    and Hutter 2019, arXiv 1711.05101: two moments each); with Muon one moment for each weight of a
    linear or convolution layer, so about 16 n. Frozen parameters have neither gradient nor moments.
    ``averaged``: whether an EMA copy is kept. Raises ValueError for another optimiser.
    """
    if optimizer not in CHOICES["optimizer"]:
        allowed = " or ".join(repr(name) for name in CHOICES["optimizer"])
        raise ValueError(f"optimizer must be {allowed}; got {optimizer!r}")
    matrices = {id(m.weight) for m in net.modules() if isinstance(m, LAYERS)}
    learned = [p for p in net.parameters() if p.requires_grad]
    single = [p for p in learned if optimizer == "muon" and id(p) in matrices]
    weights = nbytes((*net.parameters(), *net.buffers()))
    moments = 2 * nbytes(learned) - nbytes(single)
    return Memory(weights, nbytes(learned), moments, weights * averaged, activations)


def nbytes(tensors: Iterable[Tensor]) -> int:
    """The bytes of some tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def saved_bytes(net: nn.Module, call: Callable[[], Any]) -> int:
    """Activations: the bytes that autograd keeps of ``call()`` until its backward pass.

    Whole storages count, each once: a saved part of a tensor keeps all of it. Weights and buffers
    of ``net`` do not count, their copies in another precision do. Works on the meta device too,
    where nothing is computed: a network that does not fit can be measured.
    """
    own = {t.untyped_storage()._cdata for t in (*net.parameters(), *net.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor.detach()  # not the tensor itself: that would be a cycle, never freed

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = call()  # alive until all is counted
    found = sum(storage.nbytes() for storage in kept.values())
    del result
    return found


@contextlib.contextmanager
def fused_attention() -> Iterator[None]:
    """Inside the block attention is the CPU's fused kernel, also on the meta device, which else
    takes products and a softmax, and keeps every map for the backward pass.
    """

    def fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return kernel(q, k, v, attn_mask=mask)[0]

    with patch.object(nn.functional, "scaled_dot_product_attention", fused):
        yield


def peak_bytes(call: Callable[[], Any], device: torch.device | str = "cpu") -> int:
    """How far the memory in use rises above what it was, at most, while ``call()`` runs.

    CUDA: exact, from PyTorch's allocator. CPU: the resident memory of this process, looked at every
    millisecond. That is rough: other threads count, and where the C library does not give freed
    memory back on request (it does on Linux with glibc), it is used again without a rise.
    Raises ValueError for other devices, which keep no such account.
    """
    device = torch.device(device)
    if device.type == "cpu":
        return _peak_of_process(call)
    if device.type != "cuda":
        raise ValueError(f"device must be cpu or cuda; got {str(device)!r}: it keeps no account")
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_of_process(call: Callable[[], Any]) -> int:
    process, stop = psutil.Process(), threading.Event()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such library or function
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not stop.wait(WATCH):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        call()
    finally:
        stop.set()
        watcher.join()
    return max(peak, process.memory_info().rss) - before
