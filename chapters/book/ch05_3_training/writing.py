"""Exercises of chapter 5.3 that write: the target, the training step, the loop unbroken."""

import copy
import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from book.exercises import Exercise


def _points(*shape: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def close(a, b: Tensor) -> bool:
    a = torch.as_tensor(a)
    return a.shape == b.shape and torch.allclose(a.to(b), b, rtol=1e-5, atol=1e-7)


# --- 5.3-1 ----------------------------------------------------------------------------------------


def _check_noisy_and_v(function) -> str | None:
    z0, eps = _points(3, 2, 4, 5), _points(3, 2, 4, 5, seed=1)
    alpha_bar = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    answer = function(z0, eps, alpha_bar)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "return two things: z_t, v"
    variance = alpha_bar[:, None, None, None]  # of the signal
    a, b = variance.sqrt(), (1 - variance).sqrt()
    z_t, v = answer
    if torch.as_tensor(z_t).shape != z0.shape or torch.as_tensor(v).shape != z0.shape:
        return "both have the shape of z0: alpha_bar_t needs three more axes, [:, None, None, None]"
    if close(z_t, variance * z0 + (1 - variance) * eps):
        return "alpha_bar and 1 - alpha_bar are variances: the factors are their square roots"
    if not close(z_t, a * z0 + b * eps):
        return "z_t is sqrt(alpha_bar) z0 + sqrt(1 - alpha_bar) eps"
    for mistaken, complaint in (
        (b * z0 - a * eps, "v has the other sign: it points from the data to the noise"),
        (a * z0 - b * eps, "in v the factors change places: noise goes with z0"),
        (eps - z0, "that is the target of flow matching; v has the factors of z_t in it"),
        (eps, "that is eps; z_t is right"),
    ):
        if close(v, mistaken):
            return complaint
    if not close(v, a * eps - b * z0):
        return "z_t is right; v is sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) z0"
    return None


def _with_v(v: str, z_t: str = "a * z0 + b * eps") -> str:
    """A mistake of exercise 5.3-1."""
    return (
        "def noisy_and_v(z0, eps, alpha_bar_t):\n"
        "    a = alpha_bar_t[:, None, None, None].sqrt()\n"
        "    b = (1 - alpha_bar_t)[:, None, None, None].sqrt()\n"
        f"    return {z_t}, {v}\n"
    )


NOISY_AND_V = Exercise(
    id="5.3-1",
    title="a noisy latent and its v",
    setup="import torch",
    stub="""
def noisy_and_v(z0, eps, alpha_bar_t):
    return ...  # YOUR CODE HERE: z_t and v, each (B, c, h, w)
""",
    solution="""
def noisy_and_v(z0, eps, alpha_bar_t):
    a = alpha_bar_t[:, None, None, None].sqrt()
    b = (1 - alpha_bar_t)[:, None, None, None].sqrt()
    return a * z0 + b * eps, a * eps - b * z0
""",
    answer="noisy_and_v",
    check=_check_noisy_and_v,
    hint="Two factors, each a square root, with the shape (B, 1, 1, 1). v is z_t with the factors "
    "exchanged, and a minus before z0.",
    wrong=(
        (_with_v("a * z0 - b * eps"), "change places"),
        (_with_v("b * z0 - a * eps"), "other sign"),
        (_with_v("eps"), "that is eps"),
        (_with_v("eps - z0"), "flow matching"),
        (_with_v("a**2 * eps - b**2 * z0"), "z_t is right; v is"),
        (_with_v("a**2 * eps - b**2 * z0", z_t="a**2 * z0 + b**2 * eps"), "square roots"),
        (_with_v("eps", z_t="z0 + b * eps"), "z_t is sqrt"),
        (_with_v("eps[0]", z_t="z0[0]"), "shape of z0"),
        ("def noisy_and_v(z0, eps, alpha_bar_t):\n    return z0", "two things"),
    ),
    praise="z_t and v are z0 and eps, turned by one angle.",
)

# --- 5.3-2 ----------------------------------------------------------------------------------------

T = 50


class _Small(nn.Module):
    """A network with everything a step needs: it knows the time and the label."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.label = nn.Conv2d(2, 2, 3, padding=1), nn.Embedding(5, 2)
        self.time = nn.Parameter(torch.ones(2))
        self.double()

    def forward(self, z_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        shift = self.label(label) + (t / T).to(z_t)[:, None] * self.time  # (B, 2)
        return self.conv(z_t) + shift[:, :, None, None]


def _flat(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


ALPHA_BAR = torch.linspace(1, 0, T + 1, dtype=torch.float64).square() * 0.999 + 1e-4


def _step(
    net, optimizer, z0, condition, t, eps, alpha_bar, gamma, floor, clip, *, target="v",
    weigh="each", clear=True, limit=True, move=True, early=0,
) -> Tensor:  # fmt: skip
    """The training step, or what a typical mistake makes of it."""
    kept = alpha_bar[t - early]  # (B,)
    a, b = (x.sqrt()[:, None, None, None] for x in (kept, 1 - kept))
    v = a * eps - b * z0
    wanted = {"v": v, "-v": -v, "eps": eps, "z0": z0}[target]
    error = (net(a * z0 + b * eps, t, condition) - wanted).square().flatten(1).mean(1)
    snr = kept / (1 - kept)
    capped = snr.clamp(max=gamma)
    weight = {
        "each": (capped + floor) / (snr + 1), "no floor": capped / (snr + 1),
        "z0": capped + floor, "eps": (capped + floor) / snr, "none": torch.ones_like(snr),
        "apart": ((capped + floor) / (snr + 1)).mean().expand_as(snr),
    }[weigh]  # fmt: skip
    loss = (weight * error).mean()
    loss.backward()
    if limit:
        nn.utils.clip_grad_norm_(net.parameters(), clip)
    if move:
        optimizer.step()
    if clear:
        optimizer.zero_grad()
    return loss.detach()


MISTAKEN_STEPS = {
    "each gradient is added to the last one: make the gradients empty after the step": {
        "clear": False
    },
    "the gradient is not limited before the step": {"limit": False},
    "the weights (5.3.2) are missing": {"weigh": "none"},
    "the floor is missing from the weights": {"weigh": "no floor"},
    "your weights are those of an error of z0: divide by SNR + 1": {"weigh": "z0"},
    "your weights are those for a network that predicts eps": {"weigh": "eps"},
    "each sample has its own weight: multiply before you take the mean over the batch": {
        "weigh": "apart"
    },
    "v has the other sign": {"target": "-v"},
    "the target is v, not eps": {"target": "eps"},
    "the target is v, not z0": {"target": "z0"},
    "alpha_bar[0] is 1: t from 1 to T needs no - 1": {"early": 1},
}


def _two_steps(step: Callable) -> tuple[list, Tensor, Tensor]:
    """The losses of two steps, the weights after the first and after the second."""
    net = _Small()
    optimizer = torch.optim.SGD(net.parameters(), 0.3)
    losses, after = [], []
    for k in (0, 1):
        t = torch.tensor([3, 9, 20, 34, 41, 47])
        drawn = _points(6, 2, 4, 4, seed=k), _points(6, 2, 4, 4, seed=k + 5)
        labels = torch.tensor([0, 1, 2, 3, 4, 0])
        z0 = (1 + 5 * k) * drawn[0]  # only the second gradient is long enough to be limited
        given = (z0, labels, t, drawn[1], ALPHA_BAR, 2.0, 0.5, 2.0)
        losses.append(step(net, optimizer, *given))
        after.append(_flat(net))
    return losses, *after


def _check_step(step) -> str | None:
    wanted, first, second = _two_steps(_step)
    losses, got_first, got_second = _two_steps(step)
    if close(got_first, _flat(_Small())):
        return "no weight has changed after your step: loss.backward(), then optimizer.step()"
    if not (close(got_first, first) and close(got_second, second)):
        for complaint, mistake in MISTAKEN_STEPS.items():
            _, a, b = _two_steps(lambda *given, m=mistake: _step(*given, **m))
            if close(got_first, a) and close(got_second, b):
                return complaint
        return "the weights after your step differ: go through `losses_of` and `training_step`"
    for loss, right in zip(losses, wanted, strict=True):
        if not close(loss.detach() if isinstance(loss, Tensor) else float(loss), right):
            return "the weights are right; return the mean weighted loss, one number"
    return None


STEP = Exercise(
    id="5.3-2",
    title="the training step, from memory",
    setup="import torch",
    stub="""
def my_step(net, optimizer, z0, condition, t, eps, alpha_bar, gamma, floor, clip):
    return ...  # YOUR CODE HERE: loss, gradient, limit, step, empty gradients; then the mean loss
""",
    solution="""
def my_step(net, optimizer, z0, condition, t, eps, alpha_bar, gamma, floor, clip):
    a = alpha_bar[t][:, None, None, None].sqrt().to(z0)
    b = (1 - alpha_bar[t])[:, None, None, None].sqrt().to(z0)
    z_t, v = a * z0 + b * eps, a * eps - b * z0
    error = (net(z_t, t, condition) - v).square().flatten(1).mean(1)
    snr = alpha_bar[t] / (1 - alpha_bar[t])
    weight = (snr.clamp(max=gamma) + floor) / (snr + 1)
    loss = (weight * error).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())
