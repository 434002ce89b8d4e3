"""Every inner width multiplied: on networks counted by hand, on `keras.applications`, and on what cannot be widened."""

from typing import Any

import numpy as np
import pytest

from dsmobile.architectures.cost import cost
from dsmobile.architectures.twin import standard_twin
from dsmobile.architectures.width import widened, widths
from dsmobile.errors import ModelError

pytestmark = pytest.mark.long

ALPHAS = (0.13, 0.37, 1.0, 1.6)


def chain(*calls: Any, shape: tuple[int, ...] = (16, 16, 3)) -> Any:
    import keras

    x = image = keras.Input(shape)
    for call in calls:
        x = call(x)
    return keras.Model(image, x)


def check(model: Any, *alphas: float) -> None:
    """The count that needs no network is the built network's, the ends stay, and the new network computes something."""
    import keras

    followed = widths(model)
    for alpha in alphas or ALPHAS:
        wide = widened(model, alpha)
        counted = cost(wide)
        assert followed.cost(alpha) == (counted.macs, counted.parameters)
        assert wide.count_params() == counted.parameters
        assert [tensor.shape for tensor in wide.inputs + wide.outputs] == [tensor.shape for tensor in model.inputs + model.outputs]
        given = [np.ones((1, *(side or 16 for side in tensor.shape[1:])), np.float32) for tensor in model.inputs]
        ends = keras.tree.flatten(wide(given if len(given) > 1 else given[0]))
        assert all(np.isfinite(np.asarray(end)).all() for end in ends)


def test_widths_by_hand() -> None:
    """16 -> 6, 24 -> 9, the head's 10 stay: rounding to the nearest whole number, halves up."""
    from keras import layers

    model = chain(
        layers.Conv2D(16, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU(), layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.Conv2D(24, 1), layers.GlobalAveragePooling2D(), layers.Dense(10), layers.Softmax(),
    )  # fmt: skip
    wide = widened(model, 0.375)
    assert [tuple(weight.shape) for weight in wide.trainable_weights] == [
        (3, 3, 3, 6), (6,), (6,), (3, 3, 6, 2), (12,), (1, 1, 12, 9), (9,), (9, 10), (10,),
    ]  # fmt: skip
    assert cost(wide).macs == 9 * 3 * 6 * 196 + 9 * 12 * 144 + 12 * 9 * 144 + 90
    assert cost(widened(model, 1e-4)).calls[0].output_shape == (14, 14, 1)
    check(model)


def test_at_one_it_is_the_same_function() -> None:
    from keras import layers

    model = chain(layers.Conv2D(8, 3), layers.BatchNormalization(), layers.SeparableConv2D(6, 3), layers.PReLU(), layers.Flatten(), layers.Dense(4))
    given = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(widened(model, 1.0)(given), model(given), atol=1e-6)


@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0"])
def test_keras_applications_and_their_twins(name: str) -> None:
    import keras

    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=3)
    check(model, 0.37)
    twin = standard_twin(model).model
    counted = cost(twin)
    assert widths(twin).cost(1.0) == (counted.macs, counted.parameters)
    check(twin, 0.4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MobileNetV3Large", "EfficientNetV2B0", "NASNetMobile", "Xception", "ConvNeXtTiny", "ResNet50V2", "InceptionV3", "VGG16"]
)
def test_more_of_keras_applications(name: str) -> None:
    import keras

    arguments = {"include_top": False} if name == "NASNetMobile" else {"classes": 3}
    check(getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3), **arguments), 0.37, 1.2)


@pytest.mark.parametrize("name", ["ResNet50", "DenseNet121"])
def test_residuals_and_concatenations_of_keras_applications(name: str) -> None:
    import keras

    check(getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=3), 0.29)


def test_a_sum_of_a_concatenation_and_a_convolution_stays_a_sum() -> None:
    """0.33 of 64 is 21, of 32 is 11: the three must agree on 22."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    parts = layers.Concatenate()([layers.Conv2D(32, 1)(image), layers.Conv2D(32, 1)(image)])
    model = keras.Model(image, layers.Conv2D(4, 1)(layers.Add()([parts, layers.Conv2D(64, 1)(image)])))
    assert cost(widened(model, 0.33)).calls[-1].macs == 22 * 4 * 64
    check(model)


def test_groups_stay_divisible_through_a_channel_shuffle() -> None:
    """ShuffleNet, arXiv:1707.01083, figure 2."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    x = stem = layers.Conv2D(24, 3, padding="same")(image)
    x = layers.Conv2D(12, 1, groups=3)(x)
    x = layers.Reshape((8, 8, 12))(layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 8, 3, 4))(x)))
    x = layers.Conv2D(12, 3, groups=12, padding="same")(x)
    x = layers.Add()([stem, layers.Conv2D(24, 1, groups=3)(x)])
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    check(model)
    wide = widened(model, 0.37)
    widths_found = [layer.filters for layer in wide.layers if isinstance(layer, layers.Conv2D)]
    assert widths_found == [9, 3, 3, 9]


