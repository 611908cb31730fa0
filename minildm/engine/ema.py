"""The running average of a network's weights, which samples better than the last weights do."""

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import nn

from minildm.engine.batches import share
from minildm.engine.diverged import Diverged


class EMA:
    """average <- d average + (1 - d) weights, once per training step.

    d = min(decay, (1 + k) / (10 + k)) at update k = 0, 1, ..: a warm-up that forgets the random
    start. ``.net`` is a copy of the network with the averaged weights, ready to use.
    Raises ValueError unless 0 <= decay < 1 (0: no averaging).
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = share("decay", decay)
        self.updates = 0
        self.net = copy.deepcopy(net).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move the average towards the weights of ``net``; buffers are copied.

        Raises Diverged, a ValueError, for weights that are not finite, or so large that their
        squares are not; the average then stays as it was.
        """
        norm = nn.utils.get_total_norm([p.detach() for p in net.parameters()])
        if not norm.is_meta and not torch.isfinite(norm):
            raise Diverged("the weights are not finite")
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for average, weight in zip(self.net.parameters(), net.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
        for mine, theirs in zip(self.net.buffers(), net.buffers(), strict=True):
            mine.copy_(theirs)

    @contextlib.contextmanager
    def weights_in(self, net: nn.Module) -> Iterator[nn.Module]:
        """Inside the block ``net`` has the averaged weights; afterwards its own, even on error."""
        own = {name: value.detach().clone() for name, value in net.state_dict().items()}
        training = net.training
        net.load_state_dict(self.net.state_dict())
        try:
            yield net.eval()
        finally:
            net.load_state_dict(own)
            net.train(training)
