"""Operators without weights in a TFLite file: activations, merges, pools, changes of shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import Node
from dsmobile.exporters.operators import (
    NO_PADS,
    Activation,
    Add,
    Concatenate,
    Crop,
    GlobalPool,
    Maximum,
    Merge,
    Minimum,
    Multiply,
    Pad,
    ParametricRelu,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    Subtract,
    Upsample,
)
from dsmobile.exporters.plan import Storage
from dsmobile.exporters.tflite_graph import OURS
from dsmobile.exporters.tflite_kernels import FIXED_STORAGE
from dsmobile.exporters.tflite_layers import VALID, cut, finish, pad, padded, reshaped
from dsmobile.exporters.tflite_values import Values

_ONE_TO_ONE = {"elu": "ELU", "hard_swish": "HARD_SWISH"}
_KIND = {"LOGISTIC": "sigmoid", "TANH": "tanh", "SOFTMAX": "softmax"}
_MERGES = {Add: "ADD", Subtract: "SUB", Multiply: "MUL", Maximum: "MAXIMUM", Minimum: "MINIMUM"}


# activations


def activation(values: Values, node: Node, operator: Activation) -> None:
    """An element-wise function."""
    kind = operator.kind
    if kind in _ONE_TO_ONE:
        finish(values, node, _ONE_TO_ONE[kind], values.takes(node), {})
    elif kind == "leaky_relu":
        finish(values, node, "LEAKY_RELU", values.takes(node), {"alpha": operator.slope})
    elif kind == "gelu":
        finish(values, node, "GELU", values.takes(node), {"approximate": False})
    elif kind in ("sigmoid", "tanh"):
        _of_fixed_scale(values, node, "LOGISTIC" if kind == "sigmoid" else "TANH")
    elif operator.highest is not None:
        _clipped(values, node, operator.highest)
    elif values.stores(node):
        raise ConversionError(f"TFLite has no integer kernel for the {kind} of {node.name!r}", OURS)
    elif kind == "swish":
        x = values.takes(node)[0]
        gate = values.graph.add("LOGISTIC", [x], values.between(node, "gate", None))
        finish(values, node, "MUL", [x, gate], {})
    else:
        _hard_sigmoid(values, node)


def softmax(values: Values, node: Node, _: Softmax) -> None:
    """Softmax over the last axis."""
    _of_fixed_scale(values, node, "SOFTMAX", beta=1.0)


def parametric_relu(values: Values, node: Node, operator: ParametricRelu) -> None:
    """x above zero, slope * x below."""
    name = f"{node.name}/slopes"
    if values.stores(node) is None:
        slopes = values.constant(name, _of_rank(operator.slopes.astype(np.float32), node))
    else:
        stored = values.plan.weights.get(node.name)
        if stored is None or stored.scales.size != 1:
            raise ConversionError(f"the slopes of {node.name!r} have no integers of one scale", OURS)
        slopes = values.graph.constant(name, _of_rank(stored.integers, node), stored.scales)
    finish(values, node, "PRELU", [*values.takes(node), slopes], {})


def _of_rank(array: npt.NDArray[Any], node: Node) -> npt.NDArray[Any]:
    """An array with the axes of a node's result, those in front of its own of size 1."""
    return array.reshape((1,) * (len(node.shape) - array.ndim) + array.shape)


def scale_shift(values: Values, node: Node, operator: ScaleShift) -> None:
    """x * scale + shift per channel."""
    if values.stores(node):
        raise ConversionError(f"the integers of {node.name!r} have no scale and shift", OURS)
    scale = values.constant(f"{node.name}/scale", operator.scale.astype(np.float32))
    shift = values.constant(f"{node.name}/shift", operator.shift.astype(np.float32))
    scaled = values.graph.add("MUL", [*values.takes(node), scale], values.between(node, "scaled", None))
    finish(values, node, "ADD", [scaled, shift], {})


def _of_fixed_scale(values: Values, node: Node, code: str, **options: Any) -> None:
    """Functions whose integers mean the same in every file."""
    stored = values.stores(node)
    if stored and stored != (fixed := FIXED_STORAGE[_KIND[code]][stored.dtype]):
        raise ConversionError(f"{node.name!r} is stored as {stored}, and TFLite's {code} writes {fixed}", OURS)
    finish(values, node, code, values.takes(node), options)


def _clipped(values: Values, node: Node, limit: float) -> None:
    """Clips to 0..limit. Integers that end there need no more than a change of storage, which XNNPACK takes and an integer RELU it does not."""
    stored = values.stores(node)
    ends = limit == math.inf if stored is None else stored.ends_at(limit)
    if stored and ends and stored.starts_at_zero:
        finish(values, node, "QUANTIZE", values.takes(node), {})
    elif ends:
        finish(values, node, "RELU", values.takes(node), {})
    elif limit == 6.0:
        finish(values, node, "RELU6", values.takes(node), {})
    else:
        above = values.graph.add("RELU", values.takes(node), values.between(node, "above_zero", stored))
        finish(values, node, "MINIMUM", [above, values.scalar(f"{node.name}/limit", limit, stored)], {})


