"""The optimiser of a training, and the running average of the weights."""

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.engine.settings import FitConfig

N = TypeVar("N", bound=nn.Module)


class EMA(Generic[N]):
    """average <- d average + (1 - d) weights, once per training step.

    d = min(decay, (1 + k) / (10 + k)) at update k = 0, 1, ..: a warm-up that forgets the random
    start. ``.net`` is a copy of the network with the averaged weights, ready to use.
    Raises ValueError unless 0 <= decay < 1 (0: no averaging).
    """

    def __init__(self, net: N, decay: float) -> None:
        self.decay = inputs.share("decay", decay)
        self.updates = 0
        self.net: N = copy.deepcopy(net).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move the average towards the weights of ``net``; buffers are copied.

        Raises NotFinite, a ValueError, for weights that are not finite, or so large that their
        squares are not; the average then stays as it was.
        """
        norm = nn.utils.get_total_norm([p.detach() for p in net.parameters()])
        if not norm.is_meta and not torch.isfinite(norm):
            raise inputs.NotFinite("the weights are not finite")
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


QUINTIC = (3.4445, -4.7750, 2.0315)  # lifts every singular value in (0, 1] to about 1: 0.7 .. 1.2
ROUNDS = 5


def orthogonalized(gradient: Tensor) -> Tensor:
    """About U Vᵀ of gradient = U S Vᵀ (rows, columns): its singular values become 0.7 .. 1.2.

    Newton-Schulz: X <- a X + b (X Xᵀ) X + c (X Xᵀ)² X, five times, from X = G / |G|.
    A zero gradient stays zero.
    """
    a, b, c = QUINTIC
    tall = gradient.shape[0] > gradient.shape[1]
    X = gradient.T if tall else gradient  # the smaller side first: X Xᵀ is then the smaller product
    X = X / (X.norm() + 1e-7)
    for _ in range(ROUNDS):
        A = X @ X.T
        X = torch.addmm(X, torch.addmm(A, A, A, beta=b, alpha=c), X, beta=a)  # sums in the products
    return X.T if tall else X


class Muon(torch.optim.Optimizer):
    """Muon for the weights of linear and convolution layers of ``net``, AdamW for the rest.

    lr            of both: a Muon step has AdamW's typical root mean square, 0.2 lr
    momentum      of Muon, with Nesterov's look ahead
    betas         of AdamW
    weight_decay  of both, decoupled

    A convolution's weight (out, in, height, width) counts as a matrix (out, in · height · width).
    """

    def __init__(
        self, net: nn.Module, lr: float, momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.01,
    ) -> None:  # fmt: skip
        layers = (nn.Linear, nn.Conv2d)
        hidden = {id(m.weight) for m in net.modules() if isinstance(m, layers)}
        parameters = [p for p in net.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if id(p) in hidden], "muon": True},
            {"params": [p for p in parameters if id(p) not in hidden], "muon": False},
        ]
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:  # type: ignore[override]  # none taken
        """One update of every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure: call backward() yourself, then step()")
        for group in self.param_groups:
            update = self._muon if group["muon"] else self._adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update(parameter, parameter.grad, self.state[parameter], group)

    @staticmethod
    def _muon(parameter: Tensor, gradient: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["average"] = torch.zeros_like(parameter)
        momentum = group["momentum"]
        state["average"].lerp_(gradient, 1 - momentum)
        ahead = gradient.lerp(state["average"], momentum).movedim(1, -1)  # (out, .., in)
        matrix = ahead.flatten(1)  # (out, everything else); the order of columns does not matter
        step = orthogonalized(matrix).reshape(ahead.shape).movedim(-1, 1)  # (out, in, ..) again
        parameter.add_(step, alpha=-0.2 * math.sqrt(max(matrix.shape)) * group["lr"])

    @staticmethod
    def _adamw(parameter: Tensor, gradient: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"] = torch.zeros(())
            state["first"], state["second"] = (torch.zeros_like(parameter) for _ in range(2))
        state["step"] += 1
        k, (b1, b2) = float(state["step"]), group["betas"]
        state["first"].lerp_(gradient, 1 - b1)
        state["second"].lerp_(gradient.square(), 1 - b2)
        root = (state["second"] / (1 - b2**k)).sqrt_().add_(1e-8)
        parameter.addcdiv_(state["first"], root, value=-group["lr"] / (1 - b1**k))


def make_optimizer(
    net: nn.Module, config: FitConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW or Muon, as ``config`` says."""
    if config.optimizer == "muon":
        return Muon(net, config.lr, weight_decay=config.weight_decay)
    fused = device.type in ("cpu", "cuda")
    return torch.optim.AdamW(
        net.parameters(), config.lr, (0.9, 0.99), weight_decay=config.weight_decay, fused=fused
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back moments named "index.kind", in the memory layout of their parameters.

    The layout matters: sums run over memory, and another order rounds differently. Raises
    ValueError, IndexError or RuntimeError for moments that are not of these parameters.
    """
    parameters = list(itertools.chain(*(group["params"] for group in optimizer.param_groups)))
    state: dict[int, dict] = {}
    for name, value in tensors.items():
        index, kind = name.split(".", 1)
        like = parameters[int(index)]
        if value.dim() and value.shape != like.shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(like.shape)}")
        if value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[kind] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
