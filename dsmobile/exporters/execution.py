"""A folded network as TensorFlow operations over constants: what calibration, correction and diagnosis run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from dsmobile.exporters.folded import FoldedModel, Node
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
    Pads,
    ParametricRelu,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    Subtract,
    TransposedConvolution,
    Upsample,
    same_pads,
)


def execute(model: FoldedModel, inputs: Sequence[Any]) -> dict[str, Any]:
    """Runs a folded network.

    Args:
        model: The network.
        inputs: A tensor for each of its inputs, shape (batch, ...).

    Returns:
        Every value by its name, the inputs too.
    """
    values = {value.name: tensor for value, tensor in zip(model.inputs, inputs, strict=True)}
    for node in model:
        values[node.name] = run_node(model, node, [values[name] for name in node.inputs])
    return values


def run_node(model: FoldedModel, node: Node, inputs: list[Any]) -> Any:
    """Runs one node of a network on its inputs' values."""
    import tensorflow as tf

    operator, x = node.operator, inputs[0]
    match operator:
        case Convolution() | DepthwiseConvolution():
            return _convolve(operator, x, model.shape_of(node.inputs[0]), node.name)
        case TransposedConvolution():
            return _spread(operator, x, model.shape_of(node.inputs[0]), node.shape)
        case Dense():
            return tf.nn.bias_add(tf.matmul(x, operator.kernel), operator.bias)
        case ScaleShift():
            return x * operator.scale + operator.shift
        case Activation():
            return _activate(operator, x)
        case ParametricRelu():
            return tf.maximum(x, 0.0) + operator.slopes * tf.minimum(x, 0.0)
        case Softmax():
            return tf.nn.softmax(x)
        case Add():
            return reduce(tf.add, inputs)
        case Subtract():
            return inputs[0] - inputs[1]
        case Multiply():
            return reduce(tf.multiply, inputs)
        case Maximum():
            return reduce(tf.maximum, inputs)
        case Minimum():
            return reduce(tf.minimum, inputs)
        case Concatenate():
            return tf.concat(inputs, -1 if operator.axis == -1 else operator.axis + 1)
        case Pool():
            return _pool(operator, x)
        case GlobalPool():
            return (tf.reduce_mean if operator.kind == "average" else tf.reduce_max)(x, [1, 2], keepdims=operator.keeps_map)
        case Pad():
            return tf.pad(x, [(0, 0), *operator.pads, (0, 0)])
        case Crop():
            return _crop(x, operator.edges)
        case Upsample():
            return _upsample(operator, x)
        case Reshape():
            return tf.reshape(x, (x.shape[0] or -1, *node.shape))


def _spread(operator: TransposedConvolution, x: Any, shape: tuple[int, ...], wanted: tuple[int, ...]) -> Any:
    """The whole output of a transposed convolution, cut or filled up to its size."""
    import tensorflow as tf

    kernel = operator.kernel
    whole = [(side - 1) * stride + window for side, stride, window in zip(shape[:2], operator.strides, kernel.shape[:2], strict=True)]
    y = tf.nn.conv2d_transpose(x, kernel, (tf.shape(x)[0], *whole, kernel.shape[2]), operator.strides, "VALID")
    (top, bottom), (left, right) = operator.pads
    y = y[:, top : whole[0] - bottom, left : whole[1] - right, :]
    missing = [side - (full - before - after) for side, full, (before, after) in zip(wanted[:2], whole, operator.pads, strict=True)]
    if any(missing):
        y = tf.pad(y, [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)])
    return tf.nn.bias_add(y, operator.bias)


def _crop(x: Any, edges: Pads) -> Any:
    (top, bottom), (left, right) = edges
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right, :]


def _upsample(operator: Upsample, x: Any) -> Any:
    import tensorflow as tf

    down, across = operator.factors
    if operator.kind == "nearest":
        return tf.repeat(tf.repeat(x, down, axis=1), across, axis=2)
    return tf.image.resize(x, (x.shape[1] * down, x.shape[2] * across), "bilinear")


def _convolve(operator: Convolution | DepthwiseConvolution, x: Any, shape: tuple[int, ...], name: str) -> Any:
    import tensorflow as tf

    kernel = operator.kernel
    x, padding = _padded(x, operator.pads, shape, (kernel.shape[0], kernel.shape[1]), operator.strides, operator.dilation)
    if isinstance(operator, DepthwiseConvolution):
        y = _depthwise(operator, x, padding)
    else:
        # TensorFlow's own CPU kernels know no groups: each group is a convolution of its own.
        parts = zip(tf.split(x, operator.groups, -1), np.split(kernel, operator.groups, -1), strict=True) if operator.groups > 1 else [(x, kernel)]
        maps = [tf.nn.conv2d(part, weights, operator.strides, padding, dilations=operator.dilation, name=name) for part, weights in parts]
        y = tf.concat(maps, -1) if len(maps) > 1 else maps[0]
    return tf.nn.bias_add(y, operator.bias)


def _depthwise(operator: DepthwiseConvolution, x: Any, padding: str) -> Any:
    """TensorFlow's depthwise kernel knows one stride for both axes: with two, the finer one is taken and the rest left out.

    A depthwise convolution over one row, as of a sequence, needs no stride down.
    """
    import tensorflow as tf

    down, across = operator.strides
    kernel = operator.kernel
    if x.shape[1] == 1 and kernel.shape[0] == 1:
        down = across
    if down == across:
        return tf.nn.depthwise_conv2d(x, kernel, (1, down, across, 1), padding, dilations=operator.dilation)
    if padding == "SAME":
        pads = same_pads(tuple(x.shape[1:3]), (kernel.shape[0], kernel.shape[1]), operator.strides, operator.dilation)
        x = tf.pad(x, [(0, 0), *pads, (0, 0)])
    return tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID", dilations=operator.dilation)[:, ::down, ::across, :]


def _padded(
    x: Any, pads: Pads, shape: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]
) -> tuple[Any, str]:
    """The map and TensorFlow's word for its padding; zeros that are neither `same` nor none are put around it."""
    import tensorflow as tf

    if pads == NO_PADS:
        return x, "VALID"
    if pads == same_pads(shape, kernel, strides, dilation):
        return x, "SAME"
    return tf.pad(x, [(0, 0), *pads, (0, 0)]), "VALID"


def _pool(operator: Pool, x: Any) -> Any:
    import tensorflow as tf

    padding = "VALID" if operator.pads == NO_PADS else "SAME"
    run = tf.nn.max_pool2d if operator.kind == "max" else tf.nn.avg_pool2d
    return run(x, operator.size, operator.strides, padding)


def _activate(operator: Activation, x: Any) -> Any:
    import tensorflow as tf

    functions = {
        "relu": tf.nn.relu,
        "relu6": tf.nn.relu6,
        "relu_limit": lambda x: tf.minimum(tf.nn.relu(x), operator.limit),
        "unit": lambda x: tf.clip_by_value(x, 0.0, 1.0),
        "gelu": tf.nn.gelu,
        "leaky_relu": lambda x: tf.nn.leaky_relu(x, operator.slope),
        "elu": tf.nn.elu,
        "sigmoid": tf.sigmoid,
        "tanh": tf.tanh,
        "hard_sigmoid": lambda x: tf.nn.relu6(x + np.float32(3.0)) * np.float32(1.0 / 6.0),
        "swish": lambda x: x * tf.sigmoid(x),
        "hard_swish": lambda x: x * tf.nn.relu6(x + np.float32(3.0)) * np.float32(1.0 / 6.0),
    }
    return functions[operator.kind](x)
