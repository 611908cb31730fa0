"""Exercises of chapter 7.6, Stable Diffusion."""

import math

import torch
from torch import Tensor

from book.exercises import Exercise

# --- 7.6-1 ----------------------------------------------------------------------------------------


def _recording(calls: list):
    """A network trained with t = 0..999, which notes what it is asked."""

    def net(z_t, t, context):
        calls.append((z_t, t, context))
        return z_t * (1 + t.to(z_t)[:, None, None, None]) + context.mean()

    return net


def _check_wrapper(at_book_time) -> str | None:
    generator = torch.Generator().manual_seed(0)
    for t in (torch.tensor([1000, 1]), torch.tensor([500, 20])):
        calls: list = []
        z_t = torch.randn(2, 4, 3, 3, generator=generator)
        context = torch.randn(2, 77, 8, generator=generator)
        before = t.clone()
        output = at_book_time(_recording(calls), z_t, t, context)
        if not torch.equal(t, before):
            return "your function changes the t that it was given: the sampler still needs it"
        if len(calls) != 1:
            return f"the network should be asked once for each call; yours asks {len(calls)} times"
        z_seen, t_seen, context_seen = calls[0]
        if torch.equal(t_seen, t):
            return "the network still gets the book's t: it never saw a 1000"
        if torch.equal(t_seen, t + 1):
            return "the other way: the book's 1 is the network's 0"
        if not torch.equal(t_seen, t - 1):
            return f"t = {t.tolist()} must become {(t - 1).tolist()}; yours {t_seen.tolist()}"
        if not torch.equal(z_seen, z_t) or not torch.equal(context_seen, context):
            return "z_t and context go through as they are: only the time has two names"
        wanted = _recording([])(z_t, t - 1, context)
        if not isinstance(output, Tensor) or not torch.equal(output, wanted):
            return "return what the network returns"
    return None


_WRAP = "def at_book_time(net, z_t, t, context):\n    return "

WRAPPER = Exercise(
    id="7.6-1",
    title="a network that counts from 0, asked at a time that counts from 1",
    stub="""
def at_book_time(net, z_t, t, context):
    return ...  # YOUR CODE HERE: what net(z_t, its t, context) says
""",
    solution="""
def at_book_time(net, z_t, t, context):
    return net(z_t, t - 1, context)
""",
    answer="at_book_time",
    check=_check_wrapper,
    hint="The book's t = 1 is the first noisy time. What does the network call its first?",
    wrong=(
        (_WRAP + "net(z_t, t, context)", "still gets the book's t"),
        (_WRAP + "net(z_t, t + 1, context)", "the other way"),
        (_WRAP + "net(z_t, t.sub_(1), context)", "changes the t"),
        (_WRAP + "net(z_t, (t - 1).clamp(min=1), context)", "must become"),
        (_WRAP + "net(z_t / 2, t - 1, context)", "go through as they are"),
        (_WRAP + "-net(z_t, t - 1, context)", "return what the network returns"),
        (_WRAP + "z_t", "asks 0 times"),
        (_WRAP + "net(z_t, t - 1, context) + 0 * net(z_t, t - 1, context)", "asks 2 times"),
    ),
    praise="one subtraction, in one place. In two places it would be the bug that it prevents.",
)

# --- 7.6-2 ----------------------------------------------------------------------------------------

_CALL, _DECODE, _TEXT = 0.803, 2.515, 0.013


def _check_operations(operations) -> str | None:
    for steps, w in ((25, 7.5), (25, 1.0), (50, 3.0), (4, 0.0)):
        rows = 1 if w in (0.0, 1.0) else 2
        wanted = rows * (steps * _CALL + _TEXT) + _DECODE
        found = float(operations(steps, w))
        if math.isclose(found, wanted, rel_tol=1e-6):
            continue
        asked = f"{steps} steps at guidance {w:g}"
        slips = (
            (2 * steps * _CALL + 2 * _TEXT + _DECODE,
             "with w = 0 or 1 one of the two branches has the weight 0: nobody asks for it"),
            (steps * _CALL + _TEXT + _DECODE, "guidance asks for two outputs in each step"),
            (rows * steps * _CALL + _TEXT + _DECODE,
             "guidance reads two texts: the prompt, and the empty one"),
            (rows * (steps * _CALL + steps * _TEXT) + _DECODE,
             "a text is encoded once, before the first step"),
            (rows * (steps * _CALL + _TEXT) + steps * _DECODE, "the decoder is asked at the end"),
            (rows * (steps * _CALL + _TEXT + _DECODE), "one picture is decoded, not two"),
            (rows * (steps * _CALL + _TEXT), "the decoder costs as much as three calls"),
        )  # fmt: skip
        for value, text in slips:
            if math.isclose(found, value, rel_tol=1e-6):
                return f"{asked}: {text}"
        return f"{asked} take {wanted:.1f}; yours says {found:.1f}"
    return None


def _count(body: str) -> str:
    return f"def operations(steps, w):\n    rows = 1 if w in (0, 1) else 2\n    return {body}"


