"""Another processor's rounding, played on this one: noise in the last digits, by ROUNDING_SEED.

Python imports a module of this name at start-up when its folder is on PYTHONPATH; tools/rounding.py
puts it there for pytest, for the kernels that run the chapters and for their child processes.
With ROUNDING_SEED=1 (or 2, 3, ..: other noise):

    exp, log, sin, pow, softmax, randn, ..   one unit in the last place of the result, up or down
    sums, norms, matrix products, ..         the same in what is summed, as the order of a sum does;
                                             products and convolutions in float32: 8 units (1e-6)
    math.exp, math.log, ..                   one unit, in the book's code (not in other packages)
    shipped weights                          8 units of float32 each (1e-6), tables: one unit

What no processor changes is left alone: + - * / and square roots, which IEEE 754 rounds one way,
and numbers of few binary digits, whose exponentials, powers and sums are exact (exp(0), 2**3, a
count). The noise is a hash of the number itself and of the operation: the same call gives the same
bits again, as on any one machine. For sums it depends on the shape too: a library may add another
way in a batch of 1 than in a batch of 8.
"""

import functools
import importlib.util
import math
import os
import sys
import zlib
from importlib.machinery import PathFinder
from pathlib import Path

SEED = os.environ.get("ROUNDING_SEED")
SHIPPED = Path(__file__).resolve().parents[2] / "data"
WEIGHT_UNITS = PRODUCT_UNITS = 8  # of float32: 1e-6


def names(text):
    """The words of a text."""
    return frozenset(text.split())


FUNCTIONS = names(
    "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh asin acos atan atan2 arcsin "
    "arccos arctan arctan2 asinh acosh atanh sigmoid logit erf erfc erfinv lgamma digamma pow "
    "float_power rsqrt softplus silu gelu elu logsigmoid logaddexp xlogy sinc softmax log_softmax "
    "logsumexp linspace logspace randn randn_like normal addcmul addcdiv hypot mish "
    "ndtri ndtr log_ndtr cross_entropy nll_loss binary_cross_entropy "
    "binary_cross_entropy_with_logits __pow__ __rpow__"
)
SUMS = names(
    "sum mean var std var_mean std_mean cumsum cumprod prod norm vector_norm matrix_norm cdist "
    "pairwise_distance cosine_similarity logcumsumexp layer_norm group_norm batch_norm "
    "instance_norm rms_norm normalize mse_loss l1_loss smooth_l1_loss avg_pool2d "
    "adaptive_avg_pool2d interpolate cov corrcoef trapezoid trace nanmean"
)
PRODUCTS = names(
    "matmul mm bmm mv dot inner outer einsum linear conv1d conv2d conv_transpose2d addmm baddbmm "
    "tensordot scaled_dot_product_attention multi_head_attention_forward vdot bilinear "
    "__matmul__ __rmatmul__ eigh eigvalsh linalg_eigh linalg_eigvalsh svd linalg_svd solve "
    "linalg_solve cholesky linalg_cholesky inv linalg_inv det linalg_det slogdet qr pinv "
    "linalg_matrix_norm linalg_vector_norm linalg_norm matrix_exp"
)
OF_MATH = names(
    "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh asin acos atan atan2 erf erfc "
    "gamma lgamma pow hypot"
)


def salt_of(*parts):
    """A whole number below 2**31 that depends on the seed and ``parts``."""
    return zlib.crc32(repr((SEED, *parts)).encode()) & 0x7FFFFFFF


# --- tensors -------------------------------------------------------------------------------------


def nudged(torch, x, salt, units=1, keep_short=True):
    """``x`` with every number moved by ``units`` units in its last place, up or down by its hash.

    Numbers of few binary digits stay (``keep_short``), and so do zero, infinity and NaN. The
    gradient is that of ``x``.
    """
    if x.dtype is torch.float32:
        whole, odd, shift, low = torch.int32, 0x1E3779B1, 30, 0xFFF
    else:
        whole, odd, shift, low = torch.int64, 0x1E3779B97F4A7C15, 62, 0xFFFFFFF
    bits = x.detach().view(whole)
    step = ((((bits ^ salt) * odd) >> shift) | 1) * units  # plus or minus
    step *= (bits & low) != 0 if keep_short else x.detach().isfinite() & (x.detach() != 0)
    other = (bits + step).view(x.dtype)
    return x + (other - x.detach()) if x.requires_grad else other


