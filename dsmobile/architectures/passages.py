"""What may stand between two convolutions of a pair, however it is written: batch normalization, padding, activations, squeeze-excites.

An activation may be a layer or a handful of operators (`x * relu6(x + 3) / 6`). A squeeze-excite is a copy of the map, pooled to one number a
channel, that comes back through any chain of layers and operators and scales the map. Both part from one value and meet in one again: what
lies between is walked as one step.

Source of squeeze-excite: arXiv:1709.01507, section 3; of hard swish: MobileNetV3, arXiv:1905.02244, section 5.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsmobile.architectures.convolutions import channel_axis
from dsmobile.architectures.graph import Call, Graph, Value
from dsmobile.architectures.layer_kinds import is_kerass, is_linear

PADDING = frozenset({"ZeroPadding3D", "ZeroPadding2D", "ZeroPadding1D", "Pad"})
_INERT = frozenset(
    """Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout ActivityRegularization
    Identity""".split()
)
_ACTIVATIONS = frozenset(
    """ReLU LeakyReLU PReLU ELU Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu HardSilu HardSigmoid Sigmoid LogSigmoid Tanh HardTanh TanhShrink
    SoftShrink HardShrink Softplus Softsign Squareplus SparsePlus SparseSigmoid Threshold Softmax LogSoftmax""".split()
)
_ARITHMETIC = frozenset(
    """Add Subtract Multiply Divide TrueDivide Maximum Minimum Average Clip Power Negative Absolute Abs Square Sqrt Rsqrt Reciprocal Exp Expm1
    Log Log1p Erf Cast""".split()
)
_NORMALIZATIONS = frozenset({"GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"})
_QUOTIENTS = ("Divide", "TrueDivide")
_BY_NUMBERS: dict[str, Callable[[float, bool], tuple[float, float]]] = {  # factor and addend, by the number and whether it stands behind
    "Multiply": lambda number, _: (number, 0.0),
    "Divide": lambda number, _: (1.0 / number, 0.0),
    "TrueDivide": lambda number, _: (1.0 / number, 0.0),
    "Add": lambda number, _: (1.0, number),
    "Subtract": lambda number, behind: (1.0, -number) if behind else (-1.0, number),
}
_FARTHEST = 64  # calls within one step


@dataclass(frozen=True)
class Passage:
    """What a map passes on its way to a convolution.

    Args:
        end: The convolution.
        calls: What stands before it, in order.
        excited: Whether a squeeze-excite is part of that.
    """

    end: Call
    calls: tuple[Call, ...]
    excited: bool


@dataclass(frozen=True)
class _Step:
    calls: tuple[Call, ...]
    value: Value
    excited: bool


def follow(graph: Graph, value: Value, wanted: Callable[[Call], bool]) -> Passage | None:
    """From a value to the call that alone takes it, past whatever may stand between.

    Args:
        graph: Where it is.
        value: Where to begin.
        wanted: Which call is looked for.

    Returns:
        None where something else stands in the way, or where a value on the way is needed elsewhere too.
    """
    calls: list[Call] = []
    excited = False
    place = _channels(graph, value)
    while value not in graph.outputs:
        consumers = graph.consumers(value)
        if len(consumers) == 1 and wanted(consumers[0]):
            return Passage(consumers[0], tuple(calls), excited)
        step = _step(graph, value, place)
        if step is None:
            return None
        calls += step.calls
        value, excited = step.value, excited or step.excited
    return None


def is_activated(graph: Graph, value: Value) -> bool:
    """Whether an activation follows a value, next or after a normalization or a multiplication by one number."""
    place = _channels(graph, value)
    while value not in graph.outputs:
        consumers = graph.consumers(value)
        if any(_is_activation(call) for call in consumers):
            return True
        if len(consumers) == 1 and consumers[0].kind in _NORMALIZATIONS:
            value = consumers[0].outputs[0]
            continue
        step = _step(graph, value, place)
        if step is None or step.excited or step.calls[0].kind in PADDING:
            return False
        if not all(is_affine(call) or scaling(call) for call in step.calls):
            return True
        value = step.value
    return False


def is_affine(call: Call) -> bool:
    """Whether a call does at most a multiplication and an addition for each channel at inference: a batch normalization, a dropout, nothing."""
    return call.kind == "BatchNormalization" or call.kind in _INERT or (call.kind == "Activation" and is_linear(call.layer))


def scaling(call: Call) -> tuple[float, float] | None:
    """Factor and addend of a call that does no more than multiply by one number and add one, the same everywhere; None for another call."""
    if call.kind == "Rescaling":
        numbers = (call.layer.scale, call.layer.offset)
        return (_number(numbers[0]), _number(numbers[1])) if all(np.size(number) == 1 for number in numbers) else None
    if call.kind not in _BY_NUMBERS or hasattr(call.layer, "weights") or len(call.operands) != 2 or len(call.inputs) != 1:
        return None
    first, second = call.operands
    number = second if first is None else first
    if not isinstance(number, (int, float, np.ndarray, np.generic)) or np.size(number) != 1:
        return None
    if call.kind in _QUOTIENTS and (first is not None or not _number(number)):
        return None
    return _BY_NUMBERS[call.kind](_number(number), first is None)


def _number(value: Any) -> float:
    return float(np.asarray(value).item())


def _is_activation(call: Call) -> bool:
    return call.kind in _ACTIVATIONS or (call.kind == "Activation" and not is_linear(call.layer))


def _channels(graph: Graph, value: Value) -> int:
    """Where the channels lie in the shape of what a convolution gives."""
    made_by = graph.producer(value)
    return (channel_axis(made_by) if made_by else len(value.shape)) - 1


def _step(graph: Graph, start: Value, place: int) -> _Step | None:
    """The calls from a value to the next one that everything made from it comes together in."""
    pooled: dict[int, bool] = {start.key: False}
    waiting = {start.key: len(graph.consumers(start))}
    due = {call.outputs[0].key: call for call in graph.consumers(start)}
    calls: list[Call] = []
    excited = False
    while due and len(calls) < _FARTHEST:
        call = due.pop(min(due))  # values are numbered in the order of the graph
        if len(call.outputs) != 1 or any(value.key not in pooled for value in call.inputs):
            return None
        output = call.outputs[0]
        if call.kind in PADDING and is_kerass(call.layer):
            alone = waiting[start.key] == 1 and not calls
            return _Step((call,), output, False) if alone and call.input_shape[place] == call.output_shape[place] else None
        state = _pooled_after(call, start, [pooled[value.key] for value in call.inputs])
        if state is None:
            return None
        calls.append(call)
        pooled[output.key] = state
        excited = excited or (not state and any(pooled[value.key] for value in call.inputs))
        for value in set(call.inputs):
            waiting[value.key] -= 1
        waiting[output.key] = len(graph.consumers(output))
        due.update((after.outputs[0].key, after) for after in graph.consumers(output))
        alive = [key for key, count in waiting.items() if count or (key == output.key and output in graph.outputs)]
        if alive == [output.key] and not state:
            return _Step(tuple(calls), output, excited)
        if output in graph.outputs:
            return None
    return None


def _pooled_after(call: Call, start: Value, pooled: list[bool]) -> bool | None:
    """Whether a call gives one number a channel rather than a map; None where it is neither an activation nor part of a squeeze-excite."""
    if all(pooled):
        return True
    if not is_kerass(call.layer):
        return None
    if "Pool" in call.kind or call.kind in ("Mean", "Max", "Amax"):
        left = tuple(side for side in call.output_shape if side != 1)
        return True if left in ((), start.shape[:1], start.shape[-1:]) else None
    if call.output_shape != start.shape:
        return None
    if any(pooled):
        return False if call.kind == "Multiply" else None
    return False if call.kind in _ARITHMETIC or is_affine(call) or _is_activation(call) or scaling(call) else None
