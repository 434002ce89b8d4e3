"""Keras's layers with kernels, as operators: convolutions of one and two dimensions, plain, depthwise, separable, transposed, and dense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dsmobile.architectures.graph import Call
from dsmobile.errors import ConversionError
from dsmobile.exporters.operators import (
    NO_PADS,
    Convolution,
    Dense,
    DepthwiseConvolution,
    Operator,
    Pads,
    TransposedConvolution,
    same_pads,
)

Shape = tuple[int | None, ...]
Steps = list[tuple[Operator, Shape]]


def refuse(call: Call, why: str, advice: str) -> ConversionError:
    """What is said of a layer that is known, but not in this form."""
    return ConversionError(f"the layer {call.layer.name!r} ({call.kind}) is not supported: {why}", advice)


def lifted(shape: Shape) -> tuple[int, ...]:
    """The shape of a value in a folded network: a sequence (length, channels) is a map of one row."""
    sizes = tuple(int(side or 0) for side in shape)
    return (1, *sizes) if len(sizes) == 2 else sizes


def pair(values: Any) -> tuple[int, int]:
    """Down and across, of a layer of one dimension or two."""
    sizes = [int(value) for value in np.ravel(values)]
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def window_pads(call: Call, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> Pads:
    """The zeros that a layer's padding puts around its map."""
    layer = call.layer
    require_channels_last(call)
    if layer.padding == "causal":
        return ((0, 0), ((kernel[1] - 1) * dilation[1], 0))
    if layer.padding not in ("same", "valid"):
        raise refuse(call, f"padding {layer.padding!r}", "use same or valid")
    return NO_PADS if layer.padding == "valid" else same_pads(lifted(call.input_shape)[:2], kernel, strides, dilation)


def require_channels_last(call: Call) -> None:
    """Raises for a layer whose maps are (channels, height, width)."""
    if getattr(call.layer, "data_format", "channels_last") not in ("channels_last", None):
        raise refuse(call, "it is channels_first", "build the model with channels_last")


def array(variable: Any) -> Any:
    """A weight in float64, in which folding is done."""
    return np.array(variable, np.float64)


def _kernel(variable: Any) -> Any:
    """A kernel of two dimensions; one of one dimension gets a row."""
    kernel = array(variable)
    return kernel[None] if kernel.ndim == 3 else kernel


def _bias(layer: Any, width: int) -> Any:
    return array(layer.bias) if layer.use_bias else np.zeros(width)


def _convolution(call: Call) -> Steps:
    layer = call.layer
    strides, dilation = pair(layer.strides), pair(layer.dilation_rate)
    kernel = _kernel(layer.kernel)
    pads = window_pads(call, pair(layer.kernel_size), strides, dilation)
    return [(Convolution(kernel, _bias(layer, kernel.shape[-1]), strides, dilation, pads, int(layer.groups)), call.output_shape)]


def _depthwise(call: Call) -> Steps:
    layer = call.layer
    strides, dilation = pair(layer.strides), pair(layer.dilation_rate)
    kernel = _kernel(layer.kernel)
    pads = window_pads(call, pair(layer.kernel_size), strides, dilation)
    return [(DepthwiseConvolution(kernel, _bias(layer, kernel.shape[2] * kernel.shape[3]), strides, dilation, pads), call.output_shape)]


def _separable(call: Call) -> Steps:
    layer = call.layer
    strides, dilation = pair(layer.strides), pair(layer.dilation_rate)
    depthwise, pointwise = _kernel(layer.depthwise_kernel), _kernel(layer.pointwise_kernel)
    width = depthwise.shape[2] * depthwise.shape[3]
    pads = window_pads(call, pair(layer.kernel_size), strides, dilation)
    first = DepthwiseConvolution(depthwise, np.zeros(width), strides, dilation, pads)
    second = Convolution(pointwise, _bias(layer, pointwise.shape[-1]))
    return [(first, (*call.output_shape[:-1], width)), (second, call.output_shape)]


def _transposed(call: Call) -> Steps:
    """Keras computes it as the gradient of a convolution from the output's size back to the input's, whose padding decides what is cut off."""
    layer = call.layer
    require_channels_last(call)
    strides = pair(layer.strides)
    if pair(layer.dilation_rate) != (1, 1):
        raise refuse(call, f"dilation_rate {layer.dilation_rate}", "use dilation 1")
    kernel = _kernel(layer.kernel)
    shape = lifted(call.output_shape)
    pads = same_pads(shape[:2], (kernel.shape[0], kernel.shape[1]), strides) if layer.padding == "same" else NO_PADS
    return [(TransposedConvolution(kernel, _bias(layer, kernel.shape[2]), strides, pads), call.output_shape)]


def _dense(call: Call) -> Steps:
    """On a map, a dense layer works on every pixel alone: a pointwise convolution."""
    kernel = array(call.layer.kernel)
    bias = _bias(call.layer, kernel.shape[-1])
    on_map = len(lifted(call.input_shape)) == 3
    return [(Convolution(kernel[None, None], bias) if on_map else Dense(kernel, bias), call.output_shape)]


KERNEL_LAYERS: dict[str, Callable[[Call], Steps]] = {
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "Conv1DTranspose": _transposed,
    "Conv2DTranspose": _transposed,
    "Dense": _dense,
}
