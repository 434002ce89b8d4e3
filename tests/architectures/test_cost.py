"""Costs against the paper's tables, TensorFlow's own profiler, counts by hand, and the file that Google published."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.architectures.cost import Cost, Weights, cost
from dsmobile.architectures.twin import standard_twin
from dsmobile.errors import ModelError


def _model(shape: tuple[int | None, ...], *layers: Any, dtype: str | None = None) -> Any:
    import keras

    x = image = keras.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def _mobilenet(alpha: float = 1.0, resolution: int = 224) -> Any:
    import keras

    return keras.applications.MobileNet((resolution, resolution, 3), alpha=alpha, weights=None)


def _kinds(counted: Cost, kind: str) -> list[Any]:
    return [call for call in counted.calls if call.kind == kind]


def _without_normalization(counted: Cost) -> int:
    return counted.parameters - sum(call.parameters for call in _kinds(counted, "BatchNormalization"))


# ---- MobileNets, arXiv:1704.04861


def test_table_2_shares_of_parameters() -> None:
    """The table leaves out batch normalization and the classifier's biases: kernels alone."""
    counted = cost(_mobilenet())
    first, *pointwise, classifier = [call.weights.numbers for call in _kinds(counted, "Conv2D")]  # keras.applications writes the classifier so
    shares = [sum(pointwise), sum(call.weights.numbers for call in _kinds(counted, "DepthwiseConv2D")), first, classifier]
    assert [round(100 * share / sum(shares), 2) for share in shares] == [74.59, 1.06, 0.02, 24.33]


@pytest.mark.parametrize(
    ("separable", "width", "side", "macs_millions", "parameters_millions"),
    [(False, 512, 14, 462, 2.36), (True, 512, 14, 52.3, 0.27), (True, 384, 14, 29.6, 0.15), (True, 384, 10, 15.1, 0.15)],
    ids=["convolution", "separable", "alpha 0.75", "rho 0.714"],
)
def test_table_3_one_layer(separable: bool, width: int, side: int, macs_millions: float, parameters_millions: float) -> None:
    from keras import layers

    depthwise = layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    pointwise = layers.Conv2D(width, 1, use_bias=False)
    standard = layers.Conv2D(width, 3, padding="same", use_bias=False)
    counted = cost(_model((side, side, width), *((depthwise, pointwise) if separable else (standard,))))
    assert round(counted.macs / 1e6, 0 if macs_millions == 462 else 1) == macs_millions
    assert round(counted.parameters / 1e6, 2) == parameters_millions


def test_table_4_separable_against_full_convolutions() -> None:
    """4866 M against 569 M; the twin to 0.03% of the table's digits, the network to the digit."""
    separable = _mobilenet()
    ours, twins = cost(separable), cost(standard_twin(separable).model)
    assert (round(ours.macs / 1e6), round(_without_normalization(ours) / 1e6, 1)) == (569, 4.2)
    assert twins.macs / 1e6 == pytest.approx(4866, rel=1e-3)
    assert round(_without_normalization(twins) / 1e6, 1) == 29.3
    assert (twins.macs / 1e6, _without_normalization(twins) / 1e6, twins.parameters / 1e6) == pytest.approx((4867.29, 29.282, 29.306), rel=1e-3)
    assert twins.macs / ours.macs == pytest.approx(8.558, abs=0.001)


@pytest.mark.parametrize(
    ("alpha", "resolution", "macs", "without", "parameters"),
    [
        (1.0, 224, 568.74, 4.210, 4.254),
        (0.75, 224, 325.40, 2.569, 2.602),
        (0.5, 224, 149.50, 1.321, 1.343),
        (0.25, 224, 41.03, 0.465, 0.476),
        (1.0, 192, 418.12, 4.210, 4.254),
        (1.0, 160, 290.68, 4.210, 4.254),
        (1.0, 128, 186.40, 4.210, 4.254),
    ],
)
def test_tables_6_and_7_recomputed(alpha: float, resolution: int, macs: float, without: float, parameters: float) -> None:
    """Tables 6 and 7 recomputed from table 1, with and without batch normalization; in millions, to 0.1%."""
    counted = cost(_mobilenet(alpha, resolution))
    found = (counted.macs / 1e6, _without_normalization(counted) / 1e6, counted.parameters / 1e6)
    assert found == pytest.approx((macs, without, parameters), rel=1e-3)


