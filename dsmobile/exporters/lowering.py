"""The same network in operators that have integer kernels, so that int8 loses nothing on the way.

- Swish becomes a sigmoid and a product.
- A hard sigmoid, relu6(x + 3) / 6, becomes x / 6 + 1/2, which the convolution before it takes in, clipped to 0..1 by the integers it is stored in.
- A scale and shift that no layer took in becomes a depthwise convolution of one pixel: a scale for each channel, and one rounding instead of two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsmobile.exporters.merging import in_float32, merge_scales
from dsmobile.exporters.operators import Activation, DepthwiseConvolution, FoldedModel, Multiply, Node, Operator, ScaleShift


def lower(model: FoldedModel) -> FoldedModel:
    """Rewrites a network; in float it computes the same."""
    nodes = [part for node in model for part in _parts(node)]
    merged = merge_scales(replace(model, nodes=tuple(nodes)))
    return in_float32(replace(merged, nodes=tuple(replace(node, operator=_as_convolution(node)) for node in merged)))


def _parts(node: Node) -> list[Node]:
    operator = node.operator
    if operator == Activation("swish"):
        gate = Node(f"{node.name}_gate", Activation("sigmoid"), node.inputs, node.shape)
        return [gate, replace(node, operator=Multiply(), inputs=(node.inputs[0], gate.name))]
    if operator == Activation("hard_sigmoid"):
        channels = node.shape[-1]
        line = ScaleShift(np.full(channels, 1 / 6, np.float32), np.full(channels, 0.5, np.float32))
        shifted = Node(f"{node.name}_line", line, node.inputs, node.shape)
        return [shifted, replace(node, operator=Activation("unit"), inputs=(shifted.name,))]
    return [node]


def _as_convolution(node: Node) -> Operator:
    operator = node.operator
    if isinstance(operator, ScaleShift) and len(node.shape) == 3:
        return DepthwiseConvolution(operator.scale.reshape(1, 1, -1, 1), operator.shift)
    return operator
