"""The twin computes what its source computes wherever nothing non-linear stood between, keeps everything else, and can be made as cheap."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.architectures.composition import compose
from dsmobile.architectures.cost import cost
from dsmobile.architectures.graph import read_graph
from dsmobile.architectures.initialisation import he_normal, settle
from dsmobile.architectures.pairs import find_pairs
from dsmobile.architectures.twin import (
    FARTHEST,
    Twin,
    match_by_either,
    match_by_rule,
    match_by_width,
    nearest_alpha,
    standard_cost,
    standard_twin,
    widened_twin,
)
from dsmobile.errors import ModelError, SpecError


def stirred(model: Any, seed: int = 0) -> Any:
    """Random numbers in every weight, also in biases and batch normalizations, so that nothing is equal by chance."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            stirred(layer, seed + 1)
        elif layer.weights:
            spread = 0.4 if len(layer.weights[0].shape) < 3 else 1.5 / np.sqrt(np.prod(layer.weights[0].shape[:-1]))
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) if "var" in w.name else random.normal(0, spread, w.shape) for w in layer.weights])
    return model


def numbers(*shapes: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(7)
    return [random.normal(size=(3, *shape)).astype(np.float32) for shape in shapes]


def assert_same_function(model: Any) -> Twin:
    twin = standard_twin(model)
    assert twin.same_function
    kinds = {call.kind for call in read_graph(twin.model).calls}
    assert not kinds & {"DepthwiseConv2D", "DepthwiseConv1D", "SeparableConv2D", "SeparableConv1D"}
    given = numbers(*(tensor.shape[1:] for tensor in model.inputs))
    expected, found = (side(given if len(given) > 1 else given[0], training=False) for side in (model, twin.model))
    for one, other in zip(*(values if isinstance(values, (list, tuple)) else [values] for values in (expected, found)), strict=True):
        assert np.std(one) > 1e-3
        np.testing.assert_allclose(np.asarray(other), np.asarray(one), atol=1e-4)
    assert standard_cost(model) == (cost(twin.model).macs, cost(twin.model).parameters)
    return twin


def chain(*calls: Any, shape: tuple[int, ...] = (17, 15, 6)) -> Any:
    import keras

    x = image = keras.Input(shape)
    for call in calls:
        x = call(x)
    return stirred(keras.Model(image, x))


@pytest.mark.parametrize("multiplier", [1, 2])
def test_separable_and_linear_depthwise_compose(multiplier: int) -> None:
    from keras import layers

    assert_same_function(
        chain(
            layers.SeparableConv2D(10, 3, strides=2, padding="same", depth_multiplier=multiplier), layers.BatchNormalization(), layers.ReLU(),
            layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, depth_multiplier=multiplier), layers.BatchNormalization(),
            layers.Conv2D(7, 1), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(5),
        )
    )  # fmt: skip


