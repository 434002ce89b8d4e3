"""What was written into a TFLite file besides the network: TFLite metadata (names, licence, normalization), packed files, the converter's remarks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dsmobile.tflite_metadata.archive import read_files
from dsmobile.tflite_metadata.flatbuffer import DamagedError
from dsmobile.tflite_metadata.reading import DAMAGED_ARCHIVE, DAMAGED_METADATA, metadata_of
from dsmobile.tflite_metadata.schema import METADATA_NAME
from dsmobile.tflite_metadata.values import ModelMetadata, PackedFile, TensorMetadata

_LONGEST_TEXT = 1000
_MOST_ENTRIES = 1000
_FIRST_LABELS = 5
_LONGEST_LABEL = 100
_TEXTS = ("name", "description", "version", "author", "license", "min_parser_version")


def read_metadata(path: Path, model: Any) -> tuple[dict[str, Any], list[str]]:
    """What is written into the file, and notes about what cannot be read.

    Args:
        path: The file.
        model: Its root table.

    Returns:
        `description`, `entries` (names and sizes), the fields of TFLite metadata, `files` packed into it, how many `labels` there are and the
        first of them; what is absent is left out.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    description = _decode(model.Description())
    if description:
        found["description"] = description
    entries = [model.Metadata(number) for number in range(min(model.MetadataLength(), _MOST_ENTRIES))]
    if entries:
        found["entries"] = []
    with path.open("rb") as file:
        files = read_files(file)
    for entry in entries:
        name, number = _decode(entry.Name()), entry.Buffer()
        contents = b""
        if 0 < number < model.BuffersLength() and not model.Buffers(number).DataIsNone():
            contents = model.Buffers(number).DataAsNumpy().tobytes()
        found["entries"].append({"name": name, "size_bytes": len(contents)})
        if name == "min_runtime_version":
            found["min_runtime_version"] = contents.rstrip(b"\0").decode("ascii", "replace")[:32]
        if name == METADATA_NAME:
            try:
                told = metadata_of(contents, files or ())
            except DamagedError:
                notes.append(DAMAGED_METADATA)
                continue
            found.update(_told(told))
            if not all(_is_finite(tensor) for tensor in (*told.inputs, *told.outputs)):
                notes.append("Its TFLite metadata holds numbers that are not finite: they are left out.")
    if files is None:
        notes.append(DAMAGED_ARCHIVE)
    elif files:
        found["files"] = [_packed(file) for file in files]
    return found, notes


def _told(metadata: ModelMetadata) -> dict[str, Any]:
    found: dict[str, Any] = {"model": {name: getattr(metadata, name)[:_LONGEST_TEXT] for name in _TEXTS if getattr(metadata, name)}}
    for key, tensors in (("inputs", metadata.inputs), ("outputs", metadata.outputs)):
        if tensors:
            found[key] = [_tensor(tensor) for tensor in tensors]
    if metadata.labels:
        found["labels"] = {"count": len(metadata.labels), "first": [label[:_LONGEST_LABEL] for label in metadata.labels[:_FIRST_LABELS]]}
    return found


def _tensor(tensor: TensorMetadata) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": tensor.name[:_LONGEST_TEXT],
        "description": tensor.description[:_LONGEST_TEXT],
        "content": tensor.content,
        "colour_space": tensor.colour_space,
        "size": list(tensor.size or ()),
        **{key: list(values) for key, values in _numbers(tensor).items() if all(map(math.isfinite, values))},
        "files": [entry.name[:_LONGEST_TEXT] for entry in tensor.files],
    }
    found = {key: value for key, value in found.items() if value}
    if tensor.calibration and math.isfinite(tensor.calibration[1]):
        found["score_calibration"] = {"transformation": tensor.calibration[0], "default_score": tensor.calibration[1]}
    return found


def _numbers(tensor: TensorMetadata) -> dict[str, tuple[float, ...]]:
    return {"mean": tensor.mean, "std": tensor.std, "min": tensor.minimum, "max": tensor.maximum}


def _is_finite(tensor: TensorMetadata) -> bool:
    default = tensor.calibration[1:] if tensor.calibration else ()
    return all(math.isfinite(value) for values in (*_numbers(tensor).values(), default) for value in values)


def _packed(file: PackedFile) -> dict[str, Any]:
    found: dict[str, Any] = {"name": file.name, "size_bytes": file.size_bytes}
    if file.contents is not None:
        found["lines"] = len(file.contents.splitlines())
    return found if file.stored else {**found, "compressed": True}


def _decode(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")[:_LONGEST_TEXT]
