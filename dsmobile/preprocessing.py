"""From RGB bytes to a network's input: one versioned value that calibration, evaluation, golden vectors and Kotlin share.

Written `resize=256,crop=224,scale=-1..1`, or the same keys in a TOML file. Exactness is promised from the decoded RGB bytes on:
every step is integer arithmetic, but for the last, which is one float32 multiplication and one float32 addition.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import DataError, nearest
from dsmobile.pixels import Bytes, in_colour, resample, shorter_side_to

SCHEMA = "dsmobile.preprocessing/1"
HOW = 'give it as --preprocess "resize=256,crop=224,scale=-1..1" (scale: -1..1, 0..1 or 0..255) or as a TOML file with these keys'
COLOURS = {"rgb": 3, "bgr": 3, "grey": 1}
LAYOUTS = ("nhwc", "nchw")
DTYPES = ("float32",)
KEYS = ("resize", "crop", "colour", "scale", "offset", "mean", "std", "dtype", "layout")
_LARGEST_SIDE = 8192

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image's RGB bytes before the network sees them.

    Args:
        resize: The shorter side is scaled to this many pixels; None leaves the image as it is.
        crop: Height and width in pixels of the centre that is kept; None keeps everything.
        colour: `rgb`, `bgr` or `grey` (ITU-R 601-2 luma).
        scale: Factor per channel, or one for all.
        offset: Summand per channel, or one for all: input = byte * scale + offset, in float32.
        dtype: `float32`; what an integer input needs is in the file itself.
        layout: `nhwc` or `nchw`.
    """

    resize: int | None = None
    crop: tuple[int, int] | None = None
    colour: str = "rgb"
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    dtype: str = "float32"
    layout: str = "nhwc"

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise DataError(f"preprocessing: colour {self.colour!r} is not known", nearest(self.colour, COLOURS))
        if self.layout not in LAYOUTS:
            raise DataError(f"preprocessing: layout {self.layout!r} is not known", nearest(self.layout, LAYOUTS))
        if self.dtype not in DTYPES:
            raise DataError(f"preprocessing: dtype {self.dtype!r} is not known", nearest(self.dtype, DTYPES))
        for key, values in (("scale", self.scale), ("offset", self.offset)):
            if len(values) not in (1, self.channels):
                raise DataError(f"preprocessing: {key} has {len(values)} values for {self.channels} channels", "give one value, or one per channel")
            if not np.isfinite(values).all():
                raise DataError(f"preprocessing: {key} {values} is not finite", HOW)
        if 0.0 in self.scale:
            raise DataError("preprocessing: a scale of 0 erases the image", HOW)
        sides = [side for side in (self.resize, *(self.crop or ())) if side is not None]
        if any(not 1 <= side <= _LARGEST_SIDE for side in sides):
            raise DataError(f"preprocessing: sizes {sides} are not all between 1 and {_LARGEST_SIDE} pixels", HOW)
        if self.resize is not None and self.crop is not None and max(self.crop) > self.resize:
            raise DataError(
                f"preprocessing: the crop of {self.crop[0]} x {self.crop[1]} does not fit into a shorter side of {self.resize} pixels",
                "give a resize at least as large as the crop",
            )

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return COLOURS[self.colour]

    @property
    def input_range(self) -> tuple[float, float]:
        """The lowest and highest value an input can take."""
        ends = [value for s, o in zip(*self._per_channel(), strict=True) for value in (o, 255.0 * s + o)]
        return float(min(ends)), float(max(ends))

    def _per_channel(self) -> tuple[Floats, Floats]:
        scale, offset = (np.asarray(values, np.float32) for values in (self.scale, self.offset))
        return np.broadcast_to(scale, (self.channels,)), np.broadcast_to(offset, (self.channels,))

    def geometry(self, image: Bytes) -> Bytes:
        """Resizes, crops and orders the colours; still bytes.

        Args:
            image: RGB bytes, shape (height, width, 3).

        Returns:
            Bytes, shape (crop height, crop width, channels).

        Raises:
            DataError: The crop does not fit into the image.
        """
        height, width = image.shape[:2]
        if self.resize is not None:
            height, width = shorter_side_to(height, width, self.resize)
            image = resample(image, height, width)
        if self.crop is not None:
            crop_height, crop_width = self.crop
            if crop_height > height or crop_width > width:
                raise DataError(f"a crop of {crop_height} x {crop_width} does not fit into an image of {height} x {width} pixels", "give a resize")
            top, left = (height - crop_height) // 2, (width - crop_width) // 2
            image = image[top : top + crop_height, left : left + crop_width]
        return in_colour(image, self.colour)

    def numbers(self, image: Bytes) -> Floats:
        """The last step: byte * scale + offset, each operation rounded to float32.

        Args:
            image: Bytes, shape (height, width, channels).

        Returns:
            float32, shape (1, height, width, channels), or (1, channels, height, width) for the layout `nchw`.
        """
        scale, offset = self._per_channel()
        tensor = (image.astype(np.float32) * scale + offset)[None]
        return np.ascontiguousarray(tensor.transpose(0, 3, 1, 2) if self.layout == "nchw" else tensor)

    def __call__(self, image: Bytes) -> Floats:
        """RGB bytes, shape (height, width, 3), to the network's input."""
        return self.numbers(self.geometry(image))

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "schema": SCHEMA,
            "resize": self.resize,
            "crop": list(self.crop) if self.crop else None,
            "colour": self.colour,
            "scale": list(self.scale),
            "offset": list(self.offset),
            "dtype": self.dtype,
            "layout": self.layout,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Preprocessing:
        """Reads the JSON form.

        Raises:
            DataError: Another schema, or values that make no sense.
        """
        if document.get("schema") != SCHEMA:
            raise DataError(f"preprocessing has the schema {document.get('schema')!r}, not {SCHEMA!r}", "export the model again")
        crop, numbers = document["crop"], [*document["scale"], *document["offset"]]
        sides = [side for side in (document["resize"], *(crop or ())) if side is not None]
        if any(type(side) is not int for side in sides) or any(type(number) not in (int, float) for number in numbers):
            raise DataError(f"preprocessing: {str([*sides, *numbers])[:120]} are not all numbers, and whole ones for the sizes", HOW)
        return cls(
            resize=document["resize"],
            crop=(crop[0], crop[1]) if crop else None,
            colour=document["colour"],
            scale=tuple(document["scale"]),
            offset=tuple(document["offset"]),
            dtype=document["dtype"],
            layout=document["layout"],
        )


