"""TFLite metadata: tables written field by field as metadata_schema.fbs has them, and files packed behind the model."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from tiny_models import linear_tflite

from dsmobile.inspection.tflite_file import read_tflite
from dsmobile.preprocessing import parse
from dsmobile.tflite_metadata.describing import describe_classifier
from dsmobile.tflite_metadata.values import ScoreCalibration, Sigmoid
from dsmobile.tflite_metadata.writing import with_metadata


def table(builder: Any, fields: dict[int, tuple[str, Any]]) -> int:
    builder.StartObject(8)
    for slot, (kind, value) in fields.items():
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            builder.PrependUint8Slot(slot, value, 0)
    return builder.EndObject()


def offsets(builder: Any, entries: list[int]) -> int:
    builder.StartVector(4, len(entries), 4)
    for entry in reversed(entries):
        builder.PrependUOffsetTRelative(entry)
    return builder.EndVector()


def metadata() -> bytes:
    """ModelMetadata with a name, a licence, and an input that is normalized by mean 127.5 and deviation 128 (slots: metadata_schema.fbs)."""
    builder = flatbuffers.Builder(256)
    mean, deviation = builder.CreateNumpyVector(np.float32([127.5])), builder.CreateNumpyVector(np.float32([128.0]))
    options = table(builder, {0: ("offset", mean), 1: ("offset", deviation)})
    unit = table(builder, {0: ("byte", 1), 1: ("offset", options)})
    units = offsets(builder, [unit])
    image, net, licence = (builder.CreateString(text) for text in ("image", "Bird net", "Apache-2.0"))
    inputs = offsets(builder, [table(builder, {0: ("offset", image), 4: ("offset", units)})])
    graphs = offsets(builder, [table(builder, {2: ("offset", inputs)})])
    builder.Finish(table(builder, {0: ("offset", net), 3: ("offset", graphs), 5: ("offset", licence)}), b"M001")
    return bytes(builder.Output())


@pytest.fixture
def write(tmp_path: Path):
    """Writes a model with a metadata entry, and a label file packed behind it."""

    def write(contents: bytes) -> Path:
        from ai_edge_litert import schema_py_generated as tfl

        path = linear_tflite(tmp_path / "m.tflite", np.zeros((12, 3), np.float32), (1, 2, 2, 3))
        model = tfl.ModelT.InitFromObj(tfl.Model.GetRootAs(path.read_bytes(), 0))
        buffer, entry = tfl.BufferT(), tfl.MetadataT()
        buffer.data, entry.name, entry.buffer = np.frombuffer(contents, np.uint8), b"TFLITE_METADATA", len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [entry]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("labels.txt", "crow\nfinch\nwren\n")
        return path

    return write


def test_what_its_authors_wrote(write) -> None:
    facts = read_tflite(write(metadata()))
    assert facts.metadata["model"] == {"name": "Bird net", "license": "Apache-2.0"}
    assert facts.metadata["inputs"] == [{"name": "image", "mean": [127.5], "std": [128.0]}]
    assert facts.metadata["files"] == [{"name": "labels.txt", "size_bytes": 16, "lines": 3}]
    assert facts.macs is not None
    assert facts.macs.count == 36


@pytest.mark.parametrize("contents", [b"", b"garbage", metadata()[:60], b"\xff" * 100, metadata()[:4] + b"M002" + metadata()[8:]])
def test_damaged_metadata_spoils_nothing_else(write, contents: bytes) -> None:
    facts = read_tflite(write(contents))
    assert facts.macs is not None
    assert facts.macs.count == 36
    assert any("metadata is damaged" in note for note in facts.notes)


def described(path: Path, **more: Any) -> Path:
    """The model with everything that our own writer can say."""
    calibration = ScoreCalibration((Sigmoid(1, 2, 3), None, None), "log", 0.25)
    options: dict[str, Any] = {"name": "Bird net", "version": "2", "author": "A. Bird", "license": "MIT", "score_calibration": calibration} | more
    preprocessing = parse("resize=2,scale=-1..1")
    metadata = describe_classifier(preprocessing, ("crow", "finch", "[red]wren"), height=2, width=2, ends_in_softmax=True, **options)
    linear_tflite(path, np.zeros((12, 3), np.float32), (1, 2, 2, 3))
    path.write_bytes(with_metadata(path.read_bytes(), metadata))
    return path


def test_what_we_wrote(tmp_path: Path) -> None:
    found = read_tflite(described(tmp_path / "m.tflite")).metadata
    assert found["model"] == {"name": "Bird net", "version": "2", "author": "A. Bird", "license": "MIT", "min_parser_version": "1.0.0"}
    (image,), (scores,) = found["inputs"], found["outputs"]
    assert image.items() >= {"mean": [127.5], "std": [127.5], "min": [-1.0], "max": [1.0], "size": [2, 2], "colour_space": "rgb"}.items()
    assert scores.items() >= {"min": [0.0], "max": [1.0], "files": ["labels.txt", "score_calibration.txt"]}.items()
    assert scores["score_calibration"] == {"transformation": "log", "default_score": 0.25}
    assert found["labels"] == {"count": 3, "first": ["crow", "finch", "[red]wren"]}
    assert [file["lines"] for file in found["files"]] == [3, 2]  # the last two classes have no sigmoid: one line break, nothing behind it


def test_numbers_that_json_does_not_know_are_left_out(tmp_path: Path) -> None:
    path = described(tmp_path / "m.tflite")
    data = bytearray(path.read_bytes())
    for value in (np.float32(127.5), np.float32(0.25)):
        at = data.index(value.tobytes())
        data[at : at + 4] = np.float32("nan").tobytes()
    path.write_bytes(data)
    facts = read_tflite(path)
    assert "nan" not in json.dumps(facts.metadata).lower().replace("finch", "")
    assert any("not finite" in note for note in facts.notes)
    assert facts.metadata["labels"]["count"] == 3


def test_packed_files_that_are_damaged_inside(tmp_path: Path) -> None:
    path = linear_tflite(tmp_path / "m.tflite", np.zeros((12, 3), np.float32), (1, 2, 2, 3))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "crow\nfinch\n" * 1000)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"labels.txt", 0, data.rindex(b"PK\x01\x02")) + len("labels.txt")
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    facts = read_tflite(path)
    assert facts.macs is not None
    assert any("archive" in note for note in facts.notes)


def test_a_damaged_archive_spoils_nothing_else(write) -> None:
    path = write(metadata())
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at : at + 4] = b"XXXX"
    path.write_bytes(data)
    facts = read_tflite(path)
    assert "files" not in facts.metadata
    assert any("archive" in note for note in facts.notes)
