"""Holds a file with metadata against the model that it was made of: everything that was there is there, unchanged, and it says what it should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import chain

import numpy as np

from dsmobile.errors import ModelError
from dsmobile.tflite_metadata import schema
from dsmobile.tflite_metadata.flatbuffer import DamagedError
from dsmobile.tflite_metadata.model_file import ModelFile, read_model
from dsmobile.tflite_metadata.reading import read_metadata
from dsmobile.tflite_metadata.score_calibration import to_text
from dsmobile.tflite_metadata.tables import IMAGE, SCORES
from dsmobile.tflite_metadata.values import CALIBRATION_FILE, LABELS_FILE, ClassifierMetadata, FileEntry, ModelMetadata, PackedFile, TensorMetadata

ALIGNMENT = 16  # of constants, from the file's first byte


def check_written(written: bytes, start: int, body: bytes, before: ModelFile, metadata: ClassifierMetadata) -> None:
    """Raises where a file is not what it should be.

    Args:
        written: The file with metadata.
        start: Where the model begins in it.
        body: The model's bytes.
        before: The model, read from these.
        metadata: What it is to say.

    Raises:
        ModelError: With the first fault.
    """
    try:
        fault = next(chain(_changes(written, start, body, before), _differences(written, metadata)), "")
    except DamagedError as error:
        fault = str(error)
    if fault:
        raise ModelError(f"the file with metadata is not the model it was made of: {fault}", "this is a fault in dsmobile: report it with the model")


def _changes(written: bytes, start: int, body: bytes, before: ModelFile) -> Iterator[str]:
    """What is no longer as it was. A reference to the same place in the same bytes leads to the same table, and so does all that this refers to."""
    if start % ALIGNMENT:
        yield f"its bytes begin at {start}, which is no multiple of {ALIGNMENT}"
    if not written.startswith(body, start):
        yield "its bytes changed"
    model, after = schema.Model, read_model(written)
    if after.root.value(model.VERSION, "I") != before.root.value(model.VERSION, "I"):
        yield "its version changed"
    for field in set(range(model.COUNT)) - {model.VERSION, model.BUFFERS, model.METADATA}:
        place = before.root.points_to(field)
        if after.root.points_to(field) != (place + start if place else 0):
            yield f"field {field} of its root leads elsewhere"
    given_up = {number for name, number, _ in before.entries if name == schema.METADATA_NAME} - before.used
    for number, buffer in enumerate(before.buffers):
        if number not in given_up and after.buffers[number].place != buffer.place + start:
            yield f"buffer {number} is another"
    others = [entry.place + start for name, _, entry in before.entries if name != schema.METADATA_NAME]
    if [entry.place for _, _, entry in after.entries[:-1]] != others:
        yield "its other entries of metadata changed"


def _differences(written: bytes, metadata: ClassifierMetadata) -> Iterator[str]:
    """What reads otherwise than it was meant."""
    found, notes = read_metadata(written)
    wanted = as_read(metadata)
    if found is None or notes:
        yield f"its metadata cannot be read back: {' '.join(notes)}"
    elif found != wanted:
        names = [field.name for field in fields(ModelMetadata) if getattr(found, field.name) != getattr(wanted, field.name)]
        yield f"its metadata read otherwise: {', '.join(names)}"


def as_read(metadata: ClassifierMetadata) -> ModelMetadata:
    """What a reader finds where metadata were written."""
    calibration = metadata.score_calibration
    names = [FileEntry(LABELS_FILE, "labels")]
    contents = {LABELS_FILE: "\n".join(metadata.labels).encode()}
    if calibration:
        names.append(FileEntry(CALIBRATION_FILE, "score calibration"))
        contents[CALIBRATION_FILE] = to_text(calibration).encode()
    image = TensorMetadata(
        name="image",
        description=IMAGE,
        content="image",
        colour_space="rgb" if metadata.channels == 3 else "grey",
        size=(metadata.height, metadata.width),
        mean=_float32(metadata.mean),
        std=_float32(metadata.std),
        minimum=_float32(metadata.input_range[:1]),
        maximum=_float32(metadata.input_range[1:]),
    )
    scores = TensorMetadata(
        name="score",
        description=SCORES,
        content="feature",
        minimum=_float32(metadata.score_range[:1] if metadata.score_range else ()),
        maximum=_float32(metadata.score_range[1:] if metadata.score_range else ()),
        calibration=(calibration.transformation, float(np.float32(calibration.default_score))) if calibration else None,
        files=tuple(names),
    )
    files = tuple(PackedFile(name, len(data), data) for name, data in contents.items())
    about = (metadata.name, metadata.description, metadata.version, metadata.author, metadata.license)
    return ModelMetadata(*about, schema.PARSER_VERSION, (image,), (scores,), files)


def _float32(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in values)
