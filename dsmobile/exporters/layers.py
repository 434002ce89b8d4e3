"""Keras's layers and operators on tensors, as a folded network's operators: one function each, and the table of all that are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dsmobile.architectures.graph import Call
from dsmobile.architectures.twin import normalization
from dsmobile.exporters.convolution_layers import KERNEL_LAYERS, Steps, array, lifted, pair, refuse, require_channels_last, window_pads
from dsmobile.exporters.operators import (
    Activation,
    Add,
    Concatenate,
    Crop,
    GlobalPool,
    Maximum,
    Merge,
    Minimum,
    Multiply,
    Operator,
    Pad,
    Pads,
    ParametricRelu,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    Subtract,
    Upsample,
)

__all__ = ["LAYERS", "lifted"]
_ACTIVATIONS = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "hard_sigmoid": "hard_sigmoid", "silu": "swish", "swish": "swish",
    "elu": "elu", "hard_silu": "hard_swish", "hard_swish": "hard_swish", "tanh": "tanh", "gelu": "gelu",
}  # fmt: skip


def _with_activation(steps: Callable[[Call], Steps]) -> Callable[[Call], Steps]:
    """A layer, then the activation that it was given: a function, or a layer of its own."""

    def both(call: Call) -> Steps:
        first = steps(call)
        function = getattr(call.layer, "activation", None)
        if function is None or hasattr(function, "__name__"):
            operator = _activation(call, function)
            return [*first, (operator, call.output_shape)] if operator is not None else first
        kind = type(function).__name__
        if kind not in _ACTIVATION_LAYERS:
            raise refuse(call, f"its activation is a layer ({kind})", f"put that layer behind it; supported are {', '.join(_ACTIVATION_LAYERS)}")
        return [*first, *_ACTIVATION_LAYERS[kind](replace(call, layer=function, inputs=call.outputs))]

    return both


def _activation(call: Call, function: Any) -> Operator | None:
    name = "linear" if function is None else function.__name__
    if name == "linear":
        return None
    if name == "softmax":
        return Softmax()
    if name == "leaky_relu":
        return Activation("leaky_relu", slope=0.2)  # Keras's own default for the function
    if name not in _ACTIVATIONS:
        raise refuse(call, f"activation {name!r}", f"supported are {', '.join(sorted(_ACTIVATIONS))} and softmax")
    return Activation(_ACTIVATIONS[name])


def _activation_layer(call: Call) -> Steps:
    return [(_activation(call, call.layer.activation) or Reshape(), call.output_shape)]


def _function(kind: str) -> Callable[[Call], Steps]:
    return lambda call: [(Activation(kind), call.output_shape)]


def _relu(call: Call) -> Steps:
    layer = call.layer
    slope = float(layer.negative_slope or 0.0)
    limit = None if layer.max_value is None else float(layer.max_value)
    if layer.threshold or (slope and limit is not None) or (limit is not None and limit <= 0):
        raise refuse(call, f"max_value {limit}, negative_slope {slope:g}, threshold {layer.threshold}", "use ReLU, ReLU6 or LeakyReLU")
    if slope:
        return [(Activation("leaky_relu", slope=slope), call.output_shape)]
    kind = {None: "relu", 6.0: "relu6"}.get(limit, "relu_limit")
    return [(Activation(kind, limit=limit or 0.0) if kind == "relu_limit" else Activation(kind), call.output_shape)]


def _leaky_relu(call: Call) -> Steps:
    return [(Activation("leaky_relu", slope=float(call.layer.negative_slope)), call.output_shape)]


def _gelu(call: Call) -> Steps:
    if call.layer.approximate:
        raise refuse(call, "approximate", "use the exact GELU")
    return [(Activation("gelu"), call.output_shape)]


def _elu(call: Call) -> Steps:
    if float(np.ravel(getattr(call.layer, "alpha", 1.0))[0]) != 1.0:
        raise refuse(call, f"alpha {call.layer.alpha}", "use alpha 1")
    return [(Activation("elu"), call.output_shape)]


def _parametric_relu(call: Call) -> Steps:
    shape = lifted(call.output_shape)
    slopes = array(call.layer.alpha)
    slopes = slopes.reshape((1,) * (len(shape) - slopes.ndim) + slopes.shape)
    per_channel = slopes.size == slopes.shape[-1]
    wanted = (shape[-1],) if per_channel else shape
    return [(ParametricRelu(np.broadcast_to(slopes.reshape(-1) if per_channel else slopes, wanted).copy()), call.output_shape)]


def _softmax(call: Call) -> Steps:
    if np.ravel(call.layer.axis).tolist() not in ([-1], [len(call.input_shape)]):
        raise refuse(call, f"axis {call.layer.axis}", "take it over the last axis")
    return [(Softmax(), call.output_shape)]


_ACTIVATION_LAYERS: dict[str, Callable[[Call], Steps]] = {
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "PReLU": _parametric_relu,
    "Softmax": _softmax,
    "Activation": _activation_layer,
}


def _per_channel(call: Call, values: Any, what: str) -> Any:
    channels = int(call.output_shape[-1] or 1)
    found = np.asarray(values, np.float64)
    if found.size not in (1, channels) or found.size != (found.shape[-1] if found.ndim else 1):
        raise refuse(call, f"{what} for every pixel", "give one number, or one per channel")
    if call.inputs[0].shape != call.output_shape:
        raise refuse(call, f"{what} that change the shape {call.inputs[0].shape} to {call.output_shape}", "bring the map to that shape first")
    found = found.ravel()
    return np.broadcast_to(found, (channels,)).copy()


def _batch_normalization(call: Call) -> Steps:
    if call.layer.axis not in (-1, len(call.input_shape)) and list(np.ravel(call.layer.axis)) != [len(call.input_shape)]:
        raise refuse(call, f"axis {call.layer.axis}", "normalize the last axis, the channels")
    scale, shift = (_per_channel(call, values, "numbers") for values in normalization(call.layer))
    return [(ScaleShift(scale, shift), call.output_shape)]


def _rescaling(call: Call) -> Steps:
    scale, shift = (_per_channel(call, values, "numbers") for values in (call.layer.scale, call.layer.offset))
    return [(ScaleShift(scale, shift), call.output_shape)]


def _normalization(call: Call) -> Steps:
    """Keras's preprocessing layer: (x - mean) / sqrt(variance)."""
    if call.layer.invert:
        raise refuse(call, "invert", "normalize forwards")
    mean, variance = (_per_channel(call, values, "numbers") for values in (call.layer.mean, call.layer.variance))
    scale = 1.0 / np.maximum(np.sqrt(variance), 1e-7)
    return [(ScaleShift(scale, -mean * scale), call.output_shape)]


