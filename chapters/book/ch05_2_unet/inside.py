"""What flows through a network, recorded while it runs; the network's own code is not changed.

shapes_of          a line per part: shapes in and out, parameters, operations
attention_layers   the attention layers of a network, by name
attention_weights  softmax(Q Kᵀ / √d) of one layer
attention_maps     the same for many layers, from one call of their network
influence          how strongly one place of an output hears each place of an input
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from book.ch05_2_unet.cost import parameters
from minildm.layers import Attention


class Line(NamedTuple):
    """One call of one part. ``flops`` as cost.py counts them, for the whole batch."""

    name: str
    kind: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    flops: int


@torch.no_grad()
def shapes_of(net: nn.Module, inputs: Sequence, inside: str = "") -> list[Line]:
    """What goes in and out of each part in ``net(*inputs)``, in the order in which parts finish.

    ``inside``: the name of the part whose own parts are listed, such as "middle.block"; "" is
    ``net`` itself. Lists of layers are opened; a part that is called twice has two lines.
    Raises ValueError for a name that ``net`` does not have.
    """
    found: list[Line] = []
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, ExitStack() as at:
        for name, part in _parts(_named(net, inside)):
            before: list[int] = []  # of each call that has begun: operations until then

            def enter(_, __, before=before) -> None:
                before.append(counter.get_total_flops())

            def leave(part, given, output, name=name, before=before) -> None:
                flops = counter.get_total_flops() - before.pop()
                shapes = tuple(given[0].shape), tuple(output.shape)
                found.append(Line(name, type(part).__name__, *shapes, parameters(part), flops))

            at.callback(part.register_forward_pre_hook(enter).remove)
            at.callback(part.register_forward_hook(leave).remove)
        net(*inputs)
    return found


def table(lines: Sequence[Line]) -> str:
    """Lines of ``shapes_of`` as text."""
    wide = max(len(line.name) for line in lines)
    rows = [f"{'':{wide}}  {'':14} {'in':>16} {'out':>16} {'parameters':>11} {'MFLOP':>7}"]
    for line in lines:
        shapes = (" x ".join(map(str, shape)) for shape in (line.input, line.output))
        rows.append(
            f"{line.name:{wide}}  {line.kind:14} {next(shapes):>16} {next(shapes):>16} "
            f"{line.parameters:11,} {line.flops / 1e6:7.2f}"
        )
    return "\n".join(rows)


# --- attention ------------------------------------------------------------------------------------


def attention_layers(net: nn.Module) -> dict[str, Attention]:
    """All attention layers of a network: name -> layer."""
    return {name: part for name, part in net.named_modules() if isinstance(part, Attention)}


@torch.no_grad()
def attention_weights(
    layer: Attention, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """softmax(Q Kᵀ / √d) of a layer, d = channels / heads: (B, heads, H·W, keys).

    Row i says from where position i takes its values; it sums to 1. ``x``, ``context`` and
    ``mask``: as ``Attention`` takes them; keys are the H·W positions without a context, else its
    L vectors, and a key that ``mask`` (B, L) forbids gets exactly 0.
    Vaswani et al. 2017 (arXiv 1706.03762), eq. 1.
    """
    tokens = layer.norm(x).flatten(2).transpose(1, 2)  # (B, H·W, C)
    k, _ = layer.key_value(tokens if context is None else context).chunk(2, dim=-1)
    q, k = layer._split(layer.query(tokens)), layer._split(k)  # (B, heads, H·W or L, d)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])  # (B, heads, H·W, keys)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None], -math.inf)
    return scores.softmax(dim=-1)


@torch.no_grad()
def attention_maps(
    net: nn.Module, inputs: Sequence, names: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """The attention weights in ``net(*inputs)``: layer name -> (B, heads, H·W, keys).

    ``names``: which layers, as ``attention_layers`` calls them; None: all. Self-attention has the
    H·W positions as keys, cross-attention the L vectors of the condition.
    Raises ValueError for names that are no attention layers.
    """
    layers = attention_layers(net)
    for name in names or ():
        if name not in layers:
            raise ValueError(f"no attention layer {name!r}; there are {', '.join(layers)}")
    chosen = {name: layers[name] for name in (layers if names is None else names)}
    with recorded(chosen) as given:
        net(*inputs)
    return {name: attention_weights(chosen[name], *given[name]) for name in chosen if name in given}


@contextmanager
def recorded(parts: dict[str, nn.Module]) -> Iterator[dict[str, tuple]]:
    """While it lasts, keep what goes into each part: name -> inputs of its latest call."""
    given: dict[str, tuple] = {}
    with ExitStack() as at:
        for name, part in parts.items():

            def keep(_, inputs, name=name) -> None:
                given[name] = inputs

            at.callback(part.register_forward_pre_hook(keep).remove)
        yield given


# --- who hears whom -------------------------------------------------------------------------------


def influence(call: Callable[[Tensor], Tensor], x: Tensor, place: tuple[int, int]) -> Tensor:
    """How strongly output place (i, j) hears each input place: (H, W), 0 where not at all.

    Entry (k, l) is the root of the sum of (∂ call(x)[0, c, i, j] / ∂ x[0, d, k, l])² over all
    output channels c and input channels d. ``x``: (1, C, H, W).
    Raises ValueError for a batch of more than one.
    """
    if len(x) != 1:
        raise ValueError(f"x must be a batch of one; got {len(x)}: take x[:1]")
    x = x.detach().requires_grad_()
    heard = torch.zeros(x.shape[-2:])
    with torch.enable_grad():
        outputs = call(x)[0, :, place[0], place[1]]  # (c,)
        for output in outputs:
            (gradient,) = torch.autograd.grad(output, x, retain_graph=True)
            heard += gradient[0].square().sum(0)
    return heard.sqrt()


def _named(net: nn.Module, name: str) -> nn.Module:
    try:
        return net.get_submodule(name)
    except AttributeError:
        raise ValueError(
            f"no part {name!r} in {type(net).__name__}; its own are "
            f"{', '.join(child for child, _ in net.named_children())}"
        ) from None


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a module; a list is never called itself, so its entries are parts."""
    for name, part in module.named_children():
        if isinstance(part, nn.ModuleList):
            yield from _parts(part, f"{prefix}{name}.")
        else:
            yield prefix + name, part
