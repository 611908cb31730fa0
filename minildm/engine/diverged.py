"""What a training says when its numbers are not finite any more."""

import torch
from torch import Tensor


class Diverged(ValueError):
    """A loss, a gradient or a weight is not finite; the message says where, and what to try."""


def what_is_wrong(norm: Tensor, parts: list[tuple]) -> str:
    """In words: which losses of a step are not finite, and where; or that its gradient is not.

    ``norm`` (): of the gradient. ``parts``: (indices, losses, levels or None), each (b,).
    """
    indices, losses = (torch.cat([part[i].cpu() for part in parts]) for i in (0, 1))  # (B,) each
    levels = None if parts[0][2] is None else torch.cat([part[2].cpu() for part in parts])

    def described(i: int) -> str:
        level = "" if levels is None else f" at noise level {float(levels[i]):.3g}"
        return f"sample {int(indices[i])}{level}"

    bad = (~torch.isfinite(losses)).nonzero()[:, 0].tolist()
    if not bad:
        i = int(losses.argmax())
        return (
            f"the norm of the gradient is {float(norm):g}, though all losses are finite (the "
            f"largest, {float(losses[i]):.3g}, is that of {described(i)})"
        )
    shown = ", ".join(map(described, bad[:4])) + ", .." * (len(bad) > 4)
    return f"{len(bad)} of {len(losses)} losses are NaN or infinite ({shown})"
