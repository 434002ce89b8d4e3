"""The three rules of the twin, on networks small enough to count by hand, and on the networks that name them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.architectures.cost import cost
from dsmobile.architectures.graph import read_graph
from dsmobile.architectures.pairs import find_pairs
from dsmobile.architectures.twin import standard_twin
from dsmobile.errors import ModelError


def _pairs(model: Any) -> list[Any]:
    return find_pairs(read_graph(model))


def _applications(name: str, **arguments: Any) -> Any:
    import keras

    return getattr(keras.applications, name)(weights=None, **arguments)


@pytest.mark.parametrize(("kernel", "outputs", "expected"), [(3, 1024, 0.1121), (5, 512, 1 / 23.84)])
def test_ratio_of_the_articles(kernel: int, outputs: int, expected: float) -> None:
    import keras
    from keras import layers

    image = keras.Input((14, 14, 32))
    x = layers.DepthwiseConv2D(kernel, padding="same")(image)
    x = layers.ReLU()(x)
    model = keras.Model(image, layers.Conv2D(outputs, 1)(x))
    (pair,) = _pairs(model)
    assert pair.rule == "merged"
    assert pair.ratio == pytest.approx(expected, abs=1e-4)
    assert pair.formula_ratio == pytest.approx(pair.ratio, rel=1e-12)


def test_parameters_of_the_articles_example() -> None:
    import keras
    from keras import layers

    image = keras.Input((9, 9, 3))
    (pair,) = _pairs(keras.Model(image, layers.SeparableConv2D(3, 3, use_bias=False)(image)))
    assert (pair.separable_parameters, pair.standard_parameters) == (36, 81)


def test_table_3_of_mobilenets_to_its_digits() -> None:
    """One layer, K = 3, M = N = 512, 14 x 14: 462 M against 52.3 M multiply-adds."""
    import keras
    from keras import layers

    image = keras.Input((14, 14, 512))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(image)
    (pair,) = _pairs(keras.Model(image, layers.Conv2D(512, 1, use_bias=False)(x)))
    assert (round(pair.standard_macs / 1e6), round(pair.separable_macs / 1e6, 1)) == (462, 52.3)
    assert (round(pair.standard_parameters / 1e6, 2), round(pair.separable_parameters / 1e6, 2)) == (2.36, 0.27)


def test_mobilenet_v2_is_merged_once_and_then_fused() -> None:
    pairs = _pairs(_applications("MobileNetV2", input_shape=(96, 96, 3), alpha=0.35))
    assert [pair.rule for pair in pairs] == ["merged"] + ["fused"] * 16
    for pair in pairs:
        assert pair.ratio == pytest.approx(pair.formula_ratio, rel=1e-9)


@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNetV3Large"])
def test_mobilenet_v3_rules(name: str) -> None:
    pairs = _pairs(_applications(name, input_shape=(96, 96, 3)))
    first = "unpaired" if name == "MobileNetV3Small" else "merged"
    assert pairs[0].rule == first
    assert {pair.rule for pair in pairs[1:]} == {"fused"}


def test_xception_is_always_merged_and_linear() -> None:
    pairs = _pairs(_applications("Xception", input_shape=(96, 96, 3)))
    assert len(pairs) == 34
    assert all(pair.rule == "merged" and pair.linear for pair in pairs)


def _extra_depthwise() -> Any:
    """The extra-depthwise inverted bottleneck of MobileNetV4, arXiv:2404.10518, figure 4."""
    import keras
    from keras import layers

    image = keras.Input((16, 16, 24))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(image))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(96, 1)(x)))
    x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(5, padding="same")(x)))
    x = layers.BatchNormalization()(layers.Conv2D(24, 1)(x))
    return keras.Model(image, layers.Add()([x, image]))


def test_extra_depthwise_is_merged_twice() -> None:
    assert [pair.rule for pair in _pairs(_extra_depthwise())] == ["merged", "merged"]


def test_every_pointwise_is_used_once() -> None:
    for model in (_extra_depthwise(), _applications("MobileNetV2", input_shape=(96, 96, 3), alpha=0.35)):
        used = [id(pair.pointwise.layer) for pair in _pairs(model) if pair.pointwise]
        assert len(used) == len(set(used))


def test_twin_counts_what_the_pairs_count() -> None:
    model = _applications("MobileNetV2", input_shape=(96, 96, 3), alpha=0.35)
    pairs = _pairs(model)
    saved = sum(pair.standard_macs - pair.separable_macs for pair in pairs)
    assert cost(standard_twin(model).model).macs == cost(model).macs + saved


@pytest.mark.parametrize("multiplier", [1, 2])
def test_composed_twin_is_the_same_function(multiplier: int) -> None:
    import keras
    from keras import layers

    from dsmobile.architectures.initialisation import he_normal, settle

    image = keras.Input((17, 15, 6))
    x = layers.SeparableConv2D(10, 3, strides=2, padding="same", depth_multiplier=multiplier)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, depth_multiplier=multiplier)(x))
    x = layers.ReLU()(layers.Conv2D(7, 1)(x))
    model = keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    batch = np.random.default_rng(0).normal(size=(4, 17, 15, 6)).astype(np.float32)
    he_normal(model, 3)
    settle(model, batch)
    twin = standard_twin(model)
    assert twin.same_function
    assert not any("Depthwise" in type(layer).__name__ or "Separable" in type(layer).__name__ for layer in twin.model.layers)
    np.testing.assert_allclose(twin.model.predict(batch, verbose=0), model.predict(batch, verbose=0), atol=1e-4)


def test_a_trained_separable_network_keeps_its_function(shared_data: Path) -> None:
    from dsmobile.keras_files import load_keras_file

    model = load_keras_file(shared_data / "models/mini_xception_gender.hdf5")
    twin = standard_twin(model)
    faces = np.random.default_rng(0).uniform(0, 1, (4, 64, 64, 1)).astype(np.float32)
    assert twin.same_function
    np.testing.assert_allclose(twin.model.predict(faces, verbose=0), model.predict(faces, verbose=0), atol=1e-4)


def test_the_source_is_left_as_it_was() -> None:
    model = _extra_depthwise()
    before = [weights.copy() for weights in model.get_weights()]
    standard_twin(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_nothing_to_replace_says_so() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    with pytest.raises(ModelError, match="no depthwise"):
        standard_twin(keras.Model(image, layers.Conv2D(4, 3)(image)))


def test_a_shared_depthwise_layer_is_refused() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    shared = layers.DepthwiseConv2D(3, padding="same")
    with pytest.raises(ModelError, match="shares"):
        standard_twin(keras.Model(image, shared(shared(image))))
