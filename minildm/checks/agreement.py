"""What a latent diffusion model could be told twice: it is told once, or the two are compared.

A network that ``train_denoiser`` made carries a note of its training (``trained_with``); with it a
model needs neither schedule nor parameterisation nor size. Where they are given too, they must
agree: a network of eps read as one of v draws noise, and says nothing.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import nn

from minildm import checks, predict
from minildm.checks import inputs
from minildm.predict import Parameterization, V
from minildm.unet import TrainedWith

LARGEST = 4096  # height and width of latents


def agreed_schedule(network: nn.Module, given: Callable | None) -> Callable:
    """The schedule that was given, else the one that the network was trained with.

    Raises ValueError if there is neither, if they differ, and for betas in the place of a schedule.
    """
    learned = _note(network)
    if given is None:
        if learned is None:
            raise ValueError(
                "schedule is missing, and this network does not know with which it was trained: "
                "give the one of its training"
            )
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


def agreed_parameterization(
    network: nn.Module, given: Parameterization | None, schedule: Callable
) -> Parameterization:
    """The same for what the network predicts; V where nobody says anything.

    Warns where eps is predicted by a network that does not know how it was trained, on a schedule
    that leaves no signal at T (train_denoiser warns of the others).
    """
    learned = _note(network)
    if given is None:
        return V if learned is None else getattr(predict, learned.parameterization)
    if not hasattr(given, "solve"):
        raise ValueError(
            f"parameterization must be EPS, Z0, V or FLOW of minildm.predict; got {given!r}"
        )
    if learned is not None and given.name != learned.parameterization:
        raise ValueError(
            f"parameterization is {given.name}, but the network was trained to predict "
            f"{learned.parameterization}: leave parameterization out"
        )
    if learned is None:
        checks.warn_of_signal_lost(given, schedule)
    return given


def agreed_size(
    network: nn.Module,
    autoencoder: nn.Module,
    latent_size: Sequence[int] | None,
    image_size: Sequence[int] | None,
) -> tuple[int, int]:
    """(h, w) of the latents: as given, or of pictures of ``image_size``, or as in the training.

    Raises ValueError if two of them contradict each other, or if there is none. A size that the
    network has not seen only warns: convolutions take any.
    """
    given = None if latent_size is None else _pair("latent_size", latent_size)
    if image_size is not None:
        pictures = _pair("image_size", image_size)
        size = autoencoder.latent_size(pictures)
        if given not in (None, size):
            raise ValueError(
                f"latent_size is {given}, but pictures of image_size = {pictures} have latents of "
                f"{size}: give one of the two"
            )
        given = size
    learned = _note(network)
    if learned is None or len(learned.latent_size) != 2:
        if given is None:
            raise ValueError("give image_size = (H, W) of the pictures, or latent_size = (h, w)")
        return given
    known, factor = tuple(learned.latent_size), autoencoder.config.factor
    if given == tuple(factor * n for n in known):
        raise ValueError(
            f"latent_size is {given}, the size of the pictures; their latents have {known}: give "
            "image_size instead, or leave it out"
        )
    if given not in (None, known):
        warnings.warn(
            f"latent_size is {given}, but the network was trained on latents of {known}",
            stacklevel=4,
        )
    return given or known


def same_schedule(a: Callable, b: Callable) -> bool:
    """Whether two schedules are of one kind and, at all times, as noisy but for rounding."""
    if type(a).__name__ != type(b).__name__ or a.T != b.T:
        return False
    times = a.times(min(50, a.T) if isinstance(a.T, int) else 50)
    pairs = zip(a(times), b(times), strict=True)
    return all(torch.allclose(x, y, rtol=1e-4, atol=1e-6) for x, y in pairs)


def _note(network: nn.Module) -> TrainedWith | None:
    return getattr(network, "trained_with", None)


def _described(schedule: Callable) -> str:
    signal, _ = schedule(schedule.times(2)[1])
    return f"{type(schedule).__name__} with T = {schedule.T}, signal {float(signal):.3g} half way"


def _pair(name: str, size: Sequence[int]) -> tuple[int, int]:
    pair = inputs.whole_tuple(name, size, 1, LARGEST if name == "latent_size" else 16 * LARGEST)
    if len(pair) != 2:
        raise ValueError(f"{name} must be two numbers, (height, width); got {pair}")
    return pair
