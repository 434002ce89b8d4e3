"""The three rules of the twin: on the networks that name them, on every way of writing a block, and against counts by hand."""

from collections import Counter
from math import prod
from typing import Any

import pytest

from dsmobile.architectures.cost import cost
from dsmobile.architectures.graph import read_graph
from dsmobile.architectures.pairs import Pair, find_pairs
from dsmobile.architectures.twin import standard_cost, standard_twin
from dsmobile.errors import ModelError

APPLICATIONS = {
    "MobileNet": {"merged": 13},
    "MobileNetV2": {"merged": 1, "fused": 16},
    "MobileNetV3Small": {"unpaired": 1, "fused": 10},
    "MobileNetV3Large": {"merged": 1, "fused": 14},
    "EfficientNetB0": {"unpaired": 1, "fused": 15},
    "EfficientNetV2B0": {"fused": 16},
    "NASNetMobile": {"merged": 160},
    "Xception": {"merged": 34},
    "ConvNeXtTiny": {"unpaired": 18},
}
LARGE = ("NASNetMobile", "Xception", "ConvNeXtTiny")


def application(name: str) -> Any:
    import keras

    arguments = {"include_top": False} if name == "NASNetMobile" else {"classes": 3}
    if name.startswith("EfficientNetV2"):
        arguments["include_preprocessing"] = True
    return getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3) if name != "Xception" else (71, 71, 3), **arguments)


def pairs_of(model: Any) -> list[Pair]:
    return find_pairs(read_graph(model))


def chain(*calls: Any, shape: tuple[int, ...] = (16, 16, 8)) -> Any:
    import keras

    x = image = keras.Input(shape)
    for call in calls:
        x = call(x)
    return keras.Model(image, x)


def rules(*calls: Any, shape: tuple[int, ...] = (16, 16, 8)) -> list[str]:
    return [pair.rule for pair in pairs_of(chain(*calls, shape=shape))]


def by_hand(pair: Pair) -> tuple[int, int]:
    """MACs that the twin has more, and weights of the new kernel: from the shapes of kernels and maps, by the definition of the rules."""
    layer = pair.depthwise.layer
    kernel = layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel
    *sides, channels, multiplier = kernel.shape
    if hasattr(layer, "groups"):
        channels, multiplier = layer.groups, multiplier // layer.groups
    places = prod(pair.depthwise.output_shape[:-1])
    depthwise = prod(sides) * channels * multiplier * places
    if pair.rule == "merged":
        mixing = pair.pointwise.layer.kernel if pair.pointwise else layer.pointwise_kernel
        outputs = mixing.shape[-1]
        return prod(sides) * channels * outputs * places - depthwise - channels * multiplier * outputs * places, prod(sides) * channels * outputs
    if pair.rule == "fused":
        inputs, width = pair.pointwise.layer.kernel.shape[-2:]
        assert width == channels
        standard = prod(sides) * inputs * channels * multiplier
        return standard * places - depthwise - inputs * channels * prod(pair.pointwise.output_shape[:-1]), standard
    return depthwise * channels - depthwise, prod(sides) * channels * channels * multiplier


