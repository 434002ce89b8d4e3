"""What stands between and behind the convolutions: pools, dense layers, the classifier."""

from __future__ import annotations

from dsmobile.architectures.blocks.pen import Pen
from dsmobile.architectures.blocks.registry import Size, Tensor, block


@block
def max_pool(pen: Pen, x: Tensor, kernel: Size, stride: Size, padding: str = "same") -> Tensor:
    """The maximum of each window."""
    from keras import layers

    return layers.MaxPooling2D(kernel, strides=stride, padding="valid" if padding == "below_right" else padding, name=pen.name)(x)


@block
def average_pool(pen: Pen, x: Tensor, kernel: Size, stride: Size, padding: str = "same") -> Tensor:
    """The mean of each window."""
    from keras import layers

    return layers.AveragePooling2D(kernel, strides=stride, padding="valid" if padding == "below_right" else padding, name=pen.name)(x)


@block
def global_average_pool(pen: Pen, x: Tensor) -> Tensor:
    """The mean over the map."""
    from keras import layers

    return layers.GlobalAveragePooling2D(name=pen.name)(x)


@block
def global_max_pool(pen: Pen, x: Tensor) -> Tensor:
    """The maximum over the map."""
    from keras import layers

    return layers.GlobalMaxPooling2D(name=pen.name)(x)


@block
def flatten(pen: Pen, x: Tensor) -> Tensor:
    """The map as one row of numbers."""
    from keras import layers

    return layers.Flatten(name=pen.name)(x)


@block
def dropout(pen: Pen, x: Tensor, rate: float) -> Tensor:
    """Dropout, at training time only."""
    from keras import layers

    return layers.Dropout(rate, name=pen.name)(x)


@block
def dense(pen: Pen, x: Tensor, filters: int, activation: str = "linear", normalization: bool = False, bias: bool = True) -> Tensor:
    """A dense layer: a pointwise convolution behind a global pool is one."""
    from keras import layers

    pen.spend(x.shape[-1] * filters)
    x = layers.Dense(filters, use_bias=bias, name=pen.name)(x)
    return pen.normalized(x, "", activation) if normalization else pen.activated(x, "", activation)


@block
def classifier(pen: Pen, x: Tensor, output: str = "softmax", bias: bool = True) -> Tensor:
    """A dense layer with one logit per class, then what makes probabilities of them."""
    from keras import layers

    pen.spend(x.shape[-1] * pen.classes)
    x = layers.Dense(pen.classes, use_bias=bias, name=pen.name)(x)
    if output == "linear":
        return x
    return layers.Softmax(name=f"{pen.name}_softmax")(x) if output == "softmax" else layers.Activation("sigmoid", name=f"{pen.name}_sigmoid")(x)
