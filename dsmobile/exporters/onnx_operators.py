"""Each operator of a folded network as ONNX operators on NCHW maps, in float; how what is between them is stored is the writer's matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsmobile.exporters.folded import Node
from dsmobile.exporters.operators import (
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
)

_SIMPLE = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "elu": "Elu", "hard_swish": "HardSwish"}
_MERGES = {Add: "Add", Subtract: "Sub", Multiply: "Mul", Maximum: "Max", Minimum: "Min"}


class Graph(Protocol):
    """What the functions below write to."""

    def add(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Adds a node and returns its output's name."""

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Adds an initializer and returns its name."""

    def kernel_and_bias(self, node: Node, arrange: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], axis: int) -> list[str]:
        """The names of a layer's kernel and bias; `arrange` brings a kernel into the file's layout, whose `axis` are the outputs."""

    def shape_before(self, node: Node) -> tuple[int, ...]:
        """The shape of a node's first input, without the batch."""

    def order_of(self, name: str) -> npt.NDArray[np.int64] | None:
        """Where each number of a vector stands in the file, if not where the network has it: it is a flattened map in the order C, H, W."""

    @property
    def batch(self) -> int:
        """1, or 0 in the targets of Reshape where the batch is free: as it is."""


def write_operator(graph: Graph, node: Node, inputs: list[str], output: str) -> None:
    """Adds the operators of one node."""
    _WRITERS[type(node.operator)](graph, node, node.operator, inputs, output)


def file_shape(shape: tuple[int, ...]) -> list[int]:
    """A value's shape in the file without the batch: maps channels first."""
    return [shape[2], shape[0], shape[1]] if len(shape) == 3 else list(shape)


def needs_turning(shape: tuple[int, ...]) -> bool:
    """Whether a map's numbers stand in another order channels first than channels last."""
    return len(shape) == 3 and shape[0] * shape[1] > 1 and shape[2] > 1


def _convolution(graph: Graph, node: Node, operator: Convolution, inputs: list[str], output: str) -> None:
    names = graph.kernel_and_bias(node, lambda kernel: kernel.transpose(3, 2, 0, 1), 0)
    graph.add(
        "Conv", [inputs[0], *names], output, kernel_shape=list(operator.kernel.shape[:2]), strides=list(operator.strides),
        dilations=list(operator.dilation), pads=_pads(operator.pads), group=operator.groups,
    )  # fmt: skip


def _depthwise(graph: Graph, node: Node, operator: DepthwiseConvolution, inputs: list[str], output: str) -> None:
    height, width, channels, multiplier = operator.kernel.shape
    names = graph.kernel_and_bias(node, lambda kernel: kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width), 0)
    graph.add(
        "Conv", [inputs[0], *names], output, kernel_shape=[height, width], strides=list(operator.strides), dilations=list(operator.dilation),
        pads=_pads(operator.pads), group=channels,
    )  # fmt: skip


def _transposed(graph: Graph, node: Node, operator: TransposedConvolution, inputs: list[str], output: str) -> None:
    names = graph.kernel_and_bias(node, lambda kernel: kernel.transpose(3, 2, 0, 1), 1)
    window, before = operator.kernel.shape[:2], graph.shape_before(node)
    left = [(before[axis] - 1) * operator.strides[axis] + window[axis] - sum(operator.pads[axis]) for axis in (0, 1)]
    graph.add(
        "ConvTranspose", [inputs[0], *names], output, kernel_shape=list(window), strides=list(operator.strides), pads=_pads(operator.pads),
        output_padding=[node.shape[axis] - left[axis] for axis in (0, 1)],
    )  # fmt: skip


def _dense(graph: Graph, node: Node, _operator: Dense, inputs: list[str], output: str) -> None:
    order = graph.order_of(node.inputs[0])
    names = graph.kernel_and_bias(node, lambda kernel: kernel if order is None else kernel[order], 1)
    graph.add("Gemm", [inputs[0], *names], output)