def check_twin(model: Any) -> None:
    """The twin against counts by hand: MACs, parameters, shapes; and against the count that needs no twin."""
    pairs = pairs_of(model)
    made = standard_twin(model)
    twin = made.model
    counted = cost(twin)
    assert counted.macs == cost(model).macs + sum(by_hand(pair)[0] for pair in pairs)
    kernels = {tuple(weight.shape) for layer in twin.layers for weight in layer.weights}
    assert all(by_hand(pair)[1] == pair.standard_parameters for pair in pairs)
    assert {pair.standard_parameters for pair in pairs} <= {prod(shape) for shape in kernels}
    gone = {
        id(call.layer): call.layer.count_params()
        for pair in pairs
        for call in (pair.depthwise, *([pair.pointwise] if pair.pointwise else []), *pair.between)
        if hasattr(call.layer, "count_params")
    }
    added = [twin.get_layer(name) for name in (*made.composed, *made.fresh)]
    biases = sum(layer.bias.shape[0] for layer in added if layer.use_bias)
    assert counted.parameters == model.count_params() - sum(gone.values()) + sum(by_hand(pair)[1] for pair in pairs) + biases
    assert standard_cost(model) == (counted.macs, counted.parameters)
    assert [tensor.shape for tensor in twin.outputs] == [tensor.shape for tensor in model.outputs]
    assert not [layer.name for layer in twin.layers if "Depthwise" in type(layer).__name__ or "Separable" in type(layer).__name__]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_rules_and_counts_of_keras_applications(name: str) -> None:
    model = application(name)
    pairs = pairs_of(model)
    assert Counter(pair.rule for pair in pairs) == APPLICATIONS[name]
    first = {"MobileNetV2": "merged", "MobileNetV3Small": "unpaired", "MobileNetV3Large": "merged", "EfficientNetB0": "unpaired"}
    assert pairs[0].rule == first.get(name, pairs[0].rule)
    assert standard_cost(model)[0] == cost(model).macs + sum(by_hand(pair)[0] for pair in pairs)
    for pair in pairs:
        assert by_hand(pair)[0] == pair.standard_macs - pair.separable_macs
        assert pair.linear == (pair.rule == "unpaired" or name in ("NASNetMobile", "Xception"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in APPLICATIONS])
def test_twins_of_keras_applications(name: str) -> None:
    check_twin(application(name))


@pytest.mark.parametrize(("kernel", "outputs", "expected"), [(3, 1024, 0.1121), (5, 512, 1 / 23.84)])
def test_ratio_of_the_articles(kernel: int, outputs: int, expected: float) -> None:
    from keras import layers

    (pair,) = pairs_of(chain(layers.DepthwiseConv2D(kernel, padding="same"), layers.ReLU(), layers.Conv2D(outputs, 1), shape=(14, 14, 32)))
    assert pair.rule == "merged"
    assert pair.ratio == pytest.approx(expected, abs=1e-4)
    assert pair.formula_ratio == pytest.approx(pair.ratio, rel=1e-12)


def test_parameters_of_the_articles_example() -> None:
    from keras import layers

    (pair,) = pairs_of(chain(layers.SeparableConv2D(3, 3, use_bias=False), shape=(9, 9, 3)))
    assert (pair.separable_parameters, pair.standard_parameters) == (36, 81)


def test_table_3_of_mobilenets_to_its_digits() -> None:
    """One layer, K = 3, M = N = 512, 14 x 14: 462 M against 52.3 M multiply-adds."""
    from keras import layers

    depthwise = layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    (pair,) = pairs_of(chain(depthwise, layers.Conv2D(512, 1, use_bias=False), shape=(14, 14, 512)))
    assert (round(pair.standard_macs / 1e6), round(pair.separable_macs / 1e6, 1)) == (462, 52.3)
    assert (round(pair.standard_parameters / 1e6, 2), round(pair.separable_parameters / 1e6, 2)) == (2.36, 0.27)


def test_the_worked_counts_of_the_docstring() -> None:
    from keras import layers

    def depthwise() -> Any:
        return layers.DepthwiseConv2D(3, padding="same", use_bias=False)

    fused, merged, alone = (
        pairs_of(model)[0]
        for model in (
            chain(layers.Conv2D(144, 1), layers.ReLU(), depthwise(), layers.ReLU(), layers.Conv2D(24, 1), shape=(56, 56, 24)),
            chain(depthwise(), layers.ReLU(), layers.Conv2D(1024, 1), layers.ReLU(), shape=(7, 7, 1024)),
            chain(depthwise(), shape=(56, 56, 16)),
        )
    )
    assert [(pair.rule, round(pair.ratio, 4)) for pair in (fused, merged, alone)] == [("fused", 0.1528), ("merged", 0.1121), ("unpaired", 0.0625)]
    assert fused.standard_macs == 9 * 24 * 144 * 3136
    assert merged.separable_macs == (9 * 1024 + 1024 * 1024) * 49
    assert alone.standard_macs == 9 * 16 * 16 * 3136


