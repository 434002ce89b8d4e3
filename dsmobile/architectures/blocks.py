"""The blocks that a row of an architecture file can name.

A block is a function of the tensor so far, the layers' name and scalar arguments; its signature is its grammar: a type, a default or none,
and the bounds in `LIMITS`. A new block is a new function with `@block`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tensor = Any
Block = Callable[..., Tensor]

BLOCKS: dict[str, Block] = {}
LIMITS: dict[str, tuple[float, float]] = {
    "kernel": (1, 31),
    "stride": (1, 8),
    "filters": (1, 65_536),
    "rate": (0.0, 0.999),
    "classes": (1, 100_000),
}
GIVEN = ("x", "name", "classes")  # what the builder gives, not the file
EPSILON = 1e-3


@dataclass(frozen=True)
class Argument:
    """One argument of a block: its type, whether it must be given, and its bounds."""

    type: type
    required: bool
    lowest: float
    highest: float


def block(function: Block) -> Block:
    """Registers a block under its function's name."""
    BLOCKS[function.__name__] = function
    return function


def argument_types(name: str) -> dict[str, Argument]:
    """The arguments that a row with this block can have."""
    types = {"int": int, "float": float, "str": str, "bool": bool}
    return {
        parameter.name: Argument(
            types[str(parameter.annotation)], parameter.default is inspect.Parameter.empty, *LIMITS.get(parameter.name, (-1e9, 1e9))
        )
        for parameter in inspect.signature(BLOCKS[name]).parameters.values()
        if parameter.name not in GIVEN
    }


@block
def conv(x: Tensor, name: str, kernel: int, filters: int, stride: int = 1) -> Tensor:
    """A standard convolution with batch normalization and ReLU6.

    Source: MobileNets, arXiv:1704.04861, section 3.2, first row of table 1.
    """
    from keras import layers

    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


@block
def separable(x: Tensor, name: str, kernel: int, filters: int, stride: int = 1) -> Tensor:
    """A depthwise separable convolution: depthwise, then pointwise, each with batch normalization and ReLU6.

    With a stride above 1 the map is padded below and on the right, as in `keras.applications.MobileNet`, which is the same as `same`
    padding wherever the side is a multiple of the stride.

    Source: MobileNets, arXiv:1704.04861, figure 3.
    """
    from keras import layers

    padding = "same"
    if stride > 1:
        total = max(kernel - stride, 0)
        sides = (total // 2, total - total // 2)
        x = layers.ZeroPadding2D((sides, sides), name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding=padding, use_bias=False, name=f"{name}_dw")(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_dw_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_dw_relu")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pw")(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_pw_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_pw_relu")(x)


@block
def global_average_pool(x: Tensor, name: str) -> Tensor:
    """The mean over the map."""
    from keras import layers

    return layers.GlobalAveragePooling2D(name=name)(x)


@block
def dropout(x: Tensor, name: str, rate: float) -> Tensor:
    """Dropout, at training time only."""
    from keras import layers

    return layers.Dropout(rate, name=name)(x)


@block
def classifier(x: Tensor, name: str, classes: int) -> Tensor:
    """A dense layer with one logit per class, then softmax."""
    from keras import layers

    x = layers.Dense(classes, name=name)(x)
    return layers.Softmax(name=f"{name}_softmax")(x)
