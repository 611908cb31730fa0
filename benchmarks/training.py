"""One training step: forward, backward, clipping, optimiser, on the same inputs."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import rivals
from benchmarks.measure import Options, Row, interleaved, scaled
from book.ch05_2_unet.cost import parameters
from minildm.engine.optim import make_optimizer
from minildm.engine.settings import FitConfig
from minildm.unet import UNet

NAME = "training"
QUESTION = "How long does one training step take, for networks with as many parameters?"
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


def run(options: Options) -> dict:
    notes = [note for name in rivals.RIVALS if (note := rivals.why_not(name))]
    made = {name: our_step(*how, options.batch) for name, how in OURS.items()}
    for name in rivals.RIVALS:
        if not rivals.why_not(name):
            made[name] = rival_step(name, options.batch)
    return {
        "parameters": {name: parameters(net) for name, (net, _) in made.items()},
        "seconds": interleaved({name: step for name, (_, step) in made.items()}, options),
        "batch": options.batch,
        "notes": notes,
    }


def rows(result: dict) -> list[Row]:
    pairs = [("ours", "diffusers"), ("ours, Muon", "diffusers")]
    pairs += [("ours, no context", name) for name in list(rivals.RIVALS)[1:]]
    seconds, table = result["seconds"], []
    for mine, rival in pairs:
        what = f"step of {result['batch']}, {_millions(result, mine)}{mine.removeprefix('ours')}"
        against = f"{rival}, {_millions(result, rival)}" if rival in seconds else ""
        theirs = scaled(seconds.get(rival, ()), 1e3)
        table.append(Row(what, "ms", scaled(seconds[mine], 1e3), theirs, against))
    return table


def _millions(result: dict, name: str) -> str:
    return f"{result['parameters'][name] / 1e6:.2f} M" if name in result["parameters"] else ""