def uib(start: int | None, middle: int | None) -> Any:
    """A universal inverted bottleneck of MobileNetV4, arXiv:2404.10518, figure 4: an optional depthwise at the start, one in the middle."""
    import keras
    from keras import layers

    x = image = keras.Input((16, 16, 24))
    if start:
        x = layers.BatchNormalization()(layers.DepthwiseConv2D(start, padding="same", use_bias=False)(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(96, 1, use_bias=False)(x)))
    if middle:
        x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(middle, padding="same", use_bias=False)(x)))
    x = layers.BatchNormalization()(layers.Conv2D(24, 1, use_bias=False)(x))
    return keras.Model(image, layers.Add()([x, image]))


@pytest.mark.parametrize(
    ("start", "middle", "expected"),
    [(None, 3, ["fused"]), (5, None, ["merged"]), (3, 5, ["merged", "merged"]), (None, None, [])],
    ids=["inverted bottleneck", "ConvNext-like", "extra depthwise", "FFN"],
)
def test_universal_inverted_bottleneck(start: int | None, middle: int | None, expected: list[str]) -> None:
    model = uib(start, middle)
    assert [pair.rule for pair in pairs_of(model)] == expected
    if expected:
        check_twin(model)


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Large"])
def test_every_pointwise_is_used_once(name: str) -> None:
    used = [id(pair.pointwise) for pair in pairs_of(application(name)) if pair.pointwise]
    assert len(used) == len(set(used))


def _hard_swish(x: Any) -> Any:
    from keras import layers

    return x * (layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0))


def _hard_swish_divided(x: Any) -> Any:
    import keras

    return x * keras.ops.relu6(x + 3.0) / 6.0


def _swish_of_ops(x: Any) -> Any:
    import keras

    return keras.ops.multiply(keras.ops.sigmoid(x), x)


def _mish(x: Any) -> Any:
    import keras

    return x * keras.ops.tanh(keras.ops.softplus(x))


@pytest.mark.parametrize("activation", ["relu6", "silu", "hard_swish", "linear", _hard_swish, _hard_swish_divided, _swish_of_ops, _mish])
def test_an_activation_may_be_written_with_operators(activation: Any) -> None:
    from keras import layers

    act = activation if callable(activation) else layers.Activation(activation)
    block = (layers.Conv2D(24, 1), layers.BatchNormalization(), act, layers.DepthwiseConv2D(3), layers.BatchNormalization(), act)
    model = chain(*block, layers.Conv2D(8, 1), layers.BatchNormalization())
    (pair,) = pairs_of(model)
    assert (pair.rule, pair.pointwise.layer.filters) == ("fused", 24)
    check_twin(model)
    if activation != "linear":  # the last pointwise is no linear bottleneck, whichever way its activation is written
        assert rules(*block, layers.Conv2D(8, 1), layers.BatchNormalization(), act) == ["merged"]


def _excite_v3(x: Any) -> Any:
    """keras.applications.MobileNetV3."""
    from keras import layers

    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.ReLU()(layers.Conv2D(4, 1)(gate))
    gate = layers.Conv2D(x.shape[-1], 1)(gate)
    return layers.Multiply()([x, layers.ReLU(6.0)(gate + 3.0) * (1.0 / 6.0)])


def _excite_dense(x: Any) -> Any:
    from keras import layers

    gate = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, x.shape[-1]))(layers.Dense(x.shape[-1], activation="sigmoid")(gate))
    return layers.multiply([gate, x])


def _excite_ops(x: Any) -> Any:
    import keras
    from keras import layers

    gate = keras.ops.mean(x, axis=(1, 2), keepdims=True)
    gate = layers.Conv2D(x.shape[-1], 1)(keras.ops.silu(layers.Conv2D(4, 1)(gate)))
    return keras.ops.sigmoid(gate) * x


def _excite_pooled_twice(x: Any) -> Any:
    """The channel attention of CBAM, arXiv:1807.06521, section 3.1."""
    from keras import layers

    first, second = layers.Dense(4, activation="relu"), layers.Dense(x.shape[-1])
    gates = [second(first(pool(keepdims=True)(x))) for pool in (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)]
    return layers.Multiply()([x, layers.Activation("sigmoid")(layers.Add()(gates))])


