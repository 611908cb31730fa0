"""Exercises of chapter 5.6, the same training on a GPU."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from book.ch05_6_gpu.command import COMMAND
from book.exercises import Exercise

# --- 5.6-1 ----------------------------------------------------------------------------------------

FINITE = [True] * 7 + [False] * 2 + [True] * 4001 + [False]  # a training, step by step
RULES: dict[str, Callable[[float, int, bool], tuple[float, int]]] = {
    "": lambda s, n, ok: (s / 2, 0) if not ok else (2 * s, 0) if n + 1 == 2000 else (s, n + 1),
    "after a bad step the count of good steps begins again, at 0": lambda s, n, ok: (
        (s / 2, n) if not ok else (2 * s, 0) if n + 1 == 2000 else (s, n + 1)
    ),
    "after doubling the count of good steps begins again, at 0": lambda s, n, ok: (
        (s / 2, 0) if not ok else (2 * s, n + 1) if n + 1 == 2000 else (s, n + 1)
    ),
    "the 2,000th good step doubles already: it is the one with good = 1999": lambda s, n, ok: (
        (s / 2, 0) if not ok else (2 * s, 0) if n == 2000 else (s, n + 1)
    ),
    "a gradient that is not finite was scaled too far: halve, do not double": lambda s, n, ok: (
        (2 * s, 0) if not ok else (2 * s, 0) if n + 1 == 2000 else (s, n + 1)
    ),
    "it never grows: after 2,000 good steps in a row the scale doubles": lambda s, n, ok: (
        (s / 2, 0) if not ok else (s, n + 1)
    ),
    "every good step is counted: good + 1": lambda s, n, ok: (
        (s / 2, 0) if not ok else (2 * s, 0) if n + 1 == 2000 else (s, n)
    ),
}


def _trace(rule: Callable) -> list[tuple[float, ...]]:
    """The scale and the count after each step."""
    scale, good, seen = 65536.0, 0, []
    for finite in FINITE:
        pair = tuple(rule(scale, good, finite))
        scale, good = (float(value) for value in pair)
        seen.append((scale, good))
    return seen


def _check_next_scale(function) -> str | None:
    if len(tuple(function(65536.0, 0, True))) != 2:
        return "return two numbers: the scale and the count"
    found = _trace(function)
    for complaint, rule in RULES.items():
        if found == _trace(rule):
            return complaint or None
    return (
        "not finite: (scale / 2, 0). Finite: (scale, good + 1), and once that is 2000, "
        "(2 * scale, 0)"
    )


def _rule(bad: str, full: str, otherwise: str, when: str = "good + 1 == 2000") -> str:
    """A mistake of exercise 5.6-1."""
    return (
        "def next_scale(scale, good, finite):\n"
        f"    if not finite:\n        return {bad}\n"
        f"    if {when}:\n        return {full}\n"
        f"    return {otherwise}\n"
    )


SCALE = Exercise(
    id="5.6-1",
    title="the rule of the loss scale",
    stub="""
def next_scale(scale, good, finite):
    return ...  # YOUR CODE HERE: (scale, good) for the next step
""",
    solution="""
def next_scale(scale, good, finite):
    if not finite:
        return scale / 2, 0
    return (2 * scale, 0) if good + 1 == 2000 else (scale, good + 1)
