"""Preprocessing against Pillow, byte for byte, and against its own text and JSON forms."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsmobile.errors import DataError
from dsmobile.pixels import decode, in_colour, resample, shorter_side_to, triangle_weights
from dsmobile.preprocessing import Preprocessing, parse

SIDES = st.integers(1, 40)


def noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), SIDES, SIDES, SIDES, SIDES)
def test_resample_equals_pillow_along_each_axis(seed: int, height: int, width: int, new_height: int, new_width: int) -> None:
    image = noise(seed, height, width)
    rows = Image.fromarray(image).resize((new_width, height), Image.Resampling.BILINEAR)
    both = rows.resize((new_width, new_height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resample(image, new_height, new_width), np.asarray(both))


@pytest.mark.parametrize(("height", "width", "new"), [(375, 500, (224, 299)), (1200, 31, (256, 7)), (2, 3000, (2, 13)), (64, 64, (641, 65))])
def test_resample_equals_pillow_at_real_sizes(height: int, width: int, new: tuple[int, int]) -> None:
    image = noise(7, height, width)
    pillow = Image.fromarray(image).resize((new[1], height), Image.Resampling.BILINEAR).resize((new[1], new[0]), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resample(image, *new), np.asarray(pillow))


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(deadline=None, max_examples=50)
def test_weights_of_a_pixel_sum_to_one_and_stay_within_the_image(source: int, target: int) -> None:
    first, weights = triangle_weights(source, target)
    assert np.abs(weights.sum(axis=1) / 2**22 - 1).max() < 1e-5
    assert weights.min() >= 0
    last = first + np.array([np.flatnonzero(row).max() for row in weights])
    assert first.min() >= 0
    assert last.max() < source


@given(st.integers(0, 255), SIDES, SIDES, SIDES, SIDES)
@settings(deadline=None, max_examples=50)
def test_a_uniform_image_stays_uniform(value: int, height: int, width: int, new_height: int, new_width: int) -> None:
    assert (resample(np.full((height, width, 3), value, np.uint8), new_height, new_width) == value).all()


def test_grey_equals_pillows_for_every_pair_of_channel_values() -> None:
    grid = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), -1).astype(np.uint8)
    for third in (0, 1, 127, 255):
        image = np.concatenate([grid, np.full((256, 256, 1), third, np.uint8)], -1)
        for turned in (image, image[..., ::-1], np.roll(image, 1, -1)):
            grey = np.asarray(Image.fromarray(np.ascontiguousarray(turned)).convert("L"))
            np.testing.assert_array_equal(in_colour(turned, "grey")[..., 0], grey)


def test_bgr_turns_the_channels() -> None:
    np.testing.assert_array_equal(in_colour(noise(1, 4, 5), "bgr"), noise(1, 4, 5)[..., [2, 1, 0]])


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600))
def test_the_shorter_side_is_exact_and_the_longer_within_half_a_pixel(height: int, width: int, side: int) -> None:
    new = shorter_side_to(height, width, side)
    assert min(new) == side
    exact = max(height, width) * side / min(height, width)
    assert abs(max(new) - exact) <= 0.5


def test_a_half_of_the_longer_side_is_rounded_up() -> None:
    assert shorter_side_to(2, 3, 1) == (1, 2)
    assert shorter_side_to(4, 10, 1) == (1, 3)


def test_the_crop_is_the_centre() -> None:
    image = noise(3, 9, 12)
    np.testing.assert_array_equal(Preprocessing(crop=(4, 6)).geometry(image), image[2:6, 3:9])


def test_numbers_are_one_float32_product_and_one_float32_sum() -> None:
    image = noise(4, 3, 3)
    preprocessing = parse("scale=-1..1")
    expected = image.astype(np.float32) * np.float32(2 / 255) + np.float32(-1)
    result = preprocessing.numbers(image)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[0], expected)
    assert preprocessing.input_range == (-1.0, 1.0)


def test_a_whole_image_equals_the_published_recipe_by_pillow() -> None:
    image = noise(5, 300, 400)
    pillow = Image.fromarray(image).resize((341, 300), Image.Resampling.BILINEAR).resize((341, 256), Image.Resampling.BILINEAR)
    cropped = np.asarray(pillow)[16:240, 58:282]
    np.testing.assert_allclose(parse("resize=256,crop=224,scale=-1..1")(image)[0], cropped / 127.5 - 1, atol=2e-7)


def test_mean_and_std_are_imagenets_numbers() -> None:
    preprocessing = parse("crop=2,mean=123.675/116.28/103.53,std=58.395/57.12/57.375")
    image = noise(6, 2, 2)
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    np.testing.assert_allclose(preprocessing(image)[0], (image - mean) / std, atol=1e-6)


def test_nchw_is_the_same_numbers_turned() -> None:
    image = noise(8, 4, 5)
    nchw = parse("scale=0..1,layout=nchw")(image)
    assert nchw.flags.c_contiguous
    np.testing.assert_array_equal(nchw, parse("scale=0..1")(image).transpose(0, 3, 1, 2))


def test_resize_alone_crops_to_a_square() -> None:
    assert parse("resize=96,scale=0..255").crop == (96, 96)
    assert parse("crop=96x128,scale=0..255").crop == (96, 128)


TEXTS = [
    "resize=256,crop=224,scale=-1..1",
    "resize=256, crop=224x192, colour=bgr, scale=0..255",
    "crop=96,colour=grey,scale=0.5,offset=-3",
    "mean=103.9/116.8/123.7,std=1,layout=nchw",
    "scale=1/2/3,offset=0/-1/-2",
]


@pytest.mark.parametrize("text", TEXTS)
def test_json_round_trip(text: str) -> None:
    import json

    preprocessing = parse(text)
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


def test_a_toml_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('resize = 256\ncrop = "224x192"\ncolour = "bgr"\nmean = [1, 2, 3]\nstd = 2.0\n', encoding="utf-8")
    assert parse(str(path)) == parse("resize=256,crop=224x192,colour=bgr,mean=1/2/3,std=2.0")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("resize=256", "scale is missing"),
        ("resize=256,scale", "KEY=VALUE"),
        ("scale=", "KEY=VALUE"),
        ("scale=0..1,scale=0..1", "given twice"),
        ("scale=a..b", "not a number"),
        ("scale=0..0", "erases"),
        ("scale=0", "erases"),
        ("scale=nan", "not finite"),
        ("scale=inf", "not finite"),
        ("scale=0..1,offset=1", "needs no offset"),
        ("scale=1/2", "2 values for 3 channels"),
        ("colour=grey,scale=1/2/3", "3 values for 1 channels"),
        ("scale=0..1,mean=1", "same as scale"),
        ("std=0", "divides by zero"),
        ("std=1/2/3,mean=1/2", "2 means and 3 stds"),
        ("scale=0..1,colour=red", "'red' is not known"),
        ("scale=0..1,layout=chwn", "'chwn' is not known"),
        ("scale=0..1,dtype=int8", "'int8' is not known"),
        ("scale=0..1,size=3", "'size' is not known"),
        ("scale=0..1,resize=-3", "whole number"),
        ("scale=0..1,resize=2.5", "whole number"),
        ("scale=0..1,resize=0", "between 1 and"),
        ("scale=0..1,crop=99999", "between 1 and"),
        ("scale=0..1,crop=2x3x4", "whole number"),
        ("scale=0..1,resize=224,crop=256", "does not fit"),
        ("nowhere.toml", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_a_data_error_with_advice(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as raised:
        parse(text)
    assert raised.value.advice


def test_a_toml_that_is_none_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    for content in (b"scale = ", b"\xff\xfe", b"a" * 70000):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"p\.toml"):
            parse(str(path))


def test_an_image_smaller_than_the_crop_is_a_data_error() -> None:
    with pytest.raises(DataError, match="crop of 5 x 5 does not fit into an image of 4 x 9"):
        parse("crop=5,scale=0..1")(noise(1, 4, 9))


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_decode_gives_upright_rgb(tmp_path: Path) -> None:
    image = noise(9, 3, 5)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned by 90 degrees clockwise
    path = tmp_path / "turned.png"
    path.write_bytes(save(Image.fromarray(image), "PNG", exif=exif))
    np.testing.assert_array_equal(decode(path), np.rot90(image, -1))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_three_channels_of_bytes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (4, 3)).save(path)
    assert decode(path).shape == (3, 4, 3)
    assert decode(path).dtype == np.uint8


def test_images_that_are_none_are_data_errors(tmp_path: Path) -> None:
    whole = save(Image.fromarray(noise(1, 64, 64)), "JPEG")
    for name, content in {"cut.jpg": whole[: len(whole) // 2], "empty.jpg": b"", "text.jpg": b"hello", "page.png": b"<html></html>"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name.split(".")[0]):
            decode(tmp_path / name)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="bomb"):
        decode(path)


def test_sixteen_bit_grey_keeps_its_upper_byte(tmp_path: Path) -> None:
    from PIL import Image

    ramp = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode(tmp_path / "ramp.png"), np.repeat(expected[..., None], 3, -1))


def test_images_of_floats_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(DataError, match="32 bits"):
        decode(tmp_path / "float.tiff")