def _excite_swish_gate(x: Any) -> Any:
    """A gate whose inner activation is written with operators and uses its input twice."""
    from keras import layers

    gate = layers.Conv2D(4, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return x * layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(_swish_of_ops(gate))


EXCITES = [_excite_v3, _excite_dense, _excite_ops, _excite_pooled_twice, _excite_swish_gate]


@pytest.mark.parametrize("excite", EXCITES)
def test_a_squeeze_excite_however_it_is_written(excite: Any) -> None:
    from keras import layers

    def block() -> list[Any]:
        return [layers.DepthwiseConv2D(3, padding="same"), layers.BatchNormalization(), layers.ReLU(), excite, layers.Conv2D(8, 1)]

    fused = chain(layers.Conv2D(24, 1), layers.ReLU(), *block())
    assert [pair.rule for pair in pairs_of(fused)] == ["fused"]
    assert rules(*block()) == ["unpaired"]
    assert rules(*block(), layers.ReLU()) == ["unpaired"]
    kinds = Counter(call.kind for call in read_graph(fused).calls)
    after = Counter(call.kind for call in read_graph(standard_twin(fused).model).calls)
    assert kinds - after == Counter({"DepthwiseConv2D": 1, "ReLU": 1})  # squeeze-excite and projection stay
    check_twin(fused)


def test_a_gate_that_is_not_pooled_to_one_number_a_channel_is_no_squeeze_excite() -> None:
    import keras
    from keras import layers

    def spatial_attention(x: Any) -> Any:
        return x * layers.Conv2D(1, 3, padding="same", activation="sigmoid")(keras.ops.mean(x, axis=-1, keepdims=True))

    block = (layers.Conv2D(64, 1), layers.DepthwiseConv2D(3, padding="same"), spatial_attention, layers.Conv2D(8, 1))
    assert rules(*block, shape=(8, 8, 8)) == ["unpaired"]  # 8 x 8 places, 64 channels: not to be taken for each other


def test_a_squeeze_excite_before_the_depthwise_parts_the_two() -> None:
    from keras import layers

    block = (layers.DepthwiseConv2D(3), layers.Conv2D(8, 1))
    assert rules(layers.Conv2D(24, 1), _excite_dense, *block) == ["merged"]
    assert rules(layers.Conv2D(24, 1), layers.ReLU(), *block) == ["fused"]


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_depth_multipliers_and_strides_follow_the_formula(multiplier: int, stride: int) -> None:
    from keras import layers

    def depthwise() -> Any:
        return layers.DepthwiseConv2D(3, strides=stride, padding="same", depth_multiplier=multiplier)

    for model in (
        chain(layers.Conv2D(12, 1), layers.ReLU(), depthwise(), layers.ReLU(), layers.Conv2D(5, 1)),
        chain(depthwise(), layers.Conv2D(5, 1), layers.ReLU()),
        chain(layers.SeparableConv2D(5, 3, strides=stride, padding="same", depth_multiplier=multiplier)),
        chain(depthwise()),
    ):
        (pair,) = pairs_of(model)
        assert pair.ratio == pytest.approx(pair.formula_ratio, rel=1e-12)
        written = pair.formula.split(" = ")[1].replace("^", "**").replace(f"{multiplier} (", f"{multiplier} * (")
        assert eval(written.replace(f"({multiplier} 3", f"({multiplier} * 3")) == pytest.approx(pair.formula_ratio, rel=1e-12)
        check_twin(model)


@pytest.mark.parametrize(("kernel", "strides", "letters"), [((5, 1), (1, 1), "1/(Kh*Kw)"), ((1, 7), (1, 1), "1/(Kh*Kw)"), ((3, 3), (2, 2), "1/K^2")])
def test_kernels_that_are_not_square(kernel: tuple[int, int], strides: tuple[int, int], letters: str) -> None:
    from keras import layers

    model = chain(layers.DepthwiseConv2D(kernel, strides=strides, padding="same"), layers.Conv2D(12, 1), layers.ReLU())
    (pair,) = pairs_of(model)
    assert pair.ratio == pytest.approx(pair.formula_ratio, rel=1e-12)
    assert letters in pair.formula
    check_twin(model)


def test_one_dimension() -> None:
    """Keyword spotting and ECG networks: `DepthwiseConv1D`, `SeparableConv1D`, a grouped causal `Conv1D`."""
    from keras import layers

    model = chain(
        layers.SeparableConv1D(16, 9, strides=2, padding="same", depth_multiplier=2, dilation_rate=1, activation="relu"),
        layers.DepthwiseConv1D(5, padding="same"),
        layers.BatchNormalization(),
        layers.Conv1D(12, 1, activation="relu"),
        layers.Conv1D(12, 3, groups=12, padding="causal", dilation_rate=4),
        layers.MaxPooling1D(2),
        shape=(64, 4),
    )
    found = pairs_of(model)
    assert [pair.rule for pair in found] == ["merged", "merged", "unpaired"]
    assert found[1].formula == "1/N + 1/K = 1/12 + 1/5"
    check_twin(model)


def test_a_grouped_convolution_is_a_depthwise_one_where_every_channel_is_a_group() -> None:
    from keras import layers

    grouped = layers.Conv2D(16, 3, groups=8, padding="same")
    assert rules(grouped, layers.Conv2D(5, 1), layers.ReLU()) == ["merged"]
    assert rules(layers.Conv2D(16, 3, groups=4), layers.Conv2D(5, 1)) == []
    assert rules(layers.Conv2D(16, 1), layers.Conv2D(16, 3, groups=16), layers.Conv2D(5, 1)) == ["fused"]
    assert rules(layers.DepthwiseConv2D(3), layers.Conv2D(8, 1, groups=2)) == ["unpaired"]  # a grouped pointwise mixes not all
    check_twin(chain(grouped, layers.Conv2D(5, 1), layers.ReLU()))


def test_a_dense_layer_on_a_map_is_a_pointwise_convolution() -> None:
    from keras import layers

    model = chain(layers.Dense(24, activation="relu"), layers.DepthwiseConv2D(3, padding="same"), layers.Dense(8))
    assert [pair.rule for pair in pairs_of(model)] == ["fused"]
    check_twin(model)
    assert rules(layers.DepthwiseConv2D(3), layers.Dense(8), layers.ReLU()) == ["merged"]
    assert rules(layers.DepthwiseConv2D(3), layers.GlobalAveragePooling2D(), layers.Dense(8)) == ["unpaired"]
    assert rules(layers.DepthwiseConv2D(16), layers.Flatten(), layers.Dense(8)) == ["unpaired"]


def test_a_layer_normalization_is_not_joined_across() -> None:
    from keras import layers

    assert rules(layers.DepthwiseConv2D(7, padding="same"), layers.LayerNormalization(), layers.Dense(32), layers.Activation("gelu")) == ["unpaired"]


@pytest.mark.parametrize("between", ["MaxPooling2D", "UpSampling2D", "Conv2DTranspose", "Cropping2D"])
def test_what_changes_the_map_parts_the_two(between: str) -> None:
    from keras import layers

    layer = layers.Conv2DTranspose(8, 2) if between == "Conv2DTranspose" else getattr(layers, between)()
    assert rules(layers.DepthwiseConv2D(3), layer, layers.Conv2D(5, 1)) == ["unpaired"]
    assert rules(layers.Conv2D(8, 1), layer, layers.DepthwiseConv2D(3), layers.Conv2D(5, 1)) == ["merged"]


def test_two_depthwise_in_a_row() -> None:
    from keras import layers

    for before in ([], [layers.Conv2D(12, 1)]):
        block = [layers.DepthwiseConv2D(3), layers.ReLU(), layers.DepthwiseConv2D(3), layers.ReLU(), layers.Conv2D(5, 1)]
        assert rules(*before, *block) == ["unpaired", "merged"]


def test_a_value_that_is_needed_elsewhere_stays() -> None:
    import keras
    from keras import layers

    image = keras.Input((16, 16, 8))
    wide = layers.Conv2D(24, 1, activation="relu")(image)
    x = layers.DepthwiseConv2D(3, padding="same")(wide)
    several = keras.Model(image, [layers.Conv2D(4, 1)(x), layers.Conv2D(6, 1)(x)])
    assert [pair.rule for pair in pairs_of(several)] == ["unpaired"]
    expansion_too = keras.Model(image, layers.Conv2D(24, 1)(x) + wide)
    assert [pair.rule for pair in pairs_of(expansion_too)] == ["merged"]
    out = layers.Conv2D(4, 1)(x)
    assert [pair.rule for pair in pairs_of(keras.Model(image, [x, out]))] == ["unpaired"]
    assert [pair.rule for pair in pairs_of(keras.Model(image, [wide, out]))] == ["merged"]
    assert [pair.rule for pair in pairs_of(keras.Model(image, out))] == ["fused"]
    for model in (several, expansion_too, keras.Model(image, [x, out]), keras.Model(image, [wide, out])):
        check_twin(model)


def test_padding_on_either_side_stays_in_the_twin() -> None:
    from keras import layers

    before = chain(
        layers.Conv2D(24, 1, use_bias=False), layers.BatchNormalization(), layers.ReLU(6.0), layers.ZeroPadding2D(((0, 1), (0, 1))),
        layers.DepthwiseConv2D(3, strides=2, use_bias=False), layers.BatchNormalization(), layers.ReLU(6.0), layers.Conv2D(8, 1, use_bias=False),
    )  # fmt: skip
    after = chain(layers.DepthwiseConv2D(3), layers.ZeroPadding2D(1), layers.Conv2D(5, 1, use_bias=False), layers.ReLU())
    assert [pairs_of(model)[0].rule for model in (before, after)] == ["fused", "merged"]
    for model in (before, after):
        twin = standard_twin(model).model
        assert sum(call.kind == "ZeroPadding2D" for call in read_graph(twin).calls) == 1
        assert twin.output_shape == model.output_shape
    check_twin(before)


def test_a_linear_bottleneck_may_be_followed_by_dropout_and_a_residual() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 12))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(layers.Conv2D(36, 1, activation="relu")(image))
    x = layers.Dropout(0.2)(layers.BatchNormalization()(layers.Conv2D(12, 1)(x)))
    assert [pair.rule for pair in pairs_of(keras.Model(image, layers.Add()([x, image])))] == ["fused"]
    assert [pair.rule for pair in pairs_of(keras.Model(image, layers.Conv2D(12, 1, activation="relu")(x)))] == ["fused"]
    assert [pair.rule for pair in pairs_of(keras.Model(image, layers.ReLU()(x)))] == ["merged"]


