"""What a TFLite file of ours says of itself: TFLite metadata where there are labels, and why there is none where it cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.exporters.plan import Plan
from dsmobile.preprocessing import Preprocessing
from dsmobile.tflite_metadata import describing
from dsmobile.tflite_metadata.values import ClassifierMetadata, Obstacle
from dsmobile.tflite_metadata.writing import with_metadata


@dataclass(frozen=True)
class About:
    """What a person says of a network.

    Args:
        name: Its name.
        description: In one sentence.
        author: Who made it.
        license: Under which terms.
    """

    name: str
    description: str
    author: str = ""
    license: str = ""


def obstacles(plan: Plan, labels: tuple[str, ...], preprocessing: Preprocessing | None) -> tuple[Obstacle, ...]:
    """Why a file can carry no metadata, and what to do; empty where it can.

    Args:
        plan: What the file holds, its ends included.
        labels: One per class, or empty.
        preprocessing: From RGB bytes to the input.
    """
    model = plan.model
    return describing.obstacles(
        preprocessing,
        labels,
        channels=model.input.shape[-1],
        classes=prod(model.shape_of(model.output)),
        inputs=len(model.inputs),
        outputs=len(model.outputs),
        input_dtype=plan.io,
        input_quantization=_quantization(plan),
    )


def stamped(
    data: bytes, plan: Plan, labels: tuple[str, ...], preprocessing: Preprocessing, about: About, *, ends_in_softmax: bool
) -> tuple[bytes, dict[str, Any]]:
    """A file without obstacles with its metadata.

    Args:
        data: The file.
        plan: What it holds, its ends included.
        labels: One per class.
        preprocessing: From RGB bytes to the input.
        about: What a person says of it.
        ends_in_softmax: Whether its scores are probabilities.

    Returns:
        The file's bytes, and what a manifest says of the metadata.
    """
    height, width, _ = plan.model.input.shape
    metadata = describing.describe_classifier(
        preprocessing,
        labels,
        height=height,
        width=width,
        name=about.name,
        description=about.description,
        author=about.author,
        license=about.license,
        ends_in_softmax=ends_in_softmax,
        input_dtype=plan.io,
        input_quantization=_quantization(plan),
    )
    return with_metadata(data, metadata), in_manifest(metadata)


def in_manifest(metadata: ClassifierMetadata) -> dict[str, Any]:
    """What a manifest says of a file's metadata."""
    return {
        "labels": len(metadata.labels),
        "author": metadata.author,
        "license": metadata.license,
        "normalization_error": metadata.normalization_error,
    }


def _quantization(plan: Plan) -> tuple[float, int] | None:
    if plan.io == "float32":
        return None
    storage = plan.storage[plan.model.input.name].at_end(plan.io)
    return storage.scale, storage.zero_point
