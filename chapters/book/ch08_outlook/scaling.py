"""What a training costs, on paper: operations, and hours on given hardware.

An estimate of operations is good to a few per cent, for what it counts. One of hours is as good as
its assumption on the share of the peak speed that is reached, and that share differs by a factor of
ten and more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

BACKWARD = 2.0  # a backward pass costs two forward passes: gradients of inputs and of weights


@dataclass(frozen=True)
class Phase:
    """Part of a training: ``flops`` of one forward call for one sample, a multiply-add being two.

    ``fixed``: operations per sample of networks that only run forward, such as a text encoder.
    Raises ValueError for numbers that are not positive (``fixed``: negative).
    """

    steps: float
    batch: float
    flops: float
    fixed: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "flops"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not self.fixed >= 0:
            raise ValueError(f"fixed must be >= 0; got {self.fixed}")


def training_flops(phases: Sequence[Phase]) -> float:
    """sum over phases of steps batch ((1 + BACKWARD) flops + fixed)."""
    return sum(p.steps * p.batch * ((1 + BACKWARD) * p.flops + p.fixed) for p in phases)


def device_hours(flops: float, peak: float, utilisation: float) -> float:
    """flops / (peak utilisation) / 3600: hours on one device of ``peak`` operations per second.

    Raises ValueError unless peak > 0 and 0 < utilisation <= 1.
    """
    if not peak > 0:
        raise ValueError(f"peak must be positive; got {peak}: operations per second")
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation must be in (0, 1]; got {utilisation}: 0.3 is usual")
    return flops / (peak * utilisation) / 3600


# Steps and batch: model card of Stable Diffusion v1 (checkpoints v1-1 to v1-3). The UNet's
# operations per call on 64 x 64 latents were counted with ch05_2_unet/cost.py; on 32 x 32 it is
# about a quarter (exactly so for convolutions; attention shrinks more).
UNET_512 = 803e9
ENCODER_512 = 1.12e12  # its encoder on 512 x 512 pixels; on 256 x 256 a quarter as well
STABLE_DIFFUSION = (
    Phase(steps=237_000, batch=2048, flops=UNET_512 / 4, fixed=13.3e9),  # 256 x 256 pixels
    Phase(steps=194_000 + 515_000 + 195_000, batch=2048, flops=UNET_512, fixed=13.3e9),  # 512
)
PUBLISHED_HOURS = 150_000  # A100 PCIe 40 GB, same model card
A100_PEAK = {"half precision": 312e12, "TF32": 156e12, "float32": 19.5e12}  # its data sheet
