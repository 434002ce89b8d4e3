"""Pixels: decoding, resizing and colours in integer arithmetic, the same in Python and in Kotlin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsmobile.errors import DataError

Bytes = npt.NDArray[np.uint8]
_PRECISION_BITS = 22


def decode(path: Path) -> Bytes:
    """Decodes an image file to RGB bytes, upright as its EXIF orientation says.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        DataError: The file is no image, is cut short, or is too large.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I;16"):  # 16-bit grey: the upper byte, which Pillow itself would clip at 255
                grey = (np.asarray(image) >> 8).astype(np.uint8)
                return np.repeat(grey[..., None], 3, -1)
            if image.mode in ("I", "F"):
                raise DataError(f"{path} holds numbers of 32 bits, not bytes", "save it with 8 or 16 bits per channel, or give an .npz of inputs")
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}", "remove it, or replace it by a whole JPEG or PNG") from error


def shorter_side_to(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width with the shorter one equal to `side`; the longer is rounded half up."""
    short = min(height, width)
    return tuple((2 * length * side + short) // (2 * short) for length in (height, width))  # type: ignore[return-value]


def in_colour(image: Bytes, colour: str) -> Bytes:
    """RGB bytes, shape (height, width, 3), as `rgb`, `bgr` or `grey` (shape (height, width, 1))."""
    if colour == "bgr":
        return image[..., ::-1]
    if colour == "grey":
        red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
        return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[..., None]
    return image


def resample(image: Bytes, height: int, width: int) -> Bytes:
    """Bilinear resizing in integers: along the rows, then down the columns, each pass rounded half up to a byte.

    The filter is a triangle as wide as the larger of one source pixel and one target pixel, so that shrinking averages and does not
    alias; its weights are 22-bit integers. Each pass equals Pillow's `BILINEAR` along that
    axis byte for byte (Pillow itself begins, from version 13 on, with whichever axis is cheaper; here it is always the rows).

    Args:
        image: Bytes, shape (height, width, channels).
        height: Rows wanted.
        width: Columns wanted.
    """
    if image.shape[1] != width:
        image = _down_columns(image.transpose(1, 0, 2), width).transpose(1, 0, 2)
    if image.shape[0] != height:
        image = _down_columns(image, height)
    return np.ascontiguousarray(image)


def _down_columns(image: Bytes, height: int) -> Bytes:
    rows = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    first, weights = triangle_weights(len(rows), height)
    resized = np.empty((height, rows.shape[1]), np.uint8)
    for row, start in enumerate(first):  # one at a time, so that its few source rows stay in the cache
        source = rows[start : start + weights.shape[1]]
        total = np.einsum("t,tn->n", weights[row, : len(source)], source.astype(np.int32))  # beyond the end the weight is 0
        total += 1 << (_PRECISION_BITS - 1)
        resized[row] = np.clip(total >> _PRECISION_BITS, 0, 255)
    return resized.reshape(height, *image.shape[1:])


def triangle_weights(source: int, target: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Which source pixels make each target pixel, and with which 22-bit integer weights.

    Args:
        source: Pixels along one side before.
        target: Pixels along that side after.

    Returns:
        The first source pixel of each target pixel, shape (target,), and the weights, shape (target, taps).
    """
    scale = source / target
    support = max(scale, 1.0)
    taps = int(np.ceil(support)) * 2 + 1
    first = np.zeros(target, np.int64)
    weights = np.zeros((target, taps), np.int32)
    for pixel in range(target):
        centre = (pixel + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), source)
        raw = [max(0.0, 1.0 - abs((x - centre + 0.5) * (1.0 / support))) for x in range(low, high)]
        total = 0.0
        for value in raw:  # not sum(): from Python 3.12 on it compensates, and neither Pillow nor Kotlin does
            total += value
        first[pixel] = low
        weights[pixel, : high - low] = [int(0.5 + value / total * (1 << _PRECISION_BITS)) for value in raw]
    return first, weights
