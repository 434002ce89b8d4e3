"""What is known of a layer after many inputs: sums over the float stream and the quantized one, and the figures that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """How a tensor is stored.

    Args:
        dtype: numpy's name.
        scale: real = scale * (stored - zero_point); None where it is float.
        zero_point: See scale.
    """

    dtype: str
    scale: float | None = None
    zero_point: int = 0

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and highest real value that it can hold; infinite where it is float."""
        if self.scale is None:
            return -math.inf, math.inf
        limits = np.iinfo(self.dtype)
        return self.scale * (int(limits.min) - self.zero_point), self.scale * (int(limits.max) - self.zero_point)

    def real(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The real values that stored ones stand for."""
        if self.scale is None:
            return stored.astype(np.float32)
        return (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)

    def store(self, real: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Real values as they are stored: rounded half to even and clipped."""
        if self.scale is None:
            return real.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        stored: npt.NDArray[Any] = np.clip(np.rint(real / np.float32(self.scale)) + self.zero_point, limits.min, limits.max).astype(self.dtype)
        return stored


class Difference:
    """Two streams of one tensor, input by input.

    Args:
        stored: How the quantized stream stores it.
    """

    def __init__(self, stored: Stored) -> None:
        """Nothing seen yet."""
        self.stored = stored
        self.count = self.outside = 0
        self.signal = self.noise = 0.0
        self._total: Doubles | float = 0.0
        self._shift: Doubles | float = 0.0
        self._low: Doubles | float = math.inf
        self._high: Doubles | float = -math.inf

    def add(self, real: npt.NDArray[np.float32], quantized: npt.NDArray[np.float32]) -> None:
        """Sees one input.

        Args:
            real: Of the float stream, shape (..., channels).
            quantized: Of the quantized stream, as real values.
        """
        x = real.reshape(-1, real.shape[-1] if real.ndim else 1)
        error = quantized.reshape(x.shape) - x
        self.count += x.size
        self.signal += float(np.einsum("pc,pc->", x, x, dtype=np.float64))
        self.noise += float(np.einsum("pc,pc->", error, error, dtype=np.float64))
        self._total = self._total + x.sum(axis=0, dtype=np.float64)
        self._shift = self._shift + error.sum(axis=0, dtype=np.float64)
        self._low, self._high = np.minimum(self._low, x.min(axis=0)), np.maximum(self._high, x.max(axis=0))
        if self.stored.scale is not None:
            low, high = self.stored.bounds
            step = 1.01 * self.stored.scale  # a range is moved by up to half a step, so that 0 is stored exactly
            self.outside += int(np.count_nonzero((x < low - step) | (x > high + step)))

    def figures(self) -> dict[str, Any]:
        """What the sums say; see `dsmobile.diagnosis.diagnosis.Layer`."""
        shift, total, low, high = (np.atleast_1d(np.asarray(value)) for value in (self._shift, self._total, self._low, self._high))
        per_channel = max(self.count // len(shift), 1)
        deviation = math.sqrt(max(self.signal / max(self.count, 1) - (float(total.sum()) / max(self.count, 1)) ** 2, 0.0))
        widths = high - low
        alive = widths[widths > 0.0]
        found: dict[str, Any] = {
            "sqnr_db": decibels(self.signal, self.noise),
            "mean_shift": float(np.abs(shift).max()) / per_channel / deviation if deviation else 0.0,
            "mean_share": float(np.square(shift).sum()) / per_channel / self.noise if self.noise else 0.0,
            "activation_spread": float(alive.max() / np.median(alive)) if alive.size else 1.0,
            "low": float(low.min()),
            "high": float(high.max()),
            "stored_low": None,
            "stored_high": None,
            "range_use": None,
            "saturation": None,
        }
        if self.stored.scale is not None:
            least, most = self.stored.bounds
            used = min(max(found["high"], 0.0), most) - max(min(found["low"], 0.0), least)
            found |= {"stored_low": least, "stored_high": most, "range_use": max(used, 0.0) / (most - least), "saturation": self.outside / self.count}
        return found


def decibels(signal: float, noise: float) -> float | None:
    """Signal to quantization noise ratio in dB; None where there is no noise, or no signal."""
    return 10.0 * math.log10(signal / noise) if noise > 0.0 and signal > 0.0 else None