def is_ordinary(torch, x):
    """Whether ``x`` is a plain tensor of numbers in float32 or float64, on the CPU."""
    return (
        type(x) in (torch.Tensor, torch.nn.Parameter)
        and x.dtype in (torch.float32, torch.float64)
        and x.device.type == "cpu"
        and x.layout is torch.strided
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
    )


def is_exact_power(args):
    """x^0.5, x, x^2, x^3 and 1/x are products and roots, which are rounded one way."""
    return len(args) > 1 and isinstance(args[1], (int, float)) and args[1] in (0, 0.5, 1, 2, 3, -1)


def move_result(torch, name, result):
    """The result of a function of FUNCTIONS, one unit away."""
    if not isinstance(result, torch.Tensor) or not is_ordinary(torch, result):
        return result
    in_place = name.endswith("_") and not name.endswith("__")
    moved = nudged(torch, result, salt_of(name.removesuffix("_") if in_place else name))
    if not in_place:
        return moved
    with torch.no_grad():
        result.data.copy_(moved.detach())
    return result


def move_summands(torch, name, args):
    """The arguments of a sum or product: the first tensor of numbers moved."""
    for i, x in enumerate(args):
        if isinstance(x, torch.Tensor) and is_ordinary(torch, x):
            large = name in PRODUCTS and x.dtype is torch.float32
            salt = salt_of(name, tuple(x.shape))
            moved = nudged(torch, x, salt, PRODUCT_UNITS if large else 1)
            return (*args[:i], moved, *args[i + 1 :])
    return args


def disturb_torch(torch):
    """Switch the noise on, for this thread and as long as it lives."""

    class Noise(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            name = getattr(func, "__name__", "")
            if name in SUMS or name in PRODUCTS:
                return func(*move_summands(torch, name, args), **kwargs)
            result = func(*args, **kwargs)
            if name.removesuffix("_") not in FUNCTIONS and name not in FUNCTIONS:
                return result
            if "pow" in name and is_exact_power(args):
                return result
            return move_result(torch, name, result)

    Noise().__enter__()


# --- stored numbers ------------------------------------------------------------------------------


def disturb_checkpoints(checkpoint):
    """Move what ``load_checkpoint`` reads below data/: shipped weights, and stored tables."""
    import torch

    load = checkpoint.load_checkpoint

    @functools.wraps(load)
    def load_checkpoint(folder, *args, **kwargs):
        tensors, config = load(folder, *args, **kwargs)
        if SHIPPED in Path(folder).resolve().parents:
            for name, x in tensors.items():
                if x.dtype is torch.float16:
                    x = x.float()
                if is_ordinary(torch, x):
                    units = 1 if name.endswith("betas") else WEIGHT_UNITS
                    tensors[name] = nudged(torch, x, salt_of(name), units, keep_short=False)
        return tensors, config

    checkpoint.load_checkpoint = load_checkpoint


# --- Python's own functions ----------------------------------------------------------------------


def disturb_math():
    """math.exp and the like, where the book's own code calls them."""

    def wrap(name, function):
        @functools.wraps(function)
        def disturbed(*args):
            value = function(*args)
            where = sys._getframe(1).f_code.co_filename
            if "site-packages" in where or where.startswith((sys.base_prefix, "<frozen")):
                return value
            if not math.isfinite(value) or math.frexp(value)[0] * 2**24 % 1 == 0:
                return value
            up = salt_of(name, value) & 1
            return math.nextafter(value, math.inf if up else -math.inf)

        return disturbed

    for name in OF_MATH:
        if hasattr(math, name):
            setattr(math, name, wrap(name, getattr(math, name)))


# --- when ----------------------------------------------------------------------------------------


class AfterImport:
    """A finder that lets a module be loaded as ever, and then calls its function with it."""

    after = {"torch": disturb_torch, "minildm.files.checkpoint": disturb_checkpoints}

    def find_spec(self, name, path=None, target=None):
        if name not in self.after:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run, then = spec.loader.exec_module, self.after[name]

            def exec_module(module):
                run(module)
                then(module)

            spec.loader.exec_module = exec_module
        return spec


def run_shadowed_sitecustomize():
    """Run the sitecustomize that this one hides, if the environment has its own."""
    here = os.path.dirname(os.path.abspath(__file__))
    hidden = {here, os.path.join(os.path.dirname(here), "offline")}
    elsewhere = [p for p in sys.path if os.path.abspath(p or ".") not in hidden]
    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if SEED and not getattr(sys, "_minildm_rounding", False):  # once, however often it is imported
    sys._minildm_rounding = True
    disturb_math()
    sys.meta_path.insert(0, AfterImport())
if __name__ == "sitecustomize":
    run_shadowed_sitecustomize()
