"""Bad values for one argument at a time, and what a call may do with them: see test_fuzz.py."""

import linecache
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import minildm

HOUSE = Path(minildm.__file__).parents[1]
PACKAGES = str(HOUSE / "minildm"), str(HOUSE / "chapters" / "book")
# A wrong Python type may also meet Python's own words; a right type with wrong content may not.
WRONG_TYPES = {"None", "text", "dict", "number", "object", "complex"}
NEVER = {"None", "text", "dict", "object", "complex", "None inside"}
SAME = {"NumPy", "list", "NumPy scalar", "tensor of one", "asks for gradients"}  # the same content
OUTCOMES = ("refused", "wrong type", "accepted", "raw error", "assert", "silent nonsense")


@dataclass(frozen=True)
class Call:
    """A valid call: ``run(**arguments)``, and the kinds of bad values that an argument may take."""

    name: str
    run: Callable
    arguments: dict
    may: dict[str, set[str]] = field(default_factory=dict)
    loud: bool = False  # a network alone: NaN in is NaN out, which its callers look at


def call(function, /, may=None, name=None, **arguments) -> Call:
    return Call(name or function.__name__, function, arguments, may or {})


def bad_values(valid) -> Iterator[tuple[str, object]]:
    """(kind, value): what could be handed over in place of the valid value."""
    yield from (("None", None), ("text", "abc"), ("dict", {}), ("object", object()))
    if isinstance(valid, Tensor):
        yield from _tensors(valid)
    elif isinstance(valid, bool):
        yield from (("number", 2.5), ("NaN", math.nan))
    elif isinstance(valid, int | float):
        yield from _numbers(valid)
    elif isinstance(valid, str):
        yield from (("other text", "no such thing"), ("empty", ""), ("number", 3))
        yield "NumPy scalar", np.str_(valid)
    else:
        yield from (("number", 3), ("number", math.nan))
        if isinstance(valid, list | tuple):
            yield from (("empty", []), ("list", list(valid)), ("None inside", [None, *valid[1:]]))
            yield from (("NaN", [math.nan, *valid[1:]]), ("short", list(valid[:-1])))


def _tensors(x: Tensor) -> Iterator[tuple[str, object]]:
    yield from (("meta", x.to("meta")), ("NumPy", x.numpy()), ("list", x.tolist()))
    yield from (("number", 2.5), ("NaN number", math.nan))
    yield "complex tensor", x.to(torch.complex64)
    yield from (("one more dimension", x[None]), ("scalar", x.flatten()[0]))
    if x.dim():
        yield from (("empty", x[:0]), ("one less dimension", x[0]))
        yield "wide", torch.cat([x, x], dim=-1)
        if len(x) > 1:
            yield from (("short", x[:1]), ("long", torch.cat([x, x[:1]])))
    if x.is_floating_point():
        yield "asks for gradients", x.clone().requires_grad_()
        for kind, value in (("NaN", math.nan), ("infinite", math.inf), ("-infinite", -math.inf)):
            some = x.clone()
            some.view(-1)[-1] = value
            yield kind, some
        yield from (("huge", torch.full_like(x, 1e300 if x.dtype == torch.float64 else 3e38)),)
        yield from (("negative", -x.abs() - 1), ("zero", 0 * x), ("other precision", _other(x)))
        yield from (("half", x.half()), ("whole", x.long()), ("bool", x.bool()))
    else:
        yield from (("fraction", x.double() + 0.5), ("NaN", x.double() * math.nan))
        yield from (("int32", x.int()), ("bool" if x.dtype != torch.bool else "whole", ~x.bool()))
        if x.dtype != torch.bool:
            yield from (("negative", -1 - x), ("huge", x + 10**12))