def _hard_sigmoid(values: Values, node: Node) -> None:
    three, sixth = values.scalar(f"{node.name}/three", 3.0, None), values.scalar(f"{node.name}/sixth", 1 / 6, None)
    clipped = values.between(node, "clipped", None)
    values.graph.add("ADD", [*values.takes(node), three], clipped, fusedActivationFunction=3)
    finish(values, node, "MUL", [clipped, sixth], {})


# merges


def merge(values: Values, node: Node, operator: Merge) -> None:
    """Sums, differences, products, the largest and the smallest of values."""
    code, stored = _MERGES[type(operator)], values.stores(node)
    ordered = isinstance(operator, (Maximum, Minimum))
    options = {"potScaleInt16": False} if isinstance(operator, (Add, Subtract)) else {}
    total, *others = values.takes(node, stored if ordered else None)
    if not others:
        raise ConversionError(f"{node.name!r} merges one value", OURS)
    if stored and isinstance(operator, (Subtract, Multiply)) and len(others) > 1:
        raise ConversionError(f"{node.name!r} has more than two values, whose products between have no storage", OURS)
    for place, other in enumerate(others[:-1], 2):
        shape = np.broadcast_shapes(*(values.graph.tensors[tensor].shape for tensor in (total, other)))[1:]
        held = _wide(values, total, other, stored) if stored and isinstance(operator, Add) else stored
        total = values.graph.add(code, [total, other], values.between(node, f"first_{place}", held, shape), **options)
    finish(values, node, code, [total, others[-1]], options)


def _wide(values: Values, first: int, second: int, stored: Storage) -> Storage:
    """A storage that holds every sum of two stored values."""
    ends = [values.held(tensor).bounds for tensor in (first, second)]
    low, high = ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]
    if stored.dtype == "int16":
        return Storage("int16", max(-low, high) / 32767, 0)
    scale = (high - low) / 255
    return Storage("int8", scale, round(-128 - low / scale))


def concatenate(values: Values, node: Node, operator: Concatenate) -> None:
    """Values one after another; integers have to be stored alike."""
    axis = operator.axis + 1 if operator.axis >= 0 else len(node.shape) + 1 + operator.axis
    finish(values, node, "CONCATENATION", values.takes(node, values.stores(node)), {"axis": axis})


# pools and changes of shape: integers keep their storage, and change it afterwards if they have to


def pool(values: Values, node: Node, operator: Pool) -> None:
    """The largest value or the mean of windows."""
    x, padding = padded(values, node, operator.pads, operator.size, operator.strides)
    if padding == VALID and operator.pads != NO_PADS:
        raise ConversionError(f"{node.name!r} pools with the padding {operator.pads}", "use padding='same' or 'valid'")
    code = "MAX_POOL_2D" if operator.kind == "max" else "AVERAGE_POOL_2D"
    (strides_h, strides_w), (height, width) = operator.strides, operator.size
    _kept(
        values, node, code, [x], padding=padding, strideH=strides_h, strideW=strides_w, filterHeight=height, filterWidth=width
    )  # fmt: skip


def global_pool(values: Values, node: Node, operator: GlobalPool) -> None:
    """The mean or the largest value over the map."""
    axes = values.constant(f"{node.name}/axes", np.asarray([1, 2], np.int32))
    if operator.kind == "average":
        finish(values, node, "MEAN", [*values.takes(node), axes], {"keepDims": operator.keeps_map})
    else:
        _kept(values, node, "REDUCE_MAX", [*values.takes(node), axes], keepDims=operator.keeps_map)


def zeros_around(values: Values, node: Node, operator: Pad) -> None:
    """Zeros around the map."""
    output = _same_storage(values, node)
    pad(values, node, values.takes(node)[0], operator.pads, output)
    _restore(values, node, output)


def crop(values: Values, node: Node, operator: Crop) -> None:
    """The map without its edges."""
    (top, _), (left, _) = operator.edges
    output = _same_storage(values, node)
    cut(values, node, values.takes(node)[0], (top, left), (top + node.shape[0], left + node.shape[1]), output)
    _restore(values, node, output)


def upsample(values: Values, node: Node, operator: Upsample) -> None:
    """The map enlarged."""
    size = values.constant(f"{node.name}/size", np.asarray(node.shape[:2], np.int32))
    code = "RESIZE_BILINEAR" if operator.kind == "bilinear" else "RESIZE_NEAREST_NEIGHBOR"
    _kept(values, node, code, [*values.takes(node), size], alignCorners=False, halfPixelCenters=operator.kind == "bilinear")


def reshape(values: Values, node: Node, _: Reshape) -> None:
    """The same numbers in another shape."""
    output = _same_storage(values, node)
    reshaped(values, node, values.takes(node)[0], node.shape, output)
    _restore(values, node, output)


def _kept(values: Values, node: Node, code: str, inputs: list[int], **options: Any) -> None:
    output = _same_storage(values, node)
    values.graph.add(code, inputs, output, **options)
    _restore(values, node, output)


def _same_storage(values: Values, node: Node) -> int:
    """A tensor for a node's result that is stored as its input is."""
    stored = values.stores(node)
    held = values.storage(node.inputs[0]) if stored else None
    return values.gives(node) if held == stored else values.between(node, "kept", held)


def _restore(values: Values, node: Node, output: int) -> None:
    stored = values.stores(node)
    if stored and stored != values.storage(node.inputs[0]):
        values.graph.add("QUANTIZE", [output], values.gives(node))
