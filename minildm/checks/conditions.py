"""What a model is asked for: labels, texts or maps, looked at and made ready for its network.

how_many  the number of pictures that conditions, starting noise and ``count`` agree on
prepared  a condition as the network takes it, one entry per picture
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.text import TextUNet

MOST = 10**6  # pictures at once
HERE = torch.empty(0)  # conditions hold numbers: none is on the meta device


def how_many(condition: Any, z_T: Tensor | None, count: Any) -> int:
    """How many pictures: as many as conditions or noises there are, else ``count``, else 1.

    Raises ValueError where two of them differ, and for a count that is none.
    """
    count = None if count is None else inputs.whole("count", count, 1, MOST)
    asked = entries(condition)
    if asked == 0:
        raise ValueError("condition is empty; give one entry per image, or None")
    starts = None if z_T is None else len(z_T)
    if asked is not None and starts not in (None, asked):
        raise ValueError(f"condition has {asked} entries for {starts} images; give one each")
    given = asked if starts is None else starts
    if count is not None and given not in (None, count):
        what = "condition" if starts is None else "z_T"
        raise ValueError(
            f"count = {count}, but {what} has {given} entries: leave count out, or give one "
            "condition for all"
        )
    return next((n for n in (given, count) if n is not None), 1)


def entries(condition: Any) -> int | None:
    """How many entries a condition has; None for one that is for all images, or for none."""
    if isinstance(condition, list | tuple | range):
        return len(condition)
    return len(condition) if getattr(condition, "ndim", 0) > 0 else None


def prepared(network: nn.Module, condition: Any, count: int, name: str = "condition") -> Tensor:
    """``condition`` as the network takes it, (count, ..) on its device; texts are encoded, once.

    Raises ValueError, in the caller's words, for another kind of condition than the network's, for
    labels and texts that it does not know, and unless there is one entry for each image.
    """
    device = next(network.parameters(), torch.empty(0)).device
    given = entries(condition)
    if given not in (None, count):
        raise ValueError(f"{name} has {given} entries for {count} images; give one each")
    if isinstance(network, TextUNet):
        return _words(network, condition, count, name, device)
    if _is_text(condition):
        raise ValueError(f"this model does not read text; got {name} = {condition!r}")
    classes = getattr(network.config, "classes", 0)
    if classes:
        return _labels(condition, count, classes, name).to(device)
    if not any(getattr(network.config, k, 0) for k in ("context_dim", "concat_channels")):
        raise ValueError(f"this model has no condition; give {name} = None")
    vectors = inputs.tensor(name, condition, HERE)
    if not vectors.is_floating_point() or vectors.dim() < 3:
        raise ValueError(
            f"{name} must be real numbers, one vector, sequence or map per image; got "
            f"{vectors.dtype} {tuple(vectors.shape)}"
        )
    return _finite(name, vectors).to(device)


def _words(network: TextUNet, condition: Any, count: int, name: str, device) -> Tensor:
    """Texts, token numbers (count, L), or vectors (count, L, dim) -> vectors (count, L, dim)."""
    if _is_text(condition):
        tokens = network.tokens(condition).to(device)  # (1 or count, L)
        tokens = tokens.expand(count, -1) if isinstance(condition, str) else tokens
        return network.encode(tokens)
    if isinstance(condition, list | tuple) and any(isinstance(c, str) for c in condition):
        raise ValueError(
            f'{name} mixes texts and other things; "" is no text: {repr(condition)[:100]}'
        )
    if not isinstance(condition, Tensor | np.ndarray):
        raise ValueError(
            f"{name} must be a text, a list of texts, or token numbers (B, L); got "
            f"{repr(condition)[:100]}"
        )
    found = inputs.tensor(name, condition, HERE)
    if found.is_floating_point():
        if found.dim() != 3 or found.shape[2] != network.config.text.dim:
            wanted = f"({count}, L, {network.config.text.dim})"
            raise ValueError(f"{name} must be {wanted} vectors; got {tuple(found.shape)}")
        return _finite(name, found).to(device)
    return network.encode(found.to(device))


def _labels(condition: Any, count: int, classes: int, name: str) -> Tensor:
    """int64 (count,), each in 0..classes, where ``classes`` means "no condition"."""
    if isinstance(condition, list | tuple | range):
        found = [_label(f"{name}[{i}]", label, classes) for i, label in enumerate(condition)]
        return torch.tensor(found, dtype=torch.int64)
    if not isinstance(condition, Tensor | np.ndarray):
        return torch.tensor(_label(name, condition, classes)).expand(count)
    labels = inputs.tensor(name, condition, HERE)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{name} must be whole numbers; got {labels.dtype}: use .long()")
    labels = labels.long().expand(count) if labels.dim() == 0 else labels.long()
    if labels.shape != (count,):
        shape = tuple(labels.shape)
        raise ValueError(f"{name} must be ({count},), one label per image; got {shape}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > classes:
        raise ValueError(f"{_known(classes)}; {name} has {low}..{high}")
    return labels


def _label(name: str, value: Any, classes: int) -> int:
    if value is None:
        raise ValueError(f"{name} is None; the label for no condition is {classes}")
    label = inputs.whole(name, value)
    if not 0 <= label <= classes:
        raise ValueError(f"{_known(classes)}; {name} is {label}")
    return label


def _known(classes: int) -> str:
    return f"labels must be in 0..{classes - 1} (or {classes}: no condition)"


def _is_text(condition: Any) -> bool:
    if isinstance(condition, list | tuple):
        return bool(condition) and all(isinstance(c, str) for c in condition)
    return isinstance(condition, str)


def _finite(name: str, vectors: Tensor) -> Tensor:
    if not torch.isfinite(vectors).all():
        raise ValueError(f"{name} has entries that are NaN or infinite")
    return vectors
