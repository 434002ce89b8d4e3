"""A network as a TFLite file, written from its plan: batch 1, weights as constants, a named signature.

The file is written directly, without TensorFlow's converter: so it carries exactly the integers of the plan, the same as the ONNX file, and
every layer may have a precision of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from dsmobile.errors import ConversionError
from dsmobile.exporters import tflite_layers as layers
from dsmobile.exporters import tflite_operators as others
from dsmobile.exporters.operators import (
    Activation,
    Add,
    Concatenate,
    Convolution,
    Crop,
    Dense,
    DepthwiseConvolution,
    GlobalPool,
    Maximum,
    Minimum,
    Multiply,
    Pad,
    ParametricRelu,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    Subtract,
    TransposedConvolution,
    Upsample,
)
from dsmobile.exporters.plan import Plan
from dsmobile.exporters.tflite_graph import OURS
from dsmobile.exporters.tflite_values import Values

_WRITERS: dict[type, Callable[..., None]] = {
    Convolution: layers.convolution,
    DepthwiseConvolution: layers.convolution,
    TransposedConvolution: layers.transposed_convolution,
    Dense: layers.dense,
    ScaleShift: others.scale_shift,
    Activation: others.activation,
    ParametricRelu: others.parametric_relu,
    Softmax: others.softmax,
    Add: others.merge,
    Subtract: others.merge,
    Multiply: others.merge,
    Maximum: others.merge,
    Minimum: others.merge,
    Concatenate: others.concatenate,
    Pool: others.pool,
    GlobalPool: others.global_pool,
    Pad: others.zeros_around,
    Crop: others.crop,
    Upsample: others.upsample,
    Reshape: others.reshape,
}
_TAKES_ACTIVATIONS = (Convolution, DepthwiseConvolution, TransposedConvolution, Dense, Add, Subtract, Multiply)


def write(plan: Plan) -> bytes:
    """Writes a network as one TFLite file.

    Args:
        plan: What the file holds.

    Returns:
        The file's bytes: the same for the same plan.

    Raises:
        ConversionError: The plan asks for something that TFLite cannot hold or compute.
    """
    values = Values(plan)
    values.open()
    for node in plan.model:
        if node.name in plan.fused:
            continue
        taken_in = plan.fused_activation(node)
        if taken_in is not None and not isinstance(node.operator, _TAKES_ACTIVATIONS):
            kind = type(node.operator).__name__
            raise ConversionError(f"TFLite's {kind} takes in no activation, and the plan wants {taken_in.name!r} in it", OURS)
        _WRITERS[type(node.operator)](values, node, node.operator)
    return values.close()
