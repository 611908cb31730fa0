"""What stands beside chapter 5.5: sizes of Stable Diffusion's encoders, maps, stored figures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from book.ablations.plans import READS
from book.ch05_2_unet.cost import parameters
from book.ch05_5_text_to_image import measure_guidance, stable
from book.ch05_5_text_to_image.figures import captioned, over_places
from book.ch05_5_text_to_image.listening import colour_words, places, reading
from book.ch05_5_text_to_image.variants import ENCODERS, WAYS, measured
from book.display import png
from book.results import write_results
from minildm.shapes.captions import VOCABULARY, wording
from minildm.shapes.scenes import COLOURS, Pictures, splits

# --- sizes ----------------------------------------------------------------------------------------


def test_the_sizes_are_those_of_the_published_files():
    clip_l = sum(s.parameters for s in stable.clip("", stable.L, 12, final=True))
    big_g = sum(s.parameters for s in stable.clip("", stable.BIG_G, 32, False, stable.BIG_G))
    assert (clip_l, big_g, stable.t5_layers()) == (123_060_480, 694_659_840, 4_762_310_656)
    sizes = {name: stable.parameters(steps) for name, steps in stable.trace().items()}
    assert sizes == {
        "SD 1.5": clip_l, "SDXL": clip_l + big_g, "SD 3 medium": clip_l + big_g + 4_762_310_656,
    }  # fmt: skip


def test_the_sizes_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        config = transformers.CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
        )
        assert parameters(transformers.CLIPTextModel(config)) == 123_060_480


def test_the_traces_hang_together():
    trace = stable.trace()
    assert trace["SD 1.5"][-1].shape == (77, 1280) and "16 cross" in trace["SD 1.5"][-1].done
    assert trace["SDXL"][-2].shape == (77, 768 + 1280)
    last = [step.shape for step in trace["SD 3 medium"]][-3:]
    assert last == [(154, 4096), (4250, 1536), (2048,)]
    assert stable.listing().count("\n") > 15


# --- maps -----------------------------------------------------------------------------------------


def test_the_colour_words_are_colours_of_their_objects():
    rows = splits().test[:300]
    tokens = wording(rows, torch.zeros(300, dtype=torch.bool))
    for column, word in zip((4, 8), colour_words(rows), strict=True):
        said = [VOCABULARY[tokens[i, word[i]]] for i in range(300)]
        assert said == [list(COLOURS)[k] for k in rows[:, column].tolist()]


def test_who_reads_what_of_known_maps():
    """Places of an object read its own colour word half of the time, empty ones a tenth."""
    pictures = Pictures(splits().test, 40, seed=5)
    first, second = places(pictures, 0), places(pictures, 1)
    assert ((first > 0) & (first <= 1)).any(1).all() and not ((first > 0) & (second == 1)).any()
    one, two = colour_words(pictures.rows)
    maps, each = torch.full((40, 64, 14), 0.01), torch.arange(40)
    maps[each, :, one] = torch.where(first > 0, 0.5, 0.1).to(maps)
    maps[each, :, two] = 0.2
    own, other, around = reading(maps, pictures)
    torch.testing.assert_close(own, torch.full((40,), 0.5).to(own))
    torch.testing.assert_close(other, torch.full((40,), 0.2).to(other))
    torch.testing.assert_close(around, torch.full((40,), 0.1).to(around))


def test_captioned_images_are_drawn_to_the_dot():
    """In the PNG each pixel is a square of 2 x 2 dots of exactly its shade, and each has a text."""
    which = torch.randint(0, 4, (3, 1, 9, 8), generator=torch.Generator().manual_seed(0))
    x = torch.tensor([-1.0, 0.0, 1.0, 0.2])[which].expand(3, 3, 9, 8)
    fig = captioned(x, ["one", "two", "three"], columns=2, zoom=2)
    assert [ax.get_title() for ax in fig.axes] == ["one", "two", "thre\ne"]
    drawn = np.asarray(Image.open(io.BytesIO(png(fig))).convert("RGB"))[..., 0].astype(int)
    shades = (((x * 12.5).round() / 12.5 + 1) * 127.5).round().int().numpy()[:, 0]
    for k, left in ((0, 15), (1, 41)):  # 10 dots of margin, and 5 of half a gap
        wanted = shades[k].repeat(2, 0).repeat(2, 1)
        found = drawn[10:28, left : left + 16]
        assert abs(found - wanted).max() <= 1
    with pytest.raises(ValueError, match="one caption per image"):
        captioned(x, ["one"], 2)


def test_maps_are_brightest_where_the_weight_is():
    weights = torch.full((64, 3), 0.1)
    weights[9, 1] = 0.4  # second row, second column
    maps = over_places(weights)
    assert maps.shape == (3, 3, 64, 64)
    assert (maps[1, :, 8:16, 8:16] == 1).all() and (maps[1, :, :8] == -0.5).all()
    assert (maps[0] == 1).all()


# --- stored figures -------------------------------------------------------------------------------


def test_the_variants_that_were_run_by_their_labels(tmp_path):
    def runs(value):
        return {"runs": [{"seed": 0, "captions": {"joint": value}}]}

    for pool, base in ((True, "attention and mean"), (False, "attention only")):
        section = {
            "base": {"denoiser": {"model": {"pool": pool}}},
            "variants": {
                "base": runs(1), READS[not pool]: runs(2), "words by mean only": {"runs": []}
            },
        }  # fmt: skip
        path = tmp_path / f"{pool}.json"
        write_results("ablation text-to-image", section, path)
        found = measured(WAYS, "captions", "joint", path=path)
        assert found[base] == [1] and sorted(found) == ["attention and mean", "attention only"]
        assert sum(map(sum, found.values())) == 3
        assert measured(ENCODERS, "captions", "joint", path=path) == {"learned with the UNet": [1]}


def test_the_table_of_guidance_has_both_measurements():
    lines = measure_guidance.table().split("\n")
    scales = [float(line[:5]) for line in lines[1:]]
    assert scales == sorted({*scales, *measure_guidance.SCALES})
    by_scale = dict(zip(scales, lines[1:], strict=True))
    assert "(" in by_scale[12.0] and "(" not in by_scale[2.5] and "variety" in lines[0]