@pytest.mark.parametrize("groups_times", [1, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_grouped_convolutions_compose(groups_times: int, padding: str) -> None:
    """Filter j of a convolution with one group a channel belongs to channel j // m."""
    from keras import layers

    grouped = layers.Conv2D(6 * groups_times, (3, 2), groups=6, padding=padding, strides=(2, 1))
    assert_same_function(chain(grouped, layers.BatchNormalization(), layers.Conv2D(4, 1, use_bias=False), layers.ReLU()))
    alone = layers.Conv2D(6 * groups_times, 3, groups=6, padding=padding, activation="tanh")
    assert_same_function(chain(alone, layers.MaxPooling2D()))


def test_one_dimension_composes() -> None:
    from keras import layers

    assert_same_function(
        chain(
            layers.SeparableConv1D(8, 5, strides=2, depth_multiplier=3, activation="relu"),
            layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2), layers.Conv1D(9, 1, activation="relu"),
            layers.Conv1D(9, 3, groups=9, padding="causal", dilation_rate=2), layers.BatchNormalization(), layers.Conv1D(5, 1), layers.ReLU(),
            shape=(40, 4),
        )
    )  # fmt: skip


def test_an_unpaired_depthwise_is_a_standard_convolution_that_is_zero_between_channels() -> None:
    from keras import layers

    model = chain(layers.DepthwiseConv2D((3, 5), strides=2, padding="same", depth_multiplier=2, activation="relu"), layers.MaxPooling2D())
    twin = assert_same_function(model)
    kernel = twin.model.get_layer(twin.composed[0]).get_weights()[0]
    assert kernel.shape == (3, 5, 6, 12)
    for channel in range(6):
        others = [place for place in range(12) if place // 2 != channel]
        assert not kernel[:, :, channel, others].any()


def test_a_linear_expansion_composes_where_no_padding_comes_between() -> None:
    """Zero padding after a constant was added is not zero padding before it."""
    from keras import layers

    def block(padding: str, *, use_bias: bool) -> Any:
        expansion = layers.Conv2D(12, 1, use_bias=use_bias)
        return chain(expansion, layers.DepthwiseConv2D(3, padding=padding, depth_multiplier=2), layers.ReLU(), layers.Conv2D(4, 1))

    assert assert_same_function(block("valid", use_bias=True)).pairs[0].rule == "fused"
    assert assert_same_function(block("same", use_bias=False)).pairs[0].rule == "fused"
    assert not standard_twin(block("same", use_bias=True)).same_function
    normalized = chain(layers.Conv2D(12, 1), layers.BatchNormalization(), layers.DepthwiseConv2D(3), layers.ReLU(), layers.Conv2D(4, 1))
    assert assert_same_function(normalized).pairs[0].rule == "fused"
    padded = chain(
        layers.Conv2D(12, 1, use_bias=False), layers.ZeroPadding2D(1), layers.DepthwiseConv2D(3, strides=2), layers.ReLU(), layers.Conv2D(4, 1)
    )
    assert_same_function(padded)


@pytest.mark.parametrize("use_bias", [True, False])
def test_padding_between_depthwise_and_pointwise(use_bias: bool) -> None:
    from keras import layers

    model = chain(
        layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.ZeroPadding2D(2), layers.Conv2D(5, 1, use_bias=use_bias), layers.ReLU()
    )
    if use_bias:  # the border holds the bias in the source and zero in the twin
        twin = standard_twin(model)
        assert (twin.pairs[0].rule, twin.same_function, twin.model.output_shape) == ("merged", False, model.output_shape)
    else:
        assert_same_function(model)


def test_a_dense_pointwise_composes() -> None:
    from keras import layers

    assert_same_function(chain(layers.DepthwiseConv2D(3, padding="same"), layers.BatchNormalization(), layers.Dense(9, activation="relu")))


def test_a_normalization_over_another_axis_is_not_composed() -> None:
    from keras import layers

    model = chain(layers.DepthwiseConv2D(3, padding="same"), layers.BatchNormalization(axis=1), layers.Conv2D(9, 1, activation="relu"))
    twin = standard_twin(model)
    assert (twin.pairs[0].rule, twin.same_function) == ("merged", False)
    with pytest.raises(ModelError, match="composed"):
        compose(twin.pairs[0])


def test_shared_layers_stay_shared() -> None:
    """A Siamese network: one nested model called twice, with layers of its own inside."""
    import keras
    from keras import layers

    image = keras.Input((12, 12, 3))
    x = layers.SeparableConv2D(8, 3, activation="relu")(image)
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3)(x))
    x = layers.Conv2D(6, 1, activation="relu")(x)
    tower = keras.Model(image, layers.GlobalAveragePooling2D()(x), name="tower")
    left, right = keras.Input((12, 12, 3)), keras.Input((12, 12, 3))
    model = stirred(keras.Model([left, right], layers.Dense(2)(layers.Subtract()([tower(left), tower(right)]))))
    twin = assert_same_function(model)
    assert len(twin.pairs) == 4
    assert len(twin.composed) == 2
    assert sum(type(layer).__name__ == "Conv2D" for layer in twin.model.layers) == 2


def test_a_shared_head_over_several_maps() -> None:
    """EfficientDet, arXiv:1911.09070: the head's separable convolutions are shared between levels, their normalizations are not."""
    import keras
    from keras import layers

    levels = [keras.Input((side, side, 6)) for side in (8, 4)]
    separable, depthwise, pointwise = layers.SeparableConv2D(6, 3, padding="same"), layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(5, 1)
    outputs = []
    for level in levels:
        x = layers.Activation("silu")(layers.BatchNormalization()(separable(level)))
        outputs.append(pointwise(layers.BatchNormalization()(depthwise(x))))
    model = stirred(keras.Model(levels, outputs))
    twin = assert_same_function(model)
    assert len(twin.composed) == 3  # one for the separable, two for the pair, since another normalization stands between at each level


