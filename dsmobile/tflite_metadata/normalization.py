"""Mean and deviation with which MediaPipe makes of a byte, to the bit, what our preprocessing makes of it.

Metadata say (byte - mean) / std. MediaPipe computes something else, in float32: with low = (0 - mean) / std and high = (255 - mean) / std it is
byte * ((high - low) / 255) + low, each operation rounded. Found out with its package 1.2.2 on x86-64, where no byte differs; the tests repeat it.
Source: mediapipe/tasks/cc/components/processors/image_preprocessing_graph.cc; mediapipe/calculators/tensor/image_to_tensor_utils.cc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_BYTES = np.arange(256, dtype=np.float32)
LARGEST_ROUNDING = 0.5 + 1e-3  # of an integer: half a step, and what float32 leaves
_NEIGHBOURS = 6  # in float32's steps, to either side


@dataclass(frozen=True)
class Normalization:
    """(byte - mean) / std for all channels.

    Args:
        mean: In bytes.
        std: In bytes.
        max_abs_error: Largest difference between MediaPipe's input and ours, over all bytes.
    """

    mean: float
    std: float
    max_abs_error: float


def mediapipe_input(mean: float, std: float) -> Floats:
    """What MediaPipe makes of each byte.

    Returns:
        float32, shape (256,).
    """
    with np.errstate(all="ignore"):
        mean32, std32 = np.float32(mean), np.float32(std)
        low, high = (np.float32(0) - mean32) / std32, (np.float32(255) - mean32) / std32
        return np.asarray(_BYTES * ((high - low) / np.float32(255)) + low, np.float32)


def our_input(scale: float, offset: float) -> Floats:
    """What our preprocessing makes of each byte.

    Returns:
        float32, shape (256,).
    """
    return np.asarray(_BYTES * np.float32(scale) + np.float32(offset), np.float32)


def normalization_of(scale: float, offset: float) -> Normalization:
    """The mean and deviation that come nearest to a scale and an offset.

    Args:
        scale: Factor of a byte; positive.
        offset: Summand.

    Returns:
        The simplest pair of float32 with the smallest error: 0 for the usual scales, else a step or two of float32.
    """
    wanted = our_input(scale, offset)
    best: Normalization | None = None
    for std in _near(1.0 / scale):
        for mean in _near(-offset / scale) if offset else [0.0]:
            error = float(np.abs(mediapipe_input(mean, std) - wanted).max())
            if best is None or error < best.max_abs_error:
                best = Normalization(mean, std, error)
            if error == 0.0:
                return best
    assert best is not None  # noqa: S101
    return best


def _near(value: float) -> list[float]:
    """A number in float32 and its neighbours, nearest first."""
    with np.errstate(over="ignore"):
        found = [np.float32(value)]
    below = above = found[0]
    for _ in range(_NEIGHBOURS):
        below, above = np.nextafter(below, np.float32(-np.inf)), np.nextafter(above, np.float32(np.inf))
        found += [below, above]
    return [float(one) for one in found]


def shift_of_raw_bytes(scale: float, offset: float, quantization: tuple[float, int]) -> float:
    """How far a uint8 input's integers are from the bytes that MediaPipe puts in as they are, in integers.

    Args:
        scale: Of preprocessing: factor of a byte.
        offset: Summand.
        quantization: The input's scale and zero point.

    Returns:
        The largest distance over all bytes; up to 0.5 is rounding.
    """
    stored = our_input(scale, offset).astype(np.float64) / quantization[0] + quantization[1]
    return float(np.abs(stored - _BYTES).max())
