"""Integers for weights, and the ranges of activations.

Weights: symmetric per output channel, s = max|w| / 127. Activations: from the lowest and highest value seen, zero included, so that padding is
exact. Source: Jacob et al., arXiv:1712.05877, sections 2.1 and 3; Krishnamoorthi, arXiv:1806.08342, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.execution import execute
from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.operators import ParametricRelu, Weighted, from_output_channels, output_channels
from dsmobile.exporters.plan import QuantizedWeights, Storage

DEAD_CHANNEL = 1e-7
LARGEST = 127
CHUNK = 4
LARGEST_VALUE = 1e18  # beyond it, products of scales leave float32
ROUNDED_AT_ONCE = 1 << 22  # weights: what a layer needs in float64 while it is rounded
REDUCED = 63  # 7-bit weights cannot saturate the 16-bit sums of x86 without VNNI
LARGEST_BIAS = 2.0**29  # in steps; leaves room in 32 bits for the correction and the sum itself
Sample = Sequence[npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Range:
    """The lowest and highest value of an activation, zero included."""

    low: float
    high: float

    def storage(self, dtype: str = "int8") -> Storage:
        """How values of this range are stored: int8 asymmetric, int16 symmetric around 0."""
        if dtype == "int16":
            return Storage("int16", _scale(max(-self.low, self.high) / 32767.0), 0)
        scale = _scale((self.high - self.low) / 255.0)
        return Storage("int8", scale, int(np.clip(np.rint(-128 - self.low / scale), -128, 127)))

    def __or__(self, other: Range) -> Range:
        """The range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


def _scale(step: float) -> float:
    return float(np.float32(step)) or 1 / 255  # of what is always 0: small, so that no kernel's ratio of scales ends


def weight_scales(operator: Weighted, input_scale: float, bound: int = LARGEST) -> npt.NDArray[np.float32]:
    """The scale of each output channel, shape (outputs,).

    A channel whose bias would not fit its integer beside weights that small gets coarser weights; a dead one, whose weights are below
    `DEAD_CHANNEL`, only has its bias.

    Args:
        operator: A layer with a kernel.
        input_scale: Of the values it takes; 0 where these are no integers.
        bound: The largest integer.
    """
    largest = np.abs(output_channels(operator)).max(axis=1).astype(np.float64)
    needed = largest / bound
    if input_scale:
        needed = np.maximum(needed, np.abs(operator.bias.astype(np.float64)) / (input_scale * LARGEST_BIAS))
    idle = float(needed.max(initial=0.0)) or 1 / bound
    return np.where(needed > 0.0, needed, idle).astype(np.float32)


def quantize_weights(operator: Weighted, input_scale: float = 0.0, bound: int = LARGEST) -> QuantizedWeights:
    """Rounds a layer's weights to the nearest integers from -bound to bound, per output channel.

    Args:
        operator: A layer with a kernel.
        input_scale: Of the values it takes; 0 where these are no integers.
        bound: The largest integer.
    """
    matrix = output_channels(operator)
    scales = weight_scales(operator, input_scale, bound)
    integers = np.zeros(matrix.shape, np.int8)
    rows = max(1, ROUNDED_AT_ONCE // matrix.shape[1])
    for first in range(0, len(matrix), rows):
        part = matrix[first : first + rows].astype(np.float64)
        alive = np.abs(part).max(axis=1) >= DEAD_CHANNEL
        rounded = np.clip(np.rint(part / scales[first : first + rows, None].astype(np.float64)), -bound, bound)
        integers[first : first + rows] = np.where(alive[:, None], rounded, 0.0)
    return from_integers(operator, integers, scales)


def quantize_slopes(operator: ParametricRelu) -> QuantizedWeights:
    """Rounds the slopes of a parametric ReLU to int8 of one scale."""
    scale = np.asarray([np.abs(operator.slopes).max() / LARGEST or 1.0], np.float32)
    return QuantizedWeights(np.rint(operator.slopes / scale).astype(np.int8), scale)


def from_integers(operator: Weighted, matrix: npt.NDArray[Any], scales: npt.NDArray[np.float32]) -> QuantizedWeights:
    """A layer's integers from those of its output channels, shape (outputs, weights of one output)."""
    return QuantizedWeights(from_output_channels(operator, matrix.astype(np.int8)), scales)


def real_kernel(operator: Weighted, weights: QuantizedWeights) -> npt.NDArray[np.float32]:
    """The kernel that the integers stand for: scale * integer, in the operator's layout."""
    matrix = output_channels(replace(operator, kernel=weights.integers.astype(np.float32))) * weights.scales[:, None]
    return from_output_channels(operator, matrix)


def observe(model: FoldedModel, inputs: Iterable[Sample]) -> dict[str, Range]:
    """The range of every value of a network over calibration inputs, a few at a time.

    Args:
        model: The network.
        inputs: Real-valued, each an array for each input of the network, shape (1, ...).

    Raises:
        ConversionError: There is no input, or a value is not finite.
    """
    import tensorflow as tf

    def extremes(sample: Any) -> Any:
        values = execute(model, sample)
        return tf.stack([tf.reduce_min(values[name]) for name in values]), tf.stack([tf.reduce_max(values[name]) for name in values])

    compiled = tf.function(extremes, autograph=False, reduce_retracing=True)
    names = [*(value.name for value in model.inputs), *(node.name for node in model)]
    low, high = np.zeros(len(names)), np.zeros(len(names))
    count = 0
    waiting = iter(inputs)
    while chunk := list(islice(waiting, CHUNK)):
        lows, highs = compiled([tf.constant(np.concatenate(arrays)) for arrays in zip(*chunk, strict=True)])
        low, high = np.minimum(low, lows.numpy()), np.maximum(high, highs.numpy())
        count += len(chunk)
    if not count:
        raise ConversionError("there is no calibration input", "give images with --calibration")
    bad = [name for name, a, b in zip(names, low, high, strict=True) if not (a > -LARGEST_VALUE and b < LARGEST_VALUE)]
    if bad:
        raise ConversionError(
            f"the value {bad[0]!r} of {model.name} is not finite, or beyond {LARGEST_VALUE:g}, on the calibration inputs",
            "check the weights and --preprocess",
        )
    return {name: Range(float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
