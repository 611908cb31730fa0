"""Sizes of networks: each field is looked at, named with its value and range, and none ignored."""

import json
import time
from dataclasses import asdict, fields, is_dataclass

import numpy as np
import pytest

from book.ch08_outlook.dit import DiTConfig
from minildm.autoencoder import AutoencoderConfig, FoldingConfig
from minildm.shapes.captions import text_config
from minildm.text import TextEncoderConfig, TextUNetConfig
from minildm.unet import UNet, UNetConfig

KINDS = AutoencoderConfig, UNetConfig, TextEncoderConfig, TextUNetConfig, FoldingConfig, DiTConfig
TEXT = text_config()
GIVEN = {TextEncoderConfig: {"words": TEXT.words}, TextUNetConfig: {"text": TEXT}}  # no default
NONSENSE = (-1, -8, 10.5, float("nan"), float("inf"), "8", None, True, 10**12, [8], -(10**30))
ALLOWED = {"pool": [True], "time_scale": [10.5], "multipliers": [[8]]}  # of these


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_every_kind_refuses_what_makes_no_sense(kind):
    looked_at = 0
    for field in fields(kind):
        for value in NONSENSE:
            if type(value) in (bool, float, list) and value in ALLOWED.get(field.name, []):
                continue
            with pytest.raises(ValueError, match=field.name):
                kind(**{**GIVEN.get(kind, {}), field.name: value})
            looked_at += 1
    assert looked_at > 10


@pytest.mark.parametrize("kind", KINDS)
def test_numpys_numbers_are_taken_and_kept_as_pythons(kind):
    plain = kind(**GIVEN.get(kind, {}))
    values = {
        f.name: np.int32(getattr(plain, f.name))
        for f in fields(kind)
        if type(getattr(plain, f.name)) is int
    }
    config = kind(**{**GIVEN.get(kind, {}), **values})
    assert config == plain
    assert json.loads(json.dumps(asdict(config))) == json.loads(json.dumps(asdict(plain)))
    for f in fields(kind):
        assert is_dataclass(getattr(config, f.name)) or type(getattr(config, f.name)) in (
            int, float, bool, tuple, str,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNetConfig(attention=(5,)), r"attention\[0\] must be .* 0..1; got 5"),
        (lambda: UNetConfig(attention=(0, -1)), r"attention\[1\] must be a whole number in 0..1"),
        (lambda: UNetConfig(attention="01"), "attention must be several whole numbers"),
        (lambda: UNetConfig(multipliers=()), "multipliers must have 1 to 16 entries"),
        (lambda: UNetConfig(multipliers=(1, -2)), r"multipliers\[1\] must be .* got -2"),
        (lambda: UNetConfig(multipliers=(1,) * 17), "must have 1 to 16 entries.* got 17"),
        (lambda: UNetConfig(multipliers=2), r"several whole numbers, such as \(1, 2\); got 2"),
        (lambda: UNetConfig(heads=0), "heads must be a whole number in 1..16384; got 0"),
        (lambda: UNetConfig(width=80_000), "width must be a whole number in 1..16384; got 80000"),
        (lambda: UNetConfig(blocks=100_000), "blocks must be a whole number in 1..100; got 100000"),
        (lambda: UNetConfig(time_scale=0), "time_scale must be a finite number in"),
        (lambda: UNetConfig(pool=1, context_dim=8), "pool must be True or False; got 1"),
        (lambda: AutoencoderConfig(width=256), "max_width must be at least width = 256"),
        (lambda: AutoencoderConfig(width=12, max_width=12), "multiples of 8"),
        (lambda: AutoencoderConfig(width=0), "width must be a whole number in 1.."),
        (lambda: TextEncoderConfig(["b", "a", "b"]), "words must differ .* got 'b' twice"),
        (lambda: TextEncoderConfig(["a"], length=0), "length must be a whole number in 1.."),
        (lambda: TextEncoderConfig(["a"], heads=0), "heads must be a whole number in 1.."),
        (lambda: TextUNetConfig(text=UNetConfig()), "text must be a TextEncoderConfig; got UNet"),
        (lambda: TextUNetConfig(TEXT, unet={"widht": 3}), "unet: .*widht"),
        (lambda: TextEncoderConfig([]), "words must be the list of all words"),
        (lambda: TextEncoderConfig(["a", "Two words"]), "lower case; got 'Two words'"),
        (lambda: TextEncoderConfig(["a"], grammar="x"), "grammar must be one of '', 'captions'"),
        (lambda: FoldingConfig(factor=0), "factor must be a whole number in 1..1024; got 0"),
        (lambda: DiTConfig(classes=-1), "classes must be a whole number in 0.."),
        (lambda: DiTConfig(depth=10**6), "depth must be a whole number in 1..1000"),
    ],
)  # fmt: skip
def test_the_message_names_field_value_and_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_attention_stands_at_the_levels_that_were_asked_for():
    net = UNet(UNetConfig(width=8, heads=1, multipliers=[1, 2], attention=np.array([1])))
    stages = [stage for stage in (*net.down, *net.up) if hasattr(stage, "attend")]
    assert [s.attend is not None for s in stages] == [False, True, True, True, False, False]


def test_a_slip_of_the_pen_ends_at_once():
    begin = time.perf_counter()
    for field in ("channels", "width", "blocks", "heads", "classes"):
        with pytest.raises(ValueError, match=field):
            UNetConfig(**{field: 10**12})
    assert time.perf_counter() - begin < 5
