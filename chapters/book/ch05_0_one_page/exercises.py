"""Exercises of chapter 5.0, one page: its three central functions from memory."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from book.answers import points
from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule, cosine_betas

NULL, T = 10, 1000


def _tables() -> tuple[Tensor, Tensor]:
    """signal and noise of the page: (1001,) each, float32."""
    alpha_bar = DiscreteSchedule(cosine_betas(T)).alpha_bar
    return alpha_bar.sqrt().float(), (1 - alpha_bar).sqrt().float()


def _number(given) -> float:
    """One number, as the exercise asks for: else ValueError, which is a hint's business."""
    given = torch.as_tensor(given).float()
    if given.numel() != 1:
        raise ValueError("one number is asked for")
    return float(given)


def _near(a: float, b: float) -> bool:
    return abs(a - b) < 1e-4 * (abs(b) + 1e-3)


# --- 5.0-1 ----------------------------------------------------------------------------------------


def _check_autoencoder_loss(answer) -> str | None:
    x, mean = points(40, 1, 28, 28), points(40, 2, 7, 7, seed=1)
    log_var = -1.0 - points(40, 2, 7, 7, seed=2).abs()
    seen: list[Tensor] = []

    def decoder(z):
        seen.append(z)
        return x + 0.5 + 0 * z.mean()

    given = _number(answer(lambda x: torch.cat([mean, log_var], dim=1), decoder, x, 0.1))
    if len(seen) != 1 or seen[0].shape != mean.shape:
        return "call the decoder once, with a latent (B, c, h, w): half of what encoder gives"
    offset = seen[0] - mean
    if not offset.any():
        return "you decoded the mean; in training the decoder gets a sample, mean + std · eps"
    for std, hint in (
        (log_var.exp(), "log_var is the log of the variance: the std is exp(log_var / 2)"),
        (log_var, "std · eps, with std = exp(log_var / 2): log_var itself is a logarithm"),
    ):
        if abs(float((offset / std).std()) - 1) < 0.05:
            return hint
    if abs(float((offset / (log_var / 2).exp()).std()) - 1) > 0.05:
        return "the latent is mean + exp(log_var / 2) · eps, with eps standard normal, of its shape"
    square = mean**2 + log_var.exp() - 1 - log_var
    wanted = 0.25 + 0.1 * float(square.mean()) / 2
    for mistake, hint in (
        (0.25 + 0.1 * float(square.mean()), "the pull is half of mean² + var - 1 - log var"),
        (0.25 - 0.1 * float(square.mean()) / 2, "the pull is added: both losses are to be small"),
        (0.25 + 0.1 * float(square.sum()) / 2, "take the mean of the pull, not its sum"),
        (0.25 + float(square.mean()) / 2, "multiply the pull by kl"),
        (0.25, "the pull towards N(0, 1) is missing, equation (3.2)"),
    ):
        if _near(given, mistake):
            return hint
    if not _near(given, wanted):
        return "mean of (decoder(z) - x)², plus kl times that of (mean² + var - 1 - log var) / 2"
    return None


# --- 5.0-2 ----------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """What the network was given, and what it answered."""

    z_t: Tensor
    t: Tensor
    label: Tensor
    output: Tensor


def _call_loss(answer, z0: Tensor, label: Tensor) -> tuple[float, list[_Seen]]:
    seen: list[_Seen] = []

    def net(z_t, t, label):
        seen.append(_Seen(z_t, t.reshape(-1), label, 0.3 * z_t + 0.1))
        return seen[-1].output

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return _number(answer(net, z0, label, *_tables())), seen


def _check_loss(answer) -> str | None:
    B = 20_000
    z0, label = points(B, 1, 2, 2), torch.arange(B) % 10
    given, seen = _call_loss(answer, z0, label)
    if len(seen) != 1 or seen[0].z_t.shape != z0.shape or len(seen[0].t) != B:
        return "call net once, with z_t like z0, a time t (B,) of its own for each, and labels (B,)"
    z_t, t, told, output = seen[0]
    if int(t.min()) < 1:
        return "t = 0 is drawn: there z_t is z0, and there is nothing to learn. t runs from 1 to T"
    if int(t.max()) < T:
        return "t = T is never drawn, and there the walk begins: randint leaves its end out"
    signal, noise = (table[t].view(B, 1, 1, 1) for table in _tables())
    eps = (z_t - signal * z0) / noise
    if abs(float(eps.mean())) > 0.05 and float(eps.min()) > -0.01:
        return "eps is never negative: rand is uniform in [0, 1), randn is standard normal"
    if abs(float(eps.mean())) > 0.05 or abs(float(eps.std()) - 1) > 0.05:
        return "z_t = signal[t] z0 + noise[t] eps, with eps standard normal"
    return _wrong_labels(label, told) or _wrong_target(given, output, eps, z0, signal, noise)


