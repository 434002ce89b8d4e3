"""A tensor of a TFLite file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value or a constant of the file.

    Args:
        name: In the file.
        shape: Batch included.
        dtype: numpy's name.
        scales: real = scale * (stored - zero_point): one, or one per channel; None where it is not quantized.
        zero_point: See scales.
        axis: The channels' axis, where there is one scale per channel.
        buffer: Where its data is; 0 for values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: npt.NDArray[np.float32] | None = None
    zero_point: int = 0
    axis: int = 0
    buffer: int = 0
