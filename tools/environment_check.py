"""Can this machine carry the book? What is there, and what to do about what is not.

    judge_all   facts (situation.py) -> findings: ok, advice or problem, with a sentence; pure
    self_test   the sampler against a known answer; one picture, drawn and read
    report      everything, in words
    main        print it; 1 where there is a problem

    python tools/check_machine.py                  as part of the command line
    python -m environment_check      the same, where packages are missing

At the top only the standard library is imported, and nothing is newer than Python 3.8: this file
must start where nothing else does.
"""

from __future__ import annotations

import sys
import textwrap
import time
from typing import NamedTuple

from situation import CHECKPOINTS, OTHER, Situation, look, release

OK, ADVICE, PROBLEM = "ok", "advice", "problem"
PYTHON = (3, 11)
MEMORY, TIGHT = 2.0, 1.0  # GB that are free: enough for every chapter; for the smaller ones
DISK = 0.5  # GB: for the models that you train
INSTALL = "python -m pip install -c constraints.txt -e ."
HERE = "In the folder of the book, with the Python that runs this check"
ALONE = (
    "the package is here without the rest of the book, its models and figures among it: get the "
    f"whole repository, and in its folder {INSTALL}; or set MINILDM_DATA to its data/checkpoints"
)


class Finding(NamedTuple):
    """One thing that was looked at: ``state`` is ok, advice or problem; ``says``: a sentence."""

    name: str
    state: str
    says: str


def judge_all(seen: Situation) -> list[Finding]:
    """What to say of a situation, in the order in which a reader should mend it."""
    judges = (
        _python, _packages, _device, _threads, _memory, _disk, _models, _figures, _compare, _widgets
    )  # fmt: skip
    return [Finding(*found) for found in (judge(seen) for judge in judges) if found]


def _python(seen: Situation) -> tuple:
    version = ".".join(map(str, seen.python))
    if seen.python[:2] < PYTHON:
        needed = ".".join(map(str, PYTHON))
        return "Python", PROBLEM, f"{version} is too old: install {needed} or newer, see README.md"
    return "Python", OK, version


def _packages(seen: Situation) -> tuple:
    mend = f"{HERE}: {INSTALL}"
    if seen.venv:
        mend = (
            f"The book has a Python of its own: use {seen.venv} in the place of python, or first "
            f"{activate(seen.venv)}"
        )
    if not seen.needed:  # nobody says what is needed
        return "packages", PROBLEM, f"the book is not installed in this Python. {mend}"
    missing = [name for name in seen.needed if seen.installed.get(name) is None]
    here = {name: v for name, v in seen.installed.items() if v is not None}
    old = [
        f"{name} {here[name]} (needs {least})"
        for name, least in seen.needed.items()
        if name in here and release(here[name]) < release(least)
    ]
    if missing or old:
        what = "; ".join([f"missing: {', '.join(missing)}"] * bool(missing) + old)
        return "packages", PROBLEM, f"{what}. {mend}"
    if seen.broken:
        return "packages", PROBLEM, (
            f"PyTorch is there, but it does not start: {seen.broken}. On Windows it needs the "
            "Microsoft Visual C++ Redistributable"
        )  # fmt: skip
    other = [
        f"{name} {here[name]} (tested: {seen.tested[name]})"
        for name in seen.needed
        if name in seen.tested and release(here[name]) != release(seen.tested[name])
    ]
    if other:
        return "packages", ADVICE, (
            f"other versions than the tested ones: {', '.join(other)}. That usually works; if a "
            f"cell fails, get the tested ones: {INSTALL}"
        )  # fmt: skip
    return "packages", OK, f"all {len(seen.needed)} are there, in the tested versions"


def activate(python: str) -> str:
    """The line that makes the Python of a virtual environment the shell's own."""
    folder = python.replace("\\", "/").rsplit("/", 1)[0]
    return f"source {folder}/activate" if folder.endswith("bin") else f"{folder}/activate"


