"""A folded network as TensorFlow operations over constants: what the TFLite converter reads, and what calibration runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsmobile.errors import ConversionError
from dsmobile.exporters.operators import (
    NO_PADS,
    Activation,
    Add,
    Concatenate,
    Convolution,
    Dense,
    DepthwiseConvolution,
    FoldedModel,
    GlobalPool,
    Multiply,
    Node,
    Pad,
    Pads,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    same_pads,
)


def execute(model: FoldedModel, image: Any) -> dict[str, Any]:
    """Runs a folded network.

    Args:
        model: The network.
        image: A tensor, shape (batch, *input_shape).

    Returns:
        Every value by its name, the input too.
    """
    values = {model.input_name: image}
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
        case Dense():
            return tf.nn.bias_add(tf.matmul(x, operator.kernel), operator.bias)
        case ScaleShift():
            return x * operator.scale + operator.shift
        case Activation():
            return _activate(operator, x)
        case Softmax():
            return tf.nn.softmax(x)
        case Add():
            total = x
            for other in inputs[1:]:
                total = total + other
            return total
        case Multiply():
            product = x
            for other in inputs[1:]:
                product = product * other
            return product
        case Concatenate():
            return tf.concat(inputs, -1)
        case Pool():
            return _pool(operator, x)
        case GlobalPool():
            reduce = tf.reduce_mean if operator.kind == "average" else tf.reduce_max
            return reduce(x, [1, 2], keepdims=operator.keeps_map)
        case Pad():
            return tf.pad(x, [(0, 0), *operator.pads, (0, 0)])
        case Reshape():
            return tf.reshape(x, (x.shape[0] or -1, *node.shape))


def _convolve(operator: Convolution | DepthwiseConvolution, x: Any, shape: tuple[int, ...], name: str) -> Any:
    import tensorflow as tf

    kernel = operator.kernel
    x, padding = _padded(x, operator.pads, shape, (kernel.shape[0], kernel.shape[1]), operator.strides, operator.dilation)
    if isinstance(operator, DepthwiseConvolution):
        if operator.strides[0] != operator.strides[1]:
            raise ConversionError(f"the layer {name!r} is depthwise with the strides {operator.strides}", "use the same stride down and across")
        y = tf.nn.depthwise_conv2d(x, kernel, (1, *operator.strides, 1), padding, dilations=operator.dilation, name=name)
    else:
        # TensorFlow's own CPU kernels know no groups: each group is a convolution of its own.
        parts = zip(tf.split(x, operator.groups, -1), np.split(kernel, operator.groups, -1), strict=True) if operator.groups > 1 else [(x, kernel)]
        maps = [tf.nn.conv2d(part, weights, operator.strides, padding, dilations=operator.dilation, name=name) for part, weights in parts]
        y = tf.concat(maps, -1) if len(maps) > 1 else maps[0]
    return tf.nn.bias_add(y, operator.bias)


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
        "leaky_relu": lambda x: tf.nn.leaky_relu(x, operator.slope),
        "elu": tf.nn.elu,
        "sigmoid": tf.sigmoid,
        "tanh": tf.tanh,
        "hard_sigmoid": lambda x: tf.nn.relu6(x + np.float32(3.0)) * np.float32(1.0 / 6.0),
        "swish": lambda x: x * tf.sigmoid(x),
        "hard_swish": lambda x: x * tf.nn.relu6(x + np.float32(3.0)) * np.float32(1.0 / 6.0),
    }
    return functions[operator.kind](x)
