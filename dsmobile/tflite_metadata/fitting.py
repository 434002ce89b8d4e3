"""Whether metadata are about the model that they are written into."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dsmobile.tflite_metadata.model_file import ModelFile
from dsmobile.tflite_metadata.normalization import LARGEST_ROUNDING, shift_of_raw_bytes
from dsmobile.tflite_metadata.values import ClassifierMetadata, Obstacle


def misfits(model: ModelFile, metadata: ClassifierMetadata) -> Iterator[Obstacle]:
    """What does not fit.

    Args:
        model: The model.
        metadata: What it is to say.

    Yields:
        Each reason with what to do.
    """
    if (len(model.inputs), len(model.outputs)) != (1, 1):
        yield Obstacle(
            f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs",
            "export a classifier with one image as input and one output of scores",
        )
        return
    given, scores = model.inputs[0], model.outputs[0]
    if any(size < 0 for size in given.signature[1:]):  # an open batch is run as one image
        yield Obstacle(
            f"its input is left open, {_sizes(given.signature)}: readers would make every image {_sizes(given.shape[1:3])} pixels",
            "convert it with a fixed height and width",
        )
    if given.shape != (1, metadata.height, metadata.width, metadata.channels):
        described = f"1 x {metadata.height} x {metadata.width} x {metadata.channels}"
        yield Obstacle(f"its input is {_sizes(given.shape)}, not {described}", "give the preprocessing of this network")
    if given.dtype != metadata.input_dtype:
        yield Obstacle(f"its input is {given.dtype}, not {metadata.input_dtype}", "describe it with the type of its input")
    if math.prod(scores.shape) != len(metadata.labels):
        yield Obstacle(
            f"there are {len(metadata.labels)} labels for its output of {_sizes(scores.shape)}", "give one label per class, in the network's order"
        )
    if given.dtype == "uint8" and given.quantization and given.quantization[0] > 0:
        shift = max(
            shift_of_raw_bytes(1 / std, -mean / std, given.quantization) for mean, std in zip(metadata.mean, metadata.std, strict=True)
        )  # fmt: skip
        if not shift <= LARGEST_ROUNDING:
            yield Obstacle(
                f"readers put raw bytes into its uint8 input, which are up to {shift:.3g} integers off", "export it with --rescaling inside"
            )


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join("?" if size < 0 else str(size) for size in shape) or "one number"
