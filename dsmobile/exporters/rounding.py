"""Rounding by the data: of all integers near a layer's weights, those under which its output changes least on what it really takes.

For each output channel, (s q - w)' H (s q - w) is made small by cyclic coordinate descent from rounding to the nearest; H is the covariance of the
layer's inputs, of which a little of its mean diagonal is added. The covariance, not the second moment: what the mean shifts, the bias takes back.
The largest weight stays at the largest integer, so that every converter finds the same scale again.

Source: the objective is that of Nagel et al., Up or down? Adaptive rounding, arXiv:2004.10568, equation 13; the blocks are those of Frantar et al.,
GPTQ, arXiv:2210.17323, section 3.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.exporters.operators import Convolution, Dense, DepthwiseConvolution, Operator, Weighted, output_channels
from dsmobile.exporters.plan import QuantizedWeights
from dsmobile.exporters.quantization import DEAD_CHANNEL, LARGEST, from_integers

MOST_WEIGHTS = 1536  # of one output channel: the covariance has their square
DAMPING = 0.1
CYCLES = 2
BLOCK = 64
MOST_WINDOWS = 12_000
Matrix = npt.NDArray[np.float32]


def can_round(operator: Operator) -> bool:
    """Whether a layer is rounded by the data: a convolution without groups, a depthwise one, or a dense layer, not too wide."""
    if isinstance(operator, DepthwiseConvolution):
        return operator.kernel[:, :, 0, 0].size > 1
    if isinstance(operator, (Convolution, Dense)):
        grouped = isinstance(operator, Convolution) and operator.groups != 1
        return not grouped and int(operator.kernel[..., 0].size) <= MOST_WEIGHTS
    return False


def rounded(operator: Weighted, nearest: QuantizedWeights, inputs: list[Matrix], bound: int = LARGEST) -> QuantizedWeights:
    """A layer's integers, rounded by the data.

    Args:
        operator: The layer, with its weights in float.
        nearest: Its integers, rounded to the nearest.
        inputs: What it takes, as stored, each of shape (1, ...).
        bound: The largest integer.
    """
    weights = output_channels(operator).astype(np.float32)
    scales = nearest.scales
    start = (weights / scales[:, None]).round().clip(-bound, bound)
    start[np.abs(weights).max(axis=1) < DEAD_CHANNEL] = 0.0
    if isinstance(operator, DepthwiseConvolution):
        found = _descend_depthwise(weights, scales, start, _covariances(operator, inputs), bound)
    else:
        found = _descend(weights, scales, start, _covariance(_windows(operator, inputs)), bound)
    return from_integers(operator, found, scales)


def _windows(operator: Operator, inputs: list[Matrix]) -> list[Matrix]:
    """What each output pixel sees, shape (windows, weights of one output), of every input; evenly thinned out where there are too many."""
    import tensorflow as tf

    if isinstance(operator, Dense):
        return inputs
    assert isinstance(operator, (Convolution, DepthwiseConvolution))  # noqa: S101
    height, width = operator.kernel.shape[:2]
    found = []
    pixels = inputs[0].shape[1] * inputs[0].shape[2] // (operator.strides[0] * operator.strides[1])
    used = inputs[:: max(1, len(inputs) * pixels // (4 * MOST_WINDOWS))]
    for x in used:
        padded = tf.pad(x, [(0, 0), *operator.pads, (0, 0)])
        if (height, width) == (1, 1):
            windows = padded[:, :: operator.strides[0], :: operator.strides[1], :]
        else:
            windows = tf.image.extract_patches(padded, (1, height, width, 1), (1, *operator.strides, 1), (1, *operator.dilation, 1), "VALID")
        flat = windows.numpy().reshape(-1, windows.shape[-1])
        step = -(-len(flat) * len(used) // MOST_WINDOWS)
        found.append(flat[::step])
    return found


def _covariance(windows: list[Matrix]) -> Matrix:
    """The covariance of what a layer sees, damped, shape (weights, weights)."""
    mean = np.mean([part.mean(axis=0, dtype=np.float64) for part in windows], axis=0).astype(np.float32)
    total = np.zeros((mean.size, mean.size), np.float32)
    for part in windows:
        centred = part - mean
        total += centred.T @ centred
    total /= sum(len(part) for part in windows)
    diagonal = np.arange(mean.size)
    total[diagonal, diagonal] += DAMPING * float(total[diagonal, diagonal].mean()) + 1e-12
    return total


def _covariances(operator: DepthwiseConvolution, inputs: list[Matrix]) -> Matrix:
    """The same for each input channel of a depthwise convolution, shape (channels, taps, taps)."""
    channels = operator.kernel.shape[2]
    taps = operator.kernel.shape[0] * operator.kernel.shape[1]
    windows = [part.reshape(len(part), taps, channels).transpose(2, 0, 1) for part in _windows(operator, inputs)]
    count = sum(part.shape[1] for part in windows)
    mean = sum(part.sum(axis=1, keepdims=True) for part in windows) / count
    total: Any = sum((part - mean).transpose(0, 2, 1) @ (part - mean) for part in windows) / count
    diagonal = np.arange(taps)
    total[:, diagonal, diagonal] += DAMPING * total[:, diagonal, diagonal].mean(axis=1, keepdims=True) + 1e-12
    return np.asarray(total, np.float32)


def _descend(weights: Matrix, scales: Matrix, start: Matrix, covariance: Matrix, bound: int) -> Matrix:
    """Coordinate descent of all output channels beside each other, a block of coordinates at a time.

    Args:
        weights: Shape (outputs, n).
        scales: Shape (outputs,).
        start: Integers, shape (outputs, n).
        covariance: Shape (n, n).
        bound: The largest integer.
    """
    integers = start.copy()
    pinned = np.abs(start) == bound
    error = scales[:, None] * integers - weights
    slope = error @ covariance
    for _ in range(CYCLES):
        for first in range(0, weights.shape[1], BLOCK):
            block = slice(first, first + BLOCK)
            local, part, before = covariance[block, block], slope[:, block].copy(), error[:, block].copy()
            for place in range(part.shape[1]):
                column = first + place
                wanted = weights[:, column] + error[:, column] - part[:, place] / local[place, place]
                new = np.where(pinned[:, column], integers[:, column], np.rint(wanted / scales).clip(-bound, bound))
                change = scales * (new - integers[:, column])
                integers[:, column] = new
                error[:, column] += change
                part += change[:, None] * local[place]
            slope += (error[:, block] - before) @ covariance[block]
    return integers


def _descend_depthwise(weights: Matrix, scales: Matrix, start: Matrix, covariances: Matrix, bound: int) -> Matrix:
    """The same where each output channel has a covariance of its own; `covariances` has one for each input channel."""
    each = np.repeat(covariances, len(weights) // len(covariances), axis=0)
    integers = start.copy()
    pinned = np.abs(start) == bound
    error = scales[:, None] * integers - weights
    for _ in range(2 * CYCLES):
        for tap in range(weights.shape[1]):
            slope = np.einsum("ct,ct->c", error, each[:, tap])
            wanted = weights[:, tap] + error[:, tap] - slope / each[:, tap, tap]
            new = np.where(pinned[:, tap], integers[:, tap], np.rint(wanted / scales).clip(-bound, bound))
            error[:, tap] += scales * (new - integers[:, tap])
            integers[:, tap] = new
    return integers
