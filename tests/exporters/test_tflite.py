"""TFLite files written directly: every operator in every precision against numpy and TensorFlow, the integers inside, the format's own rules."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmobile.errors import ConversionError
from dsmobile.exporters import tflite, tflite_graph
from dsmobile.exporters.folded import FoldedModel, Input, Node
from dsmobile.exporters.operators import (
    Activation,
    Add,
    Convolution,
    Dense,
    DepthwiseConvolution,
    GlobalPool,
    Maximum,
    Multiply,
    Pad,
    Pool,
    ScaleShift,
    Softmax,
    TransposedConvolution,
    Upsample,
    Weighted,
    same_pads,
)
from dsmobile.exporters.plan import Plan, QuantizedWeights, Storage
from dsmobile.exporters.tflite_kernels import faster_in_float, has_integer_kernel
from dsmobile.exporters.xnnpack import xnnpack_partitions

from .tflite_cases import (
    CASES,
    MAP,
    SAME_3,
    Case,
    conv,
    depthwise,
    network,
    planned,
    quantized,
    random,
    real,
    reference,
    rounded,
    samples,
    storage,
    transposed,
    with_operator,
)

WEIGHTED = [name for name, case in CASES.items() if isinstance(case.operator, Weighted)]
INTEGERS = {dtype: [name for name, case in CASES.items() if has_integer_kernel(case.operator, dtype)] for dtype in ("int8", "int16")}
BOTH = pytest.mark.parametrize("xnnpack", [False, True], ids=["builtin", "xnnpack"])
# LiteRT's int16 softmax and tanh look their values up in tables and interpolate; sums of three are rounded once more on the way.
LOOSER = {("int16", "softmax_map"): 8, ("int16", "softmax"): 8, ("int16", "tanh"): 2, ("int8", "add_three"): 2, ("int16", "add_three"): 2}
UNSUPPORTED_THREE = ("multiply_three",)


def open_file(data: bytes, xnnpack: bool = True) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    return interpreter


def run(data: bytes, model: FoldedModel, inputs: list[np.ndarray], xnnpack: bool = True) -> dict[str, np.ndarray]:
    runner = open_file(data, xnnpack).get_signature_runner("serving_default")
    return {name: value[0] for name, value in runner(**{entry.name: value[None] for entry, value in zip(model.inputs, inputs, strict=True)}).items()}


def floats(inputs: list[np.ndarray]) -> list[np.ndarray]:
    return [value.astype(np.float32) for value in inputs]


def operators(data: bytes) -> list[tuple[str, int]]:
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    codes = [(names[code.builtinCode], code.version) for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators]


def names(data: bytes) -> list[str]:
    return [name for name, _ in operators(data)]


def details(data: bytes, name: str) -> dict[str, Any]:
    return next(tensor for tensor in open_file(data, xnnpack=False).get_tensor_details() if tensor["name"] == name)


# every operator


@BOTH
@pytest.mark.parametrize("name", CASES)
def test_float32(name: str, xnnpack: bool) -> None:
    case = CASES[name]
    plan = planned(case, "float32")
    data = tflite.write(plan)
    for inputs in samples(case):
        expected = reference(case.operator, inputs, case.shape)
        found = run(data, plan.model, floats(inputs), xnnpack)["scores"]
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6 * max(1.0, np.abs(expected).max()))


@BOTH
@pytest.mark.parametrize(("dtype", "name"), [(dtype, name) for dtype, found in INTEGERS.items() for name in found if name not in UNSUPPORTED_THREE])
def test_integers(dtype: str, name: str, xnnpack: bool) -> None:
    """The stored integers are those of the real result of the stored inputs and weights, to one step."""
    case = CASES[name]
    plan = planned(case, dtype)
    data = tflite.write(plan)
    stored, operator = plan.storage, plan.model.nodes[0].operator
    for inputs in samples(case):
        held = [real(quantized(value, stored[entry.name]), stored[entry.name]) for value, entry in zip(inputs, plan.model.inputs, strict=True)]
        expected = quantized(reference(operator, held, case.shape), stored["node"])
        found = run(data, plan.model, floats(inputs), xnnpack)["scores"] / stored["node"].scale + stored["node"].zero_point
        assert np.abs(found - np.rint(found)).max() < 0.01
        assert np.abs(np.rint(found) - expected).max() <= LOOSER.get((dtype, name), 1)


@BOTH
@pytest.mark.parametrize("name", WEIGHTED)
def test_float16(name: str, xnnpack: bool) -> None:
    case = CASES[name]
    plan = planned(case, "float16")
    held = replace(
        case.operator,
        kernel=case.operator.kernel.astype(np.float16).astype(np.float32),
        bias=case.operator.bias.astype(np.float16).astype(np.float32),
    )
    inputs = samples(case)[0]
    expected = reference(held, inputs, case.shape)
    found = run(tflite.write(plan), plan.model, floats(inputs), xnnpack)["scores"]
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


@BOTH
@pytest.mark.parametrize("name", WEIGHTED)
def test_dynamic_range(name: str, xnnpack: bool) -> None:
    """Integer weights beside float values: LiteRT rounds the values of convolutions and dense layers on the way, 255 steps for each map."""
    case = CASES[name]
    plan = planned(case, "dynamic")
    inputs = samples(case)[0]
    data = tflite.write(plan)
    expected = reference(plan.model.nodes[0].operator, inputs, case.shape)
    error = np.abs(run(data, plan.model, floats(inputs), xnnpack)["scores"] - expected).max() / np.abs(expected).max()
    rounds_values = isinstance(case.operator, (Convolution, Dense))
    assert error < (0.02 if rounds_values else 2e-6)
    assert details(data, "node/kernel_int8")["dtype"] == np.int8
    assert ("DEQUANTIZE" in names(data)) != rounds_values


@pytest.mark.parametrize("name", ["conv", "grouped", "depthwise", "transposed_same", "dense", "average_pool", "max_pool", "leaky_relu", "add"])
def test_xnnpack_takes_every_float_operator(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.write(planned(CASES[name], "float32")))
    taken = xnnpack_partitions(path)
    assert (taken.taken, taken.partitions) == (taken.total, 1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_convolution(data: st.DataObject) -> None:
    """Strides, dilation, padding and sizes together, in float32 and int8."""
    draw = data.draw
    height, width, channels = draw(st.integers(5, 12)), draw(st.integers(5, 12)), draw(st.integers(1, 4))
    window = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    strides = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2))) if strides == (1, 1) else (1, 1)
    pads = draw(st.sampled_from([same_pads((height, width), window, strides, dilation), ((0, 0), (0, 0)), ((1, 0), (0, 2)), ((2, 2), (1, 1))]))
    shared = {"strides": strides, "dilation": dilation, "pads": pads}
    operator = draw(
        st.sampled_from(
            [conv(*window, channels, 3, **shared), depthwise(*window, channels, 2, **shared), conv(*window, 1, channels, groups=channels, **shared)]
        )
    )
    case = Case(operator, ((height, width, channels),))
    inputs = samples(case)[0]
    expected = reference(operator, inputs)
    found = run(tflite.write(planned(case, "float32")), network(case), floats(inputs))["scores"]
    np.testing.assert_allclose(found, expected, atol=3e-6 * max(1.0, np.abs(expected).max()))
    plan = planned(case, "int8")
    held = real(quantized(inputs[0], plan.storage["image"]), plan.storage["image"])
    steps = run(tflite.write(plan), network(case), floats(inputs))["scores"] / plan.storage["node"].scale + plan.storage["node"].zero_point
    assert np.abs(np.rint(steps) - quantized(reference(plan.model.nodes[0].operator, [held]), plan.storage["node"])).max() <= 1


# what is inside


@pytest.mark.parametrize(
    ("name", "axis", "order"),
    [
        ("conv", 0, (3, 0, 1, 2)),
        ("grouped", 0, (3, 0, 1, 2)),
        ("transposed_same", 0, (2, 0, 1, 3)),
        ("dense", 0, (1, 0)),
        ("depthwise_multiplier", 3, None),
    ],
)
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_the_integers_are_the_plans(name: str, axis: int, order: tuple[int, ...] | None, dtype: str) -> None:
    plan = planned(CASES[name], dtype)
    data, weights = tflite.write(plan), plan.weights["node"]
    interpreter = open_file(data, xnnpack=False)
    kernel, bias = details(data, "node/kernel"), details(data, "node/bias")
    expected = weights.integers.transpose(order) if order else weights.integers.reshape(1, *weights.integers.shape[:2], -1)
    np.testing.assert_array_equal(interpreter.get_tensor(kernel["index"]), expected)
    np.testing.assert_array_equal(kernel["quantization_parameters"]["scales"], weights.scales)
    assert kernel["quantization_parameters"]["quantized_dimension"] == axis
    integers, steps = plan.integer_bias(plan.model.nodes[0])
    np.testing.assert_array_equal(interpreter.get_tensor(bias["index"]), integers)
    np.testing.assert_array_equal(bias["quantization_parameters"]["scales"], steps)
    assert bias["dtype"] == (np.int32 if dtype == "int8" else np.int64)
    for value in ("image_int8", "node") if dtype == "int8" else ("node",):
        held = plan.storage["image" if value.startswith("image") else "node"]
        assert details(data, value)["quantization"] == (pytest.approx(held.scale, rel=1e-7), held.zero_point)


CONVERTED = """
    conv conv_dilated depthwise depthwise_dilated transposed_same dense relu leaky_relu elu sigmoid tanh gelu softmax add subtract multiply
    concatenate max_pool average_pool global_average global_max pad crop flatten nearest bilinear
