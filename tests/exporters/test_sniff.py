"""What bears a model's name and is none."""

import random
import zipfile
from pathlib import Path

import pytest

from dsmobile.errors import ModelError
from dsmobile.exporters.sniff import check_model_file


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


# ModelProto: ir_version, producer_name, graph, opset_import (onnx.proto3).
ONNX = b"\x08\x08" + message(2, b"hand") + message(7, b"\x12\x01g" + b"\x00" * 300) + message(8, b"\x10\x0d")


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def tflite() -> bytes:
    """The smallest flatbuffer with a model's fields: one subgraph, one buffer of eight bytes."""
    import struct

    parts = bytearray(b"\0\0\0\0TFL3")
    model_vtable = len(parts)
    parts += struct.pack("<HHHHHHH", 14, 20, 4, 0, 8, 0, 12) + b"\0\0"
    model = len(parts)
    parts += struct.pack("<iIIII", model - model_vtable, 3, 0, 0, 0)
    struct.pack_into("<I", parts, 0, model)

    def vector_of_one(field: int) -> int:
        start = len(parts)
        parts.extend(struct.pack("<II", 1, 0))
        struct.pack_into("<I", parts, field, start - field)
        vtable = len(parts)
        parts.extend(struct.pack("<HHH", 6, 8, 4) + b"\0\0")
        table = len(parts)
        parts.extend(struct.pack("<iI", table - vtable, 0))
        struct.pack_into("<I", parts, start + 4, table - start - 4)
        return table

    vector_of_one(model + 8)
    buffer = vector_of_one(model + 12)
    start = len(parts)
    struct.pack_into("<I", parts, buffer + 4, start - buffer - 4)
    parts += struct.pack("<I", 8) + b"weights!"
    return bytes(parts)


def test_knows_each_format_by_its_bytes(write, tflite: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", "")
    assert check_model_file(write("m.tflite", tflite)) == "tflite"
    assert check_model_file(write("m.onnx", ONNX)) == "onnx"
    assert check_model_file(tmp_path / "m.keras") == "keras"
    assert check_model_file(write("m.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 90)) == "h5"
    assert check_model_file(write("M.HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 90)) == "h5"


@pytest.mark.parametrize("ending", ["tflite", "onnx", "keras", "h5"])
@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-LFS"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html><html>", "HTML page"),
        (b"<html><head></head></html>", "HTML page"),
        (b"\x7fELF\x02\x01\x01", "program"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04broken", "zip"),
        (random.Random(0).randbytes(4000), "first bytes|no ONNX file"),
        (b"just text", "first bytes|no ONNX file"),
    ],
)
def test_refuses_what_is_no_model_in_one_sentence(write, ending: str, data: bytes, word: str) -> None:
    with pytest.raises(ModelError, match=word) as caught:
        check_model_file(write(f"m.{ending}", data))
    assert "\n" not in caught.value.message


def test_refuses_an_ending_that_says_something_else(write, tflite: bytes) -> None:
    with pytest.raises(ModelError, match=r"ends in \.onnx, but is a TFLite file"):
        check_model_file(write("m.onnx", tflite))
    with pytest.raises(ModelError, match=r"ends in \.tflite, but is an ONNX file"):
        check_model_file(write("m.tflite", ONNX))
    with pytest.raises(ModelError, match="ends in nothing") as caught:
        check_model_file(write("model", ONNX))
    assert caught.value.advice == "rename it to end in .onnx"


def test_refuses_every_truncation(write, tflite: bytes) -> None:
    for whole, name in ((tflite, "m.tflite"), (ONNX, "m.onnx")):
        for length in range(len(whole)):
            with pytest.raises(ModelError):
                check_model_file(write(name, whole[:length]))


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        check_model_file(tmp_path / "absent.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ModelError, match="folder"):
        check_model_file(tmp_path / "folder.onnx")


def test_survives_damaged_bytes(write, tflite: bytes) -> None:
    generator = random.Random(1)
    for _ in range(500):
        data = bytearray(tflite)
        for _ in range(3):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            check_model_file(write("m.tflite", bytes(data)))
        except ModelError:
            continue
