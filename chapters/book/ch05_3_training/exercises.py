"""Exercises of chapter 5.3, training."""

import copy
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from book.exercises import Exercise


def _points(*shape: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def _close(a, b: Tensor) -> bool:
    a = torch.as_tensor(a)
    return a.shape == b.shape and torch.allclose(a.to(b), b, rtol=1e-5, atol=1e-7)


# --- 5.3-1 ----------------------------------------------------------------------------------------


def _check_noisy_and_v(function) -> str | None:
    z0, eps = _points(3, 2, 4, 5), _points(3, 2, 4, 5, seed=1)
    alpha_bar = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    answer = function(z0, eps, alpha_bar)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "return two things: z_t, v"
    a = alpha_bar[:, None, None, None]
    signal, noise = a.sqrt(), (1 - a).sqrt()
    z_t, v = answer
    if torch.as_tensor(z_t).shape != z0.shape or torch.as_tensor(v).shape != z0.shape:
        return "both have the shape of z0: alpha_bar_t needs three more axes, [:, None, None, None]"
    if _close(z_t, a * z0 + (1 - a) * eps):
        return "alpha_bar and 1 - alpha_bar are variances: the factors are their square roots"
    if not _close(z_t, signal * z0 + noise * eps):
        return "z_t is sqrt(alpha_bar) z0 + sqrt(1 - alpha_bar) eps"
    for mistaken, complaint in (
        (noise * z0 - signal * eps, "v has the other sign: it points from the data to the noise"),
        (signal * z0 - noise * eps, "in v the factors change places: noise goes with z0"),
        (eps - z0, "that is the target of flow matching; v has the factors of z_t in it"),
        (eps, "that is eps; z_t is right"),
    ):
        if _close(v, mistaken):
            return complaint
    if not _close(v, signal * eps - noise * z0):
        return "z_t is right; v is sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) z0"
    return None


def _with_v(v: str, z_t: str = "a.sqrt() * z0 + (1 - a).sqrt() * eps") -> str:
    """A mistake of exercise 5.3-1."""
    return (
        "def noisy_and_v(z0, eps, alpha_bar_t):\n"
        "    a = alpha_bar_t[:, None, None, None]\n"
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
    a = alpha_bar_t[:, None, None, None]
    signal, noise = a.sqrt(), (1 - a).sqrt()
    return signal * z0 + noise * eps, signal * eps - noise * z0
""",
    answer="noisy_and_v",
    check=_check_noisy_and_v,
    hint="Two factors, each a square root, with the shape (B, 1, 1, 1). v is z_t with the factors "
    "exchanged, and a minus before z0.",
    wrong=(
        (_with_v("a.sqrt() * z0 - (1 - a).sqrt() * eps"), "change places"),
        (_with_v("(1 - a).sqrt() * z0 - a.sqrt() * eps"), "other sign"),
        (_with_v("eps"), "that is eps"),
        (_with_v("eps - z0"), "flow matching"),
        (_with_v("a * eps - (1 - a) * z0"), "z_t is right; v is"),
        (_with_v("a * eps - (1 - a) * z0", z_t="a * z0 + (1 - a) * eps"), "square roots"),
        (_with_v("eps", z_t="z0 + (1 - a).sqrt() * eps"), "z_t is sqrt"),
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
    a = alpha_bar[t - early][:, None, None, None]
    signal, noise = a.sqrt(), (1 - a).sqrt()
    v = signal * eps - noise * z0
    wanted = {"v": v, "-v": -v, "eps": eps, "z0": z0}[target]
    error = (net(signal * z0 + noise * eps, t, condition) - wanted).square().flatten(1).mean(1)
    snr = (a / (1 - a)).flatten()
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
    if _close(got_first, _flat(_Small())):
        return "no weight has changed after your step: loss.backward(), then optimizer.step()"
    if not (_close(got_first, first) and _close(got_second, second)):
        for complaint, mistake in MISTAKEN_STEPS.items():
            _, a, b = _two_steps(lambda *given, m=mistake: _step(*given, **m))
            if _close(got_first, a) and _close(got_second, b):
                return complaint
        return "the weights after your step differ: go through `losses_of` and `training_step`"
    for loss, right in zip(losses, wanted, strict=True):
        if not _close(loss.detach() if isinstance(loss, Tensor) else float(loss), right):
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
    a = alpha_bar[t][:, None, None, None].to(z0)
    z_t = a.sqrt() * z0 + (1 - a).sqrt() * eps
    v = a.sqrt() * eps - (1 - a).sqrt() * z0
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


def _loop(
    net, optimizer, average, z0, labels, alpha_bar, random, steps, faults=frozenset()
) -> list[float]:
    """The training loop of the exercise, with some of its faults."""
    losses = []
    for _ in range(steps):
        i = torch.randint(len(z0), (16,), generator=random)
        t = torch.randint(1, len(alpha_bar), (16,), generator=random)
        eps = torch.randn(z0[i].shape, generator=random)
        a = alpha_bar[t][:, None, None, None].to(z0)
        z_t = a.sqrt() * z0[i] + (1 - a).sqrt() * eps
        v = a.sqrt() * eps - (1 - a).sqrt() * z0[i]
        loss = (net(z_t, t, labels[:16] if "labels" in faults else labels[i]) - v).square().mean()
        loss.backward()
        optimizer.step()
        if "gradients" not in faults:
            optimizer.zero_grad()
        for slow, now in zip(average.parameters(), net.parameters(), strict=True):
            slow.data.lerp_(now.data, 0.99 if "average" in faults else 0.01)
        losses.append(float(loss.detach()))
    return losses


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
            if _close(got, _trained(lambda *given, f=faults: _loop(*given, faults=f))):
                return f"{count} of the faults left: {SYMPTOMS[faults[0]]}" if count else None
    return "other weights than with any of the faults: leave the draws and the formulas as they are"


def _still(*faults: str) -> Callable:
    return lambda *given: _loop(*given, faults=faults)


LOOP = Exercise(
    id="5.3-3",
    title="three faults in a training loop",
    setup="import torch",
    stub="mended = ...  # YOUR CODE HERE: once the three faults are mended, mended = loop",
    solution="""
def loop(net, optimizer, average, z0, labels, alpha_bar, random, steps):
    losses = []
    for _ in range(steps):
        i = torch.randint(len(z0), (16,), generator=random)
        t = torch.randint(1, len(alpha_bar), (16,), generator=random)
        eps = torch.randn(z0[i].shape, generator=random)
        a = alpha_bar[t][:, None, None, None].to(z0)
        z_t = a.sqrt() * z0[i] + (1 - a).sqrt() * eps
        v = a.sqrt() * eps - (1 - a).sqrt() * z0[i]
        loss = (net(z_t, t, labels[i]) - v).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        for slow, now in zip(average.parameters(), net.parameters(), strict=True):
            slow.data.lerp_(now.data, 0.01)  # looks back over about 100 steps
        losses.append(float(loss.detach()))
    return losses


mended = loop
""",
    answer="mended",
    check=_check_loop,
    hint="Ask of each line: does it use the same samples as the line before, does it begin with "
    "what the last step left, and which way does it go?",
    wrong=(
        (_still("labels", "gradients", "average"), "3 of the faults"),
        (_still("labels"), "1 of the faults left: the network cannot"),
        (_still("gradients", "average"), "2 of the faults left: the steps"),
        (_still("average"), "1 of the faults left: the average"),
        (lambda *given: _loop(*given[:-1], steps=2) * 3, "other weights"),
    ),
    praise="the loss of the broken one fell, too.",
)

# --- 5.3-4 ----------------------------------------------------------------------------------------


def _check_first(value) -> str | None:
    value = float(value)
    if math.isclose(value, 15.5, rel_tol=1e-3):
        return None
    if math.isclose(value, 1, rel_tol=1e-3):
        return "1 is for scaled latents; these have a mean square of 30"
    if math.isclose(value, 15, rel_tol=1e-3):
        return "that is the part of z0; eps has a share in v too"
    if math.isclose(value, 30.5, rel_tol=1e-3) or math.isclose(value, 31, rel_tol=1e-3):
        return "both parts have a factor: alpha_bar for eps, 1 - alpha_bar for z0"
    return "put alpha_bar = 0.5 and a mean square of 30 into (5.3.7)"


FIRST = Exercise(
    id="5.3-4",
    title="the first loss of unscaled latents",
    stub="first_loss = ...  # YOUR CODE HERE: one number",
    solution="""
alpha_bar, mean_square = 0.5, 30
first_loss = alpha_bar + (1 - alpha_bar) * mean_square
""",
    answer="first_loss",
    check=_check_first,
    hint="(5.3.7).",
    wrong=(
        (1.0, "scaled latents"),
        (15.0, "share in v too"),
        (30.5, "both parts"),
        (7.0, "put alpha_bar"),
    ),
    praise="a number that nobody overlooks, if somebody looks.",
)

# --- 5.3-5 ----------------------------------------------------------------------------------------


def _check_weight(weight) -> str | None:
    snr = torch.tensor([0.01, 1.0, 5.0, 50.0], dtype=torch.float64)
    got = torch.as_tensor(weight(snr, 5.0, 1.0), dtype=torch.float64)
    if got.shape != snr.shape:
        return f"one weight for each SNR: shape {tuple(snr.shape)}; got {tuple(got.shape)}"
    least = torch.minimum(snr, torch.full_like(snr, 5.0))
    if _close(got, (least + 1) / snr):
        other = [torch.as_tensor(weight(snr, g, c)) for g, c in ((1.0, 1.0), (5.0, 0.25))]
        if _close(other[0], got):
            return "your weight ignores gamma"
        return "your weight ignores the floor you give it" if _close(other[1], got) else None
    if _close(got, least + 1):
        return "that is the weight of the error in z0; by (5.3.1) an error in eps is SNR times it"
    if _close(got, (least + 1) / (snr + 1)):
        return "that is (5.3.2), for v; for eps the SNR alone stands below"
    if _close(got, least / snr):
        return "the floor is missing"
    if _close(got, least / snr + 1):
        return "the floor belongs to the weight of z0's error, so it is divided as well"
    if _close(got, (torch.maximum(snr, torch.full_like(snr, 5.0)) + 1) / snr):
        return "the *smaller* of SNR and gamma"
    return "divide min(SNR, gamma) + floor by what turns an error of z0 into one of eps"


def _weight_code(body: str) -> str:
    return f"def weight_for_eps(snr, gamma=5.0, floor=0.0):\n    return {body}"


WEIGHT = Exercise(
    id="5.3-5",
    title="min-SNR weights for a network that predicts eps",
    setup="import torch",
    stub="""
def weight_for_eps(snr, gamma=5.0, floor=0.0):
    return ...  # YOUR CODE HERE
""",
    solution="""
def weight_for_eps(snr, gamma=5.0, floor=0.0):
    return (snr.clamp(max=gamma) + floor) / snr
""",
    answer="weight_for_eps",
    check=_check_weight,
    hint="Weight of z0's error, divided by SNR: (5.3.1), first formula.",
    wrong=(
        (_weight_code("snr.clamp(max=gamma) + floor"), "error in z0"),
        (_weight_code("(snr.clamp(max=gamma) + floor) / (snr + 1)"), "for v"),
        (_weight_code("snr.clamp(max=gamma) / snr"), "floor is missing"),
        (_weight_code("snr.clamp(max=gamma) / snr + floor"), "divided as well"),
        (_weight_code("(snr.clamp(min=gamma) + floor) / snr"), "*smaller*"),
        (_weight_code("(snr.clamp(max=5.0) + floor) / snr"), "ignores gamma"),
        (_weight_code("(snr.clamp(max=gamma) + 1) / snr"), "ignores the floor"),
        (_weight_code("1.0"), "one weight for each"),
        (_weight_code("(snr.clamp(max=gamma) + floor) * snr"), "what turns"),
    ),
    praise="with a floor it has no bound where there is no signal: the library refuses that.",
)

# --- 5.3-6 ----------------------------------------------------------------------------------------


def _check_decay(value) -> str | None:
    value = float(value)
    if math.isclose(1 - value, 1 / 5000, rel_tol=0.05):
        return None
    if math.isclose(value, 1 / 5000, rel_tol=0.05):
        return "that is 1 - d: with your d nearly nothing is kept from one step to the next"
    if math.isclose(value, 5000 / 100_000, rel_tol=0.05) or math.isclose(value, 0.95, abs_tol=1e-3):
        return "the length of the training does not matter: how far d looks back is 1 / (1 - d)"
    if not 0 < value < 1:
        return f"d is between 0 and 1; got {value:g}"
    return f"with your d the average looks back over about {1 / (1 - value):,.0f} steps"


DECAY = Exercise(
    id="5.3-6",
    title="an average over 5,000 steps",
    stub="decay = ...  # YOUR CODE HERE: one number",
    solution="""
decay = 1 - 1 / 5000  # 0.9998
""",
    answer="decay",
    check=_check_decay,
    hint="(5.3.6): weights fall by a factor d per step, so their sum is 1 / (1 - d).",
    wrong=(
        (0.0002, "that is 1 - d"),
        (0.95, "does not matter"),
        (5000.0, "between 0 and 1"),
        (0.999, "over about 1,000 steps"),
    ),
    praise="0.9998; Stable Diffusion's 0.9999 looks back over 10,000 steps.",
)

# --- 5.3-7 ----------------------------------------------------------------------------------------

_ILL = ("healthy", "slow", "wrong labels", "wrong target")


def _check_diagnosis(answer) -> str | None:
    if not isinstance(answer, dict) or set(answer) != set("ABCD"):
        return 'the answer is a dictionary with the keys "A", "B", "C" and "D"'
    strange = [value for value in answer.values() if value not in _ILL]
    if strange:
        return f"{strange[0]!r} is no diagnosis; there are {', '.join(_ILL)}"
    if answer["A"] != "wrong target":
        return "A: its training loss has fallen well. What does its error say, and where?"
    if answer["B"] != "slow":
        return "B: what does its training loss say, and is there a time at which it is not above 1?"
    if answer["D"] != "wrong labels":
        return "D: at t = 200 it is as good as the best average. What has it from what it was told?"
    return None if answer["C"] == "healthy" else "only one of the four is left for C"


DIAGNOSIS = Exercise(
    id="5.3-7",
    title="four diagnoses",
    stub='diagnosis = ...  # YOUR CODE HERE: {"A": "...", "B": "...", "C": "...", "D": "..."}',
    solution="""
diagnosis = {"A": "wrong target", "B": "slow", "C": "healthy", "D": "wrong labels"}
""",
    answer="diagnosis",
    check=_check_diagnosis,
    hint="For each patient, ask three things: did the training loss fall, is the error below that "
    "of the best average, and does the label help?",
    wrong=(
        ('diagnosis = ["slow"]', "a dictionary"),
        ('diagnosis = dict(diagnosis, A="ill")', "no diagnosis"),
        ('diagnosis = dict(diagnosis, A="slow", B="wrong target")', "fallen well"),
        ('diagnosis = dict(diagnosis, B="wrong labels", D="slow")', "not above 1"),
        ('diagnosis = dict(diagnosis, C="wrong labels", D="healthy")', "best average"),
        ('diagnosis = dict(diagnosis, C="slow")', "left for C"),
    ),
    praise="and not one picture was needed.",
)

EXERCISES = [NOISY_AND_V, STEP, LOOP, FIRST, WEIGHT, DECAY, DIAGNOSIS]