""".split()


@pytest.mark.parametrize("name", CONVERTED)
def test_operators_and_versions_are_the_converters(name: str) -> None:
    case = CASES[name]
    assert operators(tflite.write(planned(case, "float32"))) == operators(converted(case, int8=False))
    if name not in ("relu", "elu"):  # ours is a change of storage for the one, and integers for the other: XNNPACK takes both
        assert operators(tflite.write(planned(case, "int8"))) == operators(converted(case, int8=True))


def converted(case: Case, *, int8: bool) -> bytes:
    """TensorFlow's own converter on the same operator."""
    import tensorflow as tf

    operator = case.operator

    def compute(*values: Any) -> Any:
        x = values[0]
        match operator:
            case Convolution():
                return tf.nn.bias_add(tf.nn.conv2d(x, operator.kernel, operator.strides, "SAME", dilations=operator.dilation), operator.bias)
            case DepthwiseConvolution():
                y = tf.nn.depthwise_conv2d(x, operator.kernel, (1, *operator.strides, 1), "SAME", dilations=operator.dilation)
                return tf.nn.bias_add(y, operator.bias)
            case TransposedConvolution():
                return tf.nn.bias_add(tf.nn.conv2d_transpose(x, operator.kernel, (1, *case.shape), operator.strides, "SAME"), operator.bias)
            case Dense():
                return tf.matmul(x, operator.kernel) + operator.bias
            case Activation():
                return {
                    "relu": tf.nn.relu, "leaky_relu": lambda y: tf.nn.leaky_relu(y, operator.slope), "elu": tf.nn.elu, "sigmoid": tf.sigmoid,
                    "tanh": tf.tanh, "gelu": tf.nn.gelu,
                }[operator.kind](x)  # fmt: skip
            case Pool():
                return (tf.nn.max_pool2d if operator.kind == "max" else tf.nn.avg_pool2d)(x, operator.size, operator.strides, "VALID")
            case GlobalPool():
                return (tf.reduce_mean if operator.kind == "average" else tf.reduce_max)(x, [1, 2])
            case Pad():
                return tf.pad(x, [(0, 0), *operator.pads, (0, 0)])
            case Upsample():
                size = [side * factor for side, factor in zip(x.shape[1:3], operator.factors, strict=True)]
                return tf.image.resize(x, size, "bilinear") if operator.kind == "bilinear" else tf.compat.v1.image.resize_nearest_neighbor(x, size)
        (top, bottom), (left, right) = getattr(operator, "edges", SAME_3)
        return {
            "Softmax": lambda: tf.nn.softmax(x),
            "Add": lambda: x + values[1],
            "Subtract": lambda: x - values[1],
            "Multiply": lambda: x * values[1],
            "Concatenate": lambda: tf.concat(values, -1),
            "Crop": lambda: x[:, top : x.shape[1] - bottom, left : x.shape[2] - right],
            "Reshape": lambda: tf.reshape(x, (1, *case.shape)),
        }[type(operator).__name__]()

    function = tf.function(compute, input_signature=[tf.TensorSpec((1, *shape), tf.float32) for shape in case.shapes], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [[value[None].astype(np.float32) for value in inputs] for inputs in samples(case)]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return bytes(converter.convert())


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert tflite.write(planned(CASES["conv"], "int8")) == tflite.write(planned(CASES["conv"], "int8"))


def test_buffers_are_aligned_and_equal_ones_stored_once() -> None:
    from ai_edge_litert import schema_py_generated as schema

    layer = conv(3, 3, 8, 8, pads=SAME_3)
    nodes = (Node("a", layer, ("image",), MAP), Node("b", layer, ("a",), MAP))
    data = tflite.write(Plan(FoldedModel("twice", (Input("image", MAP),), nodes, ("b",))))
    model = schema.Model.GetRootAs(data)
    assert model.Buffers(0).DataLength() == 0
    starts = [model.Buffers(place)._tab.Vector(4 + model.Buffers(place)._tab.Offset(4) - 4) for place in range(1, model.BuffersLength())]
    assert len(starts) == 2
    assert all(start % 16 == 0 for start in starts)
    assert len(data) < layer.kernel.nbytes + 4096


def test_tensors_over_32_mib() -> None:
    case = Case(Convolution(random(3, 3, 1024, 1024), random(1024), pads=SAME_3), ((2, 2, 1024),))
    inputs = samples(case)[0]
    expected = reference(case.operator, inputs)
    found = run(tflite.write(Plan(network(case))), network(case), floats(inputs))["scores"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


# inputs and outputs


def two_by_two() -> FoldedModel:
    """Two inputs, two outputs, one of which is read on, and one input that is padded for one reader."""
    nodes = (
        Node("sum", Add(), ("left", "right"), MAP),
        Node("product", Multiply(), ("sum", "right"), MAP),
    )
    return FoldedModel("two", (Input("left", MAP), Input("right", MAP)), nodes, ("sum", "product"))


def stored_alike(model: FoldedModel, dtype: str = "int8") -> dict[str, Storage]:
    held = storage(np.asarray([-9.0, 9.0]), dtype)
    return dict.fromkeys((*(entry.name for entry in model.inputs), *(node.name for node in model)), held)


@pytest.mark.parametrize("io", ["float32", "int8", "uint8"])
@pytest.mark.parametrize("integer", [frozenset({"sum", "product"}), frozenset({"sum"}), frozenset({"product"}), frozenset()])
def test_names_shapes_and_types(io: str, integer: frozenset[str]) -> None:
    model = two_by_two()
    plan = Plan(model, {}, stored_alike(model), integer, io=io)
    data = tflite.write(plan)
    interpreter = open_file(data)
    # LiteRT sorts a signature's names; the tensors keep their order.
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["left", "right"], "outputs": ["product", "sum"]}}
    held = plan.storage["sum"]
    for entry in (*interpreter.get_input_details(), *interpreter.get_output_details()):
        assert entry["dtype"] == np.dtype(io)
        assert tuple(entry["shape"]) == (1, *MAP)
        shift = 128 if io == "uint8" else 0
        assert entry["quantization"] == ((0.0, 0) if io == "float32" else (pytest.approx(held.scale), held.zero_point + shift))
    assert [entry["name"] for entry in interpreter.get_input_details()] == ["left", "right"]
    assert [entry["name"] for entry in interpreter.get_output_details()] == ["sum", "product"]
    left, right = (random(*MAP, seed=seed, scale=0.5) for seed in (1, 2))
    inputs = [left, right] if io == "float32" else [(quantized(value, held) + shift).astype(io) for value in (left, right)]
    for name, expected in (("sum", left + right), ("product", (left + right) * right)):
        found = run(data, model, inputs)[name]
        found = found if io == "float32" else real(found.astype(int) - shift, held)
        assert np.abs(found - expected).max() < 6 * held.scale


