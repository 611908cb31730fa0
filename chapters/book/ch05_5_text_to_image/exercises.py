"""Exercises of chapter 5.5, text to image."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from book.answers import misfit
from book.exercises import Exercise
from minildm.latent import LatentDiffusion

# --- 5.5-1 ----------------------------------------------------------------------------------------


def _check_paper(value) -> str | None:
    value = float(value)
    if math.isclose(value, 0.95, abs_tol=1e-3):
        return None
    if math.isclose(value, 0.65, abs_tol=1e-3):
        return "that is our w = 1.5; the paper's w is ours minus 1"
    if math.isclose(value, 0.35, abs_tol=1e-3):
        return "the paper's w is ours *minus* 1, so ours is larger, not smaller"
    if math.isclose(value, 1.55, abs_tol=1e-3):
        return "the unconditional prediction is subtracted"
    return "put the three numbers into the paper's formula"


PAPER = Exercise(
    id="5.5-1",
    title="guidance in another paper's convention",
    stub="paper = ...  # YOUR CODE HERE: one number",
    solution="""
eps_null, eps_c, w = 0.2, 0.5, 1.5
paper = (1 + w) * eps_c - w * eps_null  # our (5.5.2) with w = 2.5
""",
    answer="paper",
    check=_check_paper,
    hint="The formula is given; then see which w of (5.5.2) it is.",
    wrong=(
        (0.65, "that is our w"),
        (0.35, "not smaller"),
        (1.55, "is subtracted"),
        (0.2, "three numbers"),
    ),
    praise="0.2 + 2.5 · 0.3: the paper's 1.5 is our 2.5.",
)

# --- 5.5-2 ----------------------------------------------------------------------------------------


def _pretend(z_t: Tensor, t: Tensor, tokens: Tensor | None) -> Tensor:
    """Stands for a trained network: sample i of the output depends on z_t, t and tokens of i."""
    if tokens is None:
        return torch.full_like(z_t, math.nan)
    said = (tokens * torch.arange(3, 3 + tokens.shape[1])).sum(1).sin()  # (B,)
    return (0.1 * z_t + said[:, None, None, None]) * t[:, None, None, None].float().log()


def _asked(steered, w: float, negative: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
    """What the reader's function gives, and what it should be, with typical mistakes by hint."""
    random = torch.Generator().manual_seed(0)
    z_t, t = torch.randn(2, 4, 3, 3, generator=random), torch.tensor([300, 800])
    tokens = torch.tensor([[2, 9, 5], [2, 7, 0]])
    null = torch.tensor([[1, 0, 0], [1, 0, 0]])
    c, u = _pretend(z_t, t, tokens), _pretend(z_t, t, null)
    n = u if negative is None else _pretend(z_t, t, negative)
    got = torch.as_tensor(steered(_pretend, z_t, t, tokens, negative, w)).to(z_t)
    return got, {
        "": n + w * (c - n),
        "that is the other way round: start at the negative text, and walk w times the way to "
        "the prompt": c + w * (n - c),
        "that is Ho and Salimans' w; in (5.5.3) w = 1 is the prompt alone": (1 + w) * c - w * n,
        "the negative text is not used: it takes the place of no text": u + w * (c - u),
        "the difference alone is no prediction: it is added to that of the negative text": w
        * (c - n),
        "three predictions are no longer (5.5.3): no text has been *replaced*": u + w * (c - n),
    }


def _check_steered(steered) -> str | None:
    for negative in (torch.tensor([[2, 4, 6], [2, 3, 0]]), None):
        for w in (2.5, 4.0):
            got, known = _asked(steered, w, negative)
            if got.shape != known[""].shape:
                return f"one prediction for each of z_t, {tuple(known[''].shape)}; got " + str(
                    tuple(got.shape)
                )
            if torch.allclose(got, known[""], atol=1e-4):
                continue
            for hint, value in known.items():
                if hint and torch.allclose(got, value, atol=1e-4):
                    return hint
            if negative is None and got.isnan().any():
                return "negative may be None: put NULL and then PAD in its place"
            if negative is None:
                return "with None as the negative text it is not (5.5.2): no text is [1, 0, 0, ..]"
            return "write (5.5.3), with v in the place of eps: it is linear, so it holds for v, too"
    return None