def test_a_shared_depthwise_with_different_pointwises() -> None:
    import keras
    from keras import layers

    image = keras.Input((9, 9, 4))
    shared = layers.DepthwiseConv2D(3, padding="same", name="shared")
    first = layers.Conv2D(4, 1, activation="relu", name="first")(shared(image))
    second = layers.Conv2D(7, 1, activation="relu", name="second")(shared(first))
    model = stirred(keras.Model(image, [second, shared(first)]))
    twin = assert_same_function(model)
    assert sorted(pair.rule for pair in twin.pairs) == ["merged", "merged", "unpaired"]
    assert len(twin.composed) == 3


def test_a_shared_block_with_an_activation_between_is_one_convolution() -> None:
    import keras
    from keras import layers

    image = keras.Input((9, 9, 4))
    block = [layers.DepthwiseConv2D(3, padding="same"), layers.ReLU(), layers.Conv2D(4, 1), layers.ReLU()]
    x = image
    for layer in block * 3:
        x = layer(x)
    twin = standard_twin(keras.Model(image, x))
    assert (len(twin.pairs), len(twin.fresh)) == (3, 1)
    assert twin.model.count_params() == 9 * 4 * 4 + 4
    assert standard_cost(keras.Model(image, x)) == (3 * 81 * 9 * 16, 148)


def test_nested_models_with_layers_of_one_name() -> None:
    import keras
    from keras import layers

    def part(channels: int) -> Any:
        inner = keras.Input((10, 10, channels))
        x = layers.Conv2D(6, 1, name="point")(layers.DepthwiseConv2D(3, padding="same", name="depth")(inner))
        x = x * keras.ops.sigmoid(x)
        made = keras.Model(inner, x)
        for place, call in enumerate(call for call in read_graph(made).calls if not isinstance(call.layer, keras.Layer)):
            call.layer.name = f"operator_{place}"  # as in two files that were written by two processes
        return made

    image = keras.Input((10, 10, 3))
    assert_same_function(stirred(keras.Model(image, part(6)(part(3)(image)))))


def test_several_inputs_and_outputs_keep_names_order_and_shapes() -> None:
    import keras
    from keras import layers

    left, right = keras.Input((8, 8, 4), name="left"), keras.Input((8, 8, 2), name="right")
    x = layers.DepthwiseConv2D(3, padding="same")(layers.Concatenate()([left, right]))
    boxes = layers.Conv2D(4, 1, name="boxes")(x)
    scores = layers.SeparableConv2D(3, 3, name="scores")(layers.ReLU()(boxes))
    model = stirred(keras.Model({"right": right, "left": left}, {"scores": scores, "boxes": boxes}))
    twin = standard_twin(model)
    given = dict(zip(("left", "right"), numbers((8, 8, 4), (8, 8, 2)), strict=True))
    expected, found = model(given), twin.model(given)
    assert set(found) == {"boxes", "scores"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    assert [tensor.name for tensor in twin.model.inputs] == [tensor.name for tensor in model.inputs]
    assert twin.model.output_names == model.output_names


def test_what_the_layers_were_told_is_carried_over() -> None:
    import keras
    from keras import layers

    policy = keras.DTypePolicy("mixed_bfloat16")
    model = chain(
        layers.SeparableConv2D(
            8, 3, dilation_rate=2, pointwise_regularizer="l2", pointwise_constraint="max_norm", bias_regularizer="l1", activation="tanh", dtype=policy
        ),
        layers.DepthwiseConv2D(3, depthwise_regularizer="l1", depthwise_constraint="unit_norm"),
        layers.MaxPooling2D(),
        layers.DepthwiseConv2D(3),
        layers.ReLU(),
        layers.Conv2D(5, 1, kernel_regularizer="l2", trainable=False),
        layers.ReLU(),
    )
    twin = standard_twin(model)
    first, second, third = (twin.model.get_layer(name) for name in (*twin.composed, *twin.fresh))
    assert first.dilation_rate == (2, 2)
    assert (first.dtype_policy.name, first.activation) == ("mixed_bfloat16", keras.activations.tanh)
    assert [type(layer.kernel_regularizer).__name__ for layer in (first, second, third)] == ["L2", "L1", "L2"]
    assert [type(layer.kernel_constraint).__name__ for layer in (first, second)] == ["MaxNorm", "UnitNorm"]
    assert type(first.bias_regularizer).__name__ == "L1"
    assert [layer.trainable for layer in (first, second, third)] == [True, True, False]


def test_channels_first() -> None:
    """TensorFlow's CPU kernels cannot run it; shapes and counts are right all the same."""
    import keras
    from keras import layers

    image = keras.Input((6, 16, 12))
    x = layers.Conv2D(18, 1, activation="relu", data_format="channels_first")(image)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, data_format="channels_first")(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.Conv2D(5, 1, data_format="channels_first")(x)
    model = keras.Model(image, layers.SeparableConv2D(4, 3, data_format="channels_first")(x))
    twin = standard_twin(model)
    assert [pair.rule for pair in twin.pairs] == ["fused", "merged"]
    assert twin.pairs[0].standard_macs == 9 * 6 * 36 * 16 * 12
    assert twin.pairs[0].separable_macs == (6 * 18 + 9 * 36) * 16 * 12
    assert twin.model.output_shape == model.output_shape == (None, 4, 14, 10)
    assert {layer.data_format for layer in twin.model.layers if type(layer).__name__ == "Conv2D"} == {"channels_first"}


def test_a_trained_separable_network_keeps_its_function(shared_data: Path) -> None:
    from dsmobile.keras_files import load_keras_file

    model = load_keras_file(shared_data / "models/mini_xception_gender.hdf5")
    twin = standard_twin(model)
    faces = np.random.default_rng(0).uniform(0, 1, (4, 64, 64, 1)).astype(np.float32)
    assert twin.same_function
    np.testing.assert_allclose(twin.model.predict(faces, verbose=0), model.predict(faces, verbose=0), atol=1e-4)


@pytest.mark.slow
def test_xception_keeps_its_function() -> None:
    import keras

    model = keras.applications.Xception(weights=None, input_shape=(128, 128, 3), classes=10, classifier_activation=None)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 128, 128, 3)).astype(np.float32)
    he_normal(model, 0)
    settle(model, images)
    twin = standard_twin(model)
    expected = model.predict(images, verbose=0)
    assert twin.same_function
    assert expected.std() > 0.1
    np.testing.assert_allclose(twin.model.predict(images, verbose=0), expected, atol=1e-4)