def _device(seen: Situation) -> tuple:
    if seen.cuda:
        return "device", OK, (
            f"CUDA: {seen.cuda}. Trainings take it by themselves; to draw on it, "
            "model.to('cuda'). How much faster the chapters get is not measured; by the "
            "estimate of chapter 5.6 small networks gain little"
        )  # fmt: skip
    if seen.mps:
        return "device", ADVICE, (
            "MPS, an Apple GPU: trainings take it by themselves. Nobody has measured the book "
            "there, neither results nor speed; if a training fails or gives NaN, use the CPU: "
            "device='cpu' in a FitConfig, or in a terminal "
            "--set autoencoder.fit.device=cpu denoiser.fit.device=cpu"
        )  # fmt: skip
    if seen.driver:
        return "device", ADVICE, (
            "CPU, which is enough. There is an NVIDIA driver, but this PyTorch cannot use it: "
            "for a GPU, install the CUDA build of PyTorch (pytorch.org, Get started)"
        )  # fmt: skip
    if seen.threads is None:
        return "device", ADVICE, "unknown, because PyTorch does not start"
    return "device", OK, "CPU: the book is made for it, and nothing in it needs a GPU"


def _threads(seen: Situation) -> tuple:
    told = f"cores: {seen.cores}, threads of PyTorch: {seen.threads or 'unknown'}"
    if seen.cores < 2:
        return "processor", ADVICE, f"{told}: times in the book are for 2 threads; expect double"
    if seen.threads and seen.threads > seen.cores:
        return "processor", ADVICE, (
            f"{told}: more threads than cores slow one another down; start again with the "
            f"environment variable OMP_NUM_THREADS={seen.cores}"
        )  # fmt: skip
    if (seen.threads or 0) > 1 and (seen.load or 0) > 0.9 * (seen.cores - 1):
        return "processor", ADVICE, (
            f"{told}, and something else was busy in the last minute (load {seen.load:.1f}): two "
            "threads beside another busy program wait for one another, and a cell of seconds can "
            "take minutes; end the other program, or start again with OMP_NUM_THREADS=1"
        )  # fmt: skip
    return "processor", OK, f"{told}; times in the book are for 2 threads"


def _memory(seen: Situation) -> tuple:
    if seen.memory is None:
        return "memory", ADVICE, f"unknown; chapters need up to {TIGHT:.0f} GB"
    told = f"{seen.memory:.1f} GB free"
    if seen.memory < TIGHT:
        return "memory", PROBLEM, (
            f"{told}: too little for most chapters; close other programs and notebooks "
            "(Kernel, Shut Down All Kernels)"
        )  # fmt: skip
    if seen.memory < MEMORY:
        return "memory", ADVICE, f"{told}: enough for one chapter at a time; shut down old kernels"
    return "memory", OK, told


def _disk(seen: Situation) -> tuple:
    if seen.disk is None:
        return "disk", ADVICE, "unknown; models that you train take some megabytes each"
    if seen.disk < DISK:
        return "disk", ADVICE, f"{seen.disk:.1f} GB free: make room before you train models"
    return "disk", OK, f"{seen.disk:.0f} GB free"


def _models(seen: Situation) -> tuple:
    if seen.alone:
        return "models", PROBLEM, ALONE
    wrong = {name: seen.checkpoints.get(name, "missing") for name in CHECKPOINTS}
    wrong = {name: what for name, what in wrong.items() if what}
    what = ", ".join(f"{name} is {what}" for name, what in wrong.items())
    if set(wrong.values()) - {OTHER}:
        name = next(name for name, what in wrong.items() if what != OTHER)
        return "models", PROBLEM, (
            f"{what}: fetch data/checkpoints again (git restore data/checkpoints), or train it: "
            f"python -m minildm train {name.replace('_', '-')} --out data/checkpoints/{name} "
            "--overwrite"
        )  # fmt: skip
    if wrong:
        return "models", ADVICE, (
            f"{what}: what chapters say of their pictures need not hold. git restore "
            "data/checkpoints brings back those that came with the book"
        )  # fmt: skip
    return "models", OK, f"all {len(CHECKPOINTS)} trained models are there, and the book's own"


def _figures(seen: Situation) -> tuple:
    if seen.alone:
        return ()  # said of the models already
    if seen.results:
        return "figures", PROBLEM, (
            f"data/results.json is {seen.results}: git restore data/results.json"
        )  # fmt: skip
    return "figures", OK, "data/results.json can be read"


