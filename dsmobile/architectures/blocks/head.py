"""What stands between and behind the convolutions: pools, dense layers, the classifier."""

from __future__ import annotations

from dsmobile.architectures.blocks.pen import Pen
from dsmobile.architectures.blocks.registry import Size, Tensor, block, on_any


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


@on_any
def flatten(pen: Pen, x: Tensor) -> Tensor:
    """The map as one row of numbers."""
    from keras import layers

    return layers.Flatten(name=pen.name)(x)


@on_any
def dropout(pen: Pen, x: Tensor, rate: float) -> Tensor:
    """Dropout, at training time only."""
    from keras import layers

    return layers.Dropout(rate, name=pen.name)(x)


@on_any
def dense(pen: Pen, x: Tensor, filters: int, activation: str = "linear", normalization: bool = False, bias: bool = True) -> Tensor:
    """A dense layer: a pointwise convolution behind a global pool is one."""
    from keras import layers

    pen.spend(x.shape[-1] * filters)
    x = layers.Dense(filters, use_bias=bias, name=pen.name)(x)
    return pen.normalized(x, "", activation) if normalization else pen.activated(x, "", activation)


@on_any
def classifier(pen: Pen, x: Tensor, output: str = "softmax", bias: bool = True) -> Tensor:
    """A dense layer with one logit per class, then what makes probabilities of them."""
    from keras import layers

    pen.spend(x.shape[-1] * pen.classes)
    return _probabilities(pen, layers.Dense(pen.classes, use_bias=bias, name=pen.name)(x), output)


@block
def convolutional_classifier(pen: Pen, x: Tensor, kernel: Size = 1, output: str = "softmax", activation: str = "linear", bias: bool = True) -> Tensor:
    """A convolution with one map per class, each map's mean as its logit, then what makes probabilities of them.

    Source: Network In Network, arXiv:1312.4400, section 3.2.
    """
    from keras import layers

    x = pen.conv(x, "", pen.classes, kernel, activation=activation, normalization=False, bias=bias)
    return _probabilities(pen, layers.GlobalAveragePooling2D(name=pen.called("pool"))(x), output)


def _probabilities(pen: Pen, x: Tensor, output: str) -> Tensor:
    from keras import layers

    if output == "linear":
        return x
    return layers.Softmax(name=pen.called("softmax"))(x) if output == "softmax" else layers.Activation("sigmoid", name=pen.called("sigmoid"))(x)