@pytest.mark.parametrize("where", ["expansion", "depthwise"])
def test_padding_of_the_channels_parts_the_two(where: str) -> None:
    """A square map as deep as wide: neither its height nor its width may be taken for the channels."""
    import keras
    from keras import layers, ops

    def padded(x: Any) -> Any:
        return ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, 2]])

    image = keras.Input((16, 16, 8))
    if where == "depthwise":
        model = keras.Model(image, layers.Conv2D(4, 1)(padded(layers.DepthwiseConv2D(3, padding="same")(image))))
    else:
        model = keras.Model(image, layers.Conv2D(4, 1)(layers.DepthwiseConv2D(3, padding="same")(padded(layers.Conv2D(12, 1)(image)))))
    assert [pair.rule for pair in pairs_of(model)] == ["unpaired" if where == "depthwise" else "merged"]
    check_twin(model)
    assert standard_twin(model).model(ops.ones((1, 16, 16, 8))).shape == (1, 16, 16, 4)


def test_padding_of_the_map_by_an_operator_parts_nothing() -> None:
    from keras import layers, ops

    def padded(x: Any) -> Any:
        return ops.pad(x, [[0, 0], [1, 1], [0, 1], [0, 0]])

    assert rules(layers.DepthwiseConv2D(3), padded, layers.Conv2D(4, 1), layers.ReLU()) == ["merged"]
    assert rules(layers.Conv2D(9, 1), padded, layers.DepthwiseConv2D(3), layers.ReLU(), layers.Conv2D(4, 1)) == ["fused"]