def test_flattened_maps_shared_layers_gates_and_ends() -> None:
    import keras
    from keras import layers

    image, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    stem = layers.Conv2D(10, 3, strides=2, padding="same", activation="relu")
    one, two = stem(image), stem(other)
    gate = layers.Dense(10, activation="sigmoid")(layers.Dense(4)(layers.GlobalAveragePooling2D()(one)))
    x = layers.Multiply()([one, layers.Reshape((1, 1, 10))(gate)]) + two * keras.ops.sigmoid(two)
    attention = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
    x = x * attention
    x = layers.Conv2DTranspose(12, 2, strides=2)(x)
    low, high = keras.ops.split(x, 2, axis=-1)
    picture = layers.Conv2D(3, 1)(low) + image
    code = layers.Dense(4 * 4 * 6)(layers.Flatten()(high))
    x = layers.GroupNormalization(2)(layers.Conv2D(8, 3, padding="same")(layers.Reshape((4, 4, 6))(code)))
    model = keras.Model([image, other], [picture, layers.Dense(5)(layers.Flatten()(x))])
    check(model)
    assert [layer.filters for layer in widened(model, 2.0).layers if isinstance(layer, layers.Conv2D)] == [20, 1, 16, 3]


def test_one_dimension_and_a_dense_head_on_every_step() -> None:
    from keras import layers

    check(
        chain(
            layers.SeparableConv1D(16, 5, padding="same", depth_multiplier=2), layers.LayerNormalization(), layers.ReLU(),
            layers.DepthwiseConv1D(3), layers.Conv1D(12, 3, padding="causal"), layers.Dense(7), layers.Dense(4),
            shape=(30, 5),
        )
    )  # fmt: skip


def test_channels_first_is_counted() -> None:
    from keras import layers

    first = {"data_format": "channels_first"}
    model = chain(
        layers.Conv2D(16, 3, **first), layers.BatchNormalization(axis=1), layers.DepthwiseConv2D(3, **first),
        layers.GlobalAveragePooling2D(**first), layers.Dense(2), shape=(3, 12, 10),
    )  # fmt: skip
    wide = widened(model, 0.5)
    assert widths(model).cost(0.5) == (cost(wide).macs, cost(wide).parameters)
    assert wide.layers[1].output.shape == (None, 8, 10, 8)


def test_layers_that_make_an_output_keep_their_width() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    inner = layers.Conv2D(16, 3, padding="same")(image)
    features = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(12, 3, padding="same")(inner)))
    model = keras.Model(image, [features, layers.Conv2D(7, 1)(features)])
    assert [layer.filters for layer in widened(model, 0.5).layers if isinstance(layer, layers.Conv2D)] == [8, 12, 7]
    check(model)


def test_equal_widths_stay_equal() -> None:
    from keras import layers

    wide = widened(chain(*(layers.Conv2D(17, 3, padding="same") for _ in range(4)), layers.Conv2D(2, 1)), 0.41)
    assert [layer.filters for layer in wide.layers[1:]] == [7, 7, 7, 7, 2]


def gated(name: str, side: int = 16) -> Any:
    """A squeeze-excite block as a model of its own, with a `Reshape` in it."""
    import keras
    from keras import layers

    image = keras.Input((side, side, 16))
    x = layers.DepthwiseConv2D(3, padding="same", name="depth")(image)
    gate = layers.Dense(16, activation="sigmoid", name="up")(layers.Dense(8, activation="relu", name="down")(layers.GlobalAveragePooling2D()(x)))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 16), name="reshape")(gate)])
    return keras.Model(image, layers.Conv2D(16, 1, name="point")(x), name=name)


@pytest.mark.parametrize("shared", [True, False])
def test_a_reshape_in_a_nested_model_called_twice(shared: bool) -> None:
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same")(image)
    first = gated("first")
    x = (first if shared else gated("second"))(first(x))
    model = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    check(model)
    assert sum(isinstance(layer, layers.Reshape) for layer in widened(model, 0.5).layers) == (1 if shared else 2)