def _compare(seen: Situation) -> tuple:
    missing = [name for name in seen.exact if seen.installed.get(name) is None]
    if missing or not seen.exact:
        return "diffusers", ADVICE, (
            f"{', '.join(missing) or 'diffusers'} not installed: only chapter 7 compares with it, "
            "and skips those cells. To run them: python -m pip install -c constraints.txt -e "
            '".[compare]"'
        )  # fmt: skip
    other = [f"{n} {seen.installed[n]} (tested: {v})" for n, v in seen.exact.items()
             if release(seen.installed[n]) != release(v)]  # fmt: skip
    if other:
        return "diffusers", ADVICE, (
            f"{', '.join(other)}: its behaviour changes between releases, so chapter 7 may differ"
        )  # fmt: skip
    return "diffusers", OK, "there, in the version that chapter 7 was tested with"


def _widgets(seen: Situation) -> tuple:
    sides = {name: seen.installed.get(name) for name in ("ipywidgets", "jupyterlab_widgets")}
    major = [release(version)[:1] for version in sides.values() if version]
    if None in sides.values() or major != [(8,), (3,)]:
        told = ", ".join(f"{name} {version or 'missing'}" for name, version in sides.items())
        return "sliders", ADVICE, (
            f"{told}: they need versions 8 and 3 to work together (python -m pip install -U "
            "ipywidgets, then restart JupyterLab); without, each slider has a picture beside it"
        )  # fmt: skip
    return "sliders", OK, "the widgets are there for JupyterLab; on the web you see pictures"


def self_test() -> list[Finding]:
    """Run the two ends of the book: a Gaussian whose end is known, and a picture from a text."""
    return [_tried("sampler", _walk_a_gaussian), _tried("drawing", _draw_and_read)]


def _tried(name: str, run) -> Finding:
    start = time.perf_counter()
    try:
        state, says = run()
    except Exception as error:  # whatever it is, the reader gets a line and not a traceback
        state, says = PROBLEM, f"{type(error).__name__}: {error}"
    return Finding(name, state, f"{says} ({time.perf_counter() - start:.1f} s)")


def _walk_a_gaussian(tolerance: float = 0.02) -> tuple[str, str]:
    """Data N(m, v) on axes: the exact walk ends at m + sqrt(v / (a^2 v + b^2)) (z_T - a m)."""
    import torch

    from minildm.denoise import gaussian_denoiser
    from minildm.samplers import heun, sample
    from minildm.schedule import DiscreteSchedule, cosine_betas

    schedule = DiscreteSchedule(cosine_betas())
    m, v = torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 2.0]).double()
    z_T = torch.tensor([[-1.5, 1.0], [0.0, 0.0], [2.0, -1.0]]).double()
    a, b = schedule(schedule.T)
    known = m + (v / (a**2 * v + b**2)).sqrt() * (z_T - a * m)
    denoise = gaussian_denoiser(schedule, m, v.diag())
    *_, last = sample(denoise, schedule, z_T, schedule.times(50), heun)
    off = float((last.z - known).abs().max())
    says = f"walks to a 2-D Gaussian end within {off:.4f} of the formula"
    return (OK if off < tolerance else PROBLEM), says


def _draw_and_read() -> tuple[str, str]:
    """One picture of the shipped model, and what the judge reads in it."""
    from minildm.latent import LatentDiffusion
    from minildm.shapes.captions import agree, read, request_rows
    from minildm.shapes.judge import judge

    text = "a large solid red circle above a small striped blue star on white"
    verdict = judge(LatentDiffusion.load("shapes").text_to_image([text], seed=0))
    right = int(agree(verdict.rows, request_rows([read(text)])).sum())
    says = f"a picture from a text; the judge reads {right} of 10 attributes as asked"
    return (OK if right == 10 and bool(verdict.accepted) else PROBLEM), says


def report(findings: list[Finding], width: int = 96) -> str:
    """One line or more per finding, and a sentence on all of them."""
    layout = {"width": width, "subsequent_indent": " " * 19, "break_on_hyphens": False}
    lines = [textwrap.fill(f"{f.state:8s}{f.name:11s}{f.says}", **layout) for f in findings]
    count = {state: sum(f.state == state for f in findings) for state in (PROBLEM, ADVICE)}
    end = "All chapters will run." + " Advice can wait." * bool(count[ADVICE])
    if count[PROBLEM]:
        end = "Mend what is called a problem, then check again."
    return "\n".join([*lines, end])


def main() -> int:
    """Look, judge, try, and tell; 1 if something is a problem, else 0."""
    findings = judge_all(look()) + self_test()
    print(report(findings))
    return int(any(f.state == PROBLEM for f in findings))


if __name__ == "__main__":
    sys.exit(main())