def _edges(call: Call, values: Any) -> Pads:
    require_channels_last(call)
    numbers = [int(number) for number in np.ravel(values)]
    top, bottom, left, right = (0, 0, *numbers) if len(numbers) == 2 else numbers
    return ((top, bottom), (left, right))


def _padding(call: Call) -> Steps:
    return [(Pad(_edges(call, call.layer.padding)), call.output_shape)]


def _cropping(call: Call) -> Steps:
    return [(Crop(_edges(call, call.layer.cropping)), call.output_shape)]


def _upsampling(call: Call) -> Steps:
    require_channels_last(call)
    kind = getattr(call.layer, "interpolation", "nearest")
    if kind not in ("nearest", "bilinear"):
        raise refuse(call, f"interpolation {kind!r}", "use nearest or bilinear")
    return [(Upsample(kind, pair(call.layer.size)), call.output_shape)]


def _pool(kind: str) -> Callable[[Call], Steps]:
    def steps(call: Call) -> Steps:
        size, strides = pair(call.layer.pool_size), pair(call.layer.strides)
        return [(Pool(kind, size, strides, window_pads(call, size, strides)), call.output_shape)]

    return steps


def _global_pool(kind: str) -> Callable[[Call], Steps]:
    def steps(call: Call) -> Steps:
        require_channels_last(call)
        return [(GlobalPool(kind, bool(call.layer.keepdims)), call.output_shape)]

    return steps


def _reduction(kind: str) -> Callable[[Call], Steps]:
    """`keras.ops.mean` and `max` over all but the channels."""

    def steps(call: Call) -> Steps:
        rank = len(call.input_shape)
        if getattr(call.layer, "initial", None) is not None:
            raise refuse(call, f"initial {call.layer.initial}", "leave initial away")
        axes = {int(axis) % (rank + 1) for axis in np.ravel(call.layer.axis)} if call.layer.axis is not None else set()
        if rank not in (2, 3) or axes != set(range(1, rank)):
            raise refuse(call, f"axis {call.layer.axis}", "reduce over height and width")
        return [(GlobalPool(kind, bool(call.layer.keepdims)), call.output_shape)]

    return steps


