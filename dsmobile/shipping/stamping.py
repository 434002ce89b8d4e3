"""`dsmobile ship metadata`: a copy of a TFLite classifier, ours or a stranger's, that tells its labels and how its images are prepared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from dsmobile.errors import DataError, ModelError
from dsmobile.exporters.artifact import Manifest, read_manifest, write_manifest
from dsmobile.exporters.consumers import MEDIAPIPE_INPUTS, acceptances
from dsmobile.exporters.file_facts import tflite_facts
from dsmobile.exporters.stamp import in_manifest
from dsmobile.files import prepare_folder, refuse_overwriting, sha256, write_bytes
from dsmobile.labels import read_labels
from dsmobile.preprocessing import HOW, Preprocessing, parse
from dsmobile.tflite_metadata.describing import describe_classifier, repeated_note
from dsmobile.tflite_metadata.flatbuffer import DamagedError
from dsmobile.tflite_metadata.model_file import End, ModelFile, read_model
from dsmobile.tflite_metadata.reading import read_metadata
from dsmobile.tflite_metadata.score_calibration import read_score_calibration
from dsmobile.tflite_metadata.values import ClassifierMetadata, ModelMetadata
from dsmobile.tflite_metadata.writing import LARGEST_BYTES, with_metadata

DEFAULT_OUT = Path("dsmobile-out")
_LOWEST = {"int8": -128, "uint8": 0}


@dataclass(frozen=True)
class StampedFile:
    """A file that was written.

    Args:
        path: The file, absolute.
        sha256: Its hash.
        model_sha256: The hash of the file that it is a copy of.
        labels: How many labels it carries.
        notes: What a person must know.
    """

    path: Path
    sha256: str
    model_sha256: str
    labels: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "model_sha256": self.model_sha256,
            "labels": self.labels,
            "notes": list(self.notes),
        }


def stamp_file(
    model: Path,
    labels: Path,
    out: Path | None = None,
    *,
    preprocess: str = "",
    name: str = "",
    description: str = "",
    version: str = "",
    author: str = "",
    license: str = "",  # noqa: A002
    score_calibration: Path | None = None,
    score_transformation: str = "identity",
    force: bool = False,
) -> StampedFile:
    """Writes a copy of a file with TFLite metadata; what it has gives way, texts only where others are given. A copy of ours gets a manifest too.

    Args:
        model: A `.tflite` classifier of one image.
        labels: One class a line, in the network's order.
        out: The file to write; None means `dsmobile-out/NAME`.
        preprocess: From RGB bytes to the input; needed where no manifest of ours tells it.
        name: Of the network; empty takes that of the metadata it has, the manifest's or the file's.
        description: Of the network; empty takes that of the metadata it has.
        version: Likewise.
        author: Likewise.
        license: Likewise.
        score_calibration: A file with `scale,slope,offset` for each class.
        score_transformation: What comes before the calibration: `identity`, `log` or `inverse_logistic`.
        force: Replace a file that is already there.

    Raises:
        ModelError: The file is missing, damaged, or no classifier of one image.
        DataError: The labels, the preprocessing or the calibration do not fit.
        OutputError: The file is already there, or cannot be written.
    """
    if not model.is_file():
        raise ModelError(f"{model} is not a file", "give a .tflite file")
    if model.stat().st_size > LARGEST_BYTES:
        raise ModelError(f"{model} is larger than 2 GB", "a TFLite file with metadata is smaller")
    manifest = read_manifest(model)
    data = model.read_bytes()
    classes, given = _ends(model, data)
    names = read_labels(labels, classes)
    preprocessing = _preprocessing(model, manifest, preprocess)
    if preprocessing.crop and preprocessing.crop != given.shape[1:3]:
        sides = [" x ".join(map(str, two)) for two in (preprocessing.crop, given.shape[1:3])]
        raise DataError(f"--preprocess gives images of {sides[0]} pixels, but {model} takes {sides[1]}", "set crop to what the network takes")
    had = _had(model, data)
    metadata = describe_classifier(
        preprocessing,
        names,
        height=given.shape[1],
        width=given.shape[2],
        name=name or had.name or (manifest.name if manifest else model.stem),
        description=description or had.description,
        version=version or had.version,
        author=author or had.author,
        license=license or had.license,
        ends_in_softmax=manifest.ends_in_softmax if manifest else False,
        score_calibration=read_score_calibration(score_calibration, transformation=score_transformation) if score_calibration else None,
        input_dtype=given.dtype,
        input_quantization=given.quantization,
    )
    stamped = with_metadata(data, metadata, replace=True)
    path = out if out is not None else DEFAULT_OUT / model.name
    path = prepare_folder(path.parent) / path.name
    refuse_overwriting([path], force=force)
    write_bytes(path, stamped)
    digest = sha256(path)
    if manifest:
        accepted = acceptances(tflite_facts(manifest.inputs, manifest.outputs, stamped))
        write_manifest(
            path,
            replace(
                manifest, file=path.name, sha256=digest, size_bytes=len(stamped), labels=names, metadata=in_manifest(metadata),
                preprocessing=preprocessing,
                accepted_by={one.consumer: one.to_json() for one in accepted},
            ),
        )  # fmt: skip
    notes = (*_notes(names, metadata.normalization_error), *_refused(given.dtype), *_unlike(preprocessing, given), *_lost(had, metadata))
    return StampedFile(path, digest, hashlib.sha256(data).hexdigest(), len(names), notes)


def _ends(path: Path, data: bytes) -> tuple[int, Any]:
    """How many classes a file tells apart, and its input."""
    try:
        model: ModelFile = read_model(data)
    except DamagedError as error:
        raise ModelError(f"{path} is no TFLite file, or is damaged: {error}", "give a .tflite file") from error
    if (len(model.inputs), len(model.outputs)) != (1, 1) or len(model.inputs[0].shape) != 4:
        raise ModelError(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs, or its input is no image",
            "give a classifier with one image as input and one output of scores",
        )
    return prod(model.outputs[0].shape), model.inputs[0]


def _had(path: Path, data: bytes) -> ModelMetadata:
    """The metadata that a file has; empty where it has none, or none that can be read."""
    try:
        return read_metadata(data)[0] or ModelMetadata()
    except DamagedError as error:
        raise ModelError(f"the metadata of {path} are damaged: {error}", "take the file as it was before they were written") from error


def _preprocessing(path: Path, manifest: Manifest | None, preprocess: str) -> Preprocessing:
    if preprocess:
        return parse(preprocess)
    if manifest is None or manifest.preprocessing is None:
        raise DataError(f"how images become the input of {path} is not known", HOW)
    return manifest.preprocessing


def _notes(labels: tuple[str, ...], error: float) -> list[str]:
    notes = [note for note in [repeated_note(labels)] if note]
    if error:
        notes.append(f"readers of metadata normalize a byte to within {error:.2g} of what was trained: their scores may differ a little")
    return notes


def _refused(dtype: str) -> list[str]:
    if dtype in MEDIAPIPE_INPUTS:
        return []
    return [f"MediaPipe refuses it all the same: it takes {' and '.join(MEDIAPIPE_INPUTS)} inputs, no {dtype}"]


def _unlike(preprocessing: Preprocessing, given: End) -> list[str]:
    """Whether an input's integers stand for other numbers than preprocessing gives, so that it is hardly that which the network was trained with."""
    if given.quantization is None or given.dtype not in _LOWEST:
        return []
    scale, zero_point = given.quantization
    low, high = ((_LOWEST[given.dtype] + step - zero_point) * scale for step in (0, 255))
    wanted = min(preprocessing.input_range[0], 0.0), max(preprocessing.input_range[1], 0.0)
    room = 0.1 * (wanted[1] - wanted[0])  # calibration images may have held a little less
    if low - room <= wanted[0] and wanted[1] <= high + room and high - low <= 1.5 * (wanted[1] - wanted[0]):
        return []
    told = f"{wanted[0]:.3g} to {wanted[1]:.3g}"
    return [f"its input holds numbers from {low:.3g} to {high:.3g}, and preprocessing gives {told}: is that how it was trained?"]


def _lost(had: ModelMetadata, metadata: ClassifierMetadata) -> list[str]:
    if metadata.score_calibration or not any(output.calibration for output in had.outputs):
        return []
    return ["the score calibration that it had is gone: give --score-calibration to write one"]
