"""From a Keras model to a folded network: batch normalization and padding taken into the convolutions, training-only layers gone.

Folding is done in float64. A layer that is not known is named with its place; a batch normalization that no convolution can take in stays, as
a scale and a shift, and is named in `FoldedModel.left`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dsmobile.architectures.graph import Call, Graph, free_name, read_graph
from dsmobile.architectures.twin import normalization
from dsmobile.errors import ConversionError
from dsmobile.exporters.artifact import OUTPUT_NAME
from dsmobile.exporters.hard_functions import find_hard_functions
from dsmobile.exporters.merging import merge_padding, merge_scales
from dsmobile.exporters.operators import (
    NO_PADS,
    Activation,
    Add,
    Array,
    Concatenate,
    Convolution,
    Dense,
    DepthwiseConvolution,
    FoldedModel,
    GlobalPool,
    Multiply,
    Node,
    Operator,
    Pad,
    Pads,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    same_pads,
)

_GONE = frozenset(
    "Dropout SpatialDropout2D GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Identity InputLayer RandomFlip RandomRotation "
    "RandomZoom RandomTranslation RandomContrast".split()
)
_ACTIVATION_NAMES = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "hard_sigmoid": "hard_sigmoid", "silu": "swish", "swish": "swish",
    "elu": "elu", "hard_silu": "hard_swish", "hard_swish": "hard_swish", "tanh": "tanh",
}  # fmt: skip


def fold(model: Any, *, input_name: str = "image") -> FoldedModel:
    """Folds a Keras model.

    Args:
        model: A functional `keras.Model` with one input and one output, of fixed sizes.
        input_name: What the input is called in the written files.

    Raises:
        ConversionError: A layer that is not supported, named with its place; several inputs or outputs.
    """
    graph = read_graph(model)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ConversionError(
            f"{graph.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs",
            "export a network with one input and one output",
        )
    _require_float32(model, graph)
    nodes, names = _translate(graph, input_name)
    shape = tuple(int(side or 0) for side in graph.inputs[0].shape)
    folded = FoldedModel(graph.name, input_name, shape, tuple(nodes), names[graph.outputs[0].key])
    folded = merge_padding(merge_scales(find_hard_functions(folded)))
    left = tuple(f"{node.name}: no convolution alone feeds it" for node in folded if isinstance(node.operator, ScaleShift))
    return replace(folded, left=left)


def _require_float32(model: Any, graph: Graph) -> None:
    types = {str(model.inputs[0].dtype), *(str(call.layer.compute_dtype) for call in graph.calls if hasattr(call.layer, "compute_dtype"))}
    if types != {"float32"}:
        raise ConversionError(
            f"{graph.name} computes in {', '.join(sorted(types - {'float32'}))}",
            "save it in float32, its input too: the recipe sets the precision",
        )


def _translate(graph: Graph, input_name: str) -> tuple[list[Node], dict[int, str]]:
    names = {graph.inputs[0].key: input_name}
    nodes: list[Node] = []
    taken = {input_name, OUTPUT_NAME}
    for place, call in enumerate(graph.calls, 1):
        if call.kind in _GONE:
            names[call.outputs[0].key] = names[call.inputs[0].key]
            continue
        if call.kind not in _LAYERS:
            raise ConversionError(
                f"the layer {call.layer.name!r} ({call.kind}, number {place} of {len(graph.calls)}) is not supported",
                f"supported are {', '.join(sorted(_LAYERS))}",
            )
        steps = _LAYERS[call.kind](call)
        inputs = tuple(names[value.key] for value in call.inputs)
        for number, (operator, shape) in enumerate(steps):
            name = _free_name(call.layer.name if number == len(steps) - 1 else f"{call.layer.name}_{type(operator).__name__.lower()}", taken)
            nodes.append(Node(name, operator, inputs, tuple(int(side or 0) for side in shape)))
            inputs = (name,)
        names[call.outputs[0].key] = inputs[0]
    return nodes, names


def _free_name(wanted: str, taken: set[str]) -> str:
    wanted = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in wanted) or "node"
    wanted = wanted if wanted[0].isalnum() else f"n{wanted}"
    name = free_name(wanted, taken)
    taken.add(name)
    return name


Steps = list[tuple[Operator, tuple[int | None, ...]]]


def _array(variable: Any) -> Array:
    return np.array(variable, np.float32)


def _refuse(call: Call, why: str, advice: str) -> ConversionError:
    return ConversionError(f"the layer {call.layer.name!r} ({call.kind}) is not supported: {why}", advice)


def _pads(call: Call, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> Pads:
    layer = call.layer
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise _refuse(call, "it is channels_first", "build the model with channels_last")
    if layer.padding not in ("same", "valid"):
        raise _refuse(call, f"padding {layer.padding!r}", "use same or valid")
    if layer.padding == "valid":
        return NO_PADS
    return same_pads(tuple(int(side or 0) for side in call.input_shape[:2]), kernel, strides, dilation)


def _two(values: Any) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _with_activation(call: Call, operator: Operator, shape: tuple[int | None, ...]) -> Steps:
    activation = _activation(call, getattr(call.layer, "activation", None))
    return [(operator, shape)] if activation is None else [(operator, shape), (activation, shape)]


def _activation(call: Call, function: Any) -> Operator | None:
    if function is not None and not hasattr(function, "__name__"):
        raise _refuse(call, f"its activation is a layer ({type(function).__name__})", "put that layer behind it")
    name = "linear" if function is None else function.__name__
    if name == "linear":
        return None
    if name == "softmax":
        return Softmax()
    if name not in _ACTIVATION_NAMES:
        raise _refuse(call, f"activation {name!r}", f"supported are {', '.join(sorted(_ACTIVATION_NAMES))} and softmax")
    return Activation(_ACTIVATION_NAMES[name])


def _convolution(call: Call) -> Steps:
    layer = call.layer
    strides, dilation = _two(layer.strides), _two(layer.dilation_rate)
    kernel = _array(layer.kernel)
    bias = _array(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1], np.float32)
    operator = Convolution(kernel, bias, strides, dilation, _pads(call, _two(layer.kernel_size), strides, dilation), int(layer.groups))
    return _with_activation(call, operator, call.output_shape)


def _depthwise(call: Call) -> Steps:
    layer = call.layer
    strides, dilation = _two(layer.strides), _two(layer.dilation_rate)
    kernel = _array(layer.kernel)
    bias = _array(layer.bias) if layer.use_bias else np.zeros(kernel.shape[2] * kernel.shape[3], np.float32)
    operator = DepthwiseConvolution(kernel, bias, strides, dilation, _pads(call, _two(layer.kernel_size), strides, dilation))
    return _with_activation(call, operator, call.output_shape)


def _separable(call: Call) -> Steps:
    layer = call.layer
    strides, dilation = _two(layer.strides), _two(layer.dilation_rate)
    depthwise, pointwise = _array(layer.depthwise_kernel), _array(layer.pointwise_kernel)
    width = depthwise.shape[2] * depthwise.shape[3]
    bias = _array(layer.bias) if layer.use_bias else np.zeros(pointwise.shape[-1], np.float32)
    first = DepthwiseConvolution(depthwise, np.zeros(width, np.float32), strides, dilation, _pads(call, _two(layer.kernel_size), strides, dilation))
    steps = _with_activation(call, Convolution(pointwise, bias), call.output_shape)
    return [(first, (*call.output_shape[:-1], width)), *steps]


def _dense(call: Call) -> Steps:
    layer = call.layer
    kernel = _array(layer.kernel)
    bias = _array(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1], np.float32)
    if len(call.input_shape) == 3:
        return _with_activation(call, Convolution(kernel[None, None], bias), call.output_shape)
    if len(call.input_shape) != 1:
        raise _refuse(call, f"an input of shape {call.input_shape}", "flatten or pool the map before it")
    return _with_activation(call, Dense(kernel, bias), call.output_shape)


def _batch_normalization(call: Call) -> Steps:
    if call.layer.axis not in (-1, len(call.input_shape)) and list(np.ravel(call.layer.axis)) != [len(call.input_shape)]:
        raise _refuse(call, f"axis {call.layer.axis}", "normalize the last axis, the channels")
    scale, shift = normalization(call.layer)
    return [(ScaleShift(scale.astype(np.float32), np.asarray(shift, np.float32)), call.output_shape)]


def _rescaling(call: Call) -> Steps:
    channels = int(call.input_shape[-1] or 1)
    values = [np.asarray(value, np.float32).ravel() for value in (call.layer.scale, call.layer.offset)]
    if any(value.size not in (1, channels) for value in values):
        raise _refuse(call, "numbers for every pixel", "give one number, or one per channel")
    scale, shift = (np.broadcast_to(value, (channels,)).copy() for value in values)
    return [(ScaleShift(scale, shift), call.output_shape)]


def _relu(call: Call) -> Steps:
    layer = call.layer
    if layer.negative_slope and not layer.threshold and layer.max_value is None:
        return [(Activation("leaky_relu", float(layer.negative_slope)), call.output_shape)]
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6, 6.0):
        raise _refuse(call, f"max_value {layer.max_value}, negative_slope {layer.negative_slope}, threshold {layer.threshold}", "use ReLU or ReLU6")
    return [(Activation("relu" if layer.max_value is None else "relu6"), call.output_shape)]


def _leaky_relu(call: Call) -> Steps:
    return [(Activation("leaky_relu", float(call.layer.negative_slope)), call.output_shape)]


def _elu(call: Call) -> Steps:
    if float(np.ravel(call.layer.alpha)[0] if hasattr(call.layer, "alpha") else 1.0) != 1.0:
        raise _refuse(call, f"alpha {call.layer.alpha}", "use alpha 1")
    return [(Activation("elu"), call.output_shape)]


def _normalization(call: Call) -> Steps:
    """Keras's preprocessing layer: (x - mean) / sqrt(variance)."""
    channels = int(call.input_shape[-1] or 1)
    values = [np.asarray(value, np.float64).ravel() for value in (call.layer.mean, call.layer.variance)]
    if any(value.size not in (1, channels) for value in values):
        raise _refuse(call, "numbers for every pixel", "normalize the last axis, the channels")
    mean, variance = (np.broadcast_to(value, (channels,)) for value in values)
    if call.layer.invert:
        raise _refuse(call, "invert", "normalize forwards")
    scale = 1.0 / np.maximum(np.sqrt(variance), 1e-7)
    return [(ScaleShift(scale.astype(np.float32), (-mean * scale).astype(np.float32)), call.output_shape)]


