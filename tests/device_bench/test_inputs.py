"""The seeded input: the same picture for every file of one network."""

import numpy as np
import pytest

from device_bench.inputs import probe_input


def test_float_input_covers_its_range_as_an_image_does() -> None:
    tensor = probe_input(0, (1, 64, 64, 3), "float32", -1.0, 1.0)
    assert tensor.dtype == np.float32
    assert tensor.min() == -1.0
    assert tensor.max() == pytest.approx(1.0, abs=1e-6)
    bytes_ = np.rint((tensor + 1) * 127.5)
    assert np.abs(tensor - (bytes_ / 127.5 - 1)).max() < 1e-6


def test_nchw_sees_the_same_picture() -> None:
    nhwc = probe_input(3, (1, 5, 7, 3), "float32", 0.0, 255.0, "nhwc")
    nchw = probe_input(3, (1, 3, 5, 7), "float32", 0.0, 255.0, "nchw")
    assert nchw.shape == (1, 3, 5, 7)
    assert nchw.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(nchw.transpose(0, 2, 3, 1), nhwc)


def test_integers_are_the_bytes_of_the_same_picture() -> None:
    shape = (1, 9, 9, 3)
    real = probe_input(1, shape, "float32", 0.0, 255.0)
    np.testing.assert_array_equal(probe_input(1, shape, "uint8"), real)
    np.testing.assert_array_equal(probe_input(1, shape, "int8").astype(int) + 128, real)


def test_preprocessing_makes_the_same_floats_of_the_same_bytes() -> None:
    from dsmobile.preprocessing import parse

    picture = probe_input(5, (8, 8, 3), "uint8")
    np.testing.assert_array_equal(parse("resize=8,scale=-1..1").numbers(picture)[0], probe_input(5, (8, 8, 3), "float32", -1.0, 1.0))


def test_indices_fit_every_table_and_strange_types_are_refused() -> None:
    assert set(np.unique(probe_input(0, (1, 100), "int64"))) == {0, 1}
    assert set(np.unique(probe_input(0, (1, 100), "bool"))) == {False, True}
    with pytest.raises(ValueError, match="cannot be drawn"):
        probe_input(0, (1,), "complex64")
    with pytest.raises(TypeError):
        probe_input(0, (1,), "string of bytes")


def test_the_seed_decides() -> None:
    assert (probe_input(0, (1, 50), "uint8") == probe_input(0, (1, 50), "uint8")).all()
    assert (probe_input(0, (1, 50), "uint8") != probe_input(1, (1, 50), "uint8")).any()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "float32"])
def test_moved_is_every_byte_by_one_level_and_within_its_range(dtype: str) -> None:
    shape, level = (1, 40, 40, 3), 256 if dtype == "int16" else 1
    still, moved = (probe_input(7, shape, dtype, 0.0, 255.0, moved=moved).astype(np.float64) for moved in (False, True))
    np.testing.assert_allclose(np.abs(moved - still), level)
    assert 0.4 < (moved > still).mean() < 0.6
    lowest = {"int8": -128, "int16": -128 * 256}.get(dtype, 0)
    assert moved.min() >= lowest
    assert moved.max() <= lowest + 255 * level


def test_moved_is_the_same_picture_in_both_layouts_and_no_other_index() -> None:
    nhwc, nchw = (probe_input(3, shape, "uint8", layout=layout, moved=True) for shape, layout in (((1, 5, 7, 3), "nhwc"), ((1, 3, 5, 7), "nchw")))
    np.testing.assert_array_equal(nchw.transpose(0, 2, 3, 1), nhwc)
    for dtype in ("int64", "int32", "bool"):
        np.testing.assert_array_equal(probe_input(0, (1, 100), dtype), probe_input(0, (1, 100), dtype, moved=True))
