"""Valid calls of models, networks, judges and configurations, for test_fuzz.py."""

from dataclasses import fields, is_dataclass
from functools import partial

import numpy as np
import torch
from fuzz_values import Call

from minildm import noise
from minildm.autoencoder import Autoencoder, AutoencoderConfig, FoldingConfig
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.files import images
from minildm.latent import LatentDiffusion
from minildm.predict import V
from minildm.samplers import ddim
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes import judge
from minildm.shapes import scenes as shapes
from minildm.shapes.captions import text_config
from minildm.text import TextEncoderConfig, TextUNet, TextUNetConfig
from minildm.train import AutoencoderTraining, DenoiserTraining
from minildm.unet import UNet, UNetConfig
from minildm.words import tokenize

D = DiscreteSchedule(cosine_betas(20))
SMALL = UNetConfig(channels=2, width=8, multipliers=(1,), heads=2, classes=3)
WORDS = TextUNetConfig(
    text_config(dim=8, layers=1, heads=2),
    UNetConfig(channels=2, width=8, multipliers=(1,), heads=2),
)
AE = build(lambda: Autoencoder(AutoencoderConfig(latent_channels=2, width=8)), 0).eval()
NET, TEXT = (build(lambda c=c, k=k: k(c), 0).eval() for c, k in ((SMALL, UNet), (WORDS, TextUNet)))
MODEL, WRITER = (LatentDiffusion(AE, net, D, (4, 4), V) for net in (NET, TEXT))
X = noise.keyed_normal((0,), range(2), (1, 16, 16)).clamp(-1, 1)
Z, T, LABELS = MODEL.noise(2, 0), torch.tensor([3, 17]), torch.tensor([0, 2])
MASK = torch.zeros(2, 1, 16, 16)
MASK[:, :, :8] = 1
PROMPTS = ["a red star above a blue circle", "a red star left of a blue circle"]
ROWS = shapes.every_row()[::60_000]
PLACES = shapes.draw_places(ROWS, torch.full((len(ROWS), 4), 0.5))
SEEN = judge.judge(shapes.render(ROWS, PLACES))
NONE = {"None"}  # what means "not given"


def call(function, /, may=None, name=None, loud=False, **arguments) -> Call:
    return Call(name or function.__name__, torch.no_grad()(function), arguments, may or {}, loud)


def fields_of(kind, /, may=None, **changes) -> Call:
    """A configuration, every plain field of it one at a time."""
    valid = kind(**changes)
    values = {f.name: getattr(valid, f.name) for f in fields(kind)}
    values = {name: value for name, value in values.items() if not is_dataclass(value)}

    def made(**arguments):
        config = kind(**{**changes, **arguments})
        return [getattr(config, name) for name in values]

    return Call(kind.__name__, made, values, may or {})


OPTIONS = {"steps": 2, "sampler": ddim, "guidance": 2.0, "seed": 0}
LATENT = [
    call(MODEL.encode, x=X, batch=2),
    call(MODEL.decode, z0=Z, batch=2),
    call(MODEL.noise, may={"seed": NONE}, count=2, seed=0),
    call(MODEL.generate, name="generate", **OPTIONS, condition=[0, 2], negative=[1, 1], z_T=Z,
         may={"guidance": NONE, "seed": NONE, "negative": NONE, "z_T": NONE}),
    call(MODEL.generate, name="generate, one for all", condition=LABELS[0], count=2, steps=2,
         may={"condition": NONE, "count": NONE}),
    call(MODEL.image_to_image, **OPTIONS, x=X, condition=LABELS, strength=0.5,
         may={"guidance": NONE, "seed": NONE, "condition": NONE}),
    call(MODEL.inpaint, **OPTIONS, x=X, mask=MASK, condition=LABELS,
         may={"guidance": NONE, "seed": NONE, "condition": NONE}),
    call(MODEL.interpolate, a=0, b=1, n=2, condition=1, steps=2, may={"condition": NONE}),
    call(lambda size, kind: LatentDiffusion(AE, NET, D, size, kind).latent_shape,
         name="LatentDiffusion", size=(4, 4), kind=V, may={"kind": NONE, "size": {"list"}}),
    call(WRITER.text_to_image, **OPTIONS, prompts=PROMPTS, negative=PROMPTS[::-1],
         may={"guidance": NONE, "seed": NONE, "negative": NONE}),
    call(lambda tokens: WRITER.generate(tokens, steps=2, seed=0), name="generate of tokens",
         tokens=tokenize(PROMPTS, WORDS.text), may={"tokens": {"short", "long", "None"}}),
    call(partial(tokenize, language=WORDS.text), name="tokenize", texts=PROMPTS),
]  # fmt: skip
ONE_TIME = {"t": {"short"}}
NETWORKS = [
    call(NET.forward, name="UNet", z_t=Z, t=T, condition=LABELS, loud=True,
         may={"condition": NONE} | ONE_TIME),
    call(TEXT.forward, name="TextUNet", z_t=Z, t=T, loud=True,
         condition=tokenize(PROMPTS, WORDS.text), may={"condition": NONE} | ONE_TIME),
    call(lambda x, eps: AE(x, eps), name="Autoencoder", loud=True, x=X, eps=Z),
    call(lambda x: AE.encode(x), name="Autoencoder.encode", loud=True, x=X),
    call(lambda z: AE.decode(z), name="Autoencoder.decode", loud=True, z=Z),
    call(AE.latent_shape, size=(16, 16)),
]  # fmt: skip
JUDGES = [
    call(judge.judge, x=shapes.render(ROWS, PLACES), batch=2,
         may={"x": {"NaN", "infinite", "-infinite"}}),  # refused pictures, and it says so
    call(judge.caption_accuracy, verdict=SEEN, rows=ROWS),
    call(judge.lower_bound, hits=3, tries=5),
    call(partial(images.to_tensor, np.zeros((4, 6), np.uint8)), name="to_tensor", size=(2, 3),
         mode="L", fit="crop", may={"size": NONE}),
    call(lambda x: [np.asarray(one).sum() for one in images.to_pil(x)], name="to_pil", x=X),
]  # fmt: skip
NOISE = [
    call(lambda part: noise.mix(part, 1), name="mix", part=5),
    call(
        noise.keyed_normal,
        may={"key": {"short"}, "shape": {"short"}},
        key=(0, 1),
        indices=LABELS,
        shape=(2, 3),
    ),
    call(noise.keyed_uniform, may={"key": {"short"}}, key=(0, 1), indices=LABELS),
]
CONFIGS = [
    fields_of(FitConfig),
    fields_of(UNetConfig, classes=3, attention=(1,)),
    fields_of(AutoencoderConfig),
    fields_of(FoldingConfig),
    fields_of(TextEncoderConfig, words=WORDS.text.words),
    fields_of(TextUNetConfig, text=WORDS.text),
    fields_of(AutoencoderTraining),
    fields_of(DenoiserTraining, may={"min_snr": NONE}, min_snr=5.0),
]
MODULES = {
    "latent": LATENT, "networks": NETWORKS, "judge, images": JUDGES,
    "noise": NOISE, "configurations": CONFIGS,
}  # fmt: skip
