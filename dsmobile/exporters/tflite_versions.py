"""The versions of TFLite's operators: the lowest that knows what a file uses, so that an older runtime refuses the file and does not misread it.

Source: TensorFlow, `tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc`, `GetBuiltinOperatorVersion`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsmobile.exporters.tflite_tensor import Tensor

# By the type of the first input: float32, int8, int16. Operators that are not here have one version.
_BY_TYPE = {
    "ADD": (1, 2, 3), "AVERAGE_POOL_2D": (1, 2, 3), "CONCATENATION": (1, 2, 3), "GELU": (1, 2, 2), "LEAKY_RELU": (1, 1, 2),
    "LOGISTIC": (1, 2, 3), "MAXIMUM": (1, 2, 4), "MAX_POOL_2D": (1, 2, 3), "MEAN": (1, 2, 3), "MINIMUM": (1, 2, 4), "MUL": (1, 2, 4),
    "PAD": (1, 2, 3), "REDUCE_MAX": (1, 2, 3), "RELU": (1, 2, 3), "RELU6": (1, 2, 3), "RESIZE_BILINEAR": (3, 3, 4),
    "RESIZE_NEAREST_NEIGHBOR": (1, 2, 4), "SOFTMAX": (1, 2, 3), "STRIDED_SLICE": (1, 2, 2), "SUB": (1, 2, 5), "TANH": (1, 2, 3),
}  # fmt: skip
_TYPES = ("float32", "int8", "int16")


def version(code: str, inputs: list[Tensor], output: Tensor, options: dict[str, Any]) -> int:
    """The version of one operator.

    Args:
        code: The operator's name in the schema.
        inputs: Its inputs.
        output: Its output.
        options: Its options, by the schema's names.
    """
    first = inputs[0].dtype
    if code in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"):
        return _weighted(code, inputs, options)
    if code == "QUANTIZE":
        return 2 if output.dtype == "int16" else 1
    if code == "DEQUANTIZE":
        per_channel = inputs[0].scales is not None and inputs[0].scales.size > 1
        return {"int8": 5 if per_channel else 2, "int16": 3, "float16": 3}.get(first, 1)
    if code == "MUL" and first == "int8" and _rescale(inputs, output) >= 1:
        return 3
    return _BY_TYPE[code][_TYPES.index(first)] if code in _BY_TYPE and first in _TYPES else 1


def _rescale(inputs: list[Tensor], output: Tensor) -> float:
    scales = [float(tensor.scales[0]) for tensor in (*inputs, output) if tensor.scales is not None]
    return scales[0] * scales[1] / scales[2]


def _weighted(code: str, inputs: list[Tensor], options: dict[str, Any]) -> int:
    if code == "TRANSPOSE_CONV":
        return 4 if options.get("fusedActivationFunction") else 3  # 3: with a bias
    x, kernel = inputs[0], inputs[1]
    hybrid = x.dtype == "float32" and kernel.dtype == "int8"
    integer = x.dtype in ("int8", "int16")
    if code == "CONV_2D":
        if kernel.shape[-1] != x.shape[-1]:
            return 6  # groups
        return 5 if hybrid else 3 if integer else 1
    if code == "DEPTHWISE_CONV_2D":
        dilated = (options["dilationHFactor"], options["dilationWFactor"]) != (1, 1)
        return 6 if hybrid else 3 if integer else 2 if dilated else 1
    return 12 if hybrid else 4 if integer else 1
