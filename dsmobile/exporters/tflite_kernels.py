"""Which operators TFLite's runtimes compute in integers, and where float is faster all the same.

Measured with LiteRT 2.3 and tflite-runtime 2.14. Integers obey these rules: what a pool, the largest value of a map, padding, cropping, enlarging
and a reshape give is stored as what they take; maxima, minima and concatenations take everything stored as what they give; a sigmoid and a
softmax give scale 1/256 and zero point -128, a tanh 1/128 and 0, and in int16 all three 1/32768 and 0.
"""

from __future__ import annotations

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
    Operator,
    Pad,
    ParametricRelu,
    Pool,
    Reshape,
    Softmax,
    Subtract,
    TransposedConvolution,
    Upsample,
)
from dsmobile.exporters.plan import Storage

INT16_OPERATORS: tuple[type | str, ...] = (
    Convolution, DepthwiseConvolution, TransposedConvolution, Dense, Softmax, Add, Subtract, Multiply, Maximum, Minimum, Concatenate, Pool,
    GlobalPool, Pad, Crop, Upsample, Reshape, "relu", "relu6", "relu_limit", "unit", "leaky_relu", "sigmoid", "tanh",
)  # fmt: skip
INT8_OPERATORS: tuple[type | str, ...] = (*INT16_OPERATORS, ParametricRelu, "elu", "hard_swish", "gelu")

_SHARES = {"int8": Storage("int8", 1 / 256, -128), "int16": Storage("int16", 1 / 32768, 0)}  # of one
# What kernels write, whatever a file says: by function and type.
FIXED_STORAGE = {
    "sigmoid": _SHARES,
    "softmax": _SHARES,
    "tanh": {"int8": Storage("int8", 1 / 128, 0), "int16": Storage("int16", 1 / 32768, 0)},
}


def has_integer_kernel(operator: Operator, dtype: str = "int8") -> bool:
    """Whether TFLite computes an operator in integers.

    Args:
        operator: The operator.
        dtype: Of the values: `int8` or `int16`.
    """
    kernels = INT8_OPERATORS if dtype == "int8" else INT16_OPERATORS
    return (operator.kind if isinstance(operator, Activation) else type(operator)) in kernels


def faster_in_float(operator: Operator) -> bool:
    """Whether XNNPACK, which has no int8 kernel for an operator, computes it in float sooner than LiteRT's own int8 kernel does.

    Between two int8 layers, on a map of 56 x 56 x 64: hard-swish 0.72 ms in int8 and 0.03 ms in float, conversions included; means of 3 x 3
    windows 0.85 and 0.08 ms; GELU 0.07 and 0.02 ms; softmax 0.41 and 0.11 ms. MobileNetV1 with hard-swish: 30.6 and 4.6 ms.
    """
    if isinstance(operator, Pool):
        return operator.kind == "average"
    return isinstance(operator, (Softmax, ParametricRelu)) or operator in (Activation("hard_swish"), Activation("gelu"))