OPERATIONS = Exercise(
    id="7.6-2",
    title="what a picture costs",
    setup="CALL, DECODE, TEXT = 0.803, 2.515, 0.013",
    stub="""
CALL, DECODE, TEXT = 0.803, 2.515, 0.013  # 10^12 operations: one latent, one picture, one prompt

def operations(steps, w):
    return ...  # YOUR CODE HERE: of one picture, in 10^12
""",
    solution="""
CALL, DECODE, TEXT = 0.803, 2.515, 0.013  # 10^12 operations: one latent, one picture, one prompt

def operations(steps, w):
    rows = 1 if w in (0, 1) else 2  # w = 1 is the prompt alone, w = 0 the empty text alone
    return rows * (steps * CALL + TEXT) + DECODE
""",
    answer="operations",
    check=_check_operations,
    hint="Write down what happens once, what in each step, and what guidance doubles; then w = 1.",
    wrong=(
        ("def operations(steps, w):\n    return 2 * (steps * CALL + TEXT) + DECODE", "nobody asks"),
        (_count("steps * CALL + TEXT + DECODE"), "two outputs"),
        (_count("rows * steps * CALL + TEXT + DECODE"), "two texts"),
        (_count("rows * (steps * CALL + steps * TEXT) + DECODE"), "encoded once"),
        (_count("rows * (steps * CALL + TEXT) + steps * DECODE"), "at the end"),
        (_count("rows * (steps * CALL + TEXT + DECODE)"), "not two"),
        (_count("rows * (steps * CALL + TEXT)"), "three calls"),
        (_count("1.0"), "yours says 1.0"),
    ),
    praise="nearly all is calls: fewer steps, or one branch, is where time can be saved.",
)

# --- 7.6-3 ----------------------------------------------------------------------------------------

_AT = "decoder.mid_block.attentions.0."
_NEW = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def _old_file() -> dict[str, Tensor]:
    """A few tensors of an autoencoder's file of 2022."""
    found = {"decoder.conv_in.weight": torch.ones(8, 4, 3, 3)}
    found["quant_conv.weight"] = torch.ones(8, 8, 1, 1)
    found["decoder.up_blocks.1.resnets.0.conv_shortcut.weight"] = torch.ones(4, 8, 1, 1)
    found[_AT + "group_norm.weight"] = torch.ones(8)
    for k, old in enumerate(_NEW):
        found[f"{_AT}{old}.weight"] = torch.full((8, 8, 1, 1), float(k))
        found[f"{_AT}{old}.bias"] = torch.full((8,), float(k))
    return found


def _check_names(renamed) -> str | None:
    for name, tensor in _old_file().items():
        wanted, square = name, tensor
        for old, new in _NEW.items():
            wanted = wanted.replace(f".{old}.", f".{new}.")
        if wanted != name and tensor.dim() == 4:
            square = tensor[:, :, 0, 0]
        answer = renamed(name, tensor.clone())
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            return "the answer is a pair: the name of today, and the tensor"
        mine, numbers = answer
        if mine != wanted:
            if ".proj_attn." in name and str(mine).endswith((".to_out.weight", ".to_out.bias")):
                return "to_out is a list of layers today: its first one is to_out.0"
            return f"{name} is called {wanted} today; yours is {mine!r}"
        if numbers.shape != square.shape:
            if square.dim() == 4:
                return f"{name} is a convolution and stays one: only attention changes"
            return f"{name} must be {tuple(square.shape)}; yours is {tuple(numbers.shape)}"
        if not torch.equal(numbers, square):
            return f"{name} holds other numbers than before"
    return None


_MINE = "plain = renamed\ndef renamed(name, tensor):\n    new, t = plain(name, tensor)\n    return "

NAMES = Exercise(
    id="7.6-3",
    title="the names that an attention had in 2022",
    setup="import torch",
    stub="""
NEW = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

def renamed(name, tensor):
    return ...  # YOUR CODE HERE: (today's name, the tensor in today's shape)
""",
    solution="""
NEW = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

def renamed(name, tensor):
    *path, layer, kind = name.split(".")  # ..., "query", "weight"
    if layer not in NEW:
        return name, tensor
    tensor = tensor.flatten(1) if kind == "weight" else tensor  # (C, C, 1, 1) -> (C, C)
    return ".".join([*path, NEW[layer], kind]), tensor
""",
    answer="renamed",
    check=_check_names,
    hint="Split the name at its dots. The layer is the last part but one; biases have one axis.",
    wrong=(
        ("def renamed(name, tensor):\n    return name", "is a pair"),
        ("def renamed(name, tensor):\n    return name, tensor", "is called"),
        (_MINE + "new.replace('to_out.0', 'to_out'), t", "is a list of layers"),
        (_MINE + "new, t.flatten(1) if t.dim() == 4 else t", "is a convolution"),
        (_MINE + "new, tensor", "must be (8, 8)"),
        (_MINE + "new, t + 1", "other numbers"),
    ),
    praise="that is half of a loader; the other half is to list what is missing.",
)

EXERCISES = [WRAPPER, OPERATIONS, NAMES]
