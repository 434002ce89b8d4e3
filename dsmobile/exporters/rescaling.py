"""The last step of preprocessing inside the file: it takes bytes as numbers, 0 to 255, and multiplies and adds by itself.

A file with uint8 ends then has the scale 1 and the zero point 0: a camera's bytes go in as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.operators import DepthwiseConvolution, ScaleShift
from dsmobile.exporters.quantization import Range
from dsmobile.preprocessing import Preprocessing

PLACES = ("outside", "inside")
INSIDE = "inside"
RESCALING = "dsmobile_rescaling"


def with_rescaling(model: Any, preprocessing: Preprocessing) -> Any:
    """A network that takes what preprocessing gives before its last step.

    Args:
        model: A functional `keras.Model` with one image as its input, NHWC.
        preprocessing: From RGB bytes to that input.

    Returns:
        A `keras.Model` of the same name; its input is the same image with values from 0 to 255.
    """
    import keras

    given = keras.Input(tuple(model.inputs[0].shape[1:]), name=f"{model.inputs[0].name}_bytes")
    scale, offset = (list(values) if len(values) > 1 else values[0] for values in (preprocessing.scale, preprocessing.offset))
    rescaled = keras.layers.Rescaling(scale, offset, name=RESCALING)(given)
    return keras.Model(given, model(rescaled), name=model.name)


def of_bytes(preprocessing: Preprocessing) -> Preprocessing:
    """The same preprocessing without its last step."""
    return replace(preprocessing, scale=(1.0,), offset=(0.0,))


def known_ranges(model: FoldedModel, given: Range) -> dict[str, Range]:
    """The ranges that need no calibration: of the input, and of what only scales and shifts each of its channels.

    Args:
        model: A network with one input.
        given: What the input can hold.

    Returns:
        Each range by its value's name.
    """
    found = {model.input.name: given}
    for node in model.consumers(model.input.name):
        operator = node.operator
        if isinstance(operator, ScaleShift):
            scale, shift = operator.scale, operator.shift
        elif isinstance(operator, DepthwiseConvolution) and operator.kernel.shape[:2] == (1, 1) and operator.kernel.shape[3] == 1:
            scale, shift = operator.kernel.reshape(-1), operator.bias
        else:
            continue
        ends = np.concatenate([given.low * scale + shift, given.high * scale + shift])
        found[node.name] = Range(min(float(ends.min()), 0.0), max(float(ends.max()), 0.0))
    return found
