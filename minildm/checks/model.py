"""What a latent diffusion model is made of, and what it is asked for.

What could be told twice (schedule, parameterisation, size) is told once, or the two are compared: a
network of eps read as one of v draws noise, and says nothing. A network that ``train_denoiser``
made carries a note of its training, ``trained_with``; with it none of them is needed.

Conditions are labels, texts, vectors or maps, one entry per picture or one for all.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minildm import checks, predict
from minildm.autoencoder import Autoencoder
from minildm.checks import inputs
from minildm.interfaces import ReadsText, Schedule, Told
from minildm.predict import Parameterization, V

MOST = 10**6  # pictures at once


# --- its parts ------------------------------------------------------------------------------------


def agreed_schedule(network: Any, given: Schedule | None) -> Schedule:
    """The schedule that was given, else the one that the network was trained with.

    Raises ValueError if there is neither, if they differ, and for betas in the place of a schedule.
    """
    learned = getattr(network, "trained_with", None)
    if given is None:
        if learned is None:
            said = "this network does not know with which it was trained: give that one"
            raise ValueError(f"schedule is missing, and {said}")
        return learned.schedule
    if not callable(given) or not hasattr(given, "times"):
        raise ValueError(
            f"schedule must be one, such as DiscreteSchedule(betas); got {type(given).__name__}"
        )
    if learned is not None and not same_schedule(given, learned.schedule):
        raise ValueError(
            f"schedule is a {_described(given)}, but the network was trained with a "
            f"{_described(learned.schedule)}: leave schedule out, or give that one"
        )
    return given


def same_schedule(a: Schedule, b: Schedule) -> bool:
    """Whether two schedules are of one kind and, at all times, as noisy but for rounding."""
    if type(a).__name__ != type(b).__name__ or a.T != b.T:
        return False
    times = a.times(min(50, a.T) if isinstance(a.T, int) else 50)
    pairs = zip(a(times), b(times), strict=True)
    return all(torch.allclose(x, y, rtol=1e-4, atol=1e-6) for x, y in pairs)


def _described(schedule: Schedule) -> str:
    signal, _ = schedule(schedule.times(2)[1])
    return f"{type(schedule).__name__} with T = {schedule.T}, signal {float(signal):.3g} half way"


def agreed_parameterization(
    network: Any, given: Parameterization | None, schedule: Schedule
) -> Parameterization:
    """The same for what the network predicts; V where nobody says anything.

    Warns where eps is predicted on a schedule that leaves no signal at T, unless the network was
    trained so: then train_denoiser has warned.
    """
    learned = getattr(network, "trained_with", None)
    if given is None:
        return V if learned is None else getattr(predict, learned.parameterization)
    if not hasattr(given, "solve"):
        raise ValueError(
            f"parameterization must be EPS, Z0, V or FLOW of minildm.predict; got {given!r}"
        )
    if learned is None:
        checks.warn_of_signal_lost(given, schedule)
    if learned is not None and given.name != learned.parameterization:
        raise ValueError(
            f"parameterization is {given.name}, but the network was trained to predict "
            f"{learned.parameterization}: leave parameterization out"
        )
    return given


def agreed_size(
    network: Any, autoencoder: Autoencoder, latent_size: Sequence[int] | None,
    image_size: Sequence[int] | None,
) -> tuple[int, int]:  # fmt: skip
    """(h, w) of the latents: as given, or of pictures of ``image_size``, or as in the training.

    Raises ValueError if two of them contradict each other, or if there is none. A size that the
    network has not seen only warns: convolutions take any.
    """
    given = None if latent_size is None else _pair("latent_size", latent_size, 4096)
    if image_size is not None:
        pictures = _pair("image_size", image_size, 16 * 4096)
        size = autoencoder.latent_shape(pictures)[1:]
        if given not in (None, size):
            raise ValueError(
                f"latent_size is {given}, but pictures of image_size = {pictures} have latents of "
                f"{size}: give one of the two"
            )
        given = size
    learned = getattr(network, "trained_with", None)
    known = None if learned is None else tuple(learned.latent_size)
    if known is None or len(known) != 2:
        if given is None:
            raise ValueError("give image_size = (H, W) of the pictures, or latent_size = (h, w)")
        return given
    if given == tuple(autoencoder.config.factor * n for n in known):
        raise ValueError(
            f"latent_size is {given}, the size of the pictures; their latents have {known}: give "
            "image_size instead, or leave it out"
        )
    if given not in (None, known):
        seen = f"the network was trained on latents of {known}"
        warnings.warn(f"latent_size is {given}, but {seen}", stacklevel=4)
    return given or known


def _pair(name: str, size: Sequence[int], most: int) -> tuple[int, int]:
    pair = inputs.whole_tuple(name, size, 1, most)
    if len(pair) != 2:
        raise ValueError(f"{name} must be two numbers, (height, width); got {pair}")
    return pair


# --- what it is asked for -------------------------------------------------------------------------


def how_many(condition: Any, z_T: Tensor | None, count: Any) -> int:
    """How many pictures: as many as conditions or noises there are, else ``count``, else 1.

    Raises ValueError where two of them differ, and for a count that is none.
    """
    count = None if count is None else inputs.whole("count", count, 1, MOST)
    asked, starts = entries(condition), None if z_T is None else len(z_T)
    if asked == 0:
        raise ValueError("condition is empty; give one entry per image, or None")
    if asked is not None and starts not in (None, asked):
        raise ValueError(f"condition has {asked} entries for {starts} images; give one each")
    given = asked if starts is None else starts
    if count is not None and given not in (None, count):
        what = "condition" if starts is None else "z_T"
        instead = "leave count out, or give one condition for all"
        raise ValueError(f"count = {count}, but {what} has {given} entries: {instead}")
    return given or count or 1


def entries(condition: Any) -> int | None:
    """How many entries a condition has; None for one that is for all images, or for none."""
    several = isinstance(condition, list | tuple | range) or getattr(condition, "ndim", 0) > 0
    return len(condition) if several else None


def prepared(network: Any, condition: Any, count: int, name: str = "condition") -> Told:
    """``condition`` as the network takes it, (count, ..) on its device; texts are encoded, once.

    Raises ValueError, in the caller's words, for another kind of condition than the network's, for
    labels and texts that it does not know, and unless there is one entry for each image.
    """
    device = next(network.parameters(), torch.empty(0)).device
    if entries(condition) not in (None, count):
        raise ValueError(f"{name} has {len(condition)} entries for {count} images; give one each")
    if isinstance(network, ReadsText):
        return _words(network, condition, count, name, device)
    if _is_text(condition):
        raise ValueError(f"this model does not read text; got {name} = {condition!r}")
    kind, size = getattr(network.config, "condition", ("", 0))
    if not kind:
        raise ValueError(f"this model has no condition; give {name} = None")
    if kind == "labels":
        return _labels(condition, count, size, name).to(device)
    found = inputs.values(name, condition)
    inputs.finite(name, found)
    if found.dim() < 3:
        raise ValueError(f"{name} must be {kind}, one per image; got {tuple(found.shape)}")
    return found.to(device)


def _words(network: ReadsText, condition: Any, count: int, name: str, device: Any) -> Told:
    """Texts, token numbers (count, L), or vectors (count, L, dim) -> vectors (count, L, dim)."""
    if _is_text(condition):
        tokens = network.tokens(condition).to(device)  # (1 or count, L)
        return network.encode(tokens.expand(count, *tokens.shape[1:]))
    if not isinstance(condition, Tensor | np.ndarray):
        got = repr(condition)[:100]
        if isinstance(condition, list | tuple) and any(isinstance(c, str) for c in condition):
            raise ValueError(f'{name} mixes texts and other things; "" is no text: {got}')
        wanted = "a text, a list of texts, or token numbers (B, L)"
        raise ValueError(f"{name} must be {wanted}; got {got}")
    found, dim = inputs.values(name, condition).to(device), network.config.condition.size
    if not found.is_floating_point():
        return network.encode(found)
    if found.dim() != 3 or found.shape[2] != dim:
        raise ValueError(f"{name} must be ({count}, L, {dim}) vectors; got {tuple(found.shape)}")
    inputs.finite(name, found)
    return found


def _labels(condition: Any, count: int, classes: int, name: str) -> Tensor:
    """int64 (count,), each in 0..classes, where ``classes`` means "no condition"."""
    if isinstance(condition, Tensor | np.ndarray):
        condition = inputs.whole_numbers(name, condition).tolist()
    several = isinstance(condition, list | tuple | range)
    named = {f"{name}[{i}]": x for i, x in enumerate(condition)} if several else {name: condition}
    for one, label in named.items():
        if label is None:
            raise ValueError(f"{one} is None; the label for no condition is {classes}")
        if not 0 <= inputs.whole(one, label) <= classes:
            known = f"0..{classes - 1} (or {classes}: no condition)"
            raise ValueError(f"labels must be in {known}; {one} is {label}")
    return torch.tensor([int(label) for label in named.values()]).expand(count)


def _is_text(condition: Any) -> bool:
    if isinstance(condition, list | tuple):
        return bool(condition) and all(isinstance(c, str) for c in condition)
    return isinstance(condition, str)
