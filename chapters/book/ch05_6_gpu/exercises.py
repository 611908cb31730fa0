"""Exercises of chapter 5.6, the same training on a GPU."""

import contextlib
import io
import math
import shlex

from book.exercises import Exercise

# --- 5.6-1 ----------------------------------------------------------------------------------------

_MAY = {"input of a convolution", "output of a linear layer"}
_REASONS = {
    "t": "times: bfloat16 cannot tell 999 from 1000, and the network is told another time",
    "alpha_bar": "alpha_bar: close to 1 it is rounded to 1, and the first noise levels vanish",
    "EMA weights": (
        "EMA weights: a step moves the average by a thousandth of a difference, which is less than "
        "half of the gap between neighbours in bfloat16: the average would stand still"
    ),
    "sum of the losses": (
        "the sum of the losses: with 8 significant bits, adding 1 to 256 gives 256 again"
    ),
}


def _check_rounded(names) -> str | None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return 'the answer is a set of names, such as {"t", "alpha_bar"}'
    names = set(names)
    unknown = names - _MAY - set(_REASONS)
    if unknown:
        return f"{sorted(unknown)[0]!r} is not one of the six names"
    for name, reason in _REASONS.items():
        if name in names:
            return f"not {reason}"
    if names != _MAY:
        return "there are more: what do the operations that autocast casts take and return?"
    return None


ROUNDED = Exercise(
    id="5.6-1",
    title="what may be rounded to bfloat16",
    stub="may_be_rounded = ...  # YOUR CODE HERE: a set of names",
    solution='may_be_rounded = {"input of a convolution", "output of a linear layer"}',
    answer="may_be_rounded",
    check=_check_rounded,
    hint="Two of the six. What is added up over many steps or samples, and what is looked up?",
    wrong=(
        ("may_be_rounded = 't'", "a set of names"),
        ({"input of a convolution", "output of a linear layer", "t"}, "another time"),
        ({"alpha_bar", "input of a convolution"}, "noise levels vanish"),
        (
            {"input of a convolution", "output of a linear layer", "EMA weights"},
            "would stand still",
        ),
        ({"output of a linear layer", "sum of the losses"}, "gives 256 again"),
        ({"input of a convolution"}, "there are more"),
        ({"weights"}, "not one of the six"),
    ),
    praise="what one layer hands to the next may be rough; what is summed or looked up may not.",
)


# --- 5.6-2 ----------------------------------------------------------------------------------------


def _check_scale(scale) -> str | None:
    scale = float(scale)
    if not math.isfinite(scale) or scale <= 0:
        return "the scale is a positive number"
    if math.frexp(scale)[0] != 0.5:
        return "a power of two: then multiplying and dividing round nothing"
    if scale * 1e-9 < 2.0**-25:
        return "with this scale 1e-9 still becomes 0 in float16"
    if scale * 1e-9 < 2.0**-14:
        return (
            "with this scale 1e-9 is no longer 0, but below the normal range, where digits are "
            "missing; it must reach 2**-14"
        )
    if scale * 1e-2 > 65504:
        return "with this scale the largest gradient, 1e-2, becomes infinite"
    return None


SCALE = Exercise(
    id="5.6-2",
    title="a loss scale for gradients from 1e-9 to 1e-2",
    stub="loss_scale = ...  # YOUR CODE HERE: one number",
    solution="loss_scale = 2**16  # 65,536: the smallest that will do; 2**22 is the largest",
    answer="loss_scale",
    check=_check_scale,
    hint="Both ends: scale * 1e-9 >= 2**-14 and scale * 1e-2 <= 65504.",
    wrong=(
        (1.0, "becomes 0"),
        (2.0**10, "digits are missing"),
        (2.0**24, "infinite"),
        (100_000.0, "power of two"),
        (-4.0, "positive"),
    ),
    praise="2**16 is also where GradScaler begins; 2**22 would be the last that works.",
)


# --- 5.6-3 ----------------------------------------------------------------------------------------


