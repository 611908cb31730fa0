"""Stopwatches and hooks: what a step takes, layer by layer and operation by operation.

seconds         the shortest time of some runs
Watch           the shortest time of each named part of something that is done again and again
passes          a forward and backward pass, to be timed
layer_types     which formats go into each kind of layer, and come out
gradients_pass  every gradient of a layer's output goes through a function
Operations      counts operations that would start a kernel on a GPU
"""

import contextlib
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

# Operations that look at the same numbers differently, and start nothing.
VIEWS = {"view", "_unsafe_view", "t", "detach", "transpose", "permute", "unsqueeze", "squeeze",
         "expand", "slice", "select", "split", "unbind", "alias", "as_strided",
         "_reshape_alias"}  # fmt: skip


def seconds(call: Callable[[], Any], times: int = 5) -> float:
    """The shortest time of ``times`` runs, after one to warm up."""
    watch = Watch()
    for run in range(times + 1):
        with watch("run" if run else "warm-up"):
            call()
    return watch.best["run"]


class Watch:
    """``with watch("forward"): ...`` keeps the shortest time of each part, in ``best``, seconds."""

    def __init__(self) -> None:
        self.best: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time what is in the block."""
        start = perf_counter()
        yield
        spent = perf_counter() - start
        self.best[part] = min(spent, self.best.get(part, spent))


def passes(net: nn.Module, size: int, batch: int, low: bool = False) -> Callable[[], None]:
    """A forward and backward pass on random latents; ``low``: under autocast to bfloat16."""
    z = torch.randn(batch, net.config.channels, size, size)  # (B, c, h, w)
    t = torch.randint(1, 1001, (batch,))

    def call() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            out = net(z, t)
        out.float().square().mean().backward()

    return call


def leaves(net: nn.Module) -> list[nn.Module]:
    """The layers of a network that have no parts."""
    return [module for module in net.modules() if not list(module.children())]


def layer_types(net: nn.Module, call: Callable[[], Any]) -> dict[str, set[str]]:
    """For each kind of layer the pairs "float32 -> bfloat16" that it sees in ``call()``."""
    seen: dict[str, set[str]] = {}

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        pair = f"{str(inputs[0].dtype)[6:]} -> {str(output.dtype)[6:]}"
        seen.setdefault(type(module).__name__, set()).add(pair)

    hooks = [layer.register_forward_hook(note) for layer in leaves(net)]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


@contextlib.contextmanager
def gradients_pass(net: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block: what ``backward`` hands to a layer is ``change`` of the gradient there.

    The forward pass and the backward pass are both to be in the block.
    """

    def watch(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(change)

    hooks = [layer.register_forward_hook(watch) for layer in leaves(net)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Operations(TorchDispatchMode):
    """Counts, in ``n``, the operations in its block but for those of ``VIEWS``."""

    n = 0

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        space, name = str(op).split(".")[:2]  # such as "aten", "convolution"
        self.n += space == "aten" and name not in VIEWS
        return op(*args, **(kwargs or {}))
