"""The optimiser of the long trainings: Muon for weight matrices, AdamW for everything else.

A gradient matrix is mostly a few large directions. Adam rescales its entries one by one; Muon
rescales its *directions*: G = U S Vᵀ becomes U Vᵀ, so that every direction takes a step of the same
length. On the autoencoder of the captioned shapes that saves more than half of the steps.

Jordan et al. 2024, kellerjordan.github.io/posts/muon; the factor that makes
one learning rate serve both rules is from Liu et al. 2025 (arXiv 2502.16982), equation 4. torch's
own Muon takes matrices only and computes in bfloat16, which is slow on a CPU.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

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
        X = a * X + (b * A + c * A @ A) @ X
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
    def step(self, closure: Callable | None = None) -> None:
        """One update of every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure: call backward() yourself, then step()")
        for group in self.param_groups:
            update = self._muon if group["muon"] else self._adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update(parameter, self.state[parameter], group)

    @staticmethod
    def _muon(parameter: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["average"] = torch.zeros_like(parameter)
        gradient, momentum = parameter.grad, group["momentum"]
        state["average"].lerp_(gradient, 1 - momentum)
        ahead = gradient.lerp(state["average"], momentum).flatten(1)  # (out, everything else)
        step = 0.2 * math.sqrt(max(ahead.shape)) * orthogonalized(ahead)
        parameter.add_(step.reshape(parameter.shape), alpha=-group["lr"])  # (out, in, ..) again

    @staticmethod
    def _adamw(parameter: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"] = torch.zeros(())
            state["first"], state["second"] = (torch.zeros_like(parameter) for _ in range(2))
        state["step"] += 1
        k, (b1, b2) = float(state["step"]), group["betas"]
        state["first"].lerp_(parameter.grad, 1 - b1)
        state["second"].lerp_(parameter.grad.square(), 1 - b2)
        root = (state["second"] / (1 - b2**k)).sqrt_().add_(1e-8)
        parameter.addcdiv_(state["first"], root, value=-group["lr"] / (1 - b1**k))