""",
    answer="my_step",
    check=_check_step,
    hint="z_t and v; the squared error of each sample; times its weight; the mean; backward; "
    "torch.nn.utils.clip_grad_norm_; step; zero_grad.",
    wrong=(
        *(
            (lambda *given, m=mistake: _step(*given, **m), complaint[:25])
            for complaint, mistake in MISTAKEN_STEPS.items()
        ),
        (lambda *given: _step(*given, move=False), "no weight has changed"),
        (lambda *given: 2 * _step(*given), "one number"),
        (lambda *given: _step(*given, target="z0", limit=False), "differ"),
    ),
    praise="two steps of it leave the same weights as ours.",
)

# --- 5.3-3 ----------------------------------------------------------------------------------------


MENDED = """
def loop(net, optimizer, average, z0, labels, alpha_bar, random, steps):
    losses = []
    for _ in range(steps):
        i = torch.randint(len(z0), (16,), generator=random)
        t = torch.randint(1, len(alpha_bar), (16,), generator=random)
        eps = torch.randn(z0[i].shape, generator=random)
        a = alpha_bar[t][:, None, None, None].sqrt().to(z0)
        b = (1 - alpha_bar[t])[:, None, None, None].sqrt().to(z0)
        z_t = a * z0[i] + b * eps
        v = a * eps - b * z0[i]
        loss = (net(z_t, t, labels[i]) - v).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        for slow, now in zip(average.parameters(), net.parameters(), strict=True):
            slow.data.lerp_(now.data, 0.01)  # looks back over about 100 steps
        losses.append(float(loss.detach()))
    return losses