def test_a_nested_model_called_with_a_dict_keeps_its_function() -> None:
    """Keras goes by the names of the inputs, not by their order."""
    import keras
    from keras import layers

    a, b, p, q = (keras.Input((8, 8, 4), name=name) for name in "abpq")
    nested = keras.Model([b, a], layers.Add()([layers.DepthwiseConv2D(3, padding="same")(a), layers.Conv2D(4, 1)(b)]))
    assert_same_function(stirred(keras.Model([p, q], nested({"a": p, "b": q}))))


def test_a_multiplication_by_one_number_composes() -> None:
    """One number times every channel, and one added, written as an operator or a layer."""
    from keras import layers

    for between in (
        lambda x: x * 2.0, lambda x: 0.5 * x, lambda x: x / 3.0, lambda x: x - 1.0, lambda x: 1.0 - x, lambda x: x + 0.3,
        layers.Rescaling(0.25, offset=0.5), lambda x: x * np.float32(1.5), lambda x: x * np.full((1, 1, 1, 1), 1.5, np.float32),
    ):  # fmt: skip
        assert_same_function(chain(layers.DepthwiseConv2D(3, use_bias=False), layers.BatchNormalization(), between, layers.Conv2D(4, 1)))
        assert_same_function(chain(layers.DepthwiseConv2D(3, use_bias=False), between, layers.Conv2D(4, 1, use_bias=False)))
    scaled = [layers.Conv2D(9, 1, use_bias=False), lambda x: x * 2.0, layers.DepthwiseConv2D(3, padding="same"), layers.ReLU(), layers.Conv2D(4, 1)]
    assert assert_same_function(chain(*scaled)).pairs[0].rule == "fused"
    moved = [scaled[0], lambda x: x + 2.0, *scaled[2:]]
    assert not standard_twin(chain(*moved)).same_function  # a constant before a padding


@pytest.mark.parametrize("between", [lambda x: 3.0 / (x * x + 1.0), lambda x: x * x, lambda x: x * np.arange(6, dtype=np.float32)])
def test_what_only_looks_like_a_multiplication_by_one_number_is_not_composed(between: Any) -> None:
    from keras import layers

    assert not standard_twin(chain(layers.DepthwiseConv2D(3), between, layers.Conv2D(4, 1))).same_function


