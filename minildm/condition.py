"""What a denoising network is told of each sample, beside the noisy latent and the time."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from minildm.checks import inputs


class Condition(NamedTuple):
    """The kind of condition that a network takes, one entry for each of B samples.

    kind  "labels"   int64 (B,), 0..size-1; the number ``size`` means "no label"
          "vectors"  (B, L, size): a sequence, read by attention
          "maps"     (B, size, h, w): as high and wide as z_t
          "texts"    int64 tokens (B, L), or the vectors (B, L, size) that they are encoded to
          ""         nothing is told
    """

    kind: str = ""
    size: int = 0

    def told(
        self,
        z_t: Tensor,
        condition: Tensor | None,
        drop: Tensor | None,
        null: Callable[[Tensor], Tensor],
    ) -> Tensor | None:
        """What the network hears of the samples z_t (B, c, h, w), on their device.

        None, and an entry where ``drop`` (B,) is True, becomes the null condition: ``null(like)``,
        shaped like a condition. Raises ValueError for a condition of the wrong kind, shape or
        range.
        """
        if not self.kind:
            if condition is not None:
                raise ValueError(
                    "this network has no condition; set classes, or another kind, in its config"
                )
            return None
        return self.heard(z_t, condition, drop, null)

    def heard(
        self,
        z_t: Tensor,
        condition: Tensor | None,
        drop: Tensor | None,
        null: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """``told`` where the network has a kind of condition: then it always hears something."""
        if condition is None:
            dtype, shape = next(iter(self._forms(z_t).items()))
            sizes = [1 if n == "L" else n for n in shape]
            return null(torch.zeros(sizes, dtype=dtype, device=z_t.device))
        condition = self._checked(inputs.tensor("condition", condition, z_t), z_t)
        if drop is None:
            return condition
        drop = drop.to(z_t.device).reshape(-1, *[1] * (condition.dim() - 1))  # (B, 1, .., 1)
        return torch.where(drop, null(condition), condition)

    def null(self, condition: Tensor) -> Tensor:
        """No label, or an empty map, shaped like ``condition``; "no text" is learned instead."""
        return torch.full_like(condition, self.size if self.kind == "labels" else 0)

    def _forms(self, z_t: Tensor) -> dict[torch.dtype, tuple]:
        """The shape that a condition of whole and of real numbers may have; "L" is any length."""
        B, _, *size = z_t.shape
        whole, real = torch.int64, z_t.dtype
        forms: dict[str, dict[torch.dtype, tuple]] = {
            "labels": {whole: (B,)},
            "vectors": {real: (B, "L", self.size)},
            "maps": {real: (B, self.size, *size)},
            "texts": {whole: (B, "L"), real: (B, "L", self.size)},
        }
        return forms[self.kind]

    def _checked(self, condition: Tensor, z_t: Tensor) -> Tensor:
        forms, shape = self._forms(z_t), tuple(condition.shape)
        dtype = z_t.dtype if condition.is_floating_point() else torch.int64
        number = not (condition.is_complex() or condition.dtype == torch.bool)
        if not number or dtype not in forms or not _fits(shape, forms[dtype]):
            names = {torch.int64: "int64", z_t.dtype: "real"}
            known = " or ".join(f"{names[d]} {self.kind} {wanted}" for d, wanted in forms.items())
            known = known.replace("'L'", "L")
            raise ValueError(f"condition must be {known}; got {condition.dtype} {shape}")
        if self.kind == "labels" and not 0 <= condition.min() <= condition.max() <= self.size:
            raise ValueError(
                f"labels must be in 0..{self.size - 1} (or {self.size}: null); got "
                f"{int(condition.min())}..{int(condition.max())}"
            )
        return condition.to(z_t.device, dtype)


def _fits(shape: tuple, wanted: tuple) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(n > 0 and m in (n, "L") for n, m in zip(shape, wanted, strict=True))
