"""`dsmobile ship metadata`: a copy that tells its labels, and a manifest beside it that stays true."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsmobile import pipeline
from dsmobile.errors import DataError, DsmobileError, OutputError
from dsmobile.exporters.artifact import Manifest, read_manifest
from dsmobile.pipeline import ExportRequest
from dsmobile.preprocessing import parse
from dsmobile.tflite_metadata.reading import read_metadata

from .consumer_models import CLASSES, SIDE, with_sizes, written

WAY = f"resize={SIDE},scale=-1..1"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Manifest]]:
    """One network with each kind of ends, without labels."""
    found = {}
    for io in ("float32", "uint8", "int8"):
        request = ExportRequest(
            "mobilenet_v1", alpha=0.25, resolution=32, classes=CLASSES, formats=("tflite",), recipes=("int8",), io=io, out=tmp_path_factory.mktemp(io)
        )
        done = pipeline.export(request)
        found[io] = done.paths[0], done.manifests[0]
    return found


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"class {number}\n" for number in range(CLASSES)), encoding="utf-8")
    return path


@pytest.fixture
def stranger(tmp_path: Path) -> Any:
    """Writes a file that has no manifest."""

    def stranger(data: bytes) -> Path:
        path = tmp_path / "stranger.tflite"
        path.write_bytes(data)
        return path

    return stranger


@pytest.mark.parametrize(("io", "mediapipe"), [("float32", True), ("uint8", True), ("int8", False)])
def test_the_manifest_says_who_accepts_the_copy(ours: Any, labels: Path, tmp_path: Path, io: str, mediapipe: bool) -> None:
    """MediaPipe takes no int8 whatever a file says of itself; all others read the same network as before."""
    path, manifest = ours[io]
    stamped = pipeline.ship_metadata(path, labels, tmp_path / "out.tflite", author="A", license="MIT")
    copied = read_manifest(stamped.path)
    assert copied is not None
    assert copied.accepted_by["mediapipe"]["accepted"] is mediapipe
    assert bool(copied.accepted_by["mediapipe"]["why"]) is (io != "float32")
    rest = [{name: one for name, one in found.accepted_by.items() if name != "mediapipe"} for found in (manifest, copied)]
    assert rest[0] == rest[1]
    assert (copied.file, copied.size_bytes, copied.metadata["author"], copied.metadata["license"]) == (
        "out.tflite", stamped.path.stat().st_size, "A", "MIT",
    )  # fmt: skip
    assert stamped.path.read_bytes().find(path.read_bytes()) > 0


def test_another_preprocessing_is_in_the_manifest_too(ours: Any, labels: Path, tmp_path: Path) -> None:
    stamped = pipeline.ship_metadata(ours["float32"][0], labels, tmp_path / "out.tflite", preprocess="resize=32,scale=0..1")
    copied, (found, _) = read_manifest(stamped.path), read_metadata(stamped.path.read_bytes())
    assert copied is not None and found is not None
    assert copied.preprocessing == parse("resize=32,scale=0..1")
    assert (found.inputs[0].mean, found.inputs[0].std) == ((0.0,), (255.0,))


def test_in_its_own_place_it_still_names_the_file_that_was_given(stranger: Any, labels: Path) -> None:
    path = stranger(written("float32"))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(OutputError):
        pipeline.ship_metadata(path, labels, path, preprocess=WAY)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    stamped = pipeline.ship_metadata(path, labels, path, preprocess=WAY, force=True)
    assert (stamped.model_sha256, stamped.sha256) == (before, hashlib.sha256(path.read_bytes()).hexdigest())
    assert list(path.parent.glob("*.manifest.json")) == []


def test_texts_that_a_file_has_stay_where_no_others_are_given(stranger: Any, labels: Path, tmp_path: Path) -> None:
    """A stranger's licence must not vanish because somebody adds labels."""
    texts = {"name": "net", "description": "two\nlines", "version": "3", "author": "Å. Müller", "license": "CC BY 4.0"}
    first = pipeline.ship_metadata(stranger(written("float32")), labels, tmp_path / "first.tflite", preprocess=WAY, **texts)
    second = pipeline.ship_metadata(first.path, labels, tmp_path / "second.tflite", preprocess=WAY, author="somebody")
    found, _ = read_metadata(second.path.read_bytes())
    assert found is not None
    assert {key: getattr(found, key) for key in texts} == {**texts, "author": "somebody"}


