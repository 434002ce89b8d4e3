"""The card that `dsmobile ship android` puts beside the model: which export it is and what it must compute. In an APK it is anybody's word."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from dsmobile.errors import DataError, DsmobileError
from dsmobile.pixels import shorter_side_to
from dsmobile.preprocessing import Preprocessing

SCHEMA = "dsmobile.shipped/1"
SUFFIX = ".dsmobile.json"
LARGEST_BYTES = 8 << 20
_MOST_PIXELS = 1 << 24
_MOST_OUTPUTS = 1 << 20
_ADVICE = "generate the module again with `dsmobile ship android`"


@dataclass(frozen=True)
class CardGolden:
    """One golden vector, its image made by a formula.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        seed: Which noise.
        image_sha256: Of its RGB bytes.
        tensor_sha256: Of the network's input, little-endian float32.
        outputs: What the network answered.
        tolerance: How far another machine's outputs may lie.
    """

    height: int
    width: int
    seed: int
    image_sha256: str
    tensor_sha256: str
    outputs: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class Card:
    """What is known of a shipped model.

    Args:
        model: Its file name, in the card's own folder.
        sha256: Its hash.
        size_bytes: Its size.
        name: The network's name.
        recipe: The recipe's name.
        labels_file: The labels' file name, in the card's own folder.
        labels_sha256: Their hash.
        classes: Numbers it answers.
        preprocessing: From RGB bytes to its input.
        golden: What it must compute.
    """

    model: str
    sha256: str
    size_bytes: int
    name: str
    recipe: str
    labels_file: str
    labels_sha256: str
    classes: int
    preprocessing: Preprocessing
    golden: CardGolden


def read_card(data: bytes) -> Card:
    """Reads a card.

    Raises:
        DataError: It is damaged, of another schema, or asks for an image that nobody should compute.
    """
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise DataError(f"its schema is not {SCHEMA}", _ADVICE)
        card = _card(document)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, DsmobileError) as error:
        raise DataError(f"it is damaged: {type(error).__name__}: {str(error)[:120]}", _ADVICE) from error
    _refuse_large_images(card)
    return card


def _card(document: dict[str, Any]) -> Card:
    return Card(
        model=_file_name(document["model"]),
        sha256=_digest(document["sha256"]),
        size_bytes=_whole(document["size_bytes"], 1 << 40),
        name=str(document["name"]),
        recipe=str(document["recipe"]),
        labels_file=_file_name(document["labels_file"]),
        labels_sha256=_digest(document["labels_sha256"]),
        classes=_whole(document["classes"], _MOST_OUTPUTS),
        preprocessing=Preprocessing.from_json(document["preprocessing"]),
        golden=_golden(document["golden"]),
    )


def _golden(document: dict[str, Any]) -> CardGolden:
    outputs = tuple(float(value) for value in document["outputs"][: _MOST_OUTPUTS + 1])
    tolerance = float(document["tolerance"])
    if not outputs or len(outputs) > _MOST_OUTPUTS or not all(map(math.isfinite, outputs)) or not 0 <= tolerance < math.inf:
        raise ValueError("its golden outputs or their tolerance are no finite numbers")
    image = document["image"]
    return CardGolden(
        height=_whole(image["height"], _MOST_PIXELS),
        width=_whole(image["width"], _MOST_PIXELS),
        seed=_whole(image["seed"], 1 << 20, least=0),
        image_sha256=_digest(document["image_sha256"]),
        tensor_sha256=_digest(document["tensor_sha256"]),
        outputs=outputs,
        tolerance=tolerance,
    )


def _refuse_large_images(card: Card) -> None:
    height, width = card.golden.height, card.golden.width
    sizes = [(height, width)]
    if card.preprocessing.resize is not None:
        sizes.append(shorter_side_to(height, width, card.preprocessing.resize))
    if any(rows * columns > _MOST_PIXELS for rows, columns in sizes):
        raise DataError(f"its golden image has {' and then '.join(f'{rows} x {columns}' for rows, columns in sizes)} pixels", _ADVICE)


def _whole(value: Any, most: int, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is no number from {least} to {most}")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{str(value)[:80]!r} is no SHA-256")
    return value


def _file_name(value: Any) -> str:
    if not isinstance(value, str) or not value or value in (".", "..") or "/" in value or "\\" in value:
        raise ValueError(f"{str(value)[:80]!r} is no file name")
    return value