def _wrong_labels(label: Tensor, told: Tensor) -> str | None:
    changed = told != label
    share = float(changed.double().mean())
    if share == 0:
        return "no label is hidden: then the network never learns what to say without one"
    if (told[changed] < NULL).any():
        return "a hidden label becomes another digit: label 0 is the digit 0. NULL is 10"
    if share > 0.99:
        return "all labels of the batch are hidden; hide each by itself, one in ten"
    if (told[changed] != NULL).any() or not 0.08 < share < 0.12:
        return "one label in ten becomes NULL = 10, each by itself"
    return None


def _wrong_target(given: float, output, eps, z0, signal, noise) -> str | None:
    for target, hint in (
        (eps, "the page predicts v; your target is eps"),
        (z0, "the page predicts v; your target is z0"),
        (signal * eps + noise * z0, "v has a minus: signal eps - noise z0"),
        (signal * z0 - noise * eps, "v is signal eps - noise z0: you exchanged eps and z0"),
    ):
        if _near(given, float((output - target).square().mean())):
            return hint
    error = (output - (signal * eps - noise * z0)).square()
    if _near(given, float(error.sum())):
        return "take the mean, not the sum: else the size of the batch changes the learning rate"
    if not _near(given, float(error.mean())):
        return "the loss is the mean of (net(z_t, t, label) - v)², with v = signal eps - noise z0"
    return None


# --- 5.0-3 ----------------------------------------------------------------------------------------


def _network(z: Tensor, t: Tensor, label: Tensor) -> Tensor:
    """Something smooth that listens to all it is told."""
    said = torch.sin(label.float() + t.float() / 300).view(-1, 1, 1, 1)
    return torch.tanh(z) * 0.7 + said


def _walk(
    z, label, times, w, *, null=NULL, plain=0.0, swap=False, here=False, first=False, sign=1.0
) -> Tensor:
    signal, noise = _tables()
    for t, s in pairwise(times):
        clock = torch.full((len(z),), t)
        v_c, v_u = _network(z, clock, label), _network(z, clock, torch.full_like(label, null))
        v_c, v_u = (v_u, v_c) if swap else (v_c, v_u)
        v = v_u + (w + plain) * (v_c - v_u)
        z0 = signal[t] * z - sign * noise[t] * v
        eps = noise[t] * z + sign * signal[t] * v
        s = t if here else s
        z = signal[s] * z0 + noise[s] * eps
        if first:
            return z0
    return z


def _check_draw(answer) -> str | None:
    z, label, times, w = points(12, 2, 7, 7), torch.arange(12) % 10, [1000, 600, 300, 0], 2.0

    def net(z, t, label):
        if torch.as_tensor(label).dtype.is_floating_point:
            raise ValueError("labels are whole numbers")
        t, label = torch.as_tensor(t), torch.as_tensor(label)
        return _network(z, t.expand(len(z)), label.expand(len(z)))

    given = torch.as_tensor(answer(net, z.clone(), label, *_tables(), times, w)).float()
    if given.shape != z.shape:
        return "what comes back has the shape of z: (B, 2, 7, 7)"

    def like(**mistake) -> bool:
        return torch.allclose(given, _walk(z, label, times, w, **mistake), atol=1e-3)

    for mistake, hint in (
        ({"plain": 1.0}, "w = 1 must be the answer with the label alone: v_u + w (v_c - v_u)"),
        ({"plain": -w}, "the label is never used: v_u + w (v_c - v_u)"),
        ({"plain": 1 - w}, "there is no guidance: ask without the label too, and go beyond"),
        ({"swap": True}, "the arrow goes from the answer without a label to the one with it"),
        ({"null": 0}, "no label is NULL = 10; label 0 is the digit 0"),
        ({"here": True}, "signal and noise of the new time s, not of t: else z stays where it is"),
        ({"first": True}, "that is the first estimate of z0: go on to the next time, ask again"),
        ({"sign": -1.0}, "z0 = signal z - noise v, and eps = noise z + signal v"),
    ):
        if like(**mistake):
            return hint
    if not like():
        return (
            "from t to the next time s: v by guidance; z0 = signal[t] z - noise[t] v; "
            "eps = noise[t] z + signal[t] v; then z = signal[s] z0 + noise[s] eps"
        )
    return None


_LOSS = """def mended_loss(net, z0, label, signal, noise):
    B = len(z0)
    t = torch.randint({times}, (B,))
    eps = torch.{random}_like(z0)
    label = torch.where(torch.rand({each}) < 0.1, {null}, label)
    a, b = signal[t].view(B, 1, 1, 1), noise[t].view(B, 1, 1, 1)
    v = {v}
    return F.mse_loss(net(a * z0 + b * eps, t, label), {target}{options})"""


def _loss(
    times="1, 1001", random="randn", each="B", null=NULL, v="a * eps - b * z0", target="v",
    options="",
) -> str:  # fmt: skip
    return _LOSS.format(
        times=times, random=random, each=each, null=null, v=v, target=target, options=options
    )