""",
    answer="next_scale",
    check=_check_next_scale,
    hint="Three cases: a bad step, the 2,000th good one in a row, any other good one.",
    wrong=(
        (_rule("scale / 2, good", "2 * scale, 0", "scale, good + 1"), "after a bad step"),
        (_rule("scale / 2, 0", "2 * scale, good + 1", "scale, good + 1"), "after doubling"),
        (_rule("scale / 2, 0", "2 * scale, 0", "scale, good + 1", "good == 2000"), "already"),
        (_rule("2 * scale, 0", "2 * scale, 0", "scale, good + 1"), "halve, do not double"),
        (_rule("scale / 2, 0", "scale, good + 1", "scale, good + 1"), "never grows"),
        (_rule("scale / 2, 0", "2 * scale, 0", "scale, good"), "is counted"),
        (_rule("scale / 2, 0", "4 * scale, 0", "scale, good + 1"), "(scale / 2, 0)"),
        ("def next_scale(scale, good, finite):\n    return scale, good, finite", "two numbers"),
    ),
    praise="that is all of GradScaler, but for leaving the bad step out.",
)


# --- 5.6-2 ----------------------------------------------------------------------------------------

SAMPLES = torch.arange(11).sin()[:, None]  # (11, 1); in 3 parts: 4, 4 and 3
DIRTY = 7.0  # what an earlier step has left in the gradients


def _line() -> nn.Module:
    """A network with a slope and an offset, whose gradients are not clean."""
    net = nn.Linear(1, 1).double()
    with torch.no_grad():
        net.weight.fill_(0.5), net.bias.fill_(-1.0)
    for p in net.parameters():
        p.grad = torch.full_like(p, DIRTY)
    return net


def _losses(net: nn.Module, samples: Tensor) -> Tensor:
    """A loss per sample (B,), from samples (B, 1)."""
    return (net(samples.double()) - 3 * samples.double() ** 2).square().flatten(1).mean(1)


def _vector(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def _in_parts(share: Callable[[Tensor], Tensor], clear: bool = True, last: bool = False) -> Tensor:
    """The gradient where each part contributes ``share(losses)``; ``last``: of the last alone."""
    net = _line()
    for piece in SAMPLES.tensor_split(3):
        if last or clear:
            net.zero_grad()
            clear = False
        share(_losses(net, piece)).backward()
    return _vector(net)


def _check_parts(function) -> str | None:
    sizes = []

    def noted(net: nn.Module, samples: Tensor) -> Tensor:
        sizes.append(len(samples))
        return _losses(net, samples)

    found = torch.as_tensor(function(_line(), noted, SAMPLES, 3)).double()

    def equals(gradient: Tensor) -> bool:
        return found.shape == gradient.shape and torch.allclose(found, gradient, 1e-5, 1e-7)

    n = len(SAMPLES)
    mistakes = (
        (lambda x: x.mean(), {}, "means summed: this gradient is 3 times too long; every part is "
         "divided by the size of the whole batch"),
        (lambda x: x.mean() / 3, {}, "the mean of means: parts of 4, 4 and 3 samples do not "
         "weigh the same; divide each sum by the size of the whole batch"),
        (lambda x: x.sum(), {}, "the sum of all losses; the loss of a batch is their mean"),
        (lambda x: x.sum() / n, {"clear": False}, "what an earlier step left in the gradients is "
         "still there: net.zero_grad() first"),
        (lambda x: x.sum() / n, {"last": True}, "only the last part is left: zero_grad() once, "
         "before the parts, not before each"),
    )  # fmt: skip
    for share, how, complaint in mistakes:
        if equals(_in_parts(share, **how)):
            return complaint
    if not equals(_in_parts(lambda x: x.sum() / n)):
        return "one vector, all gradients flattened, of the mean over all samples"
    if max(sizes) > 4:
        return "the gradient is right, but the whole batch went through at once"
    return None


def _accumulating(
    share: str, before: str = "net.zero_grad()", each: str = "pass", of: str = "parts"
) -> str:
    """A mistake of exercise 5.6-2."""
    return (
        "def gradient_in_parts(net, losses_of, samples, parts):\n"
        f"    {before}\n"
        f"    for piece in samples.tensor_split({of}):\n"
        f"        {each}\n"
        f"        {share}.backward()\n"
        "    return torch.cat([p.grad.flatten() for p in net.parameters()])\n"
    )


PARTS = Exercise(
    id="5.6-2",
    title="the gradient of a batch in parts",
    setup="import torch",
    stub="""
def gradient_in_parts(net, losses_of, samples, parts):
    return ...  # YOUR CODE HERE: the gradient of all parameters, as one vector
""",
    solution="""
def gradient_in_parts(net, losses_of, samples, parts):
    net.zero_grad()
    for piece in samples.tensor_split(parts):
        (losses_of(net, piece).sum() / len(samples)).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])
