"""Integers for weights and activations, from which both formats are written.

Weights: symmetric per output channel, s = max|w| / 127. Activations: asymmetric per tensor, from the lowest and highest value seen, zero
included, so that padding is exact. Source: Jacob et al., arXiv:1712.05877, sections 2.1 and 3; Krishnamoorthi, arXiv:1806.08342, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.execution import execute
from dsmobile.exporters.operators import FoldedModel, Weighted, from_output_channels, output_channels

DEAD_CHANNEL = 1e-7
LARGEST = 127


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """The integers of one layer.

    Args:
        integers: int8, in the operator's own layout.
        scales: float32, shape (outputs,): weight = scale * integer.
    """

    integers: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Range:
    """The lowest and highest value of an activation, zero included."""

    low: float
    high: float

    def quantization(self) -> tuple[float, int]:
        """Scale and zero point for int8: real = scale * (integer - zero_point)."""
        scale = float(np.float32((self.high - self.low) / 255.0)) or 1.0
        zero_point = int(np.clip(np.rint(-128 - self.low / scale), -128, 127))
        return scale, zero_point


def quantize_weights(operator: Weighted, bound: int = LARGEST) -> QuantizedWeights:
    """Rounds a layer's weights to the nearest integers from -bound to bound, per output channel."""
    matrix = output_channels(operator).astype(np.float64)
    largest = np.abs(matrix).max(axis=1)
    alive = largest >= DEAD_CHANNEL
    scales = np.where(alive, largest / bound, 1.0).astype(np.float32)
    integers = np.where(alive[:, None], np.rint(matrix / scales[:, None].astype(np.float64)), 0.0)
    rounded = np.clip(integers, -bound, bound).astype(np.float32)
    return QuantizedWeights(from_output_channels(operator, rounded).astype(np.int8), scales)


def with_integer_weights(model: FoldedModel, bound: int = LARGEST) -> tuple[FoldedModel, dict[str, QuantizedWeights]]:
    """Replaces every weight by scale * integer, from which any per-channel converter finds the same integers again.

    Returns:
        The network, and the integers by node.
    """
    found: dict[str, QuantizedWeights] = {}
    nodes = []
    for node in model:
        if isinstance(node.operator, Weighted):
            weights = quantize_weights(node.operator, bound)
            found[node.name] = weights
            matrix = output_channels(replace(node.operator, kernel=weights.integers.astype(np.float32))) * weights.scales[:, None]
            node = replace(node, operator=replace(node.operator, kernel=from_output_channels(node.operator, matrix)))
        nodes.append(node)
    return replace(model, nodes=tuple(nodes)), found


def observe(model: FoldedModel, inputs: Iterable[npt.NDArray[np.float32]]) -> dict[str, Range]:
    """The range of every value of a network over calibration inputs, one at a time.

    Args:
        model: The network.
        inputs: Real-valued inputs, each of shape (1, *input_shape).

    Raises:
        ConversionError: There is no input, or a value is not finite.
    """
    import tensorflow as tf

    def extremes(image: Any) -> Any:
        values = execute(model, image)
        return tf.stack([tf.reduce_min(values[name]) for name in values]), tf.stack([tf.reduce_max(values[name]) for name in values])

    compiled = tf.function(extremes, autograph=False)
    names = [model.input_name, *(node.name for node in model)]
    low, high = np.zeros(len(names)), np.zeros(len(names))
    count = 0
    for image in inputs:
        lows, highs = compiled(tf.constant(image))
        low, high = np.minimum(low, lows.numpy()), np.maximum(high, highs.numpy())
        count += 1
    if not count:
        raise ConversionError("there is no calibration input", "give images with --calibration")
    bad = [name for name, a, b in zip(names, low, high, strict=True) if not (np.isfinite(a) and np.isfinite(b))]
    if bad:
        raise ConversionError(f"the value {bad[0]!r} of {model.name} is not finite on the calibration inputs", "check the weights and --preprocess")
    return {name: Range(float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
