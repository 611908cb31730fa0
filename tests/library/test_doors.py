"""Where pictures, latents, conditions and numbers come in: looked at, converted, or named."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from test_latent import make
from test_text import SHORT
from test_text_to_image import make_network as reader

from book.ch05_5_text_to_image.copies import memorised, nearest
from book.ch06_applications.editing import arc, direction, edit_tasks, invert, straight, whole_cells
from book.digit_judge import DigitClassifier
from book.shape_reader import ShapeReader
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine.fit import build
from minildm.latent import LatentDiffusion
from minildm.noise import keyed_normal
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun
from minildm.schedule import CosineSchedule, DiscreteSchedule, cosine_betas
from minildm.shapes.judge import judge, lower_bound
from minildm.shapes.scenes import splits
from minildm.unet import UNet, UNetConfig

STEPS = {"steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def model():
    return make()  # labels 0..2, pictures (1, 16, 16), latents (2, 4, 4)


@pytest.fixture(scope="module")
def texts():
    def parts():
        config = AutoencoderConfig(image_channels=3, latent_channels=2, width=8)
        return Autoencoder(config), reader()

    return LatentDiffusion(*build(parts, 0), DiscreteSchedule(cosine_betas(50)), (4, 4))


@pytest.fixture(scope="module")
def x():
    return keyed_normal((0,), range(2), (1, 16, 16)).clamp(-1, 1)


# --- pictures -------------------------------------------------------------------------------------

ONES = torch.ones(2, 1, 16, 16)
DOORS = {  # everything that takes pictures, and what each makes of them
    "encode": lambda m, x: m.encode(x),
    "image_to_image": lambda m, x: m.image_to_image(x, None, **STEPS),
    "inpaint": lambda m, x: m.inpaint(x, ONES, None, **STEPS),
}
WRONG = [  # a picture of these makes none, whichever door it is shown to
    (lambda x: (127.5 * (x + 1)).to(torch.uint8), "holds bytes"),
    (lambda x: 127.5 * (x + 1), r"in \[-1, 1\]; got 0..255: pictures in 0..255; use x / 127.5 - 1"),
    (lambda x: 3 * x, r"x must be in \[-1, 1\]; got -3..3: rescale, or clamp"),
    (lambda x: torch.where(x > 0.5, torch.nan, x), "NaN or infinite, in picture 0, 1"),
    (lambda x: x.masked_fill(x > 0.9, torch.inf), "NaN or infinite"),
    (lambda x: x[:, 0], r"x must be .*: give one picture as x\[None\]"),
    (lambda x: x[:0], "x must be .*; got .0, 1"),
    (lambda x: x.expand(-1, 3, -1, -1), r"x must be \(B, 1, .*\); got \(2, 3, 16, 16\)"),
    (lambda x: x.permute(0, 2, 3, 1), "channels come first"),
    (lambda x: x > 0, "x must be real numbers"),
    (lambda x: x.long(), "x must be real numbers"),
    (lambda x: "picture", "x must be a tensor or an array of numbers; got str"),
    (lambda x: None, "x must be a tensor or an array of numbers; got NoneType"),
]


@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_picture_is_named_at_every_door(model, x, door):
    for spoil, message in WRONG:
        with pytest.raises(ValueError, match=message):
            DOORS[door](model, spoil(x))


@pytest.mark.parametrize("door", DOORS)
def test_arrays_and_other_precisions_are_taken(model, x, door):
    plain = DOORS[door](model, x)
    assert plain.dtype == torch.float32
    for same in (x.double(), x.numpy(), x.double().numpy(), x.tolist()):
        torch.testing.assert_close(DOORS[door](model, same), plain)
    half = DOORS[door](model, x.half())
    torch.testing.assert_close(half, plain, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("door", DOORS)
def test_pictures_in_zero_to_one_warn(model, x, door):
    with pytest.warns(UserWarning, match=r"no negative value: .* use 2 x - 1"):
        DOORS[door](model, (x + 1) / 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DOORS[door](model, x)


def test_another_size_is_named_in_the_models_words(model):
    big = torch.zeros(2, 1, 20, 20)
    for call in (
        lambda: model.image_to_image(big, [0, 1]),
        lambda: model.inpaint(big, torch.ones(2, 1, 20, 20), [0, 1]),
    ):
        with pytest.raises(ValueError, match=r"x must be \(B, 1, 16, 16\) for this model"):
            call()
    assert model.encode(big).shape == (2, 2, 5, 5)  # a round trip may have any size
    assert model.decode(model.encode(big)).shape == big.shape
    assert model.image_shape == (1, 16, 16)


def test_masks_are_taken_as_arrays_and_named_if_wrong(model, x):
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., :8] = 1
    plain = model.inpaint(x, mask, [0, 1], **STEPS)
    for same in (mask.bool(), mask.numpy(), mask.to(torch.uint8), mask.double()):
        assert torch.equal(model.inpaint(x, same, [0, 1], **STEPS), plain)
    assert torch.equal(plain[..., 8:], x[..., 8:])
    for wrong in (None, mask[:, :, :8], mask[:1], mask * 0.5, mask * torch.nan, 2 * mask, "left"):
        with pytest.raises(ValueError, match="mask must"):
            model.inpaint(x, wrong, [0, 1], **STEPS)


def test_a_model_in_double_or_in_bfloat16_draws(x):
    for dtype, close in ((torch.float64, 1e-4), (torch.bfloat16, 0.2)):
        cast = make().to(dtype)
        assert cast.encode(x).dtype == dtype
        drawn = cast.generate([0, 1], **STEPS)
        torch.testing.assert_close(
            drawn.float(), make().generate([0, 1], **STEPS), atol=close, rtol=0
        )


# --- latents --------------------------------------------------------------------------------------


def test_latents_are_looked_at_before_they_are_decoded(model):
    z = model.noise(2, 0)
    plain = model.decode(z)
    for same in (z.double(), z.numpy(), z.tolist()):
        torch.testing.assert_close(model.decode(same), plain)
    torch.testing.assert_close(model.decode(z.half()), plain, atol=0.05, rtol=0.05)
    for wrong, message in (
        (z[:, :1], r"z0 must be \(B, 2, h, w\) for this model; got \(2, 1, 4, 4\)"),
        (z[0], r"z0 must be \(B, 2, h, w\)"),
        (z[:0], r"z0 must be \(B, 2, h, w\)"),
        (torch.where(z > 1, torch.nan, z), "z0 has .* NaN or infinite"),
        (z.long(), "z0 must be a tensor of real numbers"),
        (None, "z0 must be a tensor"),
    ):
        with pytest.raises(ValueError, match=message):
            model.decode(wrong)
    for batch in (0, -1, 2.5, "all"):
        with pytest.raises(ValueError, match="batch must be a whole number"):
            model.decode(z, batch=batch)
        with pytest.raises(ValueError, match="batch must be a whole number"):
            model.encode(torch.zeros(1, 1, 16, 16), batch=batch)


@pytest.mark.parametrize("sampler", [ddim, ddpm])
def test_a_start_of_another_size_is_refused_for_every_sampler(model, sampler):
    for shape in ((1, 2, 1, 1), (1, 2, 14, 14), (1, 3, 4, 4), (2, 4, 4), (0, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"z_T must be \(B, 2, 4, 4\) for this model"):
            model.generate(None, z_T=torch.randn(shape), sampler=sampler, **STEPS)
    with pytest.raises(ValueError, match="z_T has 32 entries that are NaN"):
        model.generate(None, z_T=torch.full((1, 2, 4, 4), torch.nan), **STEPS)
    z_T = model.noise(2, 3)
    plain = model.generate([0, 1], z_T=z_T, **STEPS)
    torch.testing.assert_close(model.generate([0, 1], z_T=z_T.double().numpy(), **STEPS), plain)


# --- conditions -----------------------------------------------------------------------------------


def test_labels_come_as_lists_arrays_and_tensors_of_any_whole_type(model):
    plain = model.generate(torch.tensor([0, 1, 2]), **STEPS)
    labels = np.arange(3)
    for same in (
        range(3), [0, 1, 2], (0, 1, 2), labels, labels.astype(np.int32), labels.astype(np.uint8),
        list(labels), torch.arange(3, dtype=torch.int32), [torch.tensor(i) for i in range(3)],
    ):  # fmt: skip
        assert torch.equal(model.generate(same, **STEPS), plain), same
    one = model.generate([1], **STEPS)
    for same in (1, np.int64(1), torch.tensor(1), np.array([1]), torch.tensor([1]).int()):
        assert torch.equal(model.generate(same, **STEPS), one)
    nothing = model.generate(None, **STEPS)
    torch.testing.assert_close(model.generate([3], guidance=1.0, **STEPS), nothing)  # the null
    assert model.generate(np.int32(2), count=np.int64(3), **STEPS).shape[0] == 3


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ([None, 2], r"condition\[0\] is None; the label for no condition is 3"),
        ([0, 7], r"labels must be in 0..2 \(or 3: no condition\); condition\[1\] is 7"),
        (torch.tensor([0, 4]), r"labels must be in 0..2 .* condition\[1\] is 4"),
        ([-1], "labels must be in 0..2"),
        (10**30, "labels must be in 0..2"),
        ([0.5, 1.0], r"condition\[0\] must be a whole number; got 0.5"),
        (torch.tensor([0.0, 1.0]), r"must be whole numbers; got torch.float32: use .long\(\)"),
        (np.array([0.0]), "must be whole numbers"),
        (torch.tensor([True]), "must be whole numbers; got torch.bool"),
        (True, "condition must be a whole number; got True"),
        ([[0, 1]], r"condition\[0\] must be a whole number"),
        (torch.zeros(1, 2, dtype=torch.int64), r"condition\[0\] must be a whole number"),
        ([], "condition is empty"),
        (torch.zeros(0, dtype=torch.int64), "condition is empty"),
        ("two", "this model does not read text; got condition = 'two'"),
        (["two", "one"], "this model does not read text"),
        (["two", 1], r"condition\[0\] must be a whole number; got 'two'"),
        ({"label": 1}, "condition must be a whole number"),
    ],
)
def test_a_label_that_there_is_not_is_named(model, condition, message):
    with pytest.raises(ValueError, match=message):
        model.generate(condition, **STEPS)


def test_negatives_are_looked_at_like_conditions(model):
    with pytest.raises(ValueError, match="negative has 3 entries for 2 images"):
        model.generate([0, 1], negative=[0, 1, 2], **STEPS)
    with pytest.raises(ValueError, match=r"labels must be .* negative is 9"):
        model.generate([0, 1], negative=9, **STEPS)
    with pytest.raises(ValueError, match="negative needs a condition"):
        model.generate(None, negative=[1], **STEPS)
    plain = model.generate([0, 1], negative=torch.tensor([2, 2]), **STEPS)
    assert torch.equal(model.generate([0, 1], negative=np.int32(2), **STEPS), plain)


def test_count_conditions_and_noise_agree_or_are_refused(model):
    z_T = model.noise(2, 0)
    for count in (-2, 0, 2.5, "abc", float("nan"), 10**12):
        for condition in (None, 1, [0, 1]):
            with pytest.raises(ValueError, match="count must be a whole number"):
                model.generate(condition, count=count, **STEPS)
    with pytest.raises(ValueError, match="count = 10, but condition has 2 entries: leave count"):
        model.generate([0, 1], count=10, **STEPS)
    with pytest.raises(ValueError, match="count = 3, but z_T has 2 entries"):
        model.generate(1, z_T=z_T, count=3, **STEPS)
    with pytest.raises(ValueError, match="condition has 3 entries for 2 images"):
        model.generate([0, 1, 2], z_T=z_T, **STEPS)
    assert len(model.generate([0, 1], count=2, **STEPS)) == 2
    with pytest.raises(ValueError, match="count must be a whole number"):
        model.noise(-1)


def test_what_is_no_prompt_is_named(texts):
    for prompts in (None, 3, [None], [SHORT, 3], np.zeros(2), b"bytes", {"a": 1}):
        with pytest.raises(ValueError, match="a text or a list of texts .* is no text"):
            texts.text_to_image(prompts, **STEPS)
    for condition, message in (
        (3, "condition must be a text, a list of texts, or token numbers"),
        ([SHORT, None], "condition mixes texts and other things"),
        (torch.zeros(1, 14, 5), r"condition must be \(1, L, 16\) vectors"),
        (torch.full((1, 14, 16), torch.nan), "condition has 224 entries that are NaN"),
        (torch.full((1, 3), 99), "tokens must be in 0..27"),
        ([], "condition is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            texts.generate(condition, **STEPS)
    tokens = texts.network.tokens(SHORT)
    plain = texts.text_to_image(SHORT, **STEPS)
    for same in (tokens, tokens.int(), tokens.numpy(), texts.network.encode(tokens).detach()):
        torch.testing.assert_close(texts.generate(same, **STEPS), plain)


def test_a_model_without_a_condition_says_so():
    network = build(lambda: UNet(UNetConfig(channels=2, width=8, heads=1)), 0)
    autoencoder = Autoencoder(AutoencoderConfig(latent_channels=2, width=8))
    model = LatentDiffusion(autoencoder, network, CosineSchedule(), (4, 4))
    with pytest.raises(ValueError, match="this model has no condition; give condition = None"):
        model.generate([1], **STEPS)
    assert len(model.generate(None, count=2, **STEPS)) == 2


# --- numbers --------------------------------------------------------------------------------------


def test_numpys_numbers_are_numbers(model, x):
    plain = model.generate([0], steps=3, seed=7, guidance=1.5)
    same = model.generate(
        [0], steps=np.int64(3), seed=np.int64(7), guidance=np.float32(1.5), sampler=ddim
    )
    assert torch.equal(same, plain)
    big = 2**63 + 5
    assert torch.equal(model.noise(1, np.uint64(big)), model.noise(1, big))
    a = model.image_to_image(x, [0, 1], np.float64(0.5), steps=np.int32(4), seed=np.int8(1))
    assert torch.equal(a, model.image_to_image(x, [0, 1], 0.5, steps=4, seed=1))
    a = model.interpolate(np.int64(1), np.int64(2), np.int64(3), steps=2)
    assert torch.equal(a, model.interpolate(1, 2, 3, steps=2))


@pytest.mark.parametrize(
    ("option", "values", "message"),
    [
        ("seed", (1.5, "a", torch.Generator(), [1, 2], True), "seed must be a whole number; got"),
        ("steps", (0, -1, 2.5, "ten", None, 10**9, True), "steps must be a"),
        ("steps", (51,), "steps must be .* 1..50; got 51"),
        ("guidance", ("2", float("nan"), float("inf"), [2]), "guidance must be a"),
        ("guidance", (1e300, -1e6, 1001), "guidance must be in -1000..1000; .*: lower guidance"),
        ("sampler", ("ddim", None, 3), "sampler must be a step function, such as ddim"),
    ],
)  # fmt: skip
def test_a_number_that_makes_no_sense_is_named_before_the_first_step(
    model, x, option, values, message
):
    mask = torch.ones_like(x)
    for value in values:
        options = {"steps": 2, "seed": 0, option: value}
        for call in (
            partial(model.generate, [0, 1]),
            partial(model.image_to_image, x, [0, 1], 0.5),
            partial(model.inpaint, x, mask, [0, 1]),
            lambda **options: model.walk([0, 1], **options),
        ):
            with pytest.raises(ValueError, match=message):
                call(**options)


def test_strength_ends_and_their_number_are_numbers(model, x):
    for strength in (0, -0.1, 1.01, float("nan"), "half", None, float("inf")):
        with pytest.raises(ValueError, match="strength must be"):
            model.image_to_image(x, [0, 1], strength)
    for a, b, n, name in ((1.5, 2, 3, "a"), (1, "b", 3, "b"), (1, 2, 2.5, "n"), (1, 2, -1, "n"),
                          (None, 2, 3, "a"), (1, 2, 10**12, "n")):  # fmt: skip
        with pytest.raises(ValueError, match=f"^{name} must be"):
            model.interpolate(a, b, n)


def test_no_guidance_that_is_allowed_overflows():
    """1,000 in the finest walk of the coarse schedule, with every step."""
    model = make()
    for sampler in (ddim, dpmpp_2m, heun, ddpm):
        for guidance in (-1000, 1000):
            drawn = model.generate([0, 1], steps=50, guidance=guidance, sampler=sampler, seed=0)
            assert torch.isfinite(drawn).all()


def test_interpolation_goes_evenly_along_the_arc(model, monkeypatch):
    """Angle u, not u² or sin u: neighbours are equally far apart."""
    starts = []
    monkeypatch.setattr(
        model, "generate", lambda condition, z_T, **_: starts.append(z_T) or model.decode(z_T)
    )
    n = 7
    model.interpolate(3, 8, n)
    z_a, z_b = model.noise(1, 3), model.noise(1, 8)
    angle = torch.linspace(0, torch.pi / 2, n)
    for k in range(n):
        wanted = angle[k].cos() * z_a[0] + angle[k].sin() * z_b[0]
        torch.testing.assert_close(starts[0][k], wanted, atol=1e-5, rtol=0)


# --- editing and judges ---------------------------------------------------------------------------


def test_inversion_looks_at_pictures_and_prompts(texts):
    x = keyed_normal((3,), range(2), (3, 16, 16)).clamp(-1, 1)
    both = invert(texts, x, [SHORT, SHORT], steps=3)
    torch.testing.assert_close(invert(texts, x.numpy(), SHORT, steps=3), both)
    for wrong, prompts, message in (
        (x, [SHORT], "condition has 1 entries for 2 images"),
        (x, None, "a text or a list of texts"),
        (x[:, :, :8], [SHORT] * 2, r"x must be \(B, 3, 16, 16\) for this model"),
        (255 * x, [SHORT] * 2, r"x must be in \[-1, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            invert(texts, wrong, prompts, steps=3)
    other = LatentDiffusion(texts.autoencoder, texts.network, CosineSchedule(), (4, 4))
    with pytest.raises(ValueError, match="needs a discrete schedule; this model's is CosineSch"):
        invert(other, x, SHORT)


def test_editing_names_what_it_cannot_use():
    table = splits().validation
    for n in (0, 1, 2.5, -4):
        with pytest.raises(ValueError, match="n must be a whole number >= 2"):
            edit_tasks(table, n)
    tasks = edit_tasks(table, np.int64(4), seed=np.int64(1), names="colour")
    assert torch.equal(tasks.rows, edit_tasks(table, 4, seed=1, names=("colour",)).rows)
    with pytest.raises(ValueError, match=r"x must be \(B, 1, H, W\)"):  # colour to a grey model
        direction(make(), tasks)
    z = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for way in (straight, arc):
        with pytest.raises(ValueError, match="NaN or infinite"):
            way(z * torch.nan, z + 1, 0.5)
        with pytest.raises(ValueError, match="has shape"):
            way(z, z[:1], 0.5)
    with pytest.raises(ValueError, match="multiples of factor = 7"):
        whole_cells(torch.ones(1, 1, 64, 64), 7)


@pytest.mark.parametrize(
    ("look", "shape"),
    [
        (lambda x: DigitClassifier(8).probabilities(x), (2, 1, 28, 28)),
        (lambda x: ShapeReader(8).features(x), (2, 3, 64, 64)),
        (lambda x: ShapeReader(8).read(x), (2, 3, 64, 64)),
        (judge, (2, 3, 64, 64)),
    ],
)
def test_judges_look_at_pictures_only(look, shape):
    x = keyed_normal((0,), range(2), shape[1:]).clamp(-1, 1)
    look(x), look(x.double()), look(x.half())
    look(x + 0.3)  # a decoder may overshoot
    for wrong, message in (
        ((127.5 * (x + 1)).to(torch.uint8), "bytes"),
        (127.5 * (x + 1), "0..255"),
        (x[:, :, :20], "x must be"),
        (x[:0], "x must be"),
        (x[0], "x must be"),
        (None, "x must be"),
    ):
        with pytest.raises(ValueError, match=message):
            look(wrong)
    if look is not judge:  # it refuses such pictures, and goes on with the others
        with pytest.raises(ValueError, match="NaN or infinite"):
            look(torch.where(x > 0.9, torch.nan, x))


def test_shares_and_neighbours_of_nothing_are_no_numbers():
    x = torch.zeros(2, 3, 64, 64)
    for data in (x[:0], torch.zeros(2, 3, 32, 32)):
        with pytest.raises(ValueError, match="data must be"):
            nearest(x, data)
    with pytest.raises(ValueError, match="NaN or infinite"):
        nearest(x * torch.nan, x)
    for hits, tries in ((2.5, 4), (1, float("nan")), ("1", 2)):
        with pytest.raises(ValueError, match="must be a whole number"):
            lower_bound(hits, tries)
    assert lower_bound(np.int64(3), np.int64(4)) == lower_bound(3, 4)
    with pytest.raises(ValueError, match="verdict is of no picture"):
        memorised(type("V", (), {"rows": x[:0]}), None)
