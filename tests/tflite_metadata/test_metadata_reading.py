"""Metadata of strangers' files: read where they are sound, said to be damaged where they are not, within bounds whatever they claim."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from consumer_models import SIDE, edited, written
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmobile.preprocessing import parse
from dsmobile.tflite_metadata.archive import read_files
from dsmobile.tflite_metadata.describing import describe_classifier, obstacles
from dsmobile.tflite_metadata.flatbuffer import DamagedError
from dsmobile.tflite_metadata.reading import metadata_of, read_metadata
from dsmobile.tflite_metadata.tables import metadata_buffer
from dsmobile.tflite_metadata.values import FileEntry, ScoreCalibration, Sigmoid
from dsmobile.tflite_metadata.writing import with_metadata

PLAIN = parse(f"resize={SIDE},scale=-1..1")


def described(labels: tuple[str, ...] = tuple("abcde"), **more: Any) -> Any:
    return describe_classifier(PLAIN, labels, **{"height": SIDE, "width": SIDE, "name": "small", "ends_in_softmax": True} | more)


@pytest.fixture(scope="module")
def model() -> bytes:
    return written("float32")


def stranger(contents: bytes, archive: bytes = b"") -> bytes:
    """A model with any metadata and anything behind it."""

    def change(model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data, entry.name, entry.buffer = np.frombuffer(contents, np.uint8), b"TFLITE_METADATA", len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [entry]

    return edited(written("float32"), change) + archive


def test_everything_that_was_written_is_read(model: bytes) -> None:
    calibration = ScoreCalibration((Sigmoid(1, 2, 3), None, None, None, None), "inverse_logistic", 0.5)
    texts = {"name": "Ä", "description": "line\nbreak", "version": "v\u202e2", "author": "[bold]x", "license": "MIT"}
    found, notes = read_metadata(with_metadata(model, described(("a a", "b", "b", "<d>", "🐈"), score_calibration=calibration, **texts)))
    assert found is not None and notes == ()
    assert {key: getattr(found, key) for key in texts} == texts
    assert found.labels == ("a a", "b", "b", "<d>", "🐈")
    (image,), (scores,) = found.inputs, found.outputs
    assert (image.content, image.colour_space, image.size) == ("image", "rgb", (SIDE, SIDE))
    assert (image.mean, image.std, image.minimum, image.maximum) == ((127.5,), (127.5,), (-1.0,), (1.0,))
    assert (scores.content, scores.minimum, scores.maximum, scores.calibration) == ("feature", (0.0,), (1.0,), ("inverse_logistic", 0.5))
    assert scores.files == (FileEntry("labels.txt", "labels"), FileEntry("score_calibration.txt", "score calibration"))
    assert found.contents("score calibration") == b"1,2,3\n\n\n\n"


def test_a_model_without_metadata(model: bytes) -> None:
    assert read_metadata(model) == (None, ())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=20).map(tuple))
def test_any_labels_are_refused_or_come_back(labels: tuple[str, ...]) -> None:
    if obstacles(PLAIN, labels):
        bad = [label for label in labels if not label.strip() or len(label.splitlines()) != 1 or not label.isprintable() or label[0] == "\ufeff"]
        assert bad
        return
    from consumer_models import network, plan

    from dsmobile.exporters import tflite

    data = with_metadata(tflite.write(plan("float32", network(classes=len(labels)))), described(labels, ends_in_softmax=False))
    found, _ = read_metadata(data)
    assert found is not None
    assert found.labels == labels


def test_damaged_tables_raise_nothing_else() -> None:
    sound, random = metadata_buffer(described(score_calibration=ScoreCalibration((None,) * 5))), np.random.default_rng(0)
    damaged = 0
    for _ in range(3000):
        data = bytearray(sound)
        for place in random.integers(0, len(data), random.integers(1, 5)):
            data[place] = random.integers(256)
        try:
            metadata_of(bytes(data))
        except DamagedError:
            damaged += 1
    assert 300 < damaged < 3000
    for length in range(len(sound)):
        try:
            metadata_of(sound[:length])
        except DamagedError:
            damaged += 1
    with pytest.raises(DamagedError):
        metadata_of(b"")


@pytest.mark.parametrize("contents", [b"", b"garbage", b"\xff" * 100, b"\x08\0\0\0M001"])
def test_damaged_metadata_are_said_to_be_damaged(contents: bytes) -> None:
    found, notes = read_metadata(stranger(contents))
    assert found is None
    assert notes == ("Its TFLite metadata is damaged.",)


def archive_of(name: str, contents: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", kind) as archive:
        archive.writestr(name, contents)
    return whole.getvalue()


def test_a_bomb_is_left_packed() -> None:
    files = read_files(io.BytesIO(archive_of("labels.txt", b"\0" * (64 << 20))))
    assert files is not None
    assert (files[0].size_bytes, files[0].contents, files[0].stored) == (64 << 20, None, False)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(120):
            archive.writestr(f"{number}.txt", b"a\n" * (2 << 20))
    files = read_files(whole)
    assert files is not None
    assert len(files) == 100
    assert sum(len(file.contents or b"") for file in files) <= 16 << 20


def test_an_entry_that_claims_less_than_it_packs_is_damaged_or_read_so_far() -> None:
    data = bytearray(archive_of("labels.txt", b"a\n" * (4 << 20)))
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")  # its size, unpacked
    files = read_files(io.BytesIO(bytes(data)))
    assert files is None or len(files[0].contents or b"") <= 10


@pytest.mark.parametrize("at", ["central", "local", "end"])
def test_a_damaged_archive_is_said_to_be_damaged(model: bytes, at: str) -> None:
    data = bytearray(with_metadata(model, described()))
    place = {"central": data.rindex(b"PK\x01\x02"), "local": data.rindex(b"PK\x03\x04"), "end": data.rindex(b"PK\x05\x06") + 16}[at]
    data[place : place + 4] = b"\xfe\xff\xff\x7f"
    found, notes = read_metadata(bytes(data))
    assert found is not None
    assert found.labels == ()
    assert notes == ("The archive of files at its end is damaged.",)


def test_labels_that_are_no_text_are_not_made_up() -> None:
    contents = metadata_buffer(described())
    found, _ = read_metadata(stranger(contents, archive_of("labels.txt", b"caf\xe9\nb")))
    assert found is not None and found.labels == ()
    found, _ = read_metadata(stranger(contents, archive_of("other.txt", b"a\nb")))
    assert found is not None and found.labels == () and found.files[0].name == "other.txt"
    found, _ = read_metadata(stranger(contents, archive_of("labels.txt", b"a\r\nb\r\n")))
    assert found is not None and found.labels == ("a", "b")
