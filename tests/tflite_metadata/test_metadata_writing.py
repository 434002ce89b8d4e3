"""A file with metadata: the model's bytes as they were, everything in it reachable and unchanged, the same file on every day and machine."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consumer_models import CLASSES, PRECISIONS, SIDE, edited, litert, with_sizes, written

from dsmobile.errors import DataError, ModelError
from dsmobile.preprocessing import parse
from dsmobile.tflite_metadata import writing
from dsmobile.tflite_metadata.checking import check_written
from dsmobile.tflite_metadata.describing import describe_classifier
from dsmobile.tflite_metadata.model_file import read_model
from dsmobile.tflite_metadata.reading import read_metadata
from dsmobile.tflite_metadata.values import ClassifierMetadata, ScoreCalibration, Sigmoid
from dsmobile.tflite_metadata.writing import with_metadata

LABELS = ("crane", "Große Möwe", "猫", "crane", "🐈")
assert len(LABELS) == CLASSES


def described(**more: Any) -> ClassifierMetadata:
    options = {"height": SIDE, "width": SIDE, "name": "small", "ends_in_softmax": True} | more
    return describe_classifier(parse(f"resize={SIDE},scale=-1..1"), options.pop("labels", LABELS), **options)


def tables(data: bytes) -> Any:
    """The model by LiteRT's own accessors."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def plain(value: Any) -> Any:
    """Tables as dictionaries, to be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in vars(value).items()} if hasattr(value, "__dict__") else value


def with_entries(data: bytes) -> bytes:
    """A model with metadata of others, as TensorFlow's converter writes it."""

    def change(model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        for name, contents in ((b"min_runtime_version", b"1.14.0\0\0"), (b"CONVERSION_METADATA", b"x" * 33)):
            buffer, entry = schema.BufferT(), schema.MetadataT()
            buffer.data, entry.name, entry.buffer = np.frombuffer(contents, np.uint8), name, len(model.buffers)
            model.buffers.append(buffer)
            model.metadata = [*(model.metadata or []), entry]

    return edited(data, change)


def converted() -> bytes:
    """What TensorFlow's converter writes: signatures, conversion metadata, a version of the runtime."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def network(image: Any) -> Any:
        return {"scores": tf.nn.softmax(tf.matmul(tf.reduce_mean(image, [1, 2]), tf.constant(np.eye(3, CLASSES, dtype=np.float32))))}

    data: bytes = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]).convert()
    assert b"min_runtime_version" in data
    return data


@pytest.mark.parametrize("source", [*PRECISIONS, "entries", "converter"])
def test_the_model_is_all_there(source: str) -> None:
    model = converted() if source == "converter" else with_entries(written("int8")) if source == "entries" else written(source)
    data = with_metadata(model, described())
    start = data.index(model)
    assert start % 16 == 0
    assert data[4:8] == b"TFL3"
    before, after = tables(model), tables(data)
    assert after.metadata[-1].name == b"TFLITE_METADATA"
    assert after.metadata[-1].buffer == len(after.buffers) - 1
    after.buffers, after.metadata = after.buffers[:-1], after.metadata[:-1] or None
    assert plain(after) == plain(before)
    for old, new in zip(read_model(model).buffers, read_model(data).buffers, strict=False):
        assert new.place - old.place == start
    place, length = read_model(data).buffers[-1].vector(0, 1)
    assert place % 16 == 0 and data[place + 4 : place + 8] == b"M001" and length > 100
    image = np.random.default_rng(1).standard_normal((1, SIDE, SIDE, 3)).astype(np.float32)
    assert np.array_equal(litert(model, [image])[0], litert(data, [image])[0])


def test_the_archive() -> None:
    calibration = ScoreCalibration((Sigmoid(1, 2, 3), None, Sigmoid(0.5, 1 / 3, -1e-7, 0.2), None, None))
    data = with_metadata(written("float32"), described(score_calibration=calibration))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [entry.compress_type for entry in archive.infolist()] == [zipfile.ZIP_STORED] * 2
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("labels.txt").decode() == "\n".join(LABELS)  # a line break at the end would be a class more
        lines = archive.read("score_calibration.txt").decode().split("\n")
    assert [np.float32(line.split(",")).tolist() if line else None for line in lines] == [
        [1, 2, 3],
        None,
        np.float32([0.5, 1 / 3, -1e-7, 0.2]).tolist(),
        None,
        None,
    ]


def test_the_same_file_in_another_process_zone_and_order_of_hashes(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(written("int8"))
    script = (
        "import sys, hashlib, pathlib; sys.path += sys.argv[2:]\n"
        "import test_metadata_writing as t\n"
        "model = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "print(hashlib.sha256(t.with_metadata(model, t.described())).hexdigest())"
    )
    found = set()
    for zone, seed in (("UTC", "1"), ("Asia/Tokyo", "2")):
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed}
        folders = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "shipping"), str(Path(__file__).parents[2])]
        command = [sys.executable, "-c", script, str(tmp_path / "model"), *folders]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip())
    assert found == {hashlib.sha256(with_metadata(written("int8"), described())).hexdigest()}


def test_metadata_that_are_there_give_way_only_where_asked() -> None:
    model = with_entries(written("float32"))
    once = with_metadata(model, described(author="First"))
    with pytest.raises(ModelError, match="already has TFLite metadata"):
        with_metadata(once, described(author="Second"))
    with pytest.raises(ModelError, match="already has an archive"):
        with_metadata(once[once.index(model) :], described())
    twice = with_metadata(once, described(author="Second", labels=tuple("abcde")), replace=True)
    found, notes = read_metadata(twice)
    assert found is not None and not notes
    assert (found.author, found.labels) == ("Second", tuple("abcde"))
    assert model in twice and b"Gro\xc3\x9fe" not in twice
    before, after = tables(model), tables(twice)
    assert [entry.name for entry in after.metadata] == [b"min_runtime_version", b"CONVERSION_METADATA", b"TFLITE_METADATA"]
    assert after.buffers[-2].data is None  # the first metadata's buffer keeps its number and holds nothing
    after.buffers, after.metadata = after.buffers[:-2], after.metadata[:-1]
    assert plain(after) == plain(before)


def test_weights_behind_the_flatbuffer_are_refused() -> None:
    def outside(model: Any) -> None:
        model.buffers[3].data, model.buffers[3].offset, model.buffers[3].size = None, 4096, 64

    def options_outside(model: Any) -> None:
        model.subgraphs[0].operators[0].largeCustomOptionsOffset = 4096

    def never_filled_in(model: Any) -> None:
        model.buffers[0].offset = model.buffers[0].size = 1

    for change in (outside, options_outside):
        with pytest.raises(ModelError, match="behind its flatbuffer"):
            with_metadata(edited(written("float32"), change), described())
    assert with_metadata(edited(written("float32"), never_filled_in), described())


def test_two_gigabytes_are_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    assert writing.LARGEST_BYTES == 2**31 - 1
    monkeypatch.setattr(writing, "LARGEST_BYTES", len(written("float32")) + 100)
    with pytest.raises(ModelError, match=r"would have \d+ bytes"):
        with_metadata(written("float32"), described())


def test_metadata_of_another_network_are_refused() -> None:
    model = written("float32")
    for metadata, words in (
        (described(labels=LABELS[:4]), "4 labels for its output of 1 x 5"),
        (described(height=SIDE + 1), f"its input is 1 x {SIDE} x {SIDE} x 3, not 1 x {SIDE + 1}"),
        (described(input_dtype="uint8"), "its input is float32, not uint8"),
    ):
        with pytest.raises(DataError, match=words):
            with_metadata(model, metadata)
    with pytest.raises(DataError, match=r"left open, 1 x \? x \? x 3"):
        with_metadata(with_sizes(model, "inputs", [1, 1, 1, 3], [1, -1, -1, 3]), described())

    def two_outputs(tables: Any) -> None:
        tables.subgraphs[0].outputs = np.repeat(tables.subgraphs[0].outputs, 2)

    with pytest.raises(DataError, match="1 inputs and 2 outputs"):
        with_metadata(edited(model, two_outputs), described())


def test_a_model_that_is_cut_short_is_refused() -> None:
    model = written("int8")
    for length in [*range(64), *range(64, len(model), 61)]:
        try:
            data = with_metadata(model[:length], described())
        except (ModelError, DataError):
            continue
        assert data.index(model[:length]) % 16 == 0  # cut after the last table that the root leads to
    for data in (b"", b"TFL3", b"\0" * 4 + b"TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 100, b"PK\x05\x06" + b"\0" * 18):
        with pytest.raises(ModelError, match="damaged"):
            with_metadata(data, described())


def test_a_damaged_model_is_refused_or_kept_as_it_is() -> None:
    model, random = written("int8"), np.random.default_rng(0)
    places = np.flatnonzero(np.frombuffer(model, np.uint8))
    refused = 0
    for _ in range(400):
        damaged = bytearray(model)
        for place in random.choice(places, random.integers(1, 4)):
            damaged[place] = random.integers(256)
        try:
            assert bytes(damaged) in with_metadata(bytes(damaged), described())
        except (ModelError, DataError):
            refused += 1
    assert refused > 20


def test_a_list_longer_than_the_file_is_refused_at_once() -> None:
    model = bytearray(written("float32"))
    buffers = read_model(bytes(model)).root.points_to(4)
    model[buffers : buffers + 4] = (2**31 - 1).to_bytes(4, "little")
    with pytest.raises(ModelError, match="a list of 2147483647 entries does not fit"):
        with_metadata(bytes(model), described())


def test_what_was_written_is_checked() -> None:
    model = written("float32")
    metadata, before = described(), read_model(model)
    data = with_metadata(model, metadata)
    start = data.index(model)
    check_written(data, start, model, before, metadata)
    changed = bytearray(data)
    changed[start + len(model) // 2] ^= 1
    relabelled = data.replace("猫".encode(), "犬".encode())
    for wrong, words in ((bytes(changed), "its bytes changed"), (relabelled, "damaged|read otherwise"), (model, "its bytes changed|no multiple")):
        with pytest.raises(ModelError, match=words):
            check_written(wrong, start, model, before, metadata)
    with pytest.raises(ModelError, match="read otherwise: author"):
        check_written(data, start, model, before, described(author="Somebody else"))


def test_a_reference_that_leads_far_out_of_the_file_is_refused() -> None:
    """The new root would have to refer to it, and no offset is that long."""
    model = bytearray(written("float32"))
    for field in (1, 2, 3, 4):  # operator codes, graphs, description, buffers
        place = read_model(bytes(model)).root.field(field)
        damaged = bytearray(model)
        damaged[place : place + 4] = b"\xf0\xff\xff\xff"
        with pytest.raises(ModelError, match="damaged: an offset leads to byte 4294"):
            with_metadata(bytes(damaged), described())
