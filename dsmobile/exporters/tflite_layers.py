"""Layers with weights in a TFLite file: convolutions and dense layers, their kernels in TFLite's layouts, in float or as integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import Node
from dsmobile.exporters.operators import (
    NO_PADS,
    Activation,
    Convolution,
    Dense,
    DepthwiseConvolution,
    Pads,
    TransposedConvolution,
    Weighted,
    same_pads,
)
from dsmobile.exporters.tflite_graph import OURS
from dsmobile.exporters.tflite_values import Values

SAME, VALID = 0, 1
_FUSED = {"relu": 1, "relu6": 3}  # the schema's ActivationFunctionType


def convolution(values: Values, node: Node, operator: Convolution | DepthwiseConvolution) -> None:
    """A standard, grouped or depthwise convolution."""
    kernel = operator.kernel
    x, padding = padded(values, node, operator.pads, (kernel.shape[0], kernel.shape[1]), operator.strides, operator.dilation)
    options: dict[str, Any] = {
        "padding": padding, "strideH": operator.strides[0], "strideW": operator.strides[1],
        "dilationHFactor": operator.dilation[0], "dilationWFactor": operator.dilation[1],
    }  # fmt: skip
    if isinstance(operator, DepthwiseConvolution):
        code, options["depthMultiplier"] = "DEPTHWISE_CONV_2D", kernel.shape[3]
    else:
        code = "CONV_2D"
    finish(values, node, code, [x, *_weights(values, node, operator)], options)


def dense(values: Values, node: Node, operator: Dense) -> None:
    """A dense layer; one whose weights alone are integers is a convolution of one pixel, which older runtimes know with a scale per output."""
    x, weights = values.takes(node)[0], _weights(values, node, operator)
    if node.name in values.plan.widened and node.inputs[0] not in values.plan.integer_nodes:  # it takes what the integers stand for
        x = values.unpacked(values.value(node.inputs[0], values.storage(node.inputs[0])), f"{node.name}/stored")
    if not hybrid(values, node):
        finish(values, node, "FULLY_CONNECTED", [x, *weights], {})
        return
    shapes = [(1, 1, *values.model.shape_of(node.inputs[0])), (1, 1, *node.shape)]
    pixel = reshaped(values, node, x, shapes[0], values.between(node, "pixel", None, shapes[0]))
    wide = values.between(node, "wide", None, shapes[1])
    values.graph.add("CONV_2D", [pixel, *weights], wide, padding=VALID, strideH=1, strideW=1, **_clips_before_the_end(values, node))
    reshaped(values, node, wide, node.shape, values.gives(node))


def hybrid(values: Values, node: Node) -> bool:
    """Whether a layer has integer weights and takes float32."""
    return node.name in values.plan.weights and node.name not in values.plan.integer_nodes | values.plan.widened


def reshaped(values: Values, node: Node, x: int, shape: tuple[int, ...], output: int) -> int:
    """The same numbers in another shape."""
    target = values.constant(f"{node.name}/shape", np.asarray((1, *shape), np.int32))
    return values.graph.add("RESHAPE", [x, target], output, newShape=[1, *shape])


def transposed_convolution(values: Values, node: Node, operator: TransposedConvolution) -> None:
    """A transposed convolution: with `same` or no padding as one operator, otherwise whole, and its edges cut off."""
    sides = values.model.shape_of(node.inputs[0])[:2]
    kernel, strides = operator.kernel.shape[:2], operator.strides
    whole = [(side - 1) * stride + window for side, stride, window in zip(sides, strides, kernel, strict=True)]
    out = node.shape[:2]
    same = same_pads(node.shape, (kernel[0], kernel[1]), strides)
    fits_same = operator.pads == same and all(-(-size // stride) == side for size, stride, side in zip(out, strides, sides, strict=True))
    if fits_same or operator.pads == NO_PADS:
        wanted = out
    else:
        wanted = tuple(max(size, before + kept) for size, (before, _), kept in zip(whole, operator.pads, out, strict=True))
    shape = (*wanted, node.shape[2])
    target = values.constant(f"{node.name}/shape", np.asarray((1, *shape), np.int32))
    kernel_and_bias = _weights(values, node, operator)
    inputs = [target, kernel_and_bias[0], values.takes(node)[0], kernel_and_bias[1]]
    options = {"padding": SAME if fits_same else VALID, "strideH": strides[0], "strideW": strides[1]}
    if wanted == out:
        finish(values, node, "TRANSPOSE_CONV", inputs, options)
        return
    uncut = values.between(node, "whole", values.stores(node), shape)
    values.graph.add("TRANSPOSE_CONV", inputs, uncut, **options, **_clips_before_the_end(values, node))
    (top, _), (left, _) = operator.pads
    cut(values, node, uncut, (top, left), (top + out[0], left + out[1]), values.gives(node))


def cut(values: Values, node: Node, x: int, start: tuple[int, int], end: tuple[int, int], output: int) -> None:
    """A part of a map, from row and column `start` up to `end`."""
    channels = values.graph.tensors[x].shape[3]
    bounds = [(0, *start, 0), (1, *end, channels), (1, 1, 1, 1)]
    names = ("begin", "end", "strides")
    inputs = [values.constant(f"{node.name}/{name}", np.asarray(bound, np.int32)) for name, bound in zip(names, bounds, strict=True)]
    values.graph.add("STRIDED_SLICE", [x, *inputs], output)


def padded(
    values: Values, node: Node, pads: Pads, window: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """The map that a window moves over and TFLite's word for its padding; zeros that are neither `same` nor none are put around it."""
    x, shape = values.takes(node)[0], values.model.shape_of(node.inputs[0])
    if pads == NO_PADS:
        return x, VALID
    if pads == same_pads(shape, window, strides, dilation):
        return x, SAME
    (top, bottom), (left, right) = pads
    held = values.storage(node.inputs[0]) if node.name in values.plan.integer_nodes else None
    output = values.between(node, "padded", held, (shape[0] + top + bottom, shape[1] + left + right, shape[2]))
    return pad(values, node, x, pads, output), VALID


