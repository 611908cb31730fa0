"""Exercise 5.6-3: the command that trains on several GPUs, read as torchrun and minildm would."""

import contextlib
import io
import shlex

from book.exercises import Exercise

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
    id="5.6-3",
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