def _per_channel(node: Node, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.reshape((-1, 1, 1) if len(node.shape) == 3 else (-1,))


def _scale_shift(graph: Graph, node: Node, operator: ScaleShift, inputs: list[str], output: str) -> None:
    order = graph.order_of(node.name)
    scale, shift = (values if order is None else values[order] for values in (operator.scale, operator.shift))
    scaled = graph.add("Mul", [inputs[0], graph.constant(f"{node.name}.scales", _per_channel(node, scale))], f"{output}.scaled")
    graph.add("Add", [scaled, graph.constant(f"{node.name}.shifts", _per_channel(node, shift))], output)


def _activation(graph: Graph, _node: Node, operator: Activation, inputs: list[str], output: str) -> None:
    kind, x = operator.kind, inputs[0]
    if kind in _SIMPLE:
        graph.add(_SIMPLE[kind], [x], output)
    elif kind in ("relu6", "relu_limit", "unit"):
        assert operator.highest is not None  # noqa: S101
        graph.add("Clip", [x, _number(graph, 0.0), _number(graph, operator.highest)], output)
    elif kind == "leaky_relu":
        graph.add("LeakyRelu", [x], output, alpha=operator.slope)
    elif kind == "hard_sigmoid":
        graph.add("HardSigmoid", [x], output, alpha=1 / 6, beta=0.5)
    elif kind == "gelu":
        part = graph.add("Erf", [graph.add("Mul", [x, _number(graph, float(np.sqrt(0.5)))], f"{output}.scaled")], f"{output}.erf")
        half = graph.add("Mul", [x, _number(graph, 0.5)], f"{output}.half")
        graph.add("Mul", [half, graph.add("Add", [part, _number(graph, 1.0)], f"{output}.gate")], output)
    else:  # swish
        graph.add("Mul", [x, graph.add("Sigmoid", [x], f"{output}.gate")], output)


def _number(graph: Graph, number: float) -> str:
    return graph.constant(f".{number:.9g}", np.asarray(number, np.float32))


def _parametric(graph: Graph, node: Node, operator: ParametricRelu, inputs: list[str], output: str) -> None:
    slopes, order = operator.slopes, graph.order_of(node.name)
    if order is not None:
        slopes = slopes[order]
    stored = slopes.transpose(2, 0, 1) if slopes.ndim == 3 else _per_channel(node, slopes)
    graph.add("PRelu", [inputs[0], graph.constant(f"{node.name}.slopes", stored)], output)


def _softmax(graph: Graph, node: Node, _operator: Softmax, inputs: list[str], output: str) -> None:
    graph.add("Softmax", inputs, output, axis=1 if len(node.shape) == 3 else -1)


def _merge(graph: Graph, _node: Node, operator: Any, inputs: list[str], output: str) -> None:
    operation = _MERGES[type(operator)]
    total = inputs[0]
    for place, other in enumerate(inputs[1:], 2):
        total = graph.add(operation, [total, other], output if place == len(inputs) else f"{output}.{place}")


def _concatenate(graph: Graph, node: Node, operator: Concatenate, inputs: list[str], output: str) -> None:
    axis = 1 if len(node.shape) == 1 or operator.axis == -1 else operator.axis + 2
    graph.add("Concat", inputs, output, axis=axis)


def _pool(graph: Graph, _node: Node, operator: Pool, inputs: list[str], output: str) -> None:
    more = {"count_include_pad": 0} if operator.kind == "average" else {}
    graph.add(
        "MaxPool" if operator.kind == "max" else "AveragePool", inputs, output, kernel_shape=list(operator.size), strides=list(operator.strides),
        pads=_pads(operator.pads), **more,
    )  # fmt: skip


def _global_pool(graph: Graph, _node: Node, operator: GlobalPool, inputs: list[str], output: str) -> None:
    operation = "GlobalAveragePool" if operator.kind == "average" else "GlobalMaxPool"
    pooled = graph.add(operation, inputs, output if operator.keeps_map else f"{output}.map")
    if not operator.keeps_map:
        graph.add("Flatten", [pooled], output)


def _pad(graph: Graph, _node: Node, operator: Pad, inputs: list[str], output: str) -> None:
    (top, bottom), (left, right) = operator.pads
    graph.add("Pad", [inputs[0], graph.constant(f"{output}.pads", np.asarray([0, 0, top, left, 0, 0, bottom, right], np.int64))], output)


def _crop(graph: Graph, node: Node, operator: Crop, inputs: list[str], output: str) -> None:
    (top, _), (left, _) = operator.edges
    numbers = {"starts": [top, left], "ends": [top + node.shape[0], left + node.shape[1]], "axes": [2, 3]}
    graph.add("Slice", [inputs[0], *(graph.constant(f"{output}.{key}", np.asarray(value, np.int64)) for key, value in numbers.items())], output)


def _upsample(graph: Graph, _node: Node, operator: Upsample, inputs: list[str], output: str) -> None:
    scales = graph.constant(f"{output}.factors", np.asarray([1, 1, *operator.factors], np.float32))
    how = (
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        if operator.kind == "nearest"
        else {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    )
    graph.add("Resize", [inputs[0], "", scales], output, **how)


def _reshape(graph: Graph, node: Node, _operator: Reshape, inputs: list[str], output: str) -> None:
    """Keeps the order height, width, channels; turns maps only where that order matters."""
    before, after, x = graph.shape_before(node), node.shape, inputs[0]
    flattened = graph.order_of(node.name) is not None
    in_place = len(before) == len(after) == 3 and before[2] == after[2]
    turned_before = needs_turning(before) and not flattened and not in_place
    turned_after = needs_turning(after) and not in_place
    if turned_before:
        x = graph.add("Transpose", [x], f"{output}.nhwc", perm=[0, 2, 3, 1])
    shape = list(after) if turned_after else file_shape(after)
    target = graph.constant(f"{output}.shape", np.asarray([graph.batch, *shape], np.int64))
    reshaped = graph.add("Reshape", [x, target], f"{output}.hwc" if turned_after else output)
    if turned_after:
        graph.add("Transpose", [reshaped], output, perm=[0, 3, 1, 2])


def _pads(pads: Pads) -> list[int]:
    (top, bottom), (left, right) = pads
    return [top, left, bottom, right]


_WRITERS: dict[type, Callable[[Graph, Node, Any, list[str], str], None]] = {
    Convolution: _convolution,
    DepthwiseConvolution: _depthwise,
    TransposedConvolution: _transposed,
    Dense: _dense,
    ScaleShift: _scale_shift,
    Activation: _activation,
    ParametricRelu: _parametric,
    Softmax: _softmax,
    **dict.fromkeys(_MERGES, _merge),
    Concatenate: _concatenate,
    Pool: _pool,
    GlobalPool: _global_pool,
    Pad: _pad,
    Crop: _crop,
    Upsample: _upsample,
    Reshape: _reshape,
}