""",
    answer="gradient_in_parts",
    check=_check_parts,
    hint="zero_grad once, backward() for each part, the sum of its losses over the size of the "
    "whole batch.",
    wrong=(
        (_accumulating("losses_of(net, piece).mean()"), "3 times too long"),
        (_accumulating("(losses_of(net, piece).mean() / parts)"), "mean of means"),
        (_accumulating("losses_of(net, piece).sum()"), "the sum of all losses"),
        (_accumulating("(losses_of(net, piece).sum() / len(samples))", "pass"), "earlier step"),
        (
            _accumulating("(losses_of(net, piece).sum() / len(samples))", each="net.zero_grad()"),
            "only the last part",
        ),
        (_accumulating("(losses_of(net, piece).sum() / len(samples))", of="1"), "at once"),
        (_accumulating("(2 * losses_of(net, piece).sum())"), "one vector"),
    ),
    praise="a batch of any size, in the memory of its largest part.",
)


# --- 5.6-4 ----------------------------------------------------------------------------------------


class _Run:
    """A small training that draws its noise from a generator."""

    def __init__(self) -> None:
        self.net, self.step = _line(), 0
        self.optimizer = torch.optim.AdamW(self.net.parameters(), 0.1)
        self.random = torch.Generator().manual_seed(3)

    def go_on(self, steps: int) -> Tensor:
        """Train; returns the weights."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            noise = torch.randn(SAMPLES.shape, generator=self.random)
            loss = _losses(self.net, SAMPLES + 0.3 * noise).mean() / (1 + self.step)
            loss.backward()
            self.optimizer.step()
            self.step += 1
        return torch.cat([p.detach().flatten() for p in self.net.parameters()])


def _check_state(function) -> str | None:
    run = _Run()
    run.go_on(3)
    before = copy.deepcopy(run.net.state_dict())
    weights, moments, random, step = function(run.net, run.optimizer, run.random, run.step)
    drawn = torch.randn(1, generator=torch.Generator().set_state(run.random.get_state()))
    truth = run.go_on(3)
    if not isinstance(weights, dict) or not isinstance(moments, dict):
        return "network and optimiser give their parts by state_dict(), a dictionary each"
    if isinstance(random, torch.Generator):
        return "the generator itself lives on, and is further by now: take its get_state()"
    other = _Run()
    other.net.load_state_dict(weights)
    if any(not torch.equal(value, before[name]) for name, value in weights.items()):
        return "state_dict() points into the living weights, which have moved on: copy it"
    other.optimizer.load_state_dict(moments)
    if int(moments["state"][0]["step"]) != 3:
        return "the optimiser's moments have moved on: copy its state_dict() as well, in depth"
    other.random.set_state(random)
    if not torch.equal(torch.randn(1, generator=other.random), drawn):
        return "the generator's state is not the one after three steps: random.get_state()"
    other.random.set_state(random)
    other.step = step
    if not torch.equal(other.go_on(3), truth):
        return "all but the step is right: hand on the number that you were given"
    return None


def _kept(*parts: str) -> str:
    """A mistake of exercise 5.6-4."""
    return f"def training_state(net, optimizer, random, step):\n    return {', '.join(parts)}\n"


_NET, _MOMENTS = "copy.deepcopy(net.state_dict())", "copy.deepcopy(optimizer.state_dict())"

STATE = Exercise(
    id="5.6-4",
    title="the state from which a training goes on",
    setup="import copy\nimport torch",
    stub="""
def training_state(net, optimizer, random, step):
    return ...  # YOUR CODE HERE: four things, in the order of the arguments
""",
    solution="""
def training_state(net, optimizer, random, step):
    parts = net.state_dict(), optimizer.state_dict()
    return *copy.deepcopy(parts), random.get_state(), step
""",
    answer="training_state",
    check=_check_state,
    hint="A state_dict is not a copy. A generator has get_state().",
    wrong=(
        (_kept("net.state_dict()", _MOMENTS, "random.get_state()", "step"), "living weights"),
        (_kept("dict(net.state_dict())", _MOMENTS, "random.get_state()", "step"), "living weights"),
        (_kept(_NET, "optimizer.state_dict()", "random.get_state()", "step"), "in depth"),
        (_kept(_NET, _MOMENTS, "random", "step"), "itself lives on"),
        (
            _kept(_NET, _MOMENTS, "torch.Generator().manual_seed(3).get_state()", "step"),
            "after three steps",
        ),
        (_kept(_NET, _MOMENTS, "random.get_state()", "0"), "all but the step"),
        (_kept("net", "optimizer", "random", "step"), "state_dict()"),
    ),
    praise="and in a file it would survive the end of the process.",
)

EXERCISES = [SCALE, PARTS, COMMAND, STATE]
