"""The file of a score calibration: a line for each class, `scale,slope,offset` or `scale,slope,offset,min_score`; blank for the default score.

Source: metadata_schema.fbs, TENSOR_AXIS_SCORE_CALIBRATION and ScoreCalibrationOptions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsmobile.errors import DataError
from dsmobile.tflite_metadata.values import ScoreCalibration, Sigmoid

_LARGEST_BYTES = 8 << 20
_FORM = "a line is scale,slope,offset or scale,slope,offset,min_score, or blank for the default score"


def read_score_calibration(path: Path, *, transformation: str = "identity", default_score: float = 0.0) -> ScoreCalibration:
    """Reads a score calibration.

    Args:
        path: A text file with a line for each class; a line break at its end ends the last line and begins no other.
        transformation: `identity`, `log` or `inverse_logistic`.
        default_score: Of classes with a blank line, and of scores that are not above their `min_score`.

    Raises:
        DataError: It cannot be read, or a line is none of these.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"score calibration: {path} is larger than 8 MiB", _FORM)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"score calibration: {path} cannot be read: {error.strerror}", _FORM) from error
    except UnicodeDecodeError as error:
        raise DataError(f"score calibration: {path} is not UTF-8 text", _FORM) from error
    lines = text.removesuffix("\n").split("\n")  # no more than one: a blank last line is a class
    return ScoreCalibration(tuple(_sigmoid(line.strip(), number, path) for number, line in enumerate(lines, 1)), transformation, default_score)


def to_text(calibration: ScoreCalibration) -> str:
    """The file's text, without a line break at its end: MediaPipe would count one class more."""
    return "\n".join(",".join(map(_written, numbers_of(sigmoid))) if sigmoid else "" for sigmoid in calibration.sigmoids)


def numbers_of(sigmoid: Sigmoid) -> tuple[float, ...]:
    """A line's numbers."""
    last = () if sigmoid.min_score is None else (sigmoid.min_score,)
    return (sigmoid.scale, sigmoid.slope, sigmoid.offset, *last)


def _written(number: float) -> str:
    return format(float(np.float32(number)), ".9g")  # nine digits name every float32


def _sigmoid(line: str, number: int, path: Path) -> Sigmoid | None:
    if not line:
        return None
    try:
        numbers = [float(part) for part in line.split(",")]
    except ValueError as error:
        raise DataError(f"score calibration: line {number} of {path} is {line[:60]!r}", _FORM) from error
    if len(numbers) not in (3, 4):
        raise DataError(f"score calibration: line {number} of {path} has {len(numbers)} numbers", _FORM)
    return Sigmoid(numbers[0], numbers[1], numbers[2], numbers[3] if len(numbers) == 4 else None)
