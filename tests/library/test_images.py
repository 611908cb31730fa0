"""Pictures in and out: every kind of picture file and array, and back to PNG."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from minildm.files.images import png_path, save_png, to_pil, to_tensor

CHINA, FLOWER = load_sample_images().filenames  # photographs that scikit-learn comes with
RED = (255, 0, 0)


def grey(rows):
    return np.array(rows, dtype=np.uint8)


def check_value(x, value):
    torch.testing.assert_close(x, torch.full_like(x, value), atol=1e-6, rtol=0)


# --- in -------------------------------------------------------------------------------------------


def test_a_photograph_keeps_its_pixels():
    x = to_tensor(CHINA)
    assert x.shape == (1, 3, 427, 640) and x.dtype == torch.float32
    wanted = np.asarray(Image.open(CHINA)).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(x[0], wanted, atol=1e-6)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_photographs_of_any_size_become_one_batch(mode, channels):
    x = to_tensor([CHINA, FLOWER], size=(64, 48), mode=mode)
    assert x.shape == (2, channels, 64, 48) and -1 <= x.min() < 0 < x.max() <= 1


def test_resizing_averages_over_what_a_pixel_covers_and_agrees_with_pillow():
    x = to_tensor(CHINA, size=(32, 48), fit="stretch")
    theirs = Image.open(CHINA).resize((48, 32), Image.Resampling.BICUBIC)
    difference = (x - to_tensor(theirs)).abs()
    assert difference.max() < 0.03 and difference.mean() < 0.006  # theirs is rounded to bytes twice
    fine = torch.arange(64) % 2  # stripes of one pixel are grey from far away
    x = to_tensor(np.tile(fine.numpy() * 255, (64, 1)).astype(np.uint8), size=16, mode="L")
    assert x[..., 2:-2].abs().max() < 0.05


def test_crop_cuts_the_middle_pad_adds_white_stretch_keeps_all():
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, :10, 0] = wide[:, 10:20, 1] = wide[:, 20:, 2] = 255  # red, green, blue
    middle = to_tensor(wide, size=10)[0]
    assert (middle[1] == 1).all() and (middle[0] == -1).all() and (middle[2] == -1).all()
    padded = to_tensor(wide, size=30, fit="pad")[0]
    assert (padded[:, :10] == 1).all() and (padded[:, 20:] == 1).all()
    np.testing.assert_allclose(padded[:, 10:20], to_tensor(wide)[0])
    stretched = to_tensor(wide, size=9, fit="stretch")[0]
    assert stretched[0, 4, 0] > 0.9 and stretched[1, 4, 4] > 0.9 and stretched[2, 4, 8] > 0.9
    assert to_tensor(wide.transpose(1, 0, 2), size=(8, 30), fit="pad").shape == (1, 3, 8, 30)


def test_one_column_of_a_long_picture_is_still_a_picture():
    assert to_tensor(np.zeros((1, 4000), np.uint8), size=8, fit="pad").shape == (1, 3, 8, 8)
    assert to_tensor(np.zeros((1, 4000), np.uint8), size=8, fit="crop").shape == (1, 3, 8, 8)


def test_every_mode_of_pillow_is_read():
    red = Image.new("RGB", (4, 3), RED)
    for mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV"):
        x = to_tensor(red.convert(mode))
        assert x.shape == (1, 3, 3, 4)
        assert (x[0, 0] > 0.97).all() and (x[0, 1:] < -0.97).all(), mode
    for mode in ("1", "L", "LA", "F"):
        value = 1.0 if mode == "F" else 255 if mode != "LA" else (255, 255)
        check_value(to_tensor(Image.new(mode, (4, 3), value), mode="L"), 1.0)


def test_a_mode_that_pillow_cannot_convert_is_named(monkeypatch):
    def refuse(*_):
        raise ValueError("conversion from LAB to RGB not supported")

    monkeypatch.setattr(Image.Image, "convert", refuse)  # some versions of Pillow do so
    with pytest.raises(ValueError, match="mode LAB, which has no way to RGB"):
        to_tensor(Image.new("LAB", (4, 3)))


def test_sixteen_bits_are_not_cut_at_255():
    levels = np.array([[0, 300, 65535]], dtype=np.uint16)
    wanted = torch.tensor([[[[-1, 600 / 65535 - 1, 1]]]])
    for picture in (levels, Image.fromarray(levels), Image.fromarray(levels.astype(np.int32))):
        torch.testing.assert_close(to_tensor(picture, mode="L"), wanted, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="picture 0 holds 0..70000; grey levels must be in 0"):
        to_tensor(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)))


def test_what_is_transparent_becomes_white():
    picture = np.zeros((2, 2, 4), dtype=np.uint8)
    picture[0, 0, 3] = 255  # one opaque black pixel
    picture[1, 1, 3] = 51  # and one that is a fifth black
    x = to_tensor(Image.fromarray(picture))
    assert (x[0, :, 0, 0] == -1).all() and (x[0, :, 0, 1] == 1).all()
    check_value(x[0, :, 1, 1], 0.6)
    torch.testing.assert_close(to_tensor(picture), x)  # the array itself too
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([*RED, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.info["transparency"] = 0
    x = to_tensor(palette)
    assert x[0, :, 0, 0].tolist() == [1, 1, 1] and x[0, :, 0, 1].tolist() == [-1, -1, 1]


def test_a_photograph_is_turned_as_its_camera_noted(tmp_path):
    image = Image.new("RGB", (8, 4))
    image.paste(RED, (0, 0, 8, 2))  # red above black
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held on its side: turn clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    x = to_tensor(tmp_path / "turned.png")
    assert x.shape == (1, 3, 8, 4) and (x[0, 0, :, 2:] == 1).all() and (x[0, 0, :, :2] == -1).all()


def test_arrays_of_bytes_and_of_real_numbers_mean_the_same():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for same in (picture / 255, (picture / 255).astype(np.float32), picture[None]):
        torch.testing.assert_close(to_tensor(same), to_tensor(picture), atol=1e-6, rtol=0)
    assert to_tensor(picture[:, :, 0]).shape == (1, 3, 4, 4)
    x = to_tensor(picture)
    assert torch.equal(to_tensor(x), x)  # a tensor is taken as it is
    assert to_tensor([picture, x[0]]).shape == (2, 3, 4, 4)
    check_value(to_tensor(np.full((2, 2, 3), RED, np.uint8), mode="L"), 2 * 0.299 - 1)


def test_a_folder_is_read_by_name(tmp_path):
    for name, level in (("b.png", 255), ("a.PNG", 0), ("note.txt", None)):
        if level is None:
            (tmp_path / name).write_text("no picture")
        else:
            Image.new("L", (4, 4), level).save(tmp_path / name)
    x = to_tensor(tmp_path)
    assert x.shape == (2, 3, 4, 4) and (x[0] == -1).all() and (x[1] == 1).all()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no picture in the folder"):
        to_tensor(tmp_path / "empty")


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        ([CHINA, np.zeros((4, 4), np.uint8)], {}, "picture 1 is 4 x 4 and .*china.jpg is 427"),
        (CHINA, {"mode": "rgb"}, 'mode must be "RGB" or "L"; got \'rgb\''),
        (CHINA, {"fit": "centre"}, "fit must be one of crop, pad, stretch; got 'centre'"),
        (CHINA, {"size": 0}, "size must be a whole number in 1..65536; got 0"),
        (CHINA, {"size": (3, 4, 5)}, r"size must be \(height, width\)"),
        ([], {}, "pictures is empty"),
        (np.zeros((0, 4, 4, 3), np.uint8), {}, "pictures is empty"),
        (np.zeros((3, 4, 4, 3, 1)), {}, r"picture 0 must be \(H, W\) or \(H, W, 1 to 4\)"),
        (np.zeros((3, 40, 40)), {}, r"channels come last, use .transpose\(1, 2, 0\)"),
        (np.full((4, 4), 255.0), {}, r"must hold real numbers in \[0, 1\]; got 255..255"),
        (np.full((4, 4), -0.5), {}, r"\(x \+ 1\) / 2 for \[-1, 1\]"),
        (np.full((4, 4), np.nan), {}, r"must hold real numbers in \[0, 1\]; got nan"),
        (np.zeros((4, 4), np.int64), {}, "got int64: use .astype"),
        (torch.zeros(4, 4), {}, r"pictures must be \(B, C, H, W\)"),
        (torch.full((1, 3, 4, 4), 2.0), {}, r"pictures must be in \[-1, 1\]"),
        (None, {}, "picture 0 must be a path, .* got NoneType"),
        ([[0.5]], {}, "picture 0 must be a path, .* got list"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_named(pictures, options, message):
    with pytest.raises(ValueError, match=message):
        to_tensor(pictures, **options)


def test_files_that_are_missing_or_damaged_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no picture nowhere.png \(looked in "):
        to_tensor("nowhere.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="text.png is damaged, or no picture that Pillow reads"):
        to_tensor(tmp_path / "text.png")
    data = Path(CHINA).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cut.jpg is damaged"):
        to_tensor(tmp_path / "cut.jpg")


# --- out ------------------------------------------------------------------------------------------


def test_bytes_come_back_as_they_were(tmp_path):
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (image,) = to_pil(to_tensor(every, mode="L"))
    assert image.mode == "L" and np.array_equal(np.asarray(image), every)
    colour = np.stack([every, every.T, 255 - every], axis=2)
    assert save_png(to_tensor(colour), tmp_path / "all.png") == tmp_path / "all.png"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "all.png")), colour)
    assert [p.name for p in tmp_path.iterdir()] == ["all.png"]
    (image,) = to_pil(to_tensor(colour)[0])  # one picture without a batch
    assert np.array_equal(np.asarray(image), colour)


def test_several_pictures_stand_side_by_side(tmp_path):
    x = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 1, 4, 6)
    sheet = np.asarray(Image.open(save_png(x, tmp_path / "grid.png")))
    assert sheet.shape == (2 * 6 - 2, 3 * 8 - 2)  # 3 columns, 2 rows, gaps of 2
    assert (sheet[:4, :6] == 0).all() and (sheet[:4, 6:8] == 255).all()
    assert (sheet[6:, 8:14] == 255).all() and (sheet[:4, 16:] == 128).all()
    row = np.asarray(Image.open(save_png(x, str(tmp_path / "row.png"), columns=9)))
    assert row.shape == (4, 5 * 8 - 2)
    with pytest.raises(ValueError, match="columns must be a whole number >= 1; got 0"):
        save_png(x, tmp_path / "grid.png", columns=0)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    for name in ("x.jpg", "x", ".png", "x.png.txt"):
        with pytest.raises(ValueError, match="path must end in .png"):
            save_png(None, tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        save_png(None, tmp_path / "folder.png")
    with pytest.raises(FileNotFoundError, match="no folder .*: create it"):
        save_png(None, tmp_path / "nowhere" / "x.png")
    assert png_path(tmp_path / "X.PNG") == tmp_path / "X.PNG"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 2, 4, 4), "1 or 3 channels"),
        (torch.full((1, 1, 4, 4), torch.nan), "NaN or infinite, in picture 0"),
        (torch.full((1, 1, 4, 4), 255.0), "0..255"),
        (torch.zeros(0, 1, 4, 4), "x must be"),
        ("picture", "x must be a tensor"),
    ],
)
def test_what_is_no_tensor_of_pictures_is_not_written(tmp_path, x, message):
    with pytest.raises(ValueError, match=message):
        save_png(x, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_png(torch.zeros(1, 1, 4, 4), tmp_path / "x.png")
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_png(torch.ones(1, 1, 4, 4), path)
    assert path.read_bytes() == before
