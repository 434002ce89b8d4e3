"""The input that a model is measured with: seeded, realistic, the same picture for every file of one network."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

_PICTURES = (np.dtype(np.uint8), np.dtype(np.int8), np.dtype(np.int16))
_SECOND_STREAM = 1_000_003


def probe_input(seed: int, shape: Sequence[int], dtype: str, low: float = -1.0, high: float = 1.0, layout: str = "nhwc", moved: bool = False) -> Any:
    """Draws an input tensor.

    Bytes are drawn in NHWC order from numpy's `RandomState`, whose stream is frozen for ever, and mapped as an image is:
    `byte * scale + low` in float32. Integer inputs take the byte itself (uint8) or the byte less 128 (int8), which is the same
    picture where the file maps [low, high] to its whole range. An NCHW file sees the same picture, transposed.

    Args:
        seed: Seed of the generator.
        shape: The input's shape in the file's own order, batch included.
        dtype: numpy's name of the type.
        low: The real value of byte 0, for floats.
        high: The real value of byte 255, for floats.
        layout: `nchw` where a four-dimensional input has its channels first.
        moved: Whether every byte of the picture is moved by one level, up or down; indices and flags stay.

    Returns:
        A contiguous array of that shape and dtype.

    Raises:
        ValueError: No input can be drawn for the dtype.
    """
    channels_first = layout == "nchw" and len(shape) == 4
    drawn = (shape[0], shape[2], shape[3], shape[1]) if channels_first else tuple(shape)
    picture = np.random.RandomState(seed).randint(0, 256, drawn)
    if moved and (np.dtype(dtype).kind == "f" or np.dtype(dtype) in _PICTURES):
        picture = _moved(seed, picture)
    tensor = _as(picture, np.dtype(dtype), low, high)
    return np.ascontiguousarray(tensor.transpose(0, 3, 1, 2) if channels_first else tensor)


def _moved(seed: int, picture: Any) -> Any:
    """Every byte one level up or down, as a second stream says; at the ends inwards."""
    steps = np.random.RandomState((seed + _SECOND_STREAM) % 2**32).choice((-1, 1), picture.shape)
    return np.where(picture == 0, 1, np.where(picture == 255, 254, picture + steps))


def _as(picture: Any, dtype: Any, low: float, high: float) -> Any:
    if dtype.kind == "f":
        return (picture.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)).astype(dtype)
    if dtype == np.uint8:
        return picture.astype(np.uint8)
    if dtype == np.int8:
        return (picture - 128).astype(np.int8)
    if dtype == np.int16:
        return ((picture - 128) * 256).astype(np.int16)
    if dtype.kind in "iub":  # an index or a flag: 0 and 1 are the only values that every table holds
        return (picture & 1).astype(dtype)
    raise ValueError("an input of type %s cannot be drawn" % dtype)