def pad(values: Values, node: Node, x: int, pads: Pads, output: int) -> int:
    """Zeros around a map."""
    return values.graph.add("PAD", [x, values.constant(f"{node.name}/pads", np.asarray([(0, 0), *pads, (0, 0)], np.int32))], output)


def finish(values: Values, node: Node, code: str, inputs: list[int], options: dict[str, Any]) -> None:
    """Adds the operator that gives a node's result, with the activation that it takes in."""
    clips, stored = _clips(values, node), values.stores(node)
    if clips is not None:
        values.graph.add(code, inputs, values.gives(node), **options, **clips)
        return
    above = values.between(node, "above_zero", stored)
    values.graph.add(code, inputs, above, **options, fusedActivationFunction=_FUSED["relu"])
    values.graph.add("MINIMUM", [above, values.scalar(f"{node.name}/limit", _limit(values, node), stored)], values.gives(node))


def _clips(values: Values, node: Node) -> dict[str, int] | None:
    """The option for the activation that a node takes in: none where integers end where it clips; None where no option does what it does."""
    activation, stored = values.plan.fused_activation(node), values.stores(node)
    if activation is None or not isinstance(activation.operator, Activation):
        return {}
    kind = activation.operator.kind
    if kind in _FUSED and not isinstance(node.operator, TransposedConvolution):  # which takes in activations from version 4 on
        return {"fusedActivationFunction": _FUSED[kind]}
    ends = stored is not None and stored.ends_at(_limit(values, node))
    if stored and ends and stored.starts_at_zero:
        return {}
    kind = "relu" if ends else kind
    return {"fusedActivationFunction": _FUSED[kind]} if kind in _FUSED else None


def _clips_before_the_end(values: Values, node: Node) -> dict[str, int]:
    """The option for the activation that a node takes in, where another operator follows inside the node."""
    clips = _clips(values, node)
    if clips is None:
        raise ConversionError(f"{node.name!r} cannot take in {values.plan.result(node)!r}", OURS)
    return clips


def _limit(values: Values, node: Node) -> float:
    activation = values.plan.fused_activation(node)
    assert activation is not None and isinstance(activation.operator, Activation)  # noqa: S101
    assert activation.operator.highest is not None  # noqa: S101
    return activation.operator.highest


def _weights(values: Values, node: Node, operator: Weighted) -> list[int]:
    """The kernel and the bias."""
    plan, name = values.plan, node.name
    stored = plan.weights.get(name)
    axis = 3 if isinstance(operator, DepthwiseConvolution) else 0
    if name in plan.integer_nodes:
        if stored is None:
            raise ConversionError(f"the layer {name!r} has no integer weights", OURS)
        bias, steps = plan.integer_bias(node)
        wide = values.storage(node.inputs[0]).dtype == "int16"
        kernel = values.graph.constant(f"{name}/kernel", _in_place(operator, stored.integers), stored.scales, axis=axis)
        return [kernel, values.graph.constant(f"{name}/bias", bias.astype(np.int64 if wide else np.int32), steps)]
    if stored is not None and name in plan.widened:
        kernel = values.graph.constant(f"{name}/kernel_int8", _in_place(operator, stored.integers), stored.scales, axis=axis)
        return [values.unpacked(kernel, f"{name}/kernel"), values.constant(f"{name}/bias", plan.real_bias(node))]
    if stored is not None:
        kernel = values.graph.constant(f"{name}/kernel_int8", _in_place(operator, stored.integers, mixed=True), stored.scales, axis=axis)
        if isinstance(operator, (DepthwiseConvolution, TransposedConvolution)):
            kernel = values.unpacked(kernel, f"{name}/kernel")  # XNNPACK, or an older runtime, has no kernel that mixes them
        return [kernel, values.constant(f"{name}/bias", operator.bias.astype(np.float32))]
    return [
        _real_constant(values, f"{name}/{part}", array) for part, array in (("kernel", _in_place(operator, operator.kernel)), ("bias", operator.bias))
    ]


def _real_constant(values: Values, name: str, array: npt.NDArray[np.float32]) -> int:
    """A constant in float32, or kept in float16 where the plan says so.

    Raises:
        ConversionError: A value is too large for float16.
    """
    if not values.plan.half:
        return values.constant(name, array.astype(np.float32))
    largest = float(np.abs(array).max(initial=0))
    if largest > np.finfo(np.float16).max:
        raise ConversionError(f"{name} holds {largest:g}, and float16 ends at 65504", "export float32 or int8 with --recipe")
    return values.unpacked(values.constant(f"{name}_float16", array.astype(np.float16)), name)


def _in_place(operator: Weighted, kernel: npt.NDArray[Any], *, mixed: bool = False) -> npt.NDArray[Any]:
    """A kernel in TFLite's layout: outputs, height, width, inputs; of depthwise convolutions 1, height, width, outputs."""
    match operator:
        case Convolution():
            return kernel.transpose(3, 0, 1, 2)
        case DepthwiseConvolution():
            return kernel.reshape(1, *kernel.shape[:2], -1)
        case TransposedConvolution():
            return kernel.transpose(2, 0, 1, 3)
        case Dense():
            return kernel.T[:, None, None] if mixed else kernel.T