@pytest.mark.parametrize("operator", [True, False])
def test_a_reshape_called_at_maps_of_two_sizes(operator: bool) -> None:
    import keras
    from keras import layers, ops

    image = keras.Input((8, 8, 3))
    large = layers.Conv2D(12, 3, padding="same")(image)
    small = layers.Conv2D(12, 3, strides=2, padding="same")(image)
    reshape = (lambda x: ops.reshape(x, (-1, x.shape[1] * x.shape[2], 12))) if operator else layers.Reshape((-1, 12), name="rows")
    model = keras.Model(image, layers.Dense(5)(layers.Concatenate(axis=1)([reshape(large), reshape(small)])))
    check(model)


def test_heads_as_of_a_detector_keep_the_width_that_their_reshape_regroups() -> None:
    """SSD, arXiv:1512.02325: boxes of 4 numbers, two at each place, from maps of two sizes, one behind the other."""
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(24, 3, strides=2, padding="same")(image)
    y = layers.Conv2D(24, 3, strides=2, padding="same")(x)
    rows = [layers.Reshape((-1, 4))(layers.Conv2D(8, 1)(layers.DepthwiseConv2D(3, padding="same")(z))) for z in (x, y)]
    boxes = layers.Concatenate(axis=1)(rows)
    model = keras.Model(image, {"boxes": boxes, "shifted": layers.Activation("sigmoid")(boxes)})
    check(model)
    assert [layer.filters for layer in widened(model, 0.5).layers if type(layer) is layers.Conv2D] == [12, 12, 8, 8]
    twice = keras.Model(image, layers.Reshape((-1, 2, 2))(boxes))
    check(twice)


def test_channels_behind_a_regrouping_reshape_that_meet_weights_are_named() -> None:
    from keras import layers

    model = chain(layers.Conv2D(8, 1), layers.Reshape((-1, 4), name="rows"), layers.Dense(3))
    with pytest.raises(ModelError, match="Reshape 'rows' needs its 8 channels"):
        widened(model, 0.5)


def test_a_strangers_class_is_not_taken_for_keras_s_own() -> None:
    import keras
    from keras import layers

    class DepthwiseConv2D(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    class Dense(layers.Dense):
        pass

    image = keras.Input((8, 8, 3))
    with pytest.raises(ModelError, match="DepthwiseConv2D"):
        widths(keras.Model(image, layers.Conv2D(2, 1)(DepthwiseConv2D()(layers.Conv2D(8, 1)(image)))))
    with pytest.raises(ModelError, match="'own' cannot be changed"):
        widths(keras.Model(image, layers.Conv2D(2, 1)(Dense(8, name="own")(image))))
    check(keras.Model(image, layers.Conv2D(2, 1)(layers.Conv2D(8, 1)(DepthwiseConv2D()(image)))))


@pytest.mark.parametrize("what", ["constant", "slice", "lstm", "attention", "argsort"])
def test_what_cannot_be_widened_is_named(what: str) -> None:
    import keras
    from keras import layers

    image = keras.Input((12, 3))
    x = layers.Conv1D(8, 3, name="before")(image)
    x = {
        "constant": lambda: x * np.arange(8, dtype=np.float32),
        "slice": lambda: x[..., :4],
        "lstm": lambda: layers.LSTM(6, name="memory", return_sequences=True)(x),
        "attention": lambda: layers.MultiHeadAttention(2, 4, name="heads")(x, x),
        "argsort": lambda: keras.ops.cast(keras.ops.argsort(x), "float32"),
    }[what]()
    model = keras.Model(image, layers.Dense(2)(x))
    named = {"constant": "Multiply", "slice": "GetItem", "lstm": "LSTM 'memory'", "attention": "MultiHeadAttention 'heads'", "argsort": "Argsort"}[
        what
    ]
    with pytest.raises(ModelError, match=named) as caught:
        widened(model, 0.5)
    assert "--twin standard" in caught.value.advice


def test_a_constant_on_the_input_is_no_obstacle() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    x = (image - np.array([1, 2, 3], np.float32))[:, 1:7, 1:7, :2]
    check(keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Conv2D(8, 3)(x)))))


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_an_alpha_that_is_none(alpha: float) -> None:
    from keras import layers

    with pytest.raises(ModelError, match="alpha"):
        widened(chain(layers.Conv2D(4, 3), layers.Conv2D(4, 3)), alpha)


def test_an_open_size_is_named_when_it_is_counted() -> None:
    from keras import layers

    model = chain(layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(2), shape=(None, None, 3))
    with pytest.raises(ModelError, match="not fixed"):
        widths(model).cost(0.5)