def _check_parts(answer) -> str | None:
    parts, samples = (int(value) for value in answer)
    if (parts, samples) == (4, 32):
        return None
    if parts == 13:
        return "you split the whole batch; each GPU has to take only its share of it"
    if samples == 40 and parts == 4:
        return "4 parts of 40 are 160 samples; each GPU has 128 to take"
    if parts == 3:
        return "3 parts of 128 samples are larger than the 40 that fit: round up"
    if parts * samples != 128:
        return f"each GPU takes 512 / 4 = 128 samples; yours are {parts * samples}"
    if samples > 40:
        return f"a part of {samples} does not fit: 40 samples do"
    return "it fits, but fewer parts are enough: larger parts keep the GPU busier"


PARTS = Exercise(
    id="5.6-3",
    title="parts for a batch of 512 on 4 GPUs that hold 40 samples each",
    stub="parts_and_samples = (..., ...)  # YOUR CODE HERE: (parts, samples in each part)",
    solution="parts_and_samples = (4, 32)  # 512 / 4 = 128 for each GPU; 128 / 40, rounded up",
    answer="parts_and_samples",
    check=_check_parts,
    hint="First the share of one GPU, then how often 40 samples go through until it is done.",
    wrong=(
        ((13, 40), "only its share"),
        ((4, 40), "160"),
        ((3, 43), "round up"),
        ((2, 64), "does not fit"),
        ((8, 16), "fewer parts"),
        ((5, 5), "128 samples; yours are 25"),
    ),
    praise="512 = 4 GPUs x 4 parts x 32 samples.",
)


# --- 5.6-4 ----------------------------------------------------------------------------------------


def _check_gigabytes(value) -> str | None:
    value, million = float(value), 860e6 / 1e9
    known = {
        16: "the EMA copy is missing: 4 more bytes for each weight",
        12: "AdamW keeps two moments, 8 bytes for each weight; and there is the EMA copy",
        4: "that is what the weights alone take",
        10: "float32 has 4 bytes, so each part is twice as large",
        40: "float32 has 4 bytes; you counted with 8",
    }
    if abs(value - 20 * million) < 0.15:
        return None
    for factor, message in known.items():
        if abs(value - factor * million) < 0.15:
            return message
    if abs(value / 1e9 - 20 * million) < 0.15:
        return "those are bytes; the question is for gigabytes, 1e9 bytes"
    return "count the parts of (5.6.4) one by one, each 860e6 times its bytes per weight"


GIGABYTES = Exercise(
    id="5.6-4",
    title="memory of 860 million weights with AdamW and EMA",
    stub="gigabytes = ...  # YOUR CODE HERE: one number",
    solution="gigabytes = 20 * 860e6 / 1e9  # 17.2",
    answer="gigabytes",
    check=_check_gigabytes,
    hint="Equation (5.6.4) without activations.",
    wrong=(
        (3.44, "the weights alone"),
        (13.76, "EMA copy is missing"),
        (10.32, "two moments"),
        (8.6, "twice as large"),
        (1.72e10, "those are bytes"),
        (5.0, "one by one"),
    ),
    praise="17.2 GB before the first picture: that is why such models are trained on large GPUs.",
)


# --- 5.6-5 ----------------------------------------------------------------------------------------

_WANTED = {"batch": 256, "accumulate": 2, "precision": "bf16"}


def _check_command(text) -> str | None:
    if not isinstance(text, str):
        return "the answer is text, as you would type it in a terminal"
    words = shlex.split(text.replace("\\\n", " "))  # a line may go on after a backslash
    if not words or words[0] != "torchrun":
        return "begin with torchrun: it starts the processes"
    if "-m" not in words or words[words.index("-m") + 1 :][:1] != ["minildm"]:
        return "torchrun starts a module as python does: -m minildm train ..."
    place = words.index("-m")
    return _check_launch(words[1:place]) or _check_settings(words[place + 2 :])


