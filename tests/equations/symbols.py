"""What the letters of most equations stand for, and samples whose moments are exact."""

import ast
import math
import re

import torch
from registry import SOURCES
from torch import Tensor

from minildm.schedule import DiscreteSchedule


def table(schedule: DiscreteSchedule) -> dict:
    """The letters of a schedule, each a function of its subscript: products multiplied out."""
    betas = [float(b) for b in schedule.beta]
    bars = [math.prod(1 - b for b in betas[1 : t + 1]) for t in range(len(betas))]

    def of(values):
        return lambda t: values[round(float(t))]

    return {
        "T": schedule.T,
        r"\beta_": of(betas),
        r"\alpha_": of([1 - b for b in betas]),
        r"\bar\alpha_": of(bars),
        "a_": of([a**0.5 for a in bars]),
        "b_": of([(1 - a) ** 0.5 for a in bars]),
        r"\mathrm{SNR}_": of([float(x) for x in schedule.snr]),
        r"\sigma_": of([float(x) ** 0.5 for x in schedule.posterior_variance]),
        r"\lambda_": of([float(x) for x in schedule.half_log_snr(torch.arange(schedule.T + 1))]),
    }


def exact(n: int, d: int, seed: int = 0) -> Tensor:
    """(n, d): mean exactly 0, covariance exactly I, so that averages of squares are exact."""
    x = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(x - x.mean(0)).Q * n**0.5


def average(x: Tensor) -> Tensor:
    """An expectation: the mean over samples, which are the first dimension."""
    return x.mean(0)


def last_norm(x: Tensor) -> Tensor:
    """The norm of each sample: all dimensions but the first."""
    return x.flatten(1).square().sum(1).sqrt()


def only(argument: Tensor, value):
    """A function that is known at one argument."""

    def of(x):
        if (
            not isinstance(x, Tensor)
            or x.shape != argument.shape
            or not torch.allclose(x, argument)
        ):
            raise ValueError("the function is not known there")
        return value

    return of


def _cells(chapter: str):
    """The statements of a chapter's code cells."""
    text = (SOURCES / f"{chapter}.md").read_text(encoding="utf-8")
    for cell in re.findall(r"```\{code-cell\}[^\n]*\n(.*?)```", text, re.DOTALL):
        try:
            yield from ast.parse(re.sub(r"(?m)^(:|%).*$", "", cell)).body
        except SyntaxError:
            continue


def _run(chapter: str, name: str, matches, given: dict):
    found = [x for x in _cells(chapter) if matches(x)]
    space = {"torch": torch, "math": math, **given}
    exec(compile(ast.Module(found[:1], []), chapter, "exec"), space)
    return space[name]


def cell_function(chapter: str, name: str, **given):
    """A function that a chapter's cell defines; ``given`` is what it uses besides torch."""
    return _run(chapter, name, lambda x: isinstance(x, ast.FunctionDef) and x.name == name, given)


def cell_value(chapter: str, name: str, **given):
    """What a chapter's cell first assigns to a name."""
    return _run(
        chapter,
        name,
        lambda x: isinstance(x, ast.Assign) and ast.unparse(x.targets[0]) == name,
        given,
    )