def _activation_layer(call: Call) -> Steps:
    operator = _activation(call, call.layer.activation)
    return [(operator, call.output_shape)] if operator is not None else [(Reshape(), call.output_shape)]


def _softmax(call: Call) -> Steps:
    if np.ravel(call.layer.axis).tolist() not in ([-1], [len(call.input_shape)]):
        raise _refuse(call, f"axis {call.layer.axis}", "take it over the last axis")
    return [(Softmax(), call.output_shape)]


def _padding(call: Call) -> Steps:
    (top, bottom), (left, right) = call.layer.padding
    return [(Pad(((top, bottom), (left, right))), call.output_shape)]


def _pool(kind: str) -> Callable[[Call], Steps]:
    def steps(call: Call) -> Steps:
        size, strides = _two(call.layer.pool_size), _two(call.layer.strides)
        return [(Pool(kind, size, strides, _pads(call, size, strides)), call.output_shape)]

    return steps


def _global_pool(kind: str) -> Callable[[Call], Steps]:
    return lambda call: [(GlobalPool(kind, bool(call.layer.keepdims)), call.output_shape)]


def _merge(operator: Operator) -> Callable[[Call], Steps]:
    def steps(call: Call) -> Steps:
        if len(call.inputs) == 1:
            return _with_constant(call, operator)
        shapes = [value.shape for value in call.inputs]
        if isinstance(operator, Add) and len(set(shapes)) != 1:
            raise _refuse(call, f"inputs of different shapes {shapes}", "bring them to one shape first")
        if isinstance(operator, Multiply) and len({len(shape) for shape in shapes}) != 1:
            raise _refuse(call, f"inputs of different ranks {shapes}", "let the gate keep its map: GlobalAveragePooling2D(keepdims=True)")
        if isinstance(operator, Concatenate) and call.layer.axis not in (-1, len(shapes[0])):
            raise _refuse(call, f"axis {call.layer.axis}", "concatenate along the channels")
        return [(operator, call.output_shape)]

    return steps


def _with_constant(call: Call, operator: Operator) -> Steps:
    """`x + 3.0` and `x * 0.5`, as Keras's operators on tensors write them."""
    if len(call.constants) != 1 or isinstance(operator, Concatenate):
        raise _refuse(call, "one input and no single number", "write it with layers")
    number = np.full(int(call.input_shape[-1] or 1), call.constants[0], np.float32)
    scale, shift = (np.ones_like(number), number) if isinstance(operator, Add) else (number, np.zeros_like(number))
    return [(ScaleShift(scale, shift), call.output_shape)]


def _reshape(call: Call) -> Steps:
    return [(Reshape(), call.output_shape)]


_LAYERS: dict[str, Callable[[Call], Steps]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_normalization,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "Activation": _activation_layer,
    "Softmax": _softmax,
    "ZeroPadding2D": _padding,
    "MaxPooling2D": _pool("max"),
    "AveragePooling2D": _pool("average"),
    "GlobalAveragePooling2D": _global_pool("average"),
    "GlobalMaxPooling2D": _global_pool("max"),
    "Add": _merge(Add()),
    "Multiply": _merge(Multiply()),
    "Concatenate": _merge(Concatenate()),
    "Flatten": _reshape,
    "Reshape": _reshape,
}