def test_new_layers_and_copies_share_their_names() -> None:
    import keras
    from keras import layers

    def part() -> Any:
        inner = keras.Input((16, 16, 6))
        return keras.Model(inner, layers.Conv2D(6, 3, padding="same", name="dw")(inner))

    image = keras.Input((16, 16, 6))
    model = stirred(keras.Model(image, layers.DepthwiseConv2D(3, name="dw")(part()(part()(image)))))
    assert assert_same_function(model).model.output_names == ["dw"]
    inside = keras.Model(image, layers.Conv2D(6, 3, name="dw_standard")(part()(layers.DepthwiseConv2D(3, padding="same", name="dw")(part()(image)))))
    assert_same_function(stirred(inside))


def test_the_note_on_random_weights_holds_for_a_twin_without_an_activation() -> None:
    from keras import layers

    from dsmobile.pipeline import RANDOM_TWIN

    model = chain(layers.Conv2D(8, 1), layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(4, 1))
    assert standard_twin(model).fresh
    assert "ReLU" not in RANDOM_TWIN
    assert "a constant before a padding" in RANDOM_TWIN


def test_a_strangers_class_of_that_name_is_left_alone() -> None:
    import keras
    from keras import layers

    class DepthwiseConv2D(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return 2.0 * inputs

    image = keras.Input((16, 16, 4))
    twin = standard_twin(keras.Model(image, layers.SeparableConv2D(3, 3)(DepthwiseConv2D()(image))))
    assert [pair.rule for pair in twin.pairs] == ["merged"]
    alone = keras.Model(image, layers.Conv2D(4, 1)(DepthwiseConv2D()(layers.Conv2D(4, 1)(image))))
    with pytest.raises(ModelError, match="no depthwise"):
        standard_twin(alone)


def test_a_subclass_is_named() -> None:
    import keras
    from keras import layers

    class Doubled(layers.DepthwiseConv2D):
        def call(self, inputs: Any) -> Any:
            return 2.0 * super().call(inputs)

    class Twice(layers.SeparableConv2D):
        pass

    image = keras.Input((16, 16, 4))
    for layer in (Doubled(3, name="own"), Twice(4, 3, name="own")):
        for model in (keras.Model(image, layer(image)), keras.Model(image, layer(layers.SeparableConv2D(4, 3)(image)))):
            for asked in (standard_twin, standard_cost):
                with pytest.raises(ModelError, match=r"'own', a subclass .* is not replaced: its call may compute anything"):
                    asked(model)


def test_the_source_is_left_as_it_was() -> None:
    from keras import layers

    model = chain(layers.SeparableConv2D(4, 3), layers.ReLU(), layers.DepthwiseConv2D(3))
    before = [weights.copy() for weights in model.get_weights()]
    given = numbers((17, 15, 6))[0]
    expected = np.asarray(model(given))
    standard_twin(model)
    standard_twin(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model(given), expected)


def test_a_twin_can_be_saved_and_read_back(tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((12, 12, 4))
    x = layers.Conv2D(8, 1)(image)
    x = x * keras.ops.relu6(x + 3.0) / 6.0
    model = stirred(keras.Model(image, layers.Conv2D(3, 1)(layers.DepthwiseConv2D(3)(x))))
    twin = standard_twin(model).model
    twin.save(tmp_path / "twin.keras")
    given = numbers((12, 12, 4))[0]
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "twin.keras")(given), twin(given), atol=1e-6)


def test_nothing_to_replace_says_so() -> None:
    from keras import layers

    model = chain(layers.Conv2D(4, 3), layers.Conv2DTranspose(4, 3))
    for asked in (standard_twin, standard_cost, lambda network: match_by_width(network, "same-macs")):
        with pytest.raises(ModelError, match="no depthwise") as caught:
            asked(model)
        assert "nothing to replace" in caught.value.advice


def test_a_depthwise_inside_another_layer_is_named() -> None:
    from keras import layers

    model = chain(
        layers.SeparableConv2D(4, 3), layers.Reshape((15, 13, 4)), layers.TimeDistributed(layers.DepthwiseConv1D(3, name="inner"), name="outer")
    )
    with pytest.raises(ModelError, match=r"inner.*TimeDistributed 'outer'"):
        standard_twin(model)


def test_a_subclassed_model_is_refused() -> None:
    import keras

    class Own(keras.Model):
        pass

    with pytest.raises(ModelError, match="subclassed"):
        standard_twin(Own())