def test_ds_cnn_of_mlperf_tiny() -> None:
    """24,908 parameters, of which 23,756 are trained; 2.657 M MACs. Layers as in MLPerf Tiny's keras_model.py."""
    from keras import layers

    def block(layer: Any) -> list[Any]:
        return [layer, layers.BatchNormalization(), layers.ReLU()]

    body = [*block(layers.Conv2D(64, (10, 4), strides=2, padding="same")), layers.Dropout(0.2)]
    for _ in range(4):
        body += block(layers.DepthwiseConv2D(3, padding="same")) + block(layers.Conv2D(64, 1, padding="same"))
    model = _model(
        (49, 10, 1), *body, layers.Dropout(0.4), layers.AveragePooling2D((25, 5)), layers.Flatten(), layers.Dense(12, activation="softmax")
    )
    counted = cost(model)
    assert (counted.parameters, sum(weight.shape.num_elements() for weight in model.trainable_weights)) == (24_908, 23_756)
    assert counted.macs / 1e6 == pytest.approx(2.657, rel=1e-3)
    assert counted.unknown == ()


# ---- Against TensorFlow's profiler: two floating-point operations for each MAC


def _layer_cases() -> list[Any]:
    from keras import layers

    none = {"use_bias": False}
    cases = [
        ((20, 6), layers.Conv1D(8, 3, strides=2, padding="same", **none)),
        ((12, 10, 6), layers.Conv2D(8, (3, 5), strides=(2, 1), padding="same", **none)),
        ((12, 10, 6), layers.Conv2D(8, 3, dilation_rate=2, **none)),
        ((6, 12, 10), layers.Conv2D(8, 3, data_format="channels_first", **none)),
        ((6, 6, 6, 2), layers.Conv3D(3, 2, **none)),
        ((12, 10, 6), layers.DepthwiseConv2D((5, 3), strides=2, depth_multiplier=2, padding="same", **none)),
        ((12, 10, 6), layers.SeparableConv2D(4, 3, depth_multiplier=2, **none)),
        ((20, 6), layers.SeparableConv1D(4, 3, **none)),
        ((12, 10, 6), layers.Conv2DTranspose(4, 3, strides=2, padding="same", **none)),
        ((7,), layers.Dense(5, **none)),
        ((3, 4, 7), layers.Dense(5, **none)),
    ]
    return [pytest.param(shape, layer, id=layer.name) for shape, layer in cases]


def _traced(model: Any) -> Any:
    """TensorFlow's function of one inference, batch 1."""
    import tensorflow as tf

    function = tf.function(lambda *given: model(list(given) if len(given) > 1 else given[0], training=False))
    return function.get_concrete_function(*[tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs])


@pytest.mark.parametrize(("shape", "layer"), _layer_cases())
def test_macs_are_half_of_what_tensorflow_counts(shape: tuple[int, ...], layer: Any) -> None:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2 as frozen

    model = _model(shape, layer)
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    found = tf.compat.v1.profiler.profile(frozen(_traced(model)).graph, options=options)
    assert 2 * cost(model).macs == found.total_float_ops > 0


def test_what_the_profiler_does_not_count() -> None:
    """By hand: grouped, depthwise in one dimension, transposed in three, a sum over axes, wrappers."""
    from keras import layers

    cases = [
        ((12, 10, 6), layers.Conv2D(8, 3, groups=2), 9 * 3 * 8 * 80),
        ((6, 12, 10), layers.DepthwiseConv2D(3, data_format="channels_first"), 9 * 6 * 80),
        ((6, 12, 10), layers.Conv2DTranspose(4, 3, data_format="channels_first"), 9 * 6 * 4 * 120),
        ((20, 6), layers.DepthwiseConv1D(3, depth_multiplier=2), 3 * 12 * 18),
        ((4, 4, 4, 2), layers.Conv3DTranspose(3, 2, strides=2), 8 * 2 * 3 * 64),
        ((5, 6), layers.EinsumDense("abc,cd->abd", output_shape=(None, 7)), 5 * 6 * 7),
        ((5, 6, 4), layers.EinsumDense("...x,xy->...y", output_shape=7), 5 * 6 * 4 * 7),
        ((5, 6), layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3)), 5 * 6 * 2 * 3),
        ((5, 6), layers.EinsumDense("abc,bcd->abd", output_shape=(5, 3)), 5 * 6 * 3),
        ((9, 8, 8, 3), layers.TimeDistributed(layers.Conv2D(4, 3)), 9 * 9 * 3 * 4 * 36),
        ((9, 5), layers.TimeDistributed(layers.Dropout(0.5)), 0),
        ((8, 8, 3), layers.SpectralNormalization(layers.Conv2D(4, 3)), 9 * 3 * 4 * 36),
    ]
    for shape, layer, macs in cases:
        counted = cost(_model(shape, layer))
        assert (counted.macs, counted.unknown) == (macs, ()), layer.name


# ---- Refusals


@pytest.mark.parametrize("shape", [(None, None, 3), (None, 8, 3)])
def test_an_open_size_is_refused(shape: tuple[int | None, ...]) -> None:
    from keras import layers

    with pytest.raises(ModelError, match="not fixed") as caught:
        cost(_model(shape, layers.Conv2D(4, 3)))
    assert "fixed height and width" in caught.value.advice