STEERED = Exercise(
    id="5.5-2",
    title="guidance with a negative prompt",
    setup="import torch",
    stub="""
def steered(net, z_t, t, tokens, negative, w):
    return ...  # YOUR CODE HERE: like z_t; negative is (B, L), like tokens, or None: no text
""",
    solution="""
def steered(net, z_t, t, tokens, negative, w):
    if negative is None:
        negative = torch.zeros_like(tokens)  # PAD ..
        negative[:, 0] = 1  # .. and NULL
    both = net(torch.cat([z_t, z_t]), torch.cat([t, t]), torch.cat([tokens, negative]))
    towards, away = both.chunk(2)
    return away + w * (towards - away)
""",
    answer="steered",
    check=_check_steered,
    hint="Two calls of net will do; one call with a batch of 2B is faster.",
    wrong=(
        (
            "def steered(net, z_t, t, tokens, negative, w):\n"
            "    c, n = net(z_t, t, tokens), net(z_t, t, negative)\n"
            "    return c + w * (n - c)",
            "the other way round",
        ),
        (
            "def steered(net, z_t, t, tokens, negative, w):\n"
            "    c, n = net(z_t, t, tokens), net(z_t, t, negative)\n"
            "    return (1 + w) * c - w * n",
            "w = 1 is the prompt alone",
        ),
        (
            "right = steered\n"
            "def steered(net, z_t, t, tokens, negative, w):\n"
            "    return right(net, z_t, t, tokens, None, w)",
            "is not used",
        ),
        (
            "def steered(net, z_t, t, tokens, negative, w):\n"
            "    return w * (net(z_t, t, tokens) - net(z_t, t, negative))",
            "is no prediction",
        ),
        (
            "def steered(net, z_t, t, tokens, negative, w):\n"
            "    c, n = net(z_t, t, tokens), net(z_t, t, negative)\n"
            "    return n + w * (c - n)",
            "may be None",
        ),
        (
            "right = steered\n"
            "def steered(net, z_t, t, tokens, negative, w):\n"
            "    if negative is None:\n"
            "        negative = torch.zeros_like(tokens)\n"
            "    return right(net, z_t, t, tokens, negative, w)",
            "no text is [1, 0, 0, ..]",
        ),
        (
            "def steered(net, z_t, t, tokens, negative, w):\n    return net(z_t, t, tokens)",
            "it is linear",
        ),
        (
            "def steered(net, z_t, t, tokens, negative, w):\n"
            "    return net(torch.cat([z_t] * 2), torch.cat([t] * 2), torch.cat([tokens] * 2))",
            "for each of z_t",
        ),
    ),
    praise="that is all a negative prompt is; no training was needed for it.",
)

# --- 5.5-3 ----------------------------------------------------------------------------------------


def _check_matching(loss) -> str | None:
    similarity = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, -1.0], [4.0, 0.5, 2.0]])
    right = torch.arange(3)
    rows = F.cross_entropy(similarity, right)
    columns = F.cross_entropy(similarity.T, right)
    got = torch.as_tensor(loss(similarity), dtype=torch.float32)
    if got.numel() != 1:
        return f"one number, the mean over the batch; got shape {tuple(got.shape)}"
    for value, complaint in (
        ((rows + columns) / 2, None),
        (rows, "you ask for the right text of each picture; (5.5.4) also asks the other way round"),
        (columns, "you ask for the right picture of each text; (5.5.4) also asks the other way"),
        (rows + columns, "(5.5.4) is the *mean* of the two directions"),
        (
            -similarity.diagonal().mean(),
            "similar pairs are not enough: others must be less similar",
        ),
    ):
        if torch.isclose(got.reshape(()), value, atol=1e-5):
            return complaint
    return "two cross-entropies, along rows and along columns, with the diagonal as the answer"


MATCHING = Exercise(
    id="5.5-3",
    title="the contrastive loss",
    setup="import torch\nimport torch.nn.functional as F",
    stub="""
def matching_loss(similarity):
    return ...  # YOUR CODE HERE
""",
    solution="""
def matching_loss(similarity):
    right = torch.arange(len(similarity))  # pair i belongs to row i and column i
    return (F.cross_entropy(similarity, right) + F.cross_entropy(similarity.T, right)) / 2
""",
    answer="matching_loss",
    check=_check_matching,
    hint="F.cross_entropy(similarity, torch.arange(B)) is one of the two directions.",
    wrong=(
        (
            "def matching_loss(similarity):\n"
            "    return F.cross_entropy(similarity, torch.arange(len(similarity)))",
            "the other way round",
        ),
        (
            "def matching_loss(similarity):\n"
            "    return F.cross_entropy(similarity.T, torch.arange(len(similarity)))",
            "right picture of each text",
        ),
        ("def matching_loss(similarity):\n    return -similarity.diagonal().mean()", "not enough"),
        ("def matching_loss(similarity):\n    return similarity", "one number"),
        ("def matching_loss(similarity):\n    return similarity.mean()", "two cross-entropies"),
    ),
    praise="with equal similarities it is log B, whatever B is.",
)

# --- 5.5-4 ----------------------------------------------------------------------------------------

WIDTH, HEADS = 128, 4  # of the shipped text encoder


@functools.cache
def _shipped_block() -> nn.Module:
    return LatentDiffusion.load("shapes").network.text.blocks[0]