def test_a_lost_score_calibration_is_told(stranger: Any, labels: Path, tmp_path: Path) -> None:
    sigmoids = tmp_path / "sigmoids.csv"
    sigmoids.write_text("1,2,3\n" * CLASSES)
    path = stranger(written("float32"))
    first = pipeline.ship_metadata(path, labels, tmp_path / "first.tflite", preprocess=WAY, score_calibration=sigmoids)
    assert first.notes == ()
    assert "calibration" in pipeline.ship_metadata(first.path, labels, tmp_path / "second.tflite", preprocess=WAY).notes[0]


def test_integers_that_stand_for_other_numbers_are_told(stranger: Any, labels: Path, tmp_path: Path) -> None:
    path = stranger(written("int8", io="int8"))  # -1 to 1
    (refused,) = pipeline.ship_metadata(path, labels, tmp_path / "right.tflite", preprocess=WAY).notes
    assert "MediaPipe" in refused and "no int8" in refused
    for way in ("scale=0..255", "scale=0..1"):
        _, note = pipeline.ship_metadata(path, labels, tmp_path / f"{way}.tflite", preprocess=way).notes
        assert "from -0.996 to 1, and preprocessing gives 0 to " in note


@pytest.mark.parametrize(
    ("edit", "way", "words"),
    [
        (lambda model: with_sizes(model, "inputs", [1, 1, 1, 3], [1, -1, -1, 3]), "scale=-1..1", r"left open, 1 x \? x \? x 3"),
        (lambda model: model, "resize=256,crop=224,scale=-1..1", r"224 x 224 pixels, but .* takes 24 x 24"),
        (lambda model: model, "colour=bgr,scale=-1..1", "BGR"),
        (lambda model: model, "colour=grey,scale=-1..1", "input is 1 x 24 x 24 x 3"),
        (lambda model: model, "", "not known"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(stranger: Any, labels: Path, tmp_path: Path, edit: Any, way: str, words: str) -> None:
    """An open height and width become 1 x 1 in MediaPipe, which then answers nonsense without a word."""
    with pytest.raises(DataError, match=words):
        pipeline.ship_metadata(stranger(edit(written("float32"))), labels, tmp_path / "out.tflite", preprocess=way)
    assert not (tmp_path / "out.tflite").exists()


def test_an_open_batch_is_one_image(stranger: Any, labels: Path, tmp_path: Path) -> None:
    model = with_sizes(written("float32"), "inputs", [1, SIDE, SIDE, 3], [-1, SIDE, SIDE, 3])
    assert pipeline.ship_metadata(stranger(model), labels, tmp_path / "out.tflite", preprocess=WAY).path.is_file()


def test_damaged_files_are_named_not_raised_from_within(stranger: Any, labels: Path, tmp_path: Path) -> None:
    """Every byte of the new root and of the archive, turned over in turn."""
    whole = pipeline.ship_metadata(stranger(written("float32")), labels, tmp_path / "whole.tflite", preprocess=WAY).path.read_bytes()
    for place in [*range(0, 900, 3), *range(len(whole) - 200, len(whole), 3)]:
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        try:
            pipeline.ship_metadata(stranger(bytes(damaged)), labels, tmp_path / "out.tflite", preprocess=WAY, force=True)
        except DsmobileError as error:
            assert error.advice


def test_a_manifest_of_other_bytes_does_not_count(ours: Any, labels: Path, tmp_path: Path) -> None:
    from dsmobile.exporters.artifact import write_manifest

    path, manifest = ours["float32"]
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(path.read_bytes())
    write_manifest(copy, replace(manifest, sha256="0" * 64))
    with pytest.raises(DataError, match="not known"):
        pipeline.ship_metadata(copy, labels, tmp_path / "out.tflite")
