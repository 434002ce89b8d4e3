"""Inverted bottlenecks: narrow ends joined by a shortcut, a wide depthwise convolution between them."""

from __future__ import annotations

from dsmobile.architectures.blocks.pen import Pen, both_sides
from dsmobile.architectures.blocks.registry import Size, Tensor, block
from dsmobile.errors import SpecError


def _joined(pen: Pen, shortcut: Tensor, x: Tensor, stride: Size, residual: bool) -> Tensor:
    fits = max(both_sides(stride)) == 1 and shortcut.shape[-1] == x.shape[-1]
    return pen.added(shortcut, x) if residual and fits else x


@block
def inverted_residual(
    pen: Pen, x: Tensor, kernel: Size, filters: int, expansion: float, stride: Size = 1, dilation: Size = 1, activation: str = "relu6",
    se: float = 0.0, se_of: str = "expansion", se_rounded: bool = True, se_gate: str = "hard_sigmoid", se_activation: str = "relu",
    residual: bool = True, padding: str = "same",
) -> Tensor:  # fmt: skip
    """Expansion, depthwise convolution, linear bottleneck; a shortcut where stride and width allow one.

    With an expansion of 1 there is no expansion layer. `se` is the width of a squeeze-excite after the depthwise convolution, as a share of the
    expanded width or of the block's input; rounded as the architecture rounds, or with `se_rounded = false` cut off to a whole number.

    Source: MobileNetV2, arXiv:1801.04381, section 3.4 and table 1; squeeze-excite: MobileNetV3, arXiv:1905.02244, sections 3 and 5.3.
    """
    shortcut, inputs = x, x.shape[-1]
    if expansion != 1:
        x = pen.conv(x, "expand", pen.rounded(inputs * expansion), 1, activation=activation)
    x = pen.depthwise(x, "dw", kernel, stride=stride, dilation=dilation, padding=padding, activation=activation)
    if se:
        wanted = (x.shape[-1] if se_of == "expansion" else inputs) * se
        x = pen.squeeze_excite(x, pen.rounded(wanted) if se_rounded else max(1, int(wanted)), se_gate, se_activation)
    x = pen.conv(x, "project", filters, 1)
    return _joined(pen, shortcut, x, stride, residual)


@block
def fused_inverted_residual(
    pen: Pen, x: Tensor, kernel: Size, filters: int, expansion: float, stride: Size = 1, activation: str = "relu6", residual: bool = True
) -> Tensor:
    """An inverted residual whose expansion and depthwise convolution are one standard convolution.

    With an expansion of 1 the convolution itself has the block's filters, and no bottleneck follows.

    Source: EfficientNetV2, arXiv:2104.00298, figure 2; MobileNetV4, arXiv:2404.10518, section 3, `FusedIB`.
    """
    if expansion == 1:
        return _joined(pen, x, pen.conv(x, "expand", filters, kernel, stride=stride, activation=activation), stride, residual)
    inner = pen.conv(x, "expand", pen.rounded(x.shape[-1] * expansion), kernel, stride=stride, activation=activation)
    return _joined(pen, x, pen.conv(inner, "project", filters, 1), stride, residual)


@block
def universal_inverted_bottleneck(
    pen: Pen, x: Tensor, filters: int, expansion: float, start_kernel: int = 0, middle_kernel: int = 0, stride: Size = 1,
    activation: str = "relu", residual: bool = True,
) -> Tensor:  # fmt: skip
    """An inverted bottleneck with a depthwise convolution before the expansion, after it, both or none; a kernel of 0 is none.

    Start and middle: extra depthwise. Middle: inverted bottleneck. Start: ConvNext-like. None: feed-forward. The stride acts in the middle,
    or at the start where there is no middle. Only what stands between expansion and bottleneck is activated.

    Source: MobileNetV4, arXiv:2404.10518, section 3 and figure 4.
    """
    shortcut = x
    at_start = stride if not middle_kernel else 1
    if start_kernel:
        x = pen.depthwise(x, "start", start_kernel, stride=at_start)
    if max(both_sides(stride)) > 1 and not (start_kernel or middle_kernel):
        raise SpecError(
            "a stride without a depthwise convolution would throw pixels away", "give start_kernel or middle_kernel, or leave the stride away"
        )
    x = pen.conv(x, "expand", pen.rounded(x.shape[-1] * expansion), 1, activation=activation)
    if middle_kernel:
        x = pen.depthwise(x, "middle", middle_kernel, stride=stride, activation=activation)
    x = pen.conv(x, "project", filters, 1)
    return _joined(pen, shortcut, x, stride, residual)


@block
def sandglass(pen: Pen, x: Tensor, kernel: Size, filters: int, reduction: float, stride: Size = 1, activation: str = "relu6") -> Tensor:
    """A bottleneck the other way about: depthwise convolutions at the wide ends, which the shortcut joins, and linear pointwise ones between.

    Source: Rethinking Bottleneck Structure for Efficient Mobile Network Design, arXiv:2007.02269, section 3 and table 1.
    """
    shortcut = x
    x = pen.depthwise(x, "start", kernel, activation=activation)
    x = pen.conv(x, "reduce", pen.rounded(x.shape[-1] / reduction), 1)
    x = pen.conv(x, "expand", filters, 1, activation=activation)
    x = pen.depthwise(x, "end", kernel, stride=stride)
    return _joined(pen, shortcut, x, stride, residual=True)
