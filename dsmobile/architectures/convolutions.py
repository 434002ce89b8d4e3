"""What a convolution is, however it is written: depthwise, pointwise or separable, in one, two or three dimensions.

A `Conv2D` with as many groups as input channels is a depthwise convolution, as converters write it; a `Dense` on the channels of a map is a
pointwise one, as `keras.applications` writes ConvNeXt.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.graph import Call
from dsmobile.architectures.layer_kinds import SEPARABLE as SEPARABLE
from dsmobile.architectures.layer_kinds import is_kerass
from dsmobile.errors import ModelError

DEPTHWISE = frozenset({"DepthwiseConv2D", "DepthwiseConv1D"})
CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D"})
Kernel = npt.NDArray[np.float64]


def is_depthwise(call: Call) -> bool:
    """Whether a call filters every channel by itself."""
    grouped = call.kind in CONVOLUTIONS and is_kerass(call.layer) and call.layer.groups > 1 and call.layer.groups == inputs_of(call)
    return grouped or (call.kind in DEPTHWISE and is_kerass(call.layer))


def is_separable(call: Call) -> bool:
    """Whether a call is a depthwise and a pointwise convolution in one layer."""
    return call.kind in SEPARABLE and is_kerass(call.layer)


def is_pointwise(call: Call) -> bool:
    """Whether a call mixes the channels of each position by itself."""
    layer = call.layer
    if not is_kerass(layer):
        return False
    if call.kind == "Dense":
        return len(call.input_shape) > 1
    return call.kind in CONVOLUTIONS and set(layer.kernel_size) == {1} and set(layer.strides) == {1} and layer.groups == 1


def channel_axis(call: Call) -> int:
    """Which axis of a call's tensors holds the channels, the batch being axis 0."""
    return 1 if getattr(call.layer, "data_format", None) == "channels_first" else len(call.input_shape)


def inputs_of(call: Call) -> int:
    """Channels that a call takes."""
    return int(call.input_shape[channel_axis(call) - 1] or 0)


def outputs_of(call: Call) -> int:
    """Channels that a call gives."""
    return int(call.output_shape[channel_axis(call) - 1] or 0)


def multiplier_of(call: Call) -> int:
    """Output channels for each input channel of a depthwise convolution."""
    multiplier: int = call.layer.filters // call.layer.groups if call.kind in CONVOLUTIONS else call.layer.depth_multiplier
    return multiplier


def positions_of(call: Call) -> int:
    """Places of the map that a call gives.

    Raises:
        ModelError: Its height or width is not fixed.
    """
    axis = channel_axis(call) - 1
    sides = [side for place, side in enumerate(call.output_shape) if place != axis]
    if None in sides:
        raise ModelError(f"the size of the layer {call.layer.name!r} is not fixed: {call.output_shape}", "give the model an input of fixed size")
    return prod(side for side in sides if side is not None)


def spatial_kernel(call: Call) -> Kernel:
    """The kernel of a depthwise or separable convolution, shape (K, ..., inputs, multiplier), in float64."""
    if call.kind in SEPARABLE:
        return array(call.layer.depthwise_kernel)
    kernel = array(call.layer.kernel)
    return kernel.reshape(*kernel.shape[:-2], inputs_of(call), multiplier_of(call))


def mixing_matrix(call: Call) -> Kernel:
    """The kernel of a pointwise or separable convolution, shape (inputs, outputs), in float64."""
    kernel = array(call.layer.pointwise_kernel if call.kind in SEPARABLE else call.layer.kernel)
    return kernel.reshape(kernel.shape[-2:])


def array(variable: Any) -> Kernel:
    """A weight in float64."""
    return np.asarray(variable, np.float64)
