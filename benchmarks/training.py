"""One training step: forward, backward, clipping, optimiser, on the same inputs."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import rivals
from benchmarks.measure import Options, Row, interleaved, scaled
from book.ch05_2_unet.cost import parameters
from minildm.engine.optim import EMA, make_optimizer
from minildm.engine.settings import FitConfig
from minildm.noise import Batch
from minildm.shapes.training import SCHEDULE, ShapesTraining
from minildm.text import build_network
from minildm.train import denoiser_loss
from minildm.unet import UNet
from minildm.words import NULL

NAME = "training"
QUESTION = "How long does one training step of 64 take, for networks with as many parameters?"
WHOLE = "ours, all of a step of the shapes training"
OURS = {  # name -> told a context?, optimiser
    "ours": (True, "adamw"),
    "ours, Muon": (True, "muon"),
    "ours, no context": (False, "adamw"),
}
Call = Callable[[Tensor, Tensor, Tensor], Tensor]


def stepper(net: nn.Module, call: Call, optimizer: torch.optim.Optimizer, batch: int) -> Callable:
    """A function that makes one step: the squared error of the output against some noise."""
    z, t, context = rivals.inputs(batch)
    target = torch.randn_like(z)

    def step() -> None:
        F.mse_loss(call(z, t, context), target).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_step(told: bool, optimizer: str, batch: int) -> tuple[nn.Module, Callable]:
    """Our network, and its step with the optimiser that the library makes for it."""
    net = UNet(rivals.ours(told))
    made = make_optimizer(net, FitConfig(optimizer=optimizer), torch.device("cpu"))
    return net, stepper(net, lambda z, t, c: net(z, t, c if told else None), made, batch)


def rival_step(name: str, batch: int) -> tuple[nn.Module, Callable]:
    """A rival's network, and its step with AdamW as PyTorch makes it by default."""
    net, rival = rivals.network(name), rivals.RIVALS[name]
    call: Call = lambda z, t, c: rival.call(net, z, t, c if rival.told else None)  # noqa: E731
    return net, stepper(net, call, torch.optim.AdamW(net.parameters(), 1e-4), batch)


def whole_step(batch: int) -> tuple[nn.Module, Callable]:
    """What the text-to-image training does at each step: captions are read, noise is drawn, the
    loss is weighed, Muon, and the running average of the weights.
    """
    config, (z0, *_), steps = ShapesTraining().denoiser, rivals.inputs(batch), itertools.count()
    tokens = torch.full((batch, rivals.WORDS), NULL)
    net, loss = build_network(config.model), denoiser_loss(config, SCHEDULE, z0, tokens)
    optimizer = make_optimizer(net, config.fit, torch.device("cpu"))
    ema = EMA(net, config.fit.ema)

    def step() -> None:
        loss(net, Batch(0, next(steps), torch.arange(batch)))[0].mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update(net)

    return net, step


def run(options: Options) -> dict:
    notes = [note for name in rivals.RIVALS if (note := rivals.why_not(name))]
    made = {name: our_step(*how, options.batch) for name, how in OURS.items()}
    made[WHOLE] = whole_step(options.batch)
    for name in rivals.RIVALS:
        if not rivals.why_not(name):
            made[name] = rival_step(name, options.batch)
    return {
        "parameters": {name: parameters(net) for name, (net, _) in made.items()},
        "seconds": interleaved({name: step for name, (_, step) in made.items()}, options),
        "notes": notes,
    }


def rows(result: dict) -> list[Row]:
    pairs = [("ours", "diffusers"), ("ours, Muon", "diffusers")]
    pairs += [("ours, no context", name) for name in list(rivals.RIVALS)[1:]]
    seconds, table = result["seconds"], []
    for mine, rival in pairs:
        theirs = scaled(seconds.get(rival, ()), 1e3)
        against = _sized(rival, result) if rival in seconds else ""
        table.append(Row(_sized(mine, result), "ms", scaled(seconds[mine], 1e3), theirs, against))
    return [*table, Row(_sized(WHOLE, result), "ms", scaled(seconds[WHOLE], 1e3))]


def _sized(name: str, result: dict) -> str:
    return f"{name}, {result['parameters'][name] / 1e6:.2f} M parameters"
