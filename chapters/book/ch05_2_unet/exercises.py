"""Exercises of chapter 5.2, the network."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from book.answers import misfit, points
from book.ch05_2_unet.cost import parameters
from book.ch05_2_unet.inside import attention_weights
from book.exercises import Exercise
from minildm.latent import LatentDiffusion
from minildm.layers import Attention, ResidualBlock
from minildm.unet import Halve


def _same(a, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def _with_init(line: str) -> str:
    """A mistake of exercise 5.2-1: one more line at the end of ``__init__``."""
    return (
        "class MyBlock(MyBlock):\n"
        "    def __init__(self, c_in, c_out, length):\n"
        "        super().__init__(c_in, c_out, length)\n"
        f"        {line}\n"
    )


def _with_forward(middle: str, silu: str = "F.silu", end: str = "self.skip(f)") -> str:
    """A mistake of exercise 5.2-1: another ``forward``."""
    return (
        "class MyBlock(MyBlock):\n"
        "    def forward(self, f, e):\n"
        f"        silu = {silu}\n"
        "        h = self.conv1(silu(self.norm1(f)))\n"
        "        scale, shift = self.modulate(e)[:, :, None, None].chunk(2, dim=1)\n"
        f"        h = {middle}\n"
        f"        return {end} + self.conv2(silu(h))\n"
    )


# --- 5.2-1 ----------------------------------------------------------------------------------------

SIZES = (192, 96, 384)  # of the last block of the shipped network


@functools.cache
def _shipped_block() -> nn.Module:
    return LatentDiffusion.load("shapes").network.unet.up[3].block


def _as_mistaken(block: nn.Module, f: Tensor, e: Tensor) -> dict[str, Tensor]:
    """What typical mistakes make of the right weights: the hint -> the output."""

    def run(one=1, halves=(0, 1), silu=F.silu, early=False, skip=1, groups=8):
        def norm(n, h):
            return F.group_norm(h, groups, n.weight, n.bias)

        h = block.conv1(silu(norm(block.norm1, f)))
        numbers = block.modulate(e)[:, :, None, None].chunk(2, 1)
        scale, shift = numbers[halves[0]], numbers[halves[1]]
        if early:
            h = norm(block.norm2, h * (one + scale) + shift)
        else:
            h = norm(block.norm2, h) * (one + scale) + shift
        return skip * block.skip(f) + block.conv2(silu(h))

    return {
        "with scale = 0 your block forgets h: multiply by 1 + scale": run(one=0),
        "the two halves are exchanged: the first half is the scale": run(halves=(1, 0)),
        "scale and shift come after the second norm; before it, the norm undoes them": run(
            early=True
        ),
        "silu is missing: it stands between each norm and its convolution": run(silu=lambda h: h),
        "the input is not added: y = skip(f) + the correction": run(skip=0),
        "each norm has 8 groups": run(groups=32),
    }


@torch.no_grad()
def _check_block(block) -> str | None:
    if not (isinstance(block, type) and issubclass(block, nn.Module)):
        return "give the class itself, MyBlock, a subclass of nn.Module: not an instance, no call"
    theirs, f, e = _shipped_block(), points(2, 192, 6, 5), points(2, 384, seed=1)
    try:
        mine, plain = block(*SIZES), block(96, 96, 384)
        if complaint := misfit(mine, theirs, "block"):
            return complaint
        if any(name.startswith("skip") for name in plain.state_dict()):
            return "where c_in = c_out the input is added as it is: nn.Identity(), no convolution"
        if any(n.any() for n in mine.conv2.parameters()):
            return "it loads; but a fresh block must add nothing: conv2 is born as zeros"
        mine.load_state_dict(theirs.state_dict())
        got, wanted = mine(f, e), theirs(f, e)
    except Exception as error:  # whatever the reader's class does: say it
        return f"MyBlock raises {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if not isinstance(got, Tensor) or got.shape != wanted.shape:
        return "the output has the shape (B, c_out, H, W), and keeps H and W: padding=1"
    if torch.allclose(got, wanted, atol=1e-4):
        return None
    for hint, mistaken in _as_mistaken(theirs, f, e).items():
        if torch.allclose(got, mistaken, atol=1e-4):
            return hint
    return "the weights load, but the output differs; follow (5.2.1) from the inside out"


BLOCK = Exercise(
    id="5.2-1",
    title="a residual block, from memory",
    setup="import torch\nimport torch.nn.functional as F\nfrom torch import nn",
    stub="""
