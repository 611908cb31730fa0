"""The model under fuzz: one argument at a time of a right call is replaced by a bad value.

What must come of it: the package's own error (ValueError, FileNotFoundError, CheckpointError) with
a sentence; or, for a value of a wrong Python type, a TypeError or AttributeError at once; or a
result without NaN. Never torch's words for a number, a tensor or an array, and never silent
nonsense. A network alone may answer NaN with NaN: its values are looked at by samplers and
trainings.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from test_latent import make
from test_text import SHORT, tokens_of
from test_text_to_image import make_network as reader

from book.ch08_outlook.dit import DiT, DiTConfig
from book.digit_judge import DigitClassifier
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine.fit import build
from minildm.files import images
from minildm.files.checkpoint import CheckpointError
from minildm.latent import LatentDiffusion
from minildm.noise import keyed_normal
from minildm.predict import V
from minildm.samplers import ddim
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.judge import judge
from minildm.unet import UNet, UNetConfig

OURS = (ValueError, FileNotFoundError, CheckpointError)
T = torch.tensor([1, 40])
WRONG_TYPES = [None, "text", b"bytes", {}, {"a": 1}, object(), len, [[]], [None], ["a"], 1j]
NUMBERS = [
    0, -1, 1, 2, 3, 7, 2.5, -0.5, 0.5, 1e-300, float("nan"), float("inf"), -float("inf"), 1e30,
    10**12, -(10**12), 10**30, 1e300, True, "3", [], [1], (1, 2), np.int64(2), np.float32(0.5),
    np.array(2), np.array([1, 2]), torch.tensor(2), torch.tensor(0.5), torch.tensor([1, 2]),
    torch.tensor(float("nan")), torch.empty(0), torch.Generator(), range(2),
]  # fmt: skip


def tensors(x: torch.Tensor) -> Iterator:
    """Bad relatives of a good tensor: other dtypes, shapes, places, values, kinds of object."""
    yield from (x.double(), x.half(), x.bfloat16(), x.long(), x.int(), x.to(torch.uint8), x > 0)
    yield from (x.to(torch.complex64), x.to("meta"), x.numpy(), x.double().numpy(), x.tolist())
    yield from (x[:0], x[:1], x[0], x[None], x.flatten(), torch.zeros(()), torch.empty(0))
    yield from (x[..., :0], x[..., :1], torch.cat([x, x]), x.transpose(0, -1))
    yield x.repeat(*[1] * (x.dim() - 1), 2)
    yield from (0, 3, 2.5, np.zeros(()), np.array(["a"]), [1, 2], (), range(3))
    if x.dim() > 1:
        yield from (x[:, :0], x[:, :1], torch.cat([x, x], 1))
    if x.dtype == torch.bool:
        return
    if x.is_floating_point():
        yield from (x * torch.nan, x + torch.inf, x * 1e30, x.abs() * 255, torch.zeros_like(x))
    else:
        yield from (x + 10**12, -x - 1, x * 0, x.float() * torch.nan)


class Call(NamedTuple):
    """A call that works: a function, its arguments by name, and which of them are tensors."""

    function: Callable
    arguments: dict
    network: bool = False  # a network alone: NaN may come of NaN

    def spoilt(self) -> Iterator[tuple[str, object]]:
        for name, value in self.arguments.items():
            bad = tensors(value) if isinstance(value, torch.Tensor) else iter(NUMBERS)
            for wrong in (*bad, *WRONG_TYPES):
                yield name, wrong


@functools.cache
def parts():
    labelled = make()
    autoencoder = Autoencoder(AutoencoderConfig(image_channels=3, latent_channels=2, width=8))
    texts = LatentDiffusion(
        autoencoder, build(reader, 0), DiscreteSchedule(cosine_betas(50)), (4, 4)
    )
    return labelled, texts.eval()


def calls() -> dict[str, Call]:
    model, texts = parts()
    x = keyed_normal((0,), range(2), (1, 16, 16)).clamp(-1, 1)
    z, labels, tokens = model.noise(2, 0), torch.tensor([0, 2]), tokens_of([SHORT, ""])
    run = {"steps": 1, "seed": 0, "guidance": 1.5}
    mask, drop = (x > 0).float(), torch.tensor([True, False])
    dit = DiT(DiTConfig(channels=2, width=8, depth=1, heads=1, classes=3)).eval()
    words = UNet(UNetConfig(channels=2, width=8, heads=1, context_dim=4)).eval()
    maps = UNet(UNetConfig(channels=2, width=8, heads=1, concat_channels=1)).eval()
    on = {"z_t": z, "t": T}
    context, lines = keyed_normal((1,), range(2), (3, 4)), x[:, :, :4, :4]
    return {
        "encode": Call(model.encode, {"x": x, "batch": 5}),
        "decode": Call(model.decode, {"z0": z, "batch": 5}),
        "noise": Call(model.noise, {"count": 2, "seed": 1}),
        "generate": Call(
            model.generate,
            {"condition": labels, **run, "sampler": ddim, "negative": labels, "z_T": z, "count": 2},
        ),
        "walk": Call(lambda **o: list(model.walk(**o))[-1].z, {"condition": labels, **run}),
        "image_to_image": Call(
            model.image_to_image,
            {"x": x, "condition": labels, "strength": 0.5, **run, "sampler": ddim},
        ),
        "inpaint": Call(model.inpaint, {"x": x, "mask": mask, "condition": labels, **run}),
        "interpolate": Call(
            model.interpolate, {"a": 1, "b": 2, "n": 2, "condition": 1, "steps": 1}
        ),
        "denoiser": Call(
            lambda condition, guidance, negative, count: model.denoiser(
                condition, guidance, negative, count
            )(z, torch.tensor(9)).z0,
            {"condition": labels, "guidance": 1.5, "negative": labels, "count": 2},
        ),
        "LatentDiffusion": Call(
            lambda **o: LatentDiffusion(model.autoencoder, model.network, **o).noise(1, 0),
            {"schedule": model.schedule, "latent_size": (4, 4), "parameterization": V,
             "image_size": (16, 16)},
        ),
        "text_to_image": Call(texts.text_to_image, {"prompts": [SHORT, ""], **run}),
        "generate texts": Call(texts.generate, {"condition": tokens, **run, "negative": tokens}),
        "tokenize": Call(tokens_of, {"texts": [SHORT, ""]}),
        "tokens": Call(texts.network.tokens, {"prompts": [SHORT]}),
        "encode tokens": Call(texts.network.encode, {"tokens": tokens}),
        "TextUNet": Call(
            texts.network, {**on, "condition": tokens, "drop": drop}, network=True
        ),
        "UNet": Call(model.network, {**on, "condition": labels, "drop": drop}, network=True),
        "UNet of vectors": Call(words, {**on, "condition": context}, network=True),
        "UNet of maps": Call(maps, {**on, "condition": lines}, network=True),
        "DiT": Call(dit, {**on, "condition": labels, "drop": drop}, network=True),
        "Autoencoder.encode": Call(
            lambda x: model.autoencoder.encode(x).mean, {"x": x}, network=True
        ),
        "Autoencoder.decode": Call(model.autoencoder.decode, {"z": z}, network=True),
        "latent_shape": Call(model.autoencoder.latent_shape, {"size": (16, 16)}),
        "measure_scale": Call(make().autoencoder.measure_scale, {"x": x, "batch": 5}),
        "to_pil": Call(lambda x: bool(images.to_pil(x)), {"x": x}),
        "to_tensor": Call(
            images.to_tensor, {"pictures": x, "size": (8, 8), "mode": "L", "fit": "crop"}
        ),
        "judge": Call(
            lambda x: judge(x).residual,
            {"x": keyed_normal((0,), range(2), (3, 64, 64)).clamp(-1, 1)},
        ),
        "probabilities": Call(
            DigitClassifier(8).probabilities,
            {"x": keyed_normal((0,), range(2), (1, 28, 28)).clamp(-1, 1), "batch": 5},
        ),
    }  # fmt: skip


def outcome(call: Call, name: str, wrong: object) -> str:
    """What came of it: "" if that is allowed."""
    shown = f"{name} = {type(wrong).__name__} {str(wrong)[:60]!r}"
    right_type = isinstance(wrong, int | float | np.ndarray | np.generic | torch.Tensor | range)
    try:
        with torch.no_grad():
            result = call.function(**{**call.arguments, name: wrong})
    except OURS as error:
        return "" if str(error) else f"{shown}: an error without a word"
    except (TypeError, AttributeError) as error:
        raw = right_type and not expected_tensor(call, name, wrong)
        return f"{shown}: {error!r}" if raw else ""
    except Exception as error:  # torch's own words, IndexError, OverflowError, ..
        return f"{shown}: {type(error).__name__}: {str(error)[:100]}"
    tensor = result if isinstance(result, torch.Tensor) else torch.tensor(0.0)
    if tensor.is_floating_point() and not tensor.is_meta and not torch.isfinite(tensor).all():
        return "" if call.network else f"{shown}: NaN came of it"
    nothing = 0 in tensor.shape and not (isinstance(wrong, list) and not wrong)  # of no texts
    return f"{shown}: nothing came of it" if nothing else ""


def expected_tensor(call: Call, name: str, wrong: object) -> bool:
    """A number in the place of a tensor, or the other way round, is a wrong type."""
    wanted = isinstance(call.arguments[name], torch.Tensor)
    return wanted != isinstance(wrong, torch.Tensor | np.ndarray)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", calls())
def test_one_bad_argument_at_a_time(name):
    call = calls()[name]
    call.function(**call.arguments)
    found = [outcome(call, *spoilt) for spoilt in call.spoilt()]
    assert len(found) > 20
    assert not [bad for bad in found if bad]