def bottleneck(*after: Any) -> str:
    """The rule of an inverted bottleneck's depthwise convolution, by what follows its projection."""
    from keras import layers

    block = [layers.Conv2D(16, 1), layers.ReLU(), layers.DepthwiseConv2D(3, padding="same"), layers.ReLU(), layers.Conv2D(8, 1)]
    (rule,) = rules(*block, *after)
    return rule


def test_an_activation_behind_any_normalization_makes_no_linear_bottleneck() -> None:
    from keras import layers

    for normalization in (layers.GroupNormalization, layers.LayerNormalization, layers.RMSNormalization, layers.BatchNormalization):
        given = {"groups": 2} if normalization is layers.GroupNormalization else {}
        assert bottleneck(normalization(**given), layers.ReLU()) == "merged"
        assert bottleneck(normalization(**given)) == "fused"
        assert bottleneck(normalization(**given), layers.Conv2D(4, 1, activation="relu")) == "fused"


def test_a_softmax_is_an_activation() -> None:
    import keras
    from keras import layers

    for softmax in (layers.Softmax(), keras.ops.softmax, keras.ops.log_softmax, layers.Activation("softmax")):
        assert bottleneck(softmax) == "merged"
        assert rules(layers.DepthwiseConv2D(3), softmax, layers.Conv2D(4, 1), layers.ReLU()) == ["merged"]