def test_one_output_is_called_scores() -> None:
    assert open_file(tflite.write(planned(CASES["conv"], "int8"))).get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["scores"]}
    }


def test_an_output_that_is_an_input_is_a_tensor_of_its_own() -> None:
    model = FoldedModel("nothing", (Input("image", MAP),), (), ("image",))
    value = random(*MAP)
    np.testing.assert_array_equal(run(tflite.write(Plan(model)), model, [value])["scores"], value)


def test_values_are_converted_once() -> None:
    """An int8 layer, then two float readers, then an int8 sum that takes one of them and the layer."""
    layer, weights = rounded(conv(1, 1, 8, 8))
    nodes = (
        Node("layer", layer, ("image",), MAP),
        Node("swish", Activation("hard_swish"), ("layer",), MAP),
        Node("gate", Activation("hard_sigmoid"), ("layer",), MAP),
        Node("sum", Add(), ("swish", "layer"), MAP),
        Node("again", Maximum(), ("sum", "swish"), MAP),
        Node("scaled", Multiply(), ("again", "gate"), MAP),
    )
    model = FoldedModel("mixed", (Input("image", MAP),), nodes, ("scaled",))
    plan = Plan(model, {"layer": weights}, stored_alike(model), frozenset({"layer", "sum", "again"}))
    data = tflite.write(plan)
    found = names(data)
    assert found.count("QUANTIZE") == 2
    assert found.count("DEQUANTIZE") == 2
    values = {"image": real(quantized(random(*MAP), plan.storage["image"]), plan.storage["image"])}
    for node in nodes:
        values[node.name] = reference(node.operator, [values[name] for name in node.inputs])
    assert np.abs(run(data, model, [random(*MAP)])["scores"] - values["scaled"]).max() < 4 * plan.storage["sum"].scale


