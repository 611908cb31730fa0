"""Bad input stops here, with an error that names the argument, the value and the way out.

Nothing in this file computes; the five core files read more easily without it. The rule: a right
type with wrong content is a ValueError; a wrong type is one, too, or Python's own ``TypeError`` or
``AttributeError``. Numbers, times and tables may be NumPy's; data (B, *d) are tensors. A tensor on
the meta device has no values: as data it passes, elsewhere it is refused.
"""

import functools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from minildm.checks import inputs
from minildm.checks.inputs import finite
from minildm.interfaces import Schedule, Step, Time

S = TypeVar("S", bound=Callable)
MOST = 10**7  # steps, points, directions: more is a slip, and fills the memory


def count(name: str, value: int, most: int = MOST) -> int:
    """``value`` as an int; ValueError unless it is a whole number in 1..most."""
    return inputs.whole(name, value, 1, most)


def beta(**values: float) -> list[float]:
    """The values as floats; ValueError unless each is in (0, 1]; 1 is for a last beta only."""
    numbers = {name: inputs.real(name, value) for name, value in values.items()}
    for name, number in numbers.items():
        if not 0 < number <= 1:
            raise ValueError(
                f"{name} must be in (0, 1]: a beta is a share of variance; got {number}"
            )
    return list(numbers.values())


def seed(value: int) -> int:
    """``value`` as an int; ValueError unless it is a whole number that a torch.Generator takes."""
    return inputs.whole("seed", value, -(2**63), 2**64 - 1)


def eta(value: float) -> float:
    """``value`` as a float; ValueError unless it is finite and >= 0 (a million is too much)."""
    return inputs.real("eta", value, 0, 1e6)


def limits(low: float, high: float) -> tuple[float, float]:
    """Both as floats that half precision has, or infinite; ValueError unless low < high."""
    low, high = (
        end if isinstance(end, float) and math.isinf(end) else inputs.real(name, end, -6e4, 6e4)
        for name, end in (("low", low), ("high", high))
    )
    if not low < high:
        raise ValueError(f"low must be below high; got low = {low:g}, high = {high:g}")
    return low, high


def guidance(value: float) -> float:
    """``value`` as a float; ValueError unless it is finite and at most a million in size."""
    return inputs.real("guidance", value, -1e6, 1e6)


def betas(betas: Tensor) -> Tensor:
    """A copy of the betas on the CPU; ValueError unless float64 (T,) in (0, 1), the last <= 1."""
    listed = isinstance(betas, list | tuple)
    betas = inputs.numbers("betas", betas) if listed else inputs.values("betas", betas)
    if betas.dtype != torch.float64:
        raise ValueError(
            f"betas must be float64, like every table; got {betas.dtype}: use .double()"
        )
    if betas.dim() != 1 or len(betas) == 0:
        raise ValueError(f"betas must have shape (T,) with T >= 1; got {tuple(betas.shape)}")
    betas = betas.detach().cpu().clone()
    good = (betas > 0) & (betas < 1)  # NaN is not good
    good[-1] |= betas[-1] == 1
    if not good.all():
        i = int((~good).nonzero()[0])
        raise ValueError(
            f"betas[{i}] (beta_{i + 1}) = {float(betas[i])} is not in (0, 1); only the last beta "
            "may be 1 (zero terminal SNR)"
        )
    return betas


def time(t: Tensor | float, T: float, dtype: torch.dtype, name: str = "t") -> Tensor:
    """t as a CPU tensor; ValueError unless it has ``dtype`` and lies in 0..T."""
    one = t if isinstance(t, Tensor) and t.dim() == 0 and t.dtype == dtype and t.is_cpu else None
    if one is not None and 0 <= one.item() <= T:  # the usual case, and the quickest
        return one
    if isinstance(t, int | float):
        if not 0 <= t <= T:  # written so that NaN is bad; torch has no number such as 10**30
            raise _outside(name, t, T)
        t = torch.tensor(t, dtype=torch.float64 if isinstance(t, float) else None)
    t = inputs.values(name, t)
    if t.dtype != dtype:
        kind = "int64 steps" if dtype == torch.int64 else "float64 times"
        raise ValueError(f"{name} has dtype {t.dtype}; this schedule takes {kind} in 0..{T}")
    t = t.cpu()
    bad = ~((t >= 0) & (t <= T))
    if bad.any():
        raise _outside(name, t[bad][0].item(), T)
    return t


def _outside(name: str, t: float, T: float) -> ValueError:
    return ValueError(f"{name} = {t} is outside 0..{T} (0 is clean data, T noise)")


