"""The text half of Stable Diffusion 1.5, SDXL and SD 3 without weights: shapes and sizes.

Settings: CLIP ViT-L/14 (Radford et al. 2021, arXiv 2103.00020), OpenCLIP ViT-bigG/14 and T5-XXL as
in the reference implementation of SD 3.5; how SDXL joins its encoders: arXiv 2307.01952, section
2.1; how SD 3 does: Esser et al. 2024 (arXiv 2403.03206), section 4.
"""

from typing import NamedTuple

from book.ch05_2_unet import stable as unet
from book.ch05_2_unet.stable import linear

PIECES, LENGTH = 49_408, 77  # of CLIP: pieces of words in its table, tokens of every text
L, BIG_G, T5_WIDTH = 768, 1280, 4096  # lengths of a word's vector


class Step(NamedTuple):
    """What is done to the text, the shape that comes out, and how many numbers were learned."""

    done: str
    shape: tuple[int, ...]
    parameters: int = 0


def embedded(width: int) -> int:
    """The table of pieces and that of places."""
    return PIECES * width + LENGTH * width


def layers(width: int, number: int) -> int:
    """So many layers of a CLIP: two norms, attention with biases, two linear layers of 4 widths."""
    attention = 4 * linear(width, width)
    return number * (4 * width + attention + linear(width, 4 * width) + linear(4 * width, width))


def t5_layers(number: int = 24, inner: int = 10_240, pieces: int = 32_128) -> int:
    """The encoder of T5-XXL: no biases, norms without an offset, a gate in the wide layers."""
    each = 4 * T5_WIDTH**2 + 3 * T5_WIDTH * inner + 2 * T5_WIDTH
    distances = 32 * 64  # a number for each of 32 ranges of distance and 64 heads
    return pieces * T5_WIDTH + number * each + distances + T5_WIDTH


def clip(name: str, width: int, number: int, final: bool, projected: int = 0) -> list[Step]:
    """A CLIP text encoder; ``final``: its last layer and norm give what is read."""
    shape = (LENGTH, width)
    last = layers(width, 1) + 2 * width
    steps = [
        Step(f"{name}: tables of {PIECES:,} pieces and {LENGTH} places", shape, embedded(width)),
        Step(f"   {number - 1} layers, causal mask", shape, layers(width, number - 1)),
        Step("   last layer, and norm", shape, last)
        if final
        else Step("   last layer and norm: not for the words", shape, last),
    ]
    if projected:
        steps.append(Step("   its end token, projected: pooled", (projected,), width * projected))
    return steps


def trace() -> dict[str, list[Step]]:
    """What becomes of one text in each model, up to where the network reads it."""
    readers = [part for part in unet.trace() if "transformer" in part.made_of]
    widths = sorted({part.output[0] for part in readers})
    joined = 64 * 64 + 2 * LENGTH  # patches of a picture, and words
    return {
        "SD 1.5": [
            *clip("CLIP ViT-L", L, 12, final=True),
            Step(f"keys, values of {len(readers)} cross-attentions, of width "
                 f"{', '.join(map(str, widths[:-1]))} or", (LENGTH, widths[-1])),
        ],
        "SDXL": [
            *clip("CLIP ViT-L", L, 12, final=False),
            *clip("OpenCLIP ViT-bigG", BIG_G, 32, final=False, projected=BIG_G),
            Step("both, side by side, read by cross-attention", (LENGTH, L + BIG_G)),
            Step("pooled, 6 sizes as 256 sinusoids each: to the time", (BIG_G + 6 * 256,)),
        ],
        "SD 3 medium": [
            *clip("CLIP ViT-L", L, 12, final=False),
            *clip("OpenCLIP ViT-bigG", BIG_G, 32, final=False, projected=BIG_G),
            Step("   both, side by side, zeros up to", (LENGTH, T5_WIDTH)),
            Step("T5-XXL: 24 layers, no causal mask", (LENGTH, T5_WIDTH), t5_layers()),
            Step("both, one after the other", (2 * LENGTH, T5_WIDTH)),
            Step("with the patches of the picture, one attention", (joined, 1536)),
            Step("the end tokens of both CLIPs, pooled: to the time", (L + BIG_G,)),
        ],
    }  # fmt: skip


def parameters(steps: list[Step]) -> int:
    """All that the text encoders of one model have learned."""
    return sum(step.parameters for step in steps)


def listing() -> str:
    """The traces as text."""
    lines = []
    for model, steps in trace().items():
        lines.append(f"{model}: text encoders of {parameters(steps) / 1e6:,.0f} million")
        for step in steps:
            shape = " x ".join(map(str, step.shape))
            size = f"{step.parameters / 1e6:8.1f} M" if step.parameters else ""
            lines.append(f"   {step.done:62s}{shape:>12s}{size}")
    return "\n".join(lines)