"""
FAULTS = {  # name -> what stands in the loop, and what somebody wrote
    "labels": ("labels[i]", "labels[:16]"),
    "gradients": ("        optimizer.zero_grad()\n", ""),
    "average": ("0.01)", "0.99)"),
}


def broken(*faults: str) -> str:
    """The code of the loop, with these of its three faults."""
    code = MENDED
    for fault in faults:
        code = code.replace(*FAULTS[fault])
    return code


def _loop(*faults: str) -> Callable:
    names: dict = {"torch": torch}
    exec(compile(broken(*faults), "<the loop of exercise 5.3-3>", "exec"), names)
    return names["loop"]


SYMPTOMS = {
    "labels": "the network cannot learn what a label means: whose labels is it told?",
    "gradients": "the steps grow longer and longer: which gradient does the optimiser see?",
    "average": "the average is nearly the last weights: lerp_(now, w) goes the share w of the way",
}


def _trained(loop: Callable) -> Tensor:
    """The losses of six steps, and the weights and their average after them."""
    net = _Small()
    average, optimizer = copy.deepcopy(net), torch.optim.SGD(net.parameters(), 0.1)
    labels = torch.arange(40) % 5
    random = torch.Generator().manual_seed(3)
    losses = loop(net, optimizer, average, _points(40, 2, 4, 4), labels, ALPHA_BAR, random, 6)
    return torch.cat([torch.tensor(losses).double(), _flat(net), _flat(average)])


def _check_loop(loop) -> str | None:
    got = _trained(loop)
    for count in range(len(SYMPTOMS) + 1):
        for faults in itertools.combinations(SYMPTOMS, count):
            if close(got, _trained(_loop(*faults))):
                return f"{count} of the faults left: {SYMPTOMS[faults[0]]}" if count else None
    return "other weights than with any of the faults: leave the draws and the formulas as they are"


LOOP = Exercise(
    id="5.3-3",
    title="three faults in a training loop",
    setup="import torch",
    stub="mended = ...  # YOUR CODE HERE: once the three faults are mended, mended = loop",
    solution=MENDED + "\n\nmended = loop",
    answer="mended",
    check=_check_loop,
    hint="Ask of each line: does it use the same samples as the line before, does it begin with "
    "what the last step left, and which way does it go?",
    wrong=(
        (_loop("labels", "gradients", "average"), "3 of the faults"),
        (_loop("labels"), "1 of the faults left: the network cannot"),
        (_loop("gradients", "average"), "2 of the faults left: the steps"),
        (_loop("average"), "1 of the faults left: the average"),
        (lambda *given: _loop()(*given[:-1], 2) * 3, "other weights"),
    ),
    praise="the loss of the broken one fell, too.",
)

WRITE = [NOISY_AND_V, STEP, LOOP]