def test_a_multiplication_by_one_number_is_linear() -> None:
    from keras import layers

    for scaled in (lambda x: 0.2 * x, lambda x: x / 5.0, layers.Rescaling(0.2), lambda x: x + 1.0):
        assert bottleneck(scaled) == "fused"
        assert bottleneck(scaled, layers.ReLU()) == "merged"
        assert rules(layers.DepthwiseConv2D(3), scaled, layers.Conv2D(4, 1), layers.ReLU()) == ["merged"]
    for bent in (lambda x: x * x, lambda x: 1.0 / (x * x + 1.0)):
        assert bottleneck(bent) == "merged"


@pytest.mark.parametrize("kind", ["BatchNormalization", "Rescaling", "ZeroPadding2D", "ReLU", "Dropout"])
def test_a_strangers_class_between_may_compute_anything(kind: str) -> None:
    from keras import layers

    stranger = type(kind, (layers.Layer,), {"call": lambda self, inputs: inputs * inputs})
    assert rules(layers.DepthwiseConv2D(3), stranger(), layers.Conv2D(4, 1)) == ["unpaired"]
    pointwise = type("Conv2D", (layers.Conv2D,), {})
    assert rules(layers.DepthwiseConv2D(3), pointwise(4, 1)) == ["unpaired"]


def test_a_scaled_residual_keeps_its_linear_bottleneck() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 4))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(layers.Conv2D(8, 1, activation="relu")(image))
    model = keras.Model(image, image + 0.2 * layers.Conv2D(4, 1)(x))
    assert [pair.rule for pair in pairs_of(model)] == ["fused"]
    check_twin(model)


def test_a_shared_layer_is_looked_at_place_by_place() -> None:
    import keras
    from keras import layers

    depthwise, pointwise = layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(8, 1)
    left, right = keras.Input((8, 8, 8)), keras.Input((12, 12, 8))
    model = keras.Model([left, right], [pointwise(depthwise(left)), pointwise(layers.ReLU()(depthwise(right)))])
    found = pairs_of(model)
    assert [pair.rule for pair in found] == ["merged", "merged"]
    assert sorted(pair.standard_macs for pair in found) == [9 * 64 * 64, 9 * 64 * 144]
    assert sorted(pair.linear for pair in found) == [False, True]


def test_an_open_size_is_named() -> None:
    from keras import layers

    with pytest.raises(ModelError, match="not fixed"):
        pairs_of(chain(layers.DepthwiseConv2D(3, name="open"), shape=(None, None, 3)))


def test_pairs_of_a_network_without_any() -> None:
    from keras import layers

    assert pairs_of(chain(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3))) == []
