"""Bad input stops here, with an error that names the argument, the value and the way out.

Nothing in this file computes; the five core files read more easily without it.
"""

import warnings
from numbers import Integral

import torch
from torch import Tensor


def count(name: str, value: int, most: float = float("inf")) -> None:
    """Raise ValueError unless ``value`` is an integer in 1..most."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value <= most:
        limit = f" and <= {most}" if most < float("inf") else ""
        raise ValueError(f"{name} must be an integer >= 1{limit}; got {value!r}")


def share(**values: float) -> None:
    """Raise ValueError unless each value lies in (0, 1]; 1 is for a last beta only."""
    for name, value in values.items():
        if not 0 < value <= 1:
            raise ValueError(
                f"{name} must be in (0, 1]: a beta is a share of variance; got {value}"
            )


def betas(betas: Tensor) -> Tensor:
    """A copy of the betas on the CPU; ValueError unless float64 (T,) in (0, 1), the last <= 1."""
    if not isinstance(betas, Tensor):
        betas = torch.tensor(betas, dtype=torch.float64)
    if betas.dtype != torch.float64:
        raise ValueError(f"betas must be float64, like every table; got {betas.dtype}")
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
    if isinstance(t, float):
        t = torch.tensor(t, dtype=torch.float64)
    t = torch.as_tensor(t).cpu()
    if t.dtype != dtype:
        kind = "int64 steps" if dtype == torch.int64 else "float64 times"
        raise ValueError(f"{name} has dtype {t.dtype}; this schedule takes {kind} in 0..{T}")
    bad = ~((t >= 0) & (t <= T))  # written so that NaN is bad
    if bad.any():
        raise ValueError(
            f"{name} = {t[bad][0].item()} is outside 0..{T} (0 is clean data, T noise)"
        )
    return t


def pair(t, s, T: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Both times checked as ``time`` does; ValueError unless s < t everywhere."""
    t, s = time(t, T, dtype, "t"), time(s, T, dtype, "s")
    bad = ~(s < t)
    if bad.any():
        low, high = (x.expand(bad.shape)[bad][0].item() for x in (s, t))
        raise ValueError(f"s = {low} must be below t = {high}: s is the cleaner of the two times")
    return t, s


def grid(times: Tensor) -> None:
    """Raise ValueError unless ``times`` is (n+1,) with n >= 1 and strictly decreasing."""
    if times.dim() != 1 or len(times) < 2 or not (times[1:] < times[:-1]).all():
        raise ValueError(
            f"times must be strictly decreasing with at least 2 entries; got {times.tolist()}: "
            "use schedule.times(steps)"
        )


def finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless ``tensor`` is a real floating-point tensor without NaN and inf."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        raise ValueError(f"{name} must be a tensor of real numbers; got {kind}: use .float()")
    bad = ~torch.isfinite(tensor)
    if bad.any():
        raise ValueError(
            f"{name} has {int(bad.sum())} entries that are NaN or infinite (the first: "
            f"{tensor[bad][0].item()}); find the step that made them"
        )


def alike(**tensors: Tensor) -> None:
    """Raise ValueError unless all tensors are finite and agree in shape and dtype."""
    (first_name, first), *_ = tensors.items()
    for name, tensor in tensors.items():
        finite(name, tensor)
        if tensor.shape != first.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} but {first_name} has "
                f"{tuple(first.shape)}; both must be (B, *d)"
            )
        if tensor.dtype != first.dtype:
            raise ValueError(
                f"{name} is {tensor.dtype} but {first_name} is {first.dtype}; cast one"
            )


def mixture(weights: Tensor, means: Tensor, covs: Tensor) -> None:
    """Raise ValueError unless these are K weights, means (K, d) and covariances (K, d, d)."""
    for name, tensor in (("weights", weights), ("mean", means), ("cov", covs)):
        finite(name, tensor)
    K, d = means.shape if means.dim() == 2 else (0, 0)
    if not K or weights.shape != (K,) or covs.shape != (K, d, d):
        raise ValueError(
            f"weights {tuple(weights.shape)}, means {tuple(means.shape)} and covs "
            f"{tuple(covs.shape)} do not fit together; expected (K,), (K, d) and (K, d, d)"
        )
    if not (weights >= 0).all() or abs(float(weights.sum()) - 1) > 1e-6:
        raise ValueError(f"weights must be >= 0 and sum to 1; got {weights.tolist()}")
    scale = covs.abs().amax(dim=(1, 2), keepdim=True)
    if ((covs - covs.mT).abs() > 1e-8 * scale).any():
        raise ValueError(f"cov must be symmetric; got {covs.tolist()}")
    smallest = torch.linalg.eigvalsh(covs)[:, 0]
    if (smallest < -1e-8 * scale[:, 0, 0]).any():
        raise ValueError(f"cov has a negative variance: eigenvalue {float(smallest.min()):.3g}")


def points(z_t: Tensor, d: int) -> None:
    """Raise ValueError unless ``z_t`` is finite and (B, d)."""
    finite("z_t", z_t)
    if z_t.dim() != 2 or z_t.shape[1] != d:
        raise ValueError(f"z_t must have shape (B, {d}) here; got {tuple(z_t.shape)}")


def batch(coefficient: Tensor, like: Tensor) -> None:
    """Raise ValueError unless ``coefficient`` is one number or (B,) for ``like`` (B, *d)."""
    if coefficient.dim() and (coefficient.dim() > 1 or len(coefficient) != len(like)):
        raise ValueError(
            f"t has shape {tuple(coefficient.shape)} for data of shape {tuple(like.shape)}; give "
            "one time for all, or (B,): one per sample"
        )


def output(output: Tensor, z_t: Tensor) -> None:
    """Raise ValueError unless a network's output has the shape of its input."""
    if output.shape != z_t.shape:
        raise ValueError(
            f"the network's output has shape {tuple(output.shape)}, z_t {tuple(z_t.shape)}; a "
            "denoising network keeps the shape of its input"
        )


def solvable(name: str, det: Tensor, signal: Tensor, noise: Tensor, z_t: Tensor) -> None:
    """Raise ValueError where a parameterisation's determinant is 0 in the precision of z_t."""
    if (det.to(z_t.dtype) == 0).any():
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


def warn_of_signal_lost(parameterization, schedule) -> None:
    """Warn where eps-prediction would multiply a network's errors: nearly no signal left at T.

    z0 = (z_t - noise eps) / signal divides by sqrt(alpha_bar_T), and a step to s multiplies by
    signal_s again. Measured with an exact eps in two dimensions plus an error of 0.1, 20 steps: the
    linear betas (a first step of factor 1.6) give samples of standard deviation 1.1 instead of 1,
    cosine betas 3.2 with T = 10 (factor 32), 6 with T = 50 (64) and 150 with T = 1000 (1,300).
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
