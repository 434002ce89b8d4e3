"""Xception: separable convolutions with nothing between depthwise and pointwise, in residual modules.

Source: Xception: Deep Learning with Depthwise Separable Convolutions, arXiv:1610.02357, figure 5 and section 4.
"""

from __future__ import annotations

from math import prod

from dsmobile.architectures.blocks.pen import Pen, both_sides
from dsmobile.architectures.blocks.registry import Size, Tensor, block


def _separable_conv(pen: Pen, x: Tensor, part: str, kernel: Size, filters: int, stride: Size = 1, bias: bool = False) -> Tensor:
    from keras import layers

    pen.even(stride)
    pen.spend(prod(both_sides(kernel)) * x.shape[-1] + x.shape[-1] * filters)
    return layers.SeparableConv2D(filters, kernel, strides=stride, padding="same", use_bias=bias, name=pen.called(part))(x)


@block
def separable_linear(pen: Pen, x: Tensor, kernel: Size, filters: int, stride: Size = 1, activation: str = "relu", bias: bool = False) -> Tensor:
    """A separable convolution without normalization or activation between its two halves, then batch normalization and an activation.

    Source: Xception, arXiv:1610.02357, section 4.7: an activation between the halves made it worse.
    """
    return pen.normalized(_separable_conv(pen, x, "", kernel, filters, stride, bias), "", activation)


@block
def separable_residual(
    pen: Pen, x: Tensor, kernel: Size, filters: int, stride: Size = 1, separables: int = 2, first_filters: int | None = None,
    activated_first: bool = True, activation: str = "relu",
) -> Tensor:  # fmt: skip
    """A module of Xception: activation, separable convolution and normalization, `separables` times, beside a shortcut.

    With a stride the module ends in a 3 x 3 maximum, and the shortcut is a pointwise convolution with that stride; it is one too where the width
    changes. All but the last separable convolution have `first_filters` filters, where given. `activated_first = false` leaves the first
    activation away.
    """
    from keras import layers

    shortcut = x
    strided = max(both_sides(stride)) > 1
    if strided or x.shape[-1] != filters:
        shortcut = pen.conv(x, "shortcut", filters, 1, stride=stride)
    for number in range(1, separables + 1):
        if number > 1 or activated_first:
            x = pen.activated(x, f"sepconv{number}", activation)
        width = filters if number == separables else first_filters or filters
        x = pen.normalized(_separable_conv(pen, x, f"sepconv{number}", kernel, width), f"sepconv{number}", "linear")
    if strided:
        x = layers.MaxPooling2D(3, strides=stride, padding="same", name=pen.called("pool"))(x)
    return pen.added(x, shortcut)
