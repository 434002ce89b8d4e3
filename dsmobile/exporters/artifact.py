"""An artifact: a model file and the manifest beside it, which holds everything needed to repeat and to use it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dsmobile.errors import ModelError
from dsmobile.files import sha256, write_json
from dsmobile.preprocessing import Preprocessing

SCHEMA = "dsmobile.artifact/1"
ROLES = ("model", "separable", "twin")
FORMATS = ("tflite", "onnx")
SUFFIX = ".manifest.json"


@dataclass(frozen=True)
class TensorInfo:
    """An input or an output.

    Args:
        name: Its name in the file.
        shape: Its shape, batch included, in the file's own order.
        dtype: numpy's name: float32, uint8, int8.
        scale: real = scale * (stored - zero_point); None where it is float.
        zero_point: See scale.
        layout: `nhwc`, `nchw` or empty where it is no image.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    layout: str = ""


@dataclass(frozen=True)
class Parity:
    """The file against the network it was written from, before the final softmax, on `count` inputs.

    Args:
        max_abs_error: Largest absolute difference.
        max_abs_reference: Largest absolute value of the reference.
        sqnr_db: Signal to quantization noise ratio in dB; None where they are equal to the bit.
        top1_agreement: Share of inputs with the same largest output.
        count: Inputs compared.
    """

    max_abs_error: float
    max_abs_reference: float
    sqnr_db: float | None
    top1_agreement: float
    count: int


@dataclass(frozen=True)
class Manifest:
    """What is known of an artifact.

    Args:
        file: The model file's name, beside the manifest.
        sha256: The model file's hash.
        size_bytes: The model file's size.
        name: The network's name: `mobilenet_v1_0.5_160`.
        role: `model`, `separable` or `twin`.
        pair_id: The same for a separable network and its twin; who is compared with whom.
        format: `tflite` or `onnx`.
        recipe: The recipe's name.
        recipe_values: The whole recipe.
        source: What it was made from: SOURCE as given, kind, hash, alpha, resolution, classes, weights, seed.
        inputs: The file's inputs.
        outputs: The file's outputs.
        head: `as-is`, `logits` or `softmax`.
        ends_in_softmax: Whether the outputs are probabilities.
        preprocessing: From RGB bytes to the network's real-valued NHWC input; None where it takes no images.
        labels: One per class, or empty.
        calibration: Which inputs set the ranges: kind, count, hash.
        parity: How well the file computes what the network computes.
        macs: Multiply-accumulates of convolutions and dense layers, one inference.
        parameters: Keras's count, batch normalization included.
        twin: How the twin was made, by layer; empty for other roles.
        probe: A seeded input and the first outputs that this machine computed for it.
        versions: Of dsmobile and of every library that took part.
        correction: Inputs kept aside, what plain and corrected integers score on them, which of them the file holds.
        layers: How many layers there are, how many compute in integers, which do not.
        delegation: How many of a TFLite file's operators XNNPACK takes here, and in how many parts.
        accepted_by: Who accepts the file, by the consumer's name: see `consumers.Acceptance`.
        metadata: What TFLite metadata the file carries: labels, author, licence; empty where it carries none.
        weights_sha256: Over all weights, scales and biases read back from the file; the same in TFLite and ONNX of the same integers.
    """

    file: str
    sha256: str
    size_bytes: int
    name: str
    role: str
    pair_id: str
    format: str
    recipe: str
    recipe_values: dict[str, Any]
    source: dict[str, Any]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    head: str
    ends_in_softmax: bool
    preprocessing: Preprocessing | None
    labels: tuple[str, ...]
    calibration: dict[str, Any]
    parity: Parity
    macs: int
    parameters: int
    twin: dict[str, Any] = field(default_factory=dict)
    probe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    correction: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)
    delegation: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    accepted_by: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        document = asdict(self)
        document["preprocessing"] = self.preprocessing.to_json() if self.preprocessing else None
        return {"schema": SCHEMA, **document}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Manifest:
        """Reads the JSON form.

        Raises:
            KeyError, TypeError: A field is missing or of another type.
        """
        values = {key: value for key, value in document.items() if key != "schema"}
        for key in ("inputs", "outputs"):
            values[key] = tuple(TensorInfo(**{**tensor, "shape": tuple(tensor["shape"])}) for tensor in values[key])
        values["parity"] = Parity(**values["parity"])
        values["labels"] = tuple(values["labels"])
        values["preprocessing"] = Preprocessing.from_json(values["preprocessing"]) if values["preprocessing"] else None
        return cls(**values)


def manifest_path(model: Path) -> Path:
    """Where the manifest of a model file lies."""
    return model.with_name(model.name + SUFFIX)


def without_manifests(paths: Iterable[Path]) -> list[Path]:
    """The paths that are no manifests: a shell's `out/*int8*` names those too."""
    return [path for path in paths if not path.name.endswith(SUFFIX)]


def write_manifest(model: Path, manifest: Manifest) -> Path:
    """Writes the manifest beside its model file and returns its path."""
    path = manifest_path(model)
    write_json(path, manifest.to_json())
    return path


def read_manifest(model: Path) -> Manifest | None:
    """The manifest of a model file; None where there is none or it belongs to other bytes, so the file is a stranger's.

    Raises:
        ModelError: The manifest is damaged.
    """
    path = manifest_path(model)
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ModelError(f"{path} has the schema {document['schema']!r}, not {SCHEMA!r}", "export the model again")
        manifest = Manifest.from_json(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged: {error}", "export the model again, or remove the manifest to treat the file as a stranger's") from error
    return manifest if manifest.sha256 == sha256(model) else None
