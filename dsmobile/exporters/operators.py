"""What a folded network is made of: a few operators with their weights, in Keras's layouts.

They work on maps (height, width, channels) and vectors (channels,), without the batch; a sequence (length, channels) is a map of one row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # float32; float64 while it is being folded
Pads = tuple[tuple[int, int], tuple[int, int]]
NO_PADS: Pads = ((0, 0), (0, 0))


@dataclass(frozen=True, eq=False)
class Convolution:
    """A standard convolution.

    Args:
        kernel: Shape (height, width, inputs per group, outputs).
        bias: Shape (outputs,).
        strides: Down and across.
        dilation: Down and across.
        pads: Zeros above and below, left and right.
        groups: Groups of channels.
    """

    kernel: Array
    bias: Array
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: Pads = NO_PADS
    groups: int = 1


@dataclass(frozen=True, eq=False)
class DepthwiseConvolution:
    """A depthwise convolution.

    Args:
        kernel: Shape (height, width, inputs, multiplier).
        bias: Shape (inputs * multiplier,).
        strides: Down and across.
        dilation: Down and across.
        pads: Zeros above and below, left and right.
    """

    kernel: Array
    bias: Array
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: Pads = NO_PADS


@dataclass(frozen=True, eq=False)
class TransposedConvolution:
    """A transposed convolution: every pixel of the input adds its weighted window to the output, `strides` apart.

    Args:
        kernel: Shape (height, width, outputs, inputs).
        bias: Shape (outputs,).
        strides: Down and across.
        pads: What is cut off the whole output above and below, left and right; where the node's shape is larger than what is left, zeros
            follow below and on the right.
    """

    kernel: Array
    bias: Array
    strides: tuple[int, int] = (1, 1)
    pads: Pads = NO_PADS


@dataclass(frozen=True, eq=False)
class Dense:
    """A dense layer on a vector.

    Args:
        kernel: Shape (inputs, outputs).
        bias: Shape (outputs,).
    """

    kernel: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class ScaleShift:
    """x * scale + shift per channel: a batch normalization or rescaling that no convolution could take in.

    Args:
        scale: Shape (channels,).
        shift: Shape (channels,).
    """

    scale: Array
    shift: Array


@dataclass(frozen=True)
class Activation:
    """An element-wise function.

    Args:
        kind: One of `ACTIVATIONS`.
        slope: Of `leaky_relu`, below zero.
        limit: Of `relu_limit`, the highest value.
    """

    kind: str
    slope: float = 0.0
    limit: float = 0.0

    @property
    def highest(self) -> float | None:
        """Where a function that clips to 0 and above ends, infinity for `relu`; None for the others."""
        return {"relu": math.inf, "relu6": 6.0, "unit": 1.0, "relu_limit": self.limit}.get(self.kind)


@dataclass(frozen=True, eq=False)
class ParametricRelu:
    """x above zero, slope * x below. Source: He et al., arXiv:1502.01852, section 2.1.

    Args:
        slopes: Shape (channels,), or the map's own.
    """

    slopes: Array


@dataclass(frozen=True)
class Softmax:
    """Softmax over the last axis."""


@dataclass(frozen=True)
class Add:
    """The sum of values of one rank; axes of size 1 are repeated."""


@dataclass(frozen=True)
class Subtract:
    """The first of two values less the second."""


@dataclass(frozen=True)
class Multiply:
    """The product of values of one rank; a map of one pixel scales every pixel."""


@dataclass(frozen=True)
class Maximum:
    """The largest of values of one rank, element by element."""


@dataclass(frozen=True)
class Minimum:
    """The smallest of values of one rank, element by element."""


@dataclass(frozen=True)
class Concatenate:
    """Values one after another.

    Args:
        axis: -1 for the channels; 0 for rows, 1 for columns of maps.
    """

    axis: int = -1


@dataclass(frozen=True)
class Pool:
    """The largest value or the mean of windows; padding takes no part.

    Args:
        kind: `max` or `average`.
        size: Height and width of the window.
        strides: Down and across.
        pads: Above and below, left and right.
    """

    kind: str
    size: tuple[int, int]
    strides: tuple[int, int]
    pads: Pads = NO_PADS


@dataclass(frozen=True)
class GlobalPool:
    """The mean or the largest value over the map.

    Args:
        kind: `average` or `max`.
        keeps_map: Whether the result is a map of one pixel or a vector.
    """

    kind: str
    keeps_map: bool


@dataclass(frozen=True)
class Pad:
    """Zeros around the map, where no convolution could take them in."""

    pads: Pads


@dataclass(frozen=True)
class Crop:
    """The map without its edges.

    Args:
        edges: Rows above and below, columns left and right that are cut off.
    """

    edges: Pads


@dataclass(frozen=True)
class Upsample:
    """The map enlarged, pixel centres kept (half-pixel centres for `bilinear`).

    Args:
        kind: `nearest` or `bilinear`.
        factors: Down and across.
    """

    kind: str
    factors: tuple[int, int]


@dataclass(frozen=True)
class Reshape:
    """The same numbers in another shape, the node's; in the order height, width, channels."""


Weighted = Convolution | DepthwiseConvolution | TransposedConvolution | Dense
Merge = Add | Subtract | Multiply | Maximum | Minimum
Operator = Weighted | ScaleShift | Activation | ParametricRelu | Softmax | Merge | Concatenate | Pool | GlobalPool | Pad | Crop | Upsample | Reshape
ACTIVATIONS = (
    "relu", "relu6", "relu_limit", "unit", "leaky_relu", "elu", "sigmoid", "hard_sigmoid", "swish", "hard_swish", "tanh", "gelu",
)  # fmt: skip
# `unit` clips to 0..1: what is left of a hard sigmoid whose scale and shift a convolution has taken in.


def output_channels(operator: Weighted) -> Array:
    """The kernel as a matrix, shape (outputs, weights of one output): what per-channel quantization works on."""
    kernel = operator.kernel
    if isinstance(operator, DepthwiseConvolution):
        return kernel.reshape(-1, kernel.shape[2] * kernel.shape[3]).T
    if isinstance(operator, TransposedConvolution):
        return kernel.transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)
    return kernel.reshape(-1, kernel.shape[-1]).T


def from_output_channels(operator: Weighted, matrix: Array) -> Array:
    """The inverse of `output_channels`: a kernel in the operator's layout."""
    shape = operator.kernel.shape
    if isinstance(operator, TransposedConvolution):
        return np.ascontiguousarray(matrix.reshape(shape[2], shape[0], shape[1], shape[3]).transpose(1, 2, 0, 3))
    return np.ascontiguousarray(matrix.T.reshape(shape))


def same_pads(size: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> Pads:
    """The zeros that `same` padding puts around a map: more below and on the right where the sum is odd.

    Args:
        size: Height and width of the map.
        kernel: Height and width of the window.
        strides: Down and across.
        dilation: Down and across.
    """
    pads = []
    for side, window, stride, rate in zip(size[:2], kernel, strides, dilation, strict=True):
        total = max((-(-side // stride) - 1) * stride + (window - 1) * rate + 1 - side, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0], pads[1]