_AUTOENCODER = """def my_autoencoder_loss(encoder, decoder, x, kl):
    mean, log_var = encoder(x).chunk(2, dim=1)
    z = mean + {std} * torch.randn_like(mean)
    pull = (mean**2 + log_var.exp() - 1 - log_var) / {half}
    return F.mse_loss(decoder(z), x) {sign} {kl} * pull.{over}()"""


def _autoencoder(std="(log_var / 2).exp()", half=2, sign="+", kl="kl", over="mean") -> str:
    return _AUTOENCODER.format(std=std, half=half, sign=sign, kl=kl, over=over)


_DRAW = """def my_draw(net, z, label, signal, noise, times, w):
    null = torch.full_like(label, {null})
    for t, s in zip(times[:-1], times[1:]):
        clock = torch.full((len(z),), t)
        v_c, v_u = net(z, clock, label), net(z, clock, null)
        v = {v}
        z0, eps = signal[t] * z {minus} noise[t] * v, noise[t] * z {plus} signal[t] * v
        z = signal[{s}] * z0 + noise[{s}] * eps
    return z"""


def _draw(null=NULL, v="v_u + w * (v_c - v_u)", minus="-", plus="+", s="s") -> str:
    return _DRAW.format(null=null, v=v, minus=minus, plus=plus, s=s)


_SETUP = "import torch\nimport torch.nn.functional as F\n"

EXERCISES = [
    Exercise(
        id="5.0-1",
        title="the loss of the autoencoder, from memory",
        stub="""def my_autoencoder_loss(encoder, decoder, x, kl):
    return ...  # YOUR CODE HERE: one number""",
        solution=_autoencoder(),
        answer="my_autoencoder_loss",
        check=_check_autoencoder_loss,
        hint="encoder, a sample, decoder; then two terms: what is lost, and the pull to N(0, 1).",
        setup=_SETUP,
        wrong=(
            (_autoencoder(std="0"), "decoded the mean"),
            (_autoencoder(std="log_var.exp()"), "log of the variance"),
            (_autoencoder(std="log_var"), "a logarithm"),
            (_autoencoder(half=1), "half of"),
            (_autoencoder(sign="-"), "is added"),
            (_autoencoder(over="sum"), "not its sum"),
            (_autoencoder(kl="1"), "multiply the pull by kl"),
            (_autoencoder(kl="0"), "is missing"),
        ),
        praise="the sample lets the gradient through to mean and log_var; eps carries the chance.",
    ),
    Exercise(
        id="5.0-2",
        title="the loss of the denoiser, without its three faults",
        stub="""def mended_loss(net, z0, label, signal, noise):
    return ...  # YOUR CODE HERE: one number""",
        solution=_loss(),
        answer="mended_loss",
        check=_check_loss,
        hint="Which times are drawn? Which noise? What does the network hear of a hidden label?",
        setup=_SETUP,
        wrong=(
            (_loss("0, 1000", "rand", null=0), "t = 0 is drawn"),
            (_loss("1, 1000"), "never drawn"),
            (_loss(random="rand"), "uniform"),
            (_loss(null=0), "the digit 0"),
            (_loss(each="()").replace("< 0.1", "< 2"), "each by itself"),
            (_loss().replace("< 0.1", "< 0"), "no label is hidden"),
            (_loss().replace("< 0.1", "< 0.5"), "one label in ten"),
            (_loss(target="eps"), "your target is eps"),
            (_loss(target="z0"), "your target is z0"),
            (_loss(v="a * eps + b * z0"), "has a minus"),
            (_loss(v="a * z0 - b * eps"), "exchanged"),
            (_loss(options=', reduction="sum"'), "not the sum"),
        ),
        praise="none of the three stops a training, or shows in a loss that falls.",
    ),
    Exercise(
        id="5.0-3",
        title="the walk from noise, with guidance",
        stub="""def my_draw(net, z, label, signal, noise, times, w):
    return ...  # YOUR CODE HERE: (B, 2, 7, 7)""",
        solution=_draw(),
        answer="my_draw",
        check=_check_draw,
        hint="For each t and the next time s: ask twice, mix, take z_t apart, join it again at s.",
        setup=_SETUP,
        wrong=(
            (_draw(v="v_u + (1 + w) * (v_c - v_u)"), "w = 1"),
            (_draw(v="v_u"), "never used"),
            (_draw(v="v_c"), "no guidance"),
            (_draw(v="v_c + w * (v_u - v_c)"), "the arrow"),
            (_draw(null=0), "NULL = 10"),
            (_draw(s="t"), "new time"),
            (_draw(minus="+", plus="-"), "noise v"),
            (_draw().replace("return z", "return z0.mean()"), "the shape of z"),
        ),
        praise="eight lines, and they draw with any network that predicts v.",
    ),
]
