"""What happens on the way: when each part of a picture is settled.

settled  from which step on a reading stays what it is at the end
by_kind  shares of ten attributes as shares of seven kinds
replay   go on from the middle of a walk, with fresh noise
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from minildm.denoise import Denoiser
from minildm.noise import seeded
from minildm.samplers import ddpm, sample
from minildm.shapes.scenes import NAMES

# The ten columns of a scene table, both objects' together: {"size": [2, 6], ...}
KINDS = {
    kind: [i for i, name in enumerate(NAMES) if name.split()[0] == kind]
    for kind in dict.fromkeys(name.split()[0] for name in NAMES)
}


def settled(rows: Tensor) -> Tensor:
    """Is the reading after step i that of the end, there and ever after? bool like rows.

    ``rows`` (S, n, 10): what was read after each of S steps in each of n pictures.
    """
    same = rows == rows[-1]
    return same.flip(0).cumprod(0).flip(0).bool()  # one disagreement undoes all steps before it


def by_kind(flags: Tensor) -> dict[str, Tensor]:
    """Shares of pictures, and of objects, for each kind of attribute: (.., n, 10) -> kind -> (..,).

    Kinds: background, relation, size, fill, colour, shape.
    """
    shares = flags.double().mean(-2)
    return {kind: shares[..., columns].mean(-1) for kind, columns in KINDS.items()}


def replay(
    denoise: Denoiser, schedule: Callable, z_t: Tensor, times: Tensor, seed: int = 0
) -> Tensor:
    """Go on from z_t at times[0] by ``ddpm``, with noise of this seed: the z at the end.

    What two replays of one z_t share was settled at times[0]; where they differ, it was not.
    """
    generator = seeded(seed)
    draw = partial(_draw, generator=generator)
    *_, last = sample(denoise, schedule, z_t, times, partial(ddpm, draw=draw))
    return last.z


def _draw(z: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(z.shape, generator=generator).to(z)
