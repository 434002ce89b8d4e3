"""The other separable convolution: a K x K kernel written as a column and a row."""

from __future__ import annotations

from dsmobile.architectures.blocks.pen import Pen
from dsmobile.architectures.blocks.registry import Tensor, block


@block
def spatially_separable(
    pen: Pen, x: Tensor, kernel: int, filters: int, stride: int = 1, activation: str = "relu6", normalization: bool = True, bias: bool = False
) -> Tensor:
    """A K x 1 convolution, then a 1 x K one: 2 K multiply-accumulates where a K x K convolution has K^2, with as many filters as inputs.

    Nothing non-linear stands between the two, so that together they are one K x K convolution, of rank one where there is one channel, as Sobel's
    kernels are. Each takes the stride along its own side.

    Source: Jin et al., Flattened Convolutional Neural Networks, arXiv:1412.5474, section 3; Szegedy et al., arXiv:1512.00567, section 3.2.
    """
    x = pen.conv(x, "column", filters, (kernel, 1), stride=(stride, 1), normalization=False)
    return pen.conv(x, "row", filters, (1, kernel), stride=(1, stride), activation=activation, normalization=normalization, bias=bias)
