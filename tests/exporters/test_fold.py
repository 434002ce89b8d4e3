"""A folded network computes what its Keras source computes, and has nothing left to fold."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import ConversionError
from dsmobile.exporters.execution import execute
from dsmobile.exporters.fold import fold
from dsmobile.exporters.operators import Activation, Pad, ScaleShift, same_pads

from .networks import inputs, residual, settled, small_mobilenet, squeeze_excite


@pytest.mark.parametrize("network", [small_mobilenet, residual, squeeze_excite])
def test_folded_equals_the_source(network: Callable[[], Any]) -> None:
    import tensorflow as tf

    model = network()
    folded = fold(model)
    batch = inputs(model)
    expected = model.predict(batch, verbose=0)
    np.testing.assert_allclose(execute(folded, [tf.constant(batch)])[folded.output].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 1e-3


@pytest.mark.parametrize("name", ["mini_xception_gender.hdf5", "mobilenet_v1_0.25_224_imagenet.h5", "vww_96.h5"])
def test_given_files_fold(shared_data: Path, name: str) -> None:
    import tensorflow as tf

    from dsmobile.keras_files import load_keras_file

    model = load_keras_file(shared_data / "models" / name)
    folded = fold(model)
    assert not any(isinstance(node.operator, (ScaleShift, Pad)) for node in folded)
    batch = inputs(model, 2)
    np.testing.assert_allclose(execute(folded, [tf.constant(batch)])[folded.output].numpy(), model.predict(batch, verbose=0), atol=1e-5)


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small"])
def test_networks_of_keras_applications_fold(name: str) -> None:
    import keras
    import tensorflow as tf

    model = settled(getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=11))
    batch = inputs(model, 4)
    expected = model.predict(batch, verbose=0)
    folded = fold(model)
    np.testing.assert_allclose(execute(folded, [tf.constant(batch)])[folded.output].numpy(), expected, rtol=1e-3, atol=1e-5)
    kinds = Counter(node.operator.kind for node in folded if isinstance(node.operator, Activation))
    if name == "MobileNetV3Small":
        assert kinds["hard_swish"] == 19
        assert kinds["hard_sigmoid"] == 9


def test_what_cannot_be_folded_stays_and_is_named() -> None:
    """The batch normalization after the residual add has two convolutions before it and can go into neither."""
    (left,) = fold(residual()).left
    assert left.startswith("batch_normalization")


def test_an_unsupported_layer_is_named_with_its_place() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Permute((2, 1, 3), name="grow")(image)))
    with pytest.raises(ConversionError, match=r"'grow' \(Permute, number 1 of 2\)"):
        fold(model)


@pytest.mark.parametrize("side", range(5, 12))
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_is_tensorflows(side: int, kernel: int, stride: int) -> None:
    """The explicit zeros give what TensorFlow's own `SAME` gives."""
    import tensorflow as tf

    image = tf.constant(np.random.default_rng(0).normal(size=(1, side, side, 1)), tf.float32)
    weights = tf.ones((kernel, kernel, 1, 1))
    pads = same_pads((side, side), (kernel, kernel), (stride, stride))
    explicit = tf.nn.conv2d(tf.pad(image, [(0, 0), *pads, (0, 0)]), weights, stride, "VALID")
    np.testing.assert_allclose(explicit, tf.nn.conv2d(image, weights, stride, "SAME"), atol=1e-5)
