"""Which artifacts can be shipped: ours, TFLite, one float32 image in, one float32 score per class out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsmobile.errors import ModelError
from dsmobile.exporters.artifact import Manifest, TensorInfo, manifest_path, read_manifest
from dsmobile.preprocessing import Floats, Preprocessing

_LARGEST_BYTES = 512 << 20
_PREPROCESS = '--preprocess "resize=256,crop=224,scale=-1..1" (with the sizes and the range that the network was trained with)'


@dataclass(frozen=True)
class Shippable:
    """An artifact that fits the module.

    Args:
        path: The model file.
        data: Its bytes.
        manifest: What is known of it.
        preprocessing: From RGB bytes to its input.
        height: Rows of its input.
        width: Columns of its input.
        classes: Numbers it answers.
    """

    path: Path
    data: bytes
    manifest: Manifest
    preprocessing: Preprocessing
    height: int
    width: int
    classes: int


def open_shippable(path: Path) -> Shippable:
    """Reads an artifact and its manifest, and checks that the module can run it.

    Raises:
        ModelError: It is missing, a stranger's, no TFLite file, takes no images or integers, answers something else than scores, or is
            not what its manifest says.
    """
    if not path.is_file():
        raise ModelError(f"{path} is not a file", "give a .tflite file that `dsmobile export` wrote")
    manifest = read_manifest(path)
    if manifest is None:
        why = "its manifest belongs to other bytes" if manifest_path(path).is_file() else f"there is no {manifest_path(path).name} beside it"
        raise ModelError(
            f"{path} was not written by dsmobile as it is ({why}): how its images are prepared is unknown, and a guess ships wrong answers",
            f"export the network itself with `dsmobile export SOURCE --format tflite {_PREPROCESS}`, and ship that file",
        )
    if manifest.format != "tflite":
        raise ModelError(f"{path} is {manifest.format}, and the module runs LiteRT", "export it with --format tflite and ship that file")
    if manifest.size_bytes > _LARGEST_BYTES:
        raise ModelError(f"{path} has {manifest.size_bytes} bytes, more than an app can carry", "export a smaller alpha, or the recipe int8")
    preprocessing = manifest.preprocessing
    if preprocessing is None:
        raise ModelError(
            f"{path} has no preprocessing in its manifest: how images become its input is unknown", f"export it again with {_PREPROCESS}"
        )
    height, width = _image_input(path, manifest, preprocessing)
    classes = _score_output(path, manifest)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise ModelError(f"{path} changed while it was read", "run again when nothing writes to it")
    _hold_against_the_file(path, manifest)
    return Shippable(path, data, manifest, preprocessing, height, width, classes)


def open_runner_of(shippable: Shippable) -> Callable[[Floats], list[Floats]]:
    """Opens an artifact in LiteRT here.

    Returns:
        The function that runs it: the input, float32 NHWC, to its outputs.
    """
    from dsmobile.exporters.runners import open_runner

    return open_runner(shippable.path, inputs=shippable.manifest.inputs, outputs=shippable.manifest.outputs).run


def _hold_against_the_file(path: Path, manifest: Manifest) -> None:
    """Raises where the file itself is something that no app runs, whatever its manifest says.

    Raises:
        ModelError: It has operators that LiteRT lacks, sizes that are not fixed, or other ends than its manifest says.
    """
    from dsmobile.inspection.inspect import inspect

    again = "export it again with `dsmobile export`"
    seen = inspect(path)
    lacking = (*seen.facts.custom_operators, *seen.facts.select_tf_operators)
    if lacking:
        raise ModelError(f"{path} needs operators that LiteRT does not have: {', '.join(lacking)[:200]}", f"{again}, which writes none")
    for what, ends, said in (("input", seen.facts.inputs, manifest.inputs), ("output", seen.facts.outputs, manifest.outputs)):
        shapes = ", ".join(str(end.shape) for end in ends)
        if any(end.shape is None or None in end.shape for end in ends):
            raise ModelError(f"{path}: the {what}'s shape {shapes} is not fixed, and the buffers of an app are", again)
        if [(end.shape, end.dtype) for end in ends] != [(tensor.shape, tensor.dtype) for tensor in said]:
            raise ModelError(f"{path} has the {what} {shapes}, but its manifest says {', '.join(str(tensor.shape) for tensor in said)}", again)
    refused = next((trial for trial in seen.runtimes if not trial.takes), None)
    if refused is not None:
        raise ModelError(f"{path}: {refused.runtime} {refused.version} does not take it: {refused.reason}", again)


def _image_input(path: Path, manifest: Manifest, preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width of the one float32 NHWC input, which the preprocessing must be able to fill."""
    tensor = _only(path, "input", manifest.inputs)
    if tensor.dtype != "float32":
        raise ModelError(
            f"{path} takes {tensor.dtype}, and the Android module and its goldens are for float32 ends",
            "export it with --io float32: the weights stay int8, only the ends become float32",
        )
    shape = tensor.shape
    if preprocessing.layout != "nhwc" or len(shape) != 4 or shape[0] != 1 or shape[3] != preprocessing.channels:
        raise ModelError(
            f"{path} takes {shape}, but its preprocessing gives one {preprocessing.layout} image of {preprocessing.channels} channels",
            "export it again with a preprocessing whose layout is nhwc and whose colour fits the network",
        )
    height, width = shape[1], shape[2]
    if preprocessing.crop is not None and preprocessing.crop != (height, width):
        raise ModelError(
            f"{path} takes {height} x {width} pixels, but its preprocessing crops to {preprocessing.crop}",
            f"export it again with {_PREPROCESS}",
        )
    for key, values in (("scale", preprocessing.scale), ("offset", preprocessing.offset)):
        with np.errstate(over="ignore"):
            if not np.isfinite(np.asarray(values, np.float32)).all():
                raise ModelError(f"{path}: the preprocessing's {key} {values} is beyond float32", f"export it again with {_PREPROCESS}")
    return height, width


def _score_output(path: Path, manifest: Manifest) -> int:
    tensor = _only(path, "output", manifest.outputs)
    if tensor.dtype != "float32":
        raise ModelError(f"{path} answers {tensor.dtype}", "export it with --io float32")
    classes = tensor.shape[-1] if tensor.shape else 0
    if classes < 1 or any(side != 1 for side in tensor.shape[:-1]):
        raise ModelError(
            f"{path} answers {tensor.shape}, not one score per class",
            "ship a classifier: the module gives labelled scores and nothing else",
        )
    return classes


def _only(path: Path, what: str, tensors: tuple[TensorInfo, ...]) -> TensorInfo:
    if len(tensors) != 1:
        raise ModelError(f"{path} has {len(tensors)} {what}s", f"ship a network with one {what}")
    return tensors[0]
