"""A K x K kernel as a column times a row: on the kernels that textbooks factor, in numpy's integers and through Keras."""

from typing import Any

import numpy as np
import pytest

from dsmobile.architectures.cost import cost
from dsmobile.architectures.graph import read_graph
from dsmobile.architectures.spatial import factor, find_spatial_pairs, macs_ratio
from dsmobile.errors import ModelError

TEXTBOOK = {
    "sobel x": ([1, 2, 1], [-1, 0, 1]),
    "sobel y": ([-1, 0, 1], [1, 2, 1]),
    "sobel 5x5": ([1, 4, 6, 4, 1], [-1, -2, 0, 2, 1]),
    "prewitt": ([1, 1, 1], [-1, 0, 1]),
    "scharr": ([3, 10, 3], [-1, 0, 1]),
    "binomial 3x3": ([1, 2, 1], [1, 2, 1]),
    "binomial 5x5": ([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]),
}


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook_kernels_factor_exactly(name: str) -> None:
    column, row = TEXTBOOK[name]
    found = factor(np.outer(column, row))
    assert (found[0].tolist(), found[1].tolist()) == (column, row)
    assert all(vector.dtype == np.int64 for vector in found)


@pytest.mark.parametrize("seed", range(20))
def test_products_of_integers_factor_whatever_their_signs_zeros_and_divisors(seed: int) -> None:
    random = np.random.default_rng(seed)
    kernel = np.outer(random.integers(-9, 10, random.integers(1, 8)), random.integers(-9, 10, random.integers(1, 8)))
    column, row = factor(kernel)
    np.testing.assert_array_equal(np.outer(column, row), kernel)


def test_floats_factor_in_float64() -> None:
    line = np.exp(-(np.arange(-3, 4) ** 2) / 4.5)
    column, row = factor(np.outer(line, line))
    assert column.dtype == row.dtype == np.float64
    np.testing.assert_allclose(np.outer(column, row), np.outer(line, line), rtol=1e-14)
    assert column.min() > 0 < row.min()


def test_a_float32_product_factors_to_its_own_precision() -> None:
    random = np.random.default_rng(0)
    kernel = np.outer(random.normal(size=7).astype(np.float32), random.normal(size=5).astype(np.float32))
    np.testing.assert_allclose(np.outer(*factor(kernel)), kernel, atol=1e-6)


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64])
def test_laplacian_does_not_factor_and_its_rank_is_named(kind: Any) -> None:
    with pytest.raises(ModelError, match="rank 2"):
        factor(np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], kind))


def test_a_trained_kernel_has_full_rank() -> None:
    with pytest.raises(ModelError, match="rank 5"):
        factor(np.random.default_rng(1).normal(size=(5, 5)))


@pytest.mark.parametrize(
    "kernel", [[], [1, 2, 3], [[]], [["a"]], np.zeros((2, 2, 2)), [[np.nan, 1.0]], [[np.inf]], np.array([[2**64 - 1]], np.uint64)]
)
def test_no_matrix_of_finite_numbers_is_refused(kernel: Any) -> None:
    with pytest.raises(ModelError):
        factor(kernel)


def test_a_kernel_of_zeros_is_a_product() -> None:
    np.testing.assert_array_equal(np.outer(*factor(np.zeros((3, 3), int))), np.zeros((3, 3)))
    np.testing.assert_array_equal(np.outer(*factor(np.zeros((3, 3)))), np.zeros((3, 3)))


@pytest.mark.parametrize(("name", "middle"), [("sobel x", 1), ("sobel 5x5", 1)])
def test_two_small_convolutions_give_the_same_image_in_integers(name: str, middle: int) -> None:
    import keras
    from keras import layers

    column, row = TEXTBOOK[name]
    side = len(column)
    image = keras.Input((24, 31, 1))
    small = layers.Conv2D(1, (1, side), use_bias=False)(layers.Conv2D(middle, (side, 1), use_bias=False)(image))
    two, one = keras.Model(image, small), keras.Model(image, layers.Conv2D(1, side, use_bias=False)(image))
    kernel = np.outer(column, row)
    columns, rows = factor(kernel)
    two.set_weights([columns.reshape(side, 1, 1, 1), rows.reshape(1, side, 1, 1)])
    one.set_weights([kernel.reshape(side, side, 1, 1)])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 31, 1)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(pixels[..., 0].astype(np.int64), (side, side), axis=(1, 2))
    expected = (windows * kernel).sum((-2, -1))
    for model in (one, two):
        np.testing.assert_array_equal(model.predict(pixels, verbose=0)[..., 0], expected)  # exact: every sum is below 2^24


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_k_squared_becomes_2k(kernel: int) -> None:
    assert macs_ratio(kernel, 64, 64, 64) == pytest.approx(2 * kernel / kernel**2)


def test_the_ratio_counts_unequal_channels() -> None:
    assert macs_ratio(7, 128, 160, 192) == pytest.approx((7 * 128 * 160 + 7 * 160 * 192) / (49 * 128 * 192))
    with pytest.raises(ModelError):
        macs_ratio(3, 0, 1, 1)


def test_inception_v3_factors_thirteen_times_by_seven() -> None:
    """Modules mixed4 to mixed7 hold three pairs each, mixed8 one; the 1 x 3 and 3 x 1 of mixed9 and mixed10 stand side by side, so they are none."""
    import keras

    model = keras.applications.InceptionV3(weights=None, input_shape=(96, 96, 3), classes=3)
    pairs = find_spatial_pairs(read_graph(model))
    assert len(pairs) == 13
    assert {max(pair.first.layer.kernel_size) for pair in pairs} == {7}
    counted = {call.name: call.macs for call in cost(model).calls}
    for pair in pairs:
        assert pair.separable_macs == counted[pair.first.layer.name] + counted[pair.second.layer.name]
        assert pair.ratio == pytest.approx(pair.formula_ratio, rel=1e-12)


def _ends(*calls: Any, shape: tuple[int, ...] = (16, 16, 4)) -> list[Any]:
    import keras

    x = image = keras.Input(shape)
    for call in calls:
        x = call(x)
    return find_spatial_pairs(read_graph(keras.Model(image, x)))


def test_either_order_with_normalization_and_activation_between() -> None:
    from keras import layers

    (pair,) = _ends(layers.Conv2D(6, (1, 5), padding="same"), layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(8, (3, 1), padding="same"))
    assert [call.kind for call in pair.between] == ["BatchNormalization", "ReLU"]
    assert pair.separable_macs == 256 * (5 * 4 * 6 + 3 * 6 * 8)
    assert pair.standard_macs == 256 * 15 * 4 * 8
    assert pair.ratio == pytest.approx(pair.formula_ratio, rel=1e-12)


def test_what_is_no_pair() -> None:
    from keras import layers

    assert not _ends(layers.Conv2D(4, (3, 1)), layers.Conv2D(4, (3, 1)))
    assert not _ends(layers.Conv2D(4, (3, 1)), layers.MaxPooling2D(), layers.Conv2D(4, (1, 3)))
    assert not _ends(layers.Conv2D(4, (1, 1)), layers.Conv2D(4, (1, 3)))
    assert not _ends(layers.Conv2D(4, (3, 1), groups=2), layers.Conv2D(4, (1, 3)))
    assert len(_ends(layers.Conv2D(4, (3, 1)), layers.Conv2D(4, (1, 3)), layers.Conv2D(4, (3, 1)))) == 1