def _other(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.float64 else x.double()


def _numbers(x: float) -> Iterator[tuple[str, object]]:
    yield from (("NaN", math.nan), ("infinite", math.inf), ("-infinite", -math.inf))
    yield from (("huge", 1e300), ("huge whole", 10**30), ("large whole", 10**12), ("zero", 0))
    yield from (("negative", -x - 1), ("complex", 1j), ("bool", True), ("list inside", [x, x]))
    yield from (("array", np.array([x, x])), ("tensor", torch.tensor([x, x])))
    yield from (("meta", torch.tensor(x, device="meta")), ("NumPy NaN", np.float32("nan")))
    if isinstance(x, int):
        yield from (("fraction", x + 0.5), ("NumPy scalar", np.int64(x)))
        yield "tensor of one", torch.tensor(x)
    else:
        yield from (("NumPy scalar", np.float64(x)), ("NumPy float32", np.float32(x)))
        yield "tensor of one", torch.tensor(x, dtype=torch.float64)


def tried(calls: list[Call]) -> list[tuple[str, str]]:
    """(outcome, which call) of every bad value of every argument."""
    found = []
    for one in calls:
        right = run(one, one.arguments)
        for argument, valid in one.arguments.items():
            for kind, value in bad_values(valid):
                said = outcome(one, argument, kind, value, right)
                found.append((said, f"{one.name}({argument} = {kind})"))
    return found


def report(modules: dict[str, list[Call]]) -> None:
    """Print how often each outcome happened, and every call that is not as it should be."""
    total = Counter()
    print(f"{'module':46s}", *(f"{name:>16s}" for name in ("tried", *OUTCOMES)))
    for module, calls in modules.items():
        if len(sys.argv) > 1 and module not in sys.argv[1:]:
            continue
        found = tried(calls)
        counts = Counter(said for said, _ in found)
        total += counts
        print(f"{module:46s}", *(f"{n:16,d}" for n in (len(found), *(counts[o] for o in OUTCOMES))))
        for said, which in found:
            if said in OUTCOMES[3:]:
                print("   ", said, which)
    print(f"{'all':46s}", *(f"{n:16,d}" for n in (total.total(), *(total[o] for o in OUTCOMES))))


def outcome(call: Call, argument: str, kind: str, value, right) -> str:
    """One of OUTCOMES for the call with ``value`` in place of its valid ``argument``."""
    try:
        result = run(call, {**call.arguments, argument: value})
    except Exception as error:  # whatever it is: that is the question
        return _of_error(error, kind)
    return "accepted" if _makes_sense(call, argument, kind, result, right) else "silent nonsense"


def run(call: Call, arguments: dict):
    """The parts of a call's result; the random numbers are the same each time."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(leaves(call.run(**arguments)))


def leaves(result) -> Iterator:
    """All numbers, tensors and texts in a result."""
    if isinstance(result, tuple | list):
        for part in result:
            yield from leaves(part)
    elif isinstance(result, dict):
        yield from leaves(list(result.values()))
    else:
        yield result.detach() if isinstance(result, Tensor) else result


def _of_error(error: Exception, kind: str) -> str:
    """Is it our sentence (a ``raise`` of the package), Python's for a wrong type, or a raw one?"""
    if isinstance(error, AssertionError):
        return "assert"
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    file, line = last.tb_frame.f_code.co_filename, last.tb_lineno
    ours = file.startswith(PACKAGES) and "raise" in linecache.getline(file, line)
    if ours and isinstance(error, ValueError | FileNotFoundError):
        return "refused"
    plain = isinstance(error, TypeError | AttributeError | ValueError)
    return "wrong type" if plain and kind in WRONG_TYPES else "raw error"


def _makes_sense(call: Call, argument: str, kind: str, result: list, right: list) -> bool:
    """Was it right to accept this? Then the result is finite, and that of the same content."""
    if kind in call.may.get(argument, ()):
        return True
    if call.loud and ("NaN" in kind or "infinite" in kind):
        return not all(map(_finite, result))
    if call.loud and kind == "huge":
        return True
    if isinstance(call.arguments[argument], int | float) and kind in ("fraction", "bool"):
        return isinstance(call.arguments[argument], bool)
    if kind in NEVER or "NaN" in kind or "infinite" in kind:
        return False  # whatever came out: such an argument cannot have been used
    if kind == "meta":
        return all(isinstance(x, Tensor) and x.is_meta for x in result)
    if kind in ("short", "long") and _has_partner(call, argument):
        return False  # one of them has been stretched
    if kind in SAME:
        return len(result) == len(right) and all(map(_same, result, right))
    if kind == "huge":  # what is too large for the precision is infinite, and says so
        return not any(isinstance(x, float | Tensor) and _is_nan(x) for x in result)
    return all(map(_finite, result))


def _is_nan(x) -> bool:
    return bool(torch.isnan(torch.as_tensor(x)).any())


def _has_partner(call: Call, argument: str) -> bool:
    n = len(call.arguments[argument])
    others = [x for name, x in call.arguments.items() if name != argument]
    return any(isinstance(x, Tensor) and x.dim() and len(x) == n for x in others)


def _same(a, b) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.allclose(a.double(), b.double(), equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-5)
    return a == b or not isinstance(a, int | str)


def _finite(x) -> bool:
    if isinstance(x, Tensor):
        return not x.is_floating_point() or x.is_meta or bool(torch.isfinite(x).all())
    return not isinstance(x, float) or math.isfinite(x)
