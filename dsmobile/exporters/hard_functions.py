"""Hard-sigmoid and hard-swish written out as `relu6(x + 3) / 6`, found again, so that runtimes can take their own kernels.

Source: Searching for MobileNetV3, arXiv:1905.02244, section 5.2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.operators import Activation, Multiply, ScaleShift


def find_hard_functions(model: FoldedModel) -> FoldedModel:
    """Replaces `relu6(x + 3) * (1 / 6)` by hard-sigmoid, and `x * hard_sigmoid(x)` by hard-swish."""
    return _gather_swish(_gather_sigmoid(model))


def _gather_sigmoid(model: FoldedModel) -> FoldedModel:
    nodes = {node.name: node for node in model}
    for last in model:
        clipped = nodes.get(last.inputs[0])
        shifted = nodes.get(clipped.inputs[0]) if clipped else None
        if clipped is None or shifted is None or not (_is(last, 1 / 6, 0.0) and clipped.operator == Activation("relu6") and _is(shifted, 1.0, 3.0)):
            continue
        if any(model.sole_reader(node.name) is None for node in (clipped, shifted)):
            continue
        nodes[last.name] = replace(last, operator=Activation("hard_sigmoid"), inputs=shifted.inputs)
        del nodes[clipped.name], nodes[shifted.name]
    return replace(model, nodes=tuple(nodes[node.name] for node in model if node.name in nodes))


def _gather_swish(model: FoldedModel) -> FoldedModel:
    nodes = {node.name: node for node in model}
    for product in model:
        if not isinstance(product.operator, Multiply) or len(product.inputs) != 2:
            continue
        for value, gate_name in (product.inputs, product.inputs[::-1]):
            gate = nodes.get(gate_name)
            if gate and gate.operator == Activation("hard_sigmoid") and gate.inputs == (value,) and model.sole_reader(gate_name) is product:
                nodes[product.name] = replace(product, operator=Activation("hard_swish"), inputs=(value,))
                del nodes[gate_name]
                break
    return replace(model, nodes=tuple(nodes[node.name] for node in model if node.name in nodes))


def _is(node: Node, scale: float, shift: float) -> bool:
    operator = node.operator
    return isinstance(operator, ScaleShift) and np.allclose(operator.scale, scale, rtol=1e-6) and np.allclose(operator.shift, shift, atol=1e-6)