def _check_launch(words: list[str]) -> str | None:
    """The options of torchrun, which takes - for _ and = for a space."""
    given: dict[str, str] = {}
    rest = [word for word in words if word != "--standalone"]
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not equals and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        given[name.replace("_", "-")] = value
    if given.pop("--nnodes", "1") not in ("1", "1:1"):
        return "there is one machine: --nnodes 1, or leave it out"
    processes = given.pop("--nproc-per-node", "")
    if not processes:
        return "tell torchrun the number of processes, before -m: --nproc_per_node 4"
    if processes in ("gpu", "auto"):
        return f"{processes!r} works too on such a machine; here write the number, 4"
    if processes != "4":
        return f"one process for each GPU, so 4; yours are {processes}"
    if given:
        return f"leave out {next(iter(given))}: one machine needs no more than --nproc_per_node"
    return None


def _check_settings(words: list[str]) -> str | None:
    from minildm.__main__ import parser  # here: it imports the whole package
    from minildm.engine.settings import override
    from minildm.recipes import RECIPES

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            given = parser().parse_args(words)
    except SystemExit:
        return f"the book's command line says: {said.getvalue().strip().splitlines()[-1]}"
    if given.verb != "train" or given.name != "shapes":
        return "the training is called shapes: train shapes"
    default = RECIPES["shapes"].config
    try:
        config = override(default, given.set)
    except ValueError as error:
        return f"the settings are refused: {str(error)[:120]}"
    if config.autoencoder != default.autoencoder:
        return "set the denoiser's settings only: their names begin with denoiser.fit"
    if config.denoiser.fit.batch in (32, 64, 128, 512, 1024):
        return "batch counts the samples of all processes and parts together: 256"
    for name, value in _WANTED.items():
        if getattr(config.denoiser.fit, name) != value:
            return (
                f"denoiser.fit.{name} is {getattr(config.denoiser.fit, name)} and should be {value}"
            )
    return None


COMMAND = Exercise(
    id="5.6-5",
    title="the command for 4 GPUs in bfloat16",
    stub="my_command = ...  # YOUR CODE HERE: text, as you would type it",
    solution="""
my_command = (
    "torchrun --nproc_per_node 4 -m minildm train shapes --set denoiser.fit.precision=bf16 "
    "denoiser.fit.batch=256 denoiser.fit.accumulate=2"
)
""",
    answer="my_command",
    check=_check_command,
    hint=(
        "torchrun --nproc_per_node N -m minildm train NAME --set KEY=VALUE KEY=VALUE ..., with "
        "keys like denoiser.fit.batch."
    ),
    wrong=(
        (4, "text"),
        ("my_command = my_command.replace('torchrun', 'python')", "begin with torchrun"),
        ("my_command = my_command.replace('-m minildm', 'minildm')", "-m minildm"),
        ("my_command = my_command.replace('--nproc_per_node 4 ', '')", "number of processes"),
        ("my_command = my_command.replace('node 4', 'node 2')", "so 4; yours are 2"),
        ("my_command = my_command.replace('node 4', 'node gpu')", "write the number, 4"),
        ("my_command = my_command.replace('node 4', 'node 4 --nnodes 4')", "one machine"),
        ("my_command = my_command.replace('shapes', 'shape')", "invalid choice"),
        ("my_command = my_command.replace('shapes', 'digits')", "called shapes"),
        ("my_command = my_command.replace('batch', 'batchsize')", "no setting"),
        ("my_command = my_command.replace('256', '64')", "all processes"),
        ("my_command = my_command.replace('denoiser.fit.precision=bf16 ', '')", "precision is no"),
        ("my_command = my_command.replace('accumulate=2', 'accumulate=8')", "should be 2"),
        ("my_command = my_command + ' autoencoder.fit.precision=bf16'", "only"),
    ),
    praise="and the checkpoint will say that there were 4 processes. Look.",
)

EXERCISES = [ROUNDED, SCALE, PARTS, GIGABYTES, COMMAND]
