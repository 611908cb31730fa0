"""A training's own stream of random numbers, apart from its caller's.

The noise of this package is keyed (noise.py), but a network may have dropout, and a reader's loss
may call ``torch.randn``, ``random`` or NumPy. Inside ``with randomness:`` these draw from a stream
that belongs to the training: whatever the caller draws between two steps does not change it, the
caller's own numbers are not changed either, and the stream can be saved and continued.
"""

import random

import numpy as np
import torch
from torch import Tensor

from minildm.noise import mix

STREAM = 30  # what a key is used for, beside the uses of fit.py


class Randomness:
    """torch (CPU and ``device``), Python's ``random`` and NumPy, seeded by ``key``."""

    def __init__(self, device: torch.device, *key: int) -> None:
        self._device = None if device.type == "cpu" else torch.get_device_module(device)
        caller = self._now()
        seed = mix(STREAM, *key)
        torch.default_generator.manual_seed(seed)
        if self._device is not None:
            self._device.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the global stream is what is kept apart
        self._own = self._now()
        self._set(caller)

    def __enter__(self) -> None:
        self._caller = self._now()
        self._set(self._own)

    def __exit__(self, *error) -> None:
        self._own = self._now()
        self._set(self._caller)

    def state(self) -> dict:
        """Where the stream stands, as JSON-able values."""
        own = dict(self._own)
        version, numbers, spare = own["python"]
        name, key, *rest = own["numpy"]
        return {
            "torch": _to_text(own["torch"]),
            "device": None if own["device"] is None else _to_text(own["device"]),
            "python": [version, list(numbers), spare],
            "numpy": [name, key.tolist(), *rest],
        }

    def continue_from(self, state: dict) -> None:
        """Go on where ``state()`` was; ValueError if that is of another device, or damaged."""
        try:
            of_cpu = state["device"] is None
            version, numbers, spare = state["python"]
            own = {
                "torch": _from_text(state["torch"]),
                "device": None if of_cpu else _from_text(state["device"]),
                "python": (version, tuple(numbers), spare),
                "numpy": tuple(state["numpy"]),
            }
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"the random numbers are damaged ({error!r})") from error
        if of_cpu != (self._device is None):
            raise ValueError(
                "the random numbers were drawn on another kind of device; train on the same one"
            )
        caller = self._now()
        try:
            self._set(own)
        except (LookupError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"the random numbers are damaged ({error!r})") from error
        finally:
            self._set(caller)
        self._own = own

    def _now(self) -> dict:
        return {
            "torch": torch.get_rng_state(),
            "device": None if self._device is None else self._device.get_rng_state(),
            "python": random.getstate(),
            "numpy": np.random.get_state(),  # noqa: NPY002
        }

    def _set(self, state: dict) -> None:
        torch.set_rng_state(state["torch"])
        if self._device is not None:
            self._device.set_rng_state(state["device"])
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])  # noqa: NPY002


def _to_text(state: Tensor) -> str:
    return state.cpu().numpy().tobytes().hex()


def _from_text(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