@pytest.mark.parametrize("kind", ["same-macs", "same-parameters"])
def test_the_twin_of_any_model_can_be_made_as_cheap(kind: str, shared_data: Path) -> None:
    from dsmobile.keras_files import load_keras_file

    for path in sorted((shared_data / "models").glob("*")):
        model = load_keras_file(path)
        match = match_by_width(model, kind)
        wanted, found = (getattr(cost(side), kind.removeprefix("same-")) for side in (model, widened_twin(model, match.alpha).model))
        assert found / wanted == pytest.approx(match.reached, rel=1e-12)
        assert abs(match.reached - 1) < FARTHEST
        assert match.widened_by == "every inner width multiplied"
        assert 0.2 < match.alpha < 1


def test_a_widened_twin_has_none_of_its_weights_from_the_source() -> None:
    from keras import layers

    model = chain(layers.SeparableConv2D(16, 3), layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(3))
    twin = widened_twin(model, 0.5)
    assert not twin.same_function
    assert set(twin.fresh) == {layer.name for layer in twin.model.layers if layer.weights}
    assert [pair.rule for pair in twin.pairs] == ["merged"]
    assert not find_pairs(read_graph(twin.model))


def test_bisection_comes_as_near_as_the_steps_allow() -> None:
    tried: list[float] = []

    def counted(alpha: float) -> int:
        tried.append(alpha)
        if alpha < 0.05:
            raise SpecError("too narrow", "")
        return round(64 * alpha) ** 2

    for wanted in (100, 444, 1600, 9000):
        alpha, count = nearest_alpha(counted, wanted, "same-macs", 1e-4)
        assert abs(count - wanted) == min(abs(filters**2 - wanted) for filters in range(1, 513))
        assert counted(alpha) == count
    assert len(tried) < 4 * 40


def test_no_width_near_enough_says_what_the_nearest_has() -> None:
    with pytest.raises(SpecError, match=r"1,000 parameters.*1,600"):
        nearest_alpha(lambda alpha: 1600 if alpha > 0.5 else 100, 1000, "same-parameters", 1e-3)
    with pytest.raises(SpecError, match="nearest"):
        nearest_alpha(lambda alpha: 10, 1000, "same-macs", 1e-3)


def coarse() -> Any:
    """An architecture whose rule rounds widths to multiples of 8: at a given alpha many of them jump at once."""
    from dsmobile.architectures.finding import spec_of

    return spec_of("efficientnet_lite2")


@pytest.mark.parametrize(("by_rule", "by_width", "taken"), [
    (1.019, 1.0, 1.019), (1.021, 1.0, 1.0), (0.97, 1.01, 1.01), (0.97, 1.04, 0.97), (None, 0.96, 0.96), (0.96, None, 0.96),
])  # fmt: skip
def test_the_nearer_of_rule_and_width_is_taken(monkeypatch: pytest.MonkeyPatch, by_rule: float | None, by_width: float | None, taken: float) -> None:
    from dsmobile.architectures import twin

    def answers(reached: float | None, widened_by: str) -> Any:
        def match(*_: Any, **__: Any) -> Any:
            if reached is None:
                raise SpecError("no width", "")
            return twin.Match(0.5, widened_by, reached)

        return match

    monkeypatch.setattr(twin, "match_by_rule", answers(by_rule, "rule"))
    monkeypatch.setattr(twin, "match_by_width", answers(by_width, "width"))
    match = match_by_either(coarse(), None, "same-macs", alpha=None)
    assert (match.reached, match.widened_by) == (taken, "rule" if taken == by_rule else "width")


def test_neither_near_says_what_the_rule_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from dsmobile.architectures import twin

    def no(message: str) -> Any:
        def match(*_: Any, **__: Any) -> Any:
            raise SpecError(message, "")

        return match

    monkeypatch.setattr(twin, "match_by_rule", no("by rule"))
    monkeypatch.setattr(twin, "match_by_width", no("by width"))
    with pytest.raises(SpecError, match="by rule"):
        match_by_either(coarse(), None, "same-macs", alpha=None)


@pytest.mark.slow
def test_an_architecture_with_coarse_steps_has_a_twin_of_as_many_parameters() -> None:
    from dsmobile.architectures.builder import build

    spec = coarse()
    with pytest.raises(SpecError, match="no width"):
        match_by_rule(spec, "same-parameters", alpha=None)
    model = build(spec)
    match = match_by_either(spec, model, "same-parameters", alpha=None)
    assert match.widened_by == "every inner width multiplied"
    assert abs(match.reached - 1) < 0.02
    assert cost(widened_twin(model, match.alpha).model).parameters / cost(model).parameters == pytest.approx(match.reached, rel=1e-12)
