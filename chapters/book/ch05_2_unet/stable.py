"""The UNet of Stable Diffusion 1.5 without its weights: shapes and sizes from its settings.

Settings: CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml. What the parts are
made of: Rombach et al. 2022 (arXiv 2112.10752), appendix, as built in that repository.
"""

from collections.abc import Iterator
from typing import NamedTuple

CHANNELS, MULTIPLIERS, BLOCKS = 320, (1, 2, 4, 4), 2
TIME, WORDS = 4 * CHANNELS, 768  # lengths of the time embedding and of a word's vector
LATENT = (4, 64, 64)


class Part(NamedTuple):
    """One line of the trace: shapes (channels, height, width) without the batch."""

    name: str
    made_of: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    parameters: int


def convolution(c_in: int, c_out: int, kernel: int = 3) -> int:
    """Weights and biases of a convolution."""
    return kernel**2 * c_in * c_out + c_out


def linear(n_in: int, n_out: int) -> int:
    """Weights and biases of a linear layer."""
    return n_in * n_out + n_out


def residual(c_in: int, c_out: int) -> int:
    """A residual block: time adds a shift only, so c_out numbers, not twice as many."""
    norms = 2 * c_in + 2 * c_out
    skip = convolution(c_in, c_out, 1) if c_in != c_out else 0
    return norms + convolution(c_in, c_out) + linear(TIME, c_out) + convolution(c_out, c_out) + skip


def transformer(c: int) -> int:
    """Norm and projection; self-attention, cross-attention, feed-forward (GEGLU); projection."""
    own = 3 * c * c + linear(c, c)  # queries, keys and values without bias
    cross = c * c + 2 * WORDS * c + linear(c, c)
    feed_forward = linear(c, 8 * c) + linear(4 * c, c)  # half of the 8 c gates the other half
    return 2 * c + 2 * convolution(c, c, 1) + 3 * 2 * c + own + cross + feed_forward


def stages(c_in: int, c_out: int, side: int, attend: bool, name: str) -> Part:
    """A residual block, followed where asked by a transformer block."""
    made_of = "residual" + " + transformer" * attend
    size = residual(c_in, c_out) + attend * transformer(c_out)
    return Part(name, made_of, (c_in, side, side), (c_out, side, side), size)


def trace() -> Iterator[Part]:
    """All parts, in the order in which a latent meets them."""
    channels, side, _ = LATENT
    c, last = CHANNELS, len(MULTIPLIERS) - 1
    yield Part("time", "two linear layers", (CHANNELS, 1, 1), (TIME, 1, 1),
               linear(CHANNELS, TIME) + linear(TIME, TIME))  # fmt: skip
    yield Part("enter", "convolution", LATENT, (c, side, side), convolution(channels, c))
    kept = [c]  # channels of what waits for the way up
    for level, multiplier in enumerate(MULTIPLIERS):
        for _ in range(BLOCKS):
            yield stages(c, CHANNELS * multiplier, side, level < last, f"down, level {level}")
            c = CHANNELS * multiplier
            kept.append(c)
        if level < last:
            half = side // 2
            yield Part("downsample", "convolution, stride 2", (c, side, side), (c, half, half),
                       convolution(c, c))  # fmt: skip
            side = half
            kept.append(c)
    yield stages(c, c, side, True, "middle")
    yield stages(c, c, side, False, "middle")
    for level, multiplier in reversed(list(enumerate(MULTIPLIERS))):
        for _ in range(BLOCKS + 1):
            c_in, c = c + kept.pop(), CHANNELS * multiplier
            yield stages(c_in, c, side, level < last, f"up, level {level}")
        if level > 0:
            side *= 2
            yield Part("upsample", "repeat, convolution", (c, side // 2, side // 2),
                       (c, side, side), convolution(c, c))  # fmt: skip
    yield Part(
        "leave", "norm, convolution", (c, side, side), LATENT, 2 * c + convolution(c, channels)
    )


def listing() -> str:
    """The trace as text; equal lines are written once, with their number."""
    rows: list[tuple[str, int]] = []
    for part in trace():
        shapes = [" x ".join(map(str, shape)) for shape in (part.input, part.output)]
        size = f"{part.parameters / 1e6:6.1f} M"
        row = f"{part.name:14} {shapes[0]:>14} -> {shapes[1]:14} {size}   {part.made_of}"
        if rows and rows[-1][0] == row:
            rows[-1] = row, rows[-1][1] + 1
        else:
            rows.append((row, 1))
    return "\n".join(f"{f'{n} x' if n > 1 else '':4}{row}" for row, n in rows)