# activations that another operator takes in


FUSED_IN = {
    "conv": (conv(3, 3, 8, 8, pads=SAME_3), 1), "depthwise": (depthwise(3, 3, 8, pads=SAME_3), 1),
    "transposed_cut": (transposed(3, 3, 8, 8, pads=((2, 0), (1, 1))), 1), "add": (Add(), 2), "multiply": (Multiply(), 2),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("kind", ["relu", "relu6", "unit", "relu_limit"])
@pytest.mark.parametrize("name", FUSED_IN)
@pytest.mark.parametrize("precision", ["float32", "int8", "int16"])
def test_fused_activations(precision: str, name: str, kind: str, xnnpack: bool) -> None:
    operator, arity = FUSED_IN[name]
    if precision == "float32" and name == "transposed_cut" and kind not in ("relu", "relu6"):
        pytest.skip("the planner leaves this one to an operator of its own; see test_an_activation_that_would_be_cut_is_refused")
    top = {"relu": math.inf, "relu6": 6.0, "unit": 1.0, "relu_limit": 2.5}[kind]
    case = Case(operator, (MAP,) * arity, MAP)
    plan = planned(case, precision)
    activation = Activation(kind, limit=2.5 if kind == "relu_limit" else 0.0)
    model = replace(plan.model, nodes=(*plan.model.nodes, Node("clipped", activation, ("node",), MAP)), outputs=("clipped",))
    plan = replace(plan, model=model, fused=frozenset({"clipped"}))
    inputs = samples(case)[0]
    stored, tolerance = plan.storage, 2e-5
    if precision != "float32":
        high = float(min(top, max(reference(model.nodes[0].operator, run, MAP).max() for run in samples(case))))
        stored = {**stored, "clipped": storage(np.asarray([0.0, high]), precision)}
        tolerance = 1.5 * stored["clipped"].scale
        del stored["node"]
        plan = replace(plan, storage=stored, integer_nodes=frozenset({"node", "clipped"}))
        inputs = [real(quantized(value, stored[entry.name]), stored[entry.name]) for value, entry in zip(inputs, model.inputs, strict=True)]
    data = tflite.write(plan)
    expected = np.clip(reference(model.nodes[0].operator, inputs, MAP), 0, top)
    assert np.abs(run(data, model, floats(inputs), xnnpack)["scores"] - expected).max() <= tolerance
    assert not {"RELU", "RELU6", "RELU_0_TO_1"} & set(names(data))


# whole networks


def small_network() -> FoldedModel:
    """A residual block of depthwise separable convolutions, padding, a pool and a classifier."""
    shape = (12, 12, 8)
    pooled = (6, 6, 8)
    nodes = (
        Node("stem", conv(3, 3, 3, 8, strides=(2, 2), pads=((1, 0), (1, 0))), ("image",), shape),
        Node("stem_relu", Activation("relu6"), ("stem",), shape),
        Node("depthwise", depthwise(3, 3, 8, pads=SAME_3), ("stem_relu",), shape),
        Node("depthwise_relu", Activation("relu6"), ("depthwise",), shape),
        Node("pointwise", conv(1, 1, 8, 8), ("depthwise_relu",), shape),
        Node("sum", Add(), ("pointwise", "stem_relu"), shape),
        Node("pool", Pool("max", (2, 2), (2, 2)), ("sum",), pooled),
        Node("mean", GlobalPool("average", False), ("pool",), (8,)),
        Node("logits", Dense(random(8, 5), random(5)), ("mean",), (5,)),
        Node("probabilities", Softmax(), ("logits",), (5,)),
    )
    return FoldedModel("small", (Input("image", (24, 24, 3)),), nodes, ("probabilities",))


def run_reference(model: FoldedModel, image: np.ndarray) -> dict[str, np.ndarray]:
    values = {"image": image.astype(np.float64)}
    for node in model:
        values[node.name] = reference(node.operator, [values[name] for name in node.inputs], node.shape)
    return values


def small_plan(dtype: str, softmax: bool = True) -> Plan:
    model, weights, nodes = small_network(), {}, []
    for node in model:
        if isinstance(node.operator, Weighted):
            operator, weights[node.name] = rounded(node.operator)
            node = replace(node, operator=operator)
        nodes.append(node)
    model = replace(model, nodes=tuple(nodes))
    runs = [run_reference(model, random(24, 24, 3, seed=seed)) for seed in range(5)]
    stored = {name: storage(np.stack([values[name] for values in runs]), dtype) for name in runs[0]}
    stored["pool"] = stored["sum"]
    stored["probabilities"] = Storage("int8", 1 / 256, -128) if dtype == "int8" else Storage("int16", 1 / 32768, 0)
    integer = frozenset(node.name for node in model if softmax or node.name != "probabilities")
    return Plan(model, weights, stored, integer, frozenset({"stem_relu", "depthwise_relu"}))


@BOTH
@pytest.mark.parametrize(("dtype", "decibels"), [("int8", 25), ("int16", 60)])
def test_a_whole_network_in_integers(dtype: str, decibels: float, xnnpack: bool) -> None:
    plan = small_plan(dtype)
    data = tflite.write(replace(plan, model=replace(plan.model, nodes=plan.model.nodes[:-1], outputs=("logits",))))
    images = [random(24, 24, 3, seed=seed) for seed in range(5)]
    expected = np.stack([run_reference(plan.model, image)["logits"] for image in images])
    found = np.stack([run(data, plan.model, [image], xnnpack)["scores"] for image in images])
    assert 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()) > decibels


