"""Peak activations and arithmetic intensity: networks small enough for paper and pencil, and what others published."""

from typing import Any

import pytest

from dsmobile.architectures.activation_memory import Execution, execution
from dsmobile.architectures.cost import ITEM_BYTES, cost
from dsmobile.errors import ModelError


def _run(inputs: Any, outputs: Any) -> Execution:
    import keras

    return execution(keras.Model(inputs, outputs))


def _alive(run: Execution) -> dict[str, int]:
    return {step.name: step.alive for step in run.steps}


def test_a_chain_is_input_and_output_of_its_largest_step() -> None:
    """Depthwise, batch normalization and ReLU are one step; 8 x 8 x 2 in, 8 x 8 x 6 and 8 x 8 x 6 out, then 8 x 8 x 1."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 1, use_bias=False, name="wide")(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.Dropout(0.1)(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Conv2D(1, 1, name="narrow")(x)
    run = _run(image, layers.Flatten()(x))
    assert _alive(run) == {"wide": 64 * 8, "depthwise": 64 * 12, "narrow": 64 * 7}
    assert (run.peak_step.name, run.peak_activation_bytes("int8"), run.peak_activation_bytes("float32")) == ("depthwise", 768, 3072)


def test_a_residual_input_stays_alive_until_the_addition() -> None:
    import keras
    from keras import layers

    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(5, 1, name="stem")(image)
    y = layers.Conv2D(20, 1, activation="relu", name="expand")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.Conv2D(5, 1, name="project")(y)
    z = layers.ReLU()(layers.Add(name="add")([x, y]))
    run = _run(image, layers.GlobalAveragePooling2D(name="pool")(z))
    by_hand = {"stem": 3 + 5, "expand": 5 + 20, "depthwise": 5 + 20 + 20, "project": 5 + 20 + 5, "add": 5 + 5 + 5}
    assert _alive(run) == {**{name: 16 * channels for name, channels in by_hand.items()}, "pool": 16 * 5 + 5}
    assert run.peak_step.name == "depthwise"


def test_a_concatenation_holds_all_of_its_inputs_and_its_output() -> None:
    import keras
    from keras import layers

    image = keras.Input((4, 4, 2))
    a = layers.Conv2D(3, 1, name="a")(image)
    b = layers.Conv2D(5, 1, name="b")(image)
    run = _run(image, layers.Concatenate(name="joined")([a, b]))
    alive = _alive(run)
    assert alive["joined"] == 16 * (3 + 5 + 8)
    assert sorted((alive["a"], alive["b"])) in ([16 * (2 + 3), 16 * (2 + 3 + 5)], [16 * (2 + 5), 16 * (2 + 3 + 5)])
    assert run.peak_step.name == "joined"


def test_a_second_reader_keeps_a_tensor_and_so_the_activation_apart() -> None:
    """As in ResNetV2: the sum goes on, and is normalized for the branch: two tensors."""
    import keras
    from keras import layers

    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1, name="stem")(image)
    y = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(x))
    run = _run(image, layers.Add(name="add")([x, layers.Conv2D(3, 1, name="branch")(y)]))
    assert _alive(run) == {"stem": 16 * 5, "bn": 16 * 6, "branch": 16 * 9, "add": 16 * 9}
    assert [step.name for step in run.steps] == ["stem", "bn", "branch", "add"]


def test_padding_joins_the_convolution_that_reads_it() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 2))
    x = layers.ReLU(name="relu")(image)
    padded = layers.ZeroPadding2D(1, name="pad")(x)
    run = _run(image, layers.Conv2D(3, 3, strides=2, name="conv")(padded))
    assert _alive(run) == {"relu": 64 * 4, "conv": 64 * 2 + 16 * 3}
    assert run.steps[1].taken == (1,)
    pooled = _run(image, layers.MaxPooling2D(2, name="pool")(padded))
    assert _alive(pooled) == {"relu": 64 * 4, "pad": 64 * 2 + 100 * 2, "pool": 100 * 2 + 25 * 2}


def test_a_separable_layer_is_two_steps_with_a_tensor_between() -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 2))
    x = layers.SeparableConv2D(5, 3, depth_multiplier=3, padding="same", use_bias=False, name="s")(image)
    run = _run(image, layers.ReLU()(layers.BatchNormalization()(x)))
    assert _alive(run) == {"s (depthwise)": 64 * (2 + 6), "s (pointwise)": 64 * (6 + 5)}
    assert [step.macs for step in run.steps] == [9 * 6 * 64, 6 * 5 * 64]
    assert [step.weights.size_bytes("int8") for step in run.steps] == [54, 30 + 4 * 5]
    apart = layers.Conv2D(5, 1, use_bias=False)(layers.DepthwiseConv2D(3, depth_multiplier=3, padding="same", use_bias=False)(image))
    assert list(_alive(_run(image, layers.BatchNormalization()(apart))).values()) == list(_alive(run).values())


def test_inputs_wait_from_the_start_and_outputs_stay_to_the_end() -> None:
    import keras
    from keras import layers

    a, b = keras.Input((10,), name="a"), keras.Input((100,), name="b")
    early = layers.Dense(7, name="early")(a)
    x = layers.Dense(50, name="middle")(early)
    run = _run([a, b], [early, layers.Concatenate(name="late")([x, b])])
    assert _alive(run) == {"early": 10 + 100 + 7, "middle": 100 + 7 + 50, "late": 100 + 7 + 50 + 150}


def test_what_does_nothing_takes_nothing() -> None:
    import keras
    from keras import layers

    image = keras.Input((4, 4, 3))
    x = layers.RandomFlip()(image)
    x = layers.Dropout(0.5)(layers.Activation("linear")(x))
    run = _run(image, layers.Dense(2, name="d")(layers.Flatten()(x)))
    assert _alive(run) == {"d": 48 + 2}
    assert run.steps[0].taken == (0, 1, 2, 3)
    empty = _run(image, layers.Dropout(0.5)(image))
    assert (empty.steps, empty.peak_step, empty.peak_activation_bytes("int8"), empty.arithmetic_intensity("int8")) == ((), None, 48, 0.0)


def test_an_open_size_is_refused() -> None:
    import keras
    from keras import layers

    image = keras.Input((None, None, 3))
    with pytest.raises(ModelError, match="not fixed"):
        _run(image, layers.ReLU()(image))


def test_intensity_by_hand() -> None:
    """MACs over bytes: a pointwise convolution of 4 x 4 x 8 to 16 channels, with its bias."""
    import keras
    from keras import layers

    image = keras.Input((4, 4, 8))
    run = _run(image, layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(image))))
    macs = 8 * 16 * 16
    assert run.arithmetic_intensity("float32") == pytest.approx(macs / (4 * (128 + 16 + 16 * 8 + 16 * 16)))
    assert run.arithmetic_intensity("int8") == pytest.approx(macs / (128 + 4 * 16 + 16 * 8 + 16 * 16))
    assert run.steps[0].arithmetic_intensity("int8") == run.arithmetic_intensity("int8")


def test_unknown_macs_have_no_intensity() -> None:
    import keras
    from keras import layers

    sequence = keras.Input((4, 5))
    run = _run(sequence, layers.LSTM(3, name="lstm")(sequence))
    assert run.steps[0].arithmetic_intensity("int8") is None
    assert run.steps[0].weights.size_bytes("int8") > 0


def test_mobilenet_v1_moves_what_others_counted() -> None:
    """Bytes of input, output and kernels of each convolution in float32, as Frank K. lists them for ncnn.

    Source: "NCNN Peak Memory Benchmark: A Layer-by-Layer Analysis of MobileNet", frankk.site; biases, which it leaves out, are taken off ours.
    """
    import keras

    listed = [
        2211200, 3212416, 4825088, 4016384, 2441216, 3215872, 3276800, 2011648, 1335296, 1614848, 1867776, 1012736, 1126400,
        *[821248, 1851392] * 5, 520192, 2398208, 438272, 4595712,
    ]  # fmt: skip
    model = keras.applications.MobileNet((224, 224, 3), weights=None)
    run = execution(model)
    kernels = [step.moved_bytes("float32") - 4 * step.weights.biases for step in run.steps if step.macs][:-1]
    assert kernels == listed
    assert run.peak_activation_bytes("float32") == 4825088 - 4 * 32 * 64
    assert run.peak_step.name == "conv_pw_1"


def test_mobilenet_v1_int8_holds_what_its_official_file_holds() -> None:
    """mobilenet_v1_1.0_224_quant.tflite: tensors of 401,408 and 802,816 bytes around its first pointwise convolution are the largest pair."""
    import keras

    run = execution(keras.applications.MobileNet((224, 224, 3), weights=None, classes=1001))
    assert run.peak_activation_bytes("int8") == 401_408 + 802_816


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50V2", "DenseNet121", "EfficientNetB0"])
def test_the_peak_is_at_least_any_step_and_at_most_everything(name: str) -> None:
    """Properties: no step needs less than what it reads and writes; freeing nothing would need more; dtypes scale."""
    import keras

    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
    counted = cost(model)
    run = execution(model, counted)
    assert all(step.alive >= step.moved for step in run.steps)
    assert run.peak_activation_bytes("int8") <= run.given + sum(step.moved for step in run.steps)
    assert run.peak_activation_bytes("float32") == ITEM_BYTES["float32"] * run.peak_activation_bytes("int8")
    assert sum(step.macs or 0 for step in run.steps) == counted.macs
    assert sum(step.weights.size_bytes("int8") for step in run.steps) == counted.weight_bytes("int8")
    placed = sorted(number for step in run.steps for number in (step.core, *step.taken))
    assert placed == list(range(len(counted.calls)))
