"""Convolutions one by one: standard, depthwise, and the depthwise separable pair."""

from __future__ import annotations

from dsmobile.architectures.blocks.pen import Pen
from dsmobile.architectures.blocks.registry import Size, Tensor, block
from dsmobile.errors import SpecError


@block
def conv(
    pen: Pen, x: Tensor, kernel: Size, filters: int | None = None, expansion: float | None = None, stride: Size = 1, dilation: Size = 1,
    groups: int = 1, activation: str = "relu6", padding: str = "same", normalization: bool = True, bias: bool = False,
) -> Tensor:  # fmt: skip
    """A standard convolution with batch normalization and an activation; `expansion` gives the filters as a multiple of its inputs.

    Source: MobileNets, arXiv:1704.04861, section 3.2, first row of table 1.
    """
    if (filters is None) == (expansion is None):
        raise SpecError("a conv takes filters or expansion, one of the two", "give filters, or an expansion of its inputs")
    width = filters or pen.rounded(x.shape[-1] * (expansion or 1.0))
    return pen.conv(
        x, "", width, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, activation=activation,
        normalization=normalization, bias=bias,
    )  # fmt: skip


@block
def depthwise(
    pen: Pen, x: Tensor, kernel: Size, stride: Size = 1, dilation: Size = 1, multiplier: int = 1, activation: str = "relu6",
    padding: str = "same", normalization: bool = True, bias: bool = False,
) -> Tensor:  # fmt: skip
    """A depthwise convolution with batch normalization and an activation."""
    return pen.depthwise(
        x, "", kernel, stride=stride, padding=padding, dilation=dilation, multiplier=multiplier, activation=activation,
        normalization=normalization, bias=bias,
    )  # fmt: skip


@block
def separable(
    pen: Pen, x: Tensor, kernel: Size, filters: int, stride: Size = 1, dilation: Size = 1, multiplier: int = 1, activation: str = "relu6",
    depthwise_activation: str | None = None, padding: str = "same", bias: bool = False,
) -> Tensor:  # fmt: skip
    """A depthwise separable convolution: depthwise, then pointwise, each with batch normalization and an activation.

    `depthwise_activation` is the one between the two, where it is another.

    Source: MobileNets, arXiv:1704.04861, figure 3.
    """
    between = activation if depthwise_activation is None else depthwise_activation
    x = pen.depthwise(
        x, "dw", kernel, stride=stride, padding=padding, dilation=dilation, multiplier=multiplier, activation=between, bias=bias
    )  # fmt: skip
    return pen.conv(x, "pw", filters, 1, activation=activation, bias=bias)