def test_a_subclassed_model_is_refused() -> None:
    import keras

    class Own(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ModelError, match="subclassed"):
        cost(Own())


# ---- Shared layers, nested models, several inputs


def test_a_shared_layer_computes_twice_and_is_stored_once() -> None:
    import keras

    a, b = keras.Input((8, 8, 3)), keras.Input((4, 4, 3))
    tower = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, padding="same", name="tower")])
    shared = keras.layers.Conv2D(4, 3, padding="same", name="shared")
    counted = cost(keras.Model([a, b], [shared(a), shared(b), tower(keras.layers.ReLU()(a))]))
    assert sorted(call.macs for call in counted.calls if call.name == "shared") == [9 * 3 * 4 * 16, 9 * 3 * 4 * 64]
    assert [call.macs for call in counted.calls if call.name == "tower"] == [9 * 3 * 4 * 64]  # of open size itself, sized by its input
    assert [call.parameters for call in counted.calls if call.name == "shared"] == [112, 0]
    assert [call.weight_bytes("float32") for call in counted.calls if call.name == "shared"] == [448, 0]
    assert counted.parameters == 224


# ---- Weights


def test_weights_of_the_file_that_google_published() -> None:
    """mobilenet_v1_1.0_224_quant.tflite as TensorFlow Lite's interpreter lists it: uint8 kernels, int32 biases, 1001 classes."""
    import keras

    widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    depthwise = [288, 576, 1152, 1152, 2304, 2304, 4608, 4608, 4608, 4608, 4608, 4608, 9216]
    pointwise = [2048, 8192, 16384, 32768, 65536, 131072, *[262144] * 5, 524288, 1048576]
    biases = [128, *[4 * width for width in widths[:-1]], *[4 * width for width in widths[1:]]]
    listed = 864 + sum(depthwise) + sum(pointwise) + 1_025_024 + sum(biases) + 4004
    model = keras.applications.MobileNet((224, 224, 3), weights=None, classes=1001)
    assert cost(model).weight_bytes("int8") == listed


def test_weights_of_mlperfs_own_file(shared_data: Path) -> None:
    """Kernels and biases in vww_96_int8.tflite, which MLPerf Tiny wrote, and those of the Keras file that it was written from."""
    from ai_edge_litert.interpreter import Interpreter

    from dsmobile.keras_files import load_keras_file

    interpreter = Interpreter(model_path=str(shared_data / "artifacts" / "vww_96_int8.tflite"))
    stored = {}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            stored.update(dict.fromkeys(operator["inputs"][1:3].tolist()))
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    listed = sum(int(np.prod(details[index]["shape"])) * np.dtype(details[index]["dtype"]).itemsize for index in stored)
    assert cost(load_keras_file(shared_data / "models" / "vww_96.h5")).weight_bytes("int8") == listed


def test_what_a_batch_normalization_leaves() -> None:
    """Folded it gives a bias; with an activation or another reader before it, it stays as a scale and a shift."""
    import keras
    from keras import layers

    def weights(*body: Any) -> list[Weights]:
        return [call.weights for call in cost(_model((8, 8, 3), *body)).calls if call.kind in ("Conv2D", "BatchNormalization")]

    bare, biased = {"use_bias": False}, {"use_bias": True}
    assert weights(layers.Conv2D(4, 1, **bare), layers.BatchNormalization()) == [Weights(12, 4), Weights(0, 0)]
    assert weights(layers.Conv2D(4, 1, **biased), layers.BatchNormalization()) == [Weights(12, 4), Weights(0, 0)]
    assert weights(layers.Conv2D(4, 1, **bare), layers.Dropout(0.1), layers.BatchNormalization()) == [Weights(12, 4), Weights(0, 0)]
    assert weights(layers.Conv2D(4, 1, **bare), layers.ReLU(), layers.BatchNormalization()) == [Weights(12, 0), Weights(8, 0)]
    assert weights(layers.Conv2D(4, 1, activation="relu", **bare), layers.BatchNormalization()) == [Weights(12, 0), Weights(8, 0)]
    assert weights(layers.Conv2D(4, 1, **bare), layers.BatchNormalization(axis=1)) == [Weights(12, 0), Weights(16, 0)]
    assert weights(layers.BatchNormalization(), layers.Conv2D(4, 1, **bare)) == [Weights(6, 0), Weights(12, 0)]
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1, **bare)(image)
    twice = cost(keras.Model(image, [x, layers.BatchNormalization()(x)]))
    assert [call.weights for call in twice.calls] == [Weights(12, 0), Weights(8, 0)]
    assert (Weights(12, 4).size_bytes("float32"), Weights(12, 4).size_bytes("int8")) == (64, 28)
