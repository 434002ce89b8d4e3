"""What a folded network is made of: a few operators with their weights, in Keras's layouts, and the order in which they run.

A folded network is a frozen value of names, shapes and numpy arrays: both exporters start from it, it can be pickled, and it needs neither
Keras nor TensorFlow. Maps are (height, width, channels), without the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
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
    """

    kind: str
    slope: float = 0.0


@dataclass(frozen=True)
class Softmax:
    """Softmax over the last axis."""


@dataclass(frozen=True)
class Add:
    """The sum of maps of one shape."""


@dataclass(frozen=True)
class Multiply:
    """The product of maps; a map of one pixel scales every pixel."""


@dataclass(frozen=True)
class Concatenate:
    """Maps one after another along the channels."""


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
class Reshape:
    """The same numbers in another shape, the node's; in the order height, width, channels."""


Operator = (
    Convolution | DepthwiseConvolution | Dense | ScaleShift | Activation | Softmax | Add | Multiply | Concatenate | Pool | GlobalPool | Pad | Reshape
)
Weighted = Convolution | DepthwiseConvolution | Dense
ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "sigmoid", "hard_sigmoid", "swish", "hard_swish", "tanh")


@dataclass(frozen=True, eq=False)
class Node:
    """One operator at its place.

    Args:
        name: Of the node and of its output.
        operator: What it does.
        inputs: Names of its inputs.
        shape: Of its output, without the batch.
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FoldedModel:
    """A network with one input and one output, folded.

    Args:
        name: The network's name.
        input_name: Of its input.
        input_shape: Without the batch.
        nodes: In the order in which they run.
        output: The node whose output is the network's.
        left: What could not be folded, and why.
    """

    name: str
    input_name: str
    input_shape: tuple[int, ...]
    nodes: tuple[Node, ...]
    output: str
    left: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a value, without the batch."""
        return self.input_shape if name == self.input_name else next(node.shape for node in self.nodes if node.name == name)

    def consumers(self, name: str) -> list[Node]:
        """The nodes that take a value."""
        return [node for node in self.nodes if name in node.inputs]

    def with_softmax(self) -> FoldedModel:
        """The same network with a softmax at its end."""
        node = Node(f"{self.output}_softmax", Softmax(), (self.output,), self.shape_of(self.output))
        return replace(self, nodes=(*self.nodes, node), output=node.name)

    def parameter_bytes(self, bytes_per_weight: int) -> int:
        """What the kernels alone take in a file."""
        return sum(node.operator.kernel.size for node in self.nodes if isinstance(node.operator, Weighted)) * bytes_per_weight


def output_channels(operator: Weighted) -> Array:
    """The kernel as a matrix, shape (outputs, weights of one output): what per-channel quantization works on."""
    kernel = operator.kernel
    if isinstance(operator, DepthwiseConvolution):
        return kernel.reshape(-1, kernel.shape[2] * kernel.shape[3]).T
    return kernel.reshape(-1, kernel.shape[-1]).T


def from_output_channels(operator: Weighted, matrix: Array) -> Array:
    """The inverse of `output_channels`: a kernel in the operator's layout."""
    return np.ascontiguousarray(matrix.T.reshape(operator.kernel.shape))


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