def for_range(low: float, high: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and offset that take the bytes 0..255 to low..high."""
    return ((high - low) / 255.0,), (float(low),)


def parse(text: str) -> Preprocessing:
    """Reads what a person gave as `--preprocess`.

    Args:
        text: `key=value,...` or the path of a TOML file with the same keys.

    Raises:
        DataError: An unknown key or a value that cannot be read.
    """
    if text.endswith(".toml"):
        return _from_pairs(_read_toml(Path(text)))
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not value:
            raise DataError(f"--preprocess: {part!r} is not KEY=VALUE", HOW)
        if key in pairs:
            raise DataError(f"--preprocess: {key} is given twice", HOW)
        pairs[key] = value
    if not pairs:
        raise DataError("--preprocess is empty", HOW)
    return _from_pairs(pairs)


def _read_toml(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > 65536:
            raise DataError(f"--preprocess: {path} is larger than 64 KiB", HOW)
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"--preprocess: {path} cannot be read: {error}", HOW) from error
    return {key: "/".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in document.items()}


def _from_pairs(pairs: dict[str, str]) -> Preprocessing:
    unknown = sorted(set(pairs) - set(KEYS))
    if unknown:
        raise DataError(f"--preprocess: {unknown[0]!r} is not known", nearest(unknown[0], KEYS))
    if ("mean" in pairs or "std" in pairs) and ("scale" in pairs or "offset" in pairs):
        raise DataError("--preprocess: mean and std say the same as scale and offset", "give the one pair or the other")
    if "scale" not in pairs and "std" not in pairs:
        raise DataError("--preprocess: the scale is missing", HOW)
    scale, offset = _scale_and_offset(pairs)
    resize = _whole(pairs["resize"], "resize") if "resize" in pairs else None
    crop = _crop(pairs["crop"]) if "crop" in pairs else None
    if crop is None and resize is not None:
        crop = (resize, resize)
    return Preprocessing(
        resize=resize,
        crop=crop,
        colour=pairs.get("colour", "rgb"),
        scale=scale,
        offset=offset,
        dtype=pairs.get("dtype", "float32"),
        layout=pairs.get("layout", "nhwc"),
    )


def _scale_and_offset(pairs: dict[str, str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if "std" in pairs:
        std = _numbers(pairs["std"], "std")
        mean = _numbers(pairs.get("mean", "0"), "mean")
        if 0.0 in std:
            raise DataError("--preprocess: a std of 0 divides by zero", HOW)
        count = max(len(std), len(mean))
        std, mean = (values * count if len(values) == 1 else values for values in (std, mean))
        if len(std) != len(mean):
            raise DataError(f"--preprocess: {len(mean)} means and {len(std)} stds", "give one per channel of each, on the scale of 0..255")
        return tuple(1.0 / s for s in std), tuple(-m / s for m, s in zip(mean, std, strict=True))
    low, dots, high = pairs["scale"].partition("..")
    if dots:
        if "offset" in pairs:
            raise DataError("--preprocess: a scale LOW..HIGH needs no offset", "give the range, or scale and offset as numbers")
        return for_range(_number(low, "scale"), _number(high, "scale"))
    return _numbers(pairs["scale"], "scale"), _numbers(pairs.get("offset", "0"), "offset")


def _number(text: str, key: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"--preprocess: {key} {text!r} is not a number", HOW) from None


def _numbers(text: str, key: str) -> tuple[float, ...]:
    return tuple(_number(part, key) for part in text.split("/"))


def _whole(text: str, key: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise DataError(f"--preprocess: {key} {text!r} is not a whole number of pixels", HOW)
    return int(text)


def _crop(text: str) -> tuple[int, int]:
    height, by, width = text.partition("x")
    return _whole(height, "crop"), _whole(width if by else height, "crop")
