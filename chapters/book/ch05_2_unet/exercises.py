"""Exercises of chapter 5.2, the network."""

import torch
from torch import Tensor

from book.ch05_2_unet.cost import parameters
from book.ch05_2_unet.inside import attention_weights
from book.exercises import Exercise
from minildm.layers import Attention, ResidualBlock
from minildm.unet import Halve


def _points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _same(a, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


# --- 5.2-1 ----------------------------------------------------------------------------------------


def _check_modulate(modulate) -> str | None:
    h, numbers = _points(2, 6, 3, 5), _points(2, 12, seed=1)
    got = modulate(h, numbers)
    if not isinstance(got, Tensor) or got.shape != h.shape:
        return "the answer has the shape of h, (B, C, H, W): give each number two axes of length 1"
    first, second = numbers[:, :6, None, None], numbers[:, 6:, None, None]
    if _same(got, h * (1 + first) + second):
        return None
    if _same(got, h * first + second):
        return "with numbers = 0 your block forgets h; at birth a gain should be 1, not 0"
    if _same(got, h * (1 + second) + first):
        return "the two halves are exchanged: the first half is the scale"
    even, odd = numbers[:, ::2, None, None], numbers[:, 1::2, None, None]
    if _same(got, h * (1 + even) + odd):
        return "you took every second number; the scales are the first half, side by side"
    if _same(got, h * (1 + first)):
        return "the shift is missing"
    return "for each channel c: h[:, c] times (1 + numbers[:, c]) plus numbers[:, C + c]"


MODULATE = Exercise(
    id="5.2-1",
    title="scale and shift",
    setup="import torch",
    stub="""
def modulate(h, numbers):
    return ...  # YOUR CODE HERE: h (B, C, H, W), numbers (B, 2C)
""",
    solution="""
def modulate(h, numbers):
    scale, shift = numbers[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
    return h * (1 + scale) + shift
""",
    answer="modulate",
    check=_check_modulate,
    hint="numbers[:, :, None, None].chunk(2, dim=1) gives two tensors that broadcast over H and W.",
    wrong=(
        (
            "def modulate(h, numbers):\n    a, b = numbers[:, :, None, None].chunk(2, dim=1)\n"
            "    return h * a + b\n",
            "forgets h",
        ),
        (
            "def modulate(h, numbers):\n    b, a = numbers[:, :, None, None].chunk(2, dim=1)\n"
            "    return h * (1 + a) + b\n",
            "exchanged",
        ),
        (
            "def modulate(h, numbers):\n    n = numbers[:, :, None, None]\n"
            "    return h * (1 + n[:, ::2]) + n[:, 1::2]\n",
            "every second number",
        ),
        (
            "def modulate(h, numbers):\n"
            "    return h * (1 + numbers[:, : h.shape[1], None, None])\n",
            "shift is missing",
        ),
        ("def modulate(h, numbers):\n    return numbers\n", "shape of h"),
        ("def modulate(h, numbers):\n    return h\n", "for each channel"),
    ),
    praise="two numbers per channel are all that time and text say to a block.",
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
    x, words = _points(1, 8, 2, 3), _points(1, 4, 5, seed=1)
    mask = torch.tensor([[True, True, False, True]])
    with torch.no_grad():
        layer.query.weight.copy_(2 * _points(8, 8, seed=2))
        layer.key_value.weight.copy_(_points(16, 5, seed=3))
        q = layer.query(layer.norm(x)[0].flatten(1).T)  # (6, 8)
        k = layer.key_value(words)[0, :, :8]  # (4, 8)
        wanted = attention_weights(layer, x, words, mask)[0, 0]  # (6, 4)
        got = listening(q, k, mask[0])
    if not isinstance(got, Tensor) or got.shape != wanted.shape:
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


def _check_skips(order) -> str | None:
    order = [str(name) for name in order]
    wanted = ["down.2", "down.1", "down.0", "enter"]
    if order == wanted:
        return None
    if sorted(order) != sorted(wanted):
        return "use each of enter, down.0, down.1, down.2 once: these four results are kept"
    if order == wanted[::-1]:
        return "that is first in, first out: up.0 is at 4 x 4 and could not take an 8 x 8 result"
    sizes = {"enter": 8, "down.0": 8, "down.1": 4, "down.2": 4}
    if [sizes[name] for name in order] != [4, 4, 8, 8]:
        return "up.0 and up.1 work at 4 x 4, up.2 and up.3 at 8 x 8"
    return "the sizes fit; but what was kept last is taken first"


SKIPS = Exercise(
    id="5.2-4",
    title="which skip goes where",
    stub="skip_of = [..., ..., ..., ...]  # YOUR CODE HERE: for up.0, up.1, up.2, up.3",
    solution='skip_of = ["down.2", "down.1", "down.0", "enter"]',
    answer="skip_of",
    check=_check_skips,
    hint="kept is a stack: append on the way down, pop on the way up.",
    wrong=(
        ('skip_of = ["enter", "down.0", "down.1", "down.2"]', "first in, first out"),
        ('skip_of = ["down.1", "down.2", "enter", "down.0"]', "kept last is taken first"),
        ('skip_of = ["down.2", "down.0", "down.1", "enter"]', "work at 4 x 4"),
        ('skip_of = ["middle", "down.2", "down.1", "down.0"]', "each of enter"),
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


EXERCISES = [MODULATE, PARAMETERS, LISTENING, SKIPS, HALVED]
