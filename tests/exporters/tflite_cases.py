"""Networks of one operator, what TensorFlow and numpy say they compute, and plans that store them in every precision."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dsmobile.exporters.folded import FoldedModel, Input, Node
from dsmobile.exporters.operators import (
    NO_PADS,
    Activation,
    Add,
    Concatenate,
    Convolution,
    Crop,
    Dense,
    DepthwiseConvolution,
    GlobalPool,
    Maximum,
    Minimum,
    Multiply,
    Pad,
    ParametricRelu,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    Subtract,
    TransposedConvolution,
    Upsample,
    Weighted,
    from_output_channels,
    output_channels,
    same_pads,
)
from dsmobile.exporters.plan import Plan, QuantizedWeights, Storage

SAME_3 = ((1, 1), (1, 1))


@dataclass(frozen=True)
class Case:
    operator: Any
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...] | None = None  # of the output, where the operator leaves it open


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def conv(height: int, width: int, inputs: int, outputs: int, **more: Any) -> Convolution:
    return Convolution(random(height, width, inputs, outputs, scale=0.3), random(outputs, seed=1), **more)


def depthwise(height: int, width: int, inputs: int, multiplier: int = 1, **more: Any) -> DepthwiseConvolution:
    return DepthwiseConvolution(random(height, width, inputs, multiplier, scale=0.5), random(inputs * multiplier, seed=1), **more)


def transposed(height: int, width: int, outputs: int, inputs: int, **more: Any) -> TransposedConvolution:
    return TransposedConvolution(random(height, width, outputs, inputs, scale=0.3), random(outputs, seed=1), **more)


MAP = (9, 11, 8)
CASES = {
    "conv": Case(conv(3, 3, 8, 16, pads=SAME_3), (MAP,)),
    "conv_1x1": Case(conv(1, 1, 8, 16), (MAP,)),
    "conv_valid": Case(conv(3, 3, 8, 5), (MAP,)),
    "conv_stride_same": Case(conv(3, 3, 8, 16, strides=(2, 2), pads=same_pads((10, 11), (3, 3), (2, 2))), ((10, 11, 8),)),
    "conv_other_pads": Case(conv(3, 3, 8, 16, strides=(2, 2), pads=((0, 1), (2, 1))), (MAP,)),
    "conv_two_strides": Case(conv(3, 5, 8, 16, strides=(2, 1), pads=same_pads(MAP, (3, 5), (2, 1))), (MAP,)),
    "conv_dilated": Case(conv(3, 3, 8, 16, dilation=(2, 3), pads=same_pads(MAP, (3, 3), (1, 1), (2, 3))), (MAP,)),
    "conv_one_row": Case(conv(1, 5, 8, 16, pads=((0, 0), (2, 2))), ((1, 20, 8),)),
    "grouped": Case(conv(3, 3, 2, 12, groups=4, pads=SAME_3), (MAP,)),
    "grouped_1x1": Case(conv(1, 1, 4, 8, groups=2), (MAP,)),
    "depthwise": Case(depthwise(3, 3, 8, pads=SAME_3), (MAP,)),
    "depthwise_multiplier": Case(depthwise(3, 3, 8, 3, pads=SAME_3), (MAP,)),
    "depthwise_one_channel": Case(depthwise(4, 10, 1, 16, pads=same_pads((20, 10), (4, 10), (2, 2)), strides=(2, 2)), ((20, 10, 1),)),
    "depthwise_stride_same": Case(depthwise(5, 5, 8, strides=(2, 2), pads=same_pads((10, 12), (5, 5), (2, 2))), ((10, 12, 8),)),
    "depthwise_two_strides": Case(depthwise(3, 3, 8, strides=(2, 1), pads=same_pads(MAP, (3, 3), (2, 1))), (MAP,)),
    "depthwise_dilated": Case(depthwise(3, 3, 8, dilation=(2, 2), pads=same_pads(MAP, (3, 3), (1, 1), (2, 2))), (MAP,)),
    "depthwise_other_pads": Case(depthwise(3, 3, 8, strides=(2, 2), pads=((1, 0), (1, 1))), (MAP,)),
    "transposed_valid": Case(transposed(3, 3, 6, 8, strides=(2, 2)), ((4, 5, 8),), (9, 11, 6)),
    "transposed_same": Case(transposed(3, 3, 6, 8, strides=(2, 2), pads=((0, 1), (0, 1))), ((4, 5, 8),), (8, 10, 6)),
    "transposed_same_4": Case(transposed(4, 4, 6, 8, strides=(2, 2), pads=((1, 1), (1, 1))), ((4, 5, 8),), (8, 10, 6)),
    "transposed_far_apart": Case(transposed(2, 2, 6, 8, strides=(3, 3)), ((4, 5, 8),), (12, 15, 6)),
    "transposed_cut": Case(transposed(3, 3, 6, 8, strides=(2, 2), pads=((1, 0), (2, 1))), ((4, 5, 8),), (8, 8, 6)),
    "transposed_cut_and_larger": Case(transposed(3, 3, 6, 8, strides=(2, 2), pads=((1, 0), (1, 0))), ((4, 5, 8),), (9, 11, 6)),
    "dense": Case(Dense(random(40, 10, scale=0.3), random(10, seed=1)), ((40,),)),
    "scale_shift": Case(ScaleShift(random(8), random(8, seed=1)), (MAP,)),
    "scale_shift_vector": Case(ScaleShift(random(8), random(8, seed=1)), ((8,),)),
    "relu": Case(Activation("relu"), (MAP,)),
    "relu6": Case(Activation("relu6"), (MAP,)),
    "relu_limit": Case(Activation("relu_limit", limit=1.5), (MAP,)),
    "unit": Case(Activation("unit"), (MAP,)),
    "leaky_relu": Case(Activation("leaky_relu", slope=0.2), (MAP,)),
    "elu": Case(Activation("elu"), (MAP,)),
    "sigmoid": Case(Activation("sigmoid"), (MAP,)),
    "hard_sigmoid": Case(Activation("hard_sigmoid"), (MAP,)),
    "swish": Case(Activation("swish"), (MAP,)),
    "hard_swish": Case(Activation("hard_swish"), (MAP,)),
    "tanh": Case(Activation("tanh"), (MAP,)),
    "gelu": Case(Activation("gelu"), (MAP,)),
    "prelu": Case(ParametricRelu(random(8)), (MAP,)),
    "prelu_per_pixel": Case(ParametricRelu(random(*MAP)), (MAP,)),
    "softmax": Case(Softmax(), ((10,),)),
    "softmax_map": Case(Softmax(), (MAP,)),
    "add": Case(Add(), (MAP, MAP)),
    "add_three": Case(Add(), (MAP, MAP, (1, 1, 8))),
    "subtract": Case(Subtract(), (MAP, MAP)),
    "multiply": Case(Multiply(), (MAP, MAP)),
    "multiply_gate": Case(Multiply(), (MAP, (1, 1, 8))),
    "gate_multiplies": Case(Multiply(), ((1, 1, 8), MAP)),
    "multiply_three": Case(Multiply(), (MAP, MAP, (1, 1, 8))),
    "multiply_vectors": Case(Multiply(), ((8,), (8,))),
    "maximum": Case(Maximum(), (MAP, MAP, MAP)),
    "minimum": Case(Minimum(), (MAP, MAP)),
    "concatenate": Case(Concatenate(), (MAP, (9, 11, 3))),
    "concatenate_rows": Case(Concatenate(0), (MAP, (2, 11, 8), MAP)),
    "concatenate_columns": Case(Concatenate(1), (MAP, (9, 2, 8))),
    "concatenate_vectors": Case(Concatenate(), ((8,), (3,))),
    "max_pool": Case(Pool("max", (2, 2), (2, 2)), (MAP,)),
    "max_pool_same": Case(Pool("max", (3, 3), (2, 2), same_pads(MAP, (3, 3), (2, 2))), (MAP,)),
    "average_pool": Case(Pool("average", (2, 3), (2, 1)), (MAP,)),
    "average_pool_same": Case(Pool("average", (3, 3), (2, 2), same_pads((10, 10), (3, 3), (2, 2))), ((10, 10, 8),)),
    "global_average": Case(GlobalPool("average", False), (MAP,)),
    "global_average_map": Case(GlobalPool("average", True), (MAP,)),
    "global_max": Case(GlobalPool("max", False), (MAP,)),
    "global_max_map": Case(GlobalPool("max", True), (MAP,)),
    "pad": Case(Pad(((1, 2), (0, 3))), (MAP,)),
    "crop": Case(Crop(((1, 2), (0, 3))), (MAP,)),
    "nearest": Case(Upsample("nearest", (2, 3)), (MAP,)),
    "bilinear": Case(Upsample("bilinear", (2, 2)), (MAP,)),
    "flatten": Case(Reshape(), (MAP,), (9 * 11 * 8,)),
    "sequence_to_map": Case(Reshape(), ((20, 8),), (1, 20, 8)),
}


# what they compute


def reference(operator: Any, inputs: list[np.ndarray], shape: tuple[int, ...] | None = None) -> np.ndarray:
    """One operator on float64 values without the batch."""
    import tensorflow as tf

    x = inputs[0]
    match operator:
        case Convolution():
            return _windows(operator, x)
        case DepthwiseConvolution():
            height, width, channels, multiplier = operator.kernel.shape
            full = np.zeros((height, width, channels, channels * multiplier))
            for channel in range(channels):
                full[:, :, channel, channel * multiplier : (channel + 1) * multiplier] = operator.kernel[:, :, channel]
            return _windows(
                replace(conv(1, 1, 1, 1), kernel=full, bias=operator.bias, strides=operator.strides, dilation=operator.dilation, pads=operator.pads),
                x,
            )
        case TransposedConvolution():
            return _scattered(operator, x, shape)
        case Dense():
            return x @ operator.kernel.astype(np.float64) + operator.bias
        case ScaleShift():
            return x * operator.scale + operator.shift
        case ParametricRelu():
            return np.where(x > 0, x, operator.slopes * x)
        case Activation():
            return _activated(operator, x)
        case Softmax():
            return tf.nn.softmax(x).numpy()
        case Add():
            return sum(inputs[1:], x)
        case Subtract():
            return x - inputs[1]
        case Multiply():
            return np.prod(np.broadcast_arrays(*inputs), axis=0)
        case Maximum():
            return np.max(inputs, axis=0)
        case Minimum():
            return np.min(inputs, axis=0)
        case Concatenate():
            return np.concatenate(inputs, operator.axis)
        case Pool():
            run = tf.nn.max_pool2d if operator.kind == "max" else tf.nn.avg_pool2d
            return run(x[None], operator.size, operator.strides, "VALID" if operator.pads == NO_PADS else "SAME").numpy()[0]
        case GlobalPool():
            return (np.mean if operator.kind == "average" else np.max)(x, axis=(0, 1), keepdims=operator.keeps_map)
        case Pad():
            return np.pad(x, (*operator.pads, (0, 0)))
        case Crop():
            (top, bottom), (left, right) = operator.edges
            return x[top : x.shape[0] - bottom, left : x.shape[1] - right]
        case Upsample(kind="nearest"):
            return x.repeat(operator.factors[0], 0).repeat(operator.factors[1], 1)
        case Upsample():
            size = [side * factor for side, factor in zip(x.shape[:2], operator.factors, strict=True)]
            return tf.image.resize(x[None], size, "bilinear").numpy()[0].astype(np.float64)
        case Reshape():
            return x.reshape(shape)
    raise AssertionError(operator)


def _windows(operator: Convolution, x: np.ndarray) -> np.ndarray:
    """A convolution as its definition says, a sum over taps."""
    x = np.pad(x, (*operator.pads, (0, 0)))
    height, width = operator.kernel.shape[:2]
    rows, columns = (
        (side - (taps - 1) * rate - 1) // stride + 1
        for side, taps, rate, stride in zip(x.shape[:2], (height, width), operator.dilation, operator.strides, strict=True)
    )
    groups = np.split(operator.kernel.astype(np.float64), operator.groups, -1)
    total = np.zeros((rows, columns, operator.kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            top, left = i * operator.dilation[0], j * operator.dilation[1]
            part = x[
                top : top + (rows - 1) * operator.strides[0] + 1 : operator.strides[0],
                left : left + (columns - 1) * operator.strides[1] + 1 : operator.strides[1],
            ]
            total += np.concatenate([piece @ group[i, j] for piece, group in zip(np.split(part, operator.groups, -1), groups, strict=True)], -1)
    return total + operator.bias


def _scattered(operator: TransposedConvolution, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    height, width, outputs, _ = operator.kernel.shape
    sides = [(side - 1) * stride + taps for side, stride, taps in zip(x.shape[:2], operator.strides, (height, width), strict=True)]
    (top, _), (left, _) = operator.pads
    whole = np.zeros((max(sides[0], top + shape[0]), max(sides[1], left + shape[1]), outputs))
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            i, j = row * operator.strides[0], column * operator.strides[1]
            whole[i : i + height, j : j + width] += operator.kernel.astype(np.float64) @ x[row, column]
    return whole[top : top + shape[0], left : left + shape[1]] + operator.bias


def _activated(operator: Activation, x: np.ndarray) -> np.ndarray:
    from scipy.special import erf, expit

    six = np.clip(x + 3, 0, 6)
    return {
        "relu": lambda: np.maximum(x, 0),
        "relu6": lambda: np.clip(x, 0, 6),
        "relu_limit": lambda: np.clip(x, 0, operator.limit),
        "unit": lambda: np.clip(x, 0, 1),
        "leaky_relu": lambda: np.where(x > 0, x, operator.slope * x),
        "elu": lambda: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "sigmoid": lambda: expit(x),
        "hard_sigmoid": lambda: six / 6,
        "swish": lambda: x * expit(x),
        "hard_swish": lambda: x * six / 6,
        "tanh": lambda: np.tanh(x),
        "gelu": lambda: x / 2 * (1 + erf(x / np.sqrt(2))),
    }[operator.kind]()


# networks and plans


def network(case: Case) -> FoldedModel:
    """A network of one operator, `node`, whose inputs are `image`, `image_1` and so on."""
    inputs = tuple(Input("image" if place == 0 else f"image_{place}", shape) for place, shape in enumerate(case.shapes))
    shape = reference(case.operator, samples(case)[0], case.shape).shape
    return FoldedModel("one", inputs, (Node("node", case.operator, tuple(entry.name for entry in inputs), shape),), ("node",))


def samples(case: Case, count: int = 3) -> list[list[np.ndarray]]:
    return [
        [random(*shape, seed=10 * number + place, scale=3.0).astype(np.float64) for place, shape in enumerate(case.shapes)] for number in range(count)
    ]


def storage(array: np.ndarray, dtype: str) -> Storage:
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    if dtype == "int16":
        return Storage(dtype, float(np.float32(max(-low, high) / 32767)), 0)
    scale = float(np.float32((high - low) / 255))
    return Storage(dtype, scale, round(-128 - low / scale))


FIXED = {
    "int8": {"Softmax": Storage("int8", 1 / 256, -128), "sigmoid": Storage("int8", 1 / 256, -128), "tanh": Storage("int8", 1 / 128, 0)},
    "int16": {kind: Storage("int16", 1 / 32768, 0) for kind in ("Softmax", "sigmoid", "tanh")},
}


def rounded(operator: Weighted) -> tuple[Weighted, QuantizedWeights]:
    """A layer whose kernel is scale * integer, and these."""
    matrix = output_channels(operator)
    scales = (np.abs(matrix).max(1) / 127).astype(np.float32)
    integers = np.clip(np.rint(matrix / scales[:, None]), -127, 127)
    stored = QuantizedWeights(from_output_channels(operator, integers.astype(np.float32)).astype(np.int8), scales)
    return replace(operator, kernel=from_output_channels(operator, (integers * scales[:, None]).astype(np.float32))), stored


def keeps_storage(operator: Any) -> bool:
    return isinstance(operator, (Pool, Pad, Crop, Upsample, Reshape)) or (isinstance(operator, GlobalPool) and operator.kind == "max")


def planned(case: Case, precision: str, io: str = "float32") -> Plan:
    """A plan of one operator: float32, float16, dynamic, int8 or int16."""
    model, weights = network(case), {}
    if isinstance(case.operator, Weighted) and precision not in ("float32", "float16"):
        operator, weights["node"] = rounded(case.operator)
        model = with_operator(model, operator)
    if isinstance(case.operator, ParametricRelu) and precision == "int8":
        scale = np.asarray([np.abs(case.operator.slopes).max() / 127], np.float32)
        weights["node"] = QuantizedWeights(np.rint(case.operator.slopes / scale).astype(np.int8), scale)
        model = with_operator(model, ParametricRelu(weights["node"].integers * scale))
    if precision in ("float32", "float16", "dynamic"):
        return Plan(model, weights, half=precision == "float16")
    runs = samples(case)
    found = {entry.name: storage(np.stack([run[place] for run in runs]), precision) for place, entry in enumerate(model.inputs)}
    operator = model.nodes[0].operator
    kind = getattr(operator, "kind", type(operator).__name__)
    found["node"] = FIXED[precision].get(kind) or storage(np.stack([reference(operator, run, case.shape) for run in runs]), precision)
    if keeps_storage(operator):
        found["node"] = found["image"]
    return Plan(model, weights, found, frozenset({"node"}), io=io)


def with_operator(model: FoldedModel, operator: Any) -> FoldedModel:
    return replace(model, nodes=(replace(model.nodes[0], operator=operator),))


def quantized(real: np.ndarray, stored: Storage) -> np.ndarray:
    return np.clip(np.rint(real / stored.scale) + stored.zero_point, *stored.limits)


def real(integers: np.ndarray, stored: Storage) -> np.ndarray:
    return (integers.astype(np.float64) - stored.zero_point) * stored.scale
