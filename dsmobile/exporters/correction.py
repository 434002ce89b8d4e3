"""Empirical bias correction: what rounding a layer's weights shifts its mean by is taken back in its bias.

Layer by layer, in order, two streams run beside each other: x through the network in float, xq through the network with integer weights and
stored activations. Each bias gains the mean, over inputs and pixels, of conv(x, W) - conv(xq, Wq).

Source: Nagel et al., arXiv:1906.04721, section 4.2 and appendix D (empirical bias correction).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.exporters.execution import run_node
from dsmobile.exporters.operators import Activation, FoldedModel, Node, Softmax, Weighted
from dsmobile.exporters.quantization import Range

FEWEST_INPUTS = 4  # with fewer, a bias would learn the inputs rather than the shift
MOST_INPUTS = 32


def corrected(model: FoldedModel, integer: FoldedModel, ranges: dict[str, Range], inputs: Iterable[npt.NDArray[np.float32]]) -> FoldedModel:
    """Corrects the biases of a network with integer weights.

    Args:
        model: The network in float.
        integer: The same network with weights scale * integer.
        ranges: The range of every value of `model`.
        inputs: Real-valued inputs, each of shape (1, *input_shape); `MOST_INPUTS` of them are held in memory with two layers' activations.

    Returns:
        `integer` with corrected biases; unchanged where there are fewer than `FEWEST_INPUTS` inputs.
    """
    import tensorflow as tf

    batch = [image for _, image in zip(range(MOST_INPUTS), inputs, strict=False)]
    if len(batch) < FEWEST_INPUTS:
        return integer
    x: dict[str, Any] = {model.input_name: tf.constant(np.concatenate(batch))}
    xq: dict[str, Any] = {model.input_name: _stored(x[model.input_name], ranges[model.input_name])}
    readers = {name: len(model.consumers(name)) for name in (model.input_name, *(node.name for node in model))}
    nodes = []
    for node, rounded in zip(model, integer, strict=True):
        y = run_node(model, node, [x[name] for name in node.inputs])
        yq = run_node(model, rounded, [xq[name] for name in node.inputs])
        if isinstance(rounded.operator, Weighted):
            shift = tf.reduce_mean(y - yq, axis=list(range(len(y.shape) - 1)))
            yq = yq + shift
            rounded = replace(rounded, operator=replace(rounded.operator, bias=rounded.operator.bias + shift.numpy()))
        nodes.append(rounded)
        x[node.name], xq[node.name] = y, yq if _stays_wide(model, node) else _stored(yq, ranges[node.name])
        for name in set(node.inputs):
            readers[name] -= 1
            if not readers[name]:
                del x[name], xq[name]
    return replace(integer, nodes=tuple(nodes))


def _stays_wide(model: FoldedModel, node: Node) -> bool:
    """Whether a value is not stored as int8: the sums before a ReLU, and probabilities."""
    if isinstance(node.operator, Softmax) and node.name == model.output:
        return True
    following = model.consumers(node.name)
    return (
        isinstance(node.operator, Weighted)
        and len(following) == 1
        and isinstance(following[0].operator, Activation)
        and following[0].operator.kind in ("relu", "relu6")
    )


def _stored(values: Any, extent: Range) -> Any:
    """What is left of values after they were stored as int8."""
    import tensorflow as tf

    scale, zero_point = extent.quantization()
    integers = tf.clip_by_value(tf.round(values / scale) + zero_point, -128.0, 127.0)
    return (integers - zero_point) * scale