def _masked(block: nn.Module, x: Tensor, allowed: Tensor | None, add: bool = True) -> Tensor:
    """The layer ``block`` on x (B, L, d), where token i may read token j if allowed[i, j]."""
    split = block.query_key_value(block.norm1(x)).unflatten(2, (3, HEADS, -1))
    q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, L, d/heads)
    h = F.scaled_dot_product_attention(q, k, v, allowed).transpose(1, 2).flatten(2)
    x = (x if add else 0) + block.out(h)
    return x + block.mlp(block.norm2(x))


@torch.no_grad()
def _check_causal(block) -> str | None:
    if not (isinstance(block, type) and issubclass(block, nn.Module)):
        return "give the class itself, CausalBlock, a subclass of nn.Module: no instance, no call"
    theirs, length = _shipped_block(), 6
    x = torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(0))
    past = torch.ones(length, length, dtype=torch.bool).tril()
    try:
        mine = block(WIDTH, HEADS)
        if complaint := misfit(mine, theirs, "layer", ": no mask is learned"):
            return complaint
        mine.load_state_dict(theirs.state_dict())
        got = mine(x)
        short = mine(x[:, :4])
    except Exception as error:  # whatever the reader's class does: say it
        return f"CausalBlock raises {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if not isinstance(got, Tensor) or got.shape != x.shape:
        return f"the output has the shape of the input, {tuple(x.shape)}"
    wanted = _masked(theirs, x, past)
    if torch.allclose(got, wanted, atol=1e-4) and torch.allclose(short, wanted[:, :4], atol=1e-4):
        return None
    for hint, value in {
        "every token still sees every other one: allow j <= i only": _masked(theirs, x, None),
        "the wrong half: your tokens see those *after* them": _masked(theirs, x, past.T),
        "the first term is missing: x + attention(norm1(x))": _masked(theirs, x, past, False),
    }.items():
        if torch.allclose(got, value, atol=1e-4):
            return hint
    if got.isnan().any():
        return "a token must at least see itself: the first has nothing else, and softmax gives NaN"
    return "the weights load, but the output differs from that of the layer with a causal mask"


_FORWARD = """
    def forward(self, x):
        split = self.query_key_value(self.norm1(x)).unflatten(2, (3, self.heads, -1))
        q, k, v = split.permute(2, 0, 3, 1, 4)
        {attend}
        x = {start}self.out(h.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))
"""


def _another(attend: str, start: str = "x + ") -> str:
    """A mistake of exercise 5.5-4: another ``forward``."""
    return "class CausalBlock(CausalBlock):" + _FORWARD.format(attend=attend, start=start)


CAUSAL = Exercise(
    id="5.5-4",
    title="a layer of CLIP's text encoder: causal",
    setup="import torch\nimport torch.nn.functional as F\nfrom torch import nn",
    stub="""
class CausalBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        ...  # YOUR CODE HERE: norm1, norm2, query_key_value, out, mlp, as in TextBlock

    def forward(self, x):
        return ...  # YOUR CODE HERE: x, (B, L, width), as it came; a token sees itself and the past
""",
    solution="""
class CausalBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
"""
    + _FORWARD.format(
        attend="h = F.scaled_dot_product_attention(q, k, v, is_causal=True)", start="x + "
    ),
    answer="CausalBlock",
    check=_check_causal,
    hint="TextBlock with another mask: torch.ones(L, L, dtype=torch.bool).tril(), or is_causal.",
    wrong=(
        (_another("h = F.scaled_dot_product_attention(q, k, v)"), "every other one"),
        (
            _another(
                "past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu()\n"
                "        h = F.scaled_dot_product_attention(q, k, v, past)"
            ),
            "the wrong half",
        ),
        (
            _another(
                "past = torch.ones(x.shape[1], x.shape[1]).tril(-1)\n"
                "        scores = q @ k.transpose(2, 3) / k.shape[-1] ** 0.5\n"
                "        h = scores.masked_fill(past == 0, -torch.inf).softmax(-1) @ v"
            ),
            "at least see itself",
        ),
        (
            _another("h = F.scaled_dot_product_attention(q, k, v, is_causal=True)", ""),
            "the first term is missing",
        ),
        (
            _another("h = F.scaled_dot_product_attention(k, q, v, is_causal=True)"),
            "output differs",
        ),
        (
            "class CausalBlock(CausalBlock):\n"
            "    def __init__(self, width, heads):\n"
            "        super().__init__(width, heads)\n"
            "        self.mask = nn.Parameter(torch.ones(14, 14).tril())\n",
            "no mask is learned",
        ),
    ),
    praise="the first words of a text no longer know how it ends; the last token knows all of it.",
)

EXERCISES = [PAPER, STEERED, MATCHING, CAUSAL]
