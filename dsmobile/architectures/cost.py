"""What a Keras model costs, without running it: multiply-accumulates and parameters, per call and in total.

MACs count convolutions and dense layers only: bias, batch normalization, activations and pooling are not MACs (MobileNets,
arXiv:1704.04861, section 3.1; its tables count the same way). Parameters are Keras's, batch normalization included.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.architectures.graph import Call, read_graph
from dsmobile.errors import ModelError

_NO_MACS = frozenset(
    """Activation ReLU LeakyReLU PReLU ELU Softmax BatchNormalization Dropout SpatialDropout1D SpatialDropout2D GaussianDropout GaussianNoise
    AlphaDropout ActivityRegularization Identity ZeroPadding1D ZeroPadding2D Cropping2D Reshape Flatten Permute RepeatVector
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D AveragePooling1D AveragePooling2D MaxPooling1D
    MaxPooling2D Add Multiply Subtract Average Maximum Minimum Concatenate Rescaling Normalization UpSampling2D LayerNormalization
    RandomFlip RandomRotation RandomZoom RandomCrop RandomTranslation RandomContrast Resizing CenterCrop
    Sum Divide Clip HardSigmoid Relu Relu6 Silu Sigmoid Tanh Mean GetItem Squeeze ExpandDims Pad Transpose""".split()
)


@dataclass(frozen=True)
class CallCost:
    """What one call costs.

    Args:
        name: The layer's name.
        kind: The layer's class.
        output_shape: Without the batch.
        macs: Multiply-accumulates of one inference.
        parameters: Of the layer; 0 from its second call on.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    macs: int
    parameters: int


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Args:
        macs: Multiply-accumulates of one inference; a lower bound where `unknown` names layers.
        parameters: Keras's count.
        calls: One by one.
        unknown: Layers whose MACs we cannot count; never taken for zero.
    """

    macs: int
    parameters: int
    calls: tuple[CallCost, ...]
    unknown: tuple[str, ...]


def cost(model: Any) -> Cost:
    """Counts a functional Keras model.

    Raises:
        ModelError: A subclassed model, or an input whose size is not fixed.
    """
    seen: set[int] = set()
    rows: list[CallCost] = []
    unknown: list[str] = []
    for call in read_graph(model).calls:
        macs = call_macs(call)
        if macs is None:
            unknown.append(f"{call.layer.name} ({call.kind})")
        parameters = 0 if id(call.layer) in seen or not hasattr(call.layer, "count_params") else call.layer.count_params()
        seen.add(id(call.layer))
        rows.append(CallCost(call.layer.name, call.kind, call.output_shape, macs or 0, parameters))
    return Cost(sum(row.macs for row in rows), model.count_params(), tuple(rows), tuple(unknown))


def call_macs(call: Call) -> int | None:
    """Multiply-accumulates of one call, batch 1; None for a layer we do not know."""
    macs = _macs(call)
    return None if macs is None else int(macs)


def _macs(call: Call) -> Any:
    layer, kind = call.layer, call.kind
    if kind in ("Conv1D", "Conv2D", "Conv3D"):
        return prod(layer.kernel_size) * _channels(call) // layer.groups * layer.filters * _positions(call)
    if kind in ("DepthwiseConv1D", "DepthwiseConv2D"):
        return prod(layer.kernel_size) * _channels(call) * layer.depth_multiplier * _positions(call)
    if kind in ("SeparableConv1D", "SeparableConv2D"):
        depthwise = _channels(call) * layer.depth_multiplier
        return (prod(layer.kernel_size) * depthwise + depthwise * layer.filters) * _positions(call)
    if kind in ("Conv1DTranspose", "Conv2DTranspose"):
        return prod(layer.kernel_size) * _channels(call) * layer.filters * prod(_fixed(call, call.input_shape[:-1]))
    if kind == "Dense":
        return prod(_fixed(call, call.input_shape)) * layer.units
    return 0 if kind in _NO_MACS else None


def _channels(call: Call) -> int:
    if getattr(call.layer, "data_format", "channels_last") != "channels_last":
        raise ModelError(
            f"the layer {call.layer.name!r} is channels_first", "build the model with channels_last: the CPU kernels of Keras want it too"
        )
    return _fixed(call, call.input_shape)[-1]


def _positions(call: Call) -> int:
    return prod(_fixed(call, call.output_shape)[:-1])


def _fixed(call: Call, shape: tuple[int | None, ...]) -> tuple[int, ...]:
    if None in shape:
        raise ModelError(f"the size of the layer {call.layer.name!r} is not fixed: {shape}", "give the model an input of fixed height and width")
    return tuple(side for side in shape if side is not None)