class MyBlock(nn.Module):
    def __init__(self, c_in, c_out, length):
        super().__init__()
        ...  # YOUR CODE HERE: norm1, conv1, modulate, norm2, conv2, skip

    def forward(self, f, e):
        return ...  # YOUR CODE HERE: f (B, c_in, H, W), e (B, length) -> (B, c_out, H, W)
""",
    solution="""
class MyBlock(nn.Module):
    def __init__(self, c_in, c_out, length):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.modulate = nn.Linear(length, 2 * c_out)
        self.norm2 = nn.GroupNorm(8, c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, f, e):
        h = self.conv1(F.silu(self.norm1(f)))
        scale, shift = self.modulate(e)[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(f) + self.conv2(F.silu(h))
""",
    answer="MyBlock",
    check=_check_block,
    hint="Norm, silu, convolution, twice; (1 + scale) and shift right after the second norm; then "
    "add the input. modulate is a linear layer to 2 c_out numbers.",
    wrong=(
        ("MyBlock = MyBlock(192, 96, 384)", "not an instance"),
        (_with_init("self.norm3 = nn.GroupNorm(8, c_out)"), "has not"),
        (_with_init("del self.norm2"), "'norm2.weight'"),
        (_with_init("self.modulate = nn.Linear(length, c_out)"), "modulate.weight has the shape"),
        (_with_init("self.skip = nn.Conv2d(c_in, c_out, 1)"), "as it is"),
        (_with_init("self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)"), "born as zeros"),
        (_with_init("self.conv1 = nn.Conv2d(c_in, c_out, 3)"), "raises RuntimeError"),
        (_with_forward("self.norm2(h) * scale + shift"), "forgets h"),
        (_with_forward("self.norm2(h) * (1 + shift) + scale"), "exchanged"),
        (_with_forward("self.norm2(h * (1 + scale) + shift)"), "undoes them"),
        (_with_forward("self.norm2(h) * (1 + scale) + shift", silu="nn.Identity()"), "silu"),
        (_with_forward("self.norm2(h) * (1 + scale) + shift", end="0"), "not added"),
        (
            _with_init("self.norm1, self.norm2 = nn.GroupNorm(32, c_in), nn.GroupNorm(32, c_out)"),
            "8 groups",
        ),
        (_with_forward("self.norm2(h) * (1 + scale)"), "inside out"),
        (_with_forward("self.norm2(g)"), "raises NameError"),
    ),
    praise="it holds the weights of the shipped network, and says what that says.",
)


# --- 5.2-2 ----------------------------------------------------------------------------------------


def _count(c_in: int, c_out: int, e_length: int) -> int:
    return parameters(ResidualBlock(c_in, c_out, e_length))


def _check_parameters(count) -> str | None:
    cases = ((96, 96, 384), (192, 96, 384), (8, 16, 4))
    got, wanted = [int(count(*case)) for case in cases], [_count(*case) for case in cases]
    if got == wanted:
        return None
    off = [g - w for g, w in zip(got, wanted, strict=True)]
    skips = [c_in * c_out + c_out for c_in, c_out, _ in cases]
    if off == [skips[0], 0, 0]:
        return "where c_in = c_out the input is added as it is: no 1x1 convolution"
    if off == [0, -skips[1], -skips[2]]:
        return "where c_in differs from c_out, the input goes through a 1x1 convolution"
    if off == [-2 * (c_in + c_out) for c_in, c_out, _ in cases]:
        return "the group norms have a weight and a bias for each channel"
    if off == [-(e_length + 1) * c_out for _, c_out, e_length in cases]:
        return "the linear layer gives 2 c_out numbers, a scale and a shift"
    case, g, w = next(c for c in zip(cases, got, wanted, strict=True) if c[1] != c[2])
    return f"for c_in, c_out, e_length = {case} the block has {w:,}; yours {g:,}"


_NORMS = "2 * c_in + 2 * c_out"
_CONVS = "9 * c_in * c_out + c_out + 9 * c_out * c_out + c_out"
_LINEAR = "(e_length + 1) * 2 * c_out"
_SKIP = "(c_in * c_out + c_out)"


def _block(*terms: str) -> str:
    return f"def block_parameters(c_in, c_out, e_length):\n    return {' + '.join(terms)}\n"


PARAMETERS = Exercise(
    id="5.2-2",
    title="how many numbers a residual block learns",
    stub="""
def block_parameters(c_in, c_out, e_length):
    return ...  # YOUR CODE HERE: a whole number; e_length is the length of the embedding e
""",
    solution="""
def block_parameters(c_in, c_out, e_length):
    norms = 2 * c_in + 2 * c_out
    convolutions = (9 * c_in * c_out + c_out) + (9 * c_out * c_out + c_out)
    modulation = (e_length + 1) * 2 * c_out
    skip = 0 if c_in == c_out else c_in * c_out + c_out
    return norms + convolutions + modulation + skip
""",
    answer="block_parameters",
    check=_check_parameters,
    hint="Two norms, two 3x3 convolutions, a linear layer to 2 c_out, and sometimes a 1x1 one.",
    wrong=(
        (_block(_NORMS, _CONVS, _LINEAR, _SKIP), "as it is"),
        (_block(_NORMS, _CONVS, _LINEAR), "differs from"),
        (_block(_CONVS, _LINEAR, f"(c_in != c_out) * {_SKIP}"), "group norms"),
        (
            _block(_NORMS, _CONVS, "(e_length + 1) * c_out", f"(c_in != c_out) * {_SKIP}"),
            "scale and a",
        ),
        (_block("9 * c_in * c_out", "9 * c_out * c_out"), "the block has"),
    ),
    praise="nearly all of them are in the two convolutions and in the linear layer.",
)


# --- 5.2-3 ----------------------------------------------------------------------------------------


def _check_listening(listening) -> str | None:
    layer = Attention(8, 1, context_dim=5)
    x, words = points(1, 8, 2, 3), points(1, 4, 5, seed=1)
    mask = torch.tensor([[True, True, False, True]])
    with torch.no_grad():
        layer.query.weight.copy_(2 * points(8, 8, seed=2))
        layer.key_value.weight.copy_(points(16, 5, seed=3))
        q = layer.query(layer.norm(x)[0].flatten(1).T)  # (6, 8)
        k = layer.key_value(words)[0, :, :8]  # (4, 8)
        wanted = attention_weights(layer, x, words, mask)[0, 0]  # (6, 4)
        got = torch.as_tensor(listening(q, k, mask[0])).to(wanted)
    if got.shape != wanted.shape:
        return "the answer has a row per listener and a column per key: shape (N, M)"
    if _same(got, wanted):
        return None
    scores = q @ k.T / 8**0.5
    hidden = scores.masked_fill(~mask, -torch.inf)
    if _same(got, scores.masked_fill(mask, -torch.inf).softmax(1)):
        return "True means: may be read; you hid the others"
    if _same(got, scores.softmax(1)):
        return "a forbidden key is still read: hide it before the softmax"
    if _same(got, scores.softmax(1) * mask):
        return "your rows no longer sum to one: hide keys before the softmax, with -inf"
    if _same(got, (q @ k.T).masked_fill(~mask, -torch.inf).softmax(1)):
        return "divide by the root of d: without it the largest score takes nearly all"
    if _same(got, (q @ k.T / 8).masked_fill(~mask, -torch.inf).softmax(1)):
        return "the root of d, not d"
    if _same(got.nan_to_num(), hidden.softmax(0).nan_to_num()) and got[:, mask[0]].isfinite().all():
        return "each listener's row sums to one, not each key's column"
    return "softmax over the keys of q kᵀ / √d, with -inf where the mask is False"


LISTENING = Exercise(
    id="5.2-3",
    title="an attention map by hand",
    setup="import torch",
    stub="""
def listening_by_hand(q, k, mask):
    return ...  # YOUR CODE HERE: q (N, d), k (M, d), mask (M,) bool, True = may be read -> (N, M)
""",
    solution="""
def listening_by_hand(q, k, mask):
    scores = q @ k.T / q.shape[1] ** 0.5  # (N, M)
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
""",
    answer="listening_by_hand",
    check=_check_listening,
    hint="exp(-inf) is 0: fill the scores of forbidden keys with -torch.inf, then softmax.",
    wrong=(
        (
            "def listening_by_hand(q, k, mask):\n"
            "    return (q @ k.T / q.shape[1] ** 0.5).softmax(1)\n",
            "still read",
        ),
        (
            "def listening_by_hand(q, k, mask):\n"
            "    scores = q @ k.T / q.shape[1] ** 0.5\n"
            "    return scores.masked_fill(mask, -torch.inf).softmax(1)\n",
            "True means: may be read",
        ),
        (
            "def listening_by_hand(q, k, mask):\n"
            "    return (q @ k.T / q.shape[1] ** 0.5).softmax(1) * mask\n",
            "no longer sum to one",
        ),
        (
            "def listening_by_hand(q, k, mask):\n"
            "    return (q @ k.T).masked_fill(~mask, -torch.inf).softmax(1)\n",
            "without it the largest",
        ),
        (
            "def listening_by_hand(q, k, mask):\n"
            "    return (q @ k.T / q.shape[1]).masked_fill(~mask, -torch.inf).softmax(1)\n",
            "the root of d, not d",
        ),
        (
            "def listening_by_hand(q, k, mask):\n"
            "    s = (q @ k.T / q.shape[1] ** 0.5).masked_fill(~mask, -torch.inf)\n"
            "    return s.softmax(0)\n",
            "not each key's column",
        ),
        ("def listening_by_hand(q, k, mask):\n    return q @ q.T\n", "shape (N, M)"),
        ("def listening_by_hand(q, k, mask):\n    return q @ k.T\n", "softmax over the keys"),
    ),
    praise="this is all of attention but the values and the last linear layer.",
)


# --- 5.2-4 ----------------------------------------------------------------------------------------


class _Stages:
    """Four stand-ins for stages: 2c channels in, c out, each with numbers of its own."""

    c = 3

    def __init__(self) -> None:
        self.complaint = ""
        self.told = points(1, 5), points(1, 4, 6), torch.ones(1, 4, dtype=torch.bool)
        self.list = [functools.partial(self.stage, k) for k in range(4)]

    def stage(self, k: int, x: Tensor, *told: Tensor) -> Tensor:
        if x.shape[1] != 2 * self.c:
            self.complaint = (
                "a stage on the way up reads 2c channels: lay the skip beside h with torch.cat"
            )
            x = torch.cat([x, x], 1)[:, : 2 * self.c]
        if len(told) != 3 or any(a is not b for a, b in zip(told, self.told, strict=False)):
            self.complaint = "hand e, words and mask on to each stage, in this order"
        return torch.einsum("oc,bchw->bohw", points(self.c, 2 * self.c, seed=10 + k), x).tanh()

    def kept(self, side: int) -> list[Tensor]:
        """What the way down keeps of a latent of side x (side + 2): two results, and two halves."""
        h, w, half = side, side + 2, Halve(1)
        low = half(torch.zeros(1, 1, h, w)).shape[-2:]
        sizes = ((h, w), (h, w), low, low)
        return [points(1, self.c, *size, seed=k) for k, size in enumerate(sizes)]


def _climb(h, kept, stages, told, pop=-1, turned=False, mode="nearest"):
    """The way up, with room for mistakes."""
    kept = list(kept)
    for stage in stages:
        skip = kept.pop(pop)
        if h.shape[-2:] != skip.shape[-2:]:
            h = F.interpolate(h, size=skip.shape[-2:], mode=mode)
        h = stage(torch.cat([skip, h] if turned else [h, skip], 1), *told)
    return h


@torch.no_grad()
def _check_way_up(way_up) -> str | None:
    for side in (4, 5):  # 5 is halved to 3, and doubling gives 6: the skip's own size is needed
        stages = _Stages()
        kept = stages.kept(side)
        given = points(*kept[-1].shape, seed=7), kept, stages.list
        right = _climb(*given, stages.told)
        got = way_up(given[0], list(kept), stages.list, *stages.told)
        if stages.complaint:
            return stages.complaint
        if isinstance(got, tuple | list):
            return "the answer is the h that leaves the last stage"
        got = torch.as_tensor(got).to(right)
        if got.shape == right.shape and torch.allclose(got, right, atol=1e-5):
            continue
        mistakes = {
            "first in, last out: the way up meets what was kept last first": {"pop": 0},
            "the other way round: h first, then the skip": {"turned": True},
            "repeat each place, as F.interpolate does by itself; no blending": {"mode": "bilinear"},
        }
        for hint, how in mistakes.items():
            mistaken = _climb(*given, stages.told, **how)
            if got.shape == mistaken.shape and torch.allclose(got, mistaken, atol=1e-5):
                return hint
        return "for each stage: take the skip kept last, bring h to its size, concatenate, call"
    return None


_LOOP = """
def way_up(h, kept, stages, e, words, mask):
    for stage in stages:
        skip = kept.pop()
        if h.shape[-2:] != skip.shape[-2:]:
            h = F.interpolate(h, size=skip.shape[-2:])
        h = stage(torch.cat([h, skip], dim=1), e, words, mask)
    return h
"""

WAY_UP = Exercise(
    id="5.2-4",
    title="the way up",
    setup="import torch\nimport torch.nn.functional as F",
    stub="""
def way_up(h, kept, stages, e, words, mask):
    return ...  # YOUR CODE HERE: h (B, c, H/2, W/2), kept: four results -> (B, c, H, W)
""",
    solution=_LOOP,
    answer="way_up",
    check=_check_way_up,
    hint="kept is a stack: pop() gives what was put on it last. Its size is the size that h needs.",
    wrong=(
        (_LOOP.replace("pop()", "pop(0)"), "first in, last out"),
        (_LOOP.replace("[h, skip]", "[skip, h]"), "the other way round"),
        (_LOOP.replace("-2:])\n        h", "-2:], mode='bilinear')\n        h"), "no blending"),
        (_LOOP.replace("size=skip.shape[-2:]", "scale_factor=2"), "Sizes of tensors"),
        (_LOOP.replace("torch.cat([h, skip], dim=1)", "h + skip"), "2c channels"),
        (_LOOP.replace("e, words, mask)\n    return", "e)\n    return"), "hand e, words"),
        (_LOOP.replace("return h", "return kept"), "leaves the last stage"),
        (_LOOP.replace("in stages", "in stages[:3]"), "for each stage"),
    ),
    praise="a mirror: the way up meets the results of the way down in reverse.",
)

# --- 5.2-5 ----------------------------------------------------------------------------------------


def _check_halved(halved) -> str | None:
    sizes = (8, 7, 5, 4, 3, 2, 1)
    got = [halved(n) for n in sizes]
    if any(int(g) != g for g in got):
        return "a height is a whole number"
    halve = Halve(1)
    wanted = [halve(torch.zeros(1, 1, n, n)).shape[-1] for n in sizes]
    if [int(g) for g in got] == wanted:
        return None
    if got == [n // 2 for n in sizes]:
        return "7 becomes 4, not 3: with the padding the stride begins at the very first column"
    if got == [n // 2 + 1 for n in sizes]:
        return "right for odd sizes, but 8 becomes 4"
    n, w, g = next((n, w, g) for n, w, g in zip(sizes, wanted, got, strict=True) if w != g)
    return f"{n} becomes {w}; yours is {g}"


HALVED = Exercise(
    id="5.2-5",
    title="the output size of Halve",
    stub="""
def halved(n):
    return ...  # YOUR CODE HERE: a whole number
""",
    solution="""
def halved(n):
    return (n + 1) // 2  # (n + 2 - 3) // 2 + 1
""",
    answer="halved",
    check=_check_halved,
    hint="A convolution gives (n + 2 padding - kernel) // stride + 1.",
    wrong=(
        ("def halved(n):\n    return n / 2\n", "whole number"),
        ("def halved(n):\n    return n // 2\n", "7 becomes 4"),
        ("def halved(n):\n    return n // 2 + 1\n", "right for odd"),
        ("def halved(n):\n    return max(1, n - 2)\n", "8 becomes 4"),
    ),
    praise="it rounds up, so a size of 1 stays 1, however often it is halved.",
)


EXERCISES = [BLOCK, PARAMETERS, LISTENING, WAY_UP, HALVED]
