"""Exercises of chapter 2, the core concepts."""

import math

from book.ch02_concepts.reading import beyond_guessing
from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule, cosine_betas

# --- 2-1 ------------------------------------------------------------------------------------------

PIXELS, CELLS = 3 * 512 * 512, 64 * 64


def _check_channels(value) -> str | None:
    value = float(value)
    if not math.isfinite(value) or value != int(value) or value < 1:
        return "a whole number of channels, at least 1"
    limit = PIXELS // CELLS  # 192: exactly as many numbers
    if value == limit - 1:
        return None
    if value == limit:
        return f"with {limit} channels the latent has exactly as many numbers; smaller is asked"
    if value == 512 // 64:
        return "that is the factor in one direction; count the numbers, c · h · w"
    if value == limit // 3:
        return "that is right for a grey picture; this one has three colour channels"
    if value > limit:
        return f"{int(value)} · 64 · 64 is more than 3 · 512 · 512"
    return f"{int(value)} channels are smaller, but so are {int(value) + 1}"


CHANNELS = Exercise(
    id="2-1",
    title="the largest number of channels of a latent that is smaller than its picture",
    stub="most_channels = ...  # YOUR CODE HERE: a whole number",
    solution="""
most_channels = 3 * 512 * 512 // (64 * 64) - 1  # 192 channels are as many numbers as the picture
""",
    answer="most_channels",
    check=_check_channels,
    hint="c · 64 · 64 < 3 · 512 · 512. Which is the largest whole number c?",
    wrong=(
        (192, "exactly as many"),
        (8, "one direction"),
        (64, "three colour channels"),
        (4, "so are 5"),
        (512, "is more than"),
        (190.5, "a whole number"),
    ),
    praise="Stable Diffusion uses 4 channels, 48 times fewer numbers than its pictures have.",
)


# --- 2-2 ------------------------------------------------------------------------------------------


def _check_first_noisy(t) -> str | None:
    t = float(t)
    if not math.isfinite(t) or t != int(t) or not 0 <= t <= 1000:
        return "a noise level: a whole number from 0 to 1000"
    schedule = DiscreteSchedule(cosine_betas(1000))
    first = int((schedule.snr < 1).nonzero()[0])
    if t == first:
        return None
    if t == first - 1:
        return "at this t there is still a little more signal; or did you count without t = 0?"
    if t == int((schedule.alpha_bar.sqrt() < 0.5).nonzero()[0]):
        return "there the signal is below 0.5; compare it with the noise, not with one half"
    if t == int((schedule.snr < 0.5).nonzero()[0]):
        return "there the ratio is below one half; they are even at a ratio of 1"
    if t == 500:
        return "close, but read it in the table: it is not exactly half way"
    return f"at t = {int(t)} the SNR is {float(schedule.snr[int(t)]):.3g}"


FIRST_NOISY = Exercise(
    id="2-2",
    title="the first noise level with more noise than signal",
    setup="from minildm.schedule import DiscreteSchedule, cosine_betas\n"
    "schedule = DiscreteSchedule(cosine_betas(1000))",
    stub="first_noisy = ...  # YOUR CODE HERE: a whole number",
    solution="""
first_noisy = int((schedule.snr < 1).nonzero()[0])
""",
    answer="first_noisy",
    check=_check_first_noisy,
    hint="(schedule.snr < 1) is a tensor of True and False; .nonzero() lists where it is True.",
    wrong=(
        ("first_noisy = int((schedule.snr[1:] < 1).nonzero()[0])", "without t = 0"),
        ("first_noisy = int((schedule.alpha_bar.sqrt() < 0.5).nonzero()[0])", "below 0.5"),
        ("first_noisy = int((schedule.snr < 0.5).nonzero()[0])", "below one half"),
        (500, "not exactly half way"),
        (900, "the SNR is"),
        (5000, "from 0 to 1000"),
    ),
    praise="signal and noise are both 0.7 there: their squares add up to 1.",
)


