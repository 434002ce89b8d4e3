"""What a block writes with: Keras layers, named after the row, counted as they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.architectures.blocks.registry import Size, Tensor
from dsmobile.errors import SpecError

EPSILON = 1e-3
_MOST_PARAMETERS = 400_000_000
_MOST_LAYERS = 900  # EfficientNet-B7 has 813; Keras recurses through them


@dataclass
class Pen:
    """Writes the layers of one row.

    Args:
        name: The row's name, which its layers' names begin with.
        classes: Classes of the head.
        rounded: A width that a block derives (an expansion, a squeeze) as the architecture rounds widths.
        parameters: Weights written so far, of the rows before too.
        layers: Layers written so far, about.
    """

    name: str
    classes: int
    rounded: Callable[[float], int]
    parameters: int = 0
    layers: int = 0

    def called(self, part: str) -> str:
        """The name of one layer."""
        return f"{self.name}_{part}" if part else self.name

    def spend(self, count: int) -> None:
        """Counts weights before they are made.

        Raises:
            SpecError: They are more than fit into a phone or this machine.
        """
        self.parameters += count
        self.layers += 3  # with its normalization and activation
        if self.parameters > _MOST_PARAMETERS:
            raise SpecError(f"it brings the network to over {_MOST_PARAMETERS:,} parameters", "lower alpha, the filters or the kernels")
        if self.layers > _MOST_LAYERS:
            raise SpecError(f"it brings the network to over {_MOST_LAYERS} layers", "lower the repeats")

    def even(self, stride: Size) -> None:
        """Refuses a depthwise convolution that steps unevenly.

        Raises:
            SpecError: TensorFlow has no kernel for it.
        """
        if len(set(both_sides(stride))) != 1:
            raise SpecError(f"a depthwise convolution cannot step {stride}", "give it one stride for height and width")

    def normalized(self, x: Tensor, part: str, activation: str) -> Tensor:
        """Batch normalization, then an activation."""
        from keras import layers

        x = layers.BatchNormalization(epsilon=EPSILON, name=f"{self.called(part)}_bn")(x)
        return self.activated(x, part, activation)

    def activated(self, x: Tensor, part: str, activation: str) -> Tensor:
        """An activation, one of `registry.ACTIVATIONS`."""
        from keras import layers

        name = f"{self.called(part)}_{'relu' if activation == 'relu6' else activation}"
        if activation == "linear":
            return x
        if activation in ("relu6", "relu"):
            return layers.ReLU(6.0 if activation == "relu6" else None, name=name)(x)
        if activation == "leaky_relu":
            return layers.LeakyReLU(0.1, name=name)(x)
        return layers.Activation({"swish": "silu", "hard_swish": "hard_silu"}.get(activation, activation), name=name)(x)

    def conv(
        self, x: Tensor, part: str, filters: int, kernel: Size, *, stride: Size = 1, padding: str = "same", dilation: Size = 1,
        groups: int = 1, activation: str = "linear", normalization: bool = True, bias: bool = False,
    ) -> Tensor:  # fmt: skip
        """A convolution, batch normalization and an activation.

        Args:
            x: Shape (batch, height, width, channels).
            part: What the layers' names end with.
            filters: Outputs.
            kernel: Sides.
            stride: Steps.
            padding: `same`, `valid`, or `below_right`: zeros below and on the right alone, as `keras.applications.MobileNet` pads.
            dilation: Spread of the kernel.
            groups: Groups of channels.
            activation: After the normalization.
            normalization: Whether batch normalization follows.
            bias: Whether it has one of its own.
        """
        from keras import layers

        if x.shape[-1] % groups or filters % groups:
            raise SpecError(f"{x.shape[-1]} channels and {filters} filters do not divide into {groups} groups", "change the groups")
        self.spend(prod(both_sides(kernel)) * x.shape[-1] // groups * filters)
        x, padding = self._padded(x, part, kernel, stride, dilation, padding)
        x = layers.Conv2D(
            filters, kernel, strides=stride, padding=padding, dilation_rate=dilation, groups=groups, use_bias=bias, name=self.called(part)
        )(x)
        return self.normalized(x, part, activation) if normalization else self.activated(x, part, activation)

    def depthwise(
        self, x: Tensor, part: str, kernel: Size, *, stride: Size = 1, padding: str = "same", dilation: Size = 1, multiplier: int = 1,
        activation: str = "linear", normalization: bool = True, bias: bool = False,
    ) -> Tensor:  # fmt: skip
        """A depthwise convolution, batch normalization and an activation; arguments as for `conv`, `multiplier` outputs for each channel."""
        from keras import layers

        self.even(stride)
        self.spend(prod(both_sides(kernel)) * x.shape[-1] * multiplier)
        x, padding = self._padded(x, part, kernel, stride, dilation, padding)
        x = layers.DepthwiseConv2D(
            kernel, strides=stride, padding=padding, dilation_rate=dilation, depth_multiplier=multiplier, use_bias=bias, name=self.called(part)
        )(x)
        return self.normalized(x, part, activation) if normalization else self.activated(x, part, activation)

    def squeeze_excite(self, x: Tensor, reduced: int, gate: str, activation: str = "relu") -> Tensor:
        """Channels weighed by a gate that sees the mean over the map.

        Source: Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3; the hard gate: MobileNetV3, arXiv:1905.02244, section 5.3.
        """
        from keras import layers

        channels = x.shape[-1]
        pooled = layers.GlobalAveragePooling2D(keepdims=True, name=self.called("se_pool"))(x)
        pooled = self.conv(pooled, "se_reduce", reduced, 1, activation=activation, normalization=False, bias=True)
        pooled = self.conv(pooled, "se_expand", channels, 1, activation=gate, normalization=False, bias=True)
        return layers.Multiply(name=self.called("se_scale"))([x, pooled])

    def added(self, shortcut: Tensor, x: Tensor) -> Tensor:
        """A residual connection."""
        from keras import layers

        return layers.Add(name=self.called("add"))([shortcut, x])

    def _padded(self, x: Tensor, part: str, kernel: Size, stride: Size, dilation: Size, padding: str) -> tuple[Any, str]:
        from keras import layers

        if max(both_sides(stride)) > 1 and max(both_sides(dilation)) > 1:
            raise SpecError("TensorFlow has no convolution with a stride and a dilation above 1", "leave one of the two at 1")
        if padding != "below_right":
            return x, padding
        if max(both_sides(stride)) == 1:
            return x, "same"
        sides = [max((k - 1) * d + 1 - s, 0) for k, d, s in zip(both_sides(kernel), both_sides(dilation), both_sides(stride), strict=True)]
        pads = tuple((total // 2, total - total // 2) for total in sides)
        return layers.ZeroPadding2D(pads, name=f"{self.called(part)}_pad")(x), "valid"


def both_sides(size: Size) -> tuple[int, int]:
    """Height and width of a size that may be one number for both."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