def pair(t: Time, s: Time, T: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Both times checked as ``time`` does; ValueError unless s < t everywhere."""
    t, s = time(t, T, dtype, "t"), time(s, T, dtype, "s")
    if t.dim() and s.dim() and t.shape != s.shape:
        raise ValueError(
            f"t has shape {tuple(t.shape)} and s {tuple(s.shape)}; give one time each, or as many"
        )
    bad = ~(s < t)
    if bad.any():
        low, high = (x.expand(bad.shape)[bad][0].item() for x in (s, t))
        downwards(high, low)
    return t, s


def downwards(t: Time, s: Time) -> None:
    """Raise ValueError unless the one time s is below the one time t."""
    if not float(s) < float(t):
        raise ValueError(f"s = {s} must be below t = {t}: s is the cleaner of the two times")


def grid(times: Tensor) -> None:
    """Raise ValueError unless ``times`` is (n+1,) with n >= 1 and strictly decreasing."""
    if times.dim() != 1 or len(times) < 2 or not (times[1:] < times[:-1]).all():
        raise ValueError(
            f"times must be strictly decreasing with at least 2 entries; got {times.tolist()}: "
            "use schedule.times(steps)"
        )


def walk(schedule: Schedule, z_T: Tensor, times: Tensor, step: Step) -> Tensor:
    """The grid of a walk as a tensor; ValueError unless z_T is finite and the grid goes down."""
    finite("z_T", z_T)
    if not callable(step):
        raise ValueError(f"step must be a function such as ddim or dpmpp_2m; got {step!r}")
    times = inputs.tensor("times", times)
    schedule(times)  # raises for a wrong dtype or range
    grid(times)
    return times


def per_sample(t: Time, z_t: Tensor) -> Tensor:
    """t as (B,), one for each sample; ValueError unless z_t (B, *d) is finite and t fits."""
    finite("z_t", z_t)
    t = inputs.tensor("t", t)
    _one_or_each(t, z_t)
    return t.expand(len(z_t))


def batch(coefficient: Tensor, like: Tensor) -> None:
    """Raise ValueError unless ``coefficient`` is one number or (B,) for ``like`` (B, *d)."""
    finite("a coefficient", coefficient)
    inputs.values("a coefficient", coefficient)
    inputs.floating("data", like)
    if coefficient.dim():
        _one_or_each(coefficient, like)


def floats(coefficients: Iterable[Tensor]) -> list[float]:
    """One time's coefficients as Python's numbers; ValueError unless each is one, and finite."""
    try:
        numbers = [coefficient.item() for coefficient in coefficients]
    except (AttributeError, RuntimeError) as error:
        raise ValueError(f"a coefficient of one time must be one number: {error}") from error
    if not all(map(math.isfinite, numbers)):
        raise inputs.NotFinite(f"a coefficient is NaN or infinite: {numbers}")
    return numbers


def _one_or_each(t: Tensor, data: Tensor) -> None:
    if data.dim() == 0 or t.shape not in ((), data.shape[:1]):
        raise ValueError(
            f"t has shape {tuple(t.shape)} for data of shape {tuple(data.shape)}; give one time "
            "for all, or (B,): one per sample"
        )


def step(step: S) -> S:
    """A step of samplers.py that raises ValueError for a z that is not finite, or several times."""

    @functools.wraps(step)
    def checked(z: Tensor, t: Time, s: Time, *rest: Any, **options: Any) -> Any:
        finite("z", z)
        if np.ndim(t) or np.ndim(s):
            raise ValueError(f"a step goes from one time t to one time s; got t = {t}, s = {s}")
        try:
            return step(z, t, s, *rest, **options)
        except ArithmeticError as error:
            raise ValueError(f"no step leads from t = {t} to s = {s}: {error}") from error

    return cast(S, checked)


def landed(z: Tensor, s: Tensor) -> None:
    """Raise ``NotFinite`` if the step to s has made NaN or infinity of z."""
    if not (z.is_floating_point() and inputs.quickly_finite(z)):  # else no message is written
        finite(f"z after the step to t = {s}", z)


def noise_left(eta: float, rest: float) -> None:
    """Raise ValueError where ``eta`` adds more noise than there is: rest = 1 - (std/noise_s)^2."""
    if not rest >= 0:
        raise ValueError(f"eta must be >= 0, and std <= noise_s here; got {eta}: use 0 to 1")


def alike(**tensors: Tensor) -> None:
    """Raise ValueError unless all tensors are finite and agree in shape, dtype and device."""
    _one_shape(tensors)
    kinds = {name: f"{tensor.dtype} on {tensor.device}" for name, tensor in tensors.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"cast the tensors to one dtype, on one device; they are {kinds}")


def samples(**tensors: Tensor) -> None:
    """Raise ValueError unless these are finite, (B, *d) with something in them, of one shape.

    Their dtypes may differ: a network's output in half precision.
    """
    _one_shape(tensors)
    _together(**tensors)
    name, first = next(iter(tensors.items()))
    if first.dim() == 0 or first.numel() == 0:
        raise ValueError(f"{name} must be (B, *d) with B >= 1; got {tuple(first.shape)}")


def _one_shape(tensors: dict[str, Tensor]) -> None:
    (first_name, first), *_ = tensors.items()
    for name, tensor in tensors.items():
        finite(name, tensor)
        if tensor.shape != first.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} but {first_name} has "
                f"{tuple(first.shape)}; they must be equal"
            )


def _together(**tensors: Tensor) -> None:
    """Raise ValueError unless all tensors are on one device."""
    devices = {name: tensor.device for name, tensor in tensors.items()}
    if len(set(devices.values())) > 1:
        raise ValueError(f"move the tensors to one device; they are on {devices}")


def fits(name: str, small: Tensor, large: Tensor) -> None:
    """Raise ValueError unless ``small`` can be broadcast to the shape of ``large``."""
    pairs = zip(small.shape[::-1], large.shape[::-1], strict=False)
    if small.dim() > large.dim() or not all(n in (1, m) for n, m in pairs):
        raise ValueError(f"{name} {tuple(small.shape)} does not fit to {tuple(large.shape)}")


def gaussian(mean: Tensor, var: Tensor, eps: Tensor | None = None) -> None:
    """Raise ValueError unless var >= 0 fits the mean (B, *d), and ``eps`` is shaped like it."""
    finite("var", var)
    alike(mean=mean, eps=mean if eps is None else eps)
    _together(mean=mean, var=var)
    fits("var", var, mean)
    if not var.is_meta and (var < 0).any():
        raise ValueError(f"var must not be negative; its smallest entry is {float(var.min()):.3g}")


def uniform(name: str, u: Any) -> Tensor:
    """Numbers of any shape as a float tensor; ValueError unless all are in [0, 1)."""
    u = inputs.values(name, u)
    finite(name, u)
    if not ((u >= 0) & (u < 1)).all():
        low, high = float(u.min()), float(u.max())
        raise ValueError(f"{name} must be in [0, 1); got {low:.3g}..{high:.3g}")
    return u


def output(output: Tensor, z_t: Tensor) -> None:
    """Raise ValueError unless a network's output has the shape of its input."""
    if output.shape != z_t.shape:
        raise ValueError(
            f"the network's output has shape {tuple(output.shape)}, z_t {tuple(z_t.shape)}; a "
            "denoising network keeps the shape of its input"
        )


def equations(answer: Tensor, z_t: Tensor, signal: Tensor, noise: Tensor) -> None:
    """Raise ValueError unless these make two equations for (z0, eps): finite, shapes that fit."""
    finite("z_t", z_t)
    finite("the network's output", answer)
    output(answer, z_t)
    _together(output=answer, z_t=z_t)
    coefficients(signal, noise)


def coefficients(signal: Tensor, noise: Tensor) -> None:
    """Raise ValueError unless these are finite, with values, and of one shape: schedule(t)'s."""
    _one_shape({"signal": signal, "noise": noise})
    inputs.values("signal", signal)
    inputs.values("noise", noise)


def solvable(name: str, det: Tensor, signal: Tensor, noise: Tensor, z_t: Tensor) -> None:
    """Raise ValueError where a parameterisation's determinant is 0 in the precision of z_t."""
    if not det.to(z_t.dtype).all():
        raise ValueError(
            f"{name}-prediction cannot be solved at signal = {signal.min():.3g}, noise = "
            f"{noise.min():.3g}: the output leaves the other unknown open. Use V, or a time grid "
            "without this noise level"
        )


def warn_of_signal_left(left: float, T: int) -> None:
    """Warn where more than 10 % of the signal amplitude is left at T."""
    if left > 0.1:
        warnings.warn(
            f"sqrt(alpha_bar_T) = {left:.3g}: so much of the signal is left at T = {T}, but "
            "sampling starts from pure noise. Use more steps, larger betas or "
            "zero_terminal_snr(betas).",
            stacklevel=3,
        )


def warn_of_signal_lost(parameterization: Any, schedule: Schedule) -> None:
    """Warn where eps-prediction would multiply a network's errors: nearly no signal left at T.

    z0 = (z_t - noise eps) / signal, and a step to s multiplies by signal_s again. Measured with an
    exact eps plus an error of 0.1, 20 steps: samples of standard deviation 1.1 instead of 1 where
    the first step's factor is 1.6 (linear betas), 3.2 where it is 32, 150 where it is 1,300.
    ``parameterization``: of predict.py, or its name. Only EPS divides by the signal.
    """
    if getattr(parameterization, "name", parameterization) != "EPS":
        return
    steps = 25 if isinstance(schedule.T, float) else min(25, schedule.T)
    T, first = schedule.times(steps)[:2]
    left, later = float(schedule(T)[0]), float(schedule(first)[0])
    if later > 10 * left:
        factor = f"{later / left:,.0f}" if left > 0 else "infinity"
        warnings.warn(
            f"signal = {left:.3g} at T = {schedule.T}: eps-prediction divides by it, and the first "
            f"of {steps} steps multiplies the network's error by {factor}. Predict V, or keep more "
            "signal at T: scaled_linear_betas()",
            stacklevel=3,
        )