# --- 2-3 ------------------------------------------------------------------------------------------

_SHARES = ((0.75, 2), (1.0, 3), (1 / 6, 6), (0.5, 6), (0.4, 2))


def _check_seen(function) -> str | None:
    given = [float(function(p, k)) for p, k in _SHARES]

    def near(formula) -> bool:
        return all(abs(a - formula(p, k)) < 1e-6 for a, (p, k) in zip(given, _SHARES, strict=True))

    for formula, words in (
        (beyond_guessing, None),
        (lambda p, k: p - 1 / k, "for p = 1 all is seen, so s should be 1: divide by what is left"),
        (lambda p, k: p + (1 - p) / k, "that is p from s; solve it for s"),
        (
            lambda p, k: (p - 1 / k) * k,
            "the part that is guessed is 1 - s, so s occurs twice: collect it",
        ),
        (lambda p, k: max(0.0, beyond_guessing(p, k)), "no need to cut it at 0: bad luck exists"),
    ):
        if near(formula):
            return words
    return "of the share 1 - s that is not seen, one in k is right by luck: p = s + (1 - s) / k"


SEEN = Exercise(
    id="2-3",
    title="what is left of a share when lucky guesses are taken out",
    stub="""
def seen(p, k):
    return ...  # YOUR CODE HERE: the share s
""",
    solution="""
def seen(p, k):
    return (p - 1 / k) / (1 - 1 / k)
""",
    answer="seen",
    check=_check_seen,
    hint="p has two parts: the share s that is seen, and the lucky ones among the rest, 1 - s.",
    wrong=(
        ("def seen(p, k):\n    return p - 1 / k", "s should be 1"),
        ("def seen(p, k):\n    return p + (1 - p) / k", "solve it for s"),
        ("def seen(p, k):\n    return (p - 1 / k) * k", "collect it"),
        ("def seen(p, k):\n    return max(0, (p - 1 / k) / (1 - 1 / k))", "cut it at 0"),
        ("def seen(p, k):\n    return p", "one in k"),
    ),
    praise="three in four right is little for two values (s = 0.5), and much for six (s = 0.7).",
)


# --- 2-4 ------------------------------------------------------------------------------------------

PARTS = {"encoder", "decoder", "unet", "text encoder", "forward noise", "loss"}


def _check_used(names) -> str | None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return "a set of names, such as {'encoder', 'loss'}"
    names = {name.strip().lower() for name in names}
    if unknown := names - PARTS:
        return f"{', '.join(sorted(unknown))}: not among {', '.join(sorted(PARTS))}"
    if names == {"decoder", "unet", "text encoder"}:
        return None
    if "encoder" in names:
        return "the encoder turns pictures into latents; which picture would go in?"
    if "forward noise" in names:
        return "one starts from noise, but nothing is *added* to a picture: that is training"
    if "loss" in names:
        return "a loss compares with the right answer, and there is none: nothing is trained here"
    missing = {"decoder", "unet", "text encoder"} - names
    return f"{len(missing)} missing: follow row C of the chart from the left, with its caption"


USED = Exercise(
    id="2-4",
    title="the parts that are used when a picture is made from a caption",
    stub='used = ...  # YOUR CODE HERE: a set such as {"encoder", "loss"}',
    solution="""
used = {"text encoder", "unet", "decoder"}
""",
    answer="used",
    check=_check_used,
    hint="Row C of the chart. And what reads the caption?",
    wrong=(
        ({"encoder", "unet", "decoder", "text encoder"}, "which picture would go in"),
        ({"forward noise", "unet", "decoder", "text encoder"}, "that is training"),
        ({"loss", "unet", "decoder", "text encoder"}, "nothing is trained here"),
        ({"unet", "decoder"}, "missing"),
        ({"sampler"}, "not among"),
        ('used = "unet"', "a set of names"),
    ),
    praise="half of the autoencoder stays at home when a picture is made from noise.",
)

EXERCISES = [CHANNELS, FIRST_NOISY, SEEN, USED]
