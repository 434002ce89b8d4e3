"""What a model file really is, by its bytes and not by its name; nothing in it is loaded or run. Standard library only."""

from __future__ import annotations

import mmap
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dsmobile.errors import ModelError

ENDINGS = {".tflite": "tflite", ".lite": "tflite", ".onnx": "onnx", ".keras": "keras", ".h5": "h5", ".hdf5": "h5"}
CALLED = {"tflite": "a TFLite file", "onnx": "an ONNX file", "keras": "a Keras archive", "h5": "an HDF5 file"}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_LFS = b"version https://git-lfs"
_PAGE = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<body")
_OTHERS = {
    b"\x1f\x8b": "a gzip archive, not a model",
    b"PK\x05\x06": "an empty zip archive",
    b"\x7fELF": "a program, not a model",
    b"ORTM": "an ORT-format file",
}
# ModelProto's fields and their wire types (0: varint, 2: length-delimited), onnx.proto3.
_MODEL_PROTO = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH, _OPSET_IMPORT = 7, 8


def check_model_file(path: Path) -> str:
    """Says what a model file is, and refuses what only bears a model's name.

    Args:
        path: The file.

    Returns:
        `tflite`, `onnx`, `keras` (the zip archive) or `h5`.

    Raises:
        ModelError: It is missing, empty, cut short, a git-LFS pointer, a HTML page, something else, or its ending says another format.
    """
    head = _head(path)
    ending = path.suffix.lower()
    if head.lstrip().startswith(_LFS):
        raise ModelError(f"{path} is a git-LFS pointer, not the model itself", "fetch the real file with `git lfs pull`")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PAGE):
        raise ModelError(f"{path} is an HTML page saved under a model's name", "download the file itself (on GitHub: the raw file)")
    kind = _kind(path, head, ending)
    if ending not in ENDINGS:
        raise ModelError(f"{path} is {CALLED[kind]}, but its name ends in {ending or 'nothing'}", f"rename it to end in {_ending_of(kind)}")
    if ENDINGS[ending] != kind:
        raise ModelError(f"{path} ends in {ending}, but is {CALLED[kind]}", f"rename it to end in {_ending_of(kind)}")
    return kind


def _head(path: Path) -> bytes:
    if not path.exists():
        raise ModelError(f"{path} does not exist", "check the path")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            raise ModelError(f"{path} is a TensorFlow SavedModel folder, not a model file", "save it as .keras, or convert it to .tflite or .onnx")
        raise ModelError(f"{path} is a folder, not a model file", f"give a file that ends in {', '.join(ENDINGS)}")
    if not path.is_file():
        raise ModelError(f"{path} is not a regular file", "give a model file")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    if not head:
        raise ModelError(f"{path} is empty", "export or download it again")
    return head


def _kind(path: Path, head: bytes, ending: str) -> str:
    if head[4:8] == b"TFL3":
        _check_tflite(path)
        return "tflite"
    if head.startswith(_HDF5):
        return "h5"
    if head.startswith(b"PK\x03\x04"):
        _check_keras(path)
        return "keras"
    for magic, name in _OTHERS.items():
        if head.startswith(magic) or head[4:8] == magic:
            raise ModelError(f"{path} is {name}", f"give a file that ends in {', '.join(ENDINGS)}")
    problem = _onnx_problem(path)
    if not problem:
        return "onnx"
    if ending == ".onnx":
        raise ModelError(f"{path} is no ONNX file: {problem}", "export or download it again")
    called = CALLED[ENDINGS[ending]] if ending in ENDINGS else "a TFLite, ONNX or Keras file"
    raise ModelError(f"{path} is not {called}: its first bytes are {head[:8]!r}", "export or download it again")


def _check_keras(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{path} is a damaged zip archive: {error}", "save or download it again") from error
    if not {"config.json", "model.weights.h5"} <= names:
        raise ModelError(f"{path} is a zip archive, but no Keras model: it holds no config.json and model.weights.h5", "give a model file")


def _check_tflite(path: Path) -> None:
    """Follows the flatbuffer to every buffer of weights and proves that it lies within the file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            _walk_tflite(data)
        except (struct.error, IndexError, _OutsideError) as error:
            raise ModelError(f"{path} is a TFLite file that is cut short or damaged", "export or download it again") from error


class _OutsideError(Exception):
    """An offset leads out of the file."""


def _walk_tflite(data: mmap.mmap) -> None:
    model = _u32(data, 0)
    subgraphs = _field(data, model, 2)
    if subgraphs is None or not _vector(data, subgraphs):
        raise _OutsideError
    for table in _vector(data, subgraphs):
        _field(data, table, 0)
    buffers = _field(data, model, 4)
    for table in _vector(data, buffers) if buffers is not None else ():
        contents = _field(data, table, 0)
        if contents is not None:
            start = contents + _u32(data, contents)
            if start + 4 + _u32(data, start) > len(data):
                raise _OutsideError


def _u32(data: mmap.mmap, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _field(data: mmap.mmap, table: int, index: int) -> int | None:
    """Where a flatbuffer table's field lies; None where it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0:
        raise _OutsideError
    size = struct.unpack_from("<H", data, vtable)[0]
    if 4 + 2 * index + 2 > size:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0]
    return table + offset if offset else None


def _vector(data: mmap.mmap, field: int) -> list[int]:
    """Where the tables of a flatbuffer vector of tables lie."""
    start = field + _u32(data, field)
    count = _u32(data, start)
    if start + 4 + 4 * count > len(data):
        raise _OutsideError
    places = range(start + 4, start + 4 + 4 * count, 4)
    return [place + _u32(data, place) for place in places]


def _onnx_problem(path: Path) -> str:
    """Why the bytes cannot be an ONNX ModelProto; empty where they can."""
    seen = set()
    try:
        for field, wire in _top_level_fields(path):
            if _MODEL_PROTO.get(field) != wire:
                return f"it holds a field {field} that no ONNX model has"
            seen.add(field)
    except _OutsideError:
        return "it is cut short" if 1 in seen or seen & {2, 3, 8} else "it is no protocol buffer"
    if _GRAPH not in seen:
        return "it holds no graph"
    if _OPSET_IMPORT not in seen:
        return "it names no opset, as files written before ONNX 1.0"
    return ""


def _top_level_fields(path: Path) -> Iterator[tuple[int, int]]:
    """Number and wire type of each field of the outermost message; contents are skipped, not read."""
    size = path.stat().st_size
    with path.open("rb") as file:

        def varint() -> int:
            value = 0
            for shift in range(0, 64, 7):
                byte = file.read(1)
                if not byte:
                    raise _OutsideError
                value |= (byte[0] & 0x7F) << shift
                if byte[0] < 0x80:
                    return value
            raise _OutsideError

        while file.tell() < size:
            key = varint()
            field, wire = key >> 3, key & 7
            if wire == 2:
                length = varint()
                if file.tell() + length > size:
                    raise _OutsideError
                file.seek(length, 1)
            elif wire == 0:
                varint()
            yield field, wire
            if wire not in (0, 2):
                return


def _ending_of(kind: str) -> str:
    return next(ending for ending, name in ENDINGS.items() if name == kind)
