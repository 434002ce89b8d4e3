"""Describes an image classifier, or says why metadata cannot: known before anything is exported."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator

import numpy as np

from dsmobile.errors import DataError, ModelError
from dsmobile.preprocessing import Preprocessing
from dsmobile.tflite_metadata.archive import LARGEST_TEXT_BYTES
from dsmobile.tflite_metadata.normalization import LARGEST_ROUNDING, normalization_of, shift_of_raw_bytes
from dsmobile.tflite_metadata.reading import LONGEST_TEXT_BYTES
from dsmobile.tflite_metadata.schema import TRANSFORMATIONS
from dsmobile.tflite_metadata.values import ClassifierMetadata, Obstacle, ScoreCalibration

INPUT_TYPES = ("float32", "uint8", "int8")
_INSIDE = "export it with --rescaling inside"
_NO_PREPROCESSING = Obstacle(
    "nothing says how an image becomes its input", 'give --preprocess "resize=256,crop=224,scale=-1..1"'
)  # fmt: skip


def obstacles(
    preprocessing: Preprocessing | None,
    labels: tuple[str, ...],
    *,
    channels: int = 3,
    classes: int | None = None,
    inputs: int = 1,
    outputs: int = 1,
    input_dtype: str = "float32",
    input_quantization: tuple[float, int] | None = None,
) -> tuple[Obstacle, ...]:
    """Why a network cannot be described as an image classifier.

    Args:
        preprocessing: From RGB bytes to the file's input; None where it takes no images.
        labels: One per class; empty where there are none.
        channels: Of the file's input.
        classes: Scores that the network gives; None where that is not known.
        inputs: How many inputs the file has.
        outputs: How many outputs it has.
        input_dtype: Of the file's input, numpy's name.
        input_quantization: Scale and zero point of an integer input; None where that is not known yet.

    Returns:
        Each reason with what to do; empty where nothing stands in the way.
    """
    found = [*_of_ends(channels, inputs, outputs, input_dtype)]
    found += _of_preprocessing(preprocessing, channels, input_dtype, input_quantization) if preprocessing else [_NO_PREPROCESSING]
    return (*found, *_of_labels(labels, classes))


def describe_classifier(
    preprocessing: Preprocessing,
    labels: tuple[str, ...],
    *,
    height: int,
    width: int,
    name: str,
    description: str = "",
    version: str = "",
    author: str = "",
    license: str = "",  # noqa: A002
    ends_in_softmax: bool,
    score_calibration: ScoreCalibration | None = None,
    input_dtype: str = "float32",
    input_quantization: tuple[float, int] | None = None,
) -> ClassifierMetadata:
    """What a classifier's file is to say of itself.

    Args:
        preprocessing: From RGB bytes to the file's input.
        labels: One per class, in the network's order; two classes may have the same name.
        height: Of the input, in pixels.
        width: Likewise.
        name: Of the network.
        description: Of the network.
        version: Of the network.
        author: Of the network.
        license: Of the network.
        ends_in_softmax: Whether the scores are probabilities.
        score_calibration: A sigmoid per class; None where scores stay as they are.
        input_dtype: Of the file's input, numpy's name.
        input_quantization: Scale and zero point of an integer input, where they are known.

    Raises:
        DataError: The labels, texts, preprocessing or calibration cannot be written.
        ModelError: The input is of a type that cannot be described.
    """
    found = obstacles(
        preprocessing, labels, channels=preprocessing.channels, input_dtype=input_dtype, input_quantization=input_quantization
    )  # fmt: skip
    if found:
        kind = ModelError if input_dtype not in INPUT_TYPES else DataError
        raise kind(f"{name} cannot carry TFLite metadata: {found[0].why}", found[0].instead)
    if min(height, width) < 1:
        raise ModelError(f"{name} cannot carry TFLite metadata: its input is {height} x {width} pixels", "fix its size")
    for what, text in (("name", name), ("description", description), ("version", version), ("author", author), ("license", license)):
        _require_text(what, text)
    if score_calibration:
        _check_calibration(score_calibration, len(labels), ends_in_softmax=ends_in_softmax)
    pairs = [normalization_of(scale, offset) for scale, offset in _pairs(preprocessing)]
    return ClassifierMetadata(
        name=name,
        height=height,
        width=width,
        channels=preprocessing.channels,
        mean=tuple(pair.mean for pair in pairs),
        std=tuple(pair.std for pair in pairs),
        input_range=preprocessing.input_range,
        input_dtype=input_dtype,
        labels=labels,
        score_range=(0.0, 1.0) if ends_in_softmax else None,
        score_calibration=score_calibration,
        description=description,
        version=version,
        author=author,
        license=license,
        normalization_error=max(pair.max_abs_error for pair in pairs),
    )


def repeated(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that several classes share, as two of ImageNet's share `crane`: allowed, but a person should know."""
    return tuple(label for label, count in Counter(labels).items() if count > 1)


def repeated_note(labels: tuple[str, ...]) -> str:
    """What a person must know of labels that several classes share; empty where there are none."""
    twice = repeated(labels)
    if not twice:
        return ""
    told = "1 label stands" if len(twice) == 1 else f"{len(twice)} labels stand"
    return f"{told} there more than once, such as {twice[0]!r}: an app cannot tell these classes apart by name"