def test_xnnpack_takes_the_network_whole(tmp_path: Path) -> None:
    """All of it but an int8 softmax, which LiteRT computes itself; with a softmax in float, in one piece."""
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.write(small_plan("int8", softmax=False)))
    taken = xnnpack_partitions(path)
    assert (taken.taken, taken.partitions) == (taken.total, 1)
    path.write_bytes(tflite.write(small_plan("int8")))
    taken = xnnpack_partitions(path)
    assert (taken.total - taken.taken, taken.partitions) == (1, 2)
    path.write_bytes(tflite.write(small_plan("int16")))
    assert xnnpack_partitions(path).partitions == 0


def test_litert_benchmark_takes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.write(small_plan("int8")))
    arguments = ["--model", str(path), "--num_runs", "2", "--warmup_runs", "1", "--result_json", str(tmp_path / "result.json")]
    done = subprocess.run([sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", *arguments], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    assert (tmp_path / "result.json").is_file()


# what cannot be written


def refused(plan: Plan, words: str) -> None:
    with pytest.raises(ConversionError, match=words) as caught:
        tflite.write(plan)
    assert caught.value.advice


def test_a_value_without_a_storage_is_refused() -> None:
    plan = planned(CASES["conv"], "int8")
    refused(replace(plan, storage={"image": plan.storage["image"]}), "no integers are planned for 'node'")
    refused(replace(planned(CASES["add"], "int8"), storage={}), "no integers are planned")


def test_integer_layers_without_integers_are_refused() -> None:
    refused(replace(planned(CASES["conv"], "int8"), weights={}), "no integer weights")
    refused(replace(planned(CASES["prelu"], "int8"), weights={}), "no integers of one scale")


@pytest.mark.parametrize("name", ["hard_sigmoid", "swish", "scale_shift"])
def test_operators_without_an_integer_kernel_are_refused(name: str) -> None:
    assert not has_integer_kernel(CASES[name].operator)
    refused(planned(CASES[name], "int8"), "node")


def test_fixed_scales_are_insisted_on() -> None:
    plan = planned(CASES["sigmoid"], "int8")
    refused(replace(plan, storage={**plan.storage, "node": Storage("int8", 1 / 200, -128)}), "LOGISTIC")


def test_integers_at_the_edge_need_a_plan() -> None:
    refused(replace(planned(CASES["conv"], "float32"), io="int8"), "keeps no integers")
    refused(replace(planned(CASES["conv"], "int16"), io="uint8"), "16-bit")


def test_products_of_three_in_integers_are_refused() -> None:
    refused(planned(CASES["multiply_three"], "int8"), "more than two")


def test_an_activation_where_none_can_be_taken_in_is_refused() -> None:
    nodes = (Node("pool", Pool("max", (1, 1), (1, 1)), ("image",), MAP), Node("relu", Activation("relu"), ("pool",), MAP))
    refused(Plan(FoldedModel("x", (Input("image", MAP),), nodes, ("relu",)), fused=frozenset({"relu"})), "takes in no activation")


@pytest.mark.parametrize("name", ["transposed_cut", "dense"])
def test_an_activation_that_would_be_cut_is_refused(name: str) -> None:
    plan = planned(CASES[name], "float32" if name == "transposed_cut" else "dynamic")
    nodes = (*plan.model.nodes, Node("unit", Activation("unit"), ("node",), plan.model.nodes[0].shape))
    refused(replace(plan, model=replace(plan.model, nodes=nodes, outputs=("unit",)), fused=frozenset({"unit"})), "cannot take in")


def test_two_outputs_of_one_value_are_refused() -> None:
    model = replace(network(CASES["conv"]), outputs=("node", "node"))
    refused(Plan(model), "two outputs")


def test_odd_padding_of_a_pool_is_refused() -> None:
    pool = Pool("average", (3, 3), (1, 1), ((2, 0), (1, 1)))
    refused(Plan(with_operator(network(CASES["average_pool"]), pool)), "padding")


def test_values_beyond_float16_are_refused() -> None:
    large = with_operator(network(CASES["dense"]), Dense(np.full((40, 10), 1e5, np.float32), np.zeros(10, np.float32)))
    refused(Plan(large, half=True), "float16")


def test_files_over_two_gigabytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_graph, "LARGEST_BYTES", 4000)
    tflite.write(planned(CASES["conv"], "int8"))
    refused(planned(CASES["conv"], "float32"), "GB")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model at all")
    with pytest.raises(ConversionError, match="cannot prepare"):
        xnnpack_partitions(path)


def test_names_may_be_anything() -> None:
    """Names that collide with those we make, and with an output's."""
    layer = conv(1, 1, 8, 8)
    nodes = (
        Node("scores", layer, ("image",), MAP),
        Node("scores/kernel", layer, ("scores",), MAP),
        Node("ünïcode 名/;", Activation("relu"), ("scores/kernel",), MAP),
    )
    model = FoldedModel("n", (Input("image", MAP),), nodes, ("ünïcode 名/;",))
    data = tflite.write(Plan(model))
    found = [tensor["name"] for tensor in open_file(data, xnnpack=False).get_tensor_details()]
    assert len(found) == len(set(found))
    expected = np.maximum(reference(layer, [reference(layer, [random(*MAP).astype(np.float64)])]), 0)
    np.testing.assert_allclose(run(data, model, [random(*MAP)])["scores"], expected, atol=1e-4)


def test_what_xnnpack_lacks_is_known(tmp_path: Path) -> None:
    """Operators that we say are faster in float are those that XNNPACK leaves alone in int8 and takes in float."""
    path = tmp_path / "model.tflite"
    for name in ("hard_swish", "gelu", "average_pool", "softmax", "prelu", "sigmoid", "max_pool", "leaky_relu"):
        path.write_bytes(tflite.write(planned(CASES[name], "int8")))
        left = xnnpack_partitions(path)
        path.write_bytes(tflite.write(planned(CASES[name], "float32")))
        assert xnnpack_partitions(path).taken > 0
        assert (left.taken < left.total) == faster_in_float(CASES[name].operator), name


def test_dead_weights_are_written_as_they_are() -> None:
    """A channel of zeros keeps its scale and gives its bias."""
    layer = replace(
        conv(1, 1, 8, 2), kernel=np.stack([random(1, 1, 8), np.zeros((1, 1, 8), np.float32)], -1), bias=np.asarray([0.5, 2.0], np.float32)
    )
    weights = QuantizedWeights(np.stack([np.full((1, 1, 8), 127), np.zeros((1, 1, 8))], -1).astype(np.int8), np.asarray([0.01, 1.0], np.float32))
    held = {"image": Storage("int8", 0.05, 3), "node": Storage("int8", 0.1, -4)}
    model = FoldedModel("dead", (Input("image", MAP),), (Node("node", layer, ("image",), (9, 11, 2)),), ("node",))
    found = run(tflite.write(Plan(model, {"node": weights}, held, frozenset({"node"}))), model, [random(*MAP)])["scores"]
    np.testing.assert_allclose(found[..., 1], 2.0, atol=0.051)


def test_a_scale_and_shift_stays_float() -> None:
    assert not has_integer_kernel(ScaleShift(np.ones(3, np.float32), np.zeros(3, np.float32)))
