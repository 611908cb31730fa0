"""What a training would take on other hardware: an estimate from counts and two assumptions."""

from typing import NamedTuple

PEAK = {  # operations per second, dense, from the makers' data sheets
    "NVIDIA T4, float32": 8.1e12,
    "NVIDIA T4, float16": 65e12,
    "NVIDIA A100, float32 (no TF32)": 19.5e12,
    "NVIDIA A100, bfloat16": 312e12,
    "NVIDIA H100 SXM, bfloat16": 989e12,
}


class Times(NamedTuple):
    """Seconds of a training on one device, estimated."""

    arithmetic: float  # operations / (utilisation * peak)
    starting: float  # kernels * tau: Python sends one after another
    on_cpu: float

    @property
    def total(self) -> float:
        """The device computes while Python sends; what the CPU makes is added."""
        return max(self.arithmetic, self.starting) + self.on_cpu


def on_gpus(
    operations: float, kernels: float, on_cpu: float, tau: float, utilisation: float
) -> dict[str, Times]:
    """Times of a training with so many arithmetic operations and kernels, on each of ``PEAK``."""
    return {
        name: Times(operations / (utilisation * peak), kernels * tau, on_cpu)
        for name, peak in PEAK.items()
    }