def _merge(operator: Merge) -> Callable[[Call], Steps]:
    def steps(call: Call) -> Steps:
        if len(call.inputs) == 1:
            return _with_constant(call, operator)
        shapes = [lifted(value.shape) for value in call.inputs]
        if len({len(shape) for shape in shapes}) != 1:
            raise refuse(call, f"inputs of different ranks {shapes}", "let the gate keep its map: GlobalAveragePooling2D(keepdims=True)")
        return [(operator, call.output_shape)]

    return steps


def _average(call: Call) -> Steps:
    channels = int(call.output_shape[-1] or 1)
    share = ScaleShift(np.full(channels, 1.0 / len(call.inputs)), np.zeros(channels))
    return [*_merge(Add())(call), (share, call.output_shape)]


def _with_constant(call: Call, operator: Merge) -> Steps:
    """`x + 3.0` and `x * 0.5`, as Keras's operators on tensors write them; a constant may have one number per channel."""
    constants = call.operands
    if len(constants) != 2 or not isinstance(operator, (Add, Subtract, Multiply)):
        raise refuse(call, "one input and no single constant", "write it with layers")
    first = constants[0] is not None  # the constant stands before the tensor
    number = _per_channel(call, constants[0] if first else constants[1], "a constant")
    one, zero = np.ones_like(number), np.zeros_like(number)
    if isinstance(operator, Multiply):
        return [(ScaleShift(number, zero), call.output_shape)]
    if isinstance(operator, Add):
        return [(ScaleShift(one, number), call.output_shape)]
    return [(ScaleShift(-one, number) if first else ScaleShift(one, -number), call.output_shape)]


def _divide(call: Call) -> Steps:
    constants = call.operands
    if len(call.inputs) != 1 or len(constants) != 2 or constants[1] is None:
        raise refuse(call, "its divisor is no constant", "multiply instead")
    number = _per_channel(call, constants[1], "a constant")
    return [(ScaleShift(1.0 / number, np.zeros_like(number)), call.output_shape)]


def _concatenate(call: Call) -> Steps:
    rank = len(call.output_shape)
    axis = int(call.layer.axis) % (rank + 1)
    place = axis - 1 + (1 if rank == 2 else 0)
    return [(Concatenate(-1 if axis == rank else place), call.output_shape)]


def _reshape(call: Call) -> Steps:
    require_channels_last(call)
    return [(Reshape(), call.output_shape)]


LAYERS: dict[str, Callable[[Call], Steps]] = {
    **{name: _with_activation(steps) for name, steps in KERNEL_LAYERS.items()},
    **_ACTIVATION_LAYERS,
    "BatchNormalization": _batch_normalization,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "ZeroPadding1D": _padding,
    "ZeroPadding2D": _padding,
    "Cropping1D": _cropping,
    "Cropping2D": _cropping,
    "UpSampling1D": _upsampling,
    "UpSampling2D": _upsampling,
    **{f"{name}Pooling{rank}D": _pool(kind) for name, kind in (("Max", "max"), ("Average", "average")) for rank in (1, 2)},
    **{f"Global{name}Pooling{rank}D": _global_pool(kind) for name, kind in (("Max", "max"), ("Average", "average")) for rank in (1, 2)},
    "Mean": _reduction("average"),
    "Max": _reduction("max"),
    "Add": _merge(Add()),
    "Subtract": _merge(Subtract()),
    "Multiply": _merge(Multiply()),
    "Maximum": _merge(Maximum()),
    "Minimum": _merge(Minimum()),
    "Average": _average,
    "TrueDivide": _divide,
    "Divide": _divide,
    "Concatenate": _concatenate,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "ExpandDims": _reshape,
    "Relu": _function("relu"),
    "Relu6": _function("relu6"),
    "Sigmoid": _function("sigmoid"),
    "HardSigmoid": _function("hard_sigmoid"),
    "Silu": _function("swish"),
    "HardSilu": _function("hard_swish"),
    "Tanh": _function("tanh"),
    "LeakyRelu": _leaky_relu,
    "Gelu": _gelu,
}