def _of_ends(channels: int, inputs: int, outputs: int, input_dtype: str) -> Iterator[Obstacle]:
    if (inputs, outputs) != (1, 1):
        yield Obstacle(f"it has {inputs} inputs and {outputs} outputs", "export a classifier with one image as input and one output of scores")
    if channels not in (1, 3):
        yield Obstacle(f"its input has {channels} channels, not 3 for RGB or 1 for grey", "export a network for RGB or grey images")
    if input_dtype not in INPUT_TYPES:
        yield Obstacle(f"its input is {input_dtype}, not {', '.join(INPUT_TYPES)}", "export it with --io float32")


def _of_preprocessing(given: Preprocessing, channels: int, input_dtype: str, quantization: tuple[float, int] | None) -> Iterator[Obstacle]:
    if given.colour == "bgr":
        yield Obstacle(
            "it takes its colours in the order BGR, and metadata know RGB and grey only", "swap the channels of its first convolution", misread=True
        )
    elif given.channels != channels:
        yield Obstacle(f"its preprocessing gives {given.channels} channels for {channels}", 'give "colour=rgb" or "colour=grey" in --preprocess')
    if given.layout != "nhwc":
        yield Obstacle(f"its input is {given.layout.upper()}, and metadata are about NHWC", 'give "layout=nhwc" in --preprocess')
    pairs = _pairs(given)
    if any(not _is_usable(scale, offset) for scale, offset in pairs):
        yield Obstacle(f"its scale {given.scale} and offset {given.offset} have no positive, finite deviation", _INSIDE, misread=True)
        return
    if len(pairs) > 1 and input_dtype in ("float32", "uint8"):
        yield Obstacle("its channels are normalized differently, and readers take one mean and deviation", _INSIDE, misread=True)
    elif input_dtype == "uint8" and quantization:
        shift = max(shift_of_raw_bytes(scale, offset, quantization) for scale, offset in pairs)
        if not shift <= LARGEST_ROUNDING:
            yield Obstacle(f"readers put raw bytes into a uint8 input, which are up to {shift:.3g} integers off here", _INSIDE, misread=True)


def _pairs(given: Preprocessing) -> list[tuple[float, float]]:
    """Scale and offset of each channel; one pair where all are the same."""
    count = max(len(given.scale), len(given.offset))
    scales, offsets = (values * count if len(values) == 1 else values for values in (given.scale, given.offset))
    pairs = list(zip(scales, offsets, strict=True))
    return pairs[:1] if len(set(pairs)) == 1 else pairs


def _is_usable(scale: float, offset: float) -> bool:
    with np.errstate(over="ignore"):
        std, mean = np.float32(1.0 / scale), np.float32(-offset / scale)
    return bool(scale > 0 and np.isfinite(std) and np.isfinite(mean) and std > np.finfo(np.float32).tiny and np.isfinite(np.float32(255) * std))


def _of_labels(labels: tuple[str, ...], classes: int | None) -> Iterator[Obstacle]:
    if not labels:
        yield Obstacle("it has no labels", "give --labels FILE, one class a line")
        return
    if classes is not None and len(labels) != classes:
        yield Obstacle(f"it has {len(labels)} labels for {classes} classes", "give one label per class, in the network's order")
    for number, label in enumerate(labels, 1):
        fault = _fault(label)
        if fault:
            yield Obstacle(f"label {number} {fault}", "give every class a line of plain text")
            return
    if sum(len(label.encode()) + 1 for label in labels) > LARGEST_TEXT_BYTES:
        yield Obstacle(f"its labels have more than {LARGEST_TEXT_BYTES >> 20} MiB", "give shorter labels")


def _fault(label: str) -> str:
    """What keeps a label from being a line of a text file; empty where nothing does."""
    if not label.strip():
        return "is blank"
    if not _is_utf8(label):
        return f"is no UTF-8: {ascii(label)[:60]}"
    if len(label.splitlines()) != 1 or label.startswith("\ufeff") or any(unicodedata.category(sign) == "Cc" for sign in label):
        return f"has a line break or a control character: {ascii(label)[:60]}"
    return ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _require_text(what: str, text: str) -> None:
    if not _is_utf8(text) or "\0" in text:
        raise DataError(f"the {what} {ascii(text)[:60]} is no UTF-8 text", f"give another {what}")
    if len(text.encode()) > LONGEST_TEXT_BYTES:
        raise DataError(f"the {what} has {len(text.encode())} bytes", f"give at most {LONGEST_TEXT_BYTES}")


def _check_calibration(calibration: ScoreCalibration, classes: int, *, ends_in_softmax: bool) -> None:
    if len(calibration.sigmoids) != classes:
        raise DataError(
            f"the score calibration has {len(calibration.sigmoids)} lines for {classes} classes", "give one line per class, blank for the default"
        )
    if calibration.transformation not in TRANSFORMATIONS:
        raise DataError(f"the score transformation {calibration.transformation!r} is not known", f"choose {', '.join(TRANSFORMATIONS)}")
    if calibration.transformation != "identity" and not ends_in_softmax:
        raise DataError(
            f"{calibration.transformation} needs probabilities, and this network gives logits", "choose identity, or export it with --head softmax"
        )
    numbers = [calibration.default_score]
    for sigmoid in calibration.sigmoids:
        if sigmoid:
            numbers += [sigmoid.scale, sigmoid.slope, sigmoid.offset, *([] if sigmoid.min_score is None else [sigmoid.min_score])]
            if sigmoid.scale < 0:
                raise DataError(f"the score calibration has the scale {sigmoid.scale:g}", "a scale is 0 or more")
    if not all(math.isfinite(number) and abs(number) < float(np.finfo(np.float32).max) for number in numbers):
        raise DataError("the score calibration has a number that is not finite in float32", "give finite numbers")
