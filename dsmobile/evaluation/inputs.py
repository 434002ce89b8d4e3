"""What the inputs of several files are: preprocessing, labels and the scale of integers, as they were given or as the manifests know them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dsmobile.dataset import ArrayFile, Dataset
from dsmobile.errors import DataError
from dsmobile.evaluation.names import distinguishing
from dsmobile.evaluation.session import Session
from dsmobile.exporters.artifact import Manifest
from dsmobile.keras_files import KERAS_SUFFIXES
from dsmobile.labels import read_labels
from dsmobile.preprocessing import HOW, Preprocessing, parse

Manifests = dict[Path, Manifest | None]


def preprocessing_of(data: Path, given: str | None, manifests: Manifests) -> tuple[Preprocessing | None, dict[Path, str]]:
    """From RGB bytes to the input, the same for all files.

    A Keras file says nothing of it: beside files whose manifests agree it is taken to have theirs, since that is what they were exported from.

    Args:
        data: A folder of images or an `.npz`.
        given: What a person said; it comes first.
        manifests: Of each file, where there is one.

    Returns:
        The preprocessing, None where none is known and none needed; and what is to be said of it, by file.

    Raises:
        DataError: Nothing says it, or manifests disagree.
    """
    names = distinguishing(manifests)
    known = {path: replace(manifest.preprocessing, layout="nhwc") for path, manifest in manifests.items() if manifest and manifest.preprocessing}
    if given is not None:
        preprocessing = parse(given)
        others = [path for path, own in known.items() if own != replace(preprocessing, layout="nhwc")]
        return preprocessing, {path: f"--preprocess differs from what {names[path]} was exported with" for path in others}
    if not known and not data.is_dir():
        return None, {}
    silent = [path for path in manifests if path not in known]
    strange = [path for path in silent if not known or path.suffix.lower() not in KERAS_SUFFIXES]
    if strange and data.is_dir():
        raise DataError(f"nothing says how images become the input of {strange[0]}", HOW)
    first, *rest = known.items()
    for path, own in rest:
        if own != first[1]:
            raise DataError(
                f"{names[first[0]]} and {names[path]} were exported with different preprocessing",
                "evaluate them one by one, or give one --preprocess for all",
            )
    return first[1], {path: f"{names[path]} says nothing of its preprocessing: it got that of {names[first[0]]}'s manifest" for path in silent}


def labels_of(data: Path, given: Path | None, manifests: Manifests, *, needed: bool) -> tuple[str, ...] | None:
    """The classes that a folder's folders are; None for an `.npz`, which holds indices, and for images without classes.

    Args:
        data: A folder of images or an `.npz`.
        given: A labels file.
        manifests: Of each file, where there is one.
        needed: Whether it is an error not to know the classes of images.

    Raises:
        DataError: Nothing says them, or manifests disagree.
    """
    if given is not None:
        return read_labels(given)
    if not data.is_dir():
        return None
    if not needed and not any(entry.is_dir() and not entry.name.startswith(".") for entry in data.iterdir()):
        return None  # images without folders have no class, whatever the manifests know
    names = distinguishing(manifests)
    known = {path: manifest.labels for path, manifest in manifests.items() if manifest and manifest.labels}
    if not known:
        if not needed:
            return None
        raise DataError("nothing says which class each folder of images is", "give --labels FILE: one class a line, its first word the folder's name")
    first, *rest = known.items()
    for path, own in rest:
        if own != first[1]:
            raise DataError(
                f"{names[first[0]]} and {names[path]} were exported with different labels",
                "evaluate them one by one, or give one --labels for all",
            )
    return first[1]


def quantized_as(dataset: Dataset, sessions: dict[Path, Session]) -> tuple[Dataset, str]:
    """Integers that come without a scale are what an artifact with an input of that type stores, where there is one and they agree.

    Returns:
        The data set, and what is to be said of it.

    Raises:
        DataError: No artifact says it, or they disagree.
    """
    if not isinstance(dataset, ArrayFile) or not dataset.needs_quantization:
        return dataset, ""
    dtype = np.dtype(dataset.dtype).name
    known = {
        (info.scale, info.zero_point): path
        for path, session in sessions.items()
        for info in session.inputs
        if info.dtype == dtype and info.scale is not None and info.zero_point is not None
    }
    if len(known) != 1:
        how = "artifacts that take this type disagree about" if known else "nothing says"
        raise DataError(
            f"{dataset.path}: x holds {dtype}, and {how} which real numbers they stand for",
            "add scale and zero_point to the .npz: real = scale * (x - zero_point)",
        )
    ((scale, zero_point), path), *_ = known.items()
    assert scale is not None and zero_point is not None  # noqa: S101
    note = f"x holds {dtype} without a scale: taken as {path.name} stores its input, scale {scale:.6g} and zero point {zero_point}"
    return replace(dataset, quantization=(scale, zero_point)), note
