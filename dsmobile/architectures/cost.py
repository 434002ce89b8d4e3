"""What a Keras model costs, without running it: multiply-accumulates, parameters and weights, per call and in total.

MACs count convolutions and dense layers only: bias, batch normalization, activations and pooling are not MACs (MobileNets,
arXiv:1704.04861, section 3.1; its tables count the same way). Zeros of the padding count as the pixels they stand for; a transposed convolution
counts every product before what hangs over is cut off. Products of two activations, as in attention, and recurrent layers are named, not counted.
Parameters are Keras's, batch normalization included.

Weights are what a written file stores: kernels at the size of the precision, biases at 4 bytes (float32, or int32 beside int8 weights). A
batch normalization right behind a convolution or dense layer is folded into it, which then has a bias; another one is left as a scale and
a shift. Scales and zero points of a quantized file, names and the graph itself are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.architectures.graph import Call, Graph, read_graph
from dsmobile.architectures.layer_kinds import SEPARABLE, TRANSPOSED, WITHOUT_MACS, is_kerass
from dsmobile.architectures.steps import Wiring, fixed, folded_normalizations

ITEM_BYTES = {"float32": 4, "int8": 1}
"""Bytes of one number, for each precision that costs are given at."""

_BIAS_BYTES = 4
_Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Weights:
    """What a written file stores of a layer.

    Args:
        numbers: Those stored at the size of the precision: kernels above all.
        biases: Those stored at 4 bytes.
    """

    numbers: int
    biases: int

    def __add__(self, other: Weights) -> Weights:
        return Weights(self.numbers + other.numbers, self.biases + other.biases)

    def size_bytes(self, dtype: str) -> int:
        """Bytes at `float32` or `int8`."""
        return self.numbers * ITEM_BYTES[dtype] + self.biases * _BIAS_BYTES


@dataclass(frozen=True)
class CallCost:
    """What one call costs.

    Args:
        name: The layer's name.
        kind: The layer's class.
        output_shape: Without the batch.
        macs: Multiply-accumulates of one inference; None where we cannot count them.
        parameters: Of the layer; 0 from its second call on.
        weights: That the call reads; a shared layer's at every call.
        repeated: Whether the layer was called before, so that its weights are stored already.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    macs: int | None
    parameters: int
    weights: Weights
    repeated: bool

    def weight_bytes(self, dtype: str) -> int:
        """Bytes that a file stores for this call, at `float32` or `int8`; 0 from a layer's second call on."""
        return 0 if self.repeated else self.weights.size_bytes(dtype)


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Args:
        macs: Multiply-accumulates of one inference; a lower bound where `unknown` names layers.
        parameters: Keras's count.
        calls: One by one, in the graph's order.
        unknown: Layers whose MACs we cannot count; never taken for zero.
    """

    macs: int
    parameters: int
    calls: tuple[CallCost, ...]
    unknown: tuple[str, ...]

    def weight_bytes(self, dtype: str) -> int:
        """Bytes of the weights in a written file, at `float32` or `int8`."""
        return sum(call.weight_bytes(dtype) for call in self.calls)


def cost(model: Any) -> Cost:
    """Counts a functional Keras model.

    Raises:
        ModelError: A subclassed model, or an input whose size is not fixed.
    """
    graph = read_graph(model)
    seen: set[int] = set()
    rows: list[CallCost] = []
    unknown: list[str] = []
    for call, weights in zip(graph.calls, _weights(graph), strict=True):
        macs = call_macs(call)
        if macs is None:
            whose = "" if is_kerass(call.layer) else ", a class that is not Keras's"
            unknown.append(f"{call.layer.name} ({call.kind}{whose})")
        repeated = id(call.layer) in seen
        seen.add(id(call.layer))
        parameters = 0 if repeated else _parameters(call.layer)
        rows.append(CallCost(call.layer.name, call.kind, call.output_shape, macs, parameters, weights, repeated))
    return Cost(sum(row.macs or 0 for row in rows), model.count_params(), tuple(rows), tuple(dict.fromkeys(unknown)))


def _parameters(layer: Any) -> int:
    return int(layer.count_params()) if hasattr(layer, "count_params") else 0


def _weights(graph: Graph) -> list[Weights]:
    """What a file stores for each call of a graph."""
    folded = folded_normalizations(Wiring(graph))
    normalized = set(folded.values())
    found = []
    for number, call in enumerate(graph.calls):
        layer, parameters = call.layer, _parameters(call.layer)
        if not parameters or number in folded:
            found.append(Weights(0, 0))
        elif is_kerass(layer) and call.kind in ("BatchNormalization", "Normalization"):
            size = prod((layer.moving_mean if call.kind == "BatchNormalization" else layer.mean).shape)
            found.append(Weights(2 * size, 0))
        elif is_kerass(layer) and getattr(layer, "use_bias", False) and getattr(layer, "bias", None) is not None:
            biases = prod(layer.bias.shape)
            found.append(Weights(parameters - biases, biases))
        else:
            found.append(Weights(parameters, _channels(call.layer, call.output_shape) if number in normalized else 0))
    return found


def call_macs(call: Call) -> int | None:
    """Multiply-accumulates of one call, batch 1; None for a layer we do not know.

    Raises:
        ModelError: A size that the count needs is not fixed.
    """
    macs = _macs(call.layer, call.inputs[0].shape if call.inputs else (), call.output_shape if call.outputs else ())
    return None if macs is None else int(macs)


def separable_macs(call: Call) -> tuple[int, int]:
    """Multiply-accumulates of the two halves of a separable convolution: depthwise, pointwise."""
    layer = call.layer
    width = _channels(layer, call.input_shape) * layer.depth_multiplier
    positions = _positions(layer, call.output_shape)
    return prod(layer.kernel_size) * width * positions, width * layer.filters * positions


def _macs(layer: Any, given: _Shape, result: _Shape) -> Any:
    kind = type(layer).__name__
    if not is_kerass(layer):
        return None
    if kind in ("Conv1D", "Conv2D", "Conv3D"):
        return prod(layer.kernel_size) * _channels(layer, given) // layer.groups * layer.filters * _positions(layer, result)
    if kind in ("DepthwiseConv1D", "DepthwiseConv2D"):
        return prod(layer.kernel_size) * _channels(layer, given) * layer.depth_multiplier * _positions(layer, result)
    if kind in SEPARABLE:
        width = _channels(layer, given) * layer.depth_multiplier
        return (prod(layer.kernel_size) + layer.filters) * width * _positions(layer, result)
    if kind in TRANSPOSED:
        return prod(layer.kernel_size) * _channels(layer, given) * layer.filters * _positions(layer, given)
    if kind == "Dense":
        return prod(fixed(given, layer.name)) * layer.units
    if kind == "EinsumDense":
        return _einsum_macs(layer, given)
    if kind == "TimeDistributed":
        inner = _macs(layer.layer, given[1:], result[1:])
        return inner if not inner else inner * fixed(given, layer.name)[0]
    if kind == "SpectralNormalization":
        return _macs(layer.layer, given, result)
    return 0 if kind in WITHOUT_MACS else None


def _einsum_macs(layer: Any, given: _Shape) -> int | None:
    """Every number of the kernel meets the input once at each place of the axes that the kernel does not know; None where an axis is summed alone."""
    operands, output = layer.equation.replace(" ", "").split("->")
    first, kernel = operands.split(",")
    shape: _Shape = (1, *given)
    named = first.replace("...", "")
    elided = len(shape) - len(named)
    sizes = shape[elided:] if first.startswith("...") else shape[: len(named)]
    rest = shape[:elided] if first.startswith("...") else shape[len(named) :]
    if len(set(named)) != len(named) or any((letter in named) + (letter in kernel) + (letter in output) < 2 for letter in {*named, *kernel}):
        return None
    free = [size for letter, size in zip(named, sizes, strict=True) if letter not in kernel]
    return int(prod(layer.kernel.shape)) * prod(fixed((*rest, *free), layer.name))


def _is_channels_first(layer: Any) -> bool:
    return getattr(layer, "data_format", "channels_last") == "channels_first"


def _channels(layer: Any, shape: _Shape) -> int:
    sides = fixed((shape[0] if _is_channels_first(layer) else shape[-1],), layer.name)
    return sides[0]


def _positions(layer: Any, shape: _Shape) -> int:
    sides = fixed(shape, layer.name)
    return prod(sides[1:] if _is_channels_first(layer) else sides[:-1])
