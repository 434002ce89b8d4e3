"""What was written into a TFLite file besides the network: TFLite metadata (names, licence, normalization), packed files, the converter's remarks.

Source: tflite-support, metadata_schema.fbs (M001). The tables are followed by field numbers: no package on PyPI brings accessors that still import.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

_TEXTS = {0: "name", 1: "description", 2: "version", 4: "author", 5: "license", 7: "min_parser_version"}
_NORMALIZATION = 1
_LONGEST_TEXT = 1000
_MOST_FILES = 100
_LARGEST_LABELS_BYTES = 1 << 20


def read_metadata(path: Path, model: Any) -> tuple[dict[str, Any], list[str]]:
    """What is written into the file, and notes about what cannot be read.

    Args:
        path: The file.
        model: Its root table.

    Returns:
        `description`, `entries` (names and sizes), the fields of TFLite metadata, `files` packed into it; what is absent is left out.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    description = _decode(model.Description())
    if description:
        found["description"] = description
    entries = [model.Metadata(number) for number in range(min(model.MetadataLength(), 1000))]
    if entries:
        found["entries"] = []
    for entry in entries:
        name, number = _decode(entry.Name()), entry.Buffer()
        contents = b""
        if 0 < number < model.BuffersLength() and not model.Buffers(number).DataIsNone():
            contents = model.Buffers(number).DataAsNumpy().tobytes()
        found["entries"].append({"name": name, "size_bytes": len(contents)})
        if name == "min_runtime_version":
            found["min_runtime_version"] = contents.rstrip(b"\0").decode("ascii", "replace")[:32]
        if name == "TFLITE_METADATA":
            try:
                found.update(_model_metadata(contents))
            except (struct.error, IndexError, TypeError, ValueError):
                notes.append("Its TFLite metadata is damaged.")
    files = _packed_files(path)
    if files is None:
        notes.append("The archive of files at its end is damaged.")
    elif files:
        found["files"] = files
    return found, notes


def _model_metadata(contents: bytes) -> dict[str, Any]:
    from flatbuffers.table import Table

    if contents[4:8] != b"M001":
        raise ValueError("no TFLite metadata")
    root = Table(contents, struct.unpack_from("<I", contents)[0])
    found: dict[str, Any] = {"model": _texts(root, _TEXTS)}
    for subgraph in _tables(root, 3)[:1]:
        for field, key in ((2, "inputs"), (3, "outputs")):
            found[key] = [_tensor(table) for table in _tables(subgraph, field)]
    return found


def _tensor(table: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(_texts(table, {0: "name", 1: "description"}))
    for unit in _tables(table, 4):
        kind, options = _place(unit, 0), _place(unit, 1)
        if kind and options and unit.Bytes[kind] == _NORMALIZATION:
            normalization = type(unit)(unit.Bytes, unit.Indirect(options))
            found["mean"], found["std"] = _floats(normalization, 0), _floats(normalization, 1)
    files = [_texts(file, {0: "name"}).get("name", "") for file in _tables(table, 6)]
    return {**found, "files": files} if files else found


def _place(table: Any, field: int) -> int:
    offset = int(table.Offset(4 + 2 * field))
    return table.Pos + offset if offset else 0


def _texts(table: Any, fields: dict[int, str]) -> dict[str, str]:
    places = ((name, _place(table, field)) for field, name in fields.items())
    return {name: _decode(table.String(place)) for name, place in places if place}


def _tables(table: Any, field: int) -> list[Any]:
    offset = table.Offset(4 + 2 * field)
    if not offset:
        return []
    count, start = table.VectorLen(offset), table.Vector(offset)
    if start + 4 * count > len(table.Bytes):
        raise ValueError("a list leads out of the metadata")
    return [type(table)(table.Bytes, table.Indirect(start + 4 * number)) for number in range(count)]


def _floats(table: Any, field: int) -> list[float]:
    offset = table.Offset(4 + 2 * field)
    if not offset:
        return []
    count, start = table.VectorLen(offset), table.Vector(offset)
    return list(struct.unpack_from(f"<{min(count, 4096)}f", table.Bytes, start))


def _packed_files(path: Path) -> list[dict[str, Any]] | None:
    """Files of the zip archive that TFLite metadata appends; None where it is damaged."""
    try:
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return [_packed_file(archive, entry) for entry in archive.infolist()[:_MOST_FILES]]
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError):
        return None


def _packed_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"name": entry.filename[:_LONGEST_TEXT], "size_bytes": entry.file_size}
    if entry.filename.endswith(".txt") and entry.file_size <= _LARGEST_LABELS_BYTES:
        with archive.open(entry) as file:
            found["lines"] = len(file.read(_LARGEST_LABELS_BYTES).splitlines())
    return found


def _decode(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")[:_LONGEST_TEXT]
