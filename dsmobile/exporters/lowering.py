"""The same network in operators that have integer kernels, so that int8 loses nothing on the way.

- Swish becomes a sigmoid and a product.
- A hard sigmoid, relu6(x + 3) / 6, becomes x / 6 + 1/2, which the convolution before it takes in, clipped to 0..1 by the integers it is stored in.
- A pointwise convolution of one pixel before a reshape to a vector, as at the end of MobileNetV3, becomes a dense layer.
- Sums and products of more than two become several of two.
- A scale and shift that no layer took in becomes a depthwise convolution of one pixel: a scale for each channel, and one rounding instead of two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsmobile.architectures.graph import free_name
from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.merging import in_float32, merge_scales
from dsmobile.exporters.operators import (
    Activation,
    Add,
    Convolution,
    Dense,
    DepthwiseConvolution,
    Maximum,
    Minimum,
    Multiply,
    Operator,
    Reshape,
    ScaleShift,
)


def lower(model: FoldedModel) -> FoldedModel:
    """Rewrites a network; in float it computes the same."""
    model = in_pairs(model)
    taken = {value.name for value in model.inputs} | {node.name for node in model}
    nodes = [part for node in model for part in _parts(node, taken)]
    nodes = _dense_at_the_end(replace(model, nodes=tuple(nodes)))
    merged = merge_scales(replace(model, nodes=tuple(nodes)))
    return in_float32(replace(merged, nodes=tuple(replace(node, operator=_as_convolution(node)) for node in merged)))


def in_pairs(model: FoldedModel) -> FoldedModel:
    """The same network with sums and products of more than two in pairs, and nothing else changed."""
    taken = {value.name for value in model.inputs} | {node.name for node in model}
    several = (Add, Multiply, Maximum, Minimum)
    parts = [_in_pairs(node, taken) if isinstance(node.operator, several) and len(node.inputs) > 2 else [node] for node in model]
    return replace(model, nodes=tuple(part for found in parts for part in found))


def _parts(node: Node, taken: set[str]) -> list[Node]:
    operator = node.operator
    if operator == Activation("swish"):
        gate = Node(_name(f"{node.name}_gate", taken), Activation("sigmoid"), node.inputs, node.shape)
        return [gate, replace(node, operator=Multiply(), inputs=(node.inputs[0], gate.name))]
    if operator == Activation("hard_sigmoid"):
        channels = node.shape[-1]
        line = ScaleShift(np.full(channels, 1 / 6, np.float32), np.full(channels, 0.5, np.float32))
        shifted = Node(_name(f"{node.name}_line", taken), line, node.inputs, node.shape)
        return [shifted, replace(node, operator=Activation("unit"), inputs=(shifted.name,))]
    return [node]


def _dense_at_the_end(model: FoldedModel) -> list[Node]:
    """A pointwise convolution of one pixel that a reshape turns into a vector is a dense layer behind that reshape."""
    changed: dict[str, Node] = {}
    for node in model:
        reader = model.sole_reader(node.name)
        operator = node.operator
        if not isinstance(operator, Convolution) or reader is None or not isinstance(reader.operator, Reshape) or len(reader.shape) != 1:
            continue
        before = model.shape_of(node.inputs[0])
        if before[:2] != (1, 1) or operator.kernel.shape[:2] != (1, 1) or operator.groups != 1:
            continue
        changed[node.name] = replace(node, operator=Reshape(), shape=(before[2],))
        changed[reader.name] = replace(reader, operator=Dense(operator.kernel[0, 0], operator.bias))
    return [changed.get(node.name, node) for node in model]


def _in_pairs(node: Node, taken: set[str]) -> list[Node]:
    """A sum of three is a sum of two and one more: each is stored by its own range."""
    parts, before = [], node.inputs[0]
    for place, other in enumerate(node.inputs[1:], 2):
        name = node.name if place == len(node.inputs) else _name(f"{node.name}_part", taken)
        parts.append(replace(node, name=name, inputs=(before, other)))
        before = name
    return parts


def _name(wanted: str, taken: set[str]) -> str:
    name = free_name(wanted, taken)
    taken.add(name)
    return name


def _as_convolution(node: Node) -> Operator:
    operator = node.operator
    if isinstance(operator, ScaleShift) and len(node.shape) == 3:
        return DepthwiseConvolution(operator.scale.reshape(1, 1, -1, 1), operator.shift)
    return operator
