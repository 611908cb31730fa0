"""What the letters of most equations stand for, and samples whose moments are exact."""

import ast
import math
import operator
import re
from itertools import accumulate

import torch
from registry import SOURCES
from torch import Tensor

from minildm.schedule import DiscreteSchedule


def table(schedule: DiscreteSchedule) -> dict:
    """The letters of a schedule, each a function of its subscript: products multiplied out."""
    betas = [float(b) for b in schedule.beta]
    bars = list(accumulate((1 - b for b in betas), operator.mul))

    def of(values, first=0):
        return lambda t: dict(enumerate(values[first:], first))[round(float(t))]

    return {
        "T": schedule.T,
        r"\beta_": of(betas, 1),
        r"\alpha_": of([1 - b for b in betas], 1),
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


def density(x, mean, variance) -> Tensor:
    """Of N(mean, variance) at each row of x; variance is a diagonal matrix."""
    variance = torch.as_tensor(variance, dtype=torch.float64).diagonal()
    each = (x - mean) ** 2 / variance + torch.log(2 * math.pi * variance)
    return torch.exp(-each.sum(-1) / 2)


def number(value: float, at: float):
    """A function that is known at one number."""

    def of(x):
        if abs(float(x) - at) > 1e-12 * abs(at):
            raise ValueError("the function is not known there")
        return value

    return of


def only(arguments, value):
    """A function that is known at one point: one argument, or a tuple of them."""
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)

    def of(*given):
        for one, known in zip(given, arguments, strict=True):
            one, known = torch.as_tensor(one).double(), torch.as_tensor(known).double()
            if one.shape != known.shape or not torch.allclose(one, known):
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


def cell_value(chapter: str, *names: str, **given):
    """What a chapter's cells first define or assign to names, each from those before it.

    ``given`` is what they use besides torch and math; the value is that of the last name.
    """
    space = {"torch": torch, "math": math, **given}
    for name in names:
        found = next(x for x in _cells(chapter) if _defines(x, name))
        exec(compile(ast.Module([found], []), chapter, "exec"), space)
    return space[names[-1]]


def _defines(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.Assign):
        return ast.unparse(statement.targets[0]) == name
    return isinstance(statement, ast.FunctionDef) and statement.name == name


def golden(of, low: float, high: float) -> float:
    """Where a convex function of a number is least, by golden sections."""
    share = (5**0.5 - 1) / 2
    for _ in range(60):
        a, b = high - share * (high - low), low + share * (high - low)
        low, high = (low, b) if float(of(a)) < float(of(b)) else (a, high)
    return (low + high) / 2
